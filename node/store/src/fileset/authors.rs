//! Authors have 36 bytes and are in every row; rows hold small numbers instead.

use super::keys;
use crate::{Store, StoreError};
use shoal_protocol::id::DeviceId;
use shoal_protocol::limits::SYNC_AUTHORS_MAX;
use shoal_protocol::sync::AuthorId;
use std::collections::HashMap;

/// The format version of an index.
const FORMAT: u32 = 2;
/// Rows that are written at once when an older version is brought up.
const RENEWED_ROWS: usize = 4_096;

/// Which number stands for which author. Numbers are given once and never again.
#[derive(Debug, Clone, Default)]
pub(super) struct Authors {
    by_number: Vec<AuthorId>,
    by_author: HashMap<AuthorId, u16>,
}

impl Authors {
    /// Reads the table, after a look at the version of the index.
    pub(super) fn load(store: &Store, tree: &sled::Tree) -> Result<Self, StoreError> {
        let broken = || store.corrupt("the index of a fileset has a broken row");
        let failed = |error| store.sled(error);
        match tree.get(keys::VERSION).map_err(failed)? {
            None if tree.is_empty() => {
                tree.insert(keys::VERSION, &FORMAT.to_be_bytes())
                    .map_err(failed)?;
            }
            None => return Err(broken()),
            Some(row) => {
                let found = u32::from_be_bytes(row.as_ref().try_into().map_err(|_| broken())?);
                if found > FORMAT {
                    return Err(StoreError::Newer {
                        path: store.0.path.clone(),
                        found,
                        known: FORMAT,
                    });
                }
                if found < FORMAT {
                    renew(store, tree)?;
                }
            }
        }
        let mut authors = Self::default();
        for row in tree.scan_prefix([keys::AUTHORS]) {
            let (key, value) = row.map_err(failed)?;
            let number = keys::author_number(&key).ok_or_else(broken)?;
            let author = decode(&value).ok_or_else(broken)?;
            if usize::from(number) != authors.by_number.len() {
                return Err(broken());
            }
            authors.by_number.push(author);
            authors.by_author.insert(author, number);
        }
        Ok(authors)
    }

    pub(super) fn author(&self, number: u64) -> Option<AuthorId> {
        self.by_number.get(usize::try_from(number).ok()?).copied()
    }

    pub(super) fn number(&self, author: &AuthorId) -> Option<u16> {
        self.by_author.get(author).copied()
    }

    /// The number of an author; a new one gets its row in `batch`.
    pub(super) fn number_or_new(
        &mut self,
        author: &AuthorId,
        batch: &mut sled::Batch,
    ) -> Result<u16, StoreError> {
        if let Some(number) = self.number(author) {
            return Ok(number);
        }
        let number = self.by_number.len();
        // Twice what the protocol allows: removed authors keep their numbers.
        if number >= 2 * SYNC_AUTHORS_MAX {
            return Err(StoreError::TooBig {
                what: "the number of authors of a fileset",
                limit_bytes: 2 * SYNC_AUTHORS_MAX,
            });
        }
        let number = number as u16;
        batch.insert(keys::author(keys::AUTHORS, number), encode(author));
        self.by_number.push(*author);
        self.by_author.insert(*author, number);
        Ok(number)
    }
}

/// Version 1 held one path for a number, as the value. Each part of this may be done again: a crash in between does no harm.
fn renew(store: &Store, tree: &sled::Tree) -> Result<(), StoreError> {
    let failed = |error| store.sled(error);
    let (mut batch, mut rows) = (sled::Batch::default(), 0);
    for row in tree.scan_prefix([keys::SEQUENCE]) {
        let (key, path) = row.map_err(failed)?;
        if !keys::is_sequence_of_version_1(&key) {
            continue;
        }
        batch.insert([key.as_ref(), path.as_ref()].concat(), &[]);
        batch.remove(key);
        rows += 1;
        if rows % RENEWED_ROWS == 0 {
            tree.apply_batch(std::mem::take(&mut batch))
                .map_err(failed)?;
        }
    }
    batch.insert(keys::VERSION, &FORMAT.to_be_bytes());
    tree.apply_batch(batch).map_err(failed)
}

fn encode(author: &AuthorId) -> Vec<u8> {
    [
        author.device.as_bytes().as_slice(),
        &author.epoch.to_be_bytes(),
    ]
    .concat()
}

fn decode(value: &[u8]) -> Option<AuthorId> {
    let (device, epoch) = value.split_first_chunk::<32>()?;
    Some(AuthorId {
        device: DeviceId(*device),
        epoch: u32::from_be_bytes(epoch.try_into().ok()?),
    })
}
