//! Answers to iroh-blobs requests (iroh-blobs 0.104), read from the user's files.
//!
//! The same answer goes over a QUIC stream and over HTTP: per blob a length (u64 LE) and the
//! bao encoding of the ranges asked for. The taker verifies every byte; we only check that the
//! file is still the one that was hashed, so no hash is computed here.

mod buffer;
mod encode;

use super::port::{Blobs, Seat};
use bao_tree::ChunkRanges;
use buffer::Buffer;
use bytes::Bytes;
use encode::{Encoder, More};
use iroh_blobs::protocol::{GetManyRequest, GetRequest, Request};
use shoal_protocol::id::ContentHash;
use shoal_protocol::limits::BLOBS_REQUEST_MAX_BYTES;
use std::io;
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

/// Bytes that are collected before they go to the network.
const PART_BYTES: usize = 256 * 1024;
/// The same for a taker that has not shown yet that it reads, or where many others wait.
const SMALL_PART_BYTES: usize = 16 * 1024;
/// Small parts at the beginning of an answer.
const SMALL_PARTS: usize = 4;
/// Large parts that wait for the network, of all answers together: 64 MiB.
static LARGE_PARTS: Semaphore = Semaphore::const_new(256);
/// Answers at a time. Each holds four small parts, 140 MiB in all, if its taker reads nothing; others wait for their turn.
static ANSWERS: Semaphore = Semaphore::const_new(2048);
/// Parts of one answer that wait for the network.
const PARTS_WAITING: usize = 4;
/// Parts that are made before a thread is given back, however fast the taker is.
const PARTS_AT_ONCE: usize = 16;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Not the bytes of a request.
    #[error("these bytes are no iroh-blobs request")]
    Bytes,
    /// A kind that links do not answer.
    #[error("a link answers Get and GetMany requests only")]
    Kind,
    /// Too large.
    #[error("the request is larger than {BLOBS_REQUEST_MAX_BYTES} bytes")]
    Large,
}

/// A request of a taker, understood.
///
/// It stays as small as it came: ranges that are repeated for many blobs are not copied for each.
#[derive(Debug)]
pub enum Asked {
    /// Ranges of one blob.
    One(GetRequest),
    /// Ranges of several.
    Many(GetManyRequest),
}

impl Asked {
    /// Reads the bytes of a request: postcard, as iroh-blobs sends it. Large ones take a while: call it on
    /// a blocking thread.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        if bytes.len() > BLOBS_REQUEST_MAX_BYTES {
            return Err(RequestError::Large);
        }
        match postcard::from_bytes(bytes).map_err(|_| RequestError::Bytes)? {
            // A link's blobs are files and a manifest, never hash sequences: only the blob itself can be asked for.
            Request::Get(request) => match request.ranges.as_single() {
                Some((0, _)) => Ok(Self::One(request)),
                None if request.ranges.is_empty() => Ok(Self::One(request)),
                _ => Err(RequestError::Kind),
            },
            Request::GetMany(request) => Ok(Self::Many(request)),
            _ => Err(RequestError::Kind),
        }
    }

    /// Whether nothing but this blob is asked for.
    pub fn is_only(&self, hash: &ContentHash) -> bool {
        match self {
            Self::One(request) => request.hash.as_bytes() == hash.as_bytes(),
            Self::Many(request) => {
                matches!(request.hashes.as_slice(), [only] if only.as_bytes() == hash.as_bytes())
            }
        }
    }

    /// A blob that is asked for, by its place in the request, and what is wanted of it.
    fn at(&self, index: usize) -> Option<(ContentHash, &ChunkRanges)> {
        match self {
            Self::One(request) => {
                let (_, ranges) = request.ranges.as_single().filter(|_| index == 0)?;
                Some((ContentHash(*request.hash.as_bytes()), ranges))
            }
            Self::Many(request) => {
                let hash = request.hashes.get(index)?;
                Some((ContentHash(*hash.as_bytes()), &request.ranges[index as u64]))
            }
        }
    }
}

/// Starts to answer: parts of the response come out of the channel until it closes.
///
/// A blob that is not there, or whose file changed, ends the answer early, which iroh-blobs'
/// takers read as "not found here". Nothing is read any more when the receiver is dropped. While an answer waits
/// for its taker it holds no thread, so that any number of slow takers keep none from others.
pub fn answer(
    asked: Asked,
    served: Arc<dyn Blobs>,
    seat: Arc<dyn Seat>,
) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(PARTS_WAITING);
    let producer = Producer {
        ended: served.ended(),
        encoder: Encoder::new(asked, served),
        seat,
        sender,
        parts: 0,
    };
    tokio::spawn(producer.run());
    receiver
}

/// Makes the parts of one answer.
struct Producer {
    encoder: Encoder,
    seat: Arc<dyn Seat>,
    ended: CancellationToken,
    sender: mpsc::Sender<io::Result<Bytes>>,
    parts: usize,
}

impl Producer {
    async fn run(mut self) {
        let closed = self.sender.clone();
        let place = tokio::select! {
            place = ANSWERS.acquire() => place,
            () = closed.closed() => return,
        };
        // Never closed; and a taker that reads nothing gives its place back when its connection is given up.
        let Ok(_place) = place else { return };
        drop(closed);
        while self.sender.reserve().await.is_ok() {
            let work = tokio::task::spawn_blocking(move || {
                let more = self.fill();
                (self, more)
            });
            self = match work.await {
                Ok((producer, More::Yes)) => producer,
                Ok((_, More::No)) => return,
                Err(panic) => return tracing::error!(%panic, "an answer broke down"),
            };
        }
    }

    /// As many parts as the channel has room for; the channel may be emptied meanwhile.
    fn fill(&mut self) -> More {
        for _ in 0..PARTS_AT_ONCE {
            let room = match self.sender.try_reserve() {
                Ok(room) => room,
                Err(mpsc::error::TrySendError::Full(())) => return More::Yes,
                Err(mpsc::error::TrySendError::Closed(())) => return More::No,
            };
            if self.ended.is_cancelled() {
                let error = io::Error::new(io::ErrorKind::ConnectionAborted, "the link has ended");
                room.send(Err(error));
                return More::No;
            }
            let large = (self.parts >= SMALL_PARTS)
                .then(|| LARGE_PARTS.try_acquire().ok())
                .flatten();
            let limit = large.as_ref().map_or(SMALL_PART_BYTES, |_| PART_BYTES);
            match self.encoder.part(limit) {
                Ok(part) => {
                    if !part.bytes.is_empty() {
                        room.send(Ok(Bytes::from_owner(Waiting {
                            bytes: part.bytes,
                            _large: large,
                        })));
                        self.seat.sent(part.payload_bytes);
                        self.parts += 1;
                    }
                    if part.more == More::No {
                        return More::No;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "answer ended early");
                    room.send(Err(error));
                    return More::No;
                }
            }
        }
        More::Yes
    }
}

/// A part, until it has left.
struct Waiting {
    bytes: Buffer,
    _large: Option<SemaphorePermit<'static>>,
}

impl AsRef<[u8]> for Waiting {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

#[cfg(test)]
mod tests;
