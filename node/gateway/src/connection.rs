//! Connections: HTTP/1.1 with limits on what a stranger can make us keep.

use crate::delivery::Delivery;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, http};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixListener;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Time for a request's head, from its first byte or from the end of the answer before it.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Time in which a taker reads nothing at all before its connection is closed.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Time that running answers get when the node ends.
pub const SHUTDOWN_GRACE: Duration = Duration::from_millis(200);
/// Bytes of a request's head. A path of 4,096 bytes takes 12 KiB when every byte is encoded.
pub const HEAD_MAX_BYTES: usize = 64 * 1024;
/// Header lines of a request.
pub const HEADERS_MAX: usize = 64;

/// Pause after a failed `accept`, which mostly means that all file handles are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves one connection of the public side until it ends, one side stalls, or the node does.
///
/// Handlers find the client's address as `ConnectInfo<SocketAddr>`. The stream should be the bare
/// `TcpStream` (peeked at, not read): then chunks go to the kernel without a copy.
pub async fn serve_connection<S>(
    stream: S,
    addr: SocketAddr,
    router: Router,
    shutdown: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    serve_over(Transport::Plain, stream, addr, router, shutdown).await;
}

/// What a connection came over, and with it how far what it carries can be read by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Plain TCP, and there is nothing better.
    Plain,
    /// Plain TCP on a port that speaks TLS too: browsers are sent there.
    PlainBesideTls,
    /// TLS.
    Tls,
}

/// As [`serve_connection`], for a connection of which more is known.
pub async fn serve_over<S>(
    transport: Transport,
    stream: S,
    addr: SocketAddr,
    router: Router,
    shutdown: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
    serve(stream, Some((addr, transport)), router, shutdown).await;
}

/// Serves the local API until the node ends; returns when its connections have ended.
///
/// # Errors
/// None of a single connection: only what makes the socket useless.
pub async fn serve_unix(
    listener: UnixListener,
    router: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, None, router.clone(), shutdown.clone()));
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
            Err(error) => {
                tracing::warn!("the local socket does not accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
    Ok(())
}

async fn serve<S>(
    stream: S,
    from: Option<(SocketAddr, Transport)>,
    router: Router,
    shutdown: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let delivery = Delivery::default();
    let service = TowerToHyperService::new(router);
    let extended = delivery.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        extend(request.extensions_mut(), from, &extended);
        service.call(request.map(Body::new))
    });
    let mut connection = Box::pin(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_MAX_BYTES)
            .max_header_size(HEAD_MAX_BYTES)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(Stalling::new(stream)), service)
            .with_upgrades(),
    );
    let ended = tokio::select! {
        result = connection.as_mut() => Some(result),
        refusal = delivery.ended() => {
            tracing::debug!("a running answer was ended: {refusal}");
            None
        }
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(SHUTDOWN_GRACE, connection.as_mut()).await.ok()
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!("a connection broke: {error}");
    }
    // Before the connection's buffers are dropped: what is in them was never sent.
    delivery.cut();
    drop(connection);
}

fn extend(
    extensions: &mut http::Extensions,
    from: Option<(SocketAddr, Transport)>,
    delivery: &Delivery,
) {
    if let Some((addr, transport)) = from {
        extensions.insert(ConnectInfo(addr));
        extensions.insert(transport);
    }
    extensions.insert(delivery.clone());
}

/// A stream whose writes fail when the other side has read nothing for [`STALL_TIMEOUT`].
struct Stalling<S> {
    stream: S,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Stalling<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            deadline: None,
        }
    }

    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let deadline = self.deadline.get_or_insert_with(|| {
            Box::pin(tokio::time::sleep_until(Instant::now() + STALL_TIMEOUT))
        });
        match deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
