//! Answers to iroh-blobs requests (iroh-blobs 0.104), read from the user's files.
//!
//! The same answer goes over a QUIC stream and over HTTP: per blob a length (u64 LE) and the
//! bao encoding of the ranges asked for. The taker verifies every byte; we only check that the
//! file is still the one that was hashed, so no hash is computed here.

use super::port::{Blob, Seat, Served};
use bao_tree::io::outboard::PostOrderOutboard;
use bao_tree::io::sync::{ReadAt, Size, encode_ranges};
use bao_tree::{BaoTree, ChunkRanges};
use bytes::{Bytes, BytesMut};
use iroh_blobs::protocol::{GetManyRequest, GetRequest, Request};
use iroh_blobs::store::IROH_BLOCK_SIZE;
use shoal_protocol::id::ContentHash;
use shoal_protocol::limits::BLOBS_REQUEST_MAX_BYTES;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::Mutex;
use tokio::sync::mpsc;

/// Bytes that are collected before they go to the network.
const PART_BYTES: usize = 256 * 1024;
/// Bytes that one read of a file brings.
const READ_AHEAD_BYTES: usize = 512 * 1024;
/// Parts that wait for the network.
const PARTS_WAITING: usize = 4;

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

/// One blob and the ranges of it that were asked for.
type Part = (ContentHash, ChunkRanges);

/// A request of a taker, understood.
#[derive(Debug)]
pub struct Asked(Vec<Part>);

impl Asked {
    /// Reads the bytes of a request: postcard, as iroh-blobs sends it.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        if bytes.len() > BLOBS_REQUEST_MAX_BYTES {
            return Err(RequestError::Large);
        }
        match postcard::from_bytes(bytes).map_err(|_| RequestError::Bytes)? {
            Request::Get(request) => Self::single(&request),
            Request::GetMany(request) => Ok(Self::many(&request)),
            _ => Err(RequestError::Kind),
        }
    }

    /// A link's blobs are files and a manifest, never hash sequences: only the blob itself can be asked for.
    fn single(request: &GetRequest) -> Result<Self, RequestError> {
        let hash = ContentHash(*request.hash.as_bytes());
        match request.ranges.as_single() {
            Some((0, ranges)) => Ok(Self(vec![(hash, ranges.clone())])),
            None if request.ranges.is_empty() => Ok(Self(Vec::new())),
            _ => Err(RequestError::Kind),
        }
    }

    fn many(request: &GetManyRequest) -> Self {
        let ranges = request.ranges.iter_infinite();
        let parts = request
            .hashes
            .iter()
            .zip(ranges)
            .filter(|(_, ranges)| !ranges.is_empty());
        Self(
            parts
                .map(|(hash, ranges)| (ContentHash(*hash.as_bytes()), ranges.clone()))
                .collect(),
        )
    }
}

/// Starts to answer: parts of the response come out of the channel until it closes.
///
/// A blob that is not there, or whose file changed, ends the answer early, which iroh-blobs'
/// takers read as "not found here". The thread ends when the receiver is dropped.
pub fn answer(
    asked: Asked,
    served: Arc<dyn Served>,
    seat: Arc<dyn Seat>,
) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(PARTS_WAITING);
    tokio::task::spawn_blocking(move || {
        let ended = served.ended();
        let mut out = Parts {
            buffer: BytesMut::with_capacity(PART_BYTES),
            sender,
            payload: 0,
            seat,
        };
        for (hash, ranges) in asked.0 {
            let Some(blob) = served.blob(&hash) else {
                break;
            };
            if ended.is_cancelled() {
                return out.fail(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "the link was stopped",
                ));
            }
            if let Err(error) = encode_blob(&blob, &ranges, &mut out) {
                tracing::debug!(%hash, %error, "answer ended early");
                return out.fail(error);
            }
        }
        if let Err(error) = out.flush() {
            tracing::debug!(%error, "taker went away");
        }
    });
    receiver
}

fn encode_blob(blob: &Arc<dyn Blob>, ranges: &ChunkRanges, out: &mut Parts) -> io::Result<()> {
    let size = blob.size();
    out.write_all(&size.to_le_bytes())?;
    let outboard = PostOrderOutboard {
        root: (*blob.hash().as_bytes()).into(),
        tree: BaoTree::new(size, IROH_BLOCK_SIZE),
        data: OutboardBytes(blob.as_ref()),
    };
    let data = ReadAhead {
        blob: blob.as_ref(),
        block: Mutex::new(Block::default()),
    };
    encode_ranges(&data, &outboard, ranges, out).map_err(io::Error::from)
}

/// Collects written bytes into parts and hands them on.
struct Parts {
    buffer: BytesMut,
    sender: mpsc::Sender<io::Result<Bytes>>,
    payload: u64,
    seat: Arc<dyn Seat>,
}

impl Parts {
    fn fail(self, error: io::Error) {
        // The receiver may be gone already, and then nobody is left to tell.
        let _ = self.sender.blocking_send(Err(error));
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        self.payload += bytes.len() as u64;
        if self.buffer.len() >= PART_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let part = std::mem::replace(
            &mut self.buffer,
            BytesMut::with_capacity(PART_BYTES + 32 * 1024),
        )
        .freeze();
        self.sender
            .blocking_send(Ok(part))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the taker went away"))?;
        self.seat.sent(std::mem::take(&mut self.payload));
        Ok(())
    }
}

/// Reads a file in large blocks, because the encoder asks for one chunk group after the other.
struct ReadAhead<'a> {
    blob: &'a dyn Blob,
    block: Mutex<Block>,
}

#[derive(Default)]
struct Block {
    start: u64,
    bytes: Vec<u8>,
}

impl ReadAt for &ReadAhead<'_> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.blob.size().saturating_sub(offset);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        if wanted == 0 {
            return Ok(0);
        }
        let mut block = self
            .block
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let end = offset + wanted as u64;
        if offset < block.start || end > block.start + block.bytes.len() as u64 {
            let len = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(READ_AHEAD_BYTES.max(wanted));
            block.bytes.resize(len, 0);
            block.start = offset;
            if let Err(error) = self.blob.read_exact_at(offset, &mut block.bytes) {
                block.bytes.clear();
                return Err(error);
            }
        }
        let from = (offset - block.start) as usize;
        buf[..wanted].copy_from_slice(&block.bytes[from..from + wanted]);
        Ok(wanted)
    }
}

impl Size for &ReadAhead<'_> {
    fn size(&self) -> io::Result<Option<u64>> {
        Ok(Some(self.blob.size()))
    }
}

struct OutboardBytes<'a>(&'a dyn Blob);

impl ReadAt for OutboardBytes<'_> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_outboard_at(offset, buf).map(|()| buf.len())
    }
}
