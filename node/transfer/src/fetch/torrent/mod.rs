//! BitTorrent, through librqbit: one torrent, in the staging folder, for as long as the `get` lasts.
//!
//! librqbit is used without DHT (unless asked for), local discovery, port mapping and persistence. It
//! gets peers from the link's trackers, and those that the link names.

mod storage;

use super::engine::Engine;
use super::http::Web;
use super::source::SourceError;
use super::{Discovery, Options};
use librqbit::{
    AddTorrent, AddTorrentOptions, AddTorrentResponse, DhtSessionConfig, ListenerMode,
    ListenerOptions, ManagedTorrent, Session, SessionOptions, TorrentStatsState,
};
use librqbit_core::hash_id::Id20;
use shoal_protocol::id::{InfoHash, TakerToken};
use shoal_protocol::limits::METAINFO_MAX_BYTES;
use shoal_protocol::magnet::Magnet;
use shoal_protocol::metainfo::{InfoBytes, Torrent};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Start of the peer ids of `shoal get`; twelve digits of the taker token follow, so that a node
/// counts one taker on all ways.
const PEER_ID_PREFIX: &[u8; 8] = b"-SH0010-";
const WATCH: Duration = Duration::from_millis(500);
const RESOLVE: Duration = Duration::from_secs(5);

/// What is needed to join a swarm.
#[derive(Debug, Clone)]
pub(crate) struct Seed {
    /// The torrent.
    pub(crate) infohash: InfoHash,
    /// Announce addresses.
    pub(crate) trackers: Vec<String>,
    /// `host:port` of peers.
    pub(crate) peers: Vec<String>,
}

/// A librqbit session for one torrent; it ends when this is dropped.
pub(crate) struct Swarm {
    session: Arc<Session>,
    peers: Vec<SocketAddr>,
    _end: DropGuard,
}

/// What joins the swarm, sooner or later.
pub(crate) struct Joiner {
    seed: Seed,
    swarm: Option<(Swarm, InfoBytes)>,
    webs: Vec<Web>,
}

impl Seed {
    /// A torrent of which nothing else is known.
    pub(crate) fn new(infohash: InfoHash) -> Self {
        Self {
            infohash,
            trackers: Vec::new(),
            peers: Vec::new(),
        }
    }

    /// A node's TCP port speaks HTTP and BitTorrent: its web addresses are peers too.
    pub(crate) fn with_origins<'o>(mut self, origins: impl Iterator<Item = &'o str>) -> Self {
        let authorities = origins.filter_map(|origin| origin.strip_prefix("http://"));
        for peer in authorities.filter(|authority| authority.contains(':')) {
            if !self.peers.iter().any(|known| known == peer) {
                self.peers.push(peer.to_owned());
            }
        }
        self
    }

    /// By which it is shown.
    pub(crate) fn text(&self) -> String {
        format!("swarm {}", self.infohash)
    }

    /// librqbit's own writer of magnets escapes nothing, so that ours writes.
    fn magnet(&self) -> String {
        let mut magnet = Magnet::new(self.infohash);
        magnet.trackers.clone_from(&self.trackers);
        magnet.to_string()
    }

    async fn resolved_peers(&self) -> Vec<SocketAddr> {
        let lookups = self.peers.iter().map(|peer| async move {
            let found = timeout(RESOLVE, tokio::net::lookup_host(peer.as_str())).await;
            found
                .ok()
                .and_then(Result::ok)
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
        });
        futures::future::join_all(lookups).await.concat()
    }
}

impl Swarm {
    /// Opens a session; nothing is announced yet.
    pub(crate) async fn open(
        seed: &Seed,
        taker: TakerToken,
        options: &Options,
    ) -> Result<Self, SourceError> {
        let peers = seed.resolved_peers().await;
        let end = CancellationToken::new();
        let dht = match options.discovery {
            Discovery::LinkOnly => None,
            Discovery::MainlineDht => Some(DhtSessionConfig {
                persistence: None,
                ..Default::default()
            }),
        };
        if dht.is_none() && peers.is_empty() && seed.trackers.is_empty() {
            return Err(SourceError::Broken(
                "the link names neither a tracker nor a peer".into(),
            ));
        }
        let settings = SessionOptions {
            dht,
            disable_local_service_discovery: true,
            persistence: None,
            peer_id: Some(peer_id(taker)),
            listen: Some(listener(seed, &peers)?),
            cancellation_token: Some(end.clone()),
            client_name_and_version: Some(concat!("shoal ", env!("CARGO_PKG_VERSION")).to_owned()),
            ..Default::default()
        };
        // Where librqbit would write by itself; our storage writes elsewhere.
        let session = Session::new_with_opts(PathBuf::from("/nonexistent"), settings);
        let session = session
            .await
            .map_err(|error| SourceError::Broken(format!("{error:#}")))?;
        Ok(Self {
            session,
            peers,
            _end: end.drop_guard(),
        })
    }

    /// Asks peers for the metainfo (BEP 9).
    pub(crate) async fn metadata(
        &self,
        seed: &Seed,
        patience: Duration,
    ) -> Result<InfoBytes, SourceError> {
        let options = AddTorrentOptions {
            list_only: true,
            initial_peers: Some(self.peers.clone()),
            ..Default::default()
        };
        let magnet = seed.magnet();
        let listed = self
            .session
            .add_torrent(AddTorrent::from_url(magnet), Some(options));
        let listed = timeout(patience, listed).await;
        let listed = listed.map_err(|_| SourceError::Broken("no peer gave its metainfo".into()))?;
        match listed.map_err(|error| SourceError::Broken(format!("{error:#}")))? {
            AddTorrentResponse::ListOnly(listed) => checked(&listed.torrent_bytes, seed),
            _ => Err(SourceError::Broken("its metainfo cannot be listed".into())),
        }
    }

    async fn add(
        &self,
        seed: &Seed,
        info: &InfoBytes,
        factory: storage::Factory,
    ) -> Result<Arc<ManagedTorrent>, SourceError> {
        let torrent = Torrent {
            info: info.clone(),
            trackers: seed
                .trackers
                .iter()
                .map(|tracker| vec![tracker.clone()])
                .collect(),
            web_seeds: Vec::new(),
            creation_date_secs: None,
            created_by: None,
        };
        let options = AddTorrentOptions {
            // Our storage has no files of librqbit's to overwrite; without it nothing would be written.
            overwrite: true,
            output_folder: Some("/nonexistent".to_owned()),
            initial_peers: Some(self.peers.clone()),
            storage_factory: Some(librqbit::storage::StorageFactoryExt::boxed(factory)),
            ..Default::default()
        };
        let added = self
            .session
            .add_torrent(AddTorrent::from_bytes(torrent.encode()), Some(options))
            .await;
        let added = added.map_err(|error| SourceError::Broken(format!("{error:#}")))?;
        added
            .into_handle()
            .ok_or_else(|| SourceError::Broken("it was not added".into()))
    }
}

impl Joiner {
    /// `swarm` where a session and the metainfo are there already.
    pub(crate) fn new(seed: Seed, swarm: Option<(Swarm, InfoBytes)>, webs: Vec<Web>) -> Self {
        Self { seed, swarm, webs }
    }

    /// By which it is shown.
    pub(crate) fn text(&self) -> String {
        self.seed.text()
    }

    /// Takes part in the swarm until everything is there.
    pub(crate) async fn run(self, engine: Arc<Engine>, source: usize) {
        let stop = engine.stop.clone();
        let failed = tokio::select! {
            failed = self.take_part(&engine, source) => failed,
            () = stop.cancelled() => return,
        };
        engine.source_failed(source, &failed);
    }

    async fn take_part(mut self, engine: &Arc<Engine>, source: usize) -> SourceError {
        let (swarm, info) = match self.swarm.take() {
            Some(known) => known,
            None => match self.prepare(engine).await {
                Ok(known) => known,
                Err(error) => return error,
            },
        };
        let factory = match storage::Factory::new(engine.clone(), &info) {
            Ok(factory) => factory,
            Err(error) => return SourceError::Lied(error.to_string()),
        };
        if let Err(error) = engine.staging.taint() {
            engine.fail(error);
            return SourceError::Local;
        }
        engine.set_swarming();
        let storage_end = factory.end_on_drop();
        let torrent = match swarm.add(&self.seed, &info, factory).await {
            Ok(torrent) => torrent,
            Err(error) => return error,
        };
        let failed = watch(engine, source, &torrent).await;
        drop(storage_end);
        failed
    }

    /// From a gateway if there is one, else from peers.
    async fn prepare(&mut self, engine: &Engine) -> Result<(Swarm, InfoBytes), SourceError> {
        let name = engine.staging.layout.name.clone();
        let mut info = None;
        for web in &self.webs {
            let Ok(bytes) = web.torrent(&name, METAINFO_MAX_BYTES).await else {
                continue;
            };
            let Ok(torrent) = Torrent::parse(&bytes) else {
                continue;
            };
            if torrent.info.infohash() == self.seed.infohash {
                for tracker in torrent.trackers.into_iter().flatten() {
                    if !self.seed.trackers.contains(&tracker) {
                        self.seed.trackers.push(tracker);
                    }
                }
                info = Some(torrent.info);
                break;
            }
        }
        let swarm = Swarm::open(&self.seed, engine.staging.taker, &engine.options).await?;
        let info = match info {
            Some(info) => info,
            None => {
                swarm
                    .metadata(&self.seed, engine.options.stall_timeout)
                    .await?
            }
        };
        Ok((swarm, info))
    }
}

/// Until librqbit gives up.
async fn watch(engine: &Engine, source: usize, torrent: &ManagedTorrent) -> SourceError {
    let mut told = false;
    loop {
        tokio::time::sleep(WATCH).await;
        let stats = torrent.stats();
        if matches!(stats.state, TorrentStatsState::Error) {
            return SourceError::Broken(
                stats.error.unwrap_or_else(|| "librqbit gave up".to_owned()),
            );
        }
        let peers = stats
            .live
            .as_ref()
            .map_or(0, |live| live.snapshot.peer_stats.live);
        if peers > 0 && !told {
            told = true;
            engine.source_up(source);
        }
    }
}

fn checked(torrent: &[u8], seed: &Seed) -> Result<InfoBytes, SourceError> {
    let torrent = Torrent::parse(torrent).map_err(|error| SourceError::Lied(error.to_string()))?;
    if torrent.info.infohash() != seed.infohash {
        return Err(SourceError::Lied(
            "its metainfo has another infohash".into(),
        ));
    }
    Ok(torrent.info)
}

fn peer_id(taker: TakerToken) -> Id20 {
    let mut id = [0; 20];
    let digits = taker.to_hex();
    for (to, from) in id
        .iter_mut()
        .zip(PEER_ID_PREFIX.iter().chain(digits.as_bytes()))
    {
        *to = *from;
    }
    Id20::new(id)
}

/// Listens so that other takers can connect: on this machine alone where everything named is there.
fn listener(seed: &Seed, peers: &[SocketAddr]) -> Result<ListenerOptions, SourceError> {
    let near = |tracker: &String| super::http::is_loopback(tracker);
    let loopback = peers
        .iter()
        .all(|peer| peer.ip().to_canonical().is_loopback())
        && seed.trackers.iter().all(near);
    let ip: IpAddr = if loopback {
        Ipv4Addr::LOCALHOST.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let mut listen_addr = SocketAddr::new(ip, 0);
    if loopback {
        // On loopback librqbit announces a port only where it is told which.
        let free = TcpListener::bind(listen_addr).and_then(|listener| listener.local_addr());
        listen_addr = free.map_err(SourceError::broken)?;
    }
    Ok(ListenerOptions {
        mode: ListenerMode::TcpOnly,
        listen_addr,
        announce_port: loopback.then_some(listen_addr.port()),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_ids_begin_alike_and_carry_the_token() {
        let id = peer_id(TakerToken([0xab; 16]));
        assert_eq!(&id.0, b"-SH0010-abababababab");
    }

    #[test]
    fn gateways_are_peers_and_https_ones_are_not() {
        let seed = Seed::new(InfoHash([1; 20]));
        let seed = seed.with_origins(
            ["http://192.0.2.1:7462", "https://a.example:443", "http://b"].into_iter(),
        );
        assert_eq!(seed.peers, ["192.0.2.1:7462"]);
    }
}
