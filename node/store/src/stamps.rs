//! Stamps: what each file of a link looked like when it was hashed, in snapshot order.
//!
//! Neighbours are much alike, so each number is written as its difference from the one before:
//! about 15 bytes a file.

use crate::artefact::Artefact;
use crate::{Store, StoreError};
use shoal_protocol::codec::{DecodeError, Reader, Writer};
use shoal_protocol::id::{ContentHash, LinkId};
use shoal_protocol::limits::MANIFEST_MAX_ENTRIES;

const VERSION: u8 = 1;
/// Bytes that one stamp takes at least: five numbers of one byte.
const MIN_BYTES: usize = 5;

/// One file when it was hashed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StampRow {
    /// Its size.
    pub size_bytes: u64,
    /// Modification time, nanoseconds since 1970 UTC.
    pub mtime_ns: i64,
    /// Change time of the inode, nanoseconds since 1970 UTC.
    pub ctime_ns: i64,
    /// Inode number.
    pub ino: u64,
    /// Device number.
    pub dev: u64,
}

/// Stamps.
impl Store {
    /// Stores the stamps of a link's files, in snapshot order.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn put_stamps(
        &self,
        snapshot: &ContentHash,
        id: &LinkId,
        stamps: &[StampRow],
    ) -> Result<(), StoreError> {
        self.put_artefact(snapshot, Artefact::Stamps(*id), &encode(stamps))
    }

    /// The stamps of a link's files, in snapshot order.
    ///
    /// # Errors
    /// [`StoreError::NoArtefact`], [`StoreError::Corrupt`] or [`StoreError::Io`].
    pub fn stamps(&self, snapshot: &ContentHash, id: &LinkId) -> Result<Vec<StampRow>, StoreError> {
        let kind = Artefact::Stamps(*id);
        let bytes = self.artefact_bytes(snapshot, kind)?;
        decode(&bytes).map_err(|error| StoreError::Corrupt {
            path: self.artefact_path(snapshot, kind),
            what: error.to_string(),
        })
    }
}

fn encode(stamps: &[StampRow]) -> Vec<u8> {
    let mut w = Writer::new();
    w.u8(VERSION);
    w.uint(stamps.len() as u64);
    let mut before = StampRow::default();
    for stamp in stamps {
        w.int(stamp.size_bytes.wrapping_sub(before.size_bytes) as i64);
        w.int(stamp.mtime_ns.wrapping_sub(before.mtime_ns));
        w.int(stamp.ctime_ns.wrapping_sub(before.ctime_ns));
        w.int(stamp.ino.wrapping_sub(before.ino) as i64);
        w.int(stamp.dev.wrapping_sub(before.dev) as i64);
        before = *stamp;
    }
    w.finish()
}

fn decode(bytes: &[u8]) -> Result<Vec<StampRow>, DecodeError> {
    let mut r = Reader::new(bytes);
    if r.u8()? != VERSION {
        return Err(DecodeError::Newer);
    }
    let count = r.count("number of stamps", MANIFEST_MAX_ENTRIES)?;
    if count > r.left() / MIN_BYTES {
        return Err(DecodeError::Short);
    }
    let mut stamps = Vec::with_capacity(count);
    let mut stamp = StampRow::default();
    for _ in 0..count {
        stamp = StampRow {
            size_bytes: stamp.size_bytes.wrapping_add(r.int()? as u64),
            mtime_ns: stamp.mtime_ns.wrapping_add(r.int()?),
            ctime_ns: stamp.ctime_ns.wrapping_add(r.int()?),
            ino: stamp.ino.wrapping_add(r.int()? as u64),
            dev: stamp.dev.wrapping_add(r.int()? as u64),
        };
        stamps.push(stamp);
    }
    r.finish()?;
    Ok(stamps)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn any_stamp()(size_bytes: u64, mtime_ns: i64, ctime_ns: i64, ino: u64, dev: u64) -> StampRow {
            StampRow { size_bytes, mtime_ns, ctime_ns, ino, dev }
        }
    }

    proptest! {
        #[test]
        fn stamps_go_round(stamps in prop::collection::vec(any_stamp(), 0..20)) {
            prop_assert_eq!(decode(&encode(&stamps)), Ok(stamps));
        }

        #[test]
        fn any_bytes_are_stamps_or_an_error(bytes: Vec<u8>) {
            if let Ok(stamps) = decode(&bytes) {
                prop_assert_eq!(encode(&stamps), bytes);
            }
        }
    }

    #[test]
    fn the_bytes_are_stable() {
        let stamp = StampRow {
            size_bytes: 4096,
            mtime_ns: 10,
            ctime_ns: -1,
            ino: 3,
            dev: 1,
        };
        let next = StampRow { ino: 4, ..stamp };
        assert_eq!(
            encode(&[stamp, next]),
            [1, 2, 0x80, 0x40, 20, 1, 6, 2, 0, 0, 0, 2, 0]
        );
    }

    #[test]
    fn a_promised_number_of_stamps_is_not_believed() {
        let mut w = Writer::new();
        w.u8(VERSION);
        w.uint(MANIFEST_MAX_ENTRIES as u64);
        assert_eq!(decode(&w.finish()), Err(DecodeError::Short));
    }
}
