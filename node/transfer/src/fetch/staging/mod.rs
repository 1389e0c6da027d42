//! The staging folder: `DIR/.shoal-get-<8>/` holds the tree being built, the journal and a lock.
//!
//! Bytes proven by BLAKE3 are written by [`Staging::put`] and [`Staging::put_whole`]. A torrent writes
//! before it knows whether bytes are right ([`Staging::put_unproven`]); such bytes never overwrite what
//! is there already or is just being written, and count only when their piece was checked
//! ([`Staging::piece_done`]).

mod files;
mod journal;
mod open;
mod recheck;
mod run;
mod runs;

pub(crate) use files::ROOT;
pub(crate) use open::{Enter, discard, folder_name, known_taker, swarm_folder};

use super::Way;
use super::error::GetError;
use super::imprint::Imprint;
use super::layout::{FileSpec, Layout};
use super::marks::{Added, Marks, Proof};
use super::ranges::cut;
use files::Files;
use journal::{Record, append_record};
use runs::Zeros;
use shoal_jail::{Create, Jail};
use shoal_protocol::id::{ContentHash, TakerToken};
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const STRIPES: usize = 16;
const COPY_BYTES: usize = 1 << 20;
/// With more files than this, one `syncfs` is cheaper than syncing each.
const SYNC_EACH_MAX: usize = 64;

/// An opened staging folder.
pub(crate) struct Staging {
    /// The folder that gets the result.
    pub(crate) into: Jail,
    /// Name of the staging folder in it.
    pub(crate) folder: String,
    /// The staging folder.
    pub(crate) stage: Jail,
    /// What is built.
    pub(crate) layout: Arc<Layout>,
    /// What is there of it.
    pub(crate) marks: Marks,
    /// By which the taker counts once.
    pub(crate) taker: TakerToken,
    /// Bytes that an earlier run had fetched.
    pub(crate) resumed_bytes: u64,
    files: Files,
    journal: Mutex<Journal>,
    claims: [Mutex<Vec<Claim>>; STRIPES],
    turns: [Mutex<()>; STRIPES],
    tainted: AtomicBool,
    dirty: Mutex<HashSet<u32>>,
    closed: AtomicBool,
    lock: Mutex<Option<File>>,
}

struct Journal {
    file: File,
    at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    file: u32,
    start: u64,
    end: u64,
}

impl Staging {
    // Bytes that are proven.

    /// Writes proven bytes of a file and notes them in the journal.
    pub(crate) fn put(
        &self,
        file: u32,
        offset: u64,
        bytes: &[u8],
        imprint: Imprint,
        way: Way,
    ) -> Result<Added, GetError> {
        let spec = self.spec(file)?;
        let end = offset + bytes.len() as u64;
        let claim = self.claim(file, offset, end);
        let written = self.handle(file, spec).and_then(|handle| {
            let _turn = self.turn(file);
            self.write_runs(&handle, offset, bytes)
                .map_err(|error| self.failed(spec, error))
        });
        let added = written.map(|()| self.marks.add(file, offset, end, Proof::Content, Some(way)));
        self.unclaim(claim);
        let added = added?;
        self.touch(file);
        self.append(&[Record::Range {
            file,
            start: offset,
            end,
            proof: Proof::Content,
            imprint: Some(imprint),
        }])?;
        Ok(added)
    }

    /// Writes all of a small file, with its times. [`Staging::wrote_whole`] notes it in the journal.
    pub(crate) fn put_whole(&self, file: u32, bytes: &[u8], way: Way) -> Result<Added, GetError> {
        let spec = self.spec(file)?;
        let claim = self.claim(file, 0, spec.size);
        let written = self.files.create(spec).and_then(|handle| {
            let write = || {
                self.write_runs(&handle, 0, bytes)?;
                if handle.metadata()?.len() != spec.size {
                    handle.set_len(spec.size)?;
                }
                files::stamp(&handle, spec)
            };
            write().map_err(|error| self.failed(spec, error))
        });
        let added = written.map(|()| {
            self.marks
                .add(file, 0, spec.size, Proof::Content, Some(way))
        });
        self.unclaim(claim);
        if added.is_ok() {
            self.marks.stamp(file);
        }
        self.touch(file);
        added
    }

    /// Notes whole files in the journal.
    pub(crate) fn wrote_whole(&self, files: Vec<u32>) -> Result<(), GetError> {
        self.append(&Record::whole(files))
    }

    /// Copies a complete file to another of the same content.
    pub(crate) fn copy(&self, from: u32, to: u32) -> Result<Added, GetError> {
        let (source, target) = (self.spec(from)?, self.spec(to)?);
        let reader = self.handle(from, source)?;
        let mut buffer =
            vec![0; COPY_BYTES.min(usize::try_from(source.size).unwrap_or(COPY_BYTES))];
        let mut at = 0;
        let mut added = Added::Some;
        while at < source.size {
            let len = usize::try_from(source.size - at)
                .map_or(buffer.len(), |left| left.min(buffer.len()));
            let part = buffer.get_mut(..len).unwrap_or_default();
            reader
                .read_exact_at(part, at)
                .map_err(|error| self.failed(target, error))?;
            // Bytes that are copied came by no way.
            let claim = self.claim(to, at, at + len as u64);
            let written = self.handle(to, target).and_then(|handle| {
                self.write_runs(&handle, at, part)
                    .map_err(|error| self.failed(target, error))
            });
            let marked = written.map(|()| {
                self.marks
                    .add(to, at, at + len as u64, Proof::Content, None)
            });
            self.unclaim(claim);
            added = marked?;
            at += len as u64;
        }
        self.touch(to);
        self.append(&[Record::Range {
            file: to,
            start: 0,
            end: target.size,
            proof: Proof::Content,
            imprint: None,
        }])?;
        Ok(added)
    }

    // Bytes of a torrent.

    /// From here on unproven bytes may be written. Call before the first [`Staging::put_unproven`].
    pub(crate) fn taint(&self) -> Result<(), GetError> {
        if self.tainted.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.append(&[Record::Tainted])
    }

    /// Writes bytes that may be wrong, except where right ones are or are being written.
    pub(crate) fn put_unproven(
        &self,
        file: u32,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), GetError> {
        let spec = self.spec(file)?;
        let end = (offset + bytes.len() as u64).min(spec.size);
        if self.marks.missing(file, offset, end).is_empty() {
            return Ok(());
        }
        let handle = self.handle(file, spec)?;
        // Held while writing, so that nobody can claim what is being overwritten.
        let claims = self.stripe(file);
        if self.closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        for (start, end) in self.marks.missing(file, offset, end) {
            let mut free = vec![(start, end)];
            for claim in claims.iter().filter(|claim| claim.file == file) {
                free = free
                    .into_iter()
                    .flat_map(|range| cut(range, (claim.start, claim.end)))
                    .collect();
            }
            for (start, end) in free {
                let part = bytes
                    .get((start - offset) as usize..(end - offset) as usize)
                    .unwrap_or_default();
                self.write_runs(&handle, start, part)
                    .map_err(|error| self.failed(spec, error))?;
            }
        }
        drop(claims);
        self.touch(file);
        Ok(())
    }

    /// A piece of a torrent was checked, or plain HTTP brought bytes: these ranges of files are there.
    pub(crate) fn piece_done(
        &self,
        ranges: &[(u32, u64, u64)],
        way: Way,
    ) -> Result<Vec<(u32, Added)>, GetError> {
        let mut records = Vec::with_capacity(ranges.len());
        let mut done = Vec::with_capacity(ranges.len());
        for (file, start, end) in ranges.iter().copied() {
            let imprint = self.imprint(file, start, end)?;
            done.push((
                file,
                self.marks.add(file, start, end, Proof::Piece, Some(way)),
            ));
            records.push(Record::Range {
                file,
                start,
                end,
                proof: Proof::Piece,
                imprint: Some(imprint),
            });
        }
        self.append(&records)?;
        Ok(done)
    }

    /// Reads bytes of a file, right or not.
    pub(crate) fn read(&self, file: u32, offset: u64, buf: &mut [u8]) -> Result<(), GetError> {
        let spec = self.spec(file)?;
        let handle = self.handle(file, spec)?;
        handle
            .read_exact_at(buf, offset)
            .map_err(|error| self.failed(spec, error))
    }

    /// Hashes a complete file whose bytes are unproven. False: nothing of it is kept.
    pub(crate) fn prove(&self, file: u32) -> Result<bool, GetError> {
        let spec = self.spec(file)?;
        let Some(content) = spec.content else {
            self.marks.proven(file);
            return Ok(true);
        };
        let found = self.hash(file)?;
        if found == content {
            self.append(&[Record::Range {
                file,
                start: 0,
                end: spec.size,
                proof: Proof::Content,
                imprint: None,
            }])?;
            self.marks.proven(file);
            return Ok(true);
        }
        self.append(&[Record::Forget { file }])?;
        self.marks.forget(file);
        Ok(false)
    }

    fn imprint(&self, file: u32, start: u64, end: u64) -> Result<Imprint, GetError> {
        let spec = self.spec(file)?;
        let handle = self.handle(file, spec)?;
        let end = end.min(spec.size);
        Imprint::of(spec.size, (start, end), |at, into| {
            handle.read_exact_at(into, at)
        })
        .map_err(|error| self.failed(spec, error))
    }

    fn hash(&self, file: u32) -> Result<ContentHash, GetError> {
        let spec = self.spec(file)?;
        let handle = self.handle(file, spec)?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; COPY_BYTES];
        let mut at = 0;
        while at < spec.size {
            let read = handle
                .read_at(&mut buffer, at)
                .map_err(|error| self.failed(spec, error))?;
            if read == 0 {
                break;
            }
            hasher.update(buffer.get(..read).unwrap_or_default());
            at += read as u64;
        }
        Ok(ContentHash(*hasher.finalize().as_bytes()))
    }

    // Durability.

    /// Makes everything durable that the journal speaks of, and says so there.
    pub(crate) fn checkpoint(&self) -> Result<(), GetError> {
        let upto = self.journal().at;
        let dirty = std::mem::take(&mut *self.dirty.lock().unwrap_or_else(PoisonError::into_inner));
        if dirty.is_empty() {
            return Ok(());
        }
        if dirty.len() > SYNC_EACH_MAX {
            self.stage
                .sync()
                .map_err(|error| self.full(GetError::jail(error)))?;
        } else {
            for file in dirty {
                let spec = self.spec(file)?;
                self.handle(file, spec)?
                    .sync_data()
                    .map_err(|error| self.failed(spec, error))?;
            }
        }
        self.note_checkpoint(upto)
    }

    /// Makes the whole tree durable, with its folders, links and times, and says so in the journal.
    pub(crate) fn checkpoint_tree(&self) -> Result<(), GetError> {
        let upto = self.journal().at;
        self.dirty
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.stage
            .sync()
            .map_err(|error| self.full(GetError::jail(error)))?;
        self.note_checkpoint(upto)
    }

    fn note_checkpoint(&self, upto: u64) -> Result<(), GetError> {
        self.append(&[Record::Checkpoint { upto }])?;
        let file = self.journal().file.try_clone();
        file.and_then(|file| file.sync_data())
            .map_err(|error| self.journal_failed(error))
    }

    /// Ends it, and lets another `get` in. librqbit may keep its storage a little longer: nothing of
    /// it is written any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        // Whoever writes does it under one of these locks, and looks at `closed` under it.
        for claims in &self.claims {
            drop(claims.lock().unwrap_or_else(PoisonError::into_inner));
        }
        self.files.close();
        self.lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// Forgets opened files, so that nothing is written any more through them.
    pub(crate) fn close_files(&self) {
        self.files.close();
    }

    // What the above is made of.

    fn spec(&self, file: u32) -> Result<&FileSpec, GetError> {
        let missing = || io::Error::new(io::ErrorKind::InvalidInput, "no such file in this tree");
        self.layout
            .spec(file)
            .ok_or_else(|| GetError::io(self.stage.path(), missing()))
    }

    fn handle(&self, file: u32, spec: &FileSpec) -> Result<Arc<File>, GetError> {
        self.files
            .open(file, spec)
            .map_err(|error| self.full(error))
    }

    fn write_runs(&self, handle: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let zeros = match self.tainted.load(Ordering::Acquire) {
            true => Zeros::Punched,
            false => Zeros::LeftOut,
        };
        runs::write(handle, offset, bytes, zeros)
    }

    fn append(&self, records: &[Record]) -> Result<(), GetError> {
        let mut journal = self.journal();
        let mut frames = Vec::with_capacity(32 * records.len());
        for record in records {
            append_record(&mut frames, journal.at, record);
        }
        let written = journal.file.write_all_at(&frames, journal.at);
        if written.is_ok() {
            journal.at += frames.len() as u64;
        }
        drop(journal);
        written.map_err(|error| self.journal_failed(error))
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stripe(&self, file: u32) -> MutexGuard<'_, Vec<Claim>> {
        let [first, ..] = &self.claims;
        self.claims
            .get(file as usize % STRIPES)
            .unwrap_or(first)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The system writes one file for one thread at a time, and lets the others spin meanwhile.
    fn turn(&self, file: u32) -> MutexGuard<'_, ()> {
        let [first, ..] = &self.turns;
        self.turns
            .get(file as usize % STRIPES)
            .unwrap_or(first)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(&self, file: u32, start: u64, end: u64) -> Claim {
        let claim = Claim { file, start, end };
        self.stripe(file).push(claim);
        claim
    }

    fn unclaim(&self, claim: Claim) {
        let mut claims = self.stripe(claim.file);
        if let Some(at) = claims.iter().position(|other| *other == claim) {
            claims.swap_remove(at);
        }
    }

    fn touch(&self, file: u32) {
        self.dirty
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(file);
    }

    fn failed(&self, spec: &FileSpec, error: io::Error) -> GetError {
        self.full(GetError::io(
            &self.stage.path().join(Path::new(spec.path.as_str())),
            error,
        ))
    }

    fn journal_failed(&self, error: io::Error) -> GetError {
        self.full(GetError::io(&self.stage.path().join("state"), error))
    }

    /// Puts figures into a `DiskFull`.
    pub(crate) fn full(&self, error: GetError) -> GetError {
        match error {
            GetError::DiskFull { .. } => GetError::DiskFull {
                path: self.into.path().to_path_buf(),
                needed_bytes: self.layout.bytes.saturating_sub(self.marks.done_bytes()),
                free_bytes: self.into.free_space().unwrap_or(0),
            },
            other => other,
        }
    }
}

/// Opens a file of our own beside the tree.
fn create(stage: &Jail, name: &str) -> Result<File, GetError> {
    stage
        .create_file(name, 0o600, Create::OrOpen)
        .map_err(GetError::jail)
}

#[cfg(test)]
mod tests;
