//! Buffers of parts, which are used again.
//!
//! A new one of this size is new memory from the system each time: its pages have to be found, cleared and given
//! back, which takes longer than to read the file into it.

use super::PART_BYTES;
use super::encode::SURPLUS_BYTES;
use std::sync::{Mutex, PoisonError};

/// Bytes of a buffer that is kept.
const KEPT_BYTES: usize = PART_BYTES + SURPLUS_BYTES;
/// Buffers that are kept: 4.5 MiB.
const KEPT_MAX: usize = 16;

static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Bytes that grow at their end.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// What stands after `len` is of an answer before.
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    /// For a part that is full at `limit_bytes`.
    pub(super) fn new(limit_bytes: usize) -> Self {
        let room = limit_bytes + SURPLUS_BYTES;
        let kept = match room == KEPT_BYTES {
            true => KEPT.lock().unwrap_or_else(PoisonError::into_inner).pop(),
            false => None,
        };
        Self {
            bytes: kept.unwrap_or_else(|| vec![0; room]),
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// So many bytes more, all of which the caller has to write, or to drop the buffer.
    pub(super) fn grow(&mut self, by_bytes: usize) -> &mut [u8] {
        let start = self.len;
        self.len += by_bytes;
        if self.bytes.len() < self.len {
            self.bytes.resize(self.len, 0);
        }
        self.bytes.get_mut(start..self.len).unwrap_or_default()
    }

    pub(super) fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.grow(bytes.len()).copy_from_slice(bytes);
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() != KEPT_BYTES {
            return;
        }
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_in_a_buffer_before_is_never_seen() {
        for round in 1..=3u8 {
            let mut buffers: Vec<Buffer> =
                (0..KEPT_MAX + 1).map(|_| Buffer::new(PART_BYTES)).collect();
            for buffer in &mut buffers {
                assert!(buffer.is_empty());
                assert!(buffer.as_ref().is_empty());
                buffer.extend_from_slice(&[round; 3]);
                buffer.grow(2).fill(round);
                assert_eq!(buffer.as_ref(), [round; 5]);
            }
        }
    }

    #[test]
    fn more_than_there_is_room_for() {
        let mut buffer = Buffer::new(0);
        buffer.grow(SURPLUS_BYTES + 7).fill(1);
        buffer.extend_from_slice(&[2]);
        assert_eq!(buffer.len(), SURPLUS_BYTES + 8);
        assert_eq!(buffer.as_ref().last(), Some(&2));
    }
}
