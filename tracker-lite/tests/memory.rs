//! Memory of the swarms: what 100,000 peers take, and that a flood takes no more than the limits allow. Alone in its
//! process, because it asks the system how much memory that has.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use shoal_protocol::id::InfoHash;
use shoal_protocol::tracker::Event;
use tracker_lite::{Ask, Limits, Peers, Role, Swarms, Wants, Xorshift};

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

struct Flood {
    swarms: Swarms,
    random: Xorshift,
    peers: Peers,
    now_s: u64,
}

impl Flood {
    fn new(limits: Limits) -> Self {
        Self {
            swarms: Swarms::new(limits, 3600, 1),
            random: Xorshift::new(2),
            peers: Peers::default(),
            now_s: 0,
        }
    }

    fn announce(&mut self, torrent: u64, addr: SocketAddr) {
        let mut infohash = [0; 20];
        infohash[..8].copy_from_slice(&torrent.to_le_bytes());
        let ask = Ask {
            infohash: InfoHash(infohash),
            addr,
            second: None,
            role: Role::Leech,
            event: Event::Started,
            wants: Wants::Anybody,
            numwant: 1,
            always: &[],
        };
        self.swarms
            .announce(self.now_s, &mut self.random, &ask, &mut self.peers);
    }
}

fn v4(number: u64) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from(number as u32).into(), 6881)
}

fn v6(number: u64) -> SocketAddr {
    let ip = (0x2001_0db8_u128 << 96) + (u128::from(number) << 64) + 1;
    SocketAddr::new(Ipv6Addr::from(ip).into(), 6881)
}

#[test]
fn memory_follows_the_peers_and_ends_at_the_limits() {
    // One test, so that no other runs beside it.
    let before_kb = resident_kb();
    let mut flood = Flood::new(Limits::default());
    for number in 0..100_000 {
        flood.announce(number % 100, v4(number));
    }
    assert_eq!(flood.swarms.peers(), 100_000);
    let taken_kb = resident_kb() - before_kb;
    assert!(taken_kb < 2000, "100,000 peers took {taken_kb} kB");
    drop(flood);

    let before_kb = resident_kb();
    let limits = Limits {
        max_torrents: 10_000,
        max_peers: 50_000,
        max_peers_per_torrent: 20_000,
        ..Limits::default()
    };
    let mut flood = Flood::new(limits.clone());
    for number in 0..400_000 {
        flood.now_s = number / 200;
        // Every second one for a torrent of its own, the others for few.
        let torrent = if number % 2 == 0 { number } else { number % 7 };
        flood.announce(
            torrent,
            if number % 3 == 0 {
                v6(number)
            } else {
                v4(number)
            },
        );
        assert!(flood.swarms.peers() <= limits.max_peers);
    }
    assert!(flood.swarms.totals().torrents <= limits.max_torrents);
    let taken_kb = resident_kb().saturating_sub(before_kb);
    assert!(taken_kb < 8000, "a flood took {taken_kb} kB");
}
