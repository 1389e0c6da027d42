//! Filesets that are kept the same with the other devices of the group: the driver of the sync machine.
//!
//! - [`keeper`]: one task per fileset opens its folder, starts its ring, and starts it anew when a disk comes back.
//! - [`ring`]: the thread that tells the machine what happens and has done what it asks for.
//! - [`hands`]: the thread that looks at the disk and changes it. [`fetch`]: content into staging.
//! - [`meeting`], [`links`]: connections to members, and what is said on them. [`library`]: content for them.
//! - [`moving`]: from one group to another. [`state`], [`words`], [`conflicts`], [`api`]: what people see and ask.

mod api;
mod conflicts;
mod fetch;
mod hands;
mod keeper;
mod library;
mod links;
mod meeting;
mod moving;
mod ring;
mod sink;
mod state;
mod words;

pub(crate) use api::FilesetsApi;

use crate::error::NodeError;
use crate::group::Members;
use crate::service::Context;
use fetch::Fetcher;
use keeper::Kept;
use library::Shelves;
use ring::Input;
use shoal_protocol::catalogue::Catalogue;
use shoal_protocol::fileset::Genesis;
use shoal_protocol::group::Accepted;
use shoal_protocol::id::{DeviceId, FilesetId};
use shoal_protocol::sync::{AuthorId, Command, Event, Index};
use shoal_store::{FilesetIndex, FilesetRow};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The filesets of a node.
pub(crate) struct Filesets {
    context: Arc<Context>,
    members: Members,
    tasks: TaskTracker,
    kept: RwLock<BTreeMap<FilesetId, Arc<Kept>>>,
    /// What other members keep, as they say, where the record holds.
    heard: RwLock<HashMap<DeviceId, BTreeMap<FilesetId, Offer>>>,
    shelves: Arc<Shelves>,
    /// What this device keeps at the moment.
    catalogue: watch::Sender<Catalogue>,
    links: Mutex<HashMap<DeviceId, (u64, CancellationToken)>>,
    links_changed: watch::Sender<u64>,
    /// Held while filesets come and go.
    registry: tokio::sync::Mutex<()>,
}

/// A fileset that another member keeps.
#[derive(Debug, Clone)]
struct Offer {
    genesis: Genesis,
    bytes: Vec<u8>,
}

/// A ring that turns.
#[derive(Clone)]
struct RingHandle {
    inputs: mpsc::Sender<Input>,
    fetcher: Fetcher,
    index: FilesetIndex,
    ended: CancellationToken,
}

impl Filesets {
    /// The filesets that the store knows, and the door for other members; called before the node serves.
    pub(crate) fn open(
        context: Arc<Context>,
        members: Members,
        tasks: TaskTracker,
    ) -> Result<Arc<Self>, NodeError> {
        let rows = context.records.store.filesets()?;
        let filesets = Arc::new(Self {
            context,
            members,
            tasks,
            kept: RwLock::default(),
            heard: RwLock::default(),
            shelves: Arc::default(),
            catalogue: watch::Sender::default(),
            links: Mutex::default(),
            links_changed: watch::Sender::default(),
            registry: tokio::sync::Mutex::default(),
        });
        for row in rows {
            filesets.insert(row);
        }
        let door = Arc::new(meeting::Door(filesets.clone()));
        filesets.members.serve(shoal_transfer::carry::ALPN, door);
        let counters = Arc::downgrade(&filesets);
        filesets
            .members
            .count_before_removal(Box::new(move |device| {
                counters
                    .upgrade()
                    .map_or_else(Vec::new, |filesets| filesets.accepted_from(device))
            }));
        let movers = moving::Movers(Arc::downgrade(&filesets));
        filesets.members.take_along(Box::new(movers));
        Ok(filesets)
    }

    /// Keeps all filesets and talks to members until the node ends.
    pub(crate) async fn run(self: Arc<Self>) {
        for kept in self.all() {
            self.tasks.spawn(keeper::keep(self.clone(), kept));
        }
        meeting::meet_members(self).await;
    }

    fn insert(&self, row: FilesetRow) -> Arc<Kept> {
        let kept = Arc::new(Kept::new(
            row,
            self.context.records.clone(),
            self.members.clone(),
        ));
        self.kept
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(kept.id(), kept.clone());
        kept
    }

    fn all(&self) -> Vec<Arc<Kept>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.values().cloned().collect()
    }

    fn kept(&self, fileset: &FilesetId) -> Option<Arc<Kept>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(fileset).cloned()
    }

    fn ring_of(&self, fileset: &FilesetId) -> Option<RingHandle> {
        self.kept(fileset)?.ring()
    }

    /// Filesets whose rings turn, and that belong to this device's group.
    fn going(&self) -> Vec<FilesetId> {
        let group = self.members.group().map(|group| group.id());
        self.all()
            .iter()
            .filter(|kept| kept.ring().is_some() && group == kept.owner())
            .map(|kept| kept.id())
            .collect()
    }

    /// Tells members what is kept now.
    fn tell_catalogue(&self) {
        let going = self.going();
        let records = going.iter().filter_map(|id| self.kept(id));
        let catalogue = Catalogue(records.map(|kept| kept.genesis()).collect());
        self.catalogue.send_if_modified(|known| {
            let differs = *known != catalogue;
            *known = catalogue;
            differs
        });
    }

    fn catalogue(&self) -> watch::Receiver<Catalogue> {
        self.catalogue.subscribe()
    }

    fn shelves(&self) -> Arc<Shelves> {
        self.shelves.clone()
    }

    fn stopping(&self) -> &CancellationToken {
        &self.context.stopping
    }

    /// Takes in what a member keeps; gives those of them that hold and belong to this group.
    fn heard(&self, peer: DeviceId, catalogue: &Catalogue) -> BTreeSet<FilesetId> {
        let Some(group) = self.members.group() else {
            return BTreeSet::new();
        };
        let mut offers = BTreeMap::new();
        for bytes in &catalogue.0 {
            let held = Genesis::verify(bytes).and_then(|genesis| {
                genesis.check_owner(&group)?;
                Ok(genesis)
            });
            match held {
                Ok(genesis) => {
                    let bytes = bytes.clone();
                    offers.insert(genesis.id(), Offer { genesis, bytes });
                }
                Err(error) => {
                    tracing::warn!(%peer, %error, "a member keeps a fileset that is not ours");
                }
            }
        }
        let ids = offers.keys().copied().collect();
        self.heard
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(peer, offers);
        self.tell_keepers();
        ids
    }

    /// Says of each fileset which other members keep it, as they say.
    fn tell_keepers(&self) {
        for kept in self.all() {
            let heard = self.heard.read().unwrap_or_else(PoisonError::into_inner);
            let keepers = heard
                .iter()
                .filter(|(_, offers)| offers.contains_key(&kept.id()))
                .map(|(device, _)| *device)
                .collect();
            drop(heard);
            kept.state().kept_by(keepers);
        }
    }

    fn links(&self) -> MutexGuard<'_, HashMap<DeviceId, (u64, CancellationToken)>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A conversation begins; an older one with the same device ends.
    fn link_up(&self, peer: DeviceId, number: u64, end: CancellationToken) {
        if let Some((_, older)) = self.links().insert(peer, (number, end)) {
            older.cancel();
        }
        self.links_changed.send_modify(|count| *count += 1);
    }

    fn link_down(&self, peer: DeviceId, number: u64) {
        let mut links = self.links();
        if links
            .get(&peer)
            .is_some_and(|(newest, _)| *newest == number)
        {
            links.remove(&peer);
            self.heard
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&peer);
        }
        drop(links);
        self.tell_keepers();
        self.links_changed.send_modify(|count| *count += 1);
    }

    fn is_linked(&self, peer: &DeviceId) -> bool {
        self.links().contains_key(peer)
    }

    /// Somebody came, went, or was removed.
    fn group_changed(&self) {
        for kept in self.all() {
            if let Some(ring) = kept.ring() {
                for command in self.removals(&ring.index) {
                    // A ring that is slow hears of it at its next start at the latest; the connection is closed already.
                    let _ = ring.inputs.try_send(Input::Event(Event::Command(command)));
                }
            }
        }
        self.tell_catalogue();
    }

    /// What of removed devices is accepted in a fileset, and who is a member, perhaps again.
    fn removals(&self, index: &FilesetIndex) -> Vec<Command> {
        let Some(group) = self.members.group() else {
            return Vec::new();
        };
        let authors: Vec<AuthorId> = match index.knowledge() {
            Ok(knowledge) => knowledge.into_keys().collect(),
            Err(_) => Vec::new(),
        };
        let of = |device: &DeviceId| Command::Removed {
            device: *device,
            accepted: authors
                .iter()
                .filter(|author| author.device == *device)
                .filter_map(|author| {
                    let last = group.last_accepted(device, index.id(), author.epoch)?;
                    Some((*author, last))
                })
                .collect(),
        };
        let members = group.members().iter();
        let members = members.map(|member| Command::Readmitted(member.device));
        group.removed().map(of).chain(members).collect()
    }

    /// The last counters of a device that this one knows: what of it stays when it is removed.
    fn accepted_from(&self, device: &DeviceId) -> Vec<Accepted> {
        let mut accepted = Vec::new();
        for kept in self.all() {
            let Some(ring) = kept.ring() else {
                continue;
            };
            let knowledge = ring.index.knowledge().unwrap_or_default();
            let own = knowledge.iter().filter(|(it, _)| it.device == *device);
            accepted.extend(own.map(|(author, seen)| Accepted {
                fileset: kept.id(),
                epoch: author.epoch,
                counter: seen.seq,
            }));
        }
        accepted
    }
}
