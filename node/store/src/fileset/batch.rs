//! A batch of the sync machine, written at once.

use super::authors::Authors;
use super::codec::{self, Number};
use super::{FilesetIndex, keys};
use crate::StoreError;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{Applied, AppliedChange, AuthorId, Batch, BatchId, Entry};
use std::collections::BTreeMap;
use std::sync::PoisonError;

impl FilesetIndex {
    /// Makes a batch visible, all of it or nothing, and calls `durable` when it survives a power cut: on the
    /// flushing thread, after those of all earlier batches. That is `Event::Persisted`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::DiskFull`] or [`StoreError::Io`]; then `durable` is not called.
    pub fn persist(
        &self,
        batch: &Batch,
        durable: impl FnOnce(Result<BatchId, StoreError>) + Send + 'static,
    ) -> Result<(), StoreError> {
        self.apply(batch)?;
        let id = batch.id;
        let store = &self.0.store;
        store.0.flusher.when_durable(
            store,
            Box::new(move |flushed| durable(flushed.map(|()| id))),
        )
    }

    /// Makes a batch visible, all of it or nothing. [`crate::Store::flush`] makes it durable.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut authors = self
            .0
            .authors
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut rows = Rows {
            authors: authors.clone(),
            batch: sled::Batch::default(),
        };
        // Of two changes of a path only the last counts: rows of the first were never written.
        let sets: BTreeMap<_, _> = batch
            .entries
            .iter()
            .map(|set| (&set.path, set.maximal.as_slice()))
            .collect();
        let mut live_growth = 0_i64;
        for (path, maximal) in sets {
            live_growth += self.put_entries(&mut rows, path, maximal)?;
        }
        let changes: BTreeMap<_, _> = batch
            .applied
            .iter()
            .map(|change| (&change.path, change))
            .collect();
        let mut growth = 0_i64;
        for change in changes.into_values() {
            growth += self.put_applied(&mut rows, change)?;
        }
        self.grow(&mut rows, keys::APPLIED_COUNT, growth)?;
        self.grow(&mut rows, keys::LIVE_COUNT, live_growth)?;
        for (author, seen) in &batch.knowledge {
            let number = rows.number(author)?;
            let key = keys::author(keys::KNOWLEDGE, number);
            rows.batch.insert(key, codec::encode_seen(seen));
        }
        if let Some(meta) = &batch.meta {
            let value = codec::encode_meta(meta, &mut rows)?;
            rows.batch.insert(keys::META, value);
        }
        let store = &self.0.store;
        let Rows {
            authors: grown,
            batch,
        } = rows;
        self.0
            .tree
            .apply_batch(batch)
            .map_err(|error| store.sled(error))?;
        *authors = grown;
        Ok(())
    }

    fn grow(&self, rows: &mut Rows, key: &[u8], growth: i64) -> Result<(), StoreError> {
        if growth != 0 {
            let count = self
                .count(key)
                .map_err(|error| self.read_failed(&error.0))?;
            let count = count.saturating_add_signed(growth);
            rows.batch.insert(key, &count.to_be_bytes());
        }
        Ok(())
    }

    /// How many live contents more there are after it.
    fn put_entries(
        &self,
        rows: &mut Rows,
        path: &RelPath,
        maximal: &[Entry],
    ) -> Result<i64, StoreError> {
        let key = keys::path(keys::ENTRIES, path);
        let before = self.old_entries(&key, path, &rows.authors)?;
        let (was, is) = (live_contents(&before), live_contents(maximal));
        let conflict = keys::path(keys::CONFLICTS, path);
        match (was > 1, is > 1) {
            (false, true) => rows.batch.insert(conflict, &[]),
            (true, false) => rows.batch.remove(conflict),
            _ => {}
        }
        for old in before {
            let dot = old.dot();
            if !maximal.iter().any(|entry| entry.dot() == dot) {
                let number = rows.number(&dot.author)?;
                rows.batch.remove(keys::sequence(number, dot.seq, path));
            }
        }
        for entry in maximal {
            let dot = entry.dot();
            let number = rows.number(&dot.author)?;
            rows.batch
                .insert(keys::sequence(number, dot.seq, path), &[]);
        }
        match maximal {
            [] => rows.batch.remove(key),
            _ => {
                let value = codec::encode_entries(maximal, rows)?;
                rows.batch.insert(key, value);
            }
        }
        Ok(is - was)
    }

    fn old_entries(
        &self,
        key: &[u8],
        path: &RelPath,
        authors: &Authors,
    ) -> Result<Vec<Entry>, StoreError> {
        let store = &self.0.store;
        match self.0.tree.get(key).map_err(|error| store.sled(error))? {
            None => Ok(Vec::new()),
            Some(value) => codec::decode_entries(path, &value, authors)
                .map_err(|_| store.corrupt("the entries of a path are broken")),
        }
    }

    /// How many rows more there are after it: 1, 0 or -1.
    fn put_applied(&self, rows: &mut Rows, change: &AppliedChange) -> Result<i64, StoreError> {
        let (path, row) = (&change.path, change.row.as_ref());
        let store = &self.0.store;
        let key = keys::path(keys::APPLIED, path);
        let old = match self.0.tree.get(&key).map_err(|error| store.sled(error))? {
            None => None,
            Some(value) => Some(
                codec::decode_applied(&value, &rows.authors)
                    .map_err(|_| store.corrupt("what is applied at a path is broken"))?,
            ),
        };
        let by = |row: Option<&Applied>| {
            let content = row
                .and_then(|row| row.kind.content())
                .map(|content| keys::content(&content, path));
            let inode = row
                .map(|row| row.stamp.inode)
                .filter(|inode| *inode != 0)
                .map(|inode| keys::inode(inode, path));
            let folded = row
                .and(change.folded.as_ref())
                .map(|folded| keys::folded(folded, path));
            [content, inode, folded]
        };
        for (old, new) in by(old.as_ref()).into_iter().zip(by(row)) {
            if old == new {
                continue;
            }
            if let Some(old) = old {
                rows.batch.remove(old);
            }
            if let Some(new) = new {
                rows.batch.insert(new, &[]);
            }
        }
        match row {
            Some(row) => {
                let value = codec::encode_applied(row, rows)?;
                rows.batch.insert(key, value);
            }
            None => rows.batch.remove(key),
        }
        Ok(i64::from(row.is_some()) - i64::from(old.is_some()))
    }

    fn read_failed(&self, what: &str) -> StoreError {
        StoreError::Corrupt {
            path: self.0.store.0.path.clone(),
            what: what.to_owned(),
        }
    }
}

/// How many different things are at a path.
fn live_contents(set: &[Entry]) -> i64 {
    let mut kinds: Vec<_> = Vec::new();
    for entry in set.iter().filter(|entry| entry.is_live()) {
        if !kinds.contains(&&entry.kind) {
            kinds.push(&entry.kind);
        }
    }
    i64::try_from(kinds.len()).unwrap_or(i64::MAX)
}

/// Rows that will be written, and the authors with their new ones.
struct Rows {
    authors: Authors,
    batch: sled::Batch,
}

impl Number for Rows {
    fn number(&mut self, author: &AuthorId) -> Result<u16, StoreError> {
        self.authors.number_or_new(author, &mut self.batch)
    }
}
