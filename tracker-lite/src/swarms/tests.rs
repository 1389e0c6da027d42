#![allow(clippy::unwrap_used)]
use std::collections::BTreeSet;

use super::*;
use proptest::prelude::*;
use shoal_protocol::tracker::compact;

const HASH: InfoHash = InfoHash([1; 20]);
const TIMEOUT_S: u32 = 600;

fn swarms(limits: Limits) -> Swarms {
    Swarms::new(limits, TIMEOUT_S, 42)
}

fn ask(addr: &str, role: Role) -> Ask<'static> {
    Ask {
        infohash: HASH,
        addr: addr.parse().unwrap(),
        second: None,
        role,
        event: Event::Interval,
        wants: Wants::Anybody,
        numwant: 50,
        always: &[],
    }
}

fn named(peers: &Peers) -> BTreeSet<SocketAddr> {
    let v4 = compact::parse_v4(&peers.v4).unwrap();
    let v6 = compact::parse_v6(&peers.v6).unwrap();
    v4.into_iter()
        .map(SocketAddr::V4)
        .chain(v6.into_iter().map(SocketAddr::V6))
        .collect()
}

struct World {
    swarms: Swarms,
    random: Xorshift,
    peers: Peers,
    now_s: u64,
}

impl World {
    fn new(limits: Limits) -> Self {
        Self {
            swarms: swarms(limits),
            random: Xorshift::new(1),
            peers: Peers::default(),
            now_s: 100,
        }
    }

    fn announce(&mut self, ask: &Ask<'_>) -> Outcome {
        self.swarms
            .announce(self.now_s, &mut self.random, ask, &mut self.peers)
    }

    fn named(&self) -> Vec<String> {
        named(&self.peers).iter().map(ToString::to_string).collect()
    }
}

#[test]
fn peers_hear_of_each_other_and_never_of_themselves() {
    let mut world = World::new(Limits::default());
    world.announce(&ask("10.0.0.1:1", Role::Seed));
    assert_eq!(world.named(), [""; 0]);
    world.announce(&ask("10.0.0.2:1", Role::Leech));
    assert_eq!(world.named(), ["10.0.0.1:1"]);
    let outcome = world.announce(&ask("10.0.0.1:1", Role::Seed));
    assert_eq!(world.named(), ["10.0.0.2:1"]);
    assert_eq!((outcome.counts.seeds, outcome.counts.leeches), (1, 1));
    assert_eq!(outcome.place, Place::Held);
}

#[test]
fn families_are_apart_unless_a_peer_has_both() {
    let mut world = World::new(Limits::default());
    world.announce(&ask("10.0.0.1:1", Role::Leech));
    world.announce(&ask("[2001:db8::1]:1", Role::Leech));
    assert_eq!(world.named(), [""; 0]);
    let mut both = ask("10.0.0.2:2", Role::Leech);
    both.second = Some("[2001:db8::2]:2".parse().unwrap());
    world.announce(&both);
    assert_eq!(world.named(), ["10.0.0.1:1", "[2001:db8::1]:1"]);
    world.announce(&ask("[2001:db8::3]:3", Role::Leech));
    assert_eq!(world.named(), ["[2001:db8::1]:1", "[2001:db8::2]:2"]);
    both.event = Event::Stopped;
    assert_eq!(world.announce(&both).counts.leeches, 3);
    assert_eq!(world.named(), [""; 0]);
}

#[test]
fn seeds_need_no_seeds() {
    let mut world = World::new(Limits::default());
    for port in 1..=30 {
        world.announce(&ask(&format!("10.0.0.1:{port}"), Role::Seed));
    }
    world.announce(&ask("10.0.0.2:1", Role::Leech));
    assert_eq!(world.named().len(), 30);
    let mut seed = ask("10.0.0.3:1", Role::Seed);
    seed.wants = Wants::Leeches;
    world.announce(&seed);
    assert_eq!(world.named(), ["10.0.0.2:1"]);
}

#[test]
fn a_lone_seed_is_always_named() {
    let mut world = World::new(Limits::default());
    world.announce(&ask("10.0.0.1:1", Role::Seed));
    for port in 1..=1000 {
        world.announce(&ask(&format!("10.0.0.2:{port}"), Role::Leech));
        assert!(world.named().contains(&"10.0.0.1:1".to_owned()), "{port}");
    }
    assert_eq!(world.named().len(), 50);
}

#[test]
fn the_owners_seeder_comes_first_and_once() {
    let mut world = World::new(Limits::default());
    let always = [
        "10.9.9.9:9".parse().unwrap(),
        "[2001:db8::9]:9".parse().unwrap(),
    ];
    let seeder = ask("10.9.9.9:9", Role::Seed);
    world.announce(&seeder);
    let mut leech = ask("10.0.0.1:1", Role::Leech);
    leech.always = &always;
    world.announce(&leech);
    assert_eq!(world.peers.v4, [10, 9, 9, 9, 0, 9]);
    assert!(world.peers.v6.is_empty());
    leech.numwant = 0;
    world.announce(&leech);
    assert_eq!(world.named(), [""; 0]);
    let unknown = Ask {
        infohash: InfoHash([7; 20]),
        always: &always,
        ..ask("[::1]:1", Role::Leech)
    };
    world.announce(&unknown);
    assert_eq!(world.named(), ["[2001:db8::9]:9"]);
}

#[test]
fn a_download_counts_once() {
    let mut world = World::new(Limits::default());
    world.announce(&ask("10.0.0.1:1", Role::Leech));
    let mut done = ask("10.0.0.1:1", Role::Seed);
    done.event = Event::Completed;
    for _ in 0..3 {
        assert_eq!(
            world.announce(&done).counts,
            SwarmCounts {
                seeds: 1,
                leeches: 0,
                completed: 1
            }
        );
    }
}

#[test]
fn who_stops_or_falls_silent_is_forgotten() {
    let mut world = World::new(Limits::default());
    world.announce(&ask("10.0.0.1:1", Role::Leech));
    world.announce(&ask("10.0.0.2:1", Role::Leech));
    let stopped = Ask {
        event: Event::Stopped,
        ..ask("10.0.0.1:1", Role::Leech)
    };
    assert_eq!(world.announce(&stopped).counts.leeches, 1);
    world.now_s += u64::from(TIMEOUT_S) * 11 / 10;
    world.swarms.expire(world.now_s);
    assert_eq!(world.swarms.totals(), Totals::default());
    assert_eq!(world.swarms.peers(), 0);
}

#[test]
fn a_long_quiet_brings_nobody_back() {
    // Stamps go around; whatever time passes without a call, the silent are gone with the next one.
    for quiet_s in [1200, 1530, 1600, 3000, 100_000] {
        let mut world = World::new(Limits::default());
        for number in 0..2000 {
            world.announce(&ask(
                &format!("10.0.{}.{}:1", number / 250, number % 250),
                Role::Leech,
            ));
        }
        world.now_s += quiet_s;
        let counts = world.announce(&ask("10.1.0.1:1", Role::Leech)).counts;
        assert_eq!(counts.leeches, 1, "after {quiet_s} s");
    }
}

#[test]
fn a_peer_that_does_not_listen_is_not_named() {
    let mut world = World::new(Limits::default());
    assert_eq!(
        world.announce(&ask("10.0.0.1:0", Role::Leech)).place,
        Place::None
    );
    world.announce(&ask("10.0.0.2:1", Role::Leech));
    assert_eq!(world.named(), [""; 0]);
}

#[test]
fn removal_is_at_once_and_whole() {
    let mut world = World::new(Limits {
        max_peers_per_address: 2,
        ..Limits::default()
    });
    for addr in ["10.0.0.1:1", "10.0.0.1:2", "[2001:db8::1]:1"] {
        world.announce(&ask(addr, Role::Leech));
    }
    assert!(world.swarms.remove(&HASH));
    assert!(!world.swarms.remove(&HASH));
    assert_eq!(world.swarms.peers(), 0);
    assert_eq!(world.swarms.counts(&HASH), SwarmCounts::default());
    assert_eq!(
        world.announce(&ask("10.0.0.1:3", Role::Leech)).place,
        Place::Held
    );
}

#[test]
fn each_limit_holds() {
    let limits = Limits {
        max_torrents: 2,
        max_peers: 5,
        max_peers_per_torrent: 3,
        max_peers_per_address: 2,
        ..Limits::default()
    };
    let mut world = World::new(limits);
    let mut place = |hash: u8, addr: &str| {
        world
            .announce(&Ask {
                infohash: InfoHash([hash; 20]),
                ..ask(addr, Role::Leech)
            })
            .place
    };
    assert_eq!(place(1, "10.0.0.1:1"), Place::Held);
    assert_eq!(place(1, "10.0.0.1:2"), Place::Held);
    assert_eq!(place(1, "10.0.0.1:3"), Place::Full(Full::Address));
    assert_eq!(place(1, "10.0.0.1:1"), Place::Held, "who is in stays in");
    assert_eq!(place(1, "10.0.0.2:1"), Place::Held);
    assert_eq!(place(1, "10.0.0.3:1"), Place::Full(Full::Torrent));
    assert_eq!(place(2, "[2001:db8::1]:1"), Place::Held);
    assert_eq!(place(3, "10.0.0.4:1"), Place::Full(Full::Torrents));
    assert_eq!(place(2, "[2001:db8::2]:1"), Place::Held);
    assert_eq!(place(2, "[2001:db8::3]:1"), Place::Full(Full::Peers));
}

proptest! {
    /// Whatever comes, the sums agree and the limits hold.
    #[test]
    fn sums_and_limits(
        steps in proptest::collection::vec((0u8..4, 0u8..30, 0u8..3, any::<bool>(), 0u64..300), 0..300)
    ) {
        let limits = Limits { max_torrents: 3, max_peers: 40, max_peers_per_torrent: 20, ..Limits::default() };
        let mut world = World::new(limits.clone());
        for (hash, host, kind, v6, wait_s) in steps {
            world.now_s += wait_s;
            let addr = if v6 { format!("[2001:db8::{host}]:1") } else { format!("10.0.0.{host}:1") };
            let infohash = InfoHash([hash; 20]);
            let role = if kind == 1 { Role::Seed } else { Role::Leech };
            let event = if kind == 2 { Event::Stopped } else { Event::Interval };
            let own = addr.parse().unwrap();
            world.announce(&Ask { infohash, event, ..ask(&addr, role) });
            prop_assert!(!named(&world.peers).contains(&own));
            let totals = world.swarms.totals();
            let sum = totals.seeds_v4 + totals.seeds_v6 + totals.leeches_v4 + totals.leeches_v6;
            prop_assert_eq!(sum, world.swarms.peers());
            prop_assert!(sum <= limits.max_peers && totals.torrents <= limits.max_torrents);
            let counts = world.swarms.counts(&infohash);
            prop_assert!((counts.seeds + counts.leeches) as usize <= limits.max_peers_per_torrent);
        }
        world.now_s += 2 * u64::from(TIMEOUT_S);
        for _ in 0..4 {
            world.now_s += 1;
            world.swarms.expire(world.now_s);
        }
        prop_assert_eq!(world.swarms.totals(), Totals::default());
    }
}
