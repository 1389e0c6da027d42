//! Members as the rest of the node sees them: who they are, connections to them, and from them.

use super::pace::Paces;
use super::state::{Dial, DialStage, Live};
use super::{GroupService, exchange, lost_way};
use futures::future::BoxFuture;
use iroh::endpoint::Connection;
use iroh::{EndpointAddr, PublicKey, RelayUrl};
use shoal_api::{ApiError, Via};
use shoal_protocol::group::{ALPN, Accepted, Group, Standing};
use shoal_protocol::id::{DeviceId, FilesetId, GroupId};
use shoal_protocol::pairing;
use shoal_store::FilesetRow;
use shoal_transfer::serve::iroh::OtherProtocols;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::timeout;

/// Hexadecimal digits of a key that stand for a device.
const KEY_DIGITS: usize = 8;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Waits before a member that was not there is sought again; the last one goes on.
const RETRY_AFTER: [Duration; 6] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

/// Why there is no connection to a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The device belongs to another group, or to none.
    #[error("this device is no member of the group")]
    NotAMember,
    /// Nobody knows where it is.
    #[error("nobody knows where this device is: it has to be on, and to reach a member once")]
    NoAddress,
    /// It does not answer.
    #[error("this device does not answer: {0}")]
    Unreachable(String),
}

/// The group of a node.
#[derive(Clone)]
pub struct Members(pub(crate) Arc<GroupService>);

/// A member and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Its key.
    pub device: DeviceId,
    /// Its name.
    pub name: String,
    /// Where it can be reached, as it says.
    pub addresses: Vec<SocketAddr>,
    /// Whether there is a connection to it now.
    pub connected: bool,
    /// How, where the connection is past its beginning.
    pub via: Option<Via>,
}

/// What a device takes along from the group that it was alone in.
pub(crate) trait Luggage: Send + Sync {
    /// Names of the filesets of a group.
    fn names(&self, of: &GroupId) -> Vec<String>;
    /// Stops the filesets of one group, has `settle` put those of another in their places, and starts those. If it fails,
    /// all is as it was.
    fn move_all(
        &self,
        from: GroupId,
        to: GroupId,
        settle: Settle,
    ) -> BoxFuture<'static, Result<(), ApiError>>;
}

/// Writes rows of filesets down in the places of others.
pub(crate) type Settle = Box<dyn FnOnce(&[(FilesetId, FilesetRow)]) -> Result<(), ApiError> + Send>;

/// What of a device is accepted when it is removed.
pub(crate) type Counters = Box<dyn Fn(&DeviceId) -> Vec<Accepted> + Send + Sync>;

/// A protocol that members speak.
pub trait MemberDoor: Send + Sync + 'static {
    /// Takes a connection from a member until it ends. It is closed at once when the device is removed.
    fn open(&self, device: DeviceId, connection: Connection) -> BoxFuture<'static, ()>;
}

impl Members {
    /// This device.
    pub fn own(&self) -> DeviceId {
        self.0.own_device()
    }

    /// The group's log, verified; none where this device belongs to no group.
    pub fn group(&self) -> Option<Group> {
        self.0.state().group.clone()
    }

    /// What a device is called; the first digits of its key where it is no member.
    pub fn name_of(&self, device: &DeviceId) -> String {
        let state = self.0.state();
        let member = state.group.as_ref().and_then(|group| group.member(device));
        member.map_or_else(
            || device.to_hex().chars().take(KEY_DIGITS).collect(),
            |member| member.name.clone(),
        )
    }

    /// All other members.
    pub fn list(&self) -> Vec<MemberView> {
        let state = self.0.state();
        let members = state.group.iter().flat_map(Group::members);
        let others = members.filter(|member| member.device != self.0.own_device());
        others
            .map(|member| MemberView {
                device: member.device,
                name: member.name.clone(),
                addresses: state
                    .contacts
                    .get(&member.device)
                    .map_or_else(Vec::new, |kept| kept.contact.addresses.clone()),
                connected: state.is_connected(&member.device),
                via: state.via(&member.device),
            })
            .collect()
    }

    /// Counts changes of members, their addresses and connections.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// A new connection to a member for this ALPN; it is closed at once when the device is removed.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(
        &self,
        device: DeviceId,
        alpn: &'static [u8],
    ) -> Result<Connection, ConnectError> {
        self.0.connect(device, alpn).await
    }

    /// The group; a new one with this device alone where there is none.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn group_or_found(&self) -> Result<Group, ApiError> {
        self.0.group_or_found()
    }

    /// Asked what of a device is accepted, right before it is removed.
    pub(crate) fn count_before_removal(&self, counters: Counters) {
        // The node has one driver of filesets.
        let _ = self.0.counters.set(counters);
    }

    /// How fast content goes to and from a device.
    pub(crate) fn pace(&self, device: &DeviceId) -> Arc<Paces> {
        self.0.pace(device)
    }

    /// What moves when this device, alone in its group, enters another.
    pub(crate) fn take_along(&self, luggage: Box<dyn Luggage>) {
        // The node has one driver of filesets.
        let _ = self.0.luggage.set(luggage);
    }

    /// From when the node begins to serve, connections of members for this ALPN go to `door`; those of others are
    /// refused. Called before [`crate::Node`] serves.
    pub fn serve(&self, alpn: &'static [u8], door: Arc<dyn MemberDoor>) {
        let mut doors = self.0.doors.write().unwrap_or_else(PoisonError::into_inner);
        doors.insert(alpn.to_vec(), door);
    }
}

impl GroupService {
    /// Keeps connections to all members until the node ends.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut changes = self.changes.subscribe();
        let mut network = self.context.network.subscribe();
        loop {
            changes.mark_unchanged();
            self.keep_own_contact();
            let wait = self.dial_others();
            tokio::select! {
                _ = changes.changed() => {}
                _ = network.changed() => {}
                () = tokio::time::sleep(wait) => {}
                () = self.context.stopping.cancelled() => return,
            }
        }
    }

    /// Seeks members that are not connected, and returns after how long it is time again.
    fn dial_others(self: &Arc<Self>) -> Duration {
        let now = Instant::now();
        let mut wait = Duration::from_secs(60);
        let mut state = self.state();
        let members = state.group.iter().flat_map(Group::members);
        let others: Vec<DeviceId> = members
            .map(|member| member.device)
            .filter(|device| *device != self.own_device() && !state.is_connected(device))
            .collect();
        for device in others {
            let dial = state.dials.entry(device).or_insert(Dial {
                failures: 0,
                next: now,
                stage: DialStage::Idle,
            });
            match dial.stage {
                DialStage::Busy => {}
                DialStage::Idle if dial.next > now => wait = wait.min(dial.next - now),
                DialStage::Idle => {
                    dial.stage = DialStage::Busy;
                    tokio::spawn(self.clone().dial(device));
                }
            }
        }
        wait
    }

    async fn dial(self: Arc<Self>, device: DeviceId) {
        let connected = self.connect(device, ALPN).await;
        let failed = connected.is_err();
        let mut met = None;
        match connected {
            Ok(connection) => met = Some(connection),
            Err(error) => tracing::debug!(%device, %error, "a member is not there"),
        }
        let begun = Instant::now();
        if let Some(connection) = met {
            self.clone().meet(connection, exchange::Side::Dialed).await;
        }
        // One that hangs up at once does not know us as a member yet.
        let failed = failed || begun.elapsed() < CONNECT_TIMEOUT;
        let mut state = self.state();
        let before = state.dials.get(&device).map_or(0, |dial| dial.failures);
        let failures = if failed { before.saturating_add(1) } else { 0 };
        let last = RETRY_AFTER.len() - 1;
        let after = RETRY_AFTER[(failures.saturating_sub(1) as usize).min(last)];
        state.dials.insert(
            device,
            Dial {
                failures,
                next: Instant::now() + after,
                stage: DialStage::Idle,
            },
        );
        drop(state);
        self.changed();
    }

    async fn connect(
        &self,
        device: DeviceId,
        alpn: &'static [u8],
    ) -> Result<Connection, ConnectError> {
        let (addresses, relays) = {
            let state = self.state();
            if state.standing(&device) != Standing::Member {
                return Err(ConnectError::NotAMember);
            }
            let kept = state.contacts.get(&device).map(|kept| &kept.contact);
            kept.map(|contact| (contact.addresses.clone(), contact.relays.clone()))
                .unwrap_or_default()
        };
        if addresses.is_empty() && relays.is_empty() {
            return Err(ConnectError::NoAddress);
        }
        let relays = self.relays_to(&device, &relays, None).await;
        let connection = self.reach(&device, &addresses, relays, alpn).await?;
        self.register(device, &connection)?;
        Ok(connection)
    }

    /// Connects to whatever device.
    pub(super) async fn reach(
        &self,
        device: &DeviceId,
        addresses: &[SocketAddr],
        relays: Vec<RelayUrl>,
        alpn: &[u8],
    ) -> Result<Connection, ConnectError> {
        let lost = |error: &dyn std::fmt::Display| ConnectError::Unreachable(error.to_string());
        let id = PublicKey::from_bytes(device.as_bytes()).map_err(|error| lost(&error))?;
        let target = addresses
            .iter()
            .fold(EndpointAddr::new(id), |to, at| to.with_ip_addr(*at));
        let target = relays
            .into_iter()
            .fold(target, EndpointAddr::with_relay_url);
        let endpoint = self.endpoint().await.map_err(|error| lost(&error))?;
        timeout(CONNECT_TIMEOUT, endpoint.connect(target, alpn))
            .await
            .map_err(|_| lost(&format!("nothing in {} s", CONNECT_TIMEOUT.as_secs())))?
            .map_err(|error| lost(&error))
    }

    /// From now on the connection ends with the membership.
    pub(super) fn register(
        &self,
        device: DeviceId,
        connection: &Connection,
    ) -> Result<(), ConnectError> {
        let mut state = self.state();
        let hears_why = connection.alpn() == ALPN;
        match state.standing(&device) {
            Standing::Member => {}
            Standing::Removed if hears_why => {}
            _ => {
                connection.close(exchange::CODE_STRANGER.into(), b"not a member");
                return Err(ConnectError::NotAMember);
            }
        }
        state
            .live
            .retain(|live| live.connection.close_reason().is_none());
        lost_way::watch(connection);
        let connection = connection.clone();
        state.live.push(Live { device, connection });
        Ok(())
    }
}

/// Pairing, members' news, and what members speak besides.
pub(crate) struct GroupDoors(pub(crate) Arc<GroupService>);

impl OtherProtocols for GroupDoors {
    fn alpns(&self) -> Vec<Vec<u8>> {
        let doors = self.0.doors.read().unwrap_or_else(PoisonError::into_inner);
        let own = [pairing::ALPN.to_vec(), ALPN.to_vec()];
        doors.keys().cloned().chain(own).collect()
    }

    fn open(&self, connection: Connection) -> BoxFuture<'static, ()> {
        let group = self.0.clone();
        if connection.alpn() == pairing::ALPN {
            return Box::pin(group.host(connection));
        }
        let device = DeviceId(*connection.remote_id().as_bytes());
        if let Err(error) = group.register(device, &connection) {
            tracing::debug!(%device, %error, "a connection is refused");
            return Box::pin(futures::future::ready(()));
        }
        if connection.alpn() == ALPN {
            return Box::pin(group.meet(connection, exchange::Side::Accepted));
        }
        let doors = group.doors.read().unwrap_or_else(PoisonError::into_inner);
        match doors.get(connection.alpn()) {
            Some(door) => door.open(device, connection),
            None => Box::pin(futures::future::ready(())),
        }
    }
}
