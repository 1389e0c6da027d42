//! The log of a link: who took what, when, in which way, and how much.
//!
//! Rows are numbered from 0 for each link. The newest [`LOG_MAX_ROWS`] are kept, the numbers go on,
//! so a link always knows how many there were in all.

use crate::{Durability, Store, StoreError, keys};
use serde::{Deserialize, Serialize};
use shoal_protocol::id::{LinkId, TakerToken};
use std::net::IpAddr;

/// Rows kept for a link; older ones are forgotten.
pub const LOG_MAX_ROWS: u64 = 10_000;
/// Bytes of a row's detail; what is longer is cut.
const DETAIL_MAX_BYTES: usize = 512;

/// One thing that happened to a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// When, milliseconds since 1970 UTC.
    pub at_ms: u64,
    /// Who did it.
    pub who: Who,
    /// How bytes travel.
    pub way: Way,
    /// What happened.
    pub what: What,
    /// Payload bytes that went out.
    pub bytes: u64,
    /// A file's path, or why it was refused; at most 512 bytes are kept.
    pub detail: String,
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    /// Somebody known by address only.
    Address(IpAddr),
    /// A `shoal get`, by its token.
    Token([u8; 16]),
    /// The node itself, as when a link expires.
    Node,
}

/// How bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// iroh.
    Iroh,
    /// BitTorrent.
    Torrent,
    /// HTTP.
    Http,
    /// None: nothing travelled.
    None,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// The link was opened.
    Opened,
    /// A taker got its first byte.
    Started,
    /// A taker has everything.
    Finished,
    /// A taker was refused; the detail says why.
    Refused,
    /// One file went out.
    File,
    /// Somebody tried a wrong password.
    WrongPassword,
}

/// Some rows of a link's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// Rows with their numbers, oldest first.
    pub rows: Vec<(u64, LogRow)>,
    /// Rows there ever were, forgotten ones included; the next row gets this number.
    pub total: u64,
}

/// First number kept and next number to give out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogBounds {
    first: u64,
    next: u64,
}

/// The row on the disk; variants are only ever added at the end.
#[derive(Serialize, Deserialize)]
enum LogValue {
    V1 {
        at_ms: u64,
        who: Who,
        way: Way,
        what: What,
        bytes: u64,
        detail: String,
    },
}

/// Log.
impl Store {
    /// Appends a row to a link's log and returns its number.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn append_log(
        &self,
        id: &LinkId,
        row: &LogRow,
        durability: Durability,
    ) -> Result<u64, StoreError> {
        let seq = {
            let mut writing = self.writing();
            let mut bounds = match writing.get(id) {
                Some(bounds) => *bounds,
                None => self.log_bounds(id)?,
            };
            let seq = bounds.next;
            let mut batch = sled::Batch::default();
            batch.insert(keys::log(id, seq), encode(row));
            bounds.next = seq.saturating_add(1);
            while bounds.next - bounds.first > LOG_MAX_ROWS {
                batch.remove(keys::log(id, bounds.first));
                bounds.first += 1;
            }
            self.apply(batch)?;
            writing.insert(*id, bounds);
            seq
        };
        self.settle(durability)?;
        Ok(seq)
    }

    /// Up to `limit` rows of a link's log, from number `from` on, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Io`].
    pub fn log(&self, id: &LinkId, from: u64, limit: usize) -> Result<LogPage, StoreError> {
        let range = keys::log(id, from)..=keys::log(id, u64::MAX);
        let rows = self
            .0
            .db
            .range(range)
            .take(limit)
            .map(|row| self.log_row(row))
            .collect::<Result<_, _>>()?;
        Ok(LogPage {
            rows,
            total: self.log_bounds(id)?.next,
        })
    }

    /// The newest rows of a link's log, at most `limit`, oldest first.
    ///
    /// # Errors
    /// As [`Store::log`].
    pub fn newest_log(&self, id: &LinkId, limit: usize) -> Result<LogPage, StoreError> {
        let total = self.log_bounds(id)?.next;
        self.log(id, total.saturating_sub(limit as u64), limit)
    }

    fn log_bounds(&self, id: &LinkId) -> Result<LogBounds, StoreError> {
        let mut keys = self.0.db.scan_prefix(keys::log_prefix(id)).keys();
        let (first, last) = (keys.next(), keys.next_back());
        let seq = |key: Result<sled::IVec, sled::Error>| -> Result<u64, StoreError> {
            let key = key.map_err(|error| self.sled(error))?;
            keys::log_seq(&key).ok_or_else(|| self.corrupt("the key of a log row is broken"))
        };
        let Some(first) = first.map(seq).transpose()? else {
            return Ok(LogBounds { first: 0, next: 0 });
        };
        let last = last.map(seq).transpose()?.unwrap_or(first);
        Ok(LogBounds {
            first,
            next: last.saturating_add(1),
        })
    }

    fn log_row(
        &self,
        row: Result<(sled::IVec, sled::IVec), sled::Error>,
    ) -> Result<(u64, LogRow), StoreError> {
        let (key, value) = row.map_err(|error| self.sled(error))?;
        let pair = keys::log_seq(&key).zip(decode(&value));
        pair.ok_or_else(|| self.corrupt("a log row is broken"))
    }
}

fn encode(row: &LogRow) -> Vec<u8> {
    let LogRow {
        at_ms,
        who,
        way,
        what,
        bytes,
        ..
    } = *row;
    let end = row.detail.floor_char_boundary(DETAIL_MAX_BYTES);
    let detail = row.detail.get(..end).unwrap_or_default().to_owned();
    let value = LogValue::V1 {
        at_ms,
        who,
        way,
        what,
        bytes,
        detail,
    };
    // Fails for maps and sequences of unknown length only; there are none.
    postcard::to_allocvec(&value).unwrap_or_default()
}

fn decode(value: &[u8]) -> Option<LogRow> {
    let LogValue::V1 {
        at_ms,
        who,
        way,
        what,
        bytes,
        detail,
    } = postcard::from_bytes(value).ok()?;
    Some(LogRow {
        at_ms,
        who,
        way,
        what,
        bytes,
        detail,
    })
}

impl From<shoal_protocol::slots::Taker> for Who {
    fn from(taker: shoal_protocol::slots::Taker) -> Self {
        match taker {
            shoal_protocol::slots::Taker::Token(TakerToken(token)) => Who::Token(token),
            shoal_protocol::slots::Taker::Address(address) => Who::Address(address),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row(n: u64) -> LogRow {
        LogRow {
            at_ms: n,
            who: Who::Address("192.0.2.1".parse().unwrap()),
            way: Way::Http,
            what: What::File,
            bytes: 300,
            detail: "a/b".to_owned(),
        }
    }

    #[test]
    fn the_row_is_stable() {
        let bytes = [0, 5, 0, 0, 192, 0, 2, 1, 2, 4, 0xac, 2, 3, b'a', b'/', b'b'];
        assert_eq!(encode(&row(5)), bytes);
        assert_eq!(decode(&bytes), Some(row(5)));
        let token = LogRow {
            who: Who::Token([9; 16]),
            way: Way::Iroh,
            what: What::Opened,
            ..row(0)
        };
        assert_eq!(encode(&token)[2], 1);
        assert_eq!(decode(&encode(&token)), Some(token));
        let guess = LogRow {
            what: What::WrongPassword,
            ..row(5)
        };
        assert_eq!(encode(&guess)[9], 5);
        assert_eq!(decode(&encode(&guess)), Some(guess));
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let long = LogRow {
            detail: "é".repeat(400),
            ..row(0)
        };
        assert_eq!(decode(&encode(&long)).unwrap().detail, "é".repeat(256));
    }

    #[test]
    fn the_log_is_bounded_and_still_counts_all() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (id, other) = (LinkId([1; 16]), LinkId([2; 16]));
        let written = LOG_MAX_ROWS + 500;
        for n in 0..written {
            assert_eq!(store.append_log(&id, &row(n), Durability::Lazy).unwrap(), n);
        }
        store
            .append_log(&other, &row(7), Durability::Flushed)
            .unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        let all = store.log(&id, 0, usize::MAX).unwrap();
        assert_eq!((all.rows.len() as u64, all.total), (LOG_MAX_ROWS, written));
        assert_eq!(all.rows.first(), Some(&(500, row(500))));
        assert_eq!(
            store.log(&id, 600, 2).unwrap().rows,
            [(600, row(600)), (601, row(601))]
        );
        assert_eq!(
            store.newest_log(&id, 1).unwrap().rows,
            [(written - 1, row(written - 1))]
        );
        assert_eq!(
            store.append_log(&id, &row(0), Durability::Lazy).unwrap(),
            written
        );
        assert_eq!(
            store.newest_log(&other, 50).unwrap(),
            LogPage {
                rows: vec![(0, row(7))],
                total: 1
            }
        );
    }
}
