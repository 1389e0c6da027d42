//! The servers of a node.

use super::content::{Content, Stored};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use iroh::endpoint::presets;
use iroh::{Endpoint, RelayMode, SecretKey};
use shoal_protocol::capability::{Capability, ContentRecord, Hint, Password, Rights};
use shoal_protocol::hello::{ALPN, Refusal};
use shoal_protocol::id::{ContentHash, DeviceId, InfoHash, LinkId};
use shoal_protocol::magnet::Magnet;
use shoal_protocol::metainfo::Torrent as TorrentFile;
use shoal_transfer::fetch::quic;
use shoal_transfer::serve::MemoryBlob;
use shoal_transfer::serve::blobs::{Asked, answer};
use shoal_transfer::serve::port::{Blob, Blobs, Directory, Seat, Served, Torrent, Visitor};
use shoal_transfer::serve::seed::Seeder;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

type AnyBody = http_body_util::combinators::BoxBody<Bytes, io::Error>;

/// One link and its servers.
pub struct Node {
    pub link: Arc<Link>,
    pub web: SocketAddr,
    pub iroh: SocketAddr,
    endpoint: Endpoint,
    tasks: Vec<JoinHandle<()>>,
}

/// What is served, and what goes wrong.
pub struct Link {
    pub content: Arc<Content>,
    pub capability: Mutex<(Capability, Vec<u8>)>,
    key: SigningKey,
    manifest: Arc<MemoryBlob>,
    /// Gives nothing.
    pub refusal: Mutex<Option<Refusal>>,
    /// Hashing goes on.
    pub counting: AtomicBool,
    /// Ends of paths whose next request is answered with "ask again".
    pub later: Mutex<Vec<&'static str>>,
    /// Sends wrong bytes of files.
    pub lying: AtomicBool,
    /// Does not know `/blobs`.
    pub plain_only: AtomicBool,
    /// Waits before each read of a file.
    pub delay_ms: AtomicU64,
    /// Payload bytes that went out.
    pub sent: AtomicU64,
    /// Takers that said that they have everything.
    pub complete: AtomicUsize,
    ended: CancellationToken,
    me: std::sync::Weak<Link>,
}

impl Node {
    pub async fn start(content: Content) -> Self {
        Self::start_as(Arc::new(content), [3; 32], None).await
    }

    /// Another node with the same link, which its capability does not name.
    pub async fn replica(&self) -> Self {
        let capability = self.link.capability.lock().unwrap().0.clone();
        Self::start_as(self.link.content.clone(), [3; 32], Some(capability)).await
    }

    async fn start_as(
        content: Arc<Content>,
        key: [u8; 32],
        capability: Option<Capability>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let web = listener.local_addr().unwrap();
        let endpoint = Endpoint::builder(presets::Minimal)
            .secret_key(SecretKey::from_bytes(&key))
            .relay_mode(RelayMode::Disabled)
            .clear_address_lookup()
            .clear_ip_transports()
            .transport_config(quic::transport(quic::Distance::Far))
            .alpns(vec![ALPN.to_vec()])
            .bind_addr("127.0.0.1:0")
            .unwrap()
            .bind()
            .await
            .unwrap();
        let iroh = endpoint.bound_sockets()[0];
        let key = SigningKey::from_bytes(&key);
        let capability = capability.unwrap_or_else(|| Capability {
            issuer: DeviceId(key.verifying_key().to_bytes()),
            nonce: [9; 16],
            rights: Rights::Read,
            not_after_s: None,
            password: Password::None,
            hints: vec![Hint::Web(format!("http://{web}")), Hint::Iroh(iroh)],
        });
        let link = Arc::new_cyclic(|me| Link {
            manifest: Arc::new(MemoryBlob::new(content.manifest.clone().into())),
            capability: Mutex::new((capability.clone(), capability.sign(&key))),
            key,
            content,
            refusal: Mutex::default(),
            counting: AtomicBool::new(false),
            later: Mutex::default(),
            lying: AtomicBool::new(false),
            plain_only: AtomicBool::new(false),
            delay_ms: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            complete: AtomicUsize::new(0),
            ended: CancellationToken::new(),
            me: me.clone(),
        });
        let directory: Arc<dyn Directory> = Arc::new(One(link.clone()));
        let seeder = Seeder::new(directory.clone(), "test 1", [1; 32]);
        let tasks = vec![
            tokio::spawn(accept_tcp(listener, link.clone(), seeder)),
            tokio::spawn(shoal_transfer::serve::iroh::accept(
                endpoint.clone(),
                directory,
            )),
        ];
        Self {
            link,
            web,
            iroh,
            endpoint,
            tasks,
        }
    }

    /// Changes where takers look, and signs it again.
    pub fn set_hints(&self, hints: Vec<Hint>) {
        let mut capability = self.link.capability.lock().unwrap();
        capability.0.hints = hints;
        capability.1 = capability.0.sign(&self.link.key);
    }

    pub fn id(&self) -> LinkId {
        self.link.capability.lock().unwrap().0.link_id()
    }

    pub fn url(&self) -> String {
        format!("http://{}/s/{}", self.web, self.id())
    }

    /// With the capability, as `share` prints it.
    pub fn magnet(&self) -> String {
        let mut magnet = self.bare();
        magnet.shoal = Some(Capability::to_text(&self.link.capability.lock().unwrap().1));
        magnet.to_string()
    }

    /// As another program would make it.
    pub fn bare_magnet(&self) -> String {
        self.bare().to_string()
    }

    fn bare(&self) -> Magnet {
        let mut magnet = Magnet::new(self.link.content.info.infohash());
        magnet.peers.push(self.web.to_string());
        magnet
    }

    /// Everything ends, as when the process is killed.
    pub async fn kill(self) {
        self.link.ended.cancel();
        self.tasks.iter().for_each(JoinHandle::abort);
        self.endpoint.close().await;
    }
}

struct One(Arc<Link>);

impl Directory for One {
    fn by_link(&self, link: &LinkId) -> Result<Arc<dyn Served>, Refusal> {
        let known = *link == self.0.capability.lock().unwrap().0.link_id();
        match *self.0.refusal.lock().unwrap() {
            Some(refusal) => Err(refusal),
            None if known => Ok(self.0.clone()),
            None => Err(Refusal::Unknown),
        }
    }

    fn by_infohash(&self, infohash: &InfoHash) -> Result<Arc<dyn Served>, Refusal> {
        match *self.0.refusal.lock().unwrap() {
            Some(refusal) => Err(refusal),
            None if *infohash == self.0.content.info.infohash() => Ok(self.0.clone()),
            None => Err(Refusal::Unknown),
        }
    }
}

impl Blobs for Link {
    fn blob(&self, hash: &ContentHash) -> Option<Arc<dyn Blob>> {
        if *hash == self.manifest.hash() {
            return Some(self.manifest.clone());
        }
        let stored = self.content.by_hash.get(hash)?.clone();
        Some(Arc::new(FileBlob {
            stored,
            link: self.me.upgrade()?,
        }))
    }

    fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }
}

impl Served for Link {
    fn capability(&self) -> Bytes {
        self.capability.lock().unwrap().1.clone().into()
    }

    fn manifest(&self) -> Option<ContentHash> {
        Some(self.manifest.hash())
    }

    fn record(&self) -> Option<Bytes> {
        if self.counting.load(Ordering::Relaxed) {
            return None;
        }
        let record = ContentRecord {
            link: self.capability.lock().unwrap().0.link_id(),
            snapshot: self.manifest.hash(),
            manifest_bytes: self.manifest.size(),
            infohash: Some(self.content.info.infohash()),
            name: self.content.name.clone(),
            files: self.content.files.len() as u64,
            bytes: self.content.total_bytes(),
        };
        Some(record.sign(&self.key).into())
    }

    fn torrent(&self) -> Option<Arc<dyn Torrent>> {
        Some(Arc::new(Files(self.me.upgrade()?)))
    }

    fn refuses(&self, _visitor: &Visitor) -> Option<Refusal> {
        *self.refusal.lock().unwrap()
    }

    fn admit(&self, _visitor: &Visitor) -> Result<Arc<dyn Seat>, Refusal> {
        match *self.refusal.lock().unwrap() {
            Some(refusal) => Err(refusal),
            None => Ok(Arc::new(Here(self.me.upgrade().ok_or(Refusal::Unknown)?))),
        }
    }

    fn says_complete(&self, _visitor: &Visitor) {
        self.complete.fetch_add(1, Ordering::Relaxed);
    }
}

impl Link {
    fn disturb(&self, buf: &mut [u8]) {
        let delay_ms = self.delay_ms.load(Ordering::Relaxed);
        if delay_ms > 0 {
            // A slow disk, not a wait for anything.
            std::thread::park_timeout(Duration::from_millis(delay_ms));
        }
        if let (true, Some(byte)) = (self.lying.load(Ordering::Relaxed), buf.last_mut()) {
            *byte ^= 1;
        }
    }
}

struct Here(Arc<Link>);

impl Seat for Here {
    fn sent(&self, bytes: u64) {
        self.0.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    fn complete(&self) {
        self.0.complete.fetch_add(1, Ordering::Relaxed);
    }
}

struct FileBlob {
    stored: Arc<Stored>,
    link: Arc<Link>,
}

impl Blob for FileBlob {
    fn hash(&self) -> ContentHash {
        self.stored.hash
    }

    fn size(&self) -> u64 {
        self.stored.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.stored.file.read_exact_at(buf, offset)?;
        self.link.disturb(buf);
        Ok(())
    }

    fn read_outboard_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let at = offset as usize;
        buf.copy_from_slice(&self.stored.outboard[at..at + buf.len()]);
        Ok(())
    }
}

struct Files(Arc<Link>);

impl Torrent for Files {
    fn info(&self) -> Bytes {
        self.0.content.info.as_bytes().to_vec().into()
    }

    fn piece_length(&self) -> u32 {
        self.0.content.piece_length
    }

    fn total_bytes(&self) -> u64 {
        self.0.content.total_bytes()
    }

    fn read_exact_at(&self, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        for (_, stored) in &self.0.content.files {
            if offset < stored.size && !buf.is_empty() {
                let len = ((stored.size - offset) as usize).min(buf.len());
                let (head, rest) = buf.split_at_mut(len);
                stored.file.read_exact_at(head, offset)?;
                self.0.disturb(head);
                buf = rest;
                offset = 0;
            } else {
                offset = offset.saturating_sub(stored.size);
            }
        }
        Ok(())
    }
}

async fn accept_tcp(listener: TcpListener, link: Arc<Link>, seeder: Seeder) {
    while let Ok((stream, address)) = listener.accept().await {
        let (link, seeder) = (link.clone(), seeder.clone());
        let ended = link.ended.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = serve_tcp(stream, address, link, seeder) => {}
                () = ended.cancelled() => {}
            }
        });
    }
}

async fn serve_tcp(stream: TcpStream, address: SocketAddr, link: Arc<Link>, seeder: Seeder) {
    stream.set_nodelay(true).unwrap();
    let mut first = [0];
    if !stream.peek(&mut first).await.is_ok_and(|len| len == 1) {
        return;
    }
    if first == [19] {
        return seeder.serve(stream, address).await;
    }
    let service = hyper::service::service_fn(move |request| {
        let link = link.clone();
        async move { Ok::<_, Infallible>(respond(request, &link).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond(request: Request<Incoming>, link: &Arc<Link>) -> Response<AnyBody> {
    if let Some(refusal) = *link.refusal.lock().unwrap() {
        let word = match refusal {
            Refusal::Unknown => "unknown",
            Refusal::Stopped => "stopped",
            Refusal::Expired => "expired",
            Refusal::UsedUp => "used-up",
            Refusal::Resting => "resting",
            Refusal::Password => "password",
            Refusal::WrongPassword => "wrong-password",
            Refusal::TooManyTries => "too-many-tries",
        };
        let builder = Response::builder()
            .status(StatusCode::GONE)
            .header("shoal-refusal", word);
        return builder.body(full(Vec::new())).unwrap();
    }
    let prefix = format!("/s/{}", link.capability.lock().unwrap().0.link_id());
    let path = request
        .uri()
        .path()
        .strip_prefix(&prefix)
        .unwrap_or("-")
        .to_owned();
    {
        let mut later = link.later.lock().unwrap();
        if let Some(at) = later.iter().position(|end| path.ends_with(end)) {
            later.remove(at);
            return status(StatusCode::ACCEPTED);
        }
    }
    match path.as_str() {
        "/capability" => ok(link.capability().to_vec()),
        "/record" => match link.record() {
            Some(record) => ok(record.to_vec()),
            None => status(StatusCode::ACCEPTED),
        },
        "/manifest" => ok(link.content.manifest.clone()),
        "/done" => {
            link.complete.fetch_add(1, Ordering::Relaxed);
            ok(Vec::new())
        }
        "/blobs" if link.plain_only.load(Ordering::Relaxed) => {
            status(StatusCode::METHOD_NOT_ALLOWED)
        }
        "/blobs" => {
            let bytes = request.into_body().collect().await.unwrap().to_bytes();
            let parts = answer(
                Asked::parse(&bytes).unwrap(),
                link.clone(),
                Arc::new(Here(link.clone())),
            );
            let frames = futures::stream::unfold(parts, |mut parts| async {
                parts
                    .recv()
                    .await
                    .map(|part| (part.map(Frame::data), parts))
            });
            Response::new(BodyExt::boxed(StreamBody::new(frames)))
        }
        path if path.ends_with(".torrent") => {
            let torrent = TorrentFile {
                info: link.content.info.clone(),
                trackers: vec![],
                web_seeds: vec![],
                creation_date_secs: None,
                created_by: None,
            };
            ok(torrent.encode())
        }
        path => plain(path, &request, link),
    }
}

fn plain(path: &str, request: &Request<Incoming>, link: &Link) -> Response<AnyBody> {
    let path = path.strip_prefix("/f/").unwrap_or_default();
    let path = percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .unwrap();
    let Some((_, stored)) = link.content.files.iter().find(|(name, _)| *name == path) else {
        return status(StatusCode::NOT_FOUND);
    };
    let range = request.headers()["range"]
        .to_str()
        .unwrap()
        .strip_prefix("bytes=")
        .unwrap();
    let (start, end) = range.split_once('-').unwrap();
    let (start, end): (u64, u64) = (start.parse().unwrap(), end.parse().unwrap());
    let mut bytes = vec![0; (end + 1 - start) as usize];
    stored.file.read_exact_at(&mut bytes, start).unwrap();
    link.disturb(&mut bytes);
    link.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    Response::builder()
        .status(StatusCode::PARTIAL_CONTENT)
        .body(full(bytes))
        .unwrap()
}

fn ok(bytes: Vec<u8>) -> Response<AnyBody> {
    Response::new(full(bytes))
}

fn status(status: StatusCode) -> Response<AnyBody> {
    Response::builder()
        .status(status)
        .body(full(Vec::new()))
        .unwrap()
}

fn full(bytes: Vec<u8>) -> AnyBody {
    Full::new(Bytes::from(bytes))
        .map_err(|never| match never {})
        .boxed()
}
