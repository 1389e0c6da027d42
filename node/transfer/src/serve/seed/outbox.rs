//! What a peer asked for and has not got yet.

use shoal_protocol::peerwire::BlockRef;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Requests that a peer may have outstanding; it is told so (`reqq`, BEP 10). Clients ask for at
/// most 2,000 whatever they are told, so more than that is an attack.
pub(super) const REQUESTS_MAX: usize = 2_048;
/// `reqq` in our extended handshake.
pub(super) const REQUESTS_ADVISED: u32 = 1_000;
/// Bytes of pieces that are read and written at once.
const BATCH_BYTES: usize = 1 << 20;

/// What the writer does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Batch {
    /// Messages that are ready.
    Bytes(Vec<u8>),
    /// Pieces to read from the files.
    Blocks(Vec<BlockRef>),
    /// Nothing comes any more.
    Closed,
}

/// Queue between the reader and the writer of a connection.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    blocks: VecDeque<BlockRef>,
    closed: bool,
}

/// A peer asks for more at once than any client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it asks for too much at once")]
pub(super) struct Flood;

impl Outbox {
    /// Queues a whole message. Small answers only: their number is bounded like that of requests.
    pub(super) fn push_bytes(&self, message: &[u8]) -> Result<(), Flood> {
        let mut state = self.lock();
        if state.bytes.len() + message.len() > 4 * BATCH_BYTES {
            return Err(Flood);
        }
        state.bytes.extend_from_slice(message);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn push_block(&self, block: BlockRef) -> Result<(), Flood> {
        let mut state = self.lock();
        if state.blocks.len() >= REQUESTS_MAX {
            return Err(Flood);
        }
        state.blocks.push_back(block);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn cancel(&self, block: BlockRef) {
        self.lock().blocks.retain(|queued| *queued != block);
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits for something to write. Messages go before pieces.
    pub(super) async fn next(&self) -> Batch {
        loop {
            if let Some(batch) = self.lock().take() {
                return batch;
            }
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Option<Batch> {
        if self.closed {
            return Some(Batch::Closed);
        }
        if !self.bytes.is_empty() {
            return Some(Batch::Bytes(std::mem::take(&mut self.bytes)));
        }
        let mut bytes = 0;
        let mut blocks = Vec::new();
        while let Some(block) = self.blocks.front().copied().filter(|_| bytes < BATCH_BYTES) {
            bytes += block.len_bytes as usize;
            blocks.push(block);
            self.blocks.pop_front();
        }
        if blocks.is_empty() {
            None
        } else {
            Some(Batch::Blocks(blocks))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn block(piece: u32) -> BlockRef {
        BlockRef {
            piece,
            begin_bytes: 0,
            len_bytes: 16 * 1024,
        }
    }

    #[tokio::test]
    async fn messages_go_first_and_cancelled_blocks_never() {
        let outbox = Outbox::default();
        outbox.push_block(block(1)).unwrap();
        outbox.push_block(block(2)).unwrap();
        outbox.push_bytes(b"hello").unwrap();
        outbox.cancel(block(1));
        assert_eq!(outbox.next().await, Batch::Bytes(b"hello".to_vec()));
        assert_eq!(outbox.next().await, Batch::Blocks(vec![block(2)]));
        outbox.close();
        assert_eq!(outbox.next().await, Batch::Closed);
    }

    #[test]
    fn a_flood_is_refused() {
        let outbox = Outbox::default();
        let accepted = (0..)
            .take_while(|n| outbox.push_block(block(*n)).is_ok())
            .count();
        assert_eq!(accepted, REQUESTS_MAX);
    }
}
