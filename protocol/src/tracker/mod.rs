//! What trackers and their clients say to each other: parsers and encoders, nothing else.
//!
//! | where | what | source |
//! |---|---|---|
//! | [`head`], [`target`] | the head of an HTTP request, the path with its token | RFC 9112 |
//! | [`query`] | announce and scrape over HTTP | BEP 3, 7, 23, 48 |
//! | [`reply`] | bencoded answers | BEP 3, 7, 23, 24, 31, 48 |
//! | [`udp`], [`url_data`] | announce and scrape over UDP | BEP 15, 41 |
//! | [`compact`] | peers in 6 or 18 bytes | BEP 7, 23 |

pub mod compact;
pub mod head;
pub mod query;
pub mod reply;
pub mod target;
pub mod udp;
pub mod url_data;

pub use head::{Connection, Head, HeadError};
pub use query::{AnnounceQuery, PeerForm, QueryError, ScrapeQuery};
pub use reply::{AnnounceReply, Failure, RetryIn, ScrapeReply};
pub use target::{Target, TargetError};

/// 20 bytes that a client picks for itself (BEP 20 says how they often look).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerId(pub [u8; 20]);

/// What an announce reports (BEP 3, 15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Event {
    /// A regular announce.
    #[default]
    Interval,
    /// The download has just finished.
    Completed,
    /// The client begins.
    Started,
    /// The client leaves the swarm.
    Stopped,
}

/// What a tracker says about one swarm (BEP 48, 15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SwarmCounts {
    /// Peers that have everything.
    pub seeds: u32,
    /// Peers that lack something.
    pub leeches: u32,
    /// Downloads that were reported as finished.
    pub completed: u32,
}
