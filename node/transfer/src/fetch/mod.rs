//! Fetching: `shoal get`. From iroh, HTTP and BitTorrent at once, every byte verified, resumable.
//!
//! [`get`] works in a staging folder beside the target (`staging`), takes pieces of work from one
//! queue into as many sources as there are (`queue`, `source`), lets librqbit work on the same files
//! (`torrent`), and gives the tree its name when all of it is there (`finish`).

pub(crate) mod decode;
mod engine;
mod error;
mod finish;
mod http;
mod imprint;
pub(crate) mod iroh;
pub(crate) mod lane;
mod layout;
mod marks;
mod meta;
pub(crate) mod pipe;
mod progress;
mod queue;
pub mod quic;
mod ranges;
mod roll;
pub(crate) mod source;
mod staging;
mod suspects;
mod target;
mod torrent;
mod twins;
mod watch;

pub use error::{GetError, Tried};
pub use progress::{Event, Phase, Progress, Silent, WayState};

use shoal_protocol::link::Link;
use shoal_protocol::password::Key;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// QUIC, iroh-blobs' protocol.
    Iroh,
    /// BitTorrent.
    Torrent,
    /// HTTP, iroh-blobs' answers or plain files.
    Http,
}

/// A set of ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ways(u8);

/// What is to be fetched, where to and how.
#[derive(Debug, Clone)]
pub struct GetRequest {
    /// The link.
    pub link: Link,
    /// The folder that gets `<name>`; made if it is missing.
    pub into: PathBuf,
    /// The ways that content may come by. What describes it (capability, record, manifest, metainfo)
    /// may come by any.
    pub ways: Ways,
    /// What hardly anybody changes.
    pub options: Options,
}

/// Times and addresses of a `get`.
#[derive(Debug, Clone)]
pub struct Options {
    /// Addresses that the iroh endpoint binds; all interfaces and any port when empty.
    pub iroh_bind: Vec<SocketAddr>,
    /// How long a connection may take to come up.
    pub connect_timeout: Duration,
    /// How long nothing may arrive from anywhere before it is given up.
    pub stall_timeout: Duration,
    /// How long BitTorrent waits for the other ways to deliver first.
    pub torrent_delay: Duration,
    /// Whether peers may be looked for outside of what the link names.
    pub discovery: Discovery,
    /// What has to be on the disk before the files get their name.
    pub durability: Durability,
    /// What the link's password makes, where it has one.
    pub password: Option<Key>,
    /// Certificates (PEM) of authorities that are trusted besides the system's.
    pub authorities: Vec<u8>,
}

/// Whether peers may be looked for outside of what the link names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// Only the link's trackers, peers and addresses.
    LinkOnly,
    /// The mainline DHT too: everybody there can see who looks for what.
    MainlineDht,
}

/// What has to be on the disk before the files get their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Everything: a power cut leaves all of it or none under its name.
    Synced,
    /// Nothing: the system writes it within the next half minute, as it does for cp, rsync and browsers.
    Written,
}

/// What came of a `get`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The file or folder.
    pub path: PathBuf,
    /// Regular files in it.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes that an earlier run had fetched.
    pub resumed_bytes: u64,
    /// Whether this run did anything.
    pub outcome: Outcome,
    /// Bytes by way, of this run.
    pub ways: Vec<(Way, u64)>,
}

/// Whether a `get` did anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It fetched what was missing.
    Fetched,
    /// The same content was there already under its name; nothing was touched.
    AlreadyThere,
}

/// Fetches a link into `request.into/<name>`.
///
/// Dropping the future or cancelling leaves the staging folder, from which the same call goes on.
///
/// # Errors
/// See [`GetError`]. Nothing outside the staging folder is touched unless all of it succeeded.
pub async fn get(
    request: GetRequest,
    progress: Arc<dyn Progress>,
    cancel: CancellationToken,
) -> Result<Fetched, GetError> {
    engine::run(request, progress, cancel).await
}

impl Way {
    /// All ways.
    pub const ALL: [Self; 3] = [Self::Iroh, Self::Torrent, Self::Http];

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iroh => "iroh",
            Self::Torrent => "torrent",
            Self::Http => "http",
        })
    }
}

impl Ways {
    /// Every way there is.
    pub const fn all() -> Self {
        Self(0b111)
    }

    /// One way.
    pub const fn only(way: Way) -> Self {
        Self(1 << way as u8)
    }

    /// This set with one more way.
    pub const fn and(self, way: Way) -> Self {
        Self(self.0 | 1 << way as u8)
    }

    /// Whether a way is in the set.
    pub const fn has(self, way: Way) -> bool {
        self.0 & (1 << way as u8) != 0
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            iroh_bind: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(60),
            torrent_delay: Duration::from_secs(2),
            discovery: Discovery::LinkOnly,
            durability: Durability::Written,
            password: None,
            authorities: Vec::new(),
        }
    }
}
