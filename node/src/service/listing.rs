//! What a link holds, from the walk on: entries, and how to open them.

use shoal_disk::{
    Entry, EntryKind, SourceCache, SourceError, SourceFile, SourceRoot, Sources, Stamp, Tree,
};
use shoal_gateway::port::{Row, RowKind};
use shoal_protocol::manifest::Shape;
use shoal_protocol::path::RelPath;
use std::sync::{Arc, OnceLock};

/// Entries in snapshot order, and the open roots that they are in.
pub(crate) struct Listing {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) entries: Vec<Entry>,
    pub(crate) total_bytes: u64,
    sources: Sources,
    cache: SourceCache<usize>,
    rows: OnceLock<Arc<[Row]>>,
}

impl Listing {
    /// Of a tree that was just walked.
    pub(crate) fn of_tree(tree: &Tree) -> Result<Self, SourceError> {
        Self::new(
            tree.name.clone(),
            tree.shape,
            tree.entries.clone(),
            &tree.roots,
        )
    }

    pub(crate) fn new(
        name: String,
        shape: Shape,
        entries: Vec<Entry>,
        roots: &[SourceRoot],
    ) -> Result<Self, SourceError> {
        let sizes = entries
            .iter()
            .filter_map(|entry| stamp(entry).map(|stamp| stamp.size));
        Ok(Self {
            total_bytes: sizes.sum(),
            name,
            shape,
            entries,
            sources: Sources::open(roots)?,
            cache: SourceCache::default(),
            rows: OnceLock::new(),
        })
    }

    pub(crate) fn find(&self, path: &RelPath) -> Option<usize> {
        self.entries
            .binary_search_by(|entry| entry.path.cmp(path))
            .ok()
    }

    pub(crate) fn entry(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// Opens a file; one that stays open is taken from the cache, and still checked.
    pub(crate) fn open(&self, index: usize) -> Result<Arc<SourceFile>, SourceError> {
        let entry = self.entries.get(index).ok_or(SourceError::Gone)?;
        let stamp = stamp(entry).ok_or(SourceError::Changed)?;
        let file = self
            .cache
            .file(&index, || self.sources.file(&entry.path, stamp))?;
        match file.check() {
            Ok(()) => Ok(file),
            Err(error) => {
                self.cache.forget(&index);
                Err(error)
            }
        }
    }

    pub(crate) fn files(&self) -> u64 {
        self.entries
            .iter()
            .filter(|entry| stamp(entry).is_some())
            .count() as u64
    }

    /// As the gateway lists them; made once.
    pub(crate) fn rows(&self) -> Arc<[Row]> {
        self.rows
            .get_or_init(|| self.entries.iter().map(row).collect())
            .clone()
    }
}

/// The stamp of a regular file.
pub(crate) fn stamp(entry: &Entry) -> Option<&Stamp> {
    match &entry.kind {
        EntryKind::File(stamp) => Some(stamp),
        _ => None,
    }
}

fn row(entry: &Entry) -> Row {
    Row {
        path: entry.path.clone(),
        kind: match &entry.kind {
            EntryKind::File(stamp) => RowKind::File { size: stamp.size },
            EntryKind::Folder => RowKind::Folder,
            EntryKind::Symlink { target } => RowKind::Symlink {
                target: target.clone(),
            },
        },
        mtime_ns: entry.mtime_ns,
        mode: entry.mode,
    }
}
