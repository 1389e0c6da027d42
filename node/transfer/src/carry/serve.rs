//! Answering requests for content.

use super::FILESET_ID_BYTES;
use crate::serve::blobs::{Asked, RequestError, answer};
use crate::serve::port::{Blob, Blobs, Seat};
use bytes::Bytes;
use iroh::endpoint::{RecvStream, SendStream};
use shoal_protocol::id::ContentHash;
use shoal_protocol::limits::BLOBS_REQUEST_MAX_BYTES;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Time for a request to arrive, and for a part of the answer to be taken.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes that go out at once where there is a limit.
const PIECE_BYTES: usize = 16 * 1024;
/// Reset code of an answer whose rest is not given: the file changed, or is not here.
pub(super) const CODE_NOT_HERE: u32 = 2;

/// What a device has of its filesets; `node` implements it, and has checked who asks.
pub trait Library: Send + Sync + 'static {
    /// The content, if a file of this fileset has it here.
    fn blob(&self, fileset: &[u8; FILESET_ID_BYTES], hash: &ContentHash) -> Option<Arc<dyn Blob>>;
    /// Takes the time of `bytes` that are about to go out, and says how long to wait for it; none where there is no limit.
    fn pace(&self, bytes: u64) -> Option<Duration>;
    /// Payload bytes went out.
    fn sent(&self, fileset: &[u8; FILESET_ID_BYTES], bytes: u64);
}

/// Why a request got no whole answer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The stream broke, or the other side takes nothing any more.
    #[error("the stream broke: {0}")]
    Io(#[from] io::Error),
    /// What was asked is no request.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// Answers one request; the stream's first byte, [`super::CONTENT`], was read already.
///
/// # Errors
/// See [`ServeError`]; the other side sees a stream that was reset.
pub async fn serve_content(
    mut send: SendStream,
    mut recv: RecvStream,
    library: Arc<dyn Library>,
    ended: CancellationToken,
) -> Result<(), ServeError> {
    let mut fileset = [0; FILESET_ID_BYTES];
    let request = timeout(STALL_TIMEOUT, async {
        recv.read_exact(&mut fileset)
            .await
            .map_err(io::Error::other)?;
        recv.read_to_end(BLOBS_REQUEST_MAX_BYTES)
            .await
            .map_err(io::Error::other)
    });
    let request = request
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let asked = tokio::task::spawn_blocking(move || Asked::parse(&request))
        .await
        .map_err(io::Error::other)??;
    let paced = library.clone();
    let of = Arc::new(OfFileset {
        library,
        fileset,
        ended: ended.clone(),
    });
    let mut parts = answer(asked, of.clone(), of);
    loop {
        let part = tokio::select! {
            part = parts.recv() => part,
            () = ended.cancelled() => Some(Err(io::ErrorKind::ConnectionAborted.into())),
        };
        match part {
            None => break,
            Some(Ok(bytes)) => tokio::select! {
                sent = send_paced(&mut send, bytes, &*paced) => sent?,
                () = ended.cancelled() => {
                    return Err(io::Error::from(io::ErrorKind::ConnectionAborted).into());
                }
            },
            Some(Err(error)) => {
                // A stream that is closed already cannot be reset, and needs not be.
                let _ = send.reset(CODE_NOT_HERE.into());
                return Err(error.into());
            }
        }
    }
    send.finish().map_err(io::Error::other)?;
    Ok(())
}

/// Sends a part, in pieces if that takes time by a limit: a taker for whom nothing arrives gives up.
async fn send_paced(
    send: &mut SendStream,
    mut bytes: Bytes,
    library: &dyn Library,
) -> Result<(), ServeError> {
    while !bytes.is_empty() {
        let len = bytes.len().min(PIECE_BYTES);
        let piece = match library.pace(len as u64) {
            None => std::mem::take(&mut bytes),
            Some(wait) => {
                tokio::time::sleep(wait).await;
                bytes.split_to(len)
            }
        };
        timeout(STALL_TIMEOUT, send.write_chunk(piece))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
            .map_err(io::Error::other)?;
    }
    Ok(())
}

struct OfFileset {
    library: Arc<dyn Library>,
    fileset: [u8; FILESET_ID_BYTES],
    ended: CancellationToken,
}

impl Blobs for OfFileset {
    fn blob(&self, hash: &ContentHash) -> Option<Arc<dyn Blob>> {
        self.library.blob(&self.fileset, hash)
    }

    fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }
}

impl Seat for OfFileset {
    fn sent(&self, bytes: u64) {
        self.library.sent(&self.fileset, bytes);
    }

    fn complete(&self) {}
}
