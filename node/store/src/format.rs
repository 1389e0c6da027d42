//! `HOME/format`: one line that says which version wrote the home.
//!
//! It is a text file beside the database, because sled writes to a database by opening it, and a
//! home of a newer version must stay untouched. A new home gets it when its database has its format
//! row, so that a database without rows beside the file is damage and no cut-off first start. It is
//! raised before the first migration step, so it is never below what the database holds.

use crate::error::{StoreError, io_error};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

/// The format version that this program writes.
pub const FORMAT_VERSION: u32 = crate::migrate::newest(crate::migrate::MIGRATIONS);

const FILE: &str = "format";
const TEMP_FILE: &str = "format.new";
const HEAD: &str = "shoal home format ";
/// Bytes of the file that are read: more than any version needs.
const MAX_BYTES: u64 = 64;

/// What a home says of its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is no home yet, or its first start was cut off.
    Nothing,
    /// A version that this program knows.
    Version(u32),
}

/// Reads the version of a home, and refuses one that is newer than `known`. Writes nothing.
pub(crate) fn check(dir: &Path, known: u32) -> Result<Found, StoreError> {
    let path = dir.join(FILE);
    let text = match File::open(&path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            file.take(MAX_BYTES)
                .read_to_end(&mut bytes)
                .map_err(|e| io_error("read", &path, e))?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Found::Nothing);
        }
        Err(error) => return Err(io_error("read", &path, error)),
    };
    match text.trim_end().strip_prefix(HEAD).map(str::parse::<u32>) {
        Some(Ok(found)) if found > known => Err(StoreError::Newer {
            path: dir.to_path_buf(),
            found,
            known,
        }),
        Some(Ok(found)) if found > 0 => Ok(Found::Version(found)),
        _ => Err(StoreError::Corrupt {
            path,
            what: "it has no format version".to_owned(),
        }),
    }
}

/// Writes the version so that it survives a power cut.
pub(crate) fn write(dir: &Path, version: u32) -> Result<(), StoreError> {
    let temp = dir.join(TEMP_FILE);
    let path = dir.join(FILE);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temp)?;
        writeln!(file, "{HEAD}{version}")?;
        file.sync_all()?;
        std::fs::rename(&temp, &path)?;
        sync_dir(dir)
    };
    write().map_err(|source| io_error("write", &path, source))
}

/// Makes the names in a folder survive a power cut.
pub(crate) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    if cfg!(unix) {
        File::open(dir)?.sync_all()
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_file_goes_round_and_a_newer_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(check(dir.path(), 3).unwrap(), Found::Nothing);
        write(dir.path(), 3).unwrap();
        assert_eq!(check(dir.path(), 3).unwrap(), Found::Version(3));
        let error = check(dir.path(), 2).unwrap_err();
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
    fn a_broken_file_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        for text in [
            "",
            "shoal home format ",
            "shoal home format 0\n",
            "shoal home format x\n",
            "\u{1}",
        ] {
            std::fs::write(dir.path().join(FILE), text).unwrap();
            assert!(
                matches!(check(dir.path(), 1), Err(StoreError::Corrupt { .. })),
                "{text:?}"
            );
        }
    }
}
