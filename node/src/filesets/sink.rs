//! Where verified bytes go: files in staging.

use super::state::State;
use shoal_disk::replica::Replica;
use shoal_protocol::id::ContentHash;
use shoal_transfer::carry::{Sink, Want};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// Zeros from which on a hole is left instead: less than a block of the file system is none.
const HOLE_MIN_BYTES: usize = 4096;

/// Writes what one request brings. Nobody else writes to these files meanwhile.
pub(super) struct Staging {
    replica: Replica,
    state: Arc<State>,
    wants: Vec<Want>,
    open: Option<(usize, File)>,
    done: Arc<Mutex<Vec<ContentHash>>>,
    /// Of one large content: bytes that are there from the start on.
    have: Arc<AtomicU64>,
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
        ended: CancellationToken,
    ) -> Self {
        Self {
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

impl Sink for Staging {
    fn write(&mut self, index: usize, at: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(index, at)?;
        if bytes.len() >= HOLE_MIN_BYTES && bytes.iter().all(|byte| *byte == 0) {
            // The file ends at `at`, because bytes come in order: growing leaves a hole.
            file.set_len(at + bytes.len() as u64)?;
        } else {
            file.write_all_at(bytes, at)?;
        }
        self.state.arrived(bytes.len() as u64);
        if self.wants.len() == 1 {
            self.have.store(at + bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    fn done(&mut self, index: usize) -> io::Result<()> {
        let want = *self.wants.get(index).ok_or(io::ErrorKind::InvalidInput)?;
        if want.bytes == 0 {
            self.file(index, 0)?;
        }
        self.open = None;
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
