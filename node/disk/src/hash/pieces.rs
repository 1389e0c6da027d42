//! SHA-1 of the pieces of one unit.

use sha1::{Digest, Sha1};
use std::sync::OnceLock;

/// Zeros to hash where a hole is.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// What a piece of nothing but zeros hashes to: sparse files have thousands of them.
#[derive(Default)]
pub(super) struct ZeroPiece(OnceLock<[u8; 20]>);

/// Takes bytes in order and cuts them into pieces.
pub(super) struct Pieces<'a> {
    piece_length: u64,
    /// Bytes until the current piece ends.
    left: u64,
    /// Zeros at the start of the current piece that `sha` was not given yet.
    zeros: u64,
    sha: Sha1,
    done: Vec<u8>,
    zero_piece: &'a ZeroPiece,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(piece_length: u64, zero_piece: &'a ZeroPiece) -> Self {
        Self {
            piece_length,
            left: piece_length,
            zeros: 0,
            sha: Sha1::new(),
            done: Vec::new(),
            zero_piece,
        }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            feed_zeros(&mut self.sha, std::mem::take(&mut self.zeros));
            let take = usize::try_from(self.left)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let (now, later) = bytes.split_at(take);
            self.sha.update(now);
            self.left -= take as u64;
            if self.left == 0 {
                self.done.extend_from_slice(&self.sha.finalize_reset());
                self.left = self.piece_length;
            }
            bytes = later;
        }
    }

    /// The same as `update` with so many zeros.
    pub(super) fn update_zeros(&mut self, mut count: u64) {
        while count > 0 {
            let take = self.left.min(count);
            if self.left + self.zeros == self.piece_length {
                self.zeros += take;
            } else {
                feed_zeros(&mut self.sha, take);
            }
            self.left -= take;
            count -= take;
            if self.left == 0 {
                if std::mem::take(&mut self.zeros) == self.piece_length {
                    self.done
                        .extend_from_slice(&self.zero_piece.digest(self.piece_length));
                } else {
                    self.done.extend_from_slice(&self.sha.finalize_reset());
                }
                self.left = self.piece_length;
            }
        }
    }

    /// The last piece of a torrent is as short as it is.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.left < self.piece_length {
            feed_zeros(&mut self.sha, self.zeros);
            self.done.extend_from_slice(&self.sha.finalize());
        }
        self.done
    }
}

impl ZeroPiece {
    fn digest(&self, piece_length: u64) -> [u8; 20] {
        *self.0.get_or_init(|| {
            let mut sha = Sha1::new();
            feed_zeros(&mut sha, piece_length);
            sha.finalize().into()
        })
    }
}

fn feed_zeros(sha: &mut Sha1, mut count: u64) {
    while count > 0 {
        let take = count.min(ZEROS.len() as u64);
        sha.update(ZEROS.get(..take as usize).unwrap_or_default());
        count -= take;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn zeros_told_and_zeros_given_hash_alike(runs in prop::collection::vec((any::<bool>(), 0usize..200), 0..12)) {
            let zero_piece = ZeroPiece::default();
            let mut pieces = Pieces::new(64, &zero_piece);
            let mut bytes = Vec::new();
            for (told, count) in runs {
                let start = bytes.len();
                // Every other run of given bytes is zeros too.
                let value = if count % 2 == 0 { 0 } else { count as u8 };
                bytes.resize(start + count, if told { 0 } else { value });
                if told {
                    pieces.update_zeros(count as u64);
                } else {
                    pieces.update(&bytes[start..]);
                }
            }
            let plain: Vec<u8> = bytes.chunks(64).flat_map(|piece| Sha1::digest(piece).to_vec()).collect();
            prop_assert_eq!(pieces.finish(), plain);
        }
    }
}
