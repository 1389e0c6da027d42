//! The paths that a person names, found and opened, and why they cannot be shared.

use crate::entry::ProblemKind;
use crate::roots::SourceRoot;
use crate::stamp::Stamp;
use shoal_jail::{Jail, JailError};
use shoal_protocol::limits::MANIFEST_MAX_ENTRIES;
use shoal_protocol::path::PathError;
use std::io;
use std::path::{Path, PathBuf};

/// Why nothing can be shared at all.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// No path was named.
    #[error("nothing to share was named")]
    NoRoots,
    /// A named path does not exist, or is a symlink to nothing.
    #[error("{0:?} does not exist; check the spelling")]
    NotFound(PathBuf),
    /// A named path is the home of the node, or in it.
    #[error("{0:?} is in Shoal's own home, with this device's key; share something else")]
    OwnHome(PathBuf),
    /// A named path may not be read.
    #[error("{0:?} may not be read; check its owner and mode")]
    Permission(PathBuf),
    /// A named path is a FIFO, socket or device.
    #[error("{path:?} cannot be shared: {kind}; share a file or a folder")]
    NotAFile {
        /// What was named.
        path: PathBuf,
        /// What it is.
        kind: ProblemKind,
    },
    /// The name of a named path is not UTF-8.
    #[error("the name of {0:?} is not UTF-8; rename it")]
    NotUtf8(PathBuf),
    /// `/` has no name that a share could have.
    #[error("{0:?} has no name; say one with --name")]
    NoName(PathBuf),
    /// The name for the share is no file name.
    #[error("{name:?} cannot be a share's name: {reason}; say another with --name")]
    BadName {
        /// The name.
        name: String,
        /// Why.
        reason: PathError,
    },
    /// Two named paths end in the same name.
    #[error(
        "{0:?} is named twice; share what has the same name one by one, or from the folder above"
    )]
    Duplicate(String),
    /// More entries than a manifest holds.
    #[error("there are more than {MANIFEST_MAX_ENTRIES} files and folders; share them in parts")]
    TooMany,
    /// Sizes that add up to more than `i64::MAX` bytes.
    #[error("the files are larger together than any disk; share them in parts")]
    TooLarge,
    /// Anything else that the system said.
    #[error("{path:?} cannot be read: {source}")]
    Io {
        /// What was read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A named path, found and opened.
pub(crate) struct Root {
    pub(crate) given: PathBuf,
    pub(crate) name: Option<String>,
    pub(crate) jail: Jail,
    dir: PathBuf,
    file: Option<String>,
    pub(crate) kind: RootKind,
}

pub(crate) enum RootKind {
    File(Stamp, u32),
    Folder { mtime_ns: i64, mode: u32 },
}

impl Root {
    /// Whether it is this folder, or below it.
    pub(crate) fn is_in(&self, dir: &Path) -> bool {
        self.dir.starts_with(dir)
    }

    pub(crate) fn source(&self, prefix: Option<String>) -> SourceRoot {
        SourceRoot {
            prefix,
            dir: self.dir.clone(),
            file: self.file.clone(),
        }
    }
}

pub(crate) fn resolve(given: &Path) -> Result<Root, WalkError> {
    let real = given.canonicalize().map_err(|error| told(given, error))?;
    let name = match given.file_name().or_else(|| real.file_name()) {
        Some(name) => Some(
            name.to_str()
                .ok_or_else(|| WalkError::NotUtf8(given.to_owned()))?
                .to_owned(),
        ),
        None => None,
    };
    let jailed = |error: JailError| told(given, error.into());
    let meta = std::fs::metadata(&real).map_err(|error| told(given, error))?;
    if meta.is_dir() {
        let jail = Jail::open(&real).map_err(jailed)?;
        jail.open_dir("").map_err(jailed)?;
        let meta = jail.metadata("").map_err(jailed)?;
        let kind = RootKind::Folder {
            mtime_ns: meta.mtime_ns,
            mode: meta.mode & 0o777,
        };
        return Ok(Root {
            given: given.to_owned(),
            name,
            jail,
            dir: real,
            file: None,
            kind,
        });
    }
    if let Some(kind) = special(&meta) {
        return Err(WalkError::NotAFile {
            path: given.to_owned(),
            kind,
        });
    }
    let (Some(dir), Some(file)) = (real.parent(), real.file_name()) else {
        return Err(WalkError::NoName(given.to_owned()));
    };
    let file = file
        .to_str()
        .ok_or_else(|| WalkError::NotUtf8(given.to_owned()))?
        .to_owned();
    let jail = Jail::open(dir).map_err(jailed)?;
    // Opened only to learn whether it may be read.
    jail.open_read(&file).map_err(jailed)?;
    let meta = jail.metadata(&file).map_err(jailed)?;
    let kind = RootKind::File(Stamp::from(&meta), meta.mode & 0o777);
    Ok(Root {
        given: given.to_owned(),
        name,
        jail,
        dir: dir.to_owned(),
        file: Some(file),
        kind,
    })
}

fn special(meta: &std::fs::Metadata) -> Option<ProblemKind> {
    use std::os::unix::fs::FileTypeExt;
    let kind = meta.file_type();
    match kind {
        _ if kind.is_file() => None,
        _ if kind.is_fifo() => Some(ProblemKind::Fifo),
        _ if kind.is_socket() => Some(ProblemKind::Socket),
        _ => Some(ProblemKind::Device),
    }
}

pub(crate) fn told(path: &Path, source: io::Error) -> WalkError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => WalkError::NotFound(path),
        io::ErrorKind::PermissionDenied => WalkError::Permission(path),
        _ => WalkError::Io { path, source },
    }
}
