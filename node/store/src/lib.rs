//! What a home remembers: shares, their log and takers, filesets and their indexes, settings, and
//! immutable artefacts.
//!
//! Rows live in sled under `HOME/store`, artefacts are plain files under `HOME/snapshots`, and
//! `HOME/format` says which version of shoal may touch either. Nothing of sled is visible outside
//! this crate.
//!
//! Every call is synchronous and short, except those with [`Durability::Flushed`], which wait for
//! the disk: call them from a blocking task. A [`Store`] is a handle that clones cheaply.

mod artefact;
mod error;
mod fileset;
mod format;
mod group;
mod keys;
mod log;
mod migrate;
mod problems;
mod settings;
mod share;
mod share_codec;
mod stamps;
mod takers;

pub use artefact::{Artefact, ArtefactWriter};
pub use error::StoreError;
pub use fileset::{FilesetIndex, FilesetRow, Running};
pub use format::FORMAT_VERSION;
pub use group::GroupRows;
pub use log::{LOG_MAX_ROWS, LogPage, LogRow, Way, What, Who};
pub use problems::KeptProblems;
pub use settings::{SETTING_MAX_BYTES, SETTING_NAME_MAX_BYTES};
pub use share::{Audience, ShareEnd, ShareRow, ShareState};
pub use stamps::StampRow;
pub use takers::KeptTakers;

use crate::artefact::ArtefactDir;
use crate::error::{io_error, sled_error};
use crate::log::LogBounds;
use shoal_protocol::id::LinkId;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Memory that sled may use for pages it has read, in bytes. It takes several times as much: after 200,000
/// entries the process has 108 MB at 8 MiB and 281 MB at 64 MiB, where reads at random are five times as fast.
const CACHE_CAPACITY_BYTES: u64 = 16 << 20;

/// How long a handle on the database that was dropped may hold its lock still.
const LETS_GO_WITHIN: Duration = Duration::from_secs(3);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Whether a call waits until its row survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On the disk before the call returns.
    Flushed,
    /// Visible at once, on the disk within about a second.
    Lazy,
}

/// A handle on an open home; clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    db: sled::Db,
    path: PathBuf,
    artefacts: ArtefactDir,
    /// Held while a row is read, changed and written back, and while the log gives out numbers.
    writing: Mutex<HashMap<LinkId, LogBounds>>,
    flusher: fileset::Flusher,
}

impl Store {
    /// Opens the home at `dir`, and creates it where there is none.
    ///
    /// # Errors
    /// [`StoreError::Newer`] if a newer version wrote it; then nothing was touched.
    /// [`StoreError::Locked`] if another process has it open. See [`StoreError`] for the rest.
    pub fn open(dir: &Path) -> Result<Store, StoreError> {
        Self::open_with(dir, migrate::MIGRATIONS)
    }

    fn open_with(dir: &Path, migrations: &[migrate::Migration]) -> Result<Store, StoreError> {
        let found = format::check(dir, migrate::newest(migrations))?;
        create_private_dir(dir)?;
        let path = dir.join("store");
        let db = open_sled(&path)?;
        migrate::run(dir, &path, &db, found, migrations)?;
        let artefacts = ArtefactDir::open(&dir.join("snapshots"))?;
        let inner = Inner {
            db,
            path,
            artefacts,
            writing: Mutex::default(),
            flusher: fileset::Flusher::default(),
        };
        Ok(Store(Arc::new(inner)))
    }

    /// Waits until everything stored so far is on the disk.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn flush(&self) -> Result<(), StoreError> {
        self.0
            .db
            .flush()
            .map(drop)
            .map_err(|error| self.sled(error))
    }

    fn settle(&self, durability: Durability) -> Result<(), StoreError> {
        match durability {
            Durability::Flushed => self.flush(),
            Durability::Lazy => self.0.flusher.soon(self),
        }
    }

    fn apply(&self, batch: sled::Batch) -> Result<(), StoreError> {
        self.0
            .db
            .apply_batch(batch)
            .map_err(|error| self.sled(error))
    }

    fn sled(&self, error: sled::Error) -> StoreError {
        sled_error(&self.0.path, error)
    }

    fn corrupt(&self, what: &'static str) -> StoreError {
        StoreError::Corrupt {
            path: self.0.path.clone(),
            what: what.to_owned(),
        }
    }

    /// A panic while the lock was held left no half-changed row: rows change by one batch.
    fn writing(&self) -> MutexGuard<'_, HashMap<LinkId, LogBounds>> {
        self.0
            .writing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows are secrets, and sled's own form prints them.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.0.path).finish()
    }
}

/// Opens the database. Threads of sled hold its lock for a moment after the last handle on it is gone, so that
/// one who opens it right after that waits.
fn open_sled(path: &Path) -> Result<sled::Db, StoreError> {
    let until = Instant::now() + LETS_GO_WITHIN;
    loop {
        match try_open_sled(path) {
            Err(StoreError::Locked { .. }) if Instant::now() < until => {
                std::thread::sleep(LOOK_AGAIN_AFTER);
            }
            result => return result,
        }
    }
}

/// sled answers some damage with a panic instead of an error; here it is an error.
fn try_open_sled(path: &Path) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_CAPACITY_BYTES)
        // Ours flushes: see `fileset::Flusher`.
        .flush_every_ms(None);
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| config.open()));
    match opened {
        Ok(result) => result.map_err(|error| sled_error(path, error)),
        Err(_) => Err(StoreError::Corrupt {
            path: path.to_path_buf(),
            what: "the database cannot be read".to_owned(),
        }),
    }
}

fn create_private_dir(dir: &Path) -> Result<(), StoreError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder
        .create(dir)
        .map_err(|source| io_error("create", dir, source))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_store_is_shared_between_threads() {
        fn check<T: Clone + Send + Sync + 'static>() {}
        check::<Store>();
    }

    #[test]
    fn a_home_open_elsewhere_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let _held = Store::open(dir.path()).unwrap();
        let error = Store::open(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    }

    #[test]
    fn a_home_is_for_its_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        drop(Store::open(&home).unwrap());
        for path in [home.clone(), home.join("snapshots")] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        }
    }
}
