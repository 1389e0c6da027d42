//! Port mapping: the router is asked to pass a port on to this machine, by PCP (RFC 6887), NAT-PMP
//! (RFC 6886) or UPnP (Internet Gateway Device), whichever answers first in this order.
//!
//! The three are spoken here and not by the `portmapper` crate, because that one tells neither which
//! of them it used nor when a mapping is gone, gives a mapping back only on request, removes the UDP
//! mapping of a port where it means the TCP one (NAT-PMP), and renews a PCP mapping under a new nonce,
//! which a router takes for another client.

mod exchange;
mod natpmp;
mod pcp;
mod route;
mod ssdp;
mod upnp;
mod upnp_text;
mod work;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU16;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long [`PortMapper::shutdown`] waits for the router.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// What a port carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        })
    }
}

/// A port of this machine that shall be mapped, if possible to the same port outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MapRequest {
    /// The port listened on.
    pub port: NonZeroU16,
    /// What it carries.
    pub protocol: Protocol,
}

/// A way to ask a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MappedBy {
    /// Port Control Protocol, RFC 6887.
    Pcp,
    /// NAT Port Mapping Protocol, RFC 6886.
    NatPmp,
    /// Universal Plug and Play, Internet Gateway Device 1 and 2.
    Upnp,
}

impl fmt::Display for MappedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MappedBy::Pcp => "PCP",
            MappedBy::NatPmp => "NAT-PMP",
            MappedBy::Upnp => "UPnP",
        })
    }
}

/// A port that the router passes on to this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// What it carries.
    pub protocol: Protocol,
    /// The port on this machine.
    pub local_port: u16,
    /// Where the router takes connections. Its address need not be on the internet: see `scope`.
    pub external: SocketAddrV4,
    /// Who was asked.
    pub by: MappedBy,
}

/// How far mapping is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapStage {
    /// Nobody is asked.
    Off,
    /// The router is being asked for the first time.
    Searching,
    /// Every request has its answer; they are renewed and tried again from time to time.
    Settled,
}

/// What is mapped now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mappings {
    /// How far mapping is.
    pub stage: MapStage,
    /// What the router passes on.
    pub mapped: Vec<Mapping>,
    /// What it does not, and why.
    pub failed: Vec<(MapRequest, MapError)>,
}

impl Mappings {
    /// Nothing is mapped, and nothing will be.
    pub fn off() -> Self {
        Mappings {
            stage: MapStage::Off,
            mapped: Vec::new(),
            failed: Vec::new(),
        }
    }
}

/// Why a port is not mapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// There is no default route over IPv4.
    #[error("this machine has no router")]
    NoGateway,
    /// The router answers none of the three.
    #[error("the router answered neither PCP, NAT-PMP nor UPnP")]
    NoAnswer,
    /// The router says no.
    #[error("the router refused to map {protocol} port {port} ({by}: {why})")]
    Refused {
        /// Who was asked.
        by: MappedBy,
        /// What the port carries.
        protocol: Protocol,
        /// The port on this machine.
        port: u16,
        /// The router's reason.
        why: String,
    },
}

/// How to map.
#[derive(Debug, Clone)]
pub struct MapConfig {
    /// Who is asked, in this order; nobody switches mapping off.
    pub methods: Vec<MappedBy>,
    /// The router, where it is not the default route's.
    pub gateway: Option<Ipv4Addr>,
    /// 12 random bytes that a home keeps: with them a node that was killed gets its PCP mappings
    /// again (RFC 6887, section 11.2). Without them they are random, and an old mapping has to end first.
    pub pcp_nonce: Option<[u8; 12]>,
}

impl Default for MapConfig {
    fn default() -> Self {
        MapConfig {
            methods: vec![MappedBy::Pcp, MappedBy::NatPmp, MappedBy::Upnp],
            gateway: None,
            pcp_nonce: None,
        }
    }
}

/// Keeps ports mapped until it is dropped.
#[derive(Debug)]
pub struct PortMapper {
    mappings: watch::Receiver<Mappings>,
    stop: Option<watch::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl PortMapper {
    /// Begins to ask the router, and returns at once. Must be called in a tokio runtime.
    pub fn start(requests: &[MapRequest], config: MapConfig) -> PortMapper {
        if config.methods.is_empty() || requests.is_empty() {
            let mappings = watch::channel(Mappings::off()).1;
            return PortMapper {
                mappings,
                stop: None,
                task: None,
            };
        }
        let searching = Mappings {
            stage: MapStage::Searching,
            ..Mappings::off()
        };
        let (publish, mappings) = watch::channel(searching);
        let (stop, stopped) = watch::channel(());
        let task = tokio::spawn(work::run(
            requests.to_vec(),
            config,
            work::Pace::NORMAL,
            publish,
            stopped,
        ));
        PortMapper {
            mappings,
            stop: Some(stop),
            task: Some(task),
        }
    }

    /// What is mapped, now and whenever it changes.
    pub fn mappings(&self) -> watch::Receiver<Mappings> {
        self.mappings.clone()
    }

    /// Gives all mappings back and waits until the router was told, at most three seconds. Dropping
    /// gives them back as well, as long as the runtime goes on.
    pub async fn shutdown(mut self) {
        self.stop = None;
        if let Some(task) = self.task.take()
            && tokio::time::timeout(SHUTDOWN_TIMEOUT, task).await.is_err()
        {
            tracing::debug!("the router did not answer in time; mappings end by themselves");
        }
    }
}
