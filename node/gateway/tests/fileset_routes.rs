//! The routes of filesets, through the client that people's commands use.

#![allow(clippy::unwrap_used)]

use shoal_api::{
    AddRequest, ApiError, Client, ConflictView, ErrorCode, FilesetApi, FilesetState, FilesetView,
    HaltAnswer, JoinFilesetRequest, ResumeRequest, SettleRequest,
};
use shoal_gateway::{fileset_routes, serve_unix};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// Names that would end a query, a path or a header, were they not data.
const NAME: &str = "Wörk & more?#+%20/\u{1b}[2J\n";

/// Writes down what it is asked, and gives one fileset and one conflict.
#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<String>>,
}

impl Fake {
    fn hear(&self, what: impl std::fmt::Debug) {
        self.asked.lock().unwrap().push(format!("{what:?}"));
    }
}

fn view(path: &str) -> FilesetView {
    FilesetView {
        id: "00".into(),
        name: NAME.into(),
        path: Some(path.into()),
        state: FilesetState::Halted,
        files: 1,
        missing: 2,
        bytes_wanted: 3,
        rate_bytes_per_s: 4,
        received_bytes: 0,
        sent_bytes: 0,
        left_s: Some(5),
        kept_by: vec!["phone".into()],
        connected: vec![],
        conflicts: 1,
        why: Some("w".into()),
        hint: None,
        problems: vec![],
    }
}

fn conflict(path: &str) -> ConflictView {
    ConflictView {
        id: "00".into(),
        name: NAME.into(),
        path: path.into(),
        sides: vec![],
    }
}

#[async_trait::async_trait]
impl FilesetApi for Fake {
    async fn filesets(&self) -> Result<Vec<FilesetView>, ApiError> {
        Ok(vec![view("/all")])
    }

    async fn add_fileset(&self, request: AddRequest) -> Result<FilesetView, ApiError> {
        self.hear(&request);
        Ok(view(&request.path))
    }

    async fn join_fileset(&self, request: JoinFilesetRequest) -> Result<FilesetView, ApiError> {
        self.hear(&request);
        Ok(view(&request.path))
    }

    async fn leave_fileset(&self, fileset: &str) -> Result<FilesetView, ApiError> {
        self.hear(("leave", fileset));
        Err(ApiError::new(ErrorCode::NotFound, "no such fileset").hint("look"))
    }

    async fn pause_fileset(&self, fileset: &str) -> Result<FilesetView, ApiError> {
        self.hear(("pause", fileset));
        Ok(view("/paused"))
    }

    async fn resume_fileset(&self, request: ResumeRequest) -> Result<FilesetView, ApiError> {
        self.hear(&request);
        Ok(view("/resumed"))
    }

    async fn conflicts(&self, fileset: Option<&str>) -> Result<Vec<ConflictView>, ApiError> {
        self.hear(("conflicts", fileset));
        Ok(vec![conflict("/c")])
    }

    async fn settle_conflict(&self, request: SettleRequest) -> Result<ConflictView, ApiError> {
        self.hear(&request);
        Ok(conflict(&request.path))
    }
}

struct Node {
    home: TempDir,
    fake: Arc<Fake>,
}

impl Node {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(home.path().join("node.sock")).unwrap();
        let fake = Arc::new(Fake::default());
        let router = fileset_routes(fake.clone());
        tokio::spawn(serve_unix(listener, router, CancellationToken::new()));
        Self { home, fake }
    }

    fn client(&self) -> Client {
        Client::new(self.home.path().join("node.sock"), "t".into())
    }

    /// What the node was asked last.
    fn asked(&self) -> String {
        self.fake.asked.lock().unwrap().pop().unwrap()
    }

    async fn raw(&self, line: &str, body: &str) -> String {
        let socket = self.home.path().join("node.sock");
        let mut stream = UnixStream::connect(socket).await.unwrap();
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

#[tokio::test]
async fn every_command_arrives_as_it_was_given() {
    let node = Node::start();
    let client = node.client();
    assert_eq!(client.filesets().await.unwrap(), [view("/all")]);

    let add = AddRequest {
        path: "/a b/ü".into(),
        name: Some(NAME.into()),
    };
    let added = client.add_fileset(add.clone()).await.unwrap();
    assert_eq!(
        (added, node.asked()),
        (view("/a b/ü"), format!("{:?}", &add))
    );
    let join = JoinFilesetRequest {
        fileset: NAME.into(),
        path: "/j".into(),
    };
    let joined = client.join_fileset(join.clone()).await.unwrap();
    assert_eq!((joined, node.asked()), (view("/j"), format!("{join:?}")));
    client.pause_fileset(NAME).await.unwrap();
    assert_eq!(node.asked(), format!("{:?}", ("pause", NAME)));
    for answer in [None, Some(HaltAnswer::Delete), Some(HaltAnswer::Restore)] {
        let fileset = NAME.to_owned();
        let resume = ResumeRequest { fileset, answer };
        client.resume_fileset(resume.clone()).await.unwrap();
        assert_eq!(node.asked(), format!("{resume:?}"));
    }
    for of in [None, Some(NAME), Some("")] {
        assert_eq!(client.conflicts(of).await.unwrap(), [conflict("/c")]);
        assert_eq!(node.asked(), format!("{:?}", ("conflicts", of)));
    }
    let settle = SettleRequest {
        path: "/c".into(),
        side: "2".into(),
    };
    client.settle_conflict(settle.clone()).await.unwrap();
    assert_eq!(node.asked(), format!("{settle:?}"));
    let error = client.leave_fileset(NAME).await.unwrap_err();
    assert_eq!(node.asked(), format!("{:?}", ("leave", NAME)));
    assert_eq!(
        (error.code, error.hint.as_deref()),
        (ErrorCode::NotFound, Some("look"))
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_a_form_that_programs_read() {
    let node = Node::start();
    for (line, body, status) in [
        ("POST /v1/filesets", r#"{"path":"/a"}"#, "201"),
        ("POST /v1/filesets", r#"{"path":"/a","x":1}"#, "400"),
        ("POST /v1/filesets", "{", "400"),
        ("POST /v1/filesets/join", r#"{"fileset":"w"}"#, "400"),
        ("POST /v1/filesets/leave", "", "400"),
        ("POST /v1/filesets/leave", r#"{"fileset":"w"}"#, "404"),
        ("POST /v1/filesets/pause", "[]", "400"),
        (
            "POST /v1/filesets/resume",
            r#"{"fileset":"w","answer":"maybe"}"#,
            "400",
        ),
        ("GET /v1/conflicts?fileset=%ff%fe", "", "200"),
        ("GET /v1/conflicts?fileset=a&fileset=b", "", "400"),
        ("POST /v1/conflicts/settle", r#"{"path":"/a"}"#, "400"),
    ] {
        let answer = node.raw(line, body).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{line} {body}");
        let json = answer.split("\r\n\r\n").nth(1).unwrap();
        if status.starts_with('4') {
            serde_json::from_str::<ApiError>(json).unwrap();
        }
    }
}
