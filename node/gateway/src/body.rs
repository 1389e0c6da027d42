//! The bytes of a file as the body of an answer, one chunk read ahead of the taker.

use crate::buffer::{Buffer, CHUNK_MAX_BYTES, CHUNK_MIN_BYTES, Pool};
use crate::delivery::Delivery;
use crate::port::{FileBytes, Seat};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};

/// A taker who needs longer than this for a chunk gets smaller ones.
const SLOW_CHUNK: Duration = Duration::from_secs(1);

/// A range of a file. Reads run on blocking threads, each for one chunk, so that a slow taker
/// holds no thread. Any error ends the connection: nothing is ever cut short in silence.
pub(crate) struct FileBody {
    file: Arc<dyn FileBytes>,
    seat: Arc<dyn Seat>,
    delivery: Delivery,
    pool: Arc<Pool>,
    unread: Range<u64>,
    ahead: Option<Ahead>,
    unsent_bytes: u64,
    chunk_bytes: usize,
    chunk_given: Instant,
}

/// The next chunk.
enum Ahead {
    Read(Buffer),
    Reading(JoinHandle<io::Result<Buffer>>),
}

/// Reads the first chunk of a range, on a blocking thread: what is wrong from the start can still
/// be said, and a small file costs one change of threads.
pub(crate) fn first_chunk(
    file: &dyn FileBytes,
    range: &Range<u64>,
    pool: &Arc<Pool>,
) -> io::Result<Buffer> {
    let mut buffer = pool.take(bounded(range, CHUNK_MIN_BYTES));
    file.read_exact_at(range.start, buffer.as_mut_slice())?;
    Ok(buffer)
}

impl FileBody {
    /// `range` must lie within the file, and begin with `first`.
    pub(crate) fn new(
        file: Arc<dyn FileBytes>,
        range: Range<u64>,
        first: Buffer,
        seat: Arc<dyn Seat>,
        delivery: Delivery,
        pool: Arc<Pool>,
    ) -> Self {
        delivery.watch(&seat);
        Self {
            file,
            seat,
            delivery,
            pool,
            unsent_bytes: range.end.saturating_sub(range.start),
            unread: range.start.saturating_add(first.len() as u64)..range.end,
            ahead: Some(Ahead::Read(first)),
            chunk_bytes: CHUNK_MIN_BYTES,
            chunk_given: Instant::now(),
        }
    }

    fn read_ahead(&mut self) {
        let wanted = bounded(&self.unread, self.chunk_bytes);
        if wanted == 0 {
            return;
        }
        let mut buffer = self.pool.take(wanted);
        let offset = self.unread.start;
        self.unread.start += buffer.len() as u64;
        let file = self.file.clone();
        self.ahead = Some(Ahead::Reading(tokio::task::spawn_blocking(move || {
            file.read_exact_at(offset, buffer.as_mut_slice())?;
            Ok(buffer)
        })));
    }

    fn fit_chunk_to_taker(&mut self) {
        self.chunk_bytes = if self.chunk_given.elapsed() < SLOW_CHUNK {
            (self.chunk_bytes * 2).min(CHUNK_MAX_BYTES)
        } else {
            (self.chunk_bytes / 2).max(CHUNK_MIN_BYTES)
        };
        self.chunk_given = Instant::now();
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.unsent_bytes == 0 {
            return Poll::Ready(None);
        }
        if let Some(refusal) = self.seat.ended() {
            return Poll::Ready(Some(Err(io::Error::other(refusal))));
        }
        let buffer = match self.ahead.take() {
            None => return Poll::Ready(None),
            Some(Ahead::Read(buffer)) => buffer,
            Some(Ahead::Reading(mut reading)) => match Pin::new(&mut reading).poll(cx) {
                Poll::Pending => {
                    self.ahead = Some(Ahead::Reading(reading));
                    return Poll::Pending;
                }
                Poll::Ready(Ok(Ok(buffer))) => buffer,
                Poll::Ready(Ok(Err(error))) => {
                    tracing::info!("an answer was broken off: {error}");
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Err(lost)) => return Poll::Ready(Some(Err(io::Error::other(lost)))),
            },
        };
        self.unsent_bytes = self.unsent_bytes.saturating_sub(buffer.len() as u64);
        self.fit_chunk_to_taker();
        self.read_ahead();
        let chunk = self.delivery.chunk(buffer, self.seat.clone());
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.unsent_bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.unsent_bytes)
    }
}

fn bounded(range: &Range<u64>, chunk_bytes: usize) -> usize {
    let left = range.end.saturating_sub(range.start);
    usize::try_from(left).map_or(chunk_bytes, |left| left.min(chunk_bytes))
}
