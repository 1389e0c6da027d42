//! Where verified bytes go: files in staging.

use super::state::State;
use crate::group::Paces;
use shoal_disk::replica::Replica;
use shoal_protocol::id::ContentHash;
use shoal_transfer::carry::{Sink, Want};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Zeros from which on a hole is left instead: less than a block of the file system is none.
const HOLE_MIN_BYTES: usize = 4096;

/// Bytes of a large content after which what is there is made durable.
const CHECKPOINT_BYTES: u64 = 64 << 20;
/// How long a limit holds up the end of a fileset.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Writes what one request brings. Nobody else writes to these files meanwhile.
pub(super) struct Staging {
    replica: Replica,
    state: Arc<State>,
    wants: Vec<Want>,
    open: Option<(usize, File)>,
    done: Arc<Mutex<Vec<ContentHash>>>,
    /// Of one large content: bytes that are there from the start on.
    have: Arc<AtomicU64>,
    /// The last bytes of it that are durable, or will soon be, and who sees to that.
    durable: u64,
    syncing: Option<JoinHandle<()>>,
    paces: Arc<Paces>,
    /// The fileset is not kept any more, or its folder is being opened anew.
    ended: CancellationToken,
}

impl Staging {
    pub(super) fn new(
        replica: Replica,
        state: Arc<State>,
        wants: Vec<Want>,
        done: Arc<Mutex<Vec<ContentHash>>>,
        have: Arc<AtomicU64>,
        paces: Arc<Paces>,
        ended: CancellationToken,
    ) -> Self {
        Self {
            durable: have.load(Ordering::Relaxed),
            syncing: None,
            paces,
            replica,
            state,
            wants,
            open: None,
            done,
            have,
            ended,
        }
    }

    fn file(&mut self, index: usize, at: u64) -> io::Result<&File> {
        if self.ended.is_cancelled() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if self.open.as_ref().is_none_or(|(open, _)| *open != index) {
            let want = self.wants.get(index).ok_or(io::ErrorKind::InvalidInput)?;
            let file = self
                .replica
                .incoming(&want.hash)
                .map_err(|error| io::Error::new(kind_of(&error), error))?;
            if at == 0 {
                // What an earlier process left was verified by nobody who is still there.
                file.set_len(0)?;
                self.durable = 0;
                if want.bytes >= CHECKPOINT_BYTES {
                    self.replica.forget_checkpoint(&want.hash)?;
                }
            } else if file.metadata()?.len() < at {
                self.have.store(0, Ordering::Relaxed);
                return Err(io::Error::other("staging lost what was fetched before"));
            } else {
                // Behind it may be what nobody verified, where a hole belongs.
                file.set_len(at)?;
            }
            self.open = Some((index, file));
        }
        let (_, file) = self.open.as_ref().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(file)
    }
}

impl Staging {
    /// Makes what is there durable now and then, so that a restart need not fetch it again. Another thread waits for the disk.
    fn checkpoint(&mut self, have: u64) -> io::Result<()> {
        let busy = self.syncing.as_ref().is_some_and(|it| !it.is_finished());
        if busy || have < self.durable + CHECKPOINT_BYTES {
            return Ok(());
        }
        self.wait_for_sync();
        let want = self.wants.first().ok_or(io::ErrorKind::InvalidInput)?;
        let (replica, content) = (self.replica.clone(), want.hash);
        self.durable = have;
        let sync = move || {
            if let Err(error) = replica.make_checkpoint(&content, have) {
                tracing::debug!(%error, "a restart will fetch more of a file again");
            }
        };
        let thread = std::thread::Builder::new().name("fileset-sync".into());
        self.syncing = Some(thread.spawn(sync)?);
        Ok(())
    }

    fn wait_for_sync(&mut self) {
        if let Some(syncing) = self.syncing.take() {
            // A panic there was told already, and made no checkpoint.
            let _ = syncing.join();
        }
    }

    /// What a person allows of this device has come for now.
    fn keep_pace(&self, bytes: u64) {
        let mut wait = self.paces.down.take(bytes).unwrap_or_default();
        while !wait.is_zero() && !self.ended.is_cancelled() {
            let part = wait.min(PAUSE_MAX);
            std::thread::sleep(part);
            wait -= part;
        }
    }
}

/// Nothing is written down of a file that somebody else works on by then.
impl Drop for Staging {
    fn drop(&mut self) {
        self.wait_for_sync();
    }
}

impl Sink for Staging {
    fn write(&mut self, index: usize, at: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(index, at)?;
        if bytes.len() >= HOLE_MIN_BYTES && bytes.iter().all(|byte| *byte == 0) {
            // The file ends at `at`, because bytes come in order: growing leaves a hole.
            file.set_len(at + bytes.len() as u64)?;
        } else {
            file.write_all_at(bytes, at)?;
        }
        let len = bytes.len() as u64;
        self.state.arrived(len);
        if self.wants.len() == 1 {
            self.have.store(at + len, Ordering::Relaxed);
            self.checkpoint(at + len)?;
        }
        self.keep_pace(len);
        Ok(())
    }

    fn done(&mut self, index: usize) -> io::Result<()> {
        let want = *self.wants.get(index).ok_or(io::ErrorKind::InvalidInput)?;
        if want.bytes == 0 {
            self.file(index, 0)?;
        }
        self.open = None;
        self.wait_for_sync();
        if want.bytes >= CHECKPOINT_BYTES {
            // A start cuts what has a note back to what the note says, and this may become the only copy.
            self.replica
                .forget_checkpoint(&want.hash)
                .map_err(|error| io::Error::new(kind_of(&error), error))?;
        }
        self.done
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(want.hash);
        Ok(())
    }
}

fn kind_of(error: &shoal_jail::JailError) -> io::ErrorKind {
    if error.is_no_space() {
        io::ErrorKind::StorageFull
    } else {
        io::ErrorKind::Other
    }
}
