//! The local API through its own client, and through what must not get in.

#![allow(clippy::unwrap_used)]

use futures::stream::{self, BoxStream, StreamExt};
use shoal_api::{
    Api, ApiError, Client, ErrorCode, Event, LogRow, NodeStatus, Ports, Publicity, Reach,
    ReachScope, ShareCounts, ShareEnd, ShareRequest, ShareState, ShareView,
};
use shoal_gateway::{local_router, serve_unix};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "0123456789abcdef";

struct Fake {
    stop: CancellationToken,
}

fn reach() -> Reach {
    Reach {
        scope: ReachScope::Machine,
        sentence: "only this machine".into(),
        help: None,
    }
}

fn view(id: &str, roots: Vec<PathBuf>) -> ShareView {
    ShareView {
        id: id.into(),
        name: "n\u{1b}".into(),
        roots,
        url: format!("http://h/s/{id}"),
        urls: vec![],
        magnet: None,
        infohash: None,
        state: ShareState::Ready,
        end: ShareEnd::Active,
        files: 1,
        bytes: 2,
        created_s: 3,
        expires_s: None,
        max_downloads: None,
        completed: 0,
        taking: 0,
        publicity: Publicity::Private,
        access: shoal_api::Access::Open,
        problems: vec![],
        more_problems: 0,
        reach: reach(),
    }
}

#[async_trait::async_trait]
impl Api for Fake {
    async fn status(&self) -> Result<NodeStatus, ApiError> {
        Ok(NodeStatus {
            version: "1".into(),
            device: "d".into(),
            home: "/h".into(),
            pid: 1,
            uptime_s: 2,
            ports: Ports {
                tcp: 1,
                iroh_udp: 2,
                tracker_udp: 3,
            },
            addresses: vec![],
            reach: reach(),
            shares: ShareCounts::default(),
            takers: 0,
            bytes_sent: 0,
            mappings: vec![],
            group: None,
        })
    }

    async fn shares(&self) -> Result<Vec<ShareView>, ApiError> {
        Ok(vec![view("a", vec![])])
    }

    async fn share(&self, id: &str) -> Result<ShareView, ApiError> {
        match id {
            "a" => Ok(view("a", vec![])),
            _ => Err(ApiError::new(ErrorCode::NotFound, "no such share").hint("look")),
        }
    }

    async fn create_share(&self, request: ShareRequest) -> Result<ShareView, ApiError> {
        Ok(view("new", request.paths))
    }

    async fn stop_share(&self, id: &str) -> Result<ShareView, ApiError> {
        self.share(id).await
    }

    async fn share_log(&self, id: &str, limit: usize) -> Result<Vec<LogRow>, ApiError> {
        self.share(id).await?;
        assert_eq!(limit, 7);
        Ok(vec![])
    }

    async fn events(&self, id: Option<&str>) -> Result<BoxStream<'static, Event>, ApiError> {
        let first = Event::Url {
            id: id.unwrap_or("all").into(),
            url: "line\nbreak".into(),
        };
        let stop = self.stop.clone();
        let last = stream::once(async move {
            stop.cancelled().await;
            Event::NodeStopping
        });
        Ok(stream::iter([first]).chain(last).boxed())
    }

    async fn shutdown(&self) -> Result<(), ApiError> {
        self.stop.cancel();
        Ok(())
    }
}

struct Node {
    home: TempDir,
    served: JoinHandle<std::io::Result<()>>,
}

impl Node {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), format!("{TOKEN}\n")).unwrap();
        let listener = UnixListener::bind(home.path().join("node.sock")).unwrap();
        let stop = CancellationToken::new();
        let api = Arc::new(Fake { stop: stop.clone() });
        let served = tokio::spawn(serve_unix(
            listener,
            local_router(api, format!("{TOKEN}\n")),
            stop,
        ));
        Self { home, served }
    }

    fn client(&self) -> Client {
        Client::of_home(self.home.path()).unwrap()
    }

    async fn raw(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.home.path().join("node.sock"))
            .await
            .unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

#[tokio::test]
async fn the_client_reaches_every_route() {
    let node = Node::start();
    let client = node.client();
    client.probe().await.unwrap();
    assert_eq!(client.status().await.unwrap().ports.iroh_udp, 2);
    assert_eq!(client.shares().await.unwrap(), [view("a", vec![])]);
    assert_eq!(client.share("a").await.unwrap().id, "a");
    assert_eq!(client.stop_share("a").await.unwrap().id, "a");
    assert_eq!(client.share_log("a", 7).await.unwrap(), []);
    let missing = client.share("b").await.unwrap_err();
    assert_eq!(
        (missing.code, missing.hint.as_deref()),
        (ErrorCode::NotFound, Some("look"))
    );
    let request: ShareRequest = serde_json::from_str(r#"{"paths":["/a/ü"]}"#).unwrap();
    let created = client.create_share(request).await.unwrap();
    assert_eq!(created.roots, [PathBuf::from("/a/ü")]);
    for wrong in ["", "../a", "a/log", "a?x", "a b"] {
        assert_eq!(
            client.share(wrong).await.unwrap_err().code,
            ErrorCode::Usage,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn events_flow_until_the_node_ends() {
    let node = Node::start();
    let client = node.client();
    let mut events = client.events(Some("abc")).await.unwrap();
    let first = events.next().await.unwrap();
    assert_eq!(first.share_id(), Some("abc"));
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.disconnected().await }
    });
    client.shutdown().await.unwrap();
    let rest: Vec<_> = events.collect().await;
    assert!(
        matches!(rest.as_slice(), [] | [Event::NodeStopping]),
        "{rest:?}"
    );
    waiting.await.unwrap().ok();
    node.served.await.unwrap().unwrap();
    // The socket's file is still there, and nobody listens.
    assert_eq!(client.status().await.unwrap_err().code, ErrorCode::NoNode);
    std::fs::remove_file(node.home.path().join("node.sock")).unwrap();
    assert_eq!(client.status().await.unwrap_err().code, ErrorCode::NoNode);
}

#[tokio::test]
async fn a_home_without_a_node_says_so() {
    let home = tempfile::tempdir().unwrap();
    let error = Client::of_home(home.path()).err().unwrap();
    assert_eq!(error.code, ErrorCode::NoNode);
    assert!(error.hint.is_some());
}

#[tokio::test]
async fn strangers_stay_out() {
    let node = Node::start();
    let auth = format!("Authorization: Bearer {TOKEN}\r\n");
    for (lines, status) in [
        (format!("Host: localhost\r\n{auth}"), "200"),
        ("Host: localhost\r\n".to_owned(), "401"),
        (
            format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}x\r\n"),
            "401",
        ),
        (
            "Host: localhost\r\nAuthorization: Bearer \r\n".to_owned(),
            "401",
        ),
        (
            format!("Host: localhost\r\nAuthorization: Basic {TOKEN}\r\n"),
            "401",
        ),
        (format!("Host: evil.example\r\n{auth}"), "421"),
        (format!("Host: localhost.evil.example\r\n{auth}"), "421"),
        (auth.clone(), "421"),
        (
            format!("Host: localhost\r\nOrigin: http://localhost\r\n{auth}"),
            "403",
        ),
        (format!("Host: localhost\r\nOrigin: null\r\n{auth}"), "403"),
    ] {
        let answer = node
            .raw(&format!(
                "GET /v1/status HTTP/1.1\r\n{lines}Connection: close\r\n\r\n"
            ))
            .await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{lines}");
    }
    for (line, body, status) in [
        ("POST /v1/shares", "{", "400"),
        ("POST /v1/shares", r#"{"paths":["/a"],"x":1}"#, "400"),
        ("GET /v1/nothing", "", "404"),
        ("DELETE /v1/status", "", "405"),
        ("GET /v1/shares/a/log?limit=x", "", "400"),
        ("GET /v1/shares/zz", "", "404"),
    ] {
        let length = body.len();
        let answer = node
            .raw(&format!(
                "{line} HTTP/1.1\r\nHost: localhost\r\n{auth}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            ))
            .await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{line}");
        let json = answer.split("\r\n\r\n").nth(1).unwrap();
        serde_json::from_str::<ApiError>(json).unwrap();
    }
}
