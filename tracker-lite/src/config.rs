//! Settings and limits. Units are in the names.

use std::net::IpAddr;

/// How a [`Tracker`](crate::Tracker) behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// When clients should announce again. Up to an eighth is added at random, so that they do not come all at once.
    pub interval_s: u32,
    /// How soon they may.
    pub min_interval_s: u32,
    /// A peer that was silent for so long is forgotten.
    pub peer_timeout_s: u32,
    /// Peers in an answer where the client does not say how many.
    pub numwant_default: u32,
    /// Peers in an answer at most. Over UDP a packet holds 200 of IPv4 and 66 of IPv6.
    pub numwant_max: u32,
    /// Whether clients may say which address they have.
    pub claimed: ClaimedAddresses,
    /// Reverse proxies: from these addresses the last `X-Forwarded-For` is believed.
    pub proxies: Vec<IpAddr>,
    /// Limits.
    pub limits: Limits,
}

/// Whether `ip`, `ipv4` and `ipv6` of an announce count (BEP 3, 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClaimedAddresses {
    /// A peer has the address that its announce came from. Otherwise anybody could point a swarm at anybody.
    #[default]
    Ignored,
    /// For trackers that cannot see the clients' addresses, in networks where everybody is trusted.
    Believed,
}

/// What bounds memory and work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Torrents with peers.
    pub max_torrents: usize,
    /// Peers of all torrents. One takes about 10 bytes over IPv4 and 25 over IPv6.
    pub max_peers: usize,
    /// Peers of one torrent.
    pub max_peers_per_torrent: usize,
    /// Peers of all torrents from one IPv4 address or IPv6 /64. 0 is no limit.
    pub max_peers_per_address: u16,
    /// Announces and scrapes a minute from one IPv4 address or IPv6 /64. 0 is no limit.
    pub max_requests_per_minute: u16,
    /// HTTP connections that wait for a request.
    pub max_connections: usize,
    /// The same from one address. 0 is no limit.
    pub max_connections_per_address: usize,
    /// An HTTP connection on which no request arrives for so long is closed.
    pub request_timeout_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval_s: 1800,
            min_interval_s: 60,
            peer_timeout_s: 3900,
            numwant_default: 50,
            numwant_max: 200,
            claimed: ClaimedAddresses::Ignored,
            proxies: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_torrents: 100_000,
            max_peers: 1_000_000,
            max_peers_per_torrent: 500_000,
            max_peers_per_address: 1000,
            max_requests_per_minute: 600,
            max_connections: 4096,
            max_connections_per_address: 64,
            request_timeout_s: 10,
        }
    }
}

impl Config {
    /// With an interval, and timeouts that follow from it: a peer may miss one announce.
    pub fn with_interval_s(interval_s: u32) -> Self {
        Self {
            interval_s,
            min_interval_s: (interval_s / 2).clamp(1, 60),
            peer_timeout_s: interval_s
                .saturating_mul(2)
                .saturating_add(interval_s / 4)
                .max(60),
            ..Self::default()
        }
    }
}
