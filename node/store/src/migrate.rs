//! Steps from one format version to the next.
//!
//! Step `n` of the list turns format `n + 1` into `n + 2`. A step may run again after a crash in
//! its middle, so it must lead to the same rows when part of it is done.

use crate::error::{StoreError, sled_error};
use crate::format::{self, Found};
use crate::keys;
use std::path::Path;

/// One step; it gets the database and may change any row.
pub(crate) type Migration = fn(&sled::Db) -> Result<(), sled::Error>;

/// All steps, oldest first. Format 1 is the first that was released, so there are none yet.
pub(crate) const MIGRATIONS: &[Migration] = &[];

/// The format version after all steps.
pub(crate) const fn newest(migrations: &[Migration]) -> u32 {
    migrations.len() as u32 + 1
}

/// Brings an open database to the newest format.
pub(crate) fn run(
    dir: &Path,
    path: &Path,
    db: &sled::Db,
    found: Found,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    let failed = |error| sled_error(path, error);
    let known = newest(migrations);
    let row = db.get(keys::FORMAT).map_err(failed)?;
    let version = match (row, found) {
        (Some(row), _) => {
            let bytes = row.as_ref().try_into();
            u32::from_be_bytes(bytes.map_err(|_| damaged(path, "its format row is broken"))?)
        }
        (None, Found::Nothing) if db.is_empty() => {
            write_row(db, known).map_err(failed)?;
            known
        }
        (None, _) => return Err(damaged(path, "its rows are gone")),
    };
    if version > known {
        return Err(StoreError::Newer {
            path: dir.to_path_buf(),
            found: version,
            known,
        });
    }
    if found != Found::Version(known) {
        if found == Found::Nothing && db.len() > 1 {
            return Err(damaged(&dir.join("format"), "it is missing beside a store"));
        }
        format::write(dir, known)?;
    }
    for (step, from) in migrations.iter().zip(1..) {
        if from >= version {
            tracing::info!(from, to = from + 1, "migrating the home");
            step(db).map_err(failed)?;
            write_row(db, from + 1).map_err(failed)?;
        }
    }
    Ok(())
}

fn write_row(db: &sled::Db, version: u32) -> Result<(), sled::Error> {
    db.insert(keys::FORMAT, &version.to_be_bytes())?;
    db.flush().map(drop)
}

fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::Corrupt {
        path: path.to_path_buf(),
        what: what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::{Durability, Store, StoreError};
    use std::path::Path;

    fn double(db: &sled::Db) -> Result<(), sled::Error> {
        let old = db.get(b"nword")?.unwrap_or_default();
        db.insert(b"nword", [&old[..], &old[..]].concat()).map(drop)
    }

    fn fails(_: &sled::Db) -> Result<(), sled::Error> {
        Err(sled::Error::Unsupported("half-way".to_owned()))
    }

    fn version_in_file(dir: &Path) -> String {
        std::fs::read_to_string(dir.join("format")).unwrap()
    }

    #[test]
    fn an_older_home_takes_every_step_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_with(dir.path(), &[]).unwrap();
        store
            .put_setting("word", b"ab", Durability::Flushed)
            .unwrap();
        drop(store);
        for _ in 0..2 {
            let store = Store::open_with(dir.path(), &[double, double]).unwrap();
            assert_eq!(
                store.setting("word").unwrap().as_deref(),
                Some(&b"abababab"[..])
            );
            assert_eq!(version_in_file(dir.path()), "shoal home format 3\n");
        }
        let error = Store::open_with(dir.path(), &[double]).unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Newer {
                    found: 3,
                    known: 2,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn a_migration_that_was_cut_off_goes_on_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_with(dir.path(), &[]).unwrap();
        store
            .put_setting("word", b"ab", Durability::Flushed)
            .unwrap();
        drop(store);
        assert!(Store::open_with(dir.path(), &[double, fails]).is_err());
        assert_eq!(version_in_file(dir.path()), "shoal home format 3\n");
        let store = Store::open_with(dir.path(), &[fails, double]).unwrap();
        assert_eq!(
            store.setting("word").unwrap().as_deref(),
            Some(&b"abababab"[..])
        );
    }
}
