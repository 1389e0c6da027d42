//! Takers of a link, kept so that one who was counted is not counted again after a restart.

use crate::{Durability, Store, StoreError, keys};
use serde::{Deserialize, Serialize};
use shoal_protocol::id::{LinkId, TakerToken};
use shoal_protocol::slots::{Progress, Stage, Taker};
use std::net::IpAddr;

/// A taker's row; variants are only ever added at the end.
#[derive(Serialize, Deserialize)]
enum TakerValue {
    V1 {
        stage: StageV1,
        bytes: u64,
        seen_ms: u64,
    },
}

#[derive(Serialize, Deserialize)]
enum StageV1 {
    Taking,
    Complete,
}

const TOKEN: u8 = 0;
const V4: u8 = 4;
const V6: u8 = 6;
/// Not a taker, but how many of those that were forgotten had everything: u64, big-endian.
const FORGOTTEN: u8 = 255;

/// What a home knows of the takers of a link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptTakers {
    /// Those that are remembered.
    pub rows: Vec<(Taker, Progress)>,
    /// How many of those that are not had everything.
    pub forgotten_complete: u64,
}

/// Takers.
impl Store {
    /// Stores where a taker stands.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn put_taker(
        &self,
        id: &LinkId,
        taker: &Taker,
        progress: &Progress,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let key = keys::taker(id, &encode_taker(taker));
        self.0
            .db
            .insert(key, encode_progress(progress))
            .map_err(|error| self.sled(error))?;
        self.settle(durability)
    }

    /// All takers of a link that are remembered; what `Slots::restore` wants at start.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Io`].
    pub fn takers(&self, id: &LinkId) -> Result<KeptTakers, StoreError> {
        let prefix = keys::taker_prefix(id);
        let mut found = KeptTakers::default();
        for row in self.0.db.scan_prefix(&prefix) {
            let (key, value) = row.map_err(|error| self.sled(error))?;
            let name = key.get(prefix.len()..).unwrap_or_default();
            let broken = || self.corrupt("the row of a taker is broken");
            if name == [FORGOTTEN] {
                let complete = <[u8; 8]>::try_from(value.as_ref()).map_err(|_| broken())?;
                found.forgotten_complete = u64::from_be_bytes(complete);
            } else {
                let pair = decode_taker(name).zip(decode_progress(&value));
                found.rows.push(pair.ok_or_else(broken)?);
            }
        }
        Ok(found)
    }

    /// Forgets takers, at once with keeping how many of all that were forgotten so far had everything. One that is
    /// not there is no error.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn forget_takers(
        &self,
        id: &LinkId,
        takers: &[Taker],
        complete: u64,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for taker in takers {
            batch.remove(keys::taker(id, &encode_taker(taker)));
        }
        batch.insert(keys::taker(id, &[FORGOTTEN]), &complete.to_be_bytes());
        self.apply(batch)?;
        self.settle(durability)
    }
}

fn encode_taker(taker: &Taker) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    match taker {
        Taker::Token(token) => {
            key.push(TOKEN);
            key.extend_from_slice(token.as_bytes());
        }
        Taker::Address(IpAddr::V4(ip)) => {
            key.push(V4);
            key.extend_from_slice(&ip.octets());
        }
        Taker::Address(IpAddr::V6(ip)) => {
            key.push(V6);
            key.extend_from_slice(&ip.octets());
        }
    }
    key
}

fn decode_taker(key: &[u8]) -> Option<Taker> {
    let (kind, rest) = key.split_first()?;
    match *kind {
        TOKEN => Some(Taker::Token(TakerToken(rest.try_into().ok()?))),
        V4 => Some(Taker::Address(IpAddr::from(
            <[u8; 4]>::try_from(rest).ok()?,
        ))),
        V6 => Some(Taker::Address(IpAddr::from(
            <[u8; 16]>::try_from(rest).ok()?,
        ))),
        _ => None,
    }
}

fn encode_progress(progress: &Progress) -> Vec<u8> {
    let stage = match progress.stage {
        // That it is idle follows from when it was seen.
        Stage::Taking | Stage::Idle => StageV1::Taking,
        Stage::Complete => StageV1::Complete,
    };
    let row = TakerValue::V1 {
        stage,
        bytes: progress.bytes,
        seen_ms: progress.seen_ms,
    };
    // Fails for maps and sequences of unknown length only; there are none.
    postcard::to_allocvec(&row).unwrap_or_default()
}

fn decode_progress(value: &[u8]) -> Option<Progress> {
    let TakerValue::V1 {
        stage,
        bytes,
        seen_ms,
    } = postcard::from_bytes(value).ok()?;
    let stage = match stage {
        StageV1::Taking => Stage::Taking,
        StageV1::Complete => Stage::Complete,
    };
    Some(Progress {
        bytes,
        seen_ms,
        stage,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_row_is_stable() {
        let progress = Progress {
            bytes: 300,
            seen_ms: 7,
            stage: Stage::Complete,
        };
        assert_eq!(encode_progress(&progress), [0, 1, 0xac, 2, 7]);
        assert_eq!(decode_progress(&[0, 1, 0xac, 2, 7]), Some(progress));
        assert_eq!(decode_progress(&[1, 1, 0xac, 2, 7]), None);
    }

    #[test]
    fn takers_of_every_kind_survive_a_restart_and_stay_with_their_link() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (LinkId([1; 16]), LinkId([2; 16]));
        let takers = [
            Taker::Token(TakerToken([9; 16])),
            Taker::Address("192.0.2.7".parse().unwrap()),
            Taker::Address("2001:db8::7".parse().unwrap()),
        ];
        let progress = Progress {
            bytes: 5,
            seen_ms: 6,
            stage: Stage::Taking,
        };
        let store = Store::open(dir.path()).unwrap();
        for taker in &takers {
            store
                .put_taker(&one, taker, &progress, Durability::Lazy)
                .unwrap();
        }
        store
            .put_taker(&two, &takers[0], &progress, Durability::Flushed)
            .unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        let found = store.takers(&one).unwrap();
        let names: Vec<_> = found.rows.into_iter().map(|(taker, _)| taker).collect();
        assert_eq!(
            (names.as_slice(), found.forgotten_complete),
            (&takers[..], 0)
        );
        store
            .forget_takers(&one, &takers[..1], 300, Durability::Lazy)
            .unwrap();
        let left = store.takers(&one).unwrap();
        assert_eq!((left.rows.len(), left.forgotten_complete), (2, 300));
        assert_eq!(store.takers(&two).unwrap().rows, [(takers[0], progress)]);
    }
}
