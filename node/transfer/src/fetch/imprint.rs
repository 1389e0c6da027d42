//! What a journal notes of bytes that were written, so that they are known again where the page cache may be lost.

use super::decode::{GROUP_BYTES, leaf};
use std::io;

/// Bytes that are read at once.
const READ_BYTES: u64 = 16 * GROUP_BYTES;

/// The first half of a BLAKE3 of the values of the parts of a range, which is cut at the multiples of 16 KiB of its
/// file. A part that begins at one has the value that it has in the file's BLAKE3 tree, which is known when it was
/// verified; another its own BLAKE3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Imprint(pub(crate) [u8; 16]);

/// Makes the imprint of a range, part by part in order.
#[derive(Debug, Default)]
pub(crate) struct Imprinter(blake3::Hasher);

impl Imprinter {
    /// The value of the next part.
    pub(crate) fn part(&mut self, value: &[u8; 32]) {
        self.0.update(value);
    }

    /// The imprint, and begins anew.
    pub(crate) fn finish(&mut self) -> Imprint {
        let mut imprint = [0; 16];
        self.0.finalize_xof().fill(&mut imprint);
        self.0.reset();
        Imprint(imprint)
    }
}

impl Imprint {
    /// Of bytes `start..end` of a file of `size` bytes, which `read` brings.
    pub(crate) fn of(
        size: u64,
        (start, end): (u64, u64),
        mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut imprinter = Imprinter::default();
        let mut buffer = Vec::new();
        let mut at = start;
        while at < end {
            let next = (at - at % READ_BYTES + READ_BYTES).min(end);
            buffer.resize((next - at) as usize, 0);
            read(at, &mut buffer)?;
            let (first, rest) = buffer.split_at(first_part(at, next));
            for part in std::iter::once(first).chain(rest.chunks(GROUP_BYTES as usize)) {
                imprinter.part(&value(size, at, part));
                at += part.len() as u64;
            }
        }
        Ok(imprinter.finish())
    }
}

/// Bytes until the next multiple of a group, or to the end.
fn first_part(at: u64, end: u64) -> usize {
    ((GROUP_BYTES - at % GROUP_BYTES).min(end - at)) as usize
}

fn value(size: u64, at: u64, part: &[u8]) -> [u8; 32] {
    match at.is_multiple_of(GROUP_BYTES) {
        true => leaf(at, part, size <= GROUP_BYTES),
        false => *blake3::hash(part).as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::fetch::decode::{chunks, decode};
    use bao_tree::io::outboard::PostOrderMemOutboard;
    use bao_tree::io::sync::encode_ranges;
    use proptest::prelude::*;
    use shoal_protocol::id::ContentHash;

    fn imprint(data: &[u8], start: usize, end: usize) -> Imprint {
        let read = |at: u64, into: &mut [u8]| {
            into.copy_from_slice(&data[at as usize..][..into.len()]);
            Ok(())
        };
        Imprint::of(data.len() as u64, (start as u64, end as u64), read).unwrap()
    }

    fn data(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at / 7) as u8).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn what_a_decoder_notes_is_what_the_bytes_say(len in 1usize..1_500_000, from: prop::sample::Index) {
            let data = data(len);
            let start = (from.index(len) as u64) / GROUP_BYTES * GROUP_BYTES;
            let ranges = chunks(start, len as u64, len as u64);
            let outboard = PostOrderMemOutboard::create(&data, bao_tree::BlockSize::from_chunk_log(4));
            let mut answer = (len as u64).to_le_bytes().to_vec();
            encode_ranges(&data[..], &outboard, &ranges, &mut answer).unwrap();
            let hash = ContentHash(*outboard.root.as_bytes());
            let mut told = Vec::new();
            decode(&mut &answer[..], &hash, len as u64, ranges, &mut Vec::new(), |at, bytes, imprint| {
                told.push((at as usize, bytes.len(), imprint));
                Ok::<_, ()>(())
            }).unwrap();
            for (at, len, told) in told {
                prop_assert_eq!(imprint(&data, at, at + len), told);
            }
        }

        #[test]
        fn a_changed_byte_changes_the_imprint(len in 1usize..100_000, a: prop::sample::Index, b: prop::sample::Index, at: prop::sample::Index) {
            let mut data = data(len);
            let (a, b) = (a.index(len), b.index(len));
            let (start, end) = (a.min(b), a.max(b) + 1);
            let before = imprint(&data, start, end);
            data[start + at.index(end - start)] ^= 1;
            prop_assert_ne!(imprint(&data, start, end), before);
        }
    }
}
