//! The links of a node: made, listed, stopped, served.

mod addresses;
mod api;
pub(crate) mod clock;
mod content;
mod directory;
pub(crate) mod errors;
mod gateway;
mod guesses;
mod happened;
mod hashing;
mod listing;
mod password;
mod problems;
mod records;
mod share;
mod takers;
mod tracker;
mod views;

pub(crate) use addresses::{Addresses, Found, Scheme};
pub(crate) use api::ServiceApi;
pub(crate) use records::{Records, off_the_runtime};
pub(crate) use tracker::TakerListener;

use crate::config::{Config, Switch};
use crate::error::NodeError;
use crate::identity::Identity;
use crate::ports::Ports;
use share::LiveShare;
use shoal_api::{Mapping, Reach};
use shoal_protocol::hello::Refusal;
use shoal_protocol::id::{InfoHash, LinkId};
use shoal_store::ShareEnd;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often links whose files were not there are looked at again.
const RESTING_RETRY: std::time::Duration = std::time::Duration::from_secs(15);

/// Looks that are left out after one in vain: 10 minutes at most.
const RESTING_PAUSE_MAX: u32 = 40;

/// Looks to leave out.
#[derive(Default)]
struct Pause {
    left: u32,
    next: u32,
}

impl Pause {
    fn lengthen(&mut self) {
        self.left = self.next.max(1);
        self.next = (self.left * 2).min(RESTING_PAUSE_MAX);
    }
}

fn rests(share: &LiveShare) -> bool {
    matches!(share.phase(), share::Phase::Resting(_)) && share.refusal() == Some(Refusal::Resting)
}

/// What all links of a node share.
pub(crate) struct Context {
    pub(crate) records: Records,
    pub(crate) identity: Identity,
    pub(crate) home: PathBuf,
    pub(crate) ports: Ports,
    pub(crate) switches: Switches,
    pub(crate) contact: Option<String>,
    pub(crate) network: watch::Sender<Network>,
    pub(crate) started: Instant,
    pub(crate) stopping: CancellationToken,
    /// What is waited for before the home is let go.
    tasks: TaskTracker,
    gate: password::Gate,
    by_infohash: RwLock<HashMap<InfoHash, LinkId>>,
}

/// What is served, by setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Switches {
    pub(crate) bittorrent: bool,
    pub(crate) iroh: bool,
    pub(crate) udp_tracker: bool,
}

/// How the node can be reached at the moment.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) addresses: Addresses,
    pub(crate) reach: Reach,
    pub(crate) mappings: Vec<Mapping>,
}

/// What a context is made of.
pub(crate) struct ContextParts<'a> {
    pub(crate) records: Records,
    pub(crate) identity: Identity,
    pub(crate) home: PathBuf,
    pub(crate) ports: Ports,
    pub(crate) config: &'a Config,
    pub(crate) network: Network,
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Context {
    pub(crate) fn new(parts: ContextParts<'_>) -> Self {
        Self {
            records: parts.records,
            gate: password::Gate::new(&parts.identity),
            identity: parts.identity,
            home: parts.home,
            ports: parts.ports,
            switches: Switches {
                bittorrent: parts.config.on(Switch::Bittorrent),
                iroh: parts.config.on(Switch::Iroh),
                udp_tracker: parts.config.on(Switch::UdpTracker),
            },
            contact: parts.config.contact(),
            network: watch::Sender::new(parts.network),
            started: Instant::now(),
            stopping: parts.stopping,
            tasks: parts.tasks,
            by_infohash: RwLock::default(),
        }
    }

    fn register(&self, infohash: InfoHash, link: LinkId) {
        self.by_infohash
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(infohash, link);
    }

    fn link_of(&self, infohash: &InfoHash) -> Option<LinkId> {
        self.by_infohash
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(infohash)
            .copied()
    }
}

/// The links of a node.
pub(crate) struct Service {
    pub(crate) context: Arc<Context>,
    shares: RwLock<HashMap<LinkId, Arc<LiveShare>>>,
    tracker: std::sync::OnceLock<Arc<tracker_lite::Tracker>>,
    /// Rings when a link with a time of its own came or went.
    expiries: Notify,
}

impl Service {
    /// All links that the store knows; those that were ready are loaded in the background by [`Service::run`].
    pub(crate) fn open(context: Arc<Context>) -> Result<Arc<Self>, NodeError> {
        let mut shares = HashMap::new();
        for row in context.records.store.shares()? {
            if let shoal_store::ShareState::Ready { infohash, .. } = row.state {
                context.register(infohash, row.id);
            }
            shares.insert(
                row.id,
                Arc::new(LiveShare::new(row, context.records.clone())?),
            );
        }
        let shares = RwLock::new(shares);
        Ok(Arc::new(Self {
            context,
            shares,
            tracker: std::sync::OnceLock::new(),
            expiries: Notify::new(),
        }))
    }

    /// The tracker whose torrents this service knows.
    pub(crate) fn use_tracker(&self, tracker: Arc<tracker_lite::Tracker>) {
        let _ = self.tracker.set(tracker);
    }

    /// Loads what was ready, goes on with what was not, ends what expires, and tells who takes. Ends with the node.
    pub(crate) async fn run(self: Arc<Self>) {
        let service = self.clone();
        let loading = tokio::task::spawn_blocking(move || service.load_all());
        tokio::join!(
            self.expire_links(),
            self.tell_taking(),
            self.wake_resting(),
            async {
                if let Err(panic) = loading.await {
                    tracing::error!(%panic, "loading the links broke down");
                }
            }
        );
    }

    fn load_all(self: &Arc<Self>) {
        for share in self.all() {
            let row = share.row();
            match (&row.end, &row.state) {
                (ShareEnd::Active, shoal_store::ShareState::Ready { .. }) => {
                    hashing::load(&share, &self.context);
                }
                (ShareEnd::Active, shoal_store::ShareState::Counting) => self.make(share),
                _ => {}
            }
        }
        if let Err(error) = self.context.records.store.remove_unreferenced() {
            tracing::warn!(%error, "what ended links left in the home could not be removed");
        }
    }

    /// Walks and hashes in the background.
    fn make(self: &Arc<Self>, share: Arc<LiveShare>) {
        let context = self.context.clone();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                let making = hashing::make(share, context.clone());
                context.tasks.spawn_on(making, &runtime);
            }
            Err(error) => tracing::error!(%error, "hashing cannot start"),
        }
    }

    async fn expire_links(&self) {
        loop {
            let next_ms = self.all().iter().filter_map(|share| share.expire()).min();
            // Looked at every second, because clocks are set and machines sleep.
            let wait = next_ms.map_or(u64::from(u32::MAX), |ms| ms.min(1_000));
            let wait = std::time::Duration::from_millis(wait);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.expiries.notified() => {}
                () = self.context.stopping.cancelled() => return,
            }
        }
    }

    /// A disk that was not there when the node started may be there now. Most looks are at the paths of a link alone;
    /// one whose paths are there and that cannot be loaded all the same is tried ever more rarely.
    async fn wake_resting(self: &Arc<Self>) {
        let mut ticks = tokio::time::interval(RESTING_RETRY);
        let mut pauses: HashMap<LinkId, Pause> = HashMap::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.context.stopping.cancelled() => return,
            }
            let resting: HashMap<_, _> = self
                .all()
                .into_iter()
                .filter(|share| rests(share))
                .map(|share| (share.id, share))
                .collect();
            pauses.retain(|id, _| resting.contains_key(id));
            for (id, share) in resting {
                let pause = pauses.entry(id).or_default();
                if pause.left > 0 {
                    pause.left -= 1;
                    continue;
                }
                let (share_again, context) = (share.clone(), self.context.clone());
                let looked = tokio::task::spawn_blocking(move || {
                    let found = hashing::has_roots(&share_again, &context);
                    if found {
                        hashing::load(&share_again, &context);
                    }
                    found
                });
                match looked.await {
                    Ok(true) if rests(&share) => pause.lengthen(),
                    Ok(_) => {}
                    Err(panic) => tracing::error!(%panic, "loading a link broke down"),
                }
            }
        }
    }

    async fn tell_taking(&self) {
        let mut ticks = tokio::time::interval(std::time::Duration::from_secs(1));
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.context.stopping.cancelled() => return,
            }
            for share in self.all() {
                let takers = share.takers.taking();
                if !takers.is_empty() {
                    let rate_bytes_per_s = takers.iter().map(|taker| taker.rate_bytes_per_s).sum();
                    let id = share.id.to_string();
                    self.context.records.tell(shoal_api::Event::Taking {
                        id,
                        takers,
                        rate_bytes_per_s,
                    });
                }
            }
        }
    }

    fn all(&self) -> Vec<Arc<LiveShare>> {
        self.shares
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    fn find(&self, link: &LinkId) -> Option<Arc<LiveShare>> {
        self.shares
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(link)
            .cloned()
    }

    fn insert(&self, share: Arc<LiveShare>) {
        self.shares
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(share.id, share);
    }
}
