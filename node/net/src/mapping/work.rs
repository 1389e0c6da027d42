//! The task that keeps ports mapped: it asks, renews at half the lifetime, tries again after a
//! failure, follows the machine to another network, and gives everything back at the end.

use super::exchange::Trouble;
use super::pcp::{self, Want};
use super::route::Path;
use super::{MapConfig, MapError, MapRequest, MapStage, MappedBy, Mapping, Mappings, natpmp, upnp};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Lifetime asked for, in seconds. A node that is killed leaves its mappings for this long.
const LIFETIME_S: u32 = 30 * 60;
/// The longest lifetime that is believed, in seconds.
const LIFETIME_MAX_S: u32 = 24 * 60 * 60;
/// How often a router that does not answer is asked, at least: the pause doubles up to this.
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);

/// How often something is done; shorter in tests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How often the route is looked at and mappings are renewed that are due; also the first pause
    /// after a failure.
    look_again: Duration,
    /// The shortest lifetime that is believed: a router that gives less is not asked all the time.
    lifetime_min_s: u32,
}

impl Pace {
    /// For real routers.
    pub(super) const NORMAL: Pace = Pace {
        look_again: Duration::from_secs(60),
        lifetime_min_s: 2 * 60,
    };
}

/// Runs until the other end of `stopped` is dropped.
pub(super) async fn run(
    requests: Vec<MapRequest>,
    config: MapConfig,
    pace: Pace,
    publish: watch::Sender<Mappings>,
    mut stopped: watch::Receiver<()>,
) {
    let mut work = Work::new(requests, config, pace);
    loop {
        work.pass(&stopped, &publish).await;
        tokio::select! {
            _ = stopped.changed() => break,
            () = tokio::time::sleep(pace.look_again) => {}
        }
    }
    work.release().await;
    publish.send_replace(Mappings::off());
}

/// A mapping that is kept.
struct Held {
    mapping: Mapping,
    renew_at: Instant,
    ends_at: Instant,
    /// Whom UPnP found.
    gateway: Option<upnp::Gateway>,
}

struct Work {
    requests: Vec<MapRequest>,
    config: MapConfig,
    nonce: [u8; 12],
    path: Option<Path>,
    held: HashMap<MapRequest, Held>,
    failed: HashMap<MapRequest, MapError>,
    gateway: Option<upnp::Gateway>,
    pace: Pace,
    pause: Duration,
    try_again_at: Instant,
}

impl Work {
    fn new(requests: Vec<MapRequest>, config: MapConfig, pace: Pace) -> Self {
        let mut nonce = config.pcp_nonce.unwrap_or_default();
        if config.pcp_nonce.is_none() && getrandom::fill(&mut nonce).is_err() {
            tracing::debug!("no random bytes: PCP goes on with zeros");
        }
        Work {
            requests,
            config,
            nonce,
            path: None,
            held: HashMap::new(),
            failed: HashMap::new(),
            gateway: None,
            pause: pace.look_again,
            pace,
            try_again_at: Instant::now(),
        }
    }

    /// Looks at the route, renews what is due, and tries again what failed.
    async fn pass(&mut self, stopped: &watch::Receiver<()>, publish: &watch::Sender<Mappings>) {
        let path = Path::find(self.config.gateway).await;
        if path != self.path {
            // The old router is out of reach; what it maps ends by itself.
            self.held.clear();
            self.failed.clear();
            self.gateway = None;
            self.path = path;
            self.pause = self.pace.look_again;
            self.try_again_at = Instant::now();
        }
        let now = Instant::now();
        let retry = now >= self.try_again_at;
        let mut silent = Vec::new();
        for request in self.requests.clone() {
            if stopped.has_changed().is_err() {
                return;
            }
            let due = match self.held.get(&request) {
                Some(held) => now >= held.renew_at,
                None => retry,
            };
            if due {
                self.obtain(request, &mut silent).await;
            }
        }
        if retry {
            self.pause = if self.failed.is_empty() {
                self.pace.look_again
            } else {
                (self.pause * 2).min(PAUSE_MAX)
            };
            self.try_again_at = now + self.pause;
        }
        self.publish(publish);
    }

    /// Asks for one port: first who mapped it last, then the others in order.
    async fn obtain(&mut self, request: MapRequest, silent: &mut Vec<MappedBy>) {
        let Some(path) = self.path else {
            self.failed.insert(request, MapError::NoGateway);
            return;
        };
        let last = self.held.get(&request).map(|held| held.mapping.by);
        let others = self
            .config
            .methods
            .iter()
            .copied()
            .filter(|by| Some(*by) != last);
        let mut refused = None;
        for by in last.into_iter().chain(others).collect::<Vec<_>>() {
            if silent.contains(&by) {
                continue;
            }
            match self.ask(&path, request, by).await {
                Ok(held) => {
                    tracing::debug!(mapping = ?held.mapping, "mapped");
                    self.held.insert(request, held);
                    self.failed.remove(&request);
                    return;
                }
                Err(Trouble::Silent) => silent.push(by),
                Err(Trouble::Refused(why)) => refused = refused.or(Some((by, why))),
            }
        }
        let error = match refused {
            Some((by, why)) => MapError::Refused {
                by,
                protocol: request.protocol,
                port: request.port.get(),
                why,
            },
            None => MapError::NoAnswer,
        };
        if self
            .held
            .get(&request)
            .is_none_or(|held| Instant::now() >= held.ends_at)
        {
            self.held.remove(&request);
            self.failed.insert(request, error);
        }
    }

    async fn ask(
        &mut self,
        path: &Path,
        request: MapRequest,
        by: MappedBy,
    ) -> Result<Held, Trouble> {
        let MapRequest { port, protocol } = request;
        let local_port = port.get();
        // A renewal keeps its port, also where it is not the one first wished for.
        let wish = self
            .held
            .get(&request)
            .map_or(local_port, |held| held.mapping.external.port());
        let mut gateway = None;
        let (external, lifetime_s) = match by {
            MappedBy::Pcp => pcp::map(path, &self.want(request, wish, LIFETIME_S)).await?,
            MappedBy::NatPmp => natpmp::map(path, protocol, local_port, wish, LIFETIME_S).await?,
            MappedBy::Upnp => {
                let found = self.upnp_gateway(path).await?;
                let mapped = found
                    .map(path, protocol, local_port, wish, LIFETIME_S)
                    .await;
                if mapped == Err(Trouble::Silent) {
                    self.gateway = None;
                }
                gateway = Some(found);
                mapped?
            }
        };
        if external.port() == 0 || external.ip().is_unspecified() {
            return Err(Trouble::Refused("it has no connection".to_owned()));
        }
        let lifetime = Duration::from_secs(
            lifetime_s
                .clamp(self.pace.lifetime_min_s, LIFETIME_MAX_S)
                .into(),
        );
        let now = Instant::now();
        Ok(Held {
            mapping: Mapping {
                protocol,
                local_port,
                external,
                by,
            },
            renew_at: now + lifetime / 2,
            ends_at: now + lifetime,
            gateway,
        })
    }

    async fn upnp_gateway(&mut self, path: &Path) -> Result<upnp::Gateway, Trouble> {
        if let Some(gateway) = &self.gateway {
            return Ok(gateway.clone());
        }
        let gateway = upnp::Gateway::find(path).await?;
        self.gateway = Some(gateway.clone());
        Ok(gateway)
    }

    fn want(&self, request: MapRequest, external_port: u16, lifetime_s: u32) -> Want {
        Want {
            nonce: self.nonce,
            protocol: request.protocol,
            local_port: request.port.get(),
            external_port,
            lifetime_s,
        }
    }

    /// Gives everything back. One after the other: a home router has a short queue.
    async fn release(&mut self) {
        let Some(path) = self.path else { return };
        for (request, held) in std::mem::take(&mut self.held) {
            let Mapping {
                protocol,
                local_port,
                external,
                by,
            } = held.mapping;
            let ended = match (by, held.gateway) {
                // RFC 6887, section 15: with a lifetime of 0 the mapping ends.
                (MappedBy::Pcp, _) => pcp::map(&path, &self.want(request, 0, 0)).await.map(drop),
                (MappedBy::NatPmp, _) => natpmp::unmap(&path, protocol, local_port).await,
                (MappedBy::Upnp, Some(gateway)) => gateway.unmap(protocol, external.port()).await,
                (MappedBy::Upnp, None) => Ok(()),
            };
            if let Err(trouble) = ended {
                tracing::debug!(?trouble, mapping = ?held.mapping, "not given back; it ends by itself");
            }
        }
    }

    fn publish(&self, publish: &watch::Sender<Mappings>) {
        let mappings = Mappings {
            stage: MapStage::Settled,
            mapped: self
                .requests
                .iter()
                .filter_map(|r| self.held.get(r))
                .map(|held| held.mapping)
                .collect(),
            failed: self
                .requests
                .iter()
                .filter_map(|r| Some((*r, self.failed.get(r)?.clone())))
                .collect(),
        };
        publish.send_if_modified(|old| {
            let changed = *old != mappings;
            *old = mappings;
            changed
        });
    }
}

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
