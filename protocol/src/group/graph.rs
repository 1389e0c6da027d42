//! The records of a log as a graph: who descends from whom.

use super::record::Record;
use crate::id::RecordHash;
use crate::limits::GROUP_MAX_RECORDS;
use std::collections::{BTreeSet, HashMap};

/// Verified records; each has all that it descends from before it.
#[derive(Debug, Clone)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    by_hash: HashMap<RecordHash, usize>,
}

/// A record in its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) record: Record,
    pub(super) hash: RecordHash,
    pub(super) past: Set,
    /// The longest way back to the first record: with the hash, an order that all devices agree on.
    pub(super) depth: u32,
    signed: Vec<u8>,
}

/// A set of records, by their number in this graph.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Set([u64; GROUP_MAX_RECORDS.div_ceil(64)]);

impl Graph {
    pub(super) fn new(record: Record, hash: RecordHash, signed: Vec<u8>) -> Self {
        let mut graph = Self {
            nodes: Vec::new(),
            by_hash: HashMap::new(),
        };
        graph.push(record, hash, signed);
        graph
    }

    /// Adds a record that was checked and whose parents are all here.
    pub(super) fn push(&mut self, record: Record, hash: RecordHash, signed: Vec<u8>) {
        let past = self.past(&record.parents).unwrap_or_default();
        let depth = past.iter().filter_map(|at| self.nodes.get(at));
        let depth = depth.map(|node| node.depth + 1).max().unwrap_or(0);
        self.by_hash.insert(hash, self.nodes.len());
        self.nodes.push(Node {
            record,
            hash,
            past,
            depth,
            signed,
        });
    }

    /// These records and all that they descend from; none if one is not here.
    pub(super) fn past(&self, parents: &[RecordHash]) -> Option<Set> {
        let mut past = Set::default();
        for parent in parents {
            let at = self.find(parent)?;
            past.unite(&self.nodes.get(at)?.past);
            past.insert(at);
        }
        Some(past)
    }

    pub(super) fn find(&self, hash: &RecordHash) -> Option<usize> {
        self.by_hash.get(hash).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The hash of the first record.
    pub(super) fn first(&self) -> RecordHash {
        self.nodes.first().map_or(RecordHash([0; 32]), |it| it.hash)
    }

    /// Nodes with their numbers, those of `within` alone where it is given.
    pub(super) fn nodes<'a>(
        &'a self,
        within: Option<&'a Set>,
    ) -> impl Iterator<Item = (usize, &'a Node)> {
        let all = self.nodes.iter().enumerate();
        all.filter(move |(at, _)| within.is_none_or(|set| set.contains(*at)))
    }

    pub(super) fn node(&self, at: usize) -> Option<&Node> {
        self.nodes.get(at)
    }

    /// Records that no other builds on, sorted.
    pub(super) fn heads(&self) -> Vec<RecordHash> {
        let mut heads: BTreeSet<RecordHash> = self.nodes.iter().map(|node| node.hash).collect();
        for node in &self.nodes {
            for parent in &node.record.parents {
                heads.remove(parent);
            }
        }
        heads.into_iter().collect()
    }

    /// Signed bytes with their hashes, in the order that all devices agree on.
    pub(super) fn records(&self) -> impl Iterator<Item = (RecordHash, &[u8])> {
        let mut sorted: Vec<&Node> = self.nodes.iter().collect();
        sorted.sort_by_key(|node| node.order());
        sorted
            .into_iter()
            .map(|node| (node.hash, node.signed.as_slice()))
    }
}

impl Node {
    pub(super) fn order(&self) -> (u32, RecordHash) {
        (self.depth, self.hash)
    }
}

impl Set {
    pub(super) fn contains(&self, at: usize) -> bool {
        let word = self.0.get(at / 64);
        word.is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    fn insert(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    fn unite(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        (0..GROUP_MAX_RECORDS).filter(|at| self.contains(*at))
    }
}
