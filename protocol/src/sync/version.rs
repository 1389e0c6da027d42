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
    /// Random number of the start of the author's program in which it wrote that number. An author that does not
    /// know this incarnation as its own has been restored from a backup.
    pub incarnation: u64,
}

/// What a replica has seen of every author.
pub type Knowledge = BTreeMap<AuthorId, Seen>;
