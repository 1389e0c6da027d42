//! The swarms, without IO and without a clock: the caller brings the time and the randomness.
//!
//! Memory follows the number of peers and never passes the limits. Peers that were silent too long go in slices: a
//! little work with each call, so that no announce waits for a walk over everything.

mod swarm;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;

use shoal_protocol::id::InfoHash;
use shoal_protocol::tracker::{Event, SwarmCounts};

use crate::config::Limits;
use crate::random::{Xorshift, fold};
use crate::table::{Clock, Stamp};
use crate::tally::Tally;
use swarm::{Moved, Swarm};

/// Slots that are looked at for peers to forget, for each second that passed; more if there are very many, so that
/// all are looked at within [`EXPIRE_PASS_S`].
const EXPIRE_SLOTS_PER_S: usize = 32_768;
/// Seconds in which every slot is looked at: less than the shortest timeout.
const EXPIRE_PASS_S: usize = 32;

/// All swarms of a tracker.
#[derive(Debug)]
pub struct Swarms {
    /// Positions in `swarms`.
    index: HashMap<InfoHash, u32, Keyed>,
    swarms: Vec<Swarm>,
    peers: usize,
    by_address: Tally,
    limits: Limits,
    peer_timeout_s: u32,
    clock: Clock,
    /// Slots of all swarms when the last pass over them ended.
    slots: usize,
    /// Slots seen in this pass.
    slots_seen: usize,
    /// The next swarm to look at for peers to forget.
    cursor: usize,
    expired_s: u64,
    seed: u64,
}

/// An announce, checked and reduced to what the swarms need.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Which torrent.
    pub infohash: InfoHash,
    /// Where the peer listens, in canonical form (no IPv4-mapped IPv6). With port 0 it is not handed out.
    pub addr: SocketAddr,
    /// The same peer in the other family (BEP 7).
    pub second: Option<SocketAddr>,
    /// Whether it has everything.
    pub role: Role,
    /// What happened.
    pub event: Event,
    /// Whom it wants to hear of.
    pub wants: Wants,
    /// How many peers it wants, of either family that it has.
    pub numwant: usize,
    /// Peers to hand out first.
    pub always: &'a [SocketAddr],
}

/// What a peer is in its swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It has everything.
    Seed,
    /// It lacks something.
    Leech,
}

/// Whom a peer wants to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// Anybody.
    Anybody,
    /// Leeches: a seed has nothing to say to a seed.
    Leeches,
}

/// What became of an announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The swarm afterwards.
    pub counts: SwarmCounts,
    /// Whether the peer is handed out to others.
    pub place: Place,
}

/// Whether a peer has a place in its swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It has.
    Held,
    /// It left, or does not listen.
    None,
    /// A limit stands against it. It has got peers all the same.
    Full(Full),
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// [`Limits::max_torrents`].
    Torrents,
    /// [`Limits::max_peers`].
    Peers,
    /// [`Limits::max_peers_per_torrent`].
    Torrent,
    /// [`Limits::max_peers_per_address`].
    Address,
}

/// Peers for an answer, in compact form. The buffers are reused.
#[derive(Debug, Default)]
pub struct Peers {
    /// 6 bytes each.
    pub v4: Vec<u8>,
    /// 18 bytes each.
    pub v6: Vec<u8>,
}

/// Sums over everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Torrents with peers.
    pub torrents: usize,
    /// Seeds over IPv4.
    pub seeds_v4: usize,
    /// Leeches over IPv4.
    pub leeches_v4: usize,
    /// Seeds over IPv6.
    pub seeds_v6: usize,
    /// Leeches over IPv6.
    pub leeches_v6: usize,
}

impl Swarms {
    /// No swarms. `seed` must be secret where announces come from outside: addresses are hashed under it.
    pub fn new(limits: Limits, peer_timeout_s: u32, seed: u64) -> Self {
        Self {
            index: HashMap::with_hasher(Keyed(seed)),
            swarms: Vec::new(),
            peers: 0,
            by_address: Tally::new(limits.max_peers, !seed),
            limits,
            peer_timeout_s,
            clock: Clock::new(peer_timeout_s),
            slots: 0,
            slots_seen: 0,
            cursor: 0,
            expired_s: 0,
            seed,
        }
    }

    /// Takes an announce in and picks peers for the answer, which replace what is in `peers`.
    /// `now_s` may have any origin but must not go back.
    pub fn announce(
        &mut self,
        now_s: u64,
        random: &mut Xorshift,
        ask: &Ask<'_>,
        peers: &mut Peers,
    ) -> Outcome {
        peers.v4.clear();
        peers.v6.clear();
        self.expire(now_s);
        let mut place = Place::None;
        for addr in std::iter::once(ask.addr).chain(ask.second) {
            let one = if ask.event == Event::Stopped {
                self.leave(&ask.infohash, addr);
                Place::None
            } else if addr.port() == 0 {
                Place::None
            } else {
                self.enter(now_s, ask, addr)
            };
            if place != Place::Held {
                place = one;
            }
        }
        if ask.event != Event::Stopped {
            self.pick(random, ask, peers);
        }
        Outcome {
            counts: self.counts(&ask.infohash),
            place,
        }
    }

    /// What is known of a torrent; zeros if nothing is.
    pub fn counts(&self, infohash: &InfoHash) -> SwarmCounts {
        self.swarm(infohash).map(Swarm::counts).unwrap_or_default()
    }

    /// Takes one peer out.
    pub fn leave(&mut self, infohash: &InfoHash, addr: SocketAddr) {
        let seed = self.seed;
        let Some(swarm) = self.swarm_mut(infohash) else {
            return;
        };
        if swarm.remove(addr, seed) {
            self.peers -= 1;
            self.by_address.take(addr.ip());
        }
    }

    /// Forgets a torrent and its peers at once. Whether there was anything.
    pub fn remove(&mut self, infohash: &InfoHash) -> bool {
        let Some(at) = self.index.get(infohash).copied() else {
            return false;
        };
        let swarm = self.drop_at(at as usize);
        swarm.for_each_address(|ip| self.by_address.take(ip));
        self.peers -= swarm.len();
        true
    }

    /// Forgets peers that were silent too long, a slice of them for each second since the last call.
    /// [`Swarms::announce`] calls it.
    pub fn expire(&mut self, now_s: u64) {
        let passed_s = usize::try_from(now_s.saturating_sub(self.expired_s)).unwrap_or(usize::MAX);
        if passed_s == 0 {
            return;
        }
        self.expired_s = now_s;
        if passed_s as u64 > u64::from(self.peer_timeout_s) {
            // Every announce passes here: whoever is in was heard before that, and is overdue. Stamps may have gone
            // around meanwhile, so that they would not show it.
            self.clear();
            return;
        }
        let per_s = EXPIRE_SLOTS_PER_S.max(self.slots / EXPIRE_PASS_S);
        let mut budget = per_s.saturating_mul(passed_s);
        let now = self.clock.stamp(now_s);
        // Each swarm once at most; a swarm that is dropped is replaced by the last one.
        for _ in 0..self.swarms.len() {
            if budget == 0 {
                break;
            }
            if self.cursor >= self.swarms.len() {
                self.cursor = 0;
                self.slots = std::mem::take(&mut self.slots_seen);
            }
            let slots = self.expire_at_cursor(now);
            self.slots_seen += slots;
            budget = budget.saturating_sub(slots);
        }
    }

    /// Sums over everything; walks over all torrents.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            torrents: self.swarms.len(),
            ..Totals::default()
        };
        for swarm in &self.swarms {
            swarm.add_to(&mut totals);
        }
        totals
    }

    /// Peers of all torrents.
    pub fn peers(&self) -> usize {
        self.peers
    }

    fn enter(&mut self, now_s: u64, ask: &Ask<'_>, addr: SocketAddr) -> Place {
        let at = match self.index.get(&ask.infohash) {
            Some(at) => *at as usize,
            None if self.peers >= self.limits.max_peers => return Place::Full(Full::Peers),
            None if self.swarms.len() >= self.limits.max_torrents => {
                return Place::Full(Full::Torrents);
            }
            None => self.found(ask.infohash, self.clock.stamp(now_s)),
        };
        let swarm = &mut self.swarms[at];
        if !swarm.contains(addr, self.seed) {
            let per_address = self.limits.max_peers_per_address;
            let full = if self.peers >= self.limits.max_peers {
                Some(Full::Peers)
            } else if swarm.len() >= self.limits.max_peers_per_torrent {
                Some(Full::Torrent)
            } else if per_address > 0 && self.by_address.count(addr.ip()) >= per_address {
                Some(Full::Address)
            } else {
                None
            };
            if let Some(full) = full {
                return Place::Full(full);
            }
        }
        match swarm.insert(
            addr,
            ask.role,
            ask.event,
            self.clock.stamp(now_s),
            self.seed,
        ) {
            Moved::Entered => {
                self.peers += 1;
                self.by_address.add(addr.ip());
            }
            Moved::Stayed => {}
        }
        Place::Held
    }

    /// Peers of each family that the asker has: first those that are always handed out, then random ones.
    fn pick(&self, random: &mut Xorshift, ask: &Ask<'_>, peers: &mut Peers) {
        let swarm = self.swarm(&ask.infohash);
        for own in std::iter::once(ask.addr).chain(ask.second) {
            let mut skip = vec![own];
            for addr in ask.always.iter().take(ask.numwant) {
                if addr.is_ipv4() == own.is_ipv4() && !skip.contains(addr) {
                    swarm::write(*addr, peers);
                    skip.push(*addr);
                }
            }
            let want = ask.numwant + 1 - skip.len();
            if let Some(swarm) = swarm {
                swarm.sample(ask.wants, want, &skip, random, peers);
            }
        }
    }

    fn clear(&mut self) {
        self.index = HashMap::with_hasher(Keyed(self.seed));
        self.swarms = Vec::new();
        self.by_address.clear();
        self.peers = 0;
        self.slots_seen = 0;
        self.cursor = 0;
    }

    /// Looks at one swarm and moves on. How many slots that were, with something for the swarm itself.
    fn expire_at_cursor(&mut self, now: Stamp) -> usize {
        let at = self.cursor;
        let Some(swarm) = self.swarms.get_mut(at) else {
            return 0;
        };
        let by_address = &mut self.by_address;
        let slots = 8 + swarm.capacity();
        self.peers -= swarm.expire(self.clock, now, self.seed, |ip| by_address.take(ip));
        if swarm.is_over(self.clock, now) {
            self.drop_at(at);
        } else {
            self.cursor += 1;
        }
        slots
    }

    fn found(&mut self, infohash: InfoHash, now: Stamp) -> usize {
        let at = self.swarms.len();
        self.swarms.push(Swarm::new(infohash, now));
        self.index
            .insert(infohash, u32::try_from(at).unwrap_or(u32::MAX));
        at
    }

    fn drop_at(&mut self, at: usize) -> Swarm {
        let swarm = self.swarms.swap_remove(at);
        self.index.remove(&swarm.infohash());
        if let Some(moved) = self.swarms.get(at) {
            self.index
                .insert(moved.infohash(), u32::try_from(at).unwrap_or(u32::MAX));
        }
        swarm
    }

    fn swarm(&self, infohash: &InfoHash) -> Option<&Swarm> {
        self.swarms.get(*self.index.get(infohash)? as usize)
    }

    fn swarm_mut(&mut self, infohash: &InfoHash) -> Option<&mut Swarm> {
        self.swarms.get_mut(*self.index.get(infohash)? as usize)
    }
}

/// Hashes infohashes under a secret: they are chosen by whoever makes a torrent.
#[derive(Debug, Clone, Copy)]
struct Keyed(u64);

#[derive(Debug)]
struct KeyedHasher(u64);

impl BuildHasher for Keyed {
    type Hasher = KeyedHasher;

    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher(self.0)
    }
}

impl Hasher for KeyedHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = crate::table::hash(bytes, self.0);
    }

    fn write_usize(&mut self, len: usize) {
        self.0 = fold(self.0 ^ len as u64, 0x589d_65cc_75b8_17a5);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
