//! What a fileset knows of one path.

use super::version::{AuthorId, Dot, VersionVector};
use crate::id::ContentHash;
use crate::path::RelPath;

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A regular file.
    File {
        /// BLAKE3 of its bytes.
        content: ContentHash,
        /// Its length.
        size_bytes: u64,
    },
    /// A folder.
    Folder,
    /// A symbolic link; kept as text, never followed.
    Symlink {
        /// Where it points.
        target: String,
    },
    /// Nothing any more.
    Tombstone(Removal),
}

/// Why a path is gone. The brake against mass deletion counts only [`Removal::Deleted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Removal {
    /// A person or program deleted it.
    Deleted,
    /// Its content went to another path.
    Moved,
    /// It went in a mass deletion that a person confirmed, so that no other device asks again.
    Confirmed,
}

/// One version of one path, by one author. Immutable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which path, relative to the root of the fileset.
    pub path: RelPath,
    /// What is there.
    pub kind: Kind,
    /// Permission bits, at most `0o777`. 0 for tombstones and symlinks.
    pub mode: u32,
    /// Modification time, nanoseconds since 1970 UTC; of a tombstone, when the deletion was seen; of a folder 0.
    pub mtime_ns: i64,
    /// The content that this one replaced, for three-way merges.
    pub parent: Option<ContentHash>,
    /// Where the content was before, when it was renamed.
    pub moved_from: Option<RelPath>,
    /// What it has taken into account, its own dot included.
    pub version: VersionVector,
    /// Who wrote it.
    pub author: AuthorId,
}

impl Entry {
    /// Its place in its author's sequence.
    pub fn dot(&self) -> Dot {
        Dot {
            author: self.author,
            seq: self.version.of(self.author),
        }
    }

    /// Whether it has taken `other` (of the same path) into account, so that the other may be forgotten.
    ///
    /// Whoever has seen a number has seen what that entry had taken into account, so the number alone would do, if a restored device
    /// had not given some numbers twice. Of two contents under one number, neither covers the other.
    pub fn covers(&self, other: &Entry) -> bool {
        let rank = |entry: &Entry| (entry.mtime_ns, entry.mode, entry.moved_from.clone());
        let is_twin = || self.dot() == other.dot() && self.kind != other.kind;
        self.version.covers(&other.version)
            && !is_twin()
            && (self.version != other.version || rank(self) >= rank(other))
    }

    /// Whether something is there.
    pub fn is_live(&self) -> bool {
        !matches!(self.kind, Kind::Tombstone(_))
    }
}

impl Kind {
    /// The content of a file.
    pub fn content(&self) -> Option<ContentHash> {
        match self {
            Kind::File { content, .. } => Some(*content),
            _ => None,
        }
    }

    /// Whether two are the same to a reader: what differs only in times, mode or the cause of a deletion is no conflict.
    pub fn same_content(&self, other: &Kind) -> bool {
        match (self, other) {
            (Kind::Tombstone(_), Kind::Tombstone(_)) => true,
            _ => self == other,
        }
    }
}
