//! The group that this device belongs to: its log, where its members are, and how devices come in and go.
//!
//! [`Members`] is what the rest of the node sees: who belongs to the group, connections to them, and a hook for
//! protocols that only members may speak.

mod api;
mod contacts;
mod exchange;
mod guest;
mod host;
mod lookup;
mod lost_way;
mod members;
mod pace;
mod relays;
mod state;
mod wire;

pub(crate) use api::GroupApi;
pub(crate) use lookup::public_router;
pub use members::{ConnectError, MemberDoor, MemberView, Members};
pub(crate) use members::{GroupDoors, Luggage, Settle};
pub(crate) use pace::Paces;
pub(crate) use relays::RelayRight;

use crate::error::NodeError;
use crate::identity::fill_random;
use crate::service::Context;
use crate::service::errors::of_store;
use iroh::Endpoint;
use shoal_api::{ApiError, ErrorCode, Event};
use shoal_protocol::group::{Accepted, Group, GroupError, News, Standing, check_device_name};
use shoal_protocol::id::{DeviceId, RecordHash};
use shoal_protocol::limits::DEVICE_NAME_MAX_BYTES;
use shoal_store::Durability;
use state::State;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Time for the endpoint to begin.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(10);
/// Devices that pair at a time.
const PAIRINGS_MAX: usize = 16;

/// The group of a node.
pub(crate) struct GroupService {
    context: Arc<Context>,
    /// What this device is called before it has a group.
    first_name: String,
    state: Mutex<State>,
    /// Counts changes of members, contacts, connections and of who waits.
    changes: watch::Sender<u64>,
    endpoint: watch::Sender<Option<Endpoint>>,
    doors: RwLock<HashMap<Vec<u8>, Arc<dyn MemberDoor>>>,
    pairings: Semaphore,
    counters: OnceLock<members::Counters>,
    /// Asks for relays.
    http: OnceLock<Option<reqwest::Client>>,
    luggage: OnceLock<Box<dyn Luggage>>,
    paces: Mutex<HashMap<DeviceId, Arc<pace::Paces>>>,
}

impl GroupService {
    /// The group that the store knows.
    pub(crate) fn open(context: Arc<Context>) -> Result<Arc<Self>, NodeError> {
        let rows = context.records.store.group()?;
        let mut state = State::default();
        if !rows.records.is_empty() {
            match Group::read(&rows.records) {
                Ok(group) => state.group = Some(group),
                // Kept as it is: a newer version may be able to read it.
                Err(error) => {
                    tracing::error!(%error, "the group in this home cannot be read; pair this device again");
                }
            }
        }
        state.keep_contacts(&rows.contacts);
        Ok(Arc::new(Self {
            context,
            first_name: host_name(),
            state: Mutex::new(state),
            changes: watch::Sender::new(0),
            endpoint: watch::Sender::new(None),
            doors: RwLock::default(),
            pairings: Semaphore::new(PAIRINGS_MAX),
            counters: OnceLock::new(),
            http: OnceLock::new(),
            luggage: OnceLock::new(),
            paces: Mutex::default(),
        }))
    }

    /// The endpoint that answers from now on.
    pub(crate) fn use_endpoint(&self, endpoint: Endpoint) {
        self.endpoint.send_replace(Some(endpoint));
    }

    /// The endpoint, once it answers.
    async fn endpoint(&self) -> Result<Endpoint, ApiError> {
        if !self.context.switches.iroh {
            return Err(ApiError::new(
                ErrorCode::Usage,
                "devices pair over iroh, which is switched off in this home",
            )
            .hint("switch it on: shoal config set iroh true, then shoal down, shoal up --detach"));
        }
        let mut endpoint = self.endpoint.subscribe();
        let found = timeout(ENDPOINT_TIMEOUT, endpoint.wait_for(Option::is_some)).await;
        let found = found.ok().and_then(Result::ok).and_then(|it| it.clone());
        found.ok_or_else(|| {
            ApiError::internal("the iroh endpoint of this node does not run")
                .hint("see `shoal logs` for the reason")
        })
    }

    pub(crate) fn own_device(&self) -> DeviceId {
        self.context.identity.device()
    }

    /// A panic while the lock was held left no half-changed state: the group changes by whole records.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Ends with the node.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.context.stopping
    }

    /// Tells whoever waits for a change.
    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// What this device is called.
    fn own_name(&self, state: &State) -> String {
        let named = state.group.as_ref().and_then(|group| {
            let member = group.member(&self.own_device())?;
            Some(member.name.clone())
        });
        named.unwrap_or_else(|| self.first_name.clone())
    }

    /// Makes a device a member, and this one the first where there is no group yet. One that is a member already
    /// stays as it is.
    fn admit(&self, device: DeviceId, name: &str) -> Result<(), ApiError> {
        let mut state = self.state();
        let key = &self.context.identity.key;
        let mut group = self.present_or_new(&state)?;
        let name = unused_name(&group, name);
        match group.admit(key, device, &name) {
            Ok(_) | Err(GroupError::AlreadyMember) => {}
            Err(error) => return Err(of_group(error)),
        }
        self.adopt(&mut state, group)?;
        drop(state);
        self.changed();
        Ok(())
    }

    fn present_or_new(&self, state: &State) -> Result<Group, ApiError> {
        if let Some(group) = &state.group {
            return Ok(group.clone());
        }
        let mut nonce = [0; 16];
        fill_random(&mut nonce)?;
        let key = &self.context.identity.key;
        Group::found(key, &self.own_name(state), nonce).map_err(of_group)
    }

    fn group_or_found(&self) -> Result<Group, ApiError> {
        let mut state = self.state();
        let group = self.present_or_new(&state)?;
        if state.group.is_none() {
            self.adopt(&mut state, group.clone())?;
            drop(state);
            self.changed();
        }
        Ok(group)
    }

    /// Removes a member; what it did so far, as this device knows it, stays.
    fn put_out(&self, device: DeviceId) -> Result<(), ApiError> {
        let accepted = match self.counters.get() {
            Some(counters) => counters(&device),
            None => Vec::<Accepted>::new(),
        };
        let mut state = self.state();
        let mut group = state.group.clone().ok_or_else(no_group)?;
        group
            .remove(&self.context.identity.key, device, accepted)
            .map_err(of_group)?;
        self.adopt(&mut state, group)?;
        state.close_strangers();
        drop(state);
        self.changed();
        Ok(())
    }

    /// Names a member for all.
    fn rename(&self, device: DeviceId, name: &str) -> Result<(), ApiError> {
        let mut state = self.state();
        let mut group = state.group.clone().ok_or_else(no_group)?;
        group
            .rename(&self.context.identity.key, device, name)
            .map_err(of_group)?;
        self.adopt(&mut state, group)?;
        drop(state);
        self.changed();
        Ok(())
    }

    /// Takes a log that holds all of the present one, once it is on the disk.
    fn adopt(&self, state: &mut State, group: Group) -> Result<(), ApiError> {
        let known: Vec<RecordHash> = state
            .group
            .iter()
            .flat_map(Group::records)
            .map(|(hash, _)| hash)
            .collect();
        let new: Vec<_> = group
            .records()
            .filter(|(hash, _)| !known.contains(hash))
            .map(|(hash, bytes)| (hash, bytes.to_vec()))
            .collect();
        let store = &self.context.records.store;
        let put = || store.put_group(&new, &[], Durability::Flushed);
        crate::service::off_the_runtime(put).map_err(of_store)?;
        state.group = Some(group);
        Ok(())
    }

    /// What a member told: records and contacts that hold are kept, and passed on by whoever waits for changes.
    fn take_news(&self, from: DeviceId, news: &News) -> Result<(), ApiError> {
        let mut state = self.state();
        let Some(mut group) = state.group.clone() else {
            return Ok(());
        };
        if group.standing(&from) != Standing::Member {
            return Ok(());
        }
        let before = group.members().to_vec();
        let merged = group.merge(&news.records);
        for error in &merged.refused {
            tracing::warn!(%error, member = %from, "a member sent a record that does not hold");
        }
        if !merged.added.is_empty() {
            self.adopt(&mut state, group)?;
        }
        let fresh = state.keep_contacts(&news.contacts);
        self.store_contacts(&fresh)?;
        if let Some(waiting) = &news.waiting {
            self.tell_waiting(&state, from, waiting);
            state.elsewhere.insert(from, waiting.clone());
        }
        let events = state.differences(&before);
        let out = state.standing(&self.own_device()) != Standing::Member;
        state.close_strangers();
        drop(state);
        for event in events {
            self.context.records.tell(event);
        }
        if out {
            self.forget()?;
        }
        if !merged.added.is_empty() || !fresh.is_empty() || news.waiting.is_some() {
            self.changed();
        }
        Ok(())
    }

    fn tell_waiting(
        &self,
        state: &State,
        from: DeviceId,
        waiting: &[shoal_protocol::group::WaitingDevice],
    ) {
        let before = state.elsewhere.get(&from);
        for one in waiting {
            if before.is_some_and(|before| before.contains(one)) {
                continue;
            }
            self.context.records.tell(Event::PairWaiting {
                device: one.device.to_hex(),
                name: one.name.clone(),
                code: one.code.clone(),
                invite: None,
            });
        }
    }

    /// This device belongs to no group any more.
    fn forget(&self) -> Result<(), ApiError> {
        let store = &self.context.records.store;
        crate::service::off_the_runtime(|| store.forget_group()).map_err(of_store)?;
        let mut state = self.state();
        state.group = None;
        state.contacts.clear();
        state.elsewhere.clear();
        state.close_strangers();
        drop(state);
        self.changed();
        Ok(())
    }
}

/// A name that no other member has: `laptop`, `laptop-2`.
fn unused_name(group: &Group, name: &str) -> String {
    let taken = |name: &str| group.members().iter().any(|it| it.name == name);
    let mut found = name.to_owned();
    let mut number = 2;
    while taken(&found) {
        let mut base = name.to_owned();
        while base.len() > DEVICE_NAME_MAX_BYTES - 4 {
            base.pop();
        }
        found = format!("{}-{number}", base.trim_end());
        number += 1;
    }
    found
}

/// What the system calls this machine, or `device`.
fn host_name() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    let name = name.split('.').next().unwrap_or_default();
    match check_device_name(name) {
        Ok(()) => name.to_owned(),
        Err(_) => "device".to_owned(),
    }
}

fn of_group(error: GroupError) -> ApiError {
    let code = match error {
        GroupError::Name => ErrorCode::Usage,
        GroupError::NoSuchMember => ErrorCode::NotFound,
        GroupError::NotAMember | GroupError::Full => ErrorCode::Refused,
        _ => ErrorCode::Internal,
    };
    ApiError::new(code, error.to_string()).hint("`shoal devices` lists the devices of this group")
}

fn no_group() -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        "this device belongs to no group of devices",
    )
    .hint("pair it with another one: shoal pair")
}
