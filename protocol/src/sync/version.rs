//! Who wrote what, in which order: authors, dots, version vectors and knowledge.

use crate::id::DeviceId;
use std::collections::BTreeMap;

/// A device in one epoch. A restored home that meets its own higher counter goes on in a new epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorId {
    /// The device.
    pub device: DeviceId,
    /// 0 at first; grows when the device lost its memory.
    pub epoch: u32,
}

/// One entry by one author: entries of an author are numbered from 1 on, over all paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Who wrote it.
    pub author: AuthorId,
    /// Its number.
    pub seq: u64,
}

/// For each author, the number of its last entry *at this path* that an entry has taken into account, its own included.
///
/// Sorted by author, without zeros: one value has one form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct VersionVector(Vec<(AuthorId, u64)>);

impl VersionVector {
    /// The vector that precedes all.
    pub fn new() -> Self {
        Self::default()
    }

    /// From pairs in any order; of an author named twice, the higher number counts.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (AuthorId, u64)>) -> Self {
        let mut vector = Self::new();
        for (author, seq) in pairs {
            vector.raise(Dot { author, seq });
        }
        vector
    }

    /// The pairs, sorted by author.
    pub fn pairs(&self) -> &[(AuthorId, u64)] {
        &self.0
    }

    /// The number for an author; 0 when there is none.
    pub fn of(&self, author: AuthorId) -> u64 {
        self.0
            .binary_search_by_key(&author, |pair| pair.0)
            .ok()
            .and_then(|at| self.0.get(at))
            .map_or(0, |pair| pair.1)
    }

    /// Whether what the dot names has been taken into account.
    pub fn contains(&self, dot: Dot) -> bool {
        self.of(dot.author) >= dot.seq
    }

    /// Whether all of `other` has been taken into account.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(author, seq)| self.of(*author) >= *seq)
    }

    /// Takes a dot into account.
    pub fn raise(&mut self, dot: Dot) {
        if dot.seq == 0 {
            return;
        }
        match self.0.binary_search_by_key(&dot.author, |pair| pair.0) {
            Ok(at) => {
                if let Some(pair) = self.0.get_mut(at) {
                    pair.1 = pair.1.max(dot.seq);
                }
            }
            Err(at) => self.0.insert(at, (dot.author, dot.seq)),
        }
    }

    /// Takes all of another vector into account.
    pub fn join(&mut self, other: &Self) {
        for (author, seq) in &other.0 {
            self.raise(Dot {
                author: *author,
                seq: *seq,
            });
        }
    }

    /// Forgets what is above `seq` of one author: used when a restored device disowns its last numbers.
    pub fn clip(&mut self, author: AuthorId, seq: u64) {
        for pair in &mut self.0 {
            if pair.0 == author {
                pair.1 = pair.1.min(seq);
            }
        }
        self.0.retain(|pair| pair.1 > 0);
    }
}

/// How far a replica has seen an author: it holds all entries up to `seq`, or entries that dominate them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen {
    /// The highest number.
    pub seq: u64,
    /// The start of the author's program in which it wrote that number: see [`incarnation`]. An author that does not know this
    /// incarnation as its own has been restored from a backup. [`DOUBTED`] when the author gave later numbers twice.
    pub incarnation: u64,
}

/// The incarnation of nobody: the author was restored and gave numbers above this one again, so that they name different entries
/// at different replicas. None of them counts as seen, for good.
pub(super) const DOUBTED: u64 = 0;
/// Bits of an incarnation that tell the first number that was written in it; the others are random.
const FIRST_BITS: u32 = 40;

/// A start of an author's program, by a random number and the first number that it wrote.
pub(super) fn incarnation(nonce: u64, first_seq: u64) -> u64 {
    nonce << FIRST_BITS | first_seq & ((1 << FIRST_BITS) - 1)
}

impl Seen {
    /// Whether later numbers of the author do not count as seen.
    pub(super) fn is_doubted(&self) -> bool {
        self.incarnation == DOUBTED
    }

    /// The first number that was written in the same start of the program; 0 when that is nobody's.
    pub(super) fn first_seq(&self) -> u64 {
        self.incarnation & ((1 << FIRST_BITS) - 1)
    }

    /// When two starts of one author wrote the same numbers: the last number below them. It was restored in between.
    pub(super) fn forked_after(&self, other: &Seen) -> Option<u64> {
        let (one, two) = (self.first_seq(), other.first_seq());
        let apart = self.incarnation == other.incarnation
            || self.is_doubted()
            || other.is_doubted()
            || one > other.seq
            || two > self.seq;
        (!apart).then(|| one.min(two).saturating_sub(1))
    }
}

/// What a replica has seen of every author.
pub type Knowledge = BTreeMap<AuthorId, Seen>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_starts_that_wrote_the_same_numbers_are_a_fork() {
        let seen = |seq, nonce, first| Seen {
            seq,
            incarnation: incarnation(nonce, first),
        };
        for (one, other, forked_after) in [
            (seen(5, 1, 1), seen(9, 1, 1), None),
            (seen(5, 1, 1), seen(9, 2, 6), None),
            (seen(5, 1, 1), seen(9, 2, 5), Some(0)),
            (seen(5, 1, 3), seen(4, 2, 4), Some(2)),
            (seen(5, 1, 5), seen(5, 2, 5), Some(4)),
            (seen(0, 1, 0), seen(9, 2, 1), None),
            (
                seen(5, 1, 1),
                Seen {
                    seq: 3,
                    incarnation: DOUBTED,
                },
                None,
            ),
        ] {
            assert_eq!(one.forked_after(&other), forked_after, "{one:?} {other:?}");
            assert_eq!(other.forked_after(&one), forked_after, "{other:?} {one:?}");
        }
    }
}
