//! Who may use the relay.

use super::{CONNECTIONS_PER_DEVICE, GUESTS_MAX};
use crate::group::{GroupService, RelayRight};
use iroh::EndpointId;
use iroh_relay::server::clients::Clients;
use iroh_relay::server::{Access, AccessControl, ClientRequest, ConnectionId};
use shoal_protocol::id::DeviceId;
use shoal_protocol::invite::InviteTag;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The name in a relay's address under which a device that pairs tells its invite's tag.
pub(crate) const INVITE_PARAMETER: &str = "pair";

/// Lets members in, and guests that were invited.
pub(super) struct Admission {
    group: Arc<GroupService>,
    clients: Clients,
    inside: Mutex<HashMap<EndpointId, Inside>>,
}

/// A device that uses the relay.
struct Inside {
    invite: Option<InviteTag>,
    right: RelayRight,
    /// Oldest first.
    connections: Vec<ConnectionId>,
}

impl Admission {
    pub(super) fn new(group: Arc<GroupService>, clients: Clients) -> Self {
        Self {
            group,
            clients,
            inside: Mutex::default(),
        }
    }

    /// Ends connections of devices that were removed, and of guests whose invite is over.
    pub(super) fn put_out_strangers(&self) {
        let mut strangers = Vec::new();
        for (id, inside) in self.inside().iter_mut() {
            inside.right = self.group.relay_right(&device(id), inside.invite.as_ref());
            if inside.right == RelayRight::None {
                strangers.push(*id);
            }
        }
        for id in strangers {
            self.clients.disconnect(id, None);
        }
    }

    fn inside(&self) -> MutexGuard<'_, HashMap<EndpointId, Inside>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that has to make place, where there is one.
    fn admit(
        &self,
        id: EndpointId,
        connection: ConnectionId,
        invite: Option<InviteTag>,
    ) -> Result<Option<ConnectionId>, &'static str> {
        let right = self.group.relay_right(&device(&id), invite.as_ref());
        let mut inside = self.inside();
        let guests = inside
            .iter()
            .filter(|(other, one)| **other != id && one.right == RelayRight::Guest);
        match right {
            RelayRight::None => return Err("this relay serves one group of devices"),
            RelayRight::Guest if guests.count() >= GUESTS_MAX => {
                return Err("too many devices pair here at the moment");
            }
            RelayRight::Guest | RelayRight::Member => {}
        }
        let one = inside.entry(id).or_insert_with(|| Inside {
            invite: None,
            right,
            connections: Vec::new(),
        });
        one.right = right;
        one.invite = invite;
        one.connections.push(connection);
        let over = one.connections.len() > CONNECTIONS_PER_DEVICE;
        Ok(over.then(|| one.connections.remove(0)))
    }
}

impl AccessControl for Admission {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        let invite = request
            .query_pairs()
            .find(|(name, _)| name == INVITE_PARAMETER)
            .and_then(|(_, tag)| InviteTag::from_hex(&tag));
        let id = request.endpoint_id();
        match self.admit(id, request.connection_id(), invite) {
            Ok(oldest) => {
                if oldest.is_some() {
                    self.clients.disconnect(id, oldest);
                }
                Access::Allow
            }
            Err(reason) => Access::Deny {
                reason: Some(reason.to_owned()),
            },
        }
    }

    fn on_disconnect(&self, id: EndpointId, connection: ConnectionId) {
        let mut inside = self.inside();
        if let Some(one) = inside.get_mut(&id) {
            one.connections.retain(|other| *other != connection);
            if one.connections.is_empty() {
                inside.remove(&id);
            }
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admission")
    }
}

fn device(id: &EndpointId) -> DeviceId {
    DeviceId(*id.as_bytes())
}
