//! What a replica has materialised, path by path: the base of every comparison with the disk.

use super::entry::Kind;
use super::index::{Index, Read};
use super::names::Names;
use super::version::VersionVector;
use crate::id::ContentHash;
use crate::path::RelPath;

/// What the disk said of a path. Two equal stamps mean unchanged bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    /// Length in bytes; 0 for what is no file.
    pub size_bytes: u64,
    /// Modification time as the file system keeps it, nanoseconds since 1970 UTC.
    pub mtime_ns: i64,
    /// Time of the last change of the inode, nanoseconds since 1970 UTC; 0 where there is none.
    pub ctime_ns: i64,
    /// Inode or file id; 0 where there is none.
    pub inode: u64,
    /// Permission bits as the file system shows them.
    pub mode: u32,
}

/// Why a replica has something at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It is the winner at this very path.
    Main,
    /// It is the projection of a conflict's loser; the path is the one in conflict.
    Copy {
        /// The path in conflict.
        of: RelPath,
    },
    /// A folder that no entry asks for, needed by what is in it.
    Implied,
}

/// One row: what is materialised at a path of the disk. `kind` is never a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// What was written.
    pub kind: Kind,
    /// Permission bits that the entry asks for (the disk may not be able to show them).
    pub mode: u32,
    /// Modification time that the entry asks for, nanoseconds since 1970 UTC.
    pub mtime_ns: i64,
    /// What the disk said right after, or at the last scan.
    pub stamp: Stamp,
    /// What has been seen by whoever looks at this file: its entry and all that it absorbed.
    pub version: VersionVector,
    /// Why it is there.
    pub role: Role,
}

/// What the replica's file system can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// Permission bits that come back as they were set: `0o777` on Unix, 0 on FAT.
    pub mode_bits: u32,
    /// Whether there are symbolic links.
    pub symlinks: bool,
    /// Which names are one.
    pub names: Names,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            mode_bits: 0o777,
            symlinks: true,
            names: Names::default(),
        }
    }
}

impl Stamp {
    /// Whether the bytes of a file are the same as when `self` was taken.
    ///
    /// The mode does not count: a change of mode shows in `ctime` where there is one, and changes no bytes.
    pub fn same_bytes(&self, now: &Stamp) -> bool {
        (self.size_bytes, self.mtime_ns, self.ctime_ns, self.inode)
            == (now.size_bytes, now.mtime_ns, now.ctime_ns, now.inode)
    }
}

/// The hash of a file found at `path`, when the index knows it without reading: the file is unchanged since it
/// was applied, or it sits in a folder that was renamed (equal stamps mean equal bytes, wherever they are).
///
/// A file that was renamed by itself has a new `ctime`: it is read once.
///
/// # Errors
/// When the index cannot be read.
pub fn known_content(
    index: &impl Index,
    path: &RelPath,
    stamp: &Stamp,
) -> Read<Option<ContentHash>> {
    let known = |row: &Applied| match &row.kind {
        Kind::File { content, .. } if row.stamp.same_bytes(stamp) => Some(*content),
        _ => None,
    };
    if let Some(content) = index.applied(path)?.as_ref().and_then(known) {
        return Ok(Some(content));
    }
    if stamp.inode == 0 || stamp.ctime_ns == 0 {
        return Ok(None);
    }
    for other in index.applied_inode(stamp.inode, 4)? {
        if let Some(content) = index.applied(&other)?.as_ref().and_then(known) {
            return Ok(Some(content));
        }
    }
    Ok(None)
}
