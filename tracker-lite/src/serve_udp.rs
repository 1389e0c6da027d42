//! The UDP tracker on a tokio socket, for programs that run tokio already.

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::net::UdpSocket;

use crate::tracker::{Scratch, Tracker};

/// Bytes of a packet that is read: an announce with the longest URL data.
pub(crate) const PACKET_MAX_BYTES: usize = 2048;
/// Packets answered before other tasks get a turn.
const BURST: usize = 64;

/// Answers packets until `shutdown` is done. An answer that the socket does not take at once is dropped: clients ask
/// again. Errors that concern one peer are passed over; others end it.
pub async fn serve_udp(
    socket: UdpSocket,
    tracker: Arc<Tracker>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut shutdown = std::pin::pin!(shutdown);
    let mut packet = vec![0; PACKET_MAX_BYTES];
    let mut scratch = Scratch::default();
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            ready = socket.readable() => ready?,
        }
        for _ in 0..BURST {
            match socket.try_recv_from(&mut packet) {
                Ok((len, from)) => {
                    let packet = packet.get(..len).unwrap_or_default();
                    if let Some(answer) = tracker.answer_udp(packet, from, &mut scratch) {
                        let _ = socket.try_send_to(answer, from);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if concerns_one_peer(&error) => {}
                Err(error) => return Err(error),
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Errors by which a system reports that an earlier answer did not arrive, or that a packet was too long.
pub(crate) fn concerns_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::Interrupted
    ) || error.raw_os_error() == Some(WSAEMSGSIZE)
}

/// On Windows a packet longer than the buffer is an error.
const WSAEMSGSIZE: i32 = 10_040;
