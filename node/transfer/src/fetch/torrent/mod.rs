//! BitTorrent, through librqbit: one torrent, in the staging folder, for as long as the `get` lasts.
//!
//! librqbit is used without DHT (unless asked for), local discovery, port mapping and persistence. It
//! gets peers from the link's trackers, and those that the link names.

mod storage;

use super::engine::Engine;
use super::http::Web;
use super::layout::Layout;
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
/// Trackers that are taken over from a `.torrent`.
const TRACKERS_MAX: usize = 8;
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

    /// Adds trackers that nobody signed: only those on machines that the link names.
    fn add_trackers(&mut self, trackers: impl Iterator<Item = String>, origins: &[&str]) {
        let hosts: Vec<String> = origins.iter().filter_map(|origin| host(origin)).collect();
        let near = trackers.filter(|tracker| host(tracker).is_some_and(|at| hosts.contains(&at)));
        for tracker in near.take(TRACKERS_MAX) {
            if !self.trackers.contains(&tracker) {
                self.trackers.push(tracker);
            }
        }
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
        if let Some(path) = engine.staging.layout.with_backslash() {
            return SourceError::Unfit(path.to_owned());
        }
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
        let limit = metainfo_limit(&engine.staging.layout);
        let mut info = None;
        for web in &self.webs {
            let Ok(bytes) = web.torrent(&name, limit).await else {
                continue;
            };
            let Ok(torrent) = Torrent::parse(&bytes) else {
                continue;
            };
            if torrent.info.infohash() == self.seed.infohash {
                let origins = self.webs.iter().map(|web| web.origin.as_str());
                let named = torrent.trackers.into_iter().flatten();
                self.seed.add_trackers(named, &origins.collect::<Vec<_>>());
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

/// Bytes that the `.torrent` of a tree needs at most: 16 KiB are the smallest pieces, of which version 2
/// and version 1 together note a path of hashes.
fn metainfo_limit(layout: &Layout) -> usize {
    const FIXED_BYTES: u64 = 1 << 20;
    const ENTRY_BYTES: u64 = 512;
    const PIECE_BYTES: u64 = 16 << 10;
    const HASHES_BYTES: u64 = 64;
    let paths: u64 = layout
        .files
        .iter()
        .map(|file| 4 * file.path.as_str().len() as u64)
        .sum();
    let entries = (layout.files.len() + layout.folders.len() + layout.symlinks.len()) as u64;
    let pieces = layout.bytes / PIECE_BYTES;
    let limit = FIXED_BYTES + paths + entries * 2 * ENTRY_BYTES + pieces * HASHES_BYTES;
    usize::try_from(limit).map_or(METAINFO_MAX_BYTES, |limit| limit.min(METAINFO_MAX_BYTES))
}

/// The host of an address, in lower case.
fn host(address: &str) -> Option<String> {
    let url = url::Url::parse(address).ok()?;
    url.host_str().map(str::to_ascii_lowercase)
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

    #[test]
    fn unsigned_trackers_are_taken_from_the_link_s_machines_only() {
        let mut seed = Seed::new(InfoHash([1; 20]));
        seed.trackers.push("udp://signed.example:1".into());
        let named = ["udp://A.example:9/announce", "http://evil.example/a", "no"];
        let many = (0..20).map(|at| format!("http://192.0.2.1:{at}/announce"));
        let all = named.into_iter().map(str::to_owned).chain(many);
        seed.add_trackers(all, &["https://a.example", "http://192.0.2.1:7462"]);
        assert_eq!(seed.trackers.len(), 1 + TRACKERS_MAX);
        assert!(!seed.trackers.iter().any(|it| it.contains("evil")));
        assert_eq!(
            seed.trackers.get(1).map(String::as_str),
            named.first().copied()
        );
    }
}
