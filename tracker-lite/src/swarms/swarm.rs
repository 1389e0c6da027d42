//! One swarm: four tables, by family and role.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use shoal_protocol::id::InfoHash;
use shoal_protocol::tracker::{Event, SwarmCounts, compact};

use super::{Peers, Role, Totals, Wants};
use crate::random::Xorshift;
use crate::table::{Clock, Inserted, Slot, Stamp, Table, V4, V6};

#[derive(Debug)]
pub(super) struct Swarm {
    infohash: InfoHash,
    completed: u32,
    heard: Stamp,
    v4: Family<V4>,
    /// Most swarms have none.
    v6: Option<Box<Family<V6>>>,
}

#[derive(Debug, Default)]
struct Family<const N: usize> {
    seeds: Table<N>,
    leeches: Table<N>,
}

/// Whether the number of peers grew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    Entered,
    Stayed,
}

impl Swarm {
    pub(super) fn new(infohash: InfoHash, now: Stamp) -> Self {
        Self {
            infohash,
            completed: 0,
            heard: now,
            v4: Family::default(),
            v6: None,
        }
    }

    pub(super) fn infohash(&self) -> InfoHash {
        self.infohash
    }

    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.as_ref().map_or(0, |v6| v6.len())
    }

    pub(super) fn capacity(&self) -> usize {
        self.v4.capacity() + self.v6.as_ref().map_or(0, |v6| v6.capacity())
    }

    /// Whether it has no peers and was not heard of for a timeout.
    pub(super) fn is_over(&self, clock: Clock, now: Stamp) -> bool {
        self.len() == 0 && clock.is_overdue(self.heard, now)
    }

    pub(super) fn counts(&self) -> SwarmCounts {
        let mut totals = Totals::default();
        self.add_to(&mut totals);
        let sum = |v4: usize, v6: usize| u32::try_from(v4 + v6).unwrap_or(u32::MAX);
        SwarmCounts {
            seeds: sum(totals.seeds_v4, totals.seeds_v6),
            leeches: sum(totals.leeches_v4, totals.leeches_v6),
            completed: self.completed,
        }
    }

    pub(super) fn add_to(&self, totals: &mut Totals) {
        totals.seeds_v4 += self.v4.seeds.len();
        totals.leeches_v4 += self.v4.leeches.len();
        if let Some(v6) = &self.v6 {
            totals.seeds_v6 += v6.seeds.len();
            totals.leeches_v6 += v6.leeches.len();
        }
    }

    pub(super) fn contains(&self, addr: SocketAddr, seed: u64) -> bool {
        match addr {
            SocketAddr::V4(addr) => self.v4.contains(&slot_v4(addr), seed),
            SocketAddr::V6(addr) => self
                .v6
                .as_ref()
                .is_some_and(|v6| v6.contains(&slot_v6(addr), seed)),
        }
    }

    pub(super) fn insert(
        &mut self,
        addr: SocketAddr,
        role: Role,
        event: Event,
        now: Stamp,
        seed: u64,
    ) -> Moved {
        self.heard = now;
        let (was, is_in) = match addr {
            SocketAddr::V4(addr) => self.v4.insert(&slot_v4(addr), role, now, seed),
            SocketAddr::V6(addr) => {
                self.v6
                    .get_or_insert_default()
                    .insert(&slot_v6(addr), role, now, seed)
            }
        };
        // A seed that says it again has not downloaded again.
        if event == Event::Completed && role == Role::Seed && was != Some(Role::Seed) {
            self.completed = self.completed.saturating_add(1);
        }
        is_in
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, addr: SocketAddr, seed: u64) -> bool {
        match addr {
            SocketAddr::V4(addr) => self.v4.remove(&slot_v4(addr), seed),
            SocketAddr::V6(addr) => self
                .v6
                .as_mut()
                .is_some_and(|v6| v6.remove(&slot_v6(addr), seed)),
        }
    }

    /// Forgets who was silent too long. How many that were.
    pub(super) fn expire(
        &mut self,
        clock: Clock,
        now: Stamp,
        seed: u64,
        mut gone: impl FnMut(IpAddr),
    ) -> usize {
        let before = self.len();
        self.v4.expire(clock, now, seed, |slot| gone(ip_v4(slot)));
        if let Some(v6) = &mut self.v6 {
            v6.expire(clock, now, seed, |slot| gone(ip_v6(slot)));
            if v6.len() == 0 {
                self.v6 = None;
            }
        }
        before - self.len()
    }

    pub(super) fn for_each_address(&self, mut visit: impl FnMut(IpAddr)) {
        for slot in self.v4.seeds.iter().chain(self.v4.leeches.iter()) {
            visit(ip_v4(slot));
        }
        let Some(v6) = &self.v6 else {
            return;
        };
        for slot in v6.seeds.iter().chain(v6.leeches.iter()) {
            visit(ip_v6(slot));
        }
    }

    /// Appends up to `want` peers of the family of `skip`, none of them among `skip`.
    pub(super) fn sample(
        &self,
        wants: Wants,
        want: usize,
        skip: &[SocketAddr],
        random: &mut Xorshift,
        peers: &mut Peers,
    ) {
        let skip_v4: Vec<_> = skip.iter().filter_map(in_v4).map(slot_v4).collect();
        if !skip_v4.is_empty() {
            self.v4.sample(wants, want, &skip_v4, random, &mut peers.v4);
            return;
        }
        if let Some(v6) = &self.v6 {
            let skip_v6: Vec<_> = skip.iter().filter_map(in_v6).map(slot_v6).collect();
            v6.sample(wants, want, &skip_v6, random, &mut peers.v6);
        }
    }
}

impl<const N: usize> Family<N> {
    fn len(&self) -> usize {
        self.seeds.len() + self.leeches.len()
    }

    fn capacity(&self) -> usize {
        self.seeds.capacity() + self.leeches.capacity()
    }

    fn contains(&self, slot: &Slot<N>, seed: u64) -> bool {
        self.leeches.contains(slot, seed) || self.seeds.contains(slot, seed)
    }

    /// The role that the peer had, and whether there is one more now.
    fn insert(
        &mut self,
        slot: &Slot<N>,
        role: Role,
        now: Stamp,
        seed: u64,
    ) -> (Option<Role>, Moved) {
        let (to, from, other) = match role {
            Role::Seed => (&mut self.seeds, &mut self.leeches, Role::Leech),
            Role::Leech => (&mut self.leeches, &mut self.seeds, Role::Seed),
        };
        if to.insert(slot, now, seed) == Inserted::Refreshed {
            (Some(role), Moved::Stayed)
        } else if from.remove(slot, seed) {
            (Some(other), Moved::Stayed)
        } else {
            (None, Moved::Entered)
        }
    }

    fn remove(&mut self, slot: &Slot<N>, seed: u64) -> bool {
        self.leeches.remove(slot, seed) || self.seeds.remove(slot, seed)
    }

    fn expire(&mut self, clock: Clock, now: Stamp, seed: u64, mut gone: impl FnMut(&Slot<N>)) {
        self.seeds.expire(clock, now, seed, &mut gone);
        self.leeches.expire(clock, now, seed, &mut gone);
    }

    /// Seeds take up to half of the places, more where leeches are few: one seed among a thousand leeches would
    /// otherwise hardly ever be named.
    fn sample(
        &self,
        wants: Wants,
        want: usize,
        skip: &[Slot<N>],
        random: &mut Xorshift,
        out: &mut Vec<u8>,
    ) {
        let mut left = want;
        if wants == Wants::Anybody {
            let few_leeches = want.saturating_sub(self.leeches.len());
            left -= self
                .seeds
                .sample(few_leeches.max(want / 2), skip, random, out);
        }
        self.leeches.sample(left, skip, random, out);
    }
}

/// Appends a peer in compact form to the list of its family.
pub(super) fn write(addr: SocketAddr, peers: &mut Peers) {
    match addr {
        SocketAddr::V4(addr) => compact::write_v4(addr, &mut peers.v4),
        SocketAddr::V6(addr) => compact::write_v6(addr, &mut peers.v6),
    }
}

fn in_v4(addr: &SocketAddr) -> Option<SocketAddrV4> {
    match addr {
        SocketAddr::V4(addr) => Some(*addr),
        SocketAddr::V6(_) => None,
    }
}

fn in_v6(addr: &SocketAddr) -> Option<SocketAddrV6> {
    match addr {
        SocketAddr::V6(addr) => Some(*addr),
        SocketAddr::V4(_) => None,
    }
}

fn slot_v4(addr: SocketAddrV4) -> Slot<V4> {
    let [a, b, c, d] = addr.ip().octets();
    let [high, low] = addr.port().to_be_bytes();
    [a, b, c, d, high, low, 0]
}

fn slot_v6(addr: SocketAddrV6) -> Slot<V6> {
    let mut slot = [0; V6];
    slot[..16].copy_from_slice(&addr.ip().octets());
    slot[16..18].copy_from_slice(&addr.port().to_be_bytes());
    slot
}

fn ip_v4(slot: &Slot<V4>) -> IpAddr {
    let [a, b, c, d, ..] = *slot;
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

fn ip_v6(slot: &Slot<V6>) -> IpAddr {
    let mut ip = [0; 16];
    ip.copy_from_slice(&slot[..16]);
    IpAddr::V6(Ipv6Addr::from(ip))
}
