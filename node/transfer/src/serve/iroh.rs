//! Links over iroh: a greeting, then iroh-blobs requests (ALPN `shoal/share/1`).

use super::blobs::{Asked, answer};
use super::port::{Directory, Mark, Seat, Served, Visitor, Way};
use crate::fetch::quic::{Distance, transport};
use futures::future::BoxFuture;
use iroh::Endpoint;
use iroh::endpoint::{Connection, ConnectionError, IncomingAddr, RecvStream, SendStream};
use shoal_protocol::hello::{ALPN, GREETING_MAX_BYTES, Hello, Refusal, Welcome};
use shoal_protocol::limits::BLOBS_REQUEST_MAX_BYTES;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Close code by which a taker says that it has everything.
pub const CODE_DONE: u32 = 1;
/// Close code by which a node says that it refuses.
pub const CODE_REFUSED: u32 = 2;

const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// A taker that takes nothing for so long gives its place to others.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_CONNECTIONS: usize = 1024;
const MAX_STREAMS: usize = 8;

/// Other protocols on the same endpoint.
pub trait OtherProtocols: Send + Sync + 'static {
    /// Their ALPNs.
    fn alpns(&self) -> Vec<Vec<u8>>;
    /// Takes a connection of one of them, until it ends.
    fn open(&self, connection: Connection) -> BoxFuture<'static, ()>;
}

/// Accepts connections until the endpoint is closed.
pub async fn accept(endpoint: Endpoint, directory: Arc<dyn Directory>) {
    accept_beside(endpoint, directory, Arc::new(NoOthers)).await;
}

/// The same on an endpoint that others use, too.
pub async fn accept_beside(
    endpoint: Endpoint,
    directory: Arc<dyn Directory>,
    doors: Arc<dyn OtherProtocols>,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let near = endpoint
        .create_server_config_builder(alpns(&*doors))
        .set_transport_config(transport(Distance::Near))
        .build();
    let near = Arc::new(near);
    while let Some(incoming) = endpoint.accept().await {
        let Ok(place) = places.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let address = match incoming.remote_addr() {
            IncomingAddr::Ip(address) => address.ip(),
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        let accepted = match Distance::of(address) {
            Distance::Near => incoming.accept_with(near.clone()),
            Distance::Far => incoming.accept(),
        };
        let accepting = match accepted {
            Ok(accepting) => accepting,
            Err(error) => {
                tracing::debug!(%address, %error, "no iroh connection");
                continue;
            }
        };
        let (directory, doors) = (directory.clone(), doors.clone());
        tokio::spawn(async move {
            match timeout(GREETING_TIMEOUT, accepting).await {
                Ok(Ok(connection)) if connection.alpn() != ALPN => doors.open(connection).await,
                Ok(Ok(connection)) => serve(connection, address, directory).await,
                Ok(Err(error)) => tracing::debug!(%address, %error, "iroh handshake failed"),
                Err(_) => tracing::debug!(%address, "iroh handshake took too long"),
            }
            drop(place);
        });
    }
}

/// Links alone.
struct NoOthers;

impl OtherProtocols for NoOthers {
    fn alpns(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn open(&self, _connection: Connection) -> BoxFuture<'static, ()> {
        Box::pin(futures::future::ready(()))
    }
}

/// All that the endpoint answers to.
pub fn alpns(doors: &dyn OtherProtocols) -> Vec<Vec<u8>> {
    let mut all = doors.alpns();
    all.push(ALPN.to_vec());
    all
}

async fn serve(connection: Connection, address: IpAddr, directory: Arc<dyn Directory>) {
    let greeted = timeout(
        GREETING_TIMEOUT,
        greet(&connection, address, directory.as_ref()),
    )
    .await;
    let (served, visitor) = match greeted {
        Ok(Ok(Some(greeted))) => greeted,
        Ok(Ok(None)) => {
            // The taker reads the refusal and closes; it gets as long as a greeting may take.
            let _ = timeout(GREETING_TIMEOUT, connection.closed()).await;
            return connection.close(CODE_REFUSED.into(), b"refused");
        }
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "no greeting");
            return connection.close(CODE_REFUSED.into(), b"no greeting");
        }
        Err(_) => return connection.close(CODE_REFUSED.into(), b"greeting took too long"),
    };
    let ended = served.ended();
    let streams = Arc::new(Semaphore::new(MAX_STREAMS));
    loop {
        let stream = tokio::select! {
            stream = connection.accept_bi() => stream,
            () = ended.cancelled() => return connection.close(CODE_REFUSED.into(), b"ended"),
        };
        match stream {
            Ok((send, recv)) => {
                let place = tokio::select! {
                    place = streams.clone().acquire_owned() => place,
                    () = ended.cancelled() => return connection.close(CODE_REFUSED.into(), b"ended"),
                };
                let Ok(place) = place else { return };
                let (served, visitor) = (served.clone(), visitor.clone());
                tokio::spawn(async move {
                    if let Err(error) = serve_request(send, recv, served, visitor).await {
                        tracing::debug!(%error, "request ended early");
                    }
                    drop(place);
                });
            }
            Err(ConnectionError::ApplicationClosed(close))
                if close.error_code == CODE_DONE.into() =>
            {
                return served.says_complete(&visitor);
            }
            Err(_) => return,
        }
    }
}

/// Why a stream ended early.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("the stream broke: {0}")]
    Io(#[from] std::io::Error),
    #[error("the connection broke: {0}")]
    Connection(#[from] ConnectionError),
    #[error("the greeting is malformed: {0}")]
    Greeting(#[from] shoal_protocol::codec::DecodeError),
    #[error("the greeting is longer than {GREETING_MAX_BYTES} bytes")]
    LongGreeting,
    #[error(transparent)]
    Request(#[from] super::blobs::RequestError),
    #[error("{0}")]
    Refused(Refusal),
}

async fn greet(
    connection: &Connection,
    address: IpAddr,
    directory: &dyn Directory,
) -> Result<Option<(Arc<dyn Served>, Visitor)>, StreamError> {
    let (mut send, mut recv) = connection.accept_bi().await?;
    let mut len = [0; 4];
    recv.read_exact(&mut len)
        .await
        .map_err(std::io::Error::other)?;
    let len = u32::from_le_bytes(len) as usize;
    if len > GREETING_MAX_BYTES {
        return Err(StreamError::LongGreeting);
    }
    let mut bytes = vec![0; len];
    recv.read_exact(&mut bytes)
        .await
        .map_err(std::io::Error::other)?;
    let hello = Hello::decode(&bytes)?;
    let mark = Mark::Token(hello.taker);
    let visitor = Visitor {
        address: address.to_canonical(),
        way: Way::Iroh,
        mark,
        client: None,
        proof: hello.proof,
    };
    let found = directory
        .by_link(&hello.link)
        .and_then(|served| match served.refuses(&visitor) {
            None => Ok(served),
            Some(refusal) => Err(refusal),
        });
    let (welcome, served) = match found {
        Ok(served) => {
            let capability = served.capability().to_vec();
            match served.record() {
                Some(record) => (
                    Welcome::Ready {
                        capability,
                        record: record.to_vec(),
                    },
                    Some(served),
                ),
                None => (Welcome::Counting { capability }, None),
            }
        }
        Err(refusal) => (Welcome::Refused(refusal), None),
    };
    let bytes = welcome.encode();
    send.write_all(&(bytes.len() as u32).to_le_bytes())
        .await
        .map_err(std::io::Error::other)?;
    send.write_all(&bytes)
        .await
        .map_err(std::io::Error::other)?;
    send.finish().map_err(std::io::Error::other)?;
    Ok(served.map(|served| (served, visitor)))
}

async fn serve_request(
    mut send: SendStream,
    mut recv: RecvStream,
    served: Arc<dyn Served>,
    visitor: Visitor,
) -> Result<(), StreamError> {
    let request = timeout(GREETING_TIMEOUT, recv.read_to_end(BLOBS_REQUEST_MAX_BYTES))
        .await
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
        .map_err(std::io::Error::other)?;
    let asked = tokio::task::spawn_blocking(move || Asked::parse(&request))
        .await
        .map_err(std::io::Error::other)??;
    // The manifest says what there is to take: reading it takes nothing yet.
    let admitted: Result<Arc<dyn Seat>, Refusal> = match served.manifest() {
        Some(manifest) if asked.is_only(&manifest) => Ok(Arc::new(NoSeat)),
        _ => served.admit(&visitor),
    };
    let seat = match admitted {
        Ok(seat) => seat,
        Err(refusal) => {
            let _ = send.reset(CODE_REFUSED.into());
            return Err(StreamError::Refused(refusal));
        }
    };
    let ended = served.ended();
    let mut parts = answer(asked, served, seat);
    loop {
        let part = tokio::select! {
            part = parts.recv() => part,
            () = ended.cancelled() => Some(Err(std::io::ErrorKind::ConnectionAborted.into())),
        };
        match part {
            None => break,
            Some(Ok(bytes)) => timeout(STALL_TIMEOUT, send.write_chunk(bytes))
                .await
                .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
                .map_err(std::io::Error::other)?,
            Some(Err(error)) => {
                let _ = send.reset(CODE_REFUSED.into());
                return Err(error.into());
            }
        }
    }
    send.finish().map_err(std::io::Error::other)?;
    Ok(())
}

/// Where nothing is counted.
struct NoSeat;

impl Seat for NoSeat {
    fn sent(&self, _bytes: u64) {}

    fn complete(&self) {}
}
