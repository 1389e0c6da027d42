//! The tracker as a whole: what is the same over HTTP and UDP. It answers; sockets are somebody else's.

mod http;
mod udp;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use shoal_protocol::id::InfoHash;
use shoal_protocol::tracker::query::Claimed;
use shoal_protocol::tracker::{Event, PeerId, RetryIn, SwarmCounts};

use crate::config::{ClaimedAddresses, Config};
use crate::connection_id::ConnectionIds;
use crate::metrics::Metrics;
use crate::random::Xorshift;
use crate::swarms::{Ask, Full, Peers, Place, Role, Swarms, Wants};
use crate::tally::Pace;
use crate::torrents::{Admission, AnnounceEvent, Listener, Proof, Torrents, Verdict};

pub use http::Status;

/// Answers announces and scrapes. Shared by all servers of a program.
pub struct Tracker {
    config: Config,
    torrents: Arc<dyn Torrents>,
    listener: Arc<dyn Listener>,
    state: Mutex<State>,
    connection_ids: ConnectionIds,
    metrics: Metrics,
    started: Instant,
}

/// Buffers of one thread or task, reused from request to request.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) peers: Peers,
    pub(crate) body: Vec<u8>,
}

/// The system gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes, without which the tracker could be tricked: {0}")]
pub struct NoRandomness(getrandom::Error);

struct State {
    swarms: Swarms,
    pace: Pace,
    random: Xorshift,
}

/// An announce by either protocol.
struct Announce<'a> {
    infohash: InfoHash,
    proof: Proof<'a>,
    client: IpAddr,
    port: u16,
    peer_id: PeerId,
    event: Event,
    left: Option<u64>,
    uploaded: u64,
    downloaded: u64,
    numwant: u32,
    claimed: Claimed,
}

/// An announce that counted; its peers are in the scratch buffers.
struct Granted {
    counts: SwarmCounts,
    interval_s: u32,
    warning: Option<&'static str>,
}

/// Why a request is refused: a sentence, and when to come back.
struct Refusal {
    reason: Cow<'static, str>,
    retry_in: Option<RetryIn>,
}

impl Tracker {
    /// A tracker without peers.
    pub fn new(
        config: Config,
        torrents: Arc<dyn Torrents>,
        listener: Arc<dyn Listener>,
    ) -> Result<Self, NoRandomness> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(NoRandomness)?;
        Ok(Self::with_secret(config, torrents, listener, secret))
    }

    /// The same, with the secret from which hash seeds, connection ids and the choice of peers follow.
    pub fn with_secret(
        config: Config,
        torrents: Arc<dyn Torrents>,
        listener: Arc<dyn Listener>,
        secret: [u8; 32],
    ) -> Self {
        let key = |what: &str| *blake3::keyed_hash(&secret, what.as_bytes()).as_bytes();
        let seed = |what: &str| {
            let [a, b, c, d, e, f, g, h, ..] = key(what);
            u64::from_le_bytes([a, b, c, d, e, f, g, h])
        };
        let state = State {
            swarms: Swarms::new(config.limits.clone(), config.peer_timeout_s, seed("swarms")),
            pace: Pace::new(config.limits.max_requests_per_minute, seed("pace")),
            random: Xorshift::new(seed("random")),
        };
        Self {
            config,
            torrents,
            listener,
            state: Mutex::new(state),
            connection_ids: ConnectionIds::new(key("connection ids")),
            metrics: Metrics::default(),
            started: Instant::now(),
        }
    }

    /// Forgets a torrent and its peers at once. Later announces are for [`Torrents::check`] to refuse.
    pub fn remove(&self, infohash: &InfoHash) -> bool {
        self.state().swarms.remove(infohash)
    }

    /// Seeds, leeches and finished downloads of a torrent. The owner's seeder is not among them.
    pub fn counts(&self, infohash: &InfoHash) -> SwarmCounts {
        self.state().swarms.counts(infohash)
    }

    /// Peers of all torrents.
    pub fn peers(&self) -> usize {
        self.state().swarms.peers()
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What was counted so far.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Everything that is counted, in the text format of Prometheus.
    pub fn render_metrics(&self) -> String {
        let now_s = self.now_s();
        let totals = {
            let mut state = self.state();
            state.swarms.expire(now_s);
            state.swarms.totals()
        };
        self.metrics.render(&totals)
    }

    fn announce(
        &self,
        now_s: u64,
        announce: &Announce<'_>,
        peers: &mut Peers,
    ) -> Result<Granted, Refusal> {
        self.check_pace(now_s, announce.client)?;
        self.check_torrent(&announce.infohash, announce.proof)?;
        let (addr, second) = self.addresses(announce);
        self.check_admission(announce, addr, second)?;
        let always = self.torrents.always_peers(&announce.infohash);
        let ask = Ask {
            infohash: announce.infohash,
            addr,
            second,
            role: if announce.left == Some(0) {
                Role::Seed
            } else {
                Role::Leech
            },
            event: announce.event,
            wants: wants(announce),
            numwant: announce.numwant as usize,
            always: &always,
        };
        let (outcome, interval_s) = {
            let mut state = self.state();
            let State { swarms, random, .. } = &mut *state;
            let jitter_s = random.below(self.config.interval_s as usize / 8) as u32;
            let outcome = swarms.announce(now_s, random, &ask, peers);
            (outcome, self.config.interval_s + jitter_s)
        };
        let warning = match outcome.place {
            Place::Full(full) => {
                self.metrics.count_full(full);
                Some(full_warning(full))
            }
            Place::Held | Place::None => None,
        };
        Ok(Granted {
            counts: with_owner(outcome.counts, &always),
            interval_s,
            warning,
        })
    }

    /// The counts of one torrent, or why there are none.
    fn scrape(&self, infohash: &InfoHash, proof: Proof<'_>) -> Result<SwarmCounts, Refusal> {
        self.check_torrent(infohash, proof)?;
        let always = self.torrents.always_peers(infohash);
        Ok(with_owner(self.counts(infohash), &always))
    }

    fn check_pace(&self, now_s: u64, client: IpAddr) -> Result<(), Refusal> {
        if self.state().pace.admits(now_s, client) {
            return Ok(());
        }
        self.metrics.refused_pace.add();
        Err(Refusal {
            reason: "too many requests from your address; wait a minute".into(),
            retry_in: Some(RetryIn::Minutes(1)),
        })
    }

    fn check_torrent(&self, infohash: &InfoHash, proof: Proof<'_>) -> Result<(), Refusal> {
        match self.torrents.check(infohash, proof) {
            Verdict::Known => Ok(()),
            Verdict::Gone { reason } => {
                self.metrics.refused_gone.add();
                Err(Refusal {
                    reason: reason.into(),
                    retry_in: Some(RetryIn::Never),
                })
            }
            Verdict::Unknown => {
                self.metrics.refused_unknown.add();
                Err(Refusal {
                    reason: "this tracker does not know this torrent under this address; ask for a new link".into(),
                    retry_in: Some(RetryIn::Minutes(60)),
                })
            }
        }
    }

    /// A peer that leaves is heard, too, and cannot be refused.
    fn check_admission(
        &self,
        announce: &Announce<'_>,
        addr: SocketAddr,
        second: Option<SocketAddr>,
    ) -> Result<(), Refusal> {
        let admission = self.listener.on_announce(&AnnounceEvent {
            infohash: announce.infohash,
            addr,
            peer_id: announce.peer_id,
            event: announce.event,
            left: announce.left,
            uploaded: announce.uploaded,
            downloaded: announce.downloaded,
        });
        match admission {
            Admission::Refused { reason } if announce.event != Event::Stopped => {
                let mut state = self.state();
                for addr in std::iter::once(addr).chain(second) {
                    state.swarms.leave(&announce.infohash, addr);
                }
                self.metrics.refused_admission.add();
                Err(Refusal {
                    reason: reason.into(),
                    retry_in: Some(RetryIn::Never),
                })
            }
            _ => Ok(()),
        }
    }

    /// The address of a peer, and its address in the other family if it may claim one.
    fn addresses(&self, announce: &Announce<'_>) -> (SocketAddr, Option<SocketAddr>) {
        let seen = SocketAddr::new(announce.client, announce.port);
        if self.config.claimed == ClaimedAddresses::Ignored {
            return (seen, None);
        }
        let claimed = &announce.claimed;
        let first = claimed
            .ip
            .map(|ip| SocketAddr::new(ip.to_canonical(), announce.port))
            .filter(is_reachable)
            .unwrap_or(seen);
        let other = if first.is_ipv4() {
            claimed.v6.map(SocketAddr::V6)
        } else {
            claimed.v4.map(SocketAddr::V4)
        };
        let other =
            other.filter(|addr| is_reachable(addr) && addr.ip().to_canonical() == addr.ip());
        (first, other)
    }

    fn now_s(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// Nothing that runs under the lock panics half-way through a change, so a poisoned lock is used on.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A seed has nothing to say to a seed. But some clients announce `left=0` while they still look for the metadata of a
/// magnet (librqbit does, with `started`), and would never find a seed: so that the first announce gets anybody.
fn wants(announce: &Announce<'_>) -> Wants {
    if announce.left == Some(0) && announce.event != Event::Started {
        Wants::Leeches
    } else {
        Wants::Anybody
    }
}

fn with_owner(mut counts: SwarmCounts, always: &[SocketAddr]) -> SwarmCounts {
    if !always.is_empty() {
        counts.seeds = counts.seeds.saturating_add(1);
    }
    counts
}

fn is_reachable(addr: &SocketAddr) -> bool {
    let ip = addr.ip();
    !ip.is_unspecified() && !ip.is_multicast() && addr.port() != 0
}

fn full_warning(full: Full) -> &'static str {
    match full {
        Full::Torrents | Full::Peers => {
            "this tracker is full: it names others to you, but not you to others"
        }
        Full::Torrent => {
            "this torrent has as many peers as the tracker holds: it names others to you, but not you to others"
        }
        Full::Address => {
            "your address has as many peers as the tracker holds for one: it names others to you, but not you to others"
        }
    }
}

#[cfg(test)]
mod tests;
