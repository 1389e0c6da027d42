//! What the gateway needs from the node, as narrow traits that `node` implements.
//!
//! All methods are called on an async thread and answer without waiting for the network. Those
//! that may read a disk say so, and are called on a blocking thread.

use bytes::Bytes;
use futures::stream::BoxStream;
use shoal_protocol::hello::Refusal;
use shoal_protocol::id::{InfoHash, LinkId, TakerToken};
use shoal_protocol::manifest::Shape;
use shoal_protocol::password::Proof;
use shoal_protocol::path::RelPath;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// The links of a node.
#[async_trait::async_trait]
pub trait Links: Send + Sync + 'static {
    /// The share behind a link, if it gives anything at this moment.
    ///
    /// # Errors
    /// Why it gives nothing.
    fn open(&self, id: &LinkId, visitor: &Visitor) -> Result<Arc<dyn PublicShare>, Refusal>;

    /// Whom to ask about links, as the sharer wrote it. Shown to who has a link alone.
    fn contact(&self) -> Option<String>;

    /// A value for which a taker shows that it knows the link's password, instead of sending it.
    ///
    /// # Errors
    /// Why the link gives nothing.
    fn challenge(&self, id: &LinkId) -> Result<Bytes, Refusal>;

    /// Gives a session to who knows the password. Waits for its turn, because passwords are slow to check.
    ///
    /// # Errors
    /// [`Refusal::WrongPassword`], [`Refusal::TooManyTries`], or why the link gives nothing.
    async fn unlock(
        &self,
        id: &LinkId,
        visitor: &Visitor,
        knows: Knows,
    ) -> Result<Unlocked, Refusal>;
}

/// What somebody knows of a password.
pub enum Knows {
    /// The password, from a form.
    Password(String),
    /// A proof for a challenge.
    Proof {
        /// What [`Links::challenge`] gave.
        challenge: Bytes,
        /// The proof.
        proof: Proof,
    },
}

/// A link that was opened with its password.
pub struct Unlocked {
    /// What the visitor presents from now on: hexadecimal digits.
    pub session: String,
    /// Seconds for which it is believed.
    pub lasts_s: u64,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Address of the connection; IPv4 is never in its IPv6-mapped form.
    pub addr: SocketAddr,
    /// What `shoal get` sends as `Shoal-Taker`.
    pub taker: Option<TakerToken>,
    /// `User-Agent`, printable and at most [`crate::AGENT_MAX_BYTES`] long.
    pub agent: Option<String>,
    /// What [`Links::unlock`] gave, from a cookie or a header; unchecked.
    pub session: Option<String>,
}

/// A share as strangers see it.
pub trait PublicShare: Send + Sync + 'static {
    /// What it is, now.
    fn about(&self) -> About;

    /// What is in it, in snapshot order. Empty while the tree is walked; then complete, also
    /// while hashing goes on.
    fn list(&self) -> Arc<[Row]>;

    /// The metainfo, once there is one. May read a disk.
    fn torrent(&self) -> Option<Bytes>;

    /// The manifest's bytes, once hashed. May read a disk.
    fn manifest(&self) -> Option<Bytes>;

    /// A file's bytes. Works before it is hashed. May read a disk.
    ///
    /// # Errors
    /// See [`FileError`].
    fn file(&self, path: &RelPath) -> Result<Arc<dyn FileBytes>, FileError>;

    /// Answers an iroh-blobs request (postcard) with the bytes that iroh-blobs would send. The
    /// share itself tells the seat of payload bytes; an error ends the connection.
    fn blobs(&self, request: Bytes, seat: Arc<dyn Seat>) -> BoxStream<'static, io::Result<Bytes>>;

    /// Somebody looks at the list of files.
    fn opened(&self, visitor: &Visitor);

    /// Reserves a slot, or finds the one that the visitor has. Called before the first byte of
    /// content of every answer.
    ///
    /// # Errors
    /// [`Refusal::UsedUp`] if there is none, or whatever became of the link since it was opened.
    fn admit(&self, visitor: &Visitor) -> Result<Arc<dyn Seat>, Refusal>;

    /// The visitor says that it has everything.
    fn done(&self, visitor: &Visitor);
}

/// What a share is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: String,
    /// One file or a folder.
    pub shape: Shape,
    /// When the link was made, seconds since 1970.
    pub created_s: u64,
    /// When it ends, seconds since 1970.
    pub expires_s: Option<u64>,
    /// Whom to ask, as the sharer wrote it.
    pub contact: Option<String>,
    /// Who can open the link, as a sentence.
    pub reach: Option<String>,
    /// How many more takers there may be; none if any number.
    pub downloads_left: Option<u64>,
    /// Regular files, as far as known.
    pub files: u64,
    /// Their bytes, as far as known.
    pub bytes: u64,
    /// How far it is.
    pub stage: Stage,
    /// Once hashed, unless a torrent can say nothing of it.
    pub magnet: Option<String>,
    /// With the magnet.
    pub infohash: Option<InfoHash>,
    /// Signed capability.
    pub capability: Bytes,
    /// Signed content record, once hashed.
    pub record: Option<Bytes>,
}

/// How far a share is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// The tree is walked: the list is empty.
    Walking,
    /// The list is complete; hashes, manifest and metainfo are not.
    Hashing,
    /// All is there.
    Ready,
    /// Hashing failed: files are given, and there will be neither manifest nor metainfo.
    Failed {
        /// A sentence.
        why: String,
    },
}

/// One path of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Relative to the root; the file's name in a share of one file.
    pub path: RelPath,
    /// What it is.
    pub kind: RowKind,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Permission bits.
    pub mode: u32,
}

/// What a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowKind {
    /// A regular file.
    File {
        /// Its length in bytes.
        size: u64,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: String,
    },
}

/// Why there is no such file to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// No such path in the share.
    #[error("there is no such file in this share: open its list and take it from there")]
    NotFound,
    /// It is a folder.
    #[error("this is a folder: open the list of the share and take its files from there")]
    Folder,
    /// It is not what it was when it was shared.
    #[error("this file changed after it was shared: ask for a new link")]
    Changed,
    /// The system does not let us read it.
    #[error("this file cannot be read at the moment: try later, or ask who shared it")]
    Unreadable,
}

/// A taker's place in a share, held while an answer runs.
pub trait Seat: Send + Sync + 'static {
    /// Payload bytes went out to the connection.
    fn sent(&self, bytes: u64);

    /// Whether the link gives nothing any more. Asked for every chunk, and four times a second while
    /// a chunk waits for a slow taker: stop and expiry end running answers.
    fn ended(&self) -> Option<Refusal>;
}

/// The bytes of one file.
pub trait FileBytes: Send + Sync + 'static {
    /// Its length in bytes.
    fn size(&self) -> u64;

    /// Modification time, nanoseconds since 1970.
    fn mtime_ns(&self) -> i64;

    /// A word that differs whenever the bytes may: from the stamp or the hash. ASCII without quotes.
    fn tag(&self) -> String;

    /// Whether an answer may begin at `offset`; all may begin at 0.
    fn starts_at(&self, offset: u64) -> bool {
        let _ = offset;
        true
    }

    /// Fills `buf` from `offset`. May read a disk.
    ///
    /// # Errors
    /// When the file changed or cannot be read: not one byte of `buf` may then be used.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
}
