//! Where this device is, kept current for the other members.

use super::GroupService;
use crate::service::clock::now_ms;
use crate::service::errors::of_store;
use shoal_api::ApiError;
use shoal_protocol::group::{Contact, Standing};
use shoal_protocol::id::DeviceId;
use shoal_protocol::limits::CONTACT_MAX_ADDRESSES;
use shoal_store::Durability;
use std::net::SocketAddr;

impl GroupService {
    /// Where this device's iroh endpoint answers, best first.
    pub(super) fn own_addresses(&self) -> Vec<SocketAddr> {
        let network = self.context.network.borrow();
        let found = network.addresses.iroh.iter();
        // A scope means something on this machine alone, and does not travel.
        found
            .filter(|address| address.port() != 0)
            .map(|address| SocketAddr::new(address.ip(), address.port()))
            .take(CONTACT_MAX_ADDRESSES)
            .collect()
    }

    /// TCP ports at which this device's relay answers, best first.
    pub(crate) fn own_relays(&self) -> Vec<SocketAddr> {
        let found = self.context.network.borrow().addresses.peers();
        let found = found.into_iter().filter(|address| address.port() != 0);
        found
            .map(|address| SocketAddr::new(address.ip(), address.port()))
            .take(CONTACT_MAX_ADDRESSES)
            .collect()
    }

    /// The signed contact of this device, newer than all that it said before.
    pub(super) fn sign_contact(&self, before_ms: u64) -> Vec<u8> {
        Contact {
            device: self.own_device(),
            said_ms: now_ms().max(before_ms.saturating_add(1)),
            addresses: self.own_addresses(),
            relays: self.own_relays(),
        }
        .sign(&self.context.identity.key)
    }

    /// Signs a new contact where the addresses changed.
    pub(super) fn keep_own_contact(&self) {
        let own = self.own_device();
        let mut state = self.state();
        if state.standing(&own) != Standing::Member {
            return;
        }
        let kept = state.contacts.get(&own).map(|kept| &kept.contact);
        let same = |kept: &Contact| {
            kept.addresses == self.own_addresses() && kept.relays == self.own_relays()
        };
        if kept.is_some_and(same) {
            return;
        }
        let signed = self.sign_contact(kept.map_or(0, |kept| kept.said_ms));
        let fresh = state.keep_contacts(&[signed]);
        if let Err(error) = self.store_contacts(&fresh) {
            tracing::warn!(%error, "where this device is could not be kept");
        }
        drop(state);
        if !fresh.is_empty() {
            self.changed();
        }
    }

    pub(super) fn store_contacts(&self, fresh: &[(DeviceId, Vec<u8>)]) -> Result<(), ApiError> {
        if fresh.is_empty() {
            return Ok(());
        }
        let store = &self.context.records.store;
        // Lost by a power cut, they are heard again.
        store
            .put_group(&[], fresh, Durability::Lazy)
            .map_err(of_store)
    }
}
