//! What serving needs from its neighbours; `node` implements it.

use bytes::Bytes;
use shoal_protocol::hello::Refusal;
use shoal_protocol::id::{ContentHash, InfoHash, LinkId, TakerToken};
use shoal_protocol::metainfo::Privacy;
use shoal_protocol::password::Proof;
use shoal_protocol::slots::PeerId;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// How bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// QUIC, iroh-blobs' protocol.
    Iroh,
    /// BitTorrent.
    Torrent,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Where from; an iroh connection that changes its path keeps the address it came with.
    pub address: IpAddr,
    /// How.
    pub way: Way,
    /// By what it wants to be counted.
    pub mark: Mark,
    /// What program it says it is, as sent: escape before showing.
    pub client: Option<String>,
    /// That it knows the link's password, for `Challenge::IROH`.
    pub proof: Option<Proof>,
}

/// By what a visitor is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A taker token.
    Token(TakerToken),
    /// The first six bytes of a taker token, from the BitTorrent peer id of `shoal get`.
    TokenPrefix([u8; 6]),
    /// Its address, and a BitTorrent peer id that may come by other addresses as well.
    PeerId(PeerId),
    /// Nothing but its address.
    Address,
}

/// The links of a node.
pub trait Directory: Send + Sync + 'static {
    /// The link, or why nothing is given.
    fn by_link(&self, link: &LinkId) -> Result<Arc<dyn Served>, Refusal>;
    /// The link that has this infohash, or why nothing is given.
    fn by_infohash(&self, infohash: &InfoHash) -> Result<Arc<dyn Served>, Refusal>;
}

/// Where answers to iroh-blobs requests come from.
pub trait Blobs: Send + Sync + 'static {
    /// The blob with this hash, if it belongs here.
    fn blob(&self, hash: &ContentHash) -> Option<Arc<dyn Blob>>;
    /// Ends when nothing more is given.
    fn ended(&self) -> CancellationToken;
}

/// One link that is being served; it ends when the link is stopped or expires.
pub trait Served: Blobs {
    /// Signed capability.
    fn capability(&self) -> Bytes;
    /// Hash of the manifest, which may be read without a seat.
    fn manifest(&self) -> Option<ContentHash>;
    /// Signed content record, once hashing is done.
    fn record(&self) -> Option<Bytes>;
    /// The torrent of this link.
    fn torrent(&self) -> Option<Arc<dyn Torrent>>;
    /// Why this visitor would get nothing; nothing is reserved by asking.
    fn refuses(&self, visitor: &Visitor) -> Option<Refusal>;
    /// Before the first byte: a seat, or why there is none.
    fn admit(&self, visitor: &Visitor) -> Result<Arc<dyn Seat>, Refusal>;
    /// The visitor says that it has everything.
    fn says_complete(&self, visitor: &Visitor);
}

/// Leave to take, for one taker.
pub trait Seat: Send + Sync + 'static {
    /// Before every later request on a connection that stays open: a seat that was idle for long may be another's.
    fn again(&self) -> Result<(), Refusal> {
        Ok(())
    }
    /// Payload bytes went out.
    fn sent(&self, bytes: u64);
    /// The taker says or shows that it has everything.
    fn complete(&self);
}

/// Bytes addressed by BLAKE3, with what is needed to verify ranges of them.
pub trait Blob: Send + Sync + 'static {
    /// Its hash.
    fn hash(&self) -> ContentHash;
    /// Its length in bytes.
    fn size(&self) -> u64;
    /// Reads from the user's file, which must still be what was hashed.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
    /// Reads from its outboard: hash pairs in post-order, chunk groups of 16 KiB.
    fn read_outboard_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
}

/// What a seeder gives.
pub trait Torrent: Send + Sync + 'static {
    /// The info dictionary as it is hashed.
    fn info(&self) -> Bytes;
    /// Bytes of a piece, but for the last.
    fn piece_length(&self) -> u32;
    /// Whether its metadata and its other peers are told to whoever connects (BEP 27).
    fn privacy(&self) -> Privacy {
        Privacy::Public
    }
    /// Bytes of all files.
    fn total_bytes(&self) -> u64;
    /// Reads from the files as if they lay one behind the other.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
}
