//! The servers of a node, each a task that ends with it.

use crate::error::NodeError;
use crate::filesets::{Filesets, FilesetsApi};
use crate::group::{GroupApi, GroupDoors, GroupService};
use crate::node::make_private_dir;
use crate::places::Places;
use crate::relay::Relay;
use crate::service::{Service, ServiceApi, TakerListener};
use crate::tls::{self, Tls};
use axum::Router;
use iroh::endpoint::{NetReportConfig, RelayMode, presets};
use iroh::{Endpoint, RelayConfig, RelayUrl, SecretKey};
use shoal_api::socket::ShortPath;
use shoal_gateway::Transport;
use shoal_protocol::peerwire::HANDSHAKE_FIRST_BYTE;
use shoal_transfer::fetch::quic::Distance;
use shoal_transfer::serve::iroh::OtherProtocols;
use shoal_transfer::serve::port::Directory;
use shoal_transfer::serve::seed::Seeder;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracker_lite::Tracker;

/// TCP connections of all kinds together.
const MAX_CONNECTIONS: usize = 4_096;
/// Of these, connections of one address: a household of many browsers, or one that holds on to all it can get.
const MAX_CONNECTIONS_PER_ADDRESS: usize = 512;
/// Time for the first byte of a connection.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after a failed `accept`, which mostly means that all file handles are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How soon torrent clients should announce again: swarms of links are small, and short-lived.
const ANNOUNCE_INTERVAL_S: u32 = 300;

/// The tracker of a node's links.
pub(crate) fn tracker(service: &Arc<Service>) -> Result<Arc<Tracker>, NodeError> {
    let config = tracker_lite::Config {
        interval_s: ANNOUNCE_INTERVAL_S,
        min_interval_s: 30,
        ..tracker_lite::Config::default()
    };
    let tracker = Tracker::new(
        config,
        service.clone(),
        Arc::new(TakerListener(service.clone())),
    )
    .map_err(|error| NodeError::Io {
        what: error.to_string(),
        source: io::ErrorKind::Other.into(),
    })?;
    let tracker = Arc::new(tracker);
    service.use_tracker(tracker.clone());
    Ok(tracker)
}

/// HTTP and BitTorrent on one port, told apart by the first byte: BitTorrent begins with 19, no HTTP method does.
pub(crate) async fn serve_tcp(
    listener: TcpListener,
    service: Arc<Service>,
    tracker: Arc<Tracker>,
    tls: Option<Arc<Tls>>,
    tasks: TaskTracker,
    group: Arc<GroupService>,
    relay: Option<Arc<Relay>>,
) {
    let router = shoal_gateway::public_router(service.clone())
        .merge(tracker_lite::router(tracker))
        .merge(crate::group::public_router(group))
        .merge(relay.map_or_else(Router::new, |relay| relay.router()));
    let mut nonce = [0; 32];
    if let Err(error) = crate::identity::fill_random(&mut nonce) {
        tracing::error!(%error, "BitTorrent peers will all see the same peer id");
    }
    let seeder = Seeder::new(
        service.clone(),
        concat!("Shoal ", env!("CARGO_PKG_VERSION")),
        nonce,
    );
    let stopping = service.context.stopping.clone();
    let doors = Doors {
        router,
        seeder,
        bittorrent: service.context.switches.bittorrent,
        tls,
        stopping: stopping.clone(),
    };
    let places = Places::new(MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                // Over the limit the newest is closed at once: it may come again.
                let Some(place) = places.take(address.ip().to_canonical()) else {
                    continue;
                };
                let doors = doors.clone();
                tasks.spawn(async move {
                    doors.serve(stream, address).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether HTTP may begin with this byte among the first four; a zero is one that has not arrived yet.
fn is_of_method(byte: u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b' ' | 0)
}

#[derive(Clone)]
struct Doors {
    router: Router,
    seeder: Seeder,
    bittorrent: bool,
    tls: Option<Arc<Tls>>,
    stopping: CancellationToken,
}

impl Doors {
    async fn serve(self, stream: TcpStream, address: SocketAddr) {
        let mut first = [0; 4];
        let peeked = tokio::select! {
            peeked = tokio::time::timeout(FIRST_BYTE_TIMEOUT, stream.peek(&mut first)) => peeked,
            () = self.stopping.cancelled() => return,
        };
        match peeked {
            Ok(Ok(1..)) if first[0] == HANDSHAKE_FIRST_BYTE => {
                if self.bittorrent {
                    tokio::select! {
                        () = self.seeder.serve(stream, address) => {}
                        () = self.stopping.cancelled() => {}
                    }
                }
            }
            Ok(Ok(1..)) if first[0] == tls::HANDSHAKE_FIRST_BYTE => {
                if let Some(tls) = self.tls.clone() {
                    self.serve_tls(stream, address, tls).await;
                }
            }
            // An encrypted BitTorrent handshake looks random. Closed without a word, clients try again in
            // plain; an answer would be taken for the other half of a key exchange.
            Ok(Ok(1..)) if !first.iter().all(|byte| is_of_method(*byte)) => {}
            Ok(Ok(1..)) => {
                // Heads and small answers leave at once; bodies are written in large parts.
                let _ = stream.set_nodelay(true);
                let transport = match self.tls {
                    None => Transport::Plain,
                    Some(_) => Transport::PlainBesideTls,
                };
                shoal_gateway::serve_over(transport, stream, address, self.router, self.stopping)
                    .await;
            }
            Ok(Ok(0) | Err(_)) | Err(_) => {}
        }
    }

    async fn serve_tls(self, stream: TcpStream, address: SocketAddr, tls: Arc<Tls>) {
        let _ = stream.set_nodelay(true);
        let shake_hands = async {
            let acceptor = tokio::task::spawn_blocking(move || tls.acceptor()).await;
            acceptor.map_err(io::Error::other)?.accept(stream).await
        };
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(FIRST_BYTE_TIMEOUT, shake_hands) => shaken,
            () = self.stopping.cancelled() => return,
        };
        match shaken {
            Ok(Ok(stream)) => {
                let (router, stopping) = (self.router, self.stopping);
                shoal_gateway::serve_over(Transport::Tls, stream, address, router, stopping).await;
            }
            Ok(Err(error)) => tracing::debug!(%address, %error, "no TLS connection"),
            Err(_) => tracing::debug!(%address, "the TLS handshake took too long"),
        }
    }
}

/// BEP 15.
pub(crate) async fn serve_udp_tracker(
    socket: UdpSocket,
    tracker: Arc<Tracker>,
    stopping: CancellationToken,
) {
    if let Err(error) = tracker_lite::serve_udp(socket, tracker, stopping.cancelled_owned()).await {
        tracing::error!(%error, "the UDP tracker does not answer any more: stop the node and start it again");
    }
}

/// The iroh endpoint with the device's key. It has one relay, the own one at `relay`, so that it is found there; those
/// of other members it uses when they are dialed. No relay of others, and no look-up.
pub(crate) async fn serve_iroh(
    address: SocketAddr,
    relay: SocketAddr,
    service: Arc<Service>,
    group: Arc<GroupService>,
) {
    let key = SecretKey::from_bytes(&service.context.identity.key.to_bytes());
    let doors: Arc<dyn OtherProtocols> = Arc::new(GroupDoors(group.clone()));
    let endpoint = match bind_iroh(address, relay, key, &*doors).await {
        Ok(endpoint) => endpoint,
        Err(error) => return tracing::error!(%error, "links are not served over iroh"),
    };
    group.use_endpoint(endpoint.clone());
    let directory: Arc<dyn Directory> = service.clone();
    tokio::select! {
        () = shoal_transfer::serve::iroh::accept_beside(endpoint.clone(), directory, doors) => {}
        () = service.context.stopping.cancelled() => {}
    }
    endpoint.close().await;
}

async fn bind_iroh(
    address: SocketAddr,
    relay: SocketAddr,
    key: SecretKey,
    doors: &dyn OtherProtocols,
) -> Result<Endpoint, NodeError> {
    let wrong = |error: &dyn std::fmt::Display| NodeError::Iroh(error.to_string());
    let relay: RelayUrl = format!("http://{relay}/")
        .parse()
        .map_err(|error| wrong(&error))?;
    let relay = RelayConfig::new(relay, None);
    let mut builder = Endpoint::builder(presets::Minimal)
        .secret_key(key)
        .relay_mode(RelayMode::Custom(relay.into()))
        .net_report_config(only_relays())
        .clear_address_lookup()
        .transport_config(shoal_transfer::fetch::quic::transport(Distance::Far))
        .alpns(shoal_transfer::serve::iroh::alpns(doors))
        .clear_ip_transports()
        .bind_addr(address)
        .map_err(|error| wrong(&error))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // iroh has a socket for each family.
        builder = builder
            .bind_addr((Ipv4Addr::UNSPECIFIED, address.port()))
            .map_err(|error| wrong(&error))?;
    }
    builder.bind().await.map_err(|error| wrong(&error))
}

/// The own relay is found by asking it; nothing else is asked of anybody.
fn only_relays() -> NetReportConfig {
    let mut config = NetReportConfig::minimal();
    config.https_probes = true;
    config
}

/// The local API's socket. Who holds the lock may remove what a killed node left behind.
pub(crate) fn bind_socket(path: &Path) -> Result<UnixListener, NodeError> {
    if let Some(parent) = path.parent() {
        make_private_dir(parent)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(NodeError::Io {
                what: format!("cannot remove {}", path.display()),
                source: error,
            });
        }
        _ => {}
    }
    let what = || format!("cannot listen on {}", path.display());
    let listener = ShortPath::new(path)
        .and_then(|short| UnixListener::bind(short.path()))
        .map_err(|source| NodeError::Io {
            what: what(),
            source,
        })?;
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, private).map_err(|source| NodeError::Io {
        what: what(),
        source,
    })?;
    Ok(listener)
}

/// The local API.
pub(crate) async fn serve_local(
    listener: UnixListener,
    api: Arc<ServiceApi>,
    group: Arc<GroupService>,
    filesets: Arc<Filesets>,
    token: String,
    stopping: CancellationToken,
) {
    let devices = shoal_gateway::device_routes(Arc::new(GroupApi(group)));
    let filesets = shoal_gateway::fileset_routes(Arc::new(FilesetsApi(filesets)));
    let router = shoal_gateway::local_router_with(api, devices.merge(filesets), token);
    if let Err(error) = shoal_gateway::serve_unix(listener, router, stopping).await {
        tracing::error!(%error, "the local API does not answer any more: stop the node and start it again");
    }
}
