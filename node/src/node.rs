//! A running node: what it holds, how it starts and how it ends.
//!
//! Start: lock, key, store, ports, service, then servers. End: `stopping` is cancelled, servers let go
//! within a second, the store is flushed, the socket and then the lock go last.

use crate::config::{Config, Switch};
use crate::error::NodeError;
use crate::filesets::Filesets;
use crate::group::{GroupService, Members};
use crate::home::Home;
use crate::identity::{Identity, fill_random, write_private};
use crate::network;
use crate::ports::{self, Bound, Carried, Remembered, Wish};
use crate::relay::Relay;
use crate::servers;
use crate::service::{Context, ContextParts, Records, Scheme, Service, ServiceApi};
use crate::tls::{Tls, TlsFiles};
use rustix::fs::{FlockOperation, flock};
use shoal_api::Api;
use shoal_protocol::id::TakerToken;
use shoal_store::{Durability, Store};
use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const PORTS_SETTING: &str = "ports";
/// How long servers may take to let go. After that the process ends all the same: nothing is lost.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// What the command line says instead of the settings.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Where to listen.
    pub listen: Option<SocketAddr>,
    /// Addresses to put into links.
    pub advertise: Vec<String>,
    /// Certificate and key.
    pub tls: Option<TlsFiles>,
    /// Address of the session's D-Bus, where notices can be shown on a desktop.
    pub desktop_bus: Option<String>,
}

/// A running node. Dropping it without [`Node::shutdown`] leaves its tasks to the runtime's end.
pub struct Node {
    api: Arc<ServiceApi>,
    group: Arc<GroupService>,
    stopping: CancellationToken,
    tasks: TaskTracker,
    filesets: Arc<Filesets>,
    store: Store,
    home: Home,
    lock: File,
    instead_of: Option<SocketAddr>,
}

impl Node {
    /// Takes the home's lock and starts everything. Links answer when this returns; those that were
    /// ready before are loaded right after.
    ///
    /// # Errors
    /// See [`NodeError`]; `HomeInUse` means that another process is the node.
    pub async fn start(
        home: Home,
        config: Config,
        overrides: Overrides,
    ) -> Result<Self, NodeError> {
        // Two libraries bring a provider each, so one has to be named; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Before anything is taken: a wrong file leaves everything as it was.
        let tls = load_tls(overrides.tls, &config)?;
        make_private_dir(home.data_dir())?;
        let lock = take_lock(&home)?;
        let identity = Identity::load_or_create(&home)?;
        let store = Store::open(home.data_dir())?;
        let wish = overrides
            .listen
            .or_else(|| config.listen())
            .map_or(Wish::Default, Wish::At);
        let bound = ports::bind(wish, remembered(&store, wish)?, carried(&store)?)?;
        if let Some(taken) = bound.instead_of {
            tracing::warn!(%taken, port = bound.ports.tcp, "another program has the port: a free one is used");
        }
        let advertise = Some(overrides.advertise)
            .filter(|given| !given.is_empty())
            .unwrap_or_else(|| config.advertise());
        let listen = bound
            .tcp
            .local_addr()
            .map_err(NodeError::io("a socket has no address"))?;
        let now = Remembered {
            ports: bound.ports,
            ip: listen.ip(),
        };
        remember(&store, wish, now)?;
        let scheme = tls.as_ref().map_or(Scheme::Http, |_| Scheme::Https);
        let watcher = network::Watcher::new(listen, bound.ports, advertise, scheme);
        let stopping = CancellationToken::new();
        let tasks = TaskTracker::new();
        let context = Arc::new(Context::new(ContextParts {
            records: Records::new(store.clone()),
            identity,
            home: home.data_dir().to_owned(),
            ports: bound.ports,
            config: &config,
            network: watcher.look(),
            stopping: stopping.clone(),
            tasks: tasks.clone(),
        }));
        let group = GroupService::open(context.clone())?;
        let filesets = Filesets::open(context.clone(), Members(group.clone()), tasks.clone())?;
        let service = Service::open(context)?;
        let api = Arc::new(ServiceApi {
            service: service.clone(),
            group: group.clone(),
        });
        let node = Self {
            api,
            group,
            stopping,
            tasks,
            filesets,
            store,
            home,
            lock,
            instead_of: bound.instead_of,
        };
        node.serve(service, bound, watcher, tls, overrides.desktop_bus, &config)?;
        Ok(node)
    }

    /// What whoever started the node should know.
    pub fn notice(&self) -> Option<String> {
        let taken = self.instead_of?;
        let port = self.api.service.context.ports.tcp;
        Some(format!(
            "Another program has port {} on this machine, so the node listens on port {port}, which the home remembers. To choose one: --listen ADDR:PORT.",
            taken.port()
        ))
    }

    /// What others ask of this node.
    pub fn api(&self) -> Arc<dyn Api> {
        self.api.clone()
    }

    /// The group of devices that this one belongs to.
    pub fn members(&self) -> Members {
        Members(self.group.clone())
    }

    /// Waits until somebody asks the node to stop.
    pub async fn wait(&self) {
        self.stopping.cancelled().await;
    }

    /// Ends everything and gives the home free.
    pub async fn shutdown(self) {
        self.api
            .service
            .context
            .records
            .tell(shoal_api::Event::NodeStopping);
        self.stopping.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("something took too long to stop");
        }
        let store = self.store.clone();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || store.flush()).await {
            tracing::warn!(%error, "the store could not be flushed");
        }
        let _ = std::fs::remove_file(self.home.socket());
        drop(self.lock);
    }

    fn serve(
        &self,
        service: Arc<Service>,
        bound: Bound,
        watcher: network::Watcher,
        tls: Option<Arc<Tls>>,
        desktop_bus: Option<String>,
        config: &Config,
    ) -> Result<(), NodeError> {
        let token = make_token(&self.home)?;
        let tracker = servers::tracker(&service)?;
        let unix = servers::bind_socket(&self.home.socket())?;
        let io = |what: &'static str| NodeError::io(what);
        let tcp = TcpListener::from_std(bound.tcp).map_err(io("the TCP listener is not usable"))?;
        let udp = tokio::net::UdpSocket::from_std(bound.tracker)
            .map_err(io("the tracker's socket is not usable"))?;
        let spawn = &self.tasks;
        let relay_at = own_relay(&tcp)?;
        let relay = Some(Relay::new(self.group.clone())).filter(|_| service.context.switches.iroh);
        spawn.spawn(servers::serve_tcp(
            tcp,
            service.clone(),
            tracker.clone(),
            tls,
            self.tasks.clone(),
            self.group.clone(),
            relay.clone(),
        ));
        if service.context.switches.udp_tracker {
            spawn.spawn(servers::serve_udp_tracker(
                udp,
                tracker,
                self.stopping.clone(),
            ));
        }
        if let Some(relay) = relay {
            spawn.spawn(relay.run());
            spawn.spawn(servers::serve_iroh(
                bound.iroh,
                relay_at,
                service.clone(),
                self.group.clone(),
            ));
            spawn.spawn(self.group.clone().run());
        }
        spawn.spawn(self.filesets.clone().run());
        spawn.spawn(servers::serve_local(
            unix,
            self.api.clone(),
            self.group.clone(),
            self.filesets.clone(),
            token,
            self.stopping.clone(),
        ));
        spawn.spawn(watcher.run(service.context.clone(), config.on(Switch::PortMapping)));
        spawn.spawn(crate::mainline::run(
            service.clone(),
            config.dht_bootstrap(),
        ));
        spawn.spawn(crate::notify::run(service.context.clone()));
        if let Some(bus) = desktop_bus.filter(|_| config.on(Switch::DesktopNotices)) {
            spawn.spawn(crate::notify::run_desktop(service.context.clone(), bus));
        }
        spawn.spawn(service.run());
        Ok(())
    }
}

/// Where this machine reaches the node's own TCP port.
fn own_relay(listener: &TcpListener) -> Result<SocketAddr, NodeError> {
    let mut at = listener
        .local_addr()
        .map_err(NodeError::io("a socket has no address"))?;
    if at.ip().is_unspecified() {
        // `[::]` takes IPv4 too.
        at.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    Ok(at)
}

/// The certificate that was asked for, or else the configured one.
fn load_tls(asked: Option<TlsFiles>, config: &Config) -> Result<Option<Arc<Tls>>, NodeError> {
    let files = match asked {
        Some(files) => Some(files),
        None => config.tls()?,
    };
    Ok(files.map(Tls::load).transpose()?.map(Arc::new))
}

/// Who holds the lock of this file is the node; the system gives it free however the process ends.
fn take_lock(home: &Home) -> Result<File, NodeError> {
    let path = home.lock_file();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(NodeError::io(format!("cannot open {}", path.display())))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(NodeError::HomeInUse {
            home: home.data_dir().to_owned(),
        }),
        Err(errno) => Err(NodeError::Io {
            what: format!("cannot lock {}", path.display()),
            source: errno.into(),
        }),
    }
}

pub(crate) fn make_private_dir(dir: &Path) -> Result<(), NodeError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(NodeError::io(format!(
            "cannot make the folder {}",
            dir.display()
        )))
}

/// A new token for the local API at every start.
fn make_token(home: &Home) -> Result<String, NodeError> {
    let mut random = [0; 16];
    fill_random(&mut random)?;
    let token = TakerToken(random).to_hex();
    let path = home.token_file();
    write_private(&path, token.as_bytes())
        .map_err(NodeError::io(format!("cannot write {}", path.display())))?;
    Ok(token)
}

/// A port that is fixed on the command line or in the settings needs no memory.
fn remembered(store: &Store, wish: Wish) -> Result<Option<Remembered>, NodeError> {
    if matches!(wish, Wish::At(address) if address.port() != 0) {
        return Ok(None);
    }
    let kept = store.setting(PORTS_SETTING)?;
    Ok(kept.as_deref().and_then(Remembered::from_bytes))
}

fn carried(store: &Store) -> Result<Carried, NodeError> {
    let mut rows = store.shares()?.into_iter();
    Ok(
        if rows.any(|row| row.end == shoal_store::ShareEnd::Active) {
            Carried::ByLinks
        } else {
            Carried::ByNoLink
        },
    )
}

fn remember(store: &Store, wish: Wish, now: Remembered) -> Result<(), NodeError> {
    if matches!(wish, Wish::At(address) if address.port() != 0) {
        return Ok(());
    }
    Ok(store.put_setting(PORTS_SETTING, &now.to_bytes(), Durability::Flushed)?)
}
