//! Notices that wait for their receiver, kept in the store, so that a restart forgets none.

use serde::{Deserialize, Serialize};
use shoal_store::{Durability, Store};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Notices that wait or are on their way at a time; more are dropped, and the log says so.
pub(super) const WAITING_MAX: usize = 64;

/// A notice that was not taken yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// Where to.
    pub(super) url: String,
    /// The same for each try.
    pub(super) id: String,
    /// JSON.
    pub(super) body: String,
    /// Tries that failed.
    pub(super) tried: usize,
}

/// A place in the queue, with a row of the store each.
#[derive(Clone)]
pub(super) struct Queue {
    store: Store,
    free: Arc<Mutex<BTreeSet<usize>>>,
}

impl Queue {
    /// What an earlier run left, and the places that are free. Reads the store.
    pub(super) fn open(store: Store) -> (Self, Vec<(usize, Waiting)>) {
        let mut left = Vec::new();
        let mut free = BTreeSet::new();
        for place in 0..WAITING_MAX {
            let row = store.setting(&row(place)).ok().flatten();
            match row.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                Some(waiting) => left.push((place, waiting)),
                None => {
                    free.insert(place);
                }
            }
        }
        let free = Arc::new(Mutex::new(free));
        (Self { store, free }, left)
    }

    /// Takes a place; none if all are taken.
    pub(super) fn add(&self, waiting: &Waiting) -> Option<usize> {
        let place = self.free().pop_first()?;
        self.keep(place, waiting);
        Some(place)
    }

    /// Writes a try down. What cannot be kept is still sent by this run.
    pub(super) fn keep(&self, place: usize, waiting: &Waiting) {
        let bytes = serde_json::to_vec(waiting).unwrap_or_default();
        let kept = self
            .store
            .put_setting(&row(place), &bytes, Durability::Lazy);
        if let Err(error) = kept {
            tracing::warn!(%error, "a notice would be lost with this process");
        }
    }

    /// It was taken, or given up.
    pub(super) fn done(&self, place: usize) {
        if let Err(error) = self.store.remove_setting(&row(place), Durability::Lazy) {
            tracing::warn!(%error, "a notice may be sent again");
        }
        self.free().insert(place);
    }

    fn free(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn row(place: usize) -> String {
    format!("notice-{place:02}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn waiting(n: usize) -> Waiting {
        Waiting {
            url: "http://h".to_owned(),
            id: format!("msg_{n}"),
            body: "{}".to_owned(),
            tried: n,
        }
    }

    #[test]
    fn what_waits_outlives_a_restart_and_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (queue, left) = Queue::open(store.clone());
        assert!(left.is_empty());
        for n in 0..WAITING_MAX {
            assert_eq!(queue.add(&waiting(n)), Some(n));
        }
        assert_eq!(queue.add(&waiting(99)), None);
        queue.done(3);
        queue.done(5);
        assert_eq!(queue.add(&waiting(100)), Some(3));
        let (queue, left) = Queue::open(store);
        assert_eq!(left.len(), WAITING_MAX - 1);
        assert!(left.contains(&(3, waiting(100))));
        assert_eq!(queue.add(&waiting(101)), Some(5));
    }
}
