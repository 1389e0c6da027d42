//! Why the jail refused, or what the file system said.

use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// An operation in the jail that failed: what happened, and at which path.
///
/// The sentence shows the path escaped, so that control characters in names never reach a terminal.
#[derive(Debug, thiserror::Error)]
#[error("{path:?}: {kind}")]
pub struct JailError {
    /// The jail's directory and the path below it.
    pub path: PathBuf,
    /// What happened.
    pub kind: JailErrorKind,
}

/// What happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JailErrorKind {
    /// The path would have left the jail.
    #[error("it would lead outside its folder ({0}); nothing was touched")]
    Escape(Escape),
    /// Nothing has this name, or a folder on the way is missing.
    #[error("it does not exist")]
    NotFound,
    /// Something has this name already.
    #[error("something with this name is there already; move it away or choose another folder")]
    Exists,
    /// A folder where a file is wanted, a file where a folder is wanted, or a FIFO, socket or device.
    #[error(
        "it is not what is expected there (a file, folder or special file is in the way); move it away"
    )]
    WrongKind,
    /// A folder that should be empty is not.
    #[error("the folder is not empty")]
    NotEmpty,
    /// Disk or quota is full (ENOSPC, EDQUOT).
    #[error("the disk is full; free some space and try again")]
    NoSpace,
    /// EACCES or EPERM.
    #[error("permission denied; check who owns it and its mode")]
    Permission,
    /// The file system is mounted read-only.
    #[error("the file system is read-only; choose another folder")]
    ReadOnly,
    /// A name over 255 bytes, or a path longer than the file system takes.
    #[error("the name is too long for this file system")]
    NameTooLong,
    /// A rename across file systems.
    #[error("source and destination are on different file systems")]
    OtherFileSystem,
    /// The file system has no such operation.
    #[error("this file system cannot do that; choose another folder")]
    Unsupported,
    /// The process or the system has no file descriptors left.
    #[error("too many files are open; raise the limit (ulimit -n)")]
    TooManyOpen,
    /// Anything else.
    #[error("{0}")]
    Io(io::Error),
}

/// How a path would have left the jail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Escape {
    /// Absolute, empty, with `.`, `..`, an empty part or a NUL byte.
    #[error("the path is not a plain relative one")]
    Text,
    /// A symlink on the way, or in place of the file.
    #[error("a symbolic link is in the way")]
    Symlink,
    /// A symlink that was to be made has a target outside the jail.
    #[error("the target of the symbolic link is outside")]
    Target,
    /// The kernel saw the path leave.
    #[error("the path leaves the folder")]
    Beneath,
}

impl JailError {
    pub(crate) fn new(root: &Path, path: &str, kind: JailErrorKind) -> Self {
        let path = if path.is_empty() {
            root.to_path_buf()
        } else {
            root.join(path.trim_start_matches('/'))
        };
        Self { path, kind }
    }

    /// Whether it was an attempt to leave the jail.
    pub fn is_escape(&self) -> bool {
        matches!(self.kind, JailErrorKind::Escape(_))
    }

    /// Whether nothing has this name.
    pub fn is_not_found(&self) -> bool {
        matches!(self.kind, JailErrorKind::NotFound)
    }

    /// Whether something has this name already.
    pub fn is_exists(&self) -> bool {
        matches!(self.kind, JailErrorKind::Exists)
    }

    /// Whether the disk or a quota is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self.kind, JailErrorKind::NoSpace)
    }
}

impl From<Errno> for JailErrorKind {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::NotFound,
            Errno::EXIST => Self::Exists,
            Errno::NOTDIR | Errno::ISDIR | Errno::NXIO | Errno::NODEV => Self::WrongKind,
            Errno::NOTEMPTY => Self::NotEmpty,
            Errno::NOSPC | Errno::DQUOT => Self::NoSpace,
            Errno::ACCESS | Errno::PERM => Self::Permission,
            Errno::ROFS => Self::ReadOnly,
            Errno::NAMETOOLONG => Self::NameTooLong,
            Errno::LOOP => Self::Escape(Escape::Symlink),
            Errno::XDEV => Self::OtherFileSystem,
            Errno::MFILE | Errno::NFILE => Self::TooManyOpen,
            other => Self::Io(other.into()),
        }
    }
}

impl From<io::Error> for JailErrorKind {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(errno) => errno.into(),
            None => Self::Io(error),
        }
    }
}

impl From<JailError> for io::Error {
    fn from(error: JailError) -> Self {
        let kind = match &error.kind {
            JailErrorKind::NotFound => io::ErrorKind::NotFound,
            JailErrorKind::Exists => io::ErrorKind::AlreadyExists,
            JailErrorKind::NoSpace => io::ErrorKind::StorageFull,
            JailErrorKind::Permission | JailErrorKind::Escape(_) => io::ErrorKind::PermissionDenied,
            JailErrorKind::ReadOnly => io::ErrorKind::ReadOnlyFilesystem,
            JailErrorKind::Io(inner) => inner.kind(),
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
