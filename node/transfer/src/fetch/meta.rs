//! Finding out what a link contains: capability, content record and manifest from whoever answers
//! first, or the metainfo of a torrent where nobody of ours does.

use super::error::GetError;
use super::http::{Web, is_loopback};
use super::iroh::{Dialer, IrohAddress};
use super::lane::read_blob;
use super::layout::Layout;
use super::progress::{Event, Phase, Progress};
use super::roll;
use super::source::{Address, Channel, SourceError};
use super::torrent::{Seed, Swarm};
use super::{GetRequest, Way};
use futures::stream::{FuturesUnordered, StreamExt};
use shoal_protocol::capability::{Capability, ContentRecord, Hint};
use shoal_protocol::hello::{Refusal, Welcome};
use shoal_protocol::id::{ContentHash, InfoHash, LinkId, TakerToken};
use shoal_protocol::limits::MANIFEST_MAX_BYTES;
use shoal_protocol::link::{Link, MagnetLink};
use shoal_protocol::manifest::Manifest;
use shoal_protocol::metainfo::InfoBytes;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const POLL_MIN: Duration = Duration::from_millis(50);
const POLL_MAX: Duration = Duration::from_millis(100);

/// What a link contains, and where it can be had.
pub(crate) struct Found {
    /// The tree.
    pub(crate) layout: Arc<Layout>,
    /// Snapshot hash, or infohash and zeros.
    pub(crate) layout_id: [u8; 32],
    /// Sources by iroh and HTTP, with a channel to one that was opened already.
    pub(crate) sources: Vec<(Address, Option<Channel>)>,
    /// The swarm, where there is one.
    pub(crate) torrent: Option<Seed>,
    /// Its metainfo and a session, where they were needed to get here.
    pub(crate) swarm: Option<(Swarm, InfoBytes)>,
    /// The gateways.
    pub(crate) webs: Vec<Web>,
}

/// What all that look for it share.
pub(crate) struct Finder<'a> {
    /// What is to be fetched.
    pub(crate) request: &'a GetRequest,
    /// By which the taker counts once.
    pub(crate) taker: TakerToken,
    /// Our iroh endpoint.
    pub(crate) dialer: &'a Dialer,
    /// Who is told.
    pub(crate) progress: &'a dyn Progress,
}

/// What a node of ours says of a link.
struct Described {
    record: ContentRecord,
    manifest: Manifest,
    channel: Option<Channel>,
}

impl Finder<'_> {
    /// Asks everybody at once.
    pub(crate) async fn find(&self) -> Result<Found, GetError> {
        match &self.request.link {
            Link::Web(link) => {
                let web = self.web(&link.origin, link.id)?;
                let capability = self.capability(&web).await?;
                if capability.link_id() != link.id {
                    return Err(GetError::Verification(
                        "the capability is of another link".into(),
                    ));
                }
                self.find_by(&capability, Some(&link.origin), None).await
            }
            Link::Magnet(link) => match &link.capability {
                None => self.find_in_swarm(seed_of(link), Vec::new()).await,
                Some(signed) => self.find_by(&signed.capability, None, Some(link)).await,
            },
        }
    }

    async fn capability(&self, web: &Web) -> Result<Capability, GetError> {
        let failed = |error| self.failed(vec![(Way::Http, web.origin.clone(), error)], None);
        let bytes = self.patiently(|| web.capability()).await.map_err(failed)?;
        Capability::verify(&bytes)
            .map_err(|error| GetError::Verification(format!("its capability: {error}")))
    }

    async fn find_by(
        &self,
        capability: &Capability,
        origin: Option<&str>,
        magnet: Option<&MagnetLink>,
    ) -> Result<Found, GetError> {
        let id = capability.link_id();
        let webs = self.webs(capability, origin, id)?;
        let iroh = iroh_address(capability, webs.iter().any(|web| is_loopback(&web.origin)));
        match self.describe(capability, &webs, iroh.as_ref()).await {
            Ok(described) => self.found(described, webs, iroh, magnet),
            Err(tried) => {
                let refused = tried
                    .iter()
                    .any(|(_, _, error)| matches!(error, SourceError::Refused(_)));
                match magnet {
                    // The swarm may have it, even where the node that made the link is off.
                    Some(link) if self.request.ways.has(Way::Torrent) && !refused => {
                        self.find_in_swarm(seed_of(link), tried).await
                    }
                    _ => Err(self.failed(tried, Some(capability))),
                }
            }
        }
    }

    /// The first that answers wins.
    async fn describe(
        &self,
        capability: &Capability,
        webs: &[Web],
        iroh: Option<&IrohAddress>,
    ) -> Result<Described, Vec<(Way, String, SourceError)>> {
        let mut asked = FuturesUnordered::new();
        for web in webs {
            asked.push(futures::FutureExt::boxed(async move {
                let told = self.by_web(capability, web).await;
                told.map_err(|error| (Way::Http, web.origin.clone(), error))
            }));
        }
        if let Some(iroh) = iroh.filter(|_| webs.is_empty() || self.request.ways.has(Way::Iroh)) {
            asked.push(futures::FutureExt::boxed(async move {
                let told = self.by_iroh(capability, iroh).await;
                told.map_err(|error| (Way::Iroh, Address::Iroh(iroh.clone()).text(), error))
            }));
        }
        let mut tried = Vec::new();
        while let Some(told) = asked.next().await {
            match told {
                Ok(described) => return Ok(described),
                Err(failed) => tried.push(failed),
            }
        }
        Err(tried)
    }

    /// Asks again for as long as the other side hashes; a node that was started anew may do so at any moment.
    async fn patiently<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T, SourceError>
    where
        F: Future<Output = Result<T, SourceError>>,
    {
        let mut wait = POLL_MIN;
        loop {
            match ask().await {
                Err(SourceError::Counting) => {
                    self.progress.event(Event::Phase(Phase::WaitingForHashing));
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(POLL_MAX);
                }
                told => return told,
            }
        }
    }

    async fn by_web(&self, capability: &Capability, web: &Web) -> Result<Described, SourceError> {
        let record = self.patiently(|| web.record()).await?;
        let record = verified_record(&record, capability)?;
        self.progress.event(Event::Phase(Phase::Metadata));
        let limit = manifest_limit(&record)?;
        let manifest = self.patiently(|| web.manifest(limit)).await?;
        let manifest = read_manifest(&record, &manifest)?;
        let channel = self
            .request
            .ways
            .has(Way::Http)
            .then(|| Channel::Web(web.clone()));
        Ok(Described {
            record,
            manifest,
            channel,
        })
    }

    async fn by_iroh(
        &self,
        capability: &Capability,
        address: &IrohAddress,
    ) -> Result<Described, SourceError> {
        let greet = || async {
            let (channel, welcome) = self
                .dialer
                .connect(address, capability.link_id(), self.taker)
                .await?;
            match welcome {
                Welcome::Ready { record, .. } => Ok((channel, record)),
                Welcome::Refused(refusal) => Err(SourceError::Refused(refusal)),
                Welcome::Counting { .. } => Err(SourceError::Counting),
            }
        };
        let (channel, record) = self.patiently(greet).await?;
        let record = verified_record(&record, capability)?;
        self.progress.event(Event::Phase(Phase::Metadata));
        manifest_limit(&record)?;
        let channel = Channel::Iroh(channel);
        let bytes = read_blob(
            &channel,
            record.snapshot,
            record.manifest_bytes,
            self.request.options.stall_timeout,
        );
        let manifest = read_manifest(&record, &bytes.await?)?;
        let channel = self.request.ways.has(Way::Iroh).then_some(channel);
        Ok(Described {
            record,
            manifest,
            channel,
        })
    }

    fn found(
        &self,
        described: Described,
        webs: Vec<Web>,
        iroh: Option<IrohAddress>,
        magnet: Option<&MagnetLink>,
    ) -> Result<Found, GetError> {
        let Described {
            record,
            manifest,
            channel,
        } = described;
        let torrent = match magnet {
            Some(link) if record.infohash != Some(link.magnet.infohash) => {
                return Err(GetError::BadLink(
                    "its torrent is not the one that its capability stands for".into(),
                ));
            }
            Some(link) => Some(seed_of(link)),
            None => record.infohash.map(Seed::new),
        };
        let torrent =
            torrent.map(|seed| seed.with_origins(webs.iter().map(|web| web.origin.as_str())));
        let mut sources: Vec<Address> = Vec::new();
        if self.request.ways.has(Way::Iroh) {
            sources.extend(iroh.map(Address::Iroh));
        }
        if self.request.ways.has(Way::Http) {
            sources.extend(webs.iter().cloned().map(Address::Web));
        }
        let mut channel = channel;
        let sources = sources.into_iter().map(|address| {
            let opened = channel.take_if(|channel| match (&address, channel) {
                (Address::Iroh(_), Channel::Iroh(_)) => true,
                (Address::Web(web), Channel::Web(opened)) => web.origin == opened.origin,
                _ => false,
            });
            (address, opened)
        });
        let sources = sources.collect();
        Ok(Found {
            layout: Arc::new(Layout::of_manifest(&manifest)?),
            layout_id: record.snapshot.0,
            sources,
            // Behind a password the swarm is closed to who has no .torrent of a session.
            torrent: torrent.filter(|_| {
                self.request.ways.has(Way::Torrent) && self.request.options.password.is_none()
            }),
            swarm: None,
            webs,
        })
    }

    /// Metainfo from peers; only the infohash vouches for it.
    async fn find_in_swarm(
        &self,
        seed: Seed,
        tried: Vec<(Way, String, SourceError)>,
    ) -> Result<Found, GetError> {
        if !self.request.ways.has(Way::Torrent) {
            return Err(GetError::BadLink(
                "it is a torrent, and that way is not to be used".into(),
            ));
        }
        self.progress.event(Event::Phase(Phase::Metadata));
        let known = async {
            let swarm = Swarm::open(&seed, self.taker, &self.request.options).await?;
            let info = swarm
                .metadata(&seed, self.request.options.stall_timeout)
                .await?;
            Ok((swarm, info))
        };
        let (swarm, info) = known.await.map_err(|error: SourceError| {
            let mut tried = tried;
            tried.push((Way::Torrent, seed.text(), error));
            self.failed(tried, None)
        })?;
        let decoded = info
            .decode()
            .map_err(|error| GetError::Verification(error.to_string()))?;
        let layout = Layout::of_torrent(&decoded)?;
        Ok(Found {
            layout: Arc::new(layout),
            layout_id: padded(seed.infohash),
            sources: Vec::new(),
            torrent: Some(seed),
            swarm: Some((swarm, info)),
            webs: Vec::new(),
        })
    }

    fn webs(
        &self,
        capability: &Capability,
        origin: Option<&str>,
        id: LinkId,
    ) -> Result<Vec<Web>, GetError> {
        let hints = capability.hints.iter().filter_map(|hint| match hint {
            Hint::Web(origin) => Some(origin.as_str()),
            Hint::Iroh(_) => None,
        });
        let mut origins: Vec<&str> = Vec::new();
        for origin in origin.into_iter().chain(hints) {
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        origins
            .into_iter()
            .map(|origin| self.web(origin, id))
            .collect()
    }

    fn web(&self, origin: &str, id: LinkId) -> Result<Web, GetError> {
        Web::new(origin.to_owned(), id, self.taker, &self.request.options)
            .map_err(|error| GetError::BadLink(error.to_string()))
    }

    /// What the failures of all mean together.
    fn failed(
        &self,
        tried: Vec<(Way, String, SourceError)>,
        capability: Option<&Capability>,
    ) -> GetError {
        let now_s = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs());
        match roll::verdict(tried) {
            // Nobody is there who could say so.
            GetError::Unreachable { .. } if capability.is_some_and(|c| c.expired(now_s)) => {
                GetError::Refused(Refusal::Expired)
            }
            other => other,
        }
    }
}

/// An infohash where a snapshot hash would stand.
fn padded(infohash: InfoHash) -> [u8; 32] {
    let mut id = [0; 32];
    for (to, from) in id.iter_mut().zip(infohash.as_bytes()) {
        *to = *from;
    }
    id
}

fn seed_of(link: &MagnetLink) -> Seed {
    let mut seed = Seed::new(link.magnet.infohash);
    seed.trackers.clone_from(&link.magnet.trackers);
    seed.peers.clone_from(&link.magnet.peers);
    seed
}

fn iroh_address(capability: &Capability, loopback: bool) -> Option<IrohAddress> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for hint in &capability.hints {
        let Hint::Iroh(address) = hint else { continue };
        addresses.push(*address);
        if loopback {
            addresses.push((Ipv4Addr::LOCALHOST, address.port()).into());
            addresses.push((Ipv6Addr::LOCALHOST, address.port()).into());
        }
    }
    addresses.sort();
    addresses.dedup();
    (!addresses.is_empty()).then_some(IrohAddress {
        issuer: capability.issuer,
        addresses,
    })
}

fn verified_record(bytes: &[u8], capability: &Capability) -> Result<ContentRecord, SourceError> {
    ContentRecord::verify(bytes, capability)
        .map_err(|error| SourceError::Lied(format!("its content record: {error}")))
}

fn manifest_limit(record: &ContentRecord) -> Result<usize, SourceError> {
    let limit = usize::try_from(record.manifest_bytes)
        .ok()
        .filter(|bytes| *bytes <= MANIFEST_MAX_BYTES);
    limit.ok_or_else(|| SourceError::Lied("its manifest is too long".into()))
}

fn read_manifest(record: &ContentRecord, bytes: &[u8]) -> Result<Manifest, SourceError> {
    if ContentHash::of(bytes) != record.snapshot {
        return Err(SourceError::Lied(
            "its manifest is not the one that was signed".into(),
        ));
    }
    Manifest::decode(bytes).map_err(|error| SourceError::Lied(format!("its manifest: {error}")))
}
