//! The half of a connection that writes: messages, and pieces read from the user's files.

use super::outbox::{Batch, Outbox};
use crate::serve::port::{Seat, Torrent};
use shoal_protocol::peerwire::{BlockRef, PIECE_HEADER_BYTES, encode_piece_header};
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::timeout;

/// Time in which a peer takes 1 MiB at least.
const STALL_TIMEOUT: Duration = Duration::from_secs(150);

/// Where the reader leaves the seat that it got for the peer.
pub(super) type SeatCell = OnceLock<Arc<dyn Seat>>;

/// Writes until the outbox is closed or the peer is gone.
pub(super) async fn run(
    mut stream: OwnedWriteHalf,
    outbox: Arc<Outbox>,
    torrent: Arc<dyn Torrent>,
    seat: Arc<SeatCell>,
) -> io::Result<()> {
    let mut spare = Vec::new();
    loop {
        match outbox.next().await {
            Batch::Closed => return Ok(()),
            Batch::Bytes(bytes) => write(&mut stream, &bytes).await?,
            Batch::Blocks(blocks) => {
                let payload = blocks.iter().map(|block| u64::from(block.len_bytes)).sum();
                let torrent = torrent.clone();
                let buffer = std::mem::take(&mut spare);
                let read = tokio::task::spawn_blocking(move || {
                    read_blocks(torrent.as_ref(), &blocks, buffer)
                });
                let bytes = read.await.map_err(io::Error::other)??;
                write(&mut stream, &bytes).await?;
                if let Some(seat) = seat.get() {
                    seat.sent(payload);
                }
                spare = bytes;
            }
        }
    }
}

/// A peer that takes nothing for so long gives its place to others.
async fn write(stream: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<()> {
    timeout(STALL_TIMEOUT, stream.write_all(bytes))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// `piece` messages, one behind the other.
fn read_blocks(
    torrent: &dyn Torrent,
    blocks: &[BlockRef],
    mut out: Vec<u8>,
) -> io::Result<Vec<u8>> {
    out.clear();
    let length = torrent.piece_length();
    let total = torrent.total_bytes();
    for block in blocks {
        let range = block
            .range_in(length, total)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        out.extend_from_slice(&encode_piece_header(*block));
        let start = out.len();
        out.resize(start + block.len_bytes as usize, 0);
        let (_, target) = out.split_at_mut(start);
        torrent.read_exact_at(range.start, target)?;
    }
    debug_assert!(out.len() >= blocks.len() * PIECE_HEADER_BYTES);
    Ok(out)
}
