//! Open files, kept for the next request.

use crate::source::{SourceError, SourceFile};
use lru::LruCache;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files that a cache keeps open.
pub const SOURCE_CACHE_MAX_FILES: usize = 64;

/// The files read last, open, by a key of the caller's (say share and index). Shared by threads.
#[derive(Debug)]
pub struct SourceCache<K: Hash + Eq> {
    files: Mutex<LruCache<K, Arc<SourceFile>>>,
}

impl<K: Hash + Eq + Clone> Default for SourceCache<K> {
    fn default() -> Self {
        let capacity = NonZeroUsize::new(SOURCE_CACHE_MAX_FILES).unwrap_or(NonZeroUsize::MIN);
        Self {
            files: Mutex::new(LruCache::new(capacity)),
        }
    }
}

impl<K: Hash + Eq + Clone> SourceCache<K> {
    /// The file with this key, opened by `open` if it is not at hand.
    ///
    /// A file at hand is checked by every read, not here. Two threads that miss at once both open;
    /// the later one is kept.
    ///
    /// # Errors
    /// What `open` says; nothing is kept then.
    pub fn file(
        &self,
        key: &K,
        open: impl FnOnce() -> Result<SourceFile, SourceError>,
    ) -> Result<Arc<SourceFile>, SourceError> {
        if let Some(file) = self.lock().get(key) {
            return Ok(file.clone());
        }
        let file = Arc::new(open()?);
        self.lock().put(key.clone(), file.clone());
        Ok(file)
    }

    /// Closes a file, as after a read that said `Changed` or `Gone`.
    pub fn forget(&self, key: &K) {
        self.lock().pop(key);
    }

    /// Closes the files whose keys `keep` refuses, as when a share stops.
    pub fn retain(&self, keep: impl Fn(&K) -> bool) {
        let mut files = self.lock();
        let dropped: Vec<K> = files
            .iter()
            .filter(|(key, _)| !keep(key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in &dropped {
            files.pop(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<K, Arc<SourceFile>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
