//! Addresses that count as one taker, because one BitTorrent client comes by all of them.
//!
//! A client has an IPv4 and an IPv6 address, or one in the local network and one that its router gives it. Its
//! peer id is the same by each. But a peer id is chosen by the client and seen by others, so this table only ever
//! lets few addresses share *one* slot; what they get by that is bounded in [`super::Slots::taker_of`].

use super::IDLE_MS;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// How a BitTorrent client names itself (BEP 3).
pub type PeerId = [u8; 20];

/// Addresses that share one slot: two families, each in the local network and beyond it.
pub const MERGED_MAX: usize = 4;
/// Peer ids, and addresses, that are remembered for a link.
const REMEMBERED_MAX: usize = 4_096;

/// Pause between two looks at what can be forgotten; a look takes some hundred microseconds.
const PRUNE_EVERY_MS: u64 = 60 * 1000;

/// Which addresses count under which.
#[derive(Debug, Clone, Default)]
pub(super) struct Merged {
    /// The first address that a peer id came by, and when it came last.
    first_of: BTreeMap<PeerId, (IpAddr, u64)>,
    /// Addresses that count under another, which itself counts under none.
    under: BTreeMap<IpAddr, IpAddr>,
    pruned_ms: u64,
}

impl Merged {
    /// Under which address this one counts.
    pub(super) fn first(&self, address: IpAddr) -> IpAddr {
        self.under.get(&address).copied().unwrap_or(address)
    }

    /// A client with this peer id came by this address, perhaps as the first.
    pub(super) fn know(&mut self, now_ms: u64, peer_id: PeerId, address: IpAddr) {
        if let Some((_, seen_ms)) = self.first_of.get_mut(&peer_id) {
            *seen_ms = now_ms;
        } else if self.has_room(now_ms) {
            self.first_of.insert(peer_id, (self.first(address), now_ms));
        }
    }

    /// From now on this address counts under the first of that peer id, if it may.
    pub(super) fn join(&mut self, peer_id: &PeerId, address: IpAddr) {
        let Some((first, _)) = self.first_of.get(peer_id).copied() else {
            return;
        };
        // An address that others count under stays what it is, or chains of peer ids would merge any number.
        let is_free =
            first != address && self.first(address) == address && self.members(address) == 0;
        if is_free && self.members(first) + 1 < MERGED_MAX && self.under.len() < REMEMBERED_MAX {
            self.under.insert(address, first);
        }
    }

    fn members(&self, first: IpAddr) -> usize {
        self.under.values().filter(|under| **under == first).count()
    }

    /// Forgets peer ids that have not come for long. Where too many come, later ones count by their addresses.
    fn has_room(&mut self, now_ms: u64) -> bool {
        let is_full = self.first_of.len() >= REMEMBERED_MAX;
        if is_full && now_ms.saturating_sub(self.pruned_ms) > PRUNE_EVERY_MS {
            self.pruned_ms = now_ms;
            self.first_of
                .retain(|_, (_, seen_ms)| now_ms.saturating_sub(*seen_ms) <= IDLE_MS);
            let firsts: std::collections::BTreeSet<_> =
                self.first_of.values().map(|(first, _)| *first).collect();
            self.under.retain(|_, first| firsts.contains(first));
        }
        self.first_of.len() < REMEMBERED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Merged {
        fn learn(&mut self, now_ms: u64, peer_id: PeerId, address: IpAddr) {
            self.know(now_ms, peer_id, address);
            self.join(&peer_id, address);
        }
    }

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn few_addresses_of_one_peer_id_count_under_the_first() {
        let mut merged = Merged::default();
        for n in 0..10 {
            merged.learn(0, [1; 20], ip(n));
        }
        let firsts: Vec<_> = (0..6).map(|n| merged.first(ip(n))).collect();
        assert_eq!(firsts, [ip(0), ip(0), ip(0), ip(0), ip(4), ip(5)]);
    }

    #[test]
    fn chains_of_peer_ids_merge_no_more_than_one() {
        let mut merged = Merged::default();
        for n in 0..50 {
            merged.learn(0, [n; 20], ip(n));
            merged.learn(0, [n; 20], ip(n + 1));
        }
        for n in 0..51 {
            let first = merged.first(ip(n));
            assert_eq!(merged.first(first), first);
            assert!(merged.members(first) < MERGED_MAX);
        }
    }

    #[test]
    fn two_clients_behind_one_address_do_not_make_a_third_of_their_own_addresses() {
        let mut merged = Merged::default();
        merged.learn(0, [1; 20], ip(1));
        merged.learn(0, [2; 20], ip(1));
        merged.learn(0, [1; 20], ip(2));
        merged.learn(0, [2; 20], ip(3));
        assert_eq!([2, 3].map(|n| merged.first(ip(n))), [ip(1), ip(1)]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut merged = Merged::default();
        for n in 0..3 * REMEMBERED_MAX as u32 {
            let mut peer_id = [0; 20];
            peer_id[..4].copy_from_slice(&n.to_be_bytes());
            merged.learn(u64::from(n), peer_id, IpAddr::from(n.to_be_bytes()));
            merged.learn(u64::from(n), peer_id, IpAddr::from((!n).to_be_bytes()));
        }
        assert_eq!(merged.first_of.len(), REMEMBERED_MAX);
        assert_eq!(merged.under.len(), REMEMBERED_MAX);
        merged.learn(u64::MAX, [255; 20], ip(1));
        assert_eq!((merged.first_of.len(), merged.under.len()), (1, 0));
    }
}
