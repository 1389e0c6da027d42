//! Messages on a stream: a length of four bytes (little-endian), then the message.

use iroh::endpoint::{RecvStream, SendStream};
use std::io;

/// Sends one message.
pub(super) async fn send(stream: &mut SendStream, message: &[u8]) -> io::Result<()> {
    let len = u32::try_from(message.len()).map_err(io::Error::other)?;
    let whole = [&len.to_le_bytes()[..], message].concat();
    stream.write_all(&whole).await.map_err(io::Error::other)
}

/// Receives one message of at most `limit_bytes`.
pub(super) async fn receive(stream: &mut RecvStream, limit_bytes: usize) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    stream
        .read_exact(&mut len)
        .await
        .map_err(io::Error::other)?;
    let len = u32::from_le_bytes(len) as usize;
    if len > limit_bytes {
        return Err(io::Error::other(format!(
            "a message has {len} bytes, and {limit_bytes} are the most"
        )));
    }
    let mut message = vec![0; len];
    stream
        .read_exact(&mut message)
        .await
        .map_err(io::Error::other)?;
    Ok(message)
}
