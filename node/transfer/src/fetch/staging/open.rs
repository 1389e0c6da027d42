//! Entering a staging folder: making or resuming it.

use super::super::error::GetError;
use super::super::layout::Layout;
use super::super::marks::{Marks, Proof};
use super::super::twins;
use super::files::{Files, ROOT};
use super::journal::{Header, Record, Replayed, append_header, append_record, replay};
use super::recheck::Recheck;
use super::{Journal, Staging, create, run};
use rustix::fs::FlockOperation;
use shoal_jail::{Existing, Jail};
use shoal_protocol::id::TakerToken;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

const STATE: &str = "state";
const STATE_NEW: &str = "state.new";
const LOCK: &str = "lock";
const STATE_MAX_BYTES: u64 = 1 << 30;

/// What is needed to enter a staging folder.
pub(crate) struct Enter<'a> {
    /// The folder that gets the result.
    pub(crate) into: &'a Path,
    /// Name of the staging folder in it.
    pub(crate) folder: &'a str,
    /// What is built.
    pub(crate) layout: Arc<Layout>,
    /// Snapshot hash, or infohash and zeros.
    pub(crate) layout_id: [u8; 32],
    /// The token to use where there is no older one.
    pub(crate) taker: TakerToken,
    /// Ends the reading of what an earlier run wrote.
    pub(crate) cancel: &'a CancellationToken,
    /// Called before what an earlier run wrote is read again.
    pub(crate) rechecking: &'a dyn Fn(),
}

/// Name of the staging folder of a link or torrent.
pub(crate) fn folder_name(id: &str) -> String {
    format!(".shoal-get-{}", id.get(..8).unwrap_or(id))
}

/// Name of the staging folder of a link that is known by its torrent alone, because the node that made
/// it is away: what was fetched by its manifest stays for when it is back.
pub(crate) fn swarm_folder(folder: &str) -> String {
    format!("{folder}t")
}

/// Removes a staging folder that is not needed any more, unless another process is in it.
pub(crate) fn discard(into: &Path, folder: &str) -> Result<(), GetError> {
    let Ok(into) = Jail::open(into) else {
        return Ok(());
    };
    if into.below(folder).is_err() {
        return Ok(());
    }
    let Ok((_, _lock)) = locked(&into, folder) else {
        return Ok(());
    };
    // The files are there; a staging folder that cannot be removed is not worth an error.
    if let Err(error) = into.remove_tree(folder) {
        tracing::warn!(%error, "staging folder could not be removed");
    }
    Ok(())
}

/// The token of an earlier run, so that both count as one taker.
pub(crate) fn known_taker(into: &Path, folder: &str) -> Option<TakerToken> {
    let stage = Jail::open(into).ok()?.below(folder).ok()?;
    Some(read_journal(&stage).ok()??.header.taker)
}

impl Enter<'_> {
    /// Makes the folder, or goes on where an earlier run stopped.
    ///
    /// # Errors
    /// `InUse` when another process is in it; whatever the file system says.
    pub(crate) fn enter(self) -> Result<Staging, GetError> {
        std::fs::create_dir_all(self.into).map_err(|error| GetError::io(self.into, error))?;
        let into = Jail::open(self.into).map_err(GetError::jail)?;
        let (stage, lock) = locked(&into, self.folder)?;
        let header = Header {
            layout: self.layout_id,
            taker: self.taker,
            run: run::current(&stage),
        };
        let found = read_journal(&stage)?.filter(|read| read.header.layout == self.layout_id);
        if found.is_none() {
            forget_tree(&stage)?;
            twins::check(&stage, &into, &self.layout)?;
        }
        let files = Files::prepare(&stage, &self.layout)?;
        let marks = Marks::new(&self.layout);
        let mut tainted = false;
        let mut taker = self.taker;
        let journal = match found {
            None => rewrite(&stage, &header, &marks, &self.layout, tainted)?,
            Some(read) => {
                taker = read.header.taker;
                let anew = read.header.run != header.run;
                tainted = anew || read.records.contains(&Record::Tainted);
                if anew {
                    self.recheck(&read, &marks, &files)?;
                } else {
                    apply(&marks, &read.records, &self.layout);
                }
                let lost = forget_lost(&marks, &files, &self.layout);
                if anew || lost {
                    // The new journal calls all of it durable.
                    stage.sync().map_err(GetError::jail)?;
                    rewrite(
                        &stage,
                        &Header { taker, ..header },
                        &marks,
                        &self.layout,
                        tainted,
                    )?
                } else {
                    resume(&stage, read.end)?
                }
            }
        };
        let resumed_bytes = marks.done_bytes();
        finish_empty(&marks, &files, &self.layout)?;
        Ok(Staging {
            into,
            folder: self.folder.to_owned(),
            stage,
            layout: self.layout,
            marks,
            taker,
            resumed_bytes,
            files,
            journal: Mutex::new(journal),
            claims: Default::default(),
            turns: Default::default(),
            tainted: AtomicBool::new(tainted),
            dirty: Mutex::new(HashSet::new()),
            closed: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
        })
    }
}

impl Enter<'_> {
    fn recheck(&self, read: &Replayed, marks: &Marks, files: &Files) -> Result<(), GetError> {
        let recheck = Recheck {
            files,
            layout: &self.layout,
            marks,
            cancel: self.cancel,
            begun: self.rechecking,
        };
        recheck.run(read)
    }
}

/// Makes the folder and takes its lock, which ends with the process.
fn locked(into: &Jail, folder: &str) -> Result<(Jail, File), GetError> {
    for _ in 0..16 {
        match into.create_dir(folder, 0o700) {
            Err(error) if !error.is_exists() => return Err(GetError::jail(error)),
            _ => {}
        }
        let stage = match into.below(folder) {
            Err(error) if error.is_not_found() => continue,
            other => other.map_err(GetError::jail)?,
        };
        let lock = match stage.create_file(LOCK, 0o600, shoal_jail::Create::OrOpen) {
            Err(error) if error.is_not_found() => continue,
            other => other.map_err(GetError::jail)?,
        };
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(GetError::InUse {
                path: into.path().to_path_buf(),
            });
        }
        // Whoever had the lock may have finished and removed the folder in between.
        let own = lock
            .metadata()
            .map_err(|error| GetError::io(stage.path(), error))?
            .ino();
        let named = into
            .metadata(&format!("{folder}/{LOCK}"))
            .map(|meta| meta.ino);
        if named.is_ok_and(|ino| ino == own) {
            return Ok((stage, lock));
        }
    }
    Err(GetError::InUse {
        path: into.path().to_path_buf(),
    })
}

fn read_journal(stage: &Jail) -> Result<Option<Replayed>, GetError> {
    let file = match stage.open_read(STATE) {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other.map_err(GetError::jail)?,
    };
    let mut bytes = Vec::new();
    let read = file.take(STATE_MAX_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| GetError::io(&stage.path().join(STATE), error))?;
    Ok(replay(&bytes))
}

/// Removes a tree that no journal speaks of.
fn forget_tree(stage: &Jail) -> Result<(), GetError> {
    match stage.remove_tree(ROOT) {
        Err(error) if !error.is_not_found() => Err(GetError::jail(error)),
        _ => Ok(()),
    }
}

fn apply(marks: &Marks, records: &[Record], layout: &Layout) {
    for record in records {
        match record {
            Record::Range {
                file,
                start,
                end,
                proof,
                imprint: _,
            } => {
                marks.add(*file, *start, *end, *proof, None);
                let whole = layout
                    .spec(*file)
                    .is_some_and(|spec| *start == 0 && *end == spec.size);
                if whole && *proof == Proof::Content {
                    marks.proven(*file);
                }
            }
            Record::Whole(runs) => {
                for file in runs.iter().flat_map(|run| layout.run(*run)) {
                    let size = layout.spec(file).map_or(0, |spec| spec.size);
                    marks.add(file, 0, size, Proof::Content, None);
                }
            }
            Record::Forget { file } => marks.forget(*file),
            Record::Checkpoint { .. } | Record::Tainted => {}
        }
    }
}

/// Somebody may have removed files from the staging folder.
fn forget_lost(marks: &Marks, files: &Files, layout: &Layout) -> bool {
    let mut lost = false;
    for (file, spec) in (0u32..).zip(&layout.files) {
        let (ranges, _) = marks.ranges(file);
        if !ranges.is_empty() && spec.size > 0 && files.size(spec) != Some(spec.size) {
            marks.forget(file);
            lost = true;
        }
    }
    lost
}

/// Files without bytes are complete once they exist.
fn finish_empty(marks: &Marks, files: &Files, layout: &Layout) -> Result<(), GetError> {
    for (file, spec) in (0u32..)
        .zip(&layout.files)
        .filter(|(_, spec)| spec.size == 0)
    {
        let handle = files.create(spec)?;
        let settled = handle
            .set_len(0)
            .and_then(|()| super::files::stamp(&handle, spec));
        settled.map_err(|error| GetError::io(layout_path(spec), error))?;
        marks.add(file, 0, 0, Proof::Content, None);
        marks.stamp(file);
    }
    Ok(())
}

fn layout_path(spec: &super::FileSpec) -> &Path {
    Path::new(spec.path.as_str())
}

/// Goes on after the last sound frame.
fn resume(stage: &Jail, end: u64) -> Result<Journal, GetError> {
    let file = create(stage, STATE)?;
    file.set_len(end)
        .map_err(|error| GetError::io(&stage.path().join(STATE), error))?;
    Ok(Journal { file, at: end })
}

/// Writes a journal of what is there, durably, in place of the old one.
fn rewrite(
    stage: &Jail,
    header: &Header,
    marks: &Marks,
    layout: &Layout,
    tainted: bool,
) -> Result<Journal, GetError> {
    let mut bytes = Vec::new();
    append_header(&mut bytes, header);
    if tainted {
        append_record(&mut bytes, 0, &Record::Tainted);
    }
    for file in (0u32..).take(layout.files.len()) {
        let (ranges, proof) = marks.ranges(file);
        for (start, end) in ranges {
            append_record(
                &mut bytes,
                0,
                &Record::Range {
                    file,
                    start,
                    end,
                    proof,
                    imprint: None,
                },
            );
        }
    }
    let upto = bytes.len() as u64;
    append_record(&mut bytes, 0, &Record::Checkpoint { upto });
    let written = || -> io::Result<File> {
        let file = create(stage, STATE_NEW).map_err(io::Error::other)?;
        file.set_len(0)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_data()?;
        Ok(file)
    };
    let file = written().map_err(|error| GetError::io(&stage.path().join(STATE_NEW), error))?;
    stage
        .rename(STATE_NEW, stage, STATE, Existing::Replace)
        .map_err(GetError::jail)?;
    Ok(Journal {
        file,
        at: bytes.len() as u64,
    })
}
