//! Memory for file bodies: reused, so that it is neither cleared nor mapped anew for every chunk,
//! and bounded, so that many slow takers cannot fill the machine.

use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a chunk for a taker who keeps up.
pub(crate) const CHUNK_MAX_BYTES: usize = 512 * 1024;
/// Bytes of a chunk for one who does not, and of everybody's first.
pub(crate) const CHUNK_MIN_BYTES: usize = 64 * 1024;
/// Large buffers in use at once: 64 MiB. Above that chunks are [`CHUNK_MIN_BYTES`] of their own.
const LARGE_MAX: usize = 128;
/// Large buffers that are kept for the next answer: 4 MiB.
const IDLE_MAX: usize = 8;

/// Where chunks get their memory.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Vec<u8>>,
    large_in_use: usize,
}

/// Memory of one chunk; goes back when dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    pool: Option<Arc<Pool>>,
}

impl Pool {
    /// Memory for at most `wanted_bytes`, less if much is in use.
    pub(crate) fn take(self: &Arc<Self>, wanted_bytes: usize) -> Buffer {
        let wanted_bytes = wanted_bytes.min(CHUNK_MAX_BYTES);
        if wanted_bytes <= CHUNK_MIN_BYTES {
            return Buffer::alone(wanted_bytes);
        }
        let reused = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.large_in_use >= LARGE_MAX {
                return Buffer::alone(CHUNK_MIN_BYTES);
            }
            state.large_in_use += 1;
            state.idle.pop()
        };
        Buffer {
            bytes: reused.unwrap_or_else(|| vec![0; CHUNK_MAX_BYTES]),
            len: wanted_bytes,
            pool: Some(self.clone()),
        }
    }

    fn put_back(&self, bytes: Vec<u8>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.large_in_use = state.large_in_use.saturating_sub(1);
        if state.idle.len() < IDLE_MAX {
            state.idle.push(bytes);
        }
    }
}

impl Buffer {
    fn alone(len: usize) -> Self {
        Self {
            bytes: vec![0; len],
            len,
            pool: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.put_back(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_reused_and_bounded() {
        let pool = Arc::new(Pool::default());
        let held: Vec<_> = (0..LARGE_MAX).map(|_| pool.take(usize::MAX)).collect();
        assert!(held.iter().all(|buffer| buffer.len() == CHUNK_MAX_BYTES));
        assert_eq!(pool.take(usize::MAX).len(), CHUNK_MIN_BYTES);
        drop(held);
        let state = pool.state.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!((state.large_in_use, state.idle.len()), (0, IDLE_MAX));
    }
}
