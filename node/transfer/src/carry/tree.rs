//! The hash tree of a file, from its bytes.

use bao_tree::BaoTree;
use bao_tree::io::sync::outboard_post_order;
use iroh_blobs::store::IROH_BLOCK_SIZE;
use shoal_protocol::id::ContentHash;
use std::io::{self, BufReader, Read};

const BUFFER_BYTES: usize = 256 * 1024;

/// Hashes `bytes` bytes: their hash, and the pairs of hashes above chunk groups of 16 KiB, in post-order: 0.4 % of the length.
///
/// # Errors
/// What the reader says.
pub fn hash_tree(read: impl Read, bytes: u64) -> io::Result<(ContentHash, Vec<u8>)> {
    let mut tree = Vec::new();
    let read = BufReader::with_capacity(BUFFER_BYTES, read);
    let hash = outboard_post_order(read, BaoTree::new(bytes, IROH_BLOCK_SIZE), &mut tree)?;
    Ok((ContentHash(*hash.as_bytes()), tree))
}
