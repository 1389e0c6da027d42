//! Why the store refuses, in sentences that say what to do next.

use std::io;
use std::path::{Path, PathBuf};

/// Why a call on the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The home was written by a newer version. It was not touched.
    #[error(
        "{} was written by a newer version of shoal (format {found}, this one knows up to {known}): \
         install that version again, or use another home with --home",
        .path.display()
    )]
    Newer {
        /// The home.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest format version of this program.
        known: u32,
    },
    /// Another process has it open.
    #[error("{} is in use by another shoal: stop that one with `shoal down`, or use another home with --home", .path.display())]
    Locked {
        /// The store's folder.
        path: PathBuf,
    },
    /// The bytes on the disk are not what was written.
    #[error(
        "{} is damaged ({what}): check the disk, then put the home back from a backup, or move it away to start afresh",
        .path.display()
    )]
    Corrupt {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// No space is left.
    #[error("no space is left on the disk of {}: free some and try again", .path.display())]
    DiskFull {
        /// What was written.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The answer of the operating system.
        source: io::Error,
    },
    /// No share has this link id.
    #[error("no share has this id: `shoal shares` lists them")]
    NoShare,
    /// The artefact is not there.
    #[error("{} is missing: share the files again", .path.display())]
    NoArtefact {
        /// Where it should be.
        path: PathBuf,
    },
    /// A value that is stored is over its limit; a mistake of the caller.
    #[error("{what} is over its limit of {limit_bytes} bytes")]
    TooBig {
        /// What is too big.
        what: &'static str,
        /// The limit.
        limit_bytes: usize,
    },
}

/// An answer of the operating system about `path`.
pub(crate) fn io_error(doing: &'static str, path: &Path, source: io::Error) -> StoreError {
    let path = path.to_path_buf();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull { path },
        _ => StoreError::Io {
            doing,
            path,
            source,
        },
    }
}

/// An answer of sled about the database at `path`.
pub(crate) fn sled_error(path: &Path, error: sled::Error) -> StoreError {
    match error {
        // sled has no variant for a held lock, only this sentence.
        sled::Error::Io(source) if source.to_string().contains("could not acquire lock") => {
            StoreError::Locked {
                path: path.to_path_buf(),
            }
        }
        sled::Error::Io(source) => io_error("use", path, source),
        other => StoreError::Corrupt {
            path: path.to_path_buf(),
            what: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let full = io_error("write", Path::new("/h"), io::ErrorKind::StorageFull.into());
        assert!(matches!(full, StoreError::DiskFull { .. }));
        let other = io_error(
            "write",
            Path::new("/h"),
            io::ErrorKind::PermissionDenied.into(),
        );
        assert_eq!(other.to_string(), "cannot write /h: permission denied");
    }
}
