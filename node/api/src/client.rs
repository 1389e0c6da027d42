//! The [`Api`] of a node in another process, over the Unix socket in its home.

mod devices;
mod filesets;

use crate::error::{ApiError, ErrorCode};
use crate::event::Event;
use crate::request::ShareRequest;
use crate::socket::{SOCKET_NAME, ShortPath, TOKEN_NAME};
use crate::view::{LogRow, NodeStatus, ShareView};
use crate::{Api, routes};
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// Time that a node has for an answer. Nothing that it is asked takes long: hashing goes on behind it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer, at most.
const ANSWER_MAX_BYTES: usize = 256 << 20;
/// Bytes of one event, at most.
const EVENT_MAX_BYTES: usize = 8 << 20;

/// A client of the node of a home. Each call makes a connection of its own.
#[derive(Clone)]
pub struct Client {
    socket: PathBuf,
    token: String,
}

impl Client {
    /// A client of the node of `home`. The node need not run: each call finds out.
    ///
    /// # Errors
    /// [`ErrorCode::NoNode`] if no node ever ran there, [`ErrorCode::Permission`] if its token
    /// cannot be read.
    pub fn of_home(home: &Path) -> Result<Self, ApiError> {
        let token = home.join(TOKEN_NAME);
        match std::fs::read_to_string(&token) {
            Ok(text) => Ok(Self::new(home.join(SOCKET_NAME), text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(no_node(home)),
            Err(error) => Err(unreadable(&token, &error)),
        }
    }

    /// A client of the node behind `socket`.
    pub fn new(socket: PathBuf, token: String) -> Self {
        Self { socket, token }
    }

    /// Whether a node listens on the socket.
    ///
    /// # Errors
    /// [`ErrorCode::NoNode`] if none does.
    pub async fn probe(&self) -> Result<(), ApiError> {
        self.connect().await.map(|_| ())
    }

    /// Waits until the node is gone, whether it ended or died.
    ///
    /// # Errors
    /// [`ErrorCode::NoNode`] if it was not there in the first place.
    pub async fn disconnected(&self) -> Result<(), ApiError> {
        let mut events = self.events(None).await?;
        while events.next().await.is_some() {}
        Ok(())
    }

    async fn connect(&self) -> Result<UnixStream, ApiError> {
        let home = self.socket.parent().unwrap_or(&self.socket);
        let connected = match ShortPath::new(&self.socket) {
            Ok(short) => UnixStream::connect(short.path()).await,
            Err(error) => Err(error),
        };
        connected.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset => no_node(home),
            _ => unreadable(&self.socket, &error),
        })
    }

    /// Sends a request on a new connection and returns the answer once its head is there.
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ApiError> {
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        // Ends by itself when the answer's body is read or dropped.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("connection to the node ended: {error}");
            }
        });
        let response = tokio::time::timeout(ANSWER_TIMEOUT, sender.send_request(request))
            .await
            .map_err(|_| silent())?
            .map_err(|error| broken(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = read_body(response).await?;
        Err(serde_json::from_slice(&body).unwrap_or_else(|_| {
            ApiError::internal(format!(
                "the node answered {status} and nothing that this program understands"
            ))
            .hint("check that both are the same version: shoal status")
        }))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Request<Full<Bytes>>, ApiError> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, routes::HOST)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| {
                ApiError::internal("the token of this home has characters that no token has")
                    .hint("stop the node, delete the file `token` in the home, and start the node")
            })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ApiError> {
        let response = self.send(self.request(method, path, body)?).await?;
        let body = read_body(response).await?;
        serde_json::from_slice(&body).map_err(|error| {
            ApiError::internal(format!("the node's answer makes no sense: {error}"))
                .hint("check that both are the same version: shoal status")
        })
    }
}

#[async_trait::async_trait]
impl Api for Client {
    async fn status(&self) -> Result<NodeStatus, ApiError> {
        self.call(Method::GET, routes::STATUS, Vec::new()).await
    }

    async fn shares(&self) -> Result<Vec<ShareView>, ApiError> {
        self.call(Method::GET, routes::SHARES, Vec::new()).await
    }

    async fn share(&self, id: &str) -> Result<ShareView, ApiError> {
        self.call(Method::GET, &share_path(id)?, Vec::new()).await
    }

    async fn create_share(&self, request: ShareRequest) -> Result<ShareView, ApiError> {
        let body = serde_json::to_vec(&request).map_err(|_| {
            ApiError::new(ErrorCode::Usage, "a path is not valid UTF-8")
                .hint("rename it, then share it")
        })?;
        self.call(Method::POST, routes::SHARES, body).await
    }

    async fn stop_share(&self, id: &str) -> Result<ShareView, ApiError> {
        self.call(Method::DELETE, &share_path(id)?, Vec::new())
            .await
    }

    async fn share_log(&self, id: &str, limit: usize) -> Result<Vec<LogRow>, ApiError> {
        let path = format!("{}/log?limit={limit}", share_path(id)?);
        self.call(Method::GET, &path, Vec::new()).await
    }

    async fn events(&self, id: Option<&str>) -> Result<BoxStream<'static, Event>, ApiError> {
        let path = match id {
            Some(id) => format!("{}?id={}", routes::EVENTS, checked_id(id)?),
            None => routes::EVENTS.to_owned(),
        };
        let response = self
            .send(self.request(Method::GET, &path, Vec::new())?)
            .await?;
        Ok(lines(response.into_body())
            .filter_map(|line| async move { parse_event(&line) })
            .boxed())
    }

    async fn shutdown(&self) -> Result<(), ApiError> {
        let request = self.request(Method::POST, routes::SHUTDOWN, Vec::new())?;
        self.send(request).await.map(|_| ())
    }
}

async fn read_body(response: Response<Incoming>) -> Result<Bytes, ApiError> {
    let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect();
    match tokio::time::timeout(ANSWER_TIMEOUT, body).await {
        Err(_) => Err(silent()),
        Ok(Err(error)) => Err(broken(&error)),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

/// Complete lines of a body; the stream ends with the body, whether cleanly or not.
fn lines(body: Incoming) -> impl futures::Stream<Item = Bytes> + Send {
    stream::unfold((body, BytesMut::new()), |(mut body, mut kept)| async move {
        loop {
            if let Some(end) = kept.iter().position(|byte| *byte == b'\n') {
                let line = kept.split_to(end + 1).freeze();
                return Some((line, (body, kept)));
            }
            if kept.len() > EVENT_MAX_BYTES {
                return None;
            }
            let frame = body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                kept.extend_from_slice(&data);
            }
        }
    })
}

/// An event of a newer node that this program does not know is left out.
fn parse_event(line: &[u8]) -> Option<Event> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return None;
    }
    match serde_json::from_slice(line) {
        Ok(event) => Some(event),
        Err(error) => {
            tracing::debug!("an event was not understood: {error}");
            None
        }
    }
}

fn body(request: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(request).map_err(|error| ApiError::internal(error.to_string()))
}

fn share_path(id: &str) -> Result<String, ApiError> {
    Ok(format!("{}{}", routes::SHARE_PREFIX, checked_id(id)?))
}

/// An id is letters and digits; whatever else was typed must not become part of a path.
fn checked_id(id: &str) -> Result<&str, ApiError> {
    if !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(id);
    }
    Err(
        ApiError::new(ErrorCode::Usage, format!("{id:?} is no id of a share"))
            .hint("`shoal shares` lists them; the first letters are enough"),
    )
}

fn no_node(home: &Path) -> ApiError {
    ApiError::new(
        ErrorCode::NoNode,
        format!("no node runs on the home {}", home.display()),
    )
    .hint("start one: shoal up --detach")
}

fn unreadable(path: &Path, error: &io::Error) -> ApiError {
    let code = match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorCode::Permission,
        _ => ErrorCode::NoNode,
    };
    ApiError::new(code, format!("{} cannot be used: {error}", path.display()))
        .hint("check that the home belongs to you, or name another with --home")
}

fn broken(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(
        ErrorCode::NoNode,
        format!("the node hung up before it had answered: {error}"),
    )
    .hint("see what it says: shoal logs")
}

fn silent() -> ApiError {
    ApiError::new(
        ErrorCode::NoNode,
        format!(
            "the node did not answer for {} seconds",
            ANSWER_TIMEOUT.as_secs()
        ),
    )
    .hint("see what it says: shoal logs")
}
