//! The one port that the machine pulls from.

use super::applied::Applied;
use super::batch::Meta;
use super::entry::Entry;
use super::names::Folded;
use super::version::{AuthorId, Knowledge};
use crate::id::ContentHash;
use crate::path::RelPath;

/// The index could not be read: the driver drops the machine and all actions of that call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the index of the fileset cannot be read: {0}")]
pub struct IndexError(pub String);

/// What a read gives.
pub type Read<T> = Result<T, IndexError>;

/// A part of the paths, in their order ([`RelPath`]'s: a folder right before what is in it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span<'a> {
    /// Only what is below this path, itself excluded; none means everything.
    pub below: Option<&'a RelPath>,
    /// Only what comes after this path.
    pub after: Option<&'a RelPath>,
}

/// The rows that batches wrote. Every batch that was handed out counts, durable or not.
///
/// Nothing here needs a whole fileset in memory; limits count rows (paths, for [`Index::entries_in`]).
///
/// # Errors
/// Every call fails when the store cannot be read.
pub trait Index {
    /// The maximal entries of a path, in the order of their dots.
    fn entries(&self, path: &RelPath) -> Read<Vec<Entry>>;
    /// The maximal entries of up to `limit` paths in order; a path's set is never cut.
    fn entries_in(&self, span: Span<'_>, limit: usize) -> Read<Vec<Entry>>;
    /// Maximal entries by an author with numbers above `after_seq`, ascending. A restored device may have given a number twice, to
    /// one path or to several: entries under one number are never cut, so that there may be some more than `limit`.
    fn authored(&self, author: AuthorId, after_seq: u64, limit: usize) -> Read<Vec<Entry>>;
    /// For each author of a maximal entry, the highest number among its maximal entries.
    fn heads(&self) -> Read<Vec<(AuthorId, u64)>>;
    /// What is materialised at a path of the disk.
    fn applied(&self, path: &RelPath) -> Read<Option<Applied>>;
    /// What is materialised, in order.
    fn applied_in(&self, span: Span<'_>, limit: usize) -> Read<Vec<(RelPath, Applied)>>;
    /// What is materialised right in a folder (none: the root), by name, from after the name `after` on.
    fn applied_children(
        &self,
        folder: Option<&RelPath>,
        after: Option<&str>,
        limit: usize,
    ) -> Read<Vec<(RelPath, Applied)>>;
    /// Paths of the disk where a file with this content is materialised.
    fn applied_content(&self, content: &ContentHash, limit: usize) -> Read<Vec<RelPath>>;
    /// Paths of the disk whose stamp has this inode (which is never 0).
    fn applied_inode(&self, inode: u64, limit: usize) -> Read<Vec<RelPath>>;
    /// Paths of the disk that were materialised with this [`AppliedChange::folded`](super::AppliedChange::folded).
    fn applied_folded(&self, folded: &Folded, limit: usize) -> Read<Vec<RelPath>>;
    /// How many paths are materialised.
    fn applied_count(&self) -> Read<u64>;
    /// What has been seen of every author.
    fn knowledge(&self) -> Read<Knowledge>;
    /// The machine's own row; none before its first batch.
    fn meta(&self) -> Read<Option<Meta>>;
}

/// A key whose order as bytes is the order of paths: NUL, which no name has, for the separator. What is below a
/// folder starts with the folder's key and a NUL.
pub fn key(path: &RelPath) -> Vec<u8> {
    path.as_str()
        .bytes()
        .map(|byte| if byte == b'/' { 0 } else { byte })
        .collect()
}
