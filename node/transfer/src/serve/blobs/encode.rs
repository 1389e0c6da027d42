//! The bytes of an answer, part by part: an encoder that can stop anywhere, so that no thread waits with it.
//!
//! It writes what `bao_tree`'s `encode_ranges` writes, which has no way to stop, and computes a hash only
//! where a taker asks for less than a chunk group of 16 KiB.

use super::Asked;
use super::buffer::Buffer;
use crate::serve::port::{Blob, Blobs};
use bao_tree::io::sync::truncate_ranges;
use bao_tree::{ChunkNum, ChunkRanges, ChunkRangesRef};
use blake3::hazmat::HasherExt;
use std::io;
use std::sync::Arc;

/// Bytes of a chunk group (iroh-blobs 0.104).
const GROUP_BYTES: u64 = 16 * 1024;
const CHUNK_BYTES: usize = blake3::CHUNK_LEN;
const CHUNKS_OF_GROUP: u64 = GROUP_BYTES / CHUNK_BYTES as u64;
/// Two hashes.
const PAIR_BYTES: usize = 64;
/// By what a part may be larger than asked for: a group, and the pairs above it.
pub(super) const SURPLUS_BYTES: usize = 32 * 1024;

/// Writes the answer to one request.
pub(super) struct Encoder {
    asked: Asked,
    served: Arc<dyn Blobs>,
    next: usize,
    stack: Vec<Node>,
    blob: Option<Arc<dyn Blob>>,
}

/// Some bytes of an answer.
pub(super) struct Part {
    pub(super) bytes: Buffer,
    /// Bytes of files among them.
    pub(super) payload_bytes: u64,
    pub(super) more: More,
}

/// Whether there are more bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    Yes,
    No,
}

/// A subtree of a blob that is still to be written.
struct Node {
    first_group: u64,
    groups: u64,
    /// Where its pairs of hashes begin in the outboard, which has them in post-order.
    first_pair: u64,
    wanted: ChunkRanges,
}

impl Encoder {
    pub(super) fn new(asked: Asked, served: Arc<dyn Blobs>) -> Self {
        Self {
            asked,
            served,
            next: 0,
            stack: Vec::new(),
            blob: None,
        }
    }

    /// Reads and encodes until there are this many bytes, or a little more. An answer ends early, as iroh-blobs'
    /// takers expect it, with a blob that is not there.
    pub(super) fn part(&mut self, limit_bytes: usize) -> io::Result<Part> {
        let mut part = Part {
            bytes: Buffer::new(limit_bytes),
            payload_bytes: 0,
            more: More::Yes,
        };
        while part.bytes.len() < limit_bytes {
            match (self.stack.pop(), self.blob.clone()) {
                (Some(node), Some(blob)) => self.node(blob.as_ref(), node, &mut part)?,
                _ if self.begin_blob(&mut part) => {}
                _ => {
                    part.more = More::No;
                    break;
                }
            }
        }
        Ok(part)
    }

    /// Goes to the next blob of which something is wanted; false if there is none.
    fn begin_blob(&mut self, part: &mut Part) -> bool {
        while let Some((hash, wanted)) = self.asked.at(self.next) {
            self.next += 1;
            if wanted.is_empty() {
                continue;
            }
            let Some(blob) = self.served.blob(&hash) else {
                self.next = usize::MAX;
                return false;
            };
            let size = blob.size();
            part.bytes.extend_from_slice(&size.to_le_bytes());
            self.stack.push(Node {
                first_group: 0,
                groups: size.div_ceil(GROUP_BYTES).max(1),
                first_pair: 0,
                wanted: owned(truncate_ranges(wanted, size)),
            });
            self.blob = Some(blob);
            return true;
        }
        false
    }

    fn node(&mut self, blob: &dyn Blob, node: Node, part: &mut Part) -> io::Result<()> {
        if node.wanted.is_empty() {
            return Ok(());
        }
        let start_chunk = node.first_group * CHUNKS_OF_GROUP;
        if node.groups == 1 {
            return leaf(blob, node.first_group, &node.wanted, part);
        }
        // The left subtree is the largest full one that leaves something to the right (BLAKE3).
        let left = node.groups.next_power_of_two() / 2;
        let mid_chunk = start_chunk + left * CHUNKS_OF_GROUP;
        let (l_wanted, r_wanted) = split(&node.wanted, start_chunk, mid_chunk);
        let own_pair = node.first_pair + node.groups - 2;
        blob.read_outboard_at(own_pair * PAIR_BYTES as u64, part.bytes.grow(PAIR_BYTES))?;
        self.stack.push(Node {
            first_group: node.first_group + left,
            groups: node.groups - left,
            first_pair: node.first_pair + left - 1,
            wanted: owned(r_wanted),
        });
        self.stack.push(Node {
            first_group: node.first_group,
            groups: left,
            first_pair: node.first_pair,
            wanted: owned(l_wanted),
        });
        Ok(())
    }
}

/// One chunk group, read from the file straight into the part, or what is wanted of it.
fn leaf(blob: &dyn Blob, group: u64, wanted: &ChunkRangesRef, part: &mut Part) -> io::Result<()> {
    let offset = group * GROUP_BYTES;
    let len = blob.size().saturating_sub(offset).min(GROUP_BYTES) as usize;
    if wanted.is_all() {
        part.payload_bytes += len as u64;
        return blob.read_exact_at(offset, part.bytes.grow(len));
    }
    let mut data = vec![0; len];
    blob.read_exact_at(offset, &mut data)?;
    chunks(group * CHUNKS_OF_GROUP, &data, wanted, part);
    Ok(())
}

/// Some chunks of a group, with the hashes that only the file has.
fn chunks(start_chunk: u64, data: &[u8], wanted: &ChunkRangesRef, part: &mut Part) {
    if wanted.is_empty() {
        return;
    }
    if wanted.is_all() || data.len() <= CHUNK_BYTES {
        part.bytes.extend_from_slice(data);
        part.payload_bytes += data.len() as u64;
        return;
    }
    let mid = data.len().div_ceil(CHUNK_BYTES).next_power_of_two() / 2;
    let mid_chunk = start_chunk + mid as u64;
    let (left, right) = data.split_at(mid * CHUNK_BYTES);
    let (l_wanted, r_wanted) = split(wanted, start_chunk, mid_chunk);
    part.bytes.extend_from_slice(&subtree(start_chunk, left));
    part.bytes.extend_from_slice(&subtree(mid_chunk, right));
    chunks(start_chunk, left, l_wanted, part);
    chunks(mid_chunk, right, r_wanted, part);
}

/// The chaining value of a subtree that is not the root (BLAKE3).
fn subtree(start_chunk: u64, data: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(start_chunk * CHUNK_BYTES as u64);
    hasher.update(data).finalize_non_root()
}

/// What is wanted on both sides of `mid`; all of a side is said as *all*, which is how it is recognised.
fn split(wanted: &ChunkRangesRef, start: u64, mid: u64) -> (&ChunkRangesRef, &ChunkRangesRef) {
    let (left, right) = wanted.split(ChunkNum(mid));
    (whole_from(left, start), whole_from(right, mid))
}

fn whole_from(wanted: &ChunkRangesRef, start: u64) -> &ChunkRangesRef {
    match wanted.boundaries() {
        [from] if from.0 <= start => ChunkRangesRef::new(&[ChunkNum(0)]).unwrap_or(wanted),
        _ => wanted,
    }
}

fn owned(wanted: &ChunkRangesRef) -> ChunkRanges {
    ChunkRanges::new_unchecked(wanted.boundaries().into())
}
