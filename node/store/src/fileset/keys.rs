//! Keys of an index. The first byte tells the rows apart; a path is written so that the order of bytes is the
//! order of paths (`sync::key`), and is last in its key.
//!
//! | key | value |
//! |---|---|
//! | `v` | format version, u32 |
//! | `m` | the machine's own row |
//! | `n` | how many paths are applied, u64 |
//! | `l` | how many contents of all paths are live, u64 |
//! | `x` path | nothing: the path has more than one live content |
//! | `w` author number, u16 | the author: device and epoch |
//! | `k` author number, u16 | what was seen of it |
//! | `e` path | the maximal entries |
//! | `s` author number, u16; sequence, u64; path | nothing; a restored device may have given a number to several paths |
//! | `p` path | what is applied |
//! | `c` first 8 bytes of a content hash; path | nothing |
//! | `i` inode, u64; path | nothing |
//! | `t` folded path, NUL, NUL; path | nothing; only on replicas that take different names for one |
//!
//! All numbers in keys are big-endian.

use shoal_protocol::id::{ContentHash, FilesetId};
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{self, Folded};

pub(super) const VERSION: &[u8] = b"v";
pub(super) const META: &[u8] = b"m";
pub(super) const APPLIED_COUNT: &[u8] = b"n";
pub(super) const LIVE_COUNT: &[u8] = b"l";
pub(super) const CONFLICTS: u8 = b'x';
pub(super) const AUTHORS: u8 = b'w';
pub(super) const KNOWLEDGE: u8 = b'k';
pub(super) const ENTRIES: u8 = b'e';
pub(super) const SEQUENCE: u8 = b's';
pub(super) const APPLIED: u8 = b'p';
const CONTENT: u8 = b'c';
const INODE: u8 = b'i';
const FOLDED: u8 = b't';
/// Bytes of a hash that are in a key: whoever reads compares the row's own.
const CONTENT_KEY_BYTES: usize = 8;

/// Name of the tree of a fileset.
pub(super) fn tree(id: &FilesetId) -> Vec<u8> {
    [b"f", id.as_bytes().as_slice()].concat()
}

pub(super) fn author(kind: u8, number: u16) -> Vec<u8> {
    [&[kind], number.to_be_bytes().as_slice()].concat()
}

/// The author number in a key.
pub(super) fn author_number(key: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(key.get(1..3)?.try_into().ok()?))
}

/// What rows of one number begin with.
pub(super) fn sequence_prefix(author_number: u16, seq: u64) -> Vec<u8> {
    let mut key = author(SEQUENCE, author_number);
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

pub(super) fn sequence(author_number: u16, seq: u64, path: &RelPath) -> Vec<u8> {
    [sequence_prefix(author_number, seq), sync::key(path)].concat()
}

/// Whether a key of a number has no path: before version 2 it was the value.
pub(super) fn is_sequence_of_version_1(key: &[u8]) -> bool {
    key.len() == 11
}

/// The path in the key of a number.
pub(super) fn sequence_path(key: &[u8]) -> Option<RelPath> {
    path_of(key.get(11..)?)
}

/// The sequence number in a key.
pub(super) fn sequence_number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(3..11)?.try_into().ok()?))
}

/// A row by path.
pub(super) fn path(kind: u8, path: &RelPath) -> Vec<u8> {
    let text = sync::key(path);
    let mut key = Vec::with_capacity(1 + text.len());
    key.push(kind);
    key.extend_from_slice(&text);
    key
}

/// The path at the end of a key, or a value that is one.
pub(super) fn path_of(bytes: &[u8]) -> Option<RelPath> {
    let parts = std::str::from_utf8(bytes).ok()?.split('\0');
    RelPath::from_components(parts).ok()
}

pub(super) fn content_prefix(content: &ContentHash) -> Vec<u8> {
    let mut key = vec![CONTENT];
    key.extend(content.as_bytes().iter().take(CONTENT_KEY_BYTES));
    key
}

pub(super) fn content(content: &ContentHash, path: &RelPath) -> Vec<u8> {
    [content_prefix(content), sync::key(path)].concat()
}

pub(super) fn inode_prefix(inode: u64) -> Vec<u8> {
    [&[INODE], inode.to_be_bytes().as_slice()].concat()
}

pub(super) fn inode(inode: u64, path: &RelPath) -> Vec<u8> {
    [inode_prefix(inode), sync::key(path)].concat()
}

/// Two NULs end it: a path has never two in a row, so that no folded path is the beginning of another with its end.
pub(super) fn folded_prefix(folded: &Folded) -> Vec<u8> {
    let text = folded.as_str().bytes();
    let text = text.map(|byte| if byte == b'/' { 0 } else { byte });
    [FOLDED].into_iter().chain(text).chain([0, 0]).collect()
}

pub(super) fn folded(folded: &Folded, path: &RelPath) -> Vec<u8> {
    [folded_prefix(folded), sync::key(path)].concat()
}
