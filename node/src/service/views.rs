//! A link as others see it: its addresses, its magnet, its state.

use super::Context;
use super::addresses::MagnetParts;
use super::password::Session;
use super::share::{LiveShare, Phase};
use bytes::Bytes;
use shoal_api::{Access, Event, Publicity, ShareEnd, ShareState, ShareView};
use shoal_protocol::capability::Capability;
use shoal_protocol::id::InfoHash;
use shoal_protocol::metainfo::{InfoBytes, Torrent};
use shoal_store::{Audience, ShareRow};
use std::sync::atomic::Ordering;

impl Context {
    /// The link's capability, signed anew with the addresses of now: its id stays.
    pub(super) fn capability(&self, row: &ShareRow) -> Bytes {
        match Capability::verify(&row.capability) {
            Ok(kept) => {
                let hints = self.network.borrow().addresses.hints(self.switches.iroh);
                Capability { hints, ..kept }.sign(&self.identity.key).into()
            }
            Err(_) => row.capability.clone().into(),
        }
    }

    pub(super) fn magnet(&self, row: &ShareRow) -> Option<String> {
        // With a password a link has no magnet: it would open it to whoever sees it.
        let public = self.switches.bittorrent && row.password.is_none();
        let infohash = infohash(row).filter(|_| public && !is_empty(row))?;
        let parts = MagnetParts {
            token: &token_text(&row.announce_token),
            capability: &self.capability(row),
            udp_tracker: self.switches.udp_tracker,
            seeds: self.switches.bittorrent,
        };
        let addresses = &self.network.borrow().addresses;
        Some(addresses.magnet(&row.id, infohash, &row.name, &parts))
    }

    /// The `.torrent` of a link; behind a password it announces with the session's own token, and names no
    /// web seed, because torrent clients have no session.
    pub(super) fn torrent(&self, share: &LiveShare, session: Option<&Session>) -> Option<Bytes> {
        let content = share.content()?;
        let row = share.row();
        let addresses = &self.network.borrow().addresses;
        let (token, web_seeds) = match row.password {
            None => (
                token_text(&row.announce_token),
                addresses.web_seeds(&share.id),
            ),
            Some(_) => (self.gate.announce_token(&share.id, session?), Vec::new()),
        };
        let torrent = Torrent {
            info: InfoBytes::new(content.info.to_vec()).ok()?,
            trackers: addresses
                .trackers(&token, self.switches.udp_tracker)
                .into_iter()
                .map(|url| vec![url])
                .collect(),
            web_seeds,
            creation_date_secs: i64::try_from(row.created_s).ok(),
            created_by: Some(concat!("Shoal ", env!("CARGO_PKG_VERSION")).to_owned()),
        };
        Some(torrent.encode().into())
    }

    pub(super) fn ready_event(&self, share: &LiveShare) -> Event {
        let view = self.view(share);
        Event::Ready {
            id: view.id,
            url: view.url,
            magnet: view.magnet,
            infohash: view.infohash,
            name: view.name,
            files: view.files,
            bytes: view.bytes,
            reach: view.reach,
            note: self.note(&share.row()),
        }
    }

    /// Why a link that is served by torrent has no magnet.
    fn note(&self, row: &ShareRow) -> Option<String> {
        (self.switches.bittorrent && is_empty(row)).then(|| {
            "All its files are empty, and torrent clients refuse a torrent without a single byte, so there is no \
             magnet: give the web address, to a browser or to `shoal get`."
                .to_owned()
        })
    }

    /// The events that say how a link is now, for who begins to listen.
    pub(super) fn present(&self, share: &LiveShare) -> Vec<Event> {
        let view = self.view(share);
        let id = view.id.clone();
        let mut events = vec![Event::Url {
            id: id.clone(),
            url: view.url.clone(),
        }];
        events.extend(view.problems.iter().map(|problem| Event::Problem {
            id: id.clone(),
            path: problem.path.clone(),
            what: problem.what.clone(),
        }));
        match share.phase() {
            Phase::Ready(_) => events.push(self.ready_event(share)),
            Phase::Failed(error) => events.push(Event::Failed {
                id: id.clone(),
                error: (*error).clone(),
            }),
            _ => {}
        }
        if let Some(refusal) = share.refusal().filter(|_| share.ended.is_cancelled()) {
            events.push(Event::Ended {
                id,
                why: refusal.to_string(),
            });
        }
        events
    }

    pub(super) fn view(&self, share: &LiveShare) -> ShareView {
        let row = share.row();
        let phase = share.phase();
        let network = self.network.borrow();
        let urls = network.addresses.urls(&share.id);
        let listing = share.listing();
        let (files, bytes) = match (&listing, &row.state) {
            (Some(listing), _) => (listing.files(), listing.total_bytes),
            (None, shoal_store::ShareState::Ready { files, bytes, .. }) => (*files, *bytes),
            (None, _) => (0, 0),
        };
        let infohash = infohash(&row).filter(|_| row.password.is_none());
        let infohash = infohash.map(|infohash| infohash.to_hex());
        let reach = network.reach.clone();
        drop(network);
        ShareView {
            id: share.id.to_string(),
            name: listing
                .as_ref()
                .map_or_else(|| row.name.clone(), |listing| listing.name.clone()),
            roots: row.roots.clone(),
            url: urls.first().cloned().unwrap_or_default(),
            urls,
            magnet: self.magnet(&row),
            infohash,
            state: state(&row, &phase),
            end: end(&row, &phase),
            files,
            bytes,
            created_s: row.created_s,
            expires_s: row.expires_s,
            max_downloads: row.max_downloads,
            completed: share.takers.completed(),
            taking: share.takers.taking_now(),
            publicity: match row.audience {
                Audience::Link => Publicity::Private,
                Audience::Public => Publicity::Public,
            },
            access: match row.password {
                None => Access::Open,
                Some(_) => Access::Password,
            },
            problems: share.problems(),
            more_problems: share.more_problems(),
            reach,
        }
    }
}

fn infohash(row: &ShareRow) -> Option<InfoHash> {
    match row.state {
        shoal_store::ShareState::Ready { infohash, .. } => Some(infohash),
        _ => None,
    }
}

/// Whether it is known that there is not a byte in it.
fn is_empty(row: &ShareRow) -> bool {
    matches!(row.state, shoal_store::ShareState::Ready { bytes: 0, .. })
}

/// The announce token as it stands in the path.
pub(super) fn token_text(token: &[u8; 16]) -> String {
    shoal_protocol::id::TakerToken(*token).to_hex()
}

fn state(row: &ShareRow, phase: &Phase) -> ShareState {
    match phase {
        // It was ready before, and is being loaded.
        Phase::Walking if infohash(row).is_some() => ShareState::Ready,
        Phase::Walking => ShareState::Counting {
            files: 0,
            bytes: 0,
            bytes_total: 0,
        },
        Phase::Hashing(listing, counters) => ShareState::Counting {
            files: counters.files.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            bytes_total: listing.total_bytes,
        },
        Phase::Ready(_) | Phase::Resting(_) => ShareState::Ready,
        Phase::Failed(error) => ShareState::Failed {
            why: error.message.clone(),
        },
    }
}

fn end(row: &ShareRow, phase: &Phase) -> ShareEnd {
    match (row.end, phase) {
        (shoal_store::ShareEnd::Stopped { at_s }, _) => ShareEnd::Stopped { at_s },
        (shoal_store::ShareEnd::Expired, _) => ShareEnd::Expired,
        (shoal_store::ShareEnd::UsedUp, _) => ShareEnd::UsedUp,
        (shoal_store::ShareEnd::Active, Phase::Resting(why)) => ShareEnd::Resting {
            why: why.to_string(),
        },
        (shoal_store::ShareEnd::Active, _) => ShareEnd::Active,
    }
}
