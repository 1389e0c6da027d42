//! Keys of the rows. All rows live in one tree, told apart by the first byte, so that one batch is
//! atomic whatever it touches.

use shoal_protocol::id::{DeviceId, InfoHash, LinkId, RecordHash};

/// The format version, u32 big-endian.
pub(crate) const FORMAT: &[u8] = b"vformat";
/// First byte of a share's key.
pub(crate) const SHARE: u8 = b's';
const INFOHASH: u8 = b'i';
const LOG: u8 = b'l';
const TAKER: u8 = b't';
const PROBLEMS: u8 = b'p';
const SETTING: u8 = b'n';
const GROUP_RECORD: u8 = b'g';
const CONTACT: u8 = b'c';

/// A share, by link id.
pub(crate) fn share(id: &LinkId) -> Vec<u8> {
    key(SHARE, &[id.as_bytes()])
}

/// The link id of an infohash.
pub(crate) fn infohash(hash: &InfoHash) -> Vec<u8> {
    key(INFOHASH, &[hash.as_bytes()])
}

/// All log rows of a link.
pub(crate) fn log_prefix(id: &LinkId) -> Vec<u8> {
    key(LOG, &[id.as_bytes()])
}

/// One log row; big-endian, so that the order of keys is the order of numbers.
pub(crate) fn log(id: &LinkId, seq: u64) -> Vec<u8> {
    key(LOG, &[id.as_bytes(), &seq.to_be_bytes()])
}

/// The number in a log row's key.
pub(crate) fn log_seq(key: &[u8]) -> Option<u64> {
    let (_, seq) = key.split_last_chunk::<8>()?;
    Some(u64::from_be_bytes(*seq))
}

/// All takers of a link.
pub(crate) fn taker_prefix(id: &LinkId) -> Vec<u8> {
    key(TAKER, &[id.as_bytes()])
}

/// One taker.
pub(crate) fn taker(id: &LinkId, taker: &[u8]) -> Vec<u8> {
    key(TAKER, &[id.as_bytes(), taker])
}

/// What is known of the problems of a share's files.
pub(crate) fn problems(id: &LinkId) -> Vec<u8> {
    key(PROBLEMS, &[id.as_bytes()])
}

/// A setting, by name.
pub(crate) fn setting(name: &str) -> Vec<u8> {
    key(SETTING, &[name.as_bytes()])
}

/// A record of the group's log.
pub(crate) fn group_record(hash: &RecordHash) -> Vec<u8> {
    key(GROUP_RECORD, &[hash.as_bytes()])
}

/// All records of the group's log.
pub(crate) fn group_records() -> Vec<u8> {
    key(GROUP_RECORD, &[])
}

/// Where a device of the group is.
pub(crate) fn contact(device: &DeviceId) -> Vec<u8> {
    key(CONTACT, &[device.as_bytes()])
}

/// Where all devices of the group are.
pub(crate) fn contacts() -> Vec<u8> {
    key(CONTACT, &[])
}

fn key(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![first];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}
