//! What the machine is told.

use super::action::{OpId, Outcome};
use super::applied::Stamp;
use super::batch::BatchId;
use super::message::Message;
use super::version::AuthorId;
use crate::id::{ContentHash, DeviceId};
use crate::path::RelPath;

/// The two clocks, read by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds that only grow, for waiting.
    pub monotonic_ms: u64,
    /// Nanoseconds since 1970 UTC, which may jump: only for the time shown with a deletion.
    pub wall_ns: i64,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A look at the disk.
    Scan(Scan),
    /// An authenticated member of the fileset can be talked to: what is sent arrives in order, or the peer is gone.
    PeerConnected(DeviceId),
    /// It cannot be talked to any more.
    PeerGone(DeviceId),
    /// A message, decoded by [`Message::decode`]. A driver closes the connection to a peer whose message does not decode.
    Received {
        /// From whom.
        peer: DeviceId,
        /// What.
        message: Message,
    },
    /// These contents are in staging, verified. All that came at one time is best told at one time.
    Fetched(Vec<ContentHash>),
    /// No peer that was asked could give it.
    FetchFailed {
        /// Which content.
        content: ContentHash,
        /// Why.
        why: FetchFailure,
    },
    /// Operations were done (durably) or not done.
    Applied(Vec<(OpId, Outcome)>),
    /// A batch, and all before it, survives a power cut.
    Persisted(BatchId),
    /// The time of [`Machine::next_tick`](super::Machine::next_tick) has come. One too many does no harm.
    Tick,
    /// A person wants something.
    Command(Command),
}

/// A look at the disk, step by step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scan {
    /// A look begins; nothing has been looked at yet.
    Started(Scope),
    /// What is in a part of a folder.
    Page(Page),
    /// The look is complete.
    Finished,
    /// The look ended early, for this reason; what pages told stays true.
    Failed(RootProblem),
}

/// How much a look covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The whole tree.
    Everything,
    /// Some folders, without what is below them unless they are new.
    Folders,
}

/// What is in a part of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The folder; none for the root.
    pub folder: Option<RelPath>,
    /// The part begins after this name; none: at the start.
    pub after: Option<String>,
    /// The part ends with this name; none: at the end.
    pub upto: Option<String>,
    /// All that is there, in any order.
    pub found: Vec<Found>,
}

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name. On file systems that rewrite names (NFD), the name that the replica gave it, or else NFC.
    pub name: String,
    /// What it is.
    pub kind: FoundKind,
    /// What the disk says of it, the same before and after its bytes were read.
    pub stamp: Stamp,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundKind {
    /// A regular file.
    File {
        /// BLAKE3 of its bytes.
        content: ContentHash,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: String,
    },
    /// Something that cannot be told at the moment (unreadable, changing while it is read) or ever (FIFO, socket, a link that
    /// is not UTF-8): nothing is concluded about this path nor what is below.
    Unknown,
}

/// Why the root cannot be looked at. All of these halt the fileset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootProblem {
    /// The folder is gone or cannot be read.
    Missing,
    /// The folder is there, but without the mark (`.shoal`) of this fileset: an unmounted disk, or another folder.
    Unmarked,
}

/// Why content did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchFailure {
    /// No peer has it now.
    NotThere,
    /// Connections broke.
    Broken,
    /// No space here.
    NoSpace,
}

/// What a person wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Neither send, nor take, nor apply.
    Pause,
    /// Go on.
    Resume,
    /// After [`Halt::MassDeletion`](super::Halt::MassDeletion) or an emptied root: the deletion is meant.
    ConfirmDeletion,
    /// After such a halt: bring back what is gone.
    RestoreDeleted,
    /// After any other halt: the cause is gone, look again.
    Retry,
    /// Settles a conflict.
    Settle {
        /// The path in conflict.
        path: RelPath,
        /// Whose version stays, by the path where it is seen: the path itself or that of a copy. The others become deleted.
        keep: RelPath,
    },
    /// A member was removed: entries by its authors above these numbers are refused; authors that are not named are refused
    /// altogether. Given again at every start.
    Removed {
        /// The device.
        device: DeviceId,
        /// Last number accepted, by author.
        accepted: Vec<(AuthorId, u64)>,
    },
    /// A device is a member, perhaps again after a removal: its entries are taken, also those that were refused before. To be
    /// given before anything comes from it.
    Readmitted(DeviceId),
}
