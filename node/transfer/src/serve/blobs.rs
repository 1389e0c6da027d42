//! Answers to iroh-blobs requests (iroh-blobs 0.104), read from the user's files.
//!
//! The same answer goes over a QUIC stream and over HTTP: per blob a length (u64 LE) and the
//! bao encoding of the ranges asked for. The taker verifies every byte; we only check that the
//! file is still the one that was hashed, so no hash is computed here.

use super::port::{Blob, Blobs, Seat};
use bao_tree::io::outboard::PostOrderOutboard;
use bao_tree::io::sync::{Outboard, ReadAt, Size, encode_ranges, truncate_ranges};
use bao_tree::iter::BaoChunk;
use bao_tree::{BaoTree, ChunkRanges};
use bytes::{Bytes, BytesMut};
use iroh_blobs::protocol::{GetManyRequest, GetRequest, Request};
use iroh_blobs::store::IROH_BLOCK_SIZE;
use shoal_protocol::id::ContentHash;
use shoal_protocol::limits::BLOBS_REQUEST_MAX_BYTES;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::Mutex;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Bytes that are collected before they go to the network.
const PART_BYTES: usize = 256 * 1024;
/// Bytes that one read of a file brings.
const READ_AHEAD_BYTES: usize = 512 * 1024;
/// Answers that are written at a time, each by a thread of its own; others wait for their turn.
static ANSWERS: Semaphore = Semaphore::const_new(384);
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

    /// Calls `each` for every blob and its ranges, in order, until it says no.
    fn for_each(&self, mut each: impl FnMut(ContentHash, &ChunkRanges) -> ControlFlow<()>) {
        match self {
            Self::One(request) => {
                if let Some((_, ranges)) = request.ranges.as_single() {
                    let _ = each(ContentHash(*request.hash.as_bytes()), ranges);
                }
            }
            Self::Many(request) => {
                let wanted = request.hashes.iter().zip(request.ranges.iter_infinite());
                for (hash, ranges) in wanted.filter(|(_, ranges)| !ranges.is_empty()) {
                    if each(ContentHash(*hash.as_bytes()), ranges).is_break() {
                        return;
                    }
                }
            }
        }
    }
}

/// Starts to answer: parts of the response come out of the channel until it closes.
///
/// A blob that is not there, or whose file changed, ends the answer early, which iroh-blobs'
/// takers read as "not found here". The thread ends when the receiver is dropped.
pub fn answer(
    asked: Asked,
    served: Arc<dyn Blobs>,
    seat: Arc<dyn Seat>,
) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(PARTS_WAITING);
    tokio::spawn(async move {
        // Never closed; and a taker that reads nothing gives its place back when its connection is given up.
        let Ok(place) = ANSWERS.acquire().await else {
            return;
        };
        tokio::task::spawn_blocking(move || {
            write_answer(asked, served, seat, sender);
            drop(place);
        });
    });
    receiver
}

fn write_answer(
    asked: Asked,
    served: Arc<dyn Blobs>,
    seat: Arc<dyn Seat>,
    sender: mpsc::Sender<io::Result<Bytes>>,
) {
    let mut out = Parts {
        buffer: BytesMut::with_capacity(PART_BYTES),
        sender,
        payload: 0,
        ended: served.ended(),
        seat,
    };
    let mut failed = None;
    asked.for_each(|hash, ranges| {
        let Some(blob) = served.blob(&hash) else {
            return ControlFlow::Break(());
        };
        match encode_blob(&blob, ranges, &mut out) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                tracing::debug!(%hash, %error, "answer ended early");
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    if let Some(error) = failed {
        return out.fail(error);
    }
    if let Err(error) = out.flush() {
        tracing::debug!(%error, "taker went away");
    }
}

fn encode_blob(blob: &Arc<dyn Blob>, ranges: &ChunkRanges, out: &mut Parts) -> io::Result<()> {
    let size = blob.size();
    out.write_all(&size.to_le_bytes())?;
    let tree = BaoTree::new(size, IROH_BLOCK_SIZE);
    let outboard = PostOrderOutboard {
        root: (*blob.hash().as_bytes()).into(),
        tree,
        data: OutboardBytes(blob.as_ref()),
    };
    if is_whole_groups(&tree, ranges) {
        return encode_groups(blob.as_ref(), &outboard, ranges, out);
    }
    let data = ReadAhead {
        blob: blob.as_ref(),
        block: Mutex::new(Block::default()),
    };
    encode_ranges(&data, &outboard, ranges, &mut *out).map_err(io::Error::from)?;
    out.payload += selected_bytes(&tree, ranges);
    Ok(())
}

/// Whether only whole chunk groups are asked for, as takers do but for odd ones.
fn is_whole_groups(tree: &BaoTree, ranges: &ChunkRanges) -> bool {
    let wanted = truncate_ranges(ranges, tree.size());
    tree.ranges_pre_order_chunks_iter_ref(wanted, 0)
        .all(|item| match item {
            BaoChunk::Leaf { ranges, .. } => ranges.is_all(),
            BaoChunk::Parent { .. } => true,
        })
}

/// Bytes of a file that ranges select.
fn selected_bytes(tree: &BaoTree, ranges: &ChunkRanges) -> u64 {
    let size = tree.size();
    let boundaries = truncate_ranges(ranges, size).boundaries();
    let bytes = boundaries.chunks(2).map(|pair| {
        let end = pair.get(1).map_or(size, |end| end.to_bytes().min(size));
        pair.first()
            .map_or(0, |start| end.saturating_sub(start.to_bytes()))
    });
    bytes.sum()
}

/// What `bao_tree`'s `encode_ranges` writes for whole groups, read from the file straight into the parts.
fn encode_groups(
    blob: &dyn Blob,
    outboard: &PostOrderOutboard<OutboardBytes<'_>>,
    ranges: &ChunkRanges,
    out: &mut Parts,
) -> io::Result<()> {
    let wanted = truncate_ranges(ranges, outboard.tree.size());
    for item in outboard.tree.ranges_pre_order_chunks_iter_ref(wanted, 0) {
        match item {
            BaoChunk::Parent { node, .. } => {
                let (left, right) = outboard.load(node)?.ok_or(io::ErrorKind::InvalidData)?;
                out.write_all(left.as_bytes())?;
                out.write_all(right.as_bytes())?;
            }
            BaoChunk::Leaf {
                start_chunk, size, ..
            } => out.read_from(blob, start_chunk.to_bytes(), size)?,
        }
    }
    Ok(())
}

/// Collects written bytes into parts and hands them on.
struct Parts {
    buffer: BytesMut,
    sender: mpsc::Sender<io::Result<Bytes>>,
    payload: u64,
    ended: CancellationToken,
    seat: Arc<dyn Seat>,
}

impl Parts {
    fn read_from(&mut self, blob: &dyn Blob, offset: u64, len: usize) -> io::Result<()> {
        let start = self.buffer.len();
        self.buffer.resize(start + len, 0);
        let (_, target) = self.buffer.split_at_mut(start);
        blob.read_exact_at(offset, target)?;
        self.payload += len as u64;
        if self.buffer.len() >= PART_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn fail(self, error: io::Error) {
        // The receiver may be gone already, and then nobody is left to tell.
        let _ = self.sender.blocking_send(Err(error));
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PART_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if self.ended.is_cancelled() {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the link has ended",
            ));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::serve::MemoryBlob;
    use bao_tree::ChunkNum;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct Counter(AtomicU64);

    impl Seat for Counter {
        fn sent(&self, bytes: u64) {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }

        fn complete(&self) {}
    }

    struct OneBlob(Arc<MemoryBlob>);

    impl Blobs for OneBlob {
        fn blob(&self, hash: &ContentHash) -> Option<Arc<dyn Blob>> {
            (*hash == self.0.hash()).then(|| self.0.clone() as Arc<dyn Blob>)
        }

        fn ended(&self) -> CancellationToken {
            CancellationToken::new()
        }
    }

    async fn answered(blob: &Arc<MemoryBlob>, ranges: ChunkRanges) -> Vec<u8> {
        let asked = Asked::One(GetRequest::blob_ranges(blob.hash().0.into(), ranges));
        let mut parts = answer(
            asked,
            Arc::new(OneBlob(blob.clone())),
            Arc::new(Counter::default()),
        );
        let mut all = Vec::new();
        while let Some(part) = parts.recv().await {
            all.extend_from_slice(&part.unwrap());
        }
        all
    }

    #[tokio::test]
    async fn an_answer_is_what_bao_tree_encodes() {
        for size in [0usize, 1, 16 * 1024, 16 * 1024 + 1, 1_000_000] {
            let bytes: Vec<u8> = (0..size).map(|n| (n * 31 % 251) as u8).collect();
            let blob = Arc::new(MemoryBlob::new(bytes.clone().into()));
            let outboard =
                bao_tree::io::outboard::PostOrderMemOutboard::create(&bytes, IROH_BLOCK_SIZE);
            for ranges in [
                ChunkRanges::all(),
                ChunkRanges::from(..ChunkNum(16)),
                ChunkRanges::from(ChunkNum(16)..ChunkNum(64)),
                ChunkRanges::from(ChunkNum(3)..ChunkNum(21)),
            ] {
                let mut expected = (size as u64).to_le_bytes().to_vec();
                encode_ranges(&bytes[..], &outboard, &ranges, &mut expected).unwrap();
                assert_eq!(
                    answered(&blob, ranges.clone()).await,
                    expected,
                    "{size} {ranges:?}"
                );
            }
        }
    }
}
