//! Shares: one row each, found by link id or infohash.

use crate::share_codec::{decode, encode};
use crate::{Durability, Store, StoreError, keys};
use shoal_protocol::id::{ContentHash, InfoHash, LinkId};
use std::path::PathBuf;

/// What a home knows of one share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareRow {
    /// The link id.
    pub id: LinkId,
    /// The name that takers see.
    pub name: String,
    /// What is shared: absolute paths of files and folders.
    pub roots: Vec<PathBuf>,
    /// When it was made, seconds since 1970 UTC.
    pub created_s: u64,
    /// When it ends by itself, seconds since 1970 UTC.
    pub expires_s: Option<u64>,
    /// How many takers may have it.
    pub max_downloads: Option<u32>,
    /// Who is told that it exists.
    pub audience: Audience,
    /// A web address that is called when somebody took it.
    pub notify: Option<String>,
    /// How far it is.
    pub state: ShareState,
    /// Whether it is still given out.
    pub end: ShareEnd,
    /// The signed capability.
    pub capability: Vec<u8>,
    /// The signed content record, once hashing is done; empty before.
    pub record: Vec<u8>,
    /// What makes this link's infohash its own.
    pub salt: [u8; 16],
    /// The token in its announce path.
    pub announce_token: [u8; 16],
    /// What is kept of the password, where it has one ([`shoal_protocol::password::Verifier`]).
    pub password: Option<[u8; 32]>,
}

/// Who is told that a share exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Those who have the link.
    Link,
    /// The mainline DHT as well.
    Public,
}

/// How far a share is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareState {
    /// It is being walked and hashed.
    Counting,
    /// Everything can be served.
    Ready {
        /// Hash of the manifest.
        snapshot: ContentHash,
        /// Hash of the metainfo's info dictionary.
        infohash: InfoHash,
        /// Number of files and symlinks.
        files: u64,
        /// Sum of their sizes.
        bytes: u64,
    },
    /// It could not be read.
    Failed {
        /// The sentence that was shown.
        why: String,
    },
}

/// Whether a share is still given out. A row outlives its share, so that an old link says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareEnd {
    /// It is.
    Active,
    /// Its owner stopped it.
    Stopped {
        /// When, seconds since 1970 UTC.
        at_s: u64,
    },
    /// Its time was over.
    Expired,
    /// All its downloads were used.
    UsedUp,
}

/// Shares.
impl Store {
    /// Stores a share, new or changed.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Io`]; [`StoreError::Corrupt`] if the old row is broken.
    pub fn put_share(&self, row: &ShareRow, durability: Durability) -> Result<(), StoreError> {
        {
            let _writing = self.writing();
            let old = self.share(&row.id)?;
            self.write_share(old.as_ref(), row)?;
        }
        self.settle(durability)
    }

    /// Changes a share; nobody else changes it in between. Returns the row as it is now.
    ///
    /// `change` must not call the store, and a changed id is put back.
    ///
    /// # Errors
    /// [`StoreError::NoShare`], or as [`Store::put_share`].
    pub fn update_share(
        &self,
        id: &LinkId,
        durability: Durability,
        change: impl FnOnce(&mut ShareRow),
    ) -> Result<ShareRow, StoreError> {
        let row = {
            let _writing = self.writing();
            let old = self.share(id)?.ok_or(StoreError::NoShare)?;
            let mut row = old.clone();
            change(&mut row);
            row.id = *id;
            if row != old {
                self.write_share(Some(&old), &row)?;
            }
            row
        };
        self.settle(durability)?;
        Ok(row)
    }

    /// A share by its link id.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Io`].
    pub fn share(&self, id: &LinkId) -> Result<Option<ShareRow>, StoreError> {
        let value = self
            .0
            .db
            .get(keys::share(id))
            .map_err(|error| self.sled(error))?;
        value.map(|bytes| self.decode_share(id, &bytes)).transpose()
    }

    /// A share by its infohash.
    ///
    /// # Errors
    /// As [`Store::share`].
    pub fn share_by_infohash(&self, infohash: &InfoHash) -> Result<Option<ShareRow>, StoreError> {
        let Some(id) = self
            .0
            .db
            .get(keys::infohash(infohash))
            .map_err(|error| self.sled(error))?
        else {
            return Ok(None);
        };
        let id = id
            .as_ref()
            .try_into()
            .map_err(|_| self.corrupt("the row of an infohash is broken"))?;
        self.share(&LinkId(id))
    }

    /// All shares, oldest first.
    ///
    /// # Errors
    /// As [`Store::share`].
    pub fn shares(&self) -> Result<Vec<ShareRow>, StoreError> {
        let mut rows = Vec::new();
        for row in self.0.db.scan_prefix([keys::SHARE]) {
            let (key, value) = row.map_err(|error| self.sled(error))?;
            let id = key.get(1..).and_then(|id| id.try_into().ok());
            let id = LinkId(id.ok_or_else(|| self.corrupt("the key of a share is broken"))?);
            rows.push(self.decode_share(&id, &value)?);
        }
        rows.sort_by_key(|row| (row.created_s, row.id));
        Ok(rows)
    }

    /// Forgets a share with its log, takers and problems; then an old link no longer says why it ended. One
    /// that is not there is no error. Its artefacts go at the next [`Store::remove_unreferenced`].
    ///
    /// # Errors
    /// As [`Store::put_share`].
    pub fn remove_share(&self, id: &LinkId, durability: Durability) -> Result<(), StoreError> {
        {
            let mut writing = self.writing();
            let mut batch = sled::Batch::default();
            if let Some(ShareState::Ready { infohash, .. }) = self.share(id)?.map(|row| row.state) {
                batch.remove(keys::infohash(&infohash));
            }
            batch.remove(keys::share(id));
            batch.remove(keys::problems(id));
            for prefix in [keys::log_prefix(id), keys::taker_prefix(id)] {
                for key in self.0.db.scan_prefix(prefix).keys() {
                    batch.remove(key.map_err(|error| self.sled(error))?);
                }
            }
            self.apply(batch)?;
            writing.remove(id);
        }
        self.settle(durability)
    }

    fn write_share(&self, old: Option<&ShareRow>, row: &ShareRow) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        if let Some(ShareState::Ready { infohash, .. }) = old.map(|row| &row.state) {
            batch.remove(keys::infohash(infohash));
        }
        if let ShareState::Ready {
            infohash, snapshot, ..
        } = &row.state
        {
            batch.insert(keys::infohash(infohash), row.id.as_bytes());
            if old.is_none_or(|old| old.state != row.state) {
                self.0.artefacts.referenced(snapshot, &row.id);
            }
        }
        batch.insert(keys::share(&row.id), encode(row));
        self.apply(batch)
    }

    fn decode_share(&self, id: &LinkId, bytes: &[u8]) -> Result<ShareRow, StoreError> {
        decode(id, bytes).map_err(|_| self.corrupt("the row of a share is broken"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    pub(crate) fn row(n: u8) -> ShareRow {
        ShareRow {
            id: LinkId([n; 16]),
            name: format!("share {n}"),
            roots: vec![PathBuf::from("/home/a/b")],
            created_s: u64::from(n),
            expires_s: None,
            max_downloads: Some(3),
            audience: Audience::Link,
            notify: None,
            state: ShareState::Counting,
            end: ShareEnd::Active,
            capability: vec![1, 2, 3],
            record: Vec::new(),
            salt: [4; 16],
            announce_token: [5; 16],
            password: None,
        }
    }

    pub(crate) fn ready(n: u8) -> ShareState {
        ShareState::Ready {
            snapshot: ContentHash([n; 32]),
            infohash: InfoHash([n; 20]),
            files: 2,
            bytes: 300,
        }
    }

    #[test]
    fn a_share_is_found_by_id_and_by_its_present_infohash() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let id = LinkId([1; 16]);
        store.put_share(&row(2), Durability::Lazy).unwrap();
        store.put_share(&row(1), Durability::Flushed).unwrap();
        assert_eq!(store.share_by_infohash(&InfoHash([7; 20])).unwrap(), None);
        store
            .update_share(&id, Durability::Flushed, |row| row.state = ready(7))
            .unwrap();
        store
            .update_share(&id, Durability::Flushed, |row| row.state = ready(8))
            .unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.share_by_infohash(&InfoHash([7; 20])).unwrap(), None);
        assert_eq!(
            store
                .share_by_infohash(&InfoHash([8; 20]))
                .unwrap()
                .unwrap()
                .id,
            id
        );
        let ids: Vec<_> = store
            .shares()
            .unwrap()
            .into_iter()
            .map(|row| row.id)
            .collect();
        assert_eq!(ids, [LinkId([1; 16]), LinkId([2; 16])]);
        store.remove_share(&id, Durability::Flushed).unwrap();
        assert_eq!(store.share(&id).unwrap(), None);
        assert_eq!(store.share_by_infohash(&InfoHash([8; 20])).unwrap(), None);
    }

    #[test]
    fn updates_from_many_threads_are_all_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.put_share(&row(1), Durability::Lazy).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        store
                            .update_share(&LinkId([1; 16]), Durability::Lazy, |row| {
                                row.created_s += 1
                            })
                            .unwrap();
                    }
                });
            }
        });
        assert_eq!(
            store.share(&LinkId([1; 16])).unwrap().unwrap().created_s,
            401
        );
    }

    #[test]
    fn nothing_is_made_of_a_share_that_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let result =
            store.update_share(&LinkId([1; 16]), Durability::Lazy, |row| row.created_s = 9);
        assert!(matches!(result, Err(StoreError::NoShare)));
        store
            .remove_share(&LinkId([1; 16]), Durability::Lazy)
            .unwrap();
        assert!(store.shares().unwrap().is_empty());
    }
}
