//! From async streams of bytes to a thread that reads them: a short queue of batches.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, Read};
use tokio::sync::mpsc;

/// Batches that wait for the reading thread.
const BATCHES_WAITING: usize = 4;
/// Bytes after which a batch is handed on.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;

/// The writing end.
pub(crate) type Batches = mpsc::Sender<Vec<Bytes>>;

/// The reading end; reads until the writing end is dropped.
#[derive(Debug)]
pub(crate) struct PipeReader {
    batches: mpsc::Receiver<Vec<Bytes>>,
    parts: VecDeque<Bytes>,
}

/// A pipe.
pub(crate) fn pipe() -> (Batches, PipeReader) {
    let (sender, batches) = mpsc::channel(BATCHES_WAITING);
    (
        sender,
        PipeReader {
            batches,
            parts: VecDeque::new(),
        },
    )
}

impl Read for PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let Some(part) = self.parts.front_mut() else {
                match self.batches.blocking_recv() {
                    Some(batch) => self.parts = batch.into(),
                    None => return Ok(0),
                }
                continue;
            };
            let len = part.len().min(buf.len());
            let (head, _) = buf.split_at_mut(len);
            part.copy_to_slice(head);
            if part.is_empty() {
                self.parts.pop_front();
            }
            if len > 0 {
                return Ok(len);
            }
        }
    }
}
