//! What the machine asks for.

use super::applied::Stamp;
use super::batch::Batch;
use super::event::{RootProblem, Scope};
use super::message::Message;
use super::version::Dot;
use crate::id::{ContentHash, DeviceId};
use crate::path::RelPath;

/// Something to do. Actions of one call are done in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write rows; see [`Batch`].
    Persist(Batch),
    /// Send to a connected peer.
    Send {
        /// To whom.
        peer: DeviceId,
        /// What; encoded by [`Message::encode`].
        message: Message,
    },
    /// Close the connection: the peer does not keep to the protocol.
    Disconnect {
        /// Which peer.
        peer: DeviceId,
        /// Why, for people.
        why: &'static str,
    },
    /// Bring content into staging.
    Fetch {
        /// Which.
        content: ContentHash,
        /// Its length.
        size_bytes: u64,
        /// Who may have it, the most likely first.
        from: Vec<DeviceId>,
    },
    /// The content is not wanted any more: stop fetching, drop it from staging.
    Unstage(ContentHash),
    /// Nothing is under way: whatever is left in staging may be dropped.
    ClearStaging,
    /// Change the tree, in this order.
    Apply(Vec<Op>),
    /// Look at the disk.
    Look {
        /// How much.
        scope: Scope,
        /// For [`Scope::Folders`]: which; none is the root. A folder that is gone is looked at through its parent.
        folders: Vec<Option<RelPath>>,
    },
    /// Something for people and programs that watch.
    Report(Report),
}

/// Number of an operation, unique since the machine was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// One change of the tree. It is done only when `expect` holds right before, else it is [`Outcome::Changed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// Its number.
    pub id: OpId,
    /// Where. Parent folders are there, or an earlier operation makes them.
    pub path: RelPath,
    /// What must be there.
    pub expect: Expect,
    /// What to do.
    pub kind: OpKind,
}

/// What must be at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Nothing. On file systems that fold names, a name that is there in another form is [`Outcome::Taken`], except
    /// when it is the very source of a move.
    Absent,
    /// A file with this stamp ([`Stamp::same_bytes`], and the mode).
    File(Stamp),
    /// A symbolic link with this target.
    Symlink(String),
    /// A folder.
    Folder,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpKind {
    /// Put a file there, atomically over what is expected (a file, a symbolic link or nothing).
    Write {
        /// Its content.
        content: ContentHash,
        /// Its length.
        size_bytes: u64,
        /// Where the bytes are.
        source: Source,
        /// Its times and mode.
        attributes: Attributes,
    },
    /// Rename a file or symbolic link to `path`, atomically over what is expected there; or a folder, with all that is in it,
    /// to another form of its own name, on a file system that takes the two for one.
    Move {
        /// From where.
        from: RelPath,
        /// What must be there.
        from_expect: Expect,
        /// Times and mode to set.
        attributes: Attributes,
    },
    /// Keep the bytes of the file at `path` in staging as well (a hard link, or else a copy), because the path is about to be
    /// overwritten and another path needs them. `path` itself is not changed; the stamp in `Done` is its new one.
    Stage {
        /// Its content.
        content: ContentHash,
    },
    /// Make a folder.
    Folder {
        /// Permission bits.
        mode: u32,
    },
    /// Make a symbolic link, atomically over what is expected (a file, a symbolic link or nothing).
    Symlink {
        /// Where it points.
        target: String,
    },
    /// Set times (not of folders) and mode.
    Attributes(Attributes),
    /// Remove the file, symbolic link or empty folder.
    Remove,
}

/// Where bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Staging; the staged file is used up.
    Staged,
    /// Nowhere: the file is empty.
    Empty,
    /// Another file of the tree: copy it, and verify the hash.
    Local {
        /// Where it is.
        path: RelPath,
        /// What it must be.
        stamp: Stamp,
    },
}

/// Times and mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits.
    pub mode: u32,
    /// Modification time, nanoseconds since 1970 UTC.
    pub mtime_ns: i64,
}

/// What came of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done and durable. The stamp of what is at `path` now; none after a removal.
    Done(Option<Stamp>),
    /// What is there is not what was expected (or a parent folder is not there): nothing was done.
    Changed,
    /// The name is taken by one that the file system thinks equal (case, normal form).
    Taken,
    /// The folder to remove has something in it.
    NotEmpty,
    /// The file system cannot have this name or kind.
    Impossible,
    /// The bytes are not where they should be.
    NoContent,
    /// It went wrong.
    Failed(Failure),
}

/// What went wrong with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No space, quota, or the free-space floor.
    NoSpace,
    /// Not permitted, or read-only.
    Denied,
    /// An input or output error.
    Io,
}

/// Something for people and programs that watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A path is in conflict; the loser is (or will be) seen at the second path.
    Conflict {
        /// Where.
        path: RelPath,
        /// Where the other version is.
        copy: RelPath,
    },
    /// A problem at one path; the rest goes on. It is tried again.
    Problem {
        /// Where.
        path: RelPath,
        /// What.
        problem: Problem,
    },
    /// Nothing goes on before a person decides.
    Halted(Halt),
    /// It goes on again.
    Resumed,
    /// Entries of a removed device were refused.
    Quarantined(Dot),
    /// This home was restored from a backup: it goes on as a new author.
    NewEpoch(u32),
    /// All that is known is materialised.
    UpToDate,
}

/// A problem at one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Another path has a name that this file system thinks equal.
    Twin,
    /// This file system cannot have the name or kind.
    Impossible,
    /// A folder was deleted elsewhere, but has files here that are not part of the fileset.
    NotEmpty,
    /// Its content is with no peer that is connected.
    NoContent,
    /// The disk.
    Disk(Failure),
}

/// Why a fileset stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// The root is not there.
    Root(RootProblem),
    /// The root is suddenly empty.
    Emptied,
    /// More than half, and at least 50, of the paths are gone at once.
    MassDeletion {
        /// How many are gone.
        gone: u64,
        /// Of how many.
        of: u64,
    },
    /// A peer brings the deletion of more than half, and at least 50, of the paths, that nobody confirmed.
    RemoteDeletion {
        /// How many would go.
        gone: u64,
        /// Of how many.
        of: u64,
    },
}
