//! How the node can be reached: interfaces, the router, and what its owner says.

use crate::ports::Ports;
use crate::service::{Addresses, Context, Found, Network, Scheme};
use shoal_api::{MappingOutcome, Reach, ReachScope, Transport};
use shoal_net::{
    Advertise, MapConfig, MapRequest, MapStage, Mappings, PortMapper, Protocol, ReachInput, reach,
};
use shoal_store::{Durability, Store};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

/// How often interfaces are looked at: a laptop that moves to another network gets new links within this.
const LOOK_EVERY: Duration = Duration::from_secs(15);

const PCP_NONCE_SETTING: &str = "pcp-nonce";

/// Looks at the network.
pub(crate) struct Watcher {
    listen: SocketAddr,
    ports: Ports,
    advertise: Vec<String>,
    scheme: Scheme,
    mappings: Mappings,
}

impl Watcher {
    pub(crate) fn new(
        listen: SocketAddr,
        ports: Ports,
        advertise: Vec<String>,
        scheme: Scheme,
    ) -> Self {
        Self {
            listen,
            ports,
            advertise,
            scheme,
            mappings: Mappings::off(),
        }
    }

    /// What can be said now.
    pub(crate) fn look(&self) -> Network {
        let local = shoal_net::local_addresses().unwrap_or_else(|error| {
            tracing::warn!(%error, "the addresses of this machine cannot be listed");
            Vec::new()
        });
        let advertise = self
            .advertise
            .first()
            .map_or(Advertise::Auto, |host| Advertise::Host(host.clone()));
        let report = reach(&ReachInput {
            listen: &[self.listen],
            local: &local,
            mappings: &self.mappings,
            advertise: &advertise,
        });
        let automatic = reach(&ReachInput {
            listen: &[self.listen],
            local: &local,
            mappings: &self.mappings,
            advertise: &Advertise::Auto,
        });
        let mapped = |protocol, port| {
            let found = self
                .mappings
                .mapped
                .iter()
                .find(|m| m.protocol == protocol && m.local_port == port);
            found.map(|mapping| SocketAddr::V4(mapping.external))
        };
        let mapped_tcp = mapped(Protocol::Tcp, self.ports.tcp);
        let mut interfaces: Vec<IpAddr> = automatic
            .addresses
            .iter()
            .filter(|a| Some(**a) != mapped_tcp)
            .map(SocketAddr::ip)
            .collect();
        if interfaces.is_empty() {
            interfaces.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        // An advertised host stands alone: its owner knows better than what is found.
        if !self.advertise.is_empty() {
            interfaces.clear();
        }
        let addresses = Addresses::of(&Found {
            advertise: &self.advertise,
            mapped_tcp: mapped_tcp.filter(|_| self.advertise.is_empty()),
            mapped_iroh: mapped(Protocol::Udp, self.ports.iroh_udp),
            mapped_tracker: mapped(Protocol::Udp, self.ports.tracker_udp)
                .filter(|_| self.advertise.is_empty()),
            interfaces: &interfaces,
            scheme: self.scheme,
            ports: self.ports,
        });
        Network {
            addresses,
            reach: view(&report),
            mappings: self.mapping_views(),
        }
    }

    /// Keeps looking, and asks the router to pass the ports on, until the node ends.
    pub(crate) async fn run(mut self, context: Arc<Context>, map_ports: bool) {
        let mapper =
            (map_ports && !self.listen.ip().is_loopback()).then(|| self.start_mapper(&context));
        let mut changes = mapper.as_ref().map(PortMapper::mappings);
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = context.stopping.cancelled() => break,
                _ = ticks.tick() => {}
                () = changed(&mut changes) => {}
            }
            if let Some(changes) = &mut changes {
                self.mappings = changes.borrow_and_update().clone();
            }
            let now = self.look();
            context.network.send_if_modified(|known| {
                let different = known.addresses != now.addresses
                    || known.reach != now.reach
                    || known.mappings != now.mappings;
                *known = now;
                different
            });
        }
        if let Some(mapper) = mapper {
            mapper.shutdown().await;
        }
    }

    fn start_mapper(&self, context: &Context) -> PortMapper {
        let wanted = [
            (Protocol::Tcp, self.ports.tcp, true),
            (Protocol::Udp, self.ports.iroh_udp, context.switches.iroh),
            (
                Protocol::Udp,
                self.ports.tracker_udp,
                context.switches.udp_tracker,
            ),
        ];
        let requests: Vec<_> = wanted
            .into_iter()
            .filter(|(_, _, on)| *on)
            .filter_map(|(protocol, port, _)| {
                NonZeroU16::new(port).map(|port| MapRequest { port, protocol })
            })
            .collect();
        PortMapper::start(
            &requests,
            MapConfig {
                pcp_nonce: pcp_nonce(&context.records.store),
                ..MapConfig::default()
            },
        )
    }

    fn mapping_views(&self) -> Vec<shoal_api::Mapping> {
        let transport = |protocol| match protocol {
            Protocol::Tcp => Transport::Tcp,
            Protocol::Udp => Transport::Udp,
        };
        let mapped = self.mappings.mapped.iter().map(|m| shoal_api::Mapping {
            transport: transport(m.protocol),
            port: m.local_port,
            outcome: MappingOutcome::Mapped {
                external: m.external.to_string(),
            },
        });
        let failed = self
            .mappings
            .failed
            .iter()
            .map(|(request, why)| shoal_api::Mapping {
                transport: transport(request.protocol),
                port: request.port.get(),
                outcome: MappingOutcome::Failed {
                    why: why.to_string(),
                },
            });
        let open = match self.mappings.stage {
            MapStage::Off => Some(MappingOutcome::Off),
            MapStage::Searching => Some(MappingOutcome::Asking),
            MapStage::Settled => None,
        };
        let open = open.map(|outcome| shoal_api::Mapping {
            transport: Transport::Tcp,
            port: self.ports.tcp,
            outcome,
        });
        mapped.chain(failed).chain(open).collect()
    }
}

/// The same at every start, so that a node that was killed gets its mappings again (RFC 6887, 11.2).
fn pcp_nonce(store: &Store) -> Option<[u8; 12]> {
    if let Ok(Some(kept)) = store.setting(PCP_NONCE_SETTING)
        && let Ok(nonce) = kept.as_slice().try_into()
    {
        return Some(nonce);
    }
    let mut nonce = [0; 12];
    crate::identity::fill_random(&mut nonce).ok()?;
    store
        .put_setting(PCP_NONCE_SETTING, &nonce, Durability::Lazy)
        .ok()?;
    Some(nonce)
}

/// A mapper that ended, or was never started, changes nothing any more.
async fn changed(changes: &mut Option<tokio::sync::watch::Receiver<Mappings>>) {
    if let Some(changes) = changes
        && changes.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

fn view(report: &shoal_net::ReachReport) -> Reach {
    let (scope, sentence) = match report.reach {
        shoal_net::Reach::Machine => (
            ReachScope::Machine,
            "Only programs on this machine can open this link.",
        ),
        shoal_net::Reach::Network => (
            ReachScope::Network,
            "Whoever is on this network can open this link.",
        ),
        shoal_net::Reach::Internet => (
            ReachScope::Internet,
            "Anybody on the internet who has this link can open it.",
        ),
    };
    Reach {
        scope,
        sentence: sentence.to_owned(),
        help: report.help.clone(),
    }
}
