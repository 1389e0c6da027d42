//! One of the user's files, open for reading and watched for changes.

use crate::stamp::Stamp;
use shoal_jail::{Jail, JailError, JailErrorKind};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Why a shared file cannot be read. The caller knows which file it is.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Size, times or inode differ from when the file was hashed, or something else has its name.
    #[error("the file was changed since it was shared; share it again")]
    Changed,
    /// Nothing has its name any more.
    #[error("the file is gone since it was shared; put it back or share again")]
    Gone,
    /// It may not be read.
    #[error("the file may not be read; check its owner and mode")]
    Permission,
    /// Anything else.
    #[error("the file cannot be read: {0}")]
    Io(#[source] io::Error),
}

/// A regular file that is open read-only, with the stamp that it must keep.
#[derive(Debug)]
pub struct SourceFile {
    file: File,
    stamp: Stamp,
}

impl SourceFile {
    /// Opens a file below a jail, without following symlinks, waiting for FIFOs or touching its access
    /// time (where the system allows that).
    ///
    /// # Errors
    /// `Changed` if it does not have this stamp; see [`SourceError`].
    pub fn open(jail: &Jail, path: &str, stamp: &Stamp) -> Result<Self, SourceError> {
        let source = Self {
            file: jail.open_read(path)?,
            stamp: *stamp,
        };
        source.check()?;
        Ok(source)
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.stamp.size
    }

    /// Fills `buf` from `offset`.
    ///
    /// The stamp is looked at after reading: if it is the old one then, it was so all along. On any
    /// error the contents of `buf` must not be used.
    ///
    /// # Errors
    /// See [`SourceError`]; reading past the end is `Io` with `UnexpectedEof`.
    pub fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.stamp.size) {
            return Err(SourceError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        match self.file.read_exact_at(buf, offset) {
            // Shorter than its stamp says: somebody cut it.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(SourceError::Changed),
            Err(error) => Err(error.into()),
            Ok(()) => self.check(),
        }
    }

    /// The open file. Nothing but its seek position may be changed.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Whether the file still has its stamp.
    ///
    /// # Errors
    /// `Gone` if it was removed, `Changed`, or `Io`.
    pub fn check(&self) -> Result<(), SourceError> {
        let meta = shoal_jail::Meta::from(&rustix::fs::fstat(&self.file).map_err(io::Error::from)?);
        // Device numbers may change when the machine starts again: they say nothing of the file.
        let now = Stamp {
            dev: self.stamp.dev,
            ..Stamp::from(&meta)
        };
        match now == self.stamp {
            true => Ok(()),
            false if meta.nlink == 0 => Err(SourceError::Gone),
            false => Err(SourceError::Changed),
        }
    }
}

impl From<JailError> for SourceError {
    fn from(error: JailError) -> Self {
        match error.kind {
            JailErrorKind::NotFound => Self::Gone,
            // A symlink, a folder or a FIFO has its place, or that of a folder above it.
            JailErrorKind::Escape(_) | JailErrorKind::WrongKind => Self::Changed,
            JailErrorKind::Permission => Self::Permission,
            _ => Self::Io(error.into()),
        }
    }
}

impl From<io::Error> for SourceError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Gone,
            io::ErrorKind::PermissionDenied => Self::Permission,
            _ => Self::Io(error),
        }
    }
}
