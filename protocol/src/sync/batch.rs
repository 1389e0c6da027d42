//! What is written down at once.

use super::applied::Applied;
use super::entry::Entry;
use super::names::Folded;
use super::version::{AuthorId, Seen};
use crate::path::RelPath;

/// Number of a batch; grows by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// Rows to write: all or none. Later batches never become durable before earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// For [`Event::Persisted`](super::Event::Persisted).
    pub id: BatchId,
    /// New sets of maximal entries. The store drops the old set of each path, and with it its rows by author.
    pub entries: Vec<EntrySet>,
    /// New and removed rows of `applied`.
    pub applied: Vec<AppliedChange>,
    /// Authors of whom more was seen; replaces the row.
    pub knowledge: Vec<(AuthorId, Seen)>,
    /// The machine's own row, when it changed.
    pub meta: Option<Meta>,
}

/// The maximal entries of a path, in the order of their dots. Empty means: forget the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntrySet {
    /// The path.
    pub path: RelPath,
    /// Its entries.
    pub maximal: Vec<Entry>,
}

/// A change of what is materialised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedChange {
    /// The path on the disk.
    pub path: RelPath,
    /// What it has in common with its twins, for [`Index::applied_folded`](super::Index::applied_folded): a row that lives as
    /// long as the path's own. None on replicas that fold no names, and they pay nothing for it.
    pub folded: Option<Folded>,
    /// The new row; none when nothing of ours is there any more.
    pub row: Option<Applied>,
}

/// What the machine keeps about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Who this device is as an author.
    pub author: AuthorId,
    /// Number of its last entry; 0 before the first.
    pub last_seq: u64,
    /// Starts of the program in which it wrote entries in this epoch, oldest first.
    pub incarnations: Vec<Incarnation>,
    /// Highest own number that some peer has confirmed to know from us.
    pub confirmed_seq: u64,
}

/// A start of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incarnation {
    /// First number written in it.
    pub first_seq: u64,
    /// Its random number.
    pub nonce: u64,
}
