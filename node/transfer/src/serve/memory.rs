//! A blob in memory: a manifest.

use super::port::Blob;
use bao_tree::io::outboard::PostOrderMemOutboard;
use bytes::Bytes;
use iroh_blobs::store::IROH_BLOCK_SIZE;
use shoal_protocol::id::ContentHash;
use std::io;

/// Bytes in memory with their outboard.
#[derive(Debug)]
pub struct MemoryBlob {
    bytes: Bytes,
    outboard: Vec<u8>,
    hash: ContentHash,
}

impl MemoryBlob {
    /// Hashes the bytes.
    pub fn new(bytes: Bytes) -> Self {
        let outboard = PostOrderMemOutboard::create(&bytes, IROH_BLOCK_SIZE);
        Self {
            hash: ContentHash(*outboard.root.as_bytes()),
            outboard: outboard.data,
            bytes,
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl Blob for MemoryBlob {
    fn hash(&self) -> ContentHash {
        self.hash
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        copy_at(&self.bytes, offset, buf)
    }

    fn read_outboard_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        copy_at(&self.outboard, offset, buf)
    }
}

fn copy_at(bytes: &[u8], offset: u64, buf: &mut [u8]) -> io::Result<()> {
    let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
    let part = bytes
        .get(start..)
        .and_then(|rest| rest.get(..buf.len()))
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    buf.copy_from_slice(part);
    Ok(())
}
