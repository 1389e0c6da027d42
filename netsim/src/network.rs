//! Connections: ordered and reliable while they live; what is under way when they break is lost, on both sides at different times.
//!
//! Bytes on the way are not simulated (no corruption, no reordering within a connection): QUIC and its encryption see to that.

use shoal_protocol::sync::Message;
use std::collections::{BTreeMap, BTreeSet};

/// Who is connected to whom.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// Pairs (lower number first) that are connected, with the number of the connection.
    links: BTreeMap<(usize, usize), u64>,
    /// Pairs that cannot reach each other at the moment.
    pub(crate) partitioned: BTreeSet<(usize, usize)>,
    /// Pairs that never talk.
    pub(crate) strangers: BTreeSet<(usize, usize)>,
    /// When the last thing arrives, by direction: nothing overtakes.
    last_arrival_ms: BTreeMap<(usize, usize), u64>,
    next_link: u64,
}

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) link: u64,
    pub(crate) message: Message,
}

pub(crate) fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

impl Network {
    pub(crate) fn link(&self, a: usize, b: usize) -> Option<u64> {
        self.links.get(&pair(a, b)).copied()
    }

    pub(crate) fn can_connect(&self, a: usize, b: usize) -> bool {
        let pair = pair(a, b);
        a != b
            && !self.partitioned.contains(&pair)
            && !self.strangers.contains(&pair)
            && !self.links.contains_key(&pair)
    }

    pub(crate) fn connect(&mut self, a: usize, b: usize) -> u64 {
        self.next_link += 1;
        self.links.insert(pair(a, b), self.next_link);
        self.next_link
    }

    /// Whether there was a connection.
    pub(crate) fn cut(&mut self, a: usize, b: usize) -> bool {
        self.links.remove(&pair(a, b)).is_some()
    }

    /// When something that would arrive at `at_ms` arrives, given what is under way in that direction.
    pub(crate) fn in_order(&mut self, from: usize, to: usize, at_ms: u64) -> u64 {
        let last = self.last_arrival_ms.entry((from, to)).or_default();
        *last = at_ms.max(*last);
        *last
    }

    pub(crate) fn pairs(&self) -> Vec<(usize, usize)> {
        self.links.keys().copied().collect()
    }
}
