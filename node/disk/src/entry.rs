//! What a walk finds: a tree of entries in snapshot order, and what could not be taken along.

use crate::roots::SourceRoot;
use crate::stamp::Stamp;
use shoal_protocol::manifest::Shape;
use shoal_protocol::path::{PathError, RelPath};

/// What is to be shared.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Name of the share: of the folder, of the file, or as the caller said.
    pub name: String,
    /// One file, or a folder.
    pub shape: Shape,
    /// Where the entries are on disk; give them to [`crate::Sources::open`].
    pub roots: Vec<SourceRoot>,
    /// In snapshot order (by path, component by component).
    pub entries: Vec<Entry>,
    /// Bytes of all regular files; at most `i64::MAX`.
    pub total_bytes: u64,
    /// What was found and is not in `entries`, sorted by path.
    pub problems: Vec<Problem>,
}

/// One path of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the share's root.
    pub path: RelPath,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Permission bits, at most 0o777.
    pub mode: u32,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file, and how it looked when it was found.
    File(Stamp),
    /// A folder.
    Folder,
    /// A symbolic link that stays inside the tree.
    Symlink {
        /// Where it points.
        target: String,
    },
}

/// Something that cannot be shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path below the share's root, as the file system has it.
    pub path: Vec<u8>,
    /// Why.
    pub kind: ProblemKind,
}

/// Why something cannot be shared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The home of the node, with its key.
    #[error("it is Shoal's own home, with this device's key")]
    OwnHome,
    /// A named pipe.
    #[error("it is a FIFO (named pipe), not a file")]
    Fifo,
    /// A Unix socket.
    #[error("it is a socket, not a file")]
    Socket,
    /// A block or character device, or something unknown.
    #[error("it is a device, not a file")]
    Device,
    /// The name is not UTF-8, so that other systems could not have it.
    #[error("its name is not UTF-8; rename it")]
    NotUtf8,
    /// The name or the path is over the limits.
    #[error("{0}; shorten it")]
    Path(PathError),
    /// The file or folder may not be read.
    #[error("permission denied; check its owner and mode")]
    Unreadable,
    /// The link points outside, or climbs with '..' after its first name.
    #[error("it is a symbolic link that leads out of the shared folder")]
    SymlinkLeaves,
    /// The link's target is not UTF-8.
    #[error("it is a symbolic link whose target is not UTF-8")]
    SymlinkNotUtf8,
    /// Another disk or file system is mounted there.
    #[error("another file system is mounted there; add it by itself")]
    OtherFileSystem,
    /// The root of another fileset.
    #[error("it is the root of another fileset, which is kept the same by itself")]
    NestedRoot,
    /// Its name is `.shoal`, which is Shoal's own.
    #[error("its name belongs to Shoal; rename it")]
    Reserved,
    /// It turned into something else between two looks.
    #[error("it changed while it was looked at; share again when nothing writes to it")]
    Changing,
    /// Anything else that the system said.
    #[error("{0}")]
    Io(String),
}

impl Tree {
    /// Regular files in snapshot order: index among the entries, entry, and stamp.
    pub fn files(&self) -> impl Iterator<Item = (usize, &Entry, &Stamp)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| match &entry.kind {
                EntryKind::File(stamp) => Some((index, entry, stamp)),
                _ => None,
            })
    }
}
