//! One question to a router over UDP, asked again until it answers: PCP and NAT-PMP share port and habit.

use super::route::Path;
use std::net::SocketAddrV4;
use std::time::Duration;
use tokio::net::UdpSocket;

/// Both protocols' port.
const PORT: u16 = 5351;
/// How long each copy of the question waits, in milliseconds. RFC 6886 begins with 250 and doubles;
/// a router on the same network that is silent for this long does not speak the protocol.
const WAITS_MS: [u64; 3] = [250, 500, 1_000];
/// The longest answer, RFC 6887 section 7.
const ANSWER_MAX_BYTES: usize = 1_100;

/// What went wrong with one way of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nobody answers this protocol here.
    Silent,
    /// The answer is no, with the reason.
    Refused(String),
}

/// Asks, and returns the first answer that `read` takes for one; it gives `None` for what belongs to
/// something else.
pub(super) async fn ask<T>(
    path: &Path,
    question: &[u8],
    read: impl Fn(&[u8]) -> Option<Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let socket = connect(path).await.map_err(|_| Trouble::Silent)?;
    let mut buffer = [0; ANSWER_MAX_BYTES];
    for wait_ms in WAITS_MS {
        // A refused port shows here or at the next receive: nobody listens.
        socket.send(question).await.map_err(|_| Trouble::Silent)?;
        let answer = tokio::time::timeout(Duration::from_millis(wait_ms), async {
            loop {
                let len = socket
                    .recv(&mut buffer)
                    .await
                    .map_err(|_| Trouble::Silent)?;
                if let Some(answer) = buffer.get(..len).and_then(&read) {
                    return answer;
                }
            }
        });
        if let Ok(answer) = answer.await {
            return answer;
        }
    }
    Err(Trouble::Silent)
}

/// A socket that takes packets from the router alone.
async fn connect(path: &Path) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddrV4::new(path.local, 0)).await?;
    socket
        .connect(SocketAddrV4::new(path.gateway, PORT))
        .await?;
    Ok(socket)
}
