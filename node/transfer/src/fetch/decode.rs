//! Reading the answer to an iroh-blobs request: per blob a length (u64 LE) and the bao encoding of the
//! ranges asked for, with chunk groups of 16 KiB.
//!
//! `iroh_blobs::get::fsm` reads the same format. It is not used because it takes a lock and makes a
//! buffer for every hash pair, knows `GetMany` only on QUIC streams, and hands out 16 KiB at a time:
//! here bytes are verified on a thread of their own, in the buffer from which they are written.

use super::imprint::{Imprint, Imprinter};
use bao_tree::iter::{BaoChunk, ResponseIter};
use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges};
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use shoal_protocol::id::ContentHash;
use std::io::Read;

/// Chunk groups of 16 KiB, as iroh-blobs has them.
const BLOCK: BlockSize = BlockSize::from_chunk_log(4);
const CHUNK_BYTES: u64 = 1024;
/// Verified bytes that are written at once.
pub(crate) const WRITE_BYTES: usize = 1 << 20;
/// Ranges begin and end at multiples of this, or at the end of the file.
pub(crate) const GROUP_BYTES: u64 = BLOCK.bytes() as u64;

/// Why an answer is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError<E> {
    /// It is cut off: the sender does not have it, or the connection broke.
    #[error("the answer ended early")]
    Short,
    /// It does not have the hash, or the length, that was asked for.
    #[error("it sent other bytes than the link promises")]
    Wrong,
    /// The bytes were right and could not be written.
    #[error("{0}")]
    Sink(E),
}

/// Reads one blob's part of an answer; `sink` gets verified bytes with their offset and their imprint, in order.
///
/// `ranges` must be those of the request, from [`chunks`] or all of them, and `size` what the manifest says.
pub(crate) fn decode<E>(
    answer: &mut impl Read,
    hash: &ContentHash,
    size: u64,
    ranges: ChunkRanges,
    buffer: &mut Vec<u8>,
    mut sink: impl FnMut(u64, &[u8], Imprint) -> Result<(), E>,
) -> Result<(), DecodeError<E>> {
    let mut verified = Verified {
        buffer,
        start: 0,
        imprinter: Imprinter::default(),
        sink: &mut sink,
    };
    verified.buffer.clear();
    let read = verified.read_blob(answer, hash, size, ranges);
    // Also after an error: what stands before it was verified, and is kept.
    verified.flush()?;
    read
}

/// Verified bytes on their way to the sink.
struct Verified<'a, S> {
    buffer: &'a mut Vec<u8>,
    start: u64,
    imprinter: Imprinter,
    sink: &'a mut S,
}

impl<E, S: FnMut(u64, &[u8], Imprint) -> Result<(), E>> Verified<'_, S> {
    fn read_blob(
        &mut self,
        answer: &mut impl Read,
        hash: &ContentHash,
        size: u64,
        ranges: ChunkRanges,
    ) -> Result<(), DecodeError<E>> {
        let mut length = [0; 8];
        read(answer, &mut length)?;
        if u64::from_le_bytes(length) != size {
            return Err(DecodeError::Wrong);
        }
        let mut expected = vec![*hash.as_bytes()];
        for item in ResponseIter::new(BaoTree::new(size, BLOCK), ranges) {
            let wanted = expected.pop().ok_or(DecodeError::Wrong)?;
            match item {
                BaoChunk::Parent {
                    is_root,
                    left,
                    right,
                    ..
                } => {
                    let mut pair = [[0; 32]; 2];
                    read(answer, pair.as_flattened_mut())?;
                    let [left_hash, right_hash] = pair;
                    if parent(&left_hash, &right_hash, is_root) != wanted {
                        return Err(DecodeError::Wrong);
                    }
                    expected.extend(right.then_some(right_hash));
                    expected.extend(left.then_some(left_hash));
                }
                BaoChunk::Leaf {
                    start_chunk,
                    size,
                    is_root,
                    ..
                } => {
                    self.read_group(answer, start_chunk, size, is_root, &wanted)?;
                }
            }
        }
        Ok(())
    }

    fn read_group(
        &mut self,
        answer: &mut impl Read,
        chunk: ChunkNum,
        len: usize,
        is_root: bool,
        wanted: &[u8; 32],
    ) -> Result<(), DecodeError<E>> {
        let at = chunk.0 * CHUNK_BYTES;
        if self.buffer.len() + len > WRITE_BYTES || self.start + self.buffer.len() as u64 != at {
            self.flush()?;
            self.start = at;
        }
        let from = self.buffer.len();
        self.buffer.resize(from + len, 0);
        let group = self.buffer.get_mut(from..).unwrap_or_default();
        let sound = match read(answer, group) {
            Ok(()) if leaf(at, group, is_root) == *wanted => {
                self.imprinter.part(wanted);
                return Ok(());
            }
            Ok(()) => Err(DecodeError::Wrong),
            Err(error) => Err(error),
        };
        self.buffer.truncate(from);
        sound
    }

    fn flush(&mut self) -> Result<(), DecodeError<E>> {
        if !self.buffer.is_empty() {
            let imprint = self.imprinter.finish();
            (self.sink)(self.start, self.buffer, imprint).map_err(DecodeError::Sink)?;
            self.start += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}

/// The chunks of the groups that bytes `start..end` of a blob of `size` bytes are in.
pub(crate) fn chunks(start: u64, end: u64, size: u64) -> ChunkRanges {
    let first = ChunkNum((start - start % GROUP_BYTES) / CHUNK_BYTES);
    // The encoder turns a range that reaches the end into an open one, and so the decoder has to.
    match end >= size {
        true => ChunkRanges::from(first..),
        false => {
            ChunkRanges::from(first..ChunkNum(end.next_multiple_of(GROUP_BYTES) / CHUNK_BYTES))
        }
    }
}

fn read<E>(answer: &mut impl Read, buf: &mut [u8]) -> Result<(), DecodeError<E>> {
    // A pipe ends and knows no other error: why is known at its other end.
    answer.read_exact(buf).map_err(|_| DecodeError::Short)
}

fn parent(left: &[u8; 32], right: &[u8; 32], is_root: bool) -> [u8; 32] {
    match is_root {
        true => *merge_subtrees_root(left, right, Mode::Hash).as_bytes(),
        false => merge_subtrees_non_root(left, right, Mode::Hash),
    }
}

/// The value of a group in the BLAKE3 tree of its blob; `is_root` where it is all of it.
pub(crate) fn leaf(start: u64, bytes: &[u8], is_root: bool) -> [u8; 32] {
    if is_root {
        return *blake3::hash(bytes).as_bytes();
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(start);
    hasher.update(bytes);
    hasher.finalize_non_root()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bao_tree::io::outboard::PostOrderMemOutboard;
    use bao_tree::io::sync::encode_ranges;
    use proptest::prelude::*;

    fn encoded(data: &[u8], ranges: &ChunkRanges) -> (ContentHash, Vec<u8>) {
        let outboard = PostOrderMemOutboard::create(data, BLOCK);
        let mut out = (data.len() as u64).to_le_bytes().to_vec();
        encode_ranges(data, &outboard, ranges, &mut out).unwrap();
        (ContentHash(*outboard.root.as_bytes()), out)
    }

    fn data(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at / 7) as u8).collect()
    }

    fn decoded(
        answer: &[u8],
        hash: &ContentHash,
        size: u64,
        ranges: ChunkRanges,
    ) -> (Vec<(u64, Vec<u8>)>, bool) {
        let mut parts = Vec::new();
        let result = decode(
            &mut &answer[..],
            hash,
            size,
            ranges,
            &mut Vec::new(),
            |at, bytes, _| {
                parts.push((at, bytes.to_vec()));
                Ok::<_, ()>(())
            },
        );
        (parts, result.is_ok())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn what_bao_tree_encodes_is_read_back(len in 0usize..3_000_000, from: prop::sample::Index, to: prop::sample::Index) {
            let data = data(len);
            let groups = len.div_ceil(GROUP_BYTES as usize) + 1;
            let (a, b) = (from.index(groups), to.index(groups));
            let (start, end) = (a.min(b) as u64 * GROUP_BYTES, (a.max(b) as u64 * GROUP_BYTES).min(len as u64));
            prop_assume!(start < end || len == 0);
            let ranges = chunks(start, end, len as u64);
            let (hash, answer) = encoded(&data, &ranges);
            let (parts, ok) = decoded(&answer, &hash, len as u64, ranges);
            prop_assert!(ok);
            let mut at = start;
            for (offset, bytes) in parts {
                prop_assert_eq!(offset, at);
                prop_assert_eq!(&bytes[..], &data[at as usize..at as usize + bytes.len()]);
                at += bytes.len() as u64;
            }
            prop_assert_eq!(at, end);
        }

        #[test]
        fn a_changed_or_missing_byte_is_never_passed_on(len in 1usize..200_000, at: prop::sample::Index, cut: bool) {
            let data = data(len);
            let ranges = ChunkRanges::all();
            let (hash, mut answer) = encoded(&data, &ranges);
            let at = at.index(answer.len());
            if cut { answer.truncate(at) } else { answer[at] ^= 1 }
            let (parts, ok) = decoded(&answer, &hash, len as u64, ranges);
            prop_assert!(!ok);
            for (offset, bytes) in parts {
                prop_assert_eq!(&bytes[..], &data[offset as usize..offset as usize + bytes.len()]);
            }
        }
    }
}
