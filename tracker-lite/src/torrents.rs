//! What the tracker asks its owner.

use std::net::SocketAddr;

use shoal_protocol::id::InfoHash;
use shoal_protocol::tracker::{Event, PeerId};

/// Which torrents are tracked. Asked at every announce and scrape, so it must be quick.
pub trait Torrents: Send + Sync {
    /// What to do with a request for a torrent. A wrong token must give the same answer as an unknown torrent.
    fn check(&self, infohash: &InfoHash, proof: Proof<'_>) -> Verdict;

    /// Peers that are handed out first in every answer, as the owner's own seeder. They count as one seed.
    /// Only those of the asker's family reach it.
    fn always_peers(&self, _infohash: &InfoHash) -> Vec<SocketAddr> {
        Vec::new()
    }
}

/// What a client shows beside the infohash, to prove that it was given the torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof<'a> {
    /// The token in the path of the announce address.
    Token(&'a str),
    /// An announce address without a token.
    Nothing,
    /// It could show nothing: over UDP the path travels by BEP 41, which many clients do not send, and never with a scrape.
    Untold,
}

impl<'a> Proof<'a> {
    pub(crate) fn of_path(token: Option<&'a str>) -> Self {
        token.map_or(Self::Nothing, Self::Token)
    }
}

/// What is known of a torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is tracked.
    Known,
    /// It was: the reason is told to the client, which should not come back.
    Gone {
        /// A sentence for the client's user.
        reason: String,
    },
    /// It is not, or the token is not the right one.
    Unknown,
}

/// Told of every announce for a known torrent, before it counts. Asked on the hot path, so it must be quick.
pub trait Listener: Send + Sync {
    /// Whether the peer is let in. A peer that is refused is taken out of the swarm; leaving is never refused.
    fn on_announce(&self, event: &AnnounceEvent) -> Admission;
}

/// An announce for a known torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnounceEvent {
    /// Which torrent.
    pub infohash: InfoHash,
    /// Where the peer listens. The port is 0 if it does not.
    pub addr: SocketAddr,
    /// What the peer calls itself.
    pub peer_id: PeerId,
    /// What happened.
    pub event: Event,
    /// Bytes that it lacks; none if it does not know.
    pub left: Option<u64>,
    /// Bytes that it sent.
    pub uploaded: u64,
    /// Bytes that it received.
    pub downloaded: u64,
}

/// Whether a peer is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It is.
    Admitted,
    /// It is not.
    Refused {
        /// A sentence for the client's user.
        reason: String,
    },
}

/// Lets everybody in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Everybody;

impl Listener for Everybody {
    fn on_announce(&self, _event: &AnnounceEvent) -> Admission {
        Admission::Admitted
    }
}

/// Tracks whatever is announced.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Torrents for Open {
    fn check(&self, _infohash: &InfoHash, _proof: Proof<'_>) -> Verdict {
        Verdict::Known
    }
}
