//! What a connection and the answer that runs on it know of each other.
//!
//! An answer's chunks wait in memory and in the kernel until a slow taker reads them. Bytes count
//! as sent when a chunk has left to the kernel, and a link that ends takes the whole connection
//! with it, chunks and all: asking only before the next chunk is made would be too late.

use crate::buffer::Buffer;
use crate::port::Seat;
use bytes::Bytes;
use shoal_protocol::hello::Refusal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// How often a running answer's link is asked whether it has ended.
const ENDED_CHECK: Duration = Duration::from_millis(250);

/// Shared by one connection and its answers; a request's extension.
#[derive(Clone, Default)]
pub(crate) struct Delivery(Arc<Inner>);

#[derive(Default)]
struct Inner {
    seat: Mutex<Option<Weak<dyn Seat>>>,
    seated: Notify,
    cut: AtomicBool,
}

/// A chunk on its way; tells the seat when it has left.
struct Chunk {
    buffer: Buffer,
    seat: Arc<dyn Seat>,
    delivery: Delivery,
}

impl Delivery {
    /// From now on the connection lives no longer than this seat's link.
    pub(crate) fn watch(&self, seat: &Arc<dyn Seat>) {
        *self.slot() = Some(Arc::downgrade(seat));
        self.0.seated.notify_one();
    }

    /// Makes a chunk of an answer, without a copy.
    pub(crate) fn chunk(&self, buffer: Buffer, seat: Arc<dyn Seat>) -> Bytes {
        Bytes::from_owner(Chunk {
            buffer,
            seat,
            delivery: self.clone(),
        })
    }

    /// The connection is lost: what is still under way does not count as sent.
    pub(crate) fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
    }

    /// Waits until the link of the running answer gives nothing any more.
    pub(crate) async fn ended(&self) -> Refusal {
        loop {
            let seat = self.slot().as_ref().and_then(Weak::upgrade);
            match seat {
                None => self.0.seated.notified().await,
                Some(seat) => {
                    if let Some(refusal) = seat.ended() {
                        return refusal;
                    }
                    drop(seat);
                    tokio::time::sleep(ENDED_CHECK).await;
                }
            }
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Weak<dyn Seat>>> {
        self.0.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_ref()
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if !self.delivery.0.cut.load(Ordering::Acquire) {
            self.seat.sent(self.buffer.len() as u64);
        }
    }
}
