//! What a node shows. Times are seconds or milliseconds since 1970 UTC, as their names say.

use crate::request::Publicity;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareView {
    /// The link id as text.
    pub id: String,
    /// The name that takers see.
    pub name: String,
    /// The shared files and folders, absolute.
    pub roots: Vec<PathBuf>,
    /// The address of the link's page that is best to pass on.
    pub url: String,
    /// The same page at every address, best first.
    pub urls: Vec<String>,
    /// The magnet, once hashed; none if there is nothing that a torrent can say.
    pub magnet: Option<String>,
    /// Hexadecimal infohash, with the magnet.
    pub infohash: Option<String>,
    /// How far hashing is.
    pub state: ShareState,
    /// Whether the link gives anything.
    pub end: ShareEnd,
    /// Regular files known so far.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the link was made, in seconds.
    pub created_s: u64,
    /// When it ends, in seconds.
    pub expires_s: Option<u64>,
    /// Takers who may have everything.
    pub max_downloads: Option<u32>,
    /// Takers who have everything.
    pub completed: u64,
    /// Takers who are taking.
    pub taking: u64,
    /// Whom it is announced to.
    pub publicity: Publicity,
    /// What takers need besides the link.
    #[serde(default)]
    pub access: Access,
    /// Files that are not given, and why.
    pub problems: Vec<Problem>,
    /// How many more there are than these.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_problems: u64,
    /// Who can open it.
    pub reach: Reach,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What takers need besides a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Nothing.
    #[default]
    Open,
    /// A password.
    Password,
}

/// How far a share's hashing is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ShareState {
    /// Files are being counted and hashed.
    Counting {
        /// Files hashed.
        files: u64,
        /// Bytes hashed.
        bytes: u64,
        /// Bytes found so far.
        bytes_total: u64,
    },
    /// All is hashed.
    Ready,
    /// Hashing failed.
    Failed {
        /// A sentence.
        why: String,
    },
}

/// Whether a share gives anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ShareEnd {
    /// It gives.
    Active,
    /// Its owner ended it.
    Stopped {
        /// When, in seconds.
        at_s: u64,
    },
    /// Its time is over.
    Expired,
    /// All downloads were taken.
    UsedUp,
    /// Its files cannot be read at the moment.
    Resting {
        /// A sentence.
        why: String,
    },
}

/// A file that is not given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Its path, with control characters and what is not UTF-8 escaped.
    pub path: String,
    /// What is the matter, as a sentence.
    pub what: String,
}

/// Who can open a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// The widest that works.
    pub scope: ReachScope,
    /// The same as a sentence.
    pub sentence: String,
    /// What would help to reach further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// How far a link reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReachScope {
    /// Programs of this machine.
    Machine,
    /// The local network.
    Network,
    /// Everybody.
    Internet,
}

/// How bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// QUIC, with the protocol of iroh-blobs.
    Iroh,
    /// BitTorrent.
    Torrent,
    /// HTTP: pages, files, web seed.
    Http,
}

/// One who is taking a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakerView {
    /// Address, or the short form of a taker token.
    pub who: String,
    /// How the bytes travel.
    pub via: Way,
    /// Bytes sent.
    pub bytes: u64,
    /// Bytes of the share.
    pub total: u64,
    /// Bytes a second, lately.
    pub rate_bytes_per_s: u64,
    /// The program, as it names itself; escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// One row of a share's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRow {
    /// When, in milliseconds.
    pub at_ms: u64,
    /// Address, or the short form of a taker token.
    pub who: String,
    /// How.
    pub via: Way,
    /// What happened.
    pub what: LogWhat,
    /// Bytes sent until then.
    pub bytes: u64,
    /// The program or the reason; escaped, may be empty.
    #[serde(default)]
    pub detail: String,
}

/// What a row of the log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogWhat {
    /// Looked at the page or asked for metadata.
    Opened,
    /// Got the first byte.
    Started,
    /// Has everything.
    Finished,
    /// Got nothing.
    Refused,
    /// Tried a wrong password.
    WrongPassword,
}

/// How a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Shoal's version.
    pub version: String,
    /// The device's public key, hexadecimal.
    pub device: String,
    /// The home.
    pub home: PathBuf,
    /// Process id.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Ports that it listens on.
    pub ports: Ports,
    /// `host:port` at which HTTP answers, best first.
    pub addresses: Vec<String>,
    /// Who can reach it.
    pub reach: Reach,
    /// Its shares by state.
    pub shares: ShareCounts,
    /// Takers now.
    pub takers: u64,
    /// Payload bytes sent since it started.
    pub bytes_sent: u64,
    /// What the router was asked for.
    pub mappings: Vec<Mapping>,
    /// The group of devices that this one belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<crate::GroupStatus>,
}

/// Ports of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// HTTP and BitTorrent.
    pub tcp: u16,
    /// iroh.
    pub iroh_udp: u16,
    /// BEP 15 tracker.
    pub tracker_udp: u16,
}

/// Shares by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ShareCounts {
    /// Those that give, hashed or not.
    pub active: u64,
    /// Of these, those still being hashed.
    pub counting: u64,
    /// Those whose files cannot be read.
    pub resting: u64,
    /// Stopped, expired, used up or failed.
    pub ended: u64,
}

/// One port that a router was asked to forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// TCP or UDP.
    pub transport: Transport,
    /// The port here.
    pub port: u16,
    /// What came of it.
    pub outcome: MappingOutcome,
}

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What a router said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MappingOutcome {
    /// Switched off by a setting.
    Off,
    /// No answer yet.
    Asking,
    /// It forwards.
    Mapped {
        /// `address:port` outside.
        external: String,
    },
    /// It does not.
    Failed {
        /// A sentence.
        why: String,
    },
}
