//! Filesets: which there are, and the index of each.
//!
//! An index is one sled tree, so that a batch of the sync machine is one atomic `apply_batch` (rows: see
//! [`keys`]). A batch is visible at once. It becomes durable with the next flush, which a thread of its own
//! does for all batches that wait: one flush for many.

mod authors;
mod batch;
mod codec;
mod flusher;
mod index;
mod keys;
mod registry;

#[cfg(test)]
mod tests;

pub use registry::{FilesetRow, Running};

use crate::{Store, StoreError};
use authors::Authors;
use shoal_protocol::id::FilesetId;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

pub(crate) use flusher::Flusher;

/// The index of one fileset; clones share it. It implements [`shoal_protocol::sync::Index`].
#[derive(Clone)]
pub struct FilesetIndex(Arc<Inner>);

struct Inner {
    store: Store,
    tree: sled::Tree,
    id: FilesetId,
    /// Numbers that stand for authors in rows. Also held while a batch is written, which reads before it writes.
    authors: RwLock<Authors>,
}

impl Store {
    /// Opens the index of a fileset, empty where there is none.
    ///
    /// # Errors
    /// [`StoreError::Newer`] if a newer version wrote it, [`StoreError::Corrupt`] or [`StoreError::Io`].
    pub fn fileset_index(&self, id: &FilesetId) -> Result<FilesetIndex, StoreError> {
        let tree = self
            .0
            .db
            .open_tree(keys::tree(id))
            .map_err(|error| self.sled(error))?;
        let authors = Authors::load(self, &tree)?;
        let inner = Inner {
            store: self.clone(),
            tree,
            id: *id,
            authors: RwLock::new(authors),
        };
        Ok(FilesetIndex(Arc::new(inner)))
    }
}

impl FilesetIndex {
    /// Which fileset.
    pub fn id(&self) -> &FilesetId {
        &self.0.id
    }

    /// A panic while the lock was held left no half-changed table: it changes after its rows are written.
    fn authors(&self) -> RwLockReadGuard<'_, Authors> {
        self.0
            .authors
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FilesetIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilesetIndex")
            .field("id", &self.0.id)
            .finish()
    }
}
