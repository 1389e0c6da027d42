//! What a node knows of its group at the moment.

use super::exchange::CODE_REMOVED;
use iroh::endpoint::Connection;
use shoal_api::{Answer, Event, Via};
use shoal_protocol::group::{ALPN, Contact, Group, Member, Standing, WaitingDevice};
use shoal_protocol::id::{DeviceId, GroupId};
use shoal_protocol::invite::{InviteTag, OpenInvites};
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;
use tokio::sync::oneshot;

/// All of it, behind one lock.
#[derive(Default)]
pub(super) struct State {
    pub(super) group: Option<Group>,
    pub(super) contacts: BTreeMap<DeviceId, KeptContact>,
    pub(super) invites: OpenInvites,
    /// Devices that brought an invite of this device.
    pub(super) waiting: Vec<Waiting>,
    /// Devices that wait at other members.
    pub(super) elsewhere: BTreeMap<DeviceId, Vec<WaitingDevice>>,
    /// The device whose invite this one brought.
    pub(super) joining: Option<Joining>,
    /// Connections to and from members.
    pub(super) live: Vec<Live>,
    pub(super) dials: HashMap<DeviceId, Dial>,
}

/// Where a member is, as it said, and its signed bytes for others.
pub(super) struct KeptContact {
    pub(super) contact: Contact,
    pub(super) signed: Vec<u8>,
}

/// A device that brought an invite.
pub(super) struct Waiting {
    pub(super) device: DeviceId,
    pub(super) name: String,
    pub(super) code: String,
    pub(super) tag: InviteTag,
    pub(super) at_guest: AtGuest,
    pub(super) at_host: AtHost,
}

/// What the person at the device that joins said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtGuest {
    Comparing,
    Agreed,
}

/// What the person at this device said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtHost {
    Comparing,
    Confirmed,
    Refused,
}

/// The device whose invite this one brought; the answer goes to the task that talks to it.
pub(super) struct Joining {
    pub(super) device: DeviceId,
    pub(super) name: String,
    pub(super) code: String,
    pub(super) answer: Option<oneshot::Sender<Answer>>,
}

/// A connection to or from a member.
pub(super) struct Live {
    pub(super) device: DeviceId,
    pub(super) connection: Connection,
}

/// How a member was sought.
pub(super) struct Dial {
    pub(super) failures: u32,
    pub(super) next: Instant,
    pub(super) stage: DialStage,
}

/// Whether a member is being sought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DialStage {
    Idle,
    Busy,
}

impl State {
    /// What a device is to the group; a stranger where there is none.
    pub(super) fn standing(&self, device: &DeviceId) -> Standing {
        let group = self.group.as_ref();
        group.map_or(Standing::Stranger, |group| group.standing(device))
    }

    /// The group that has nobody but this device in it.
    pub(super) fn alone_in(&self, own: &DeviceId) -> Option<GroupId> {
        let group = self.group.as_ref()?;
        let alone = group.members().iter().all(|member| member.device == *own);
        alone.then(|| group.id())
    }

    /// Whether news flow to and from a member.
    pub(super) fn is_connected(&self, device: &DeviceId) -> bool {
        self.connections_for_news(device).next().is_some()
    }

    /// How news flow to and from a member.
    pub(super) fn via(&self, device: &DeviceId) -> Option<Via> {
        self.connections_for_news(device).find_map(|connection| {
            let paths = connection.paths();
            let selected = paths.iter().find(|path| path.is_selected())?;
            Some(match selected.is_relay() {
                true => Via::Relay,
                false => Via::Direct,
            })
        })
    }

    fn connections_for_news(&self, device: &DeviceId) -> impl Iterator<Item = &Connection> {
        let of_device = self.live.iter().filter(move |live| live.device == *device);
        let connections = of_device.map(|live| &live.connection);
        connections.filter(|it| it.alpn() == ALPN && it.close_reason().is_none())
    }

    /// Keeps those contacts of members that are newer, and returns them.
    pub(super) fn keep_contacts(&mut self, signed: &[Vec<u8>]) -> Vec<(DeviceId, Vec<u8>)> {
        let mut fresh = Vec::new();
        for bytes in signed {
            let contact = match Contact::verify(bytes) {
                Ok(contact) => contact,
                Err(error) => {
                    tracing::warn!(%error, "a contact does not hold");
                    continue;
                }
            };
            let device = contact.device;
            let newer = self
                .contacts
                .get(&device)
                .is_none_or(|kept| kept.contact.said_ms < contact.said_ms);
            if newer && self.standing(&device) == Standing::Member {
                let signed = bytes.clone();
                fresh.push((device, signed.clone()));
                self.contacts
                    .insert(device, KeptContact { contact, signed });
                // It may be where it can be reached now.
                self.dials.remove(&device);
            }
        }
        fresh
    }

    /// Ends connections of those who are no members. News go on until the other side has heard why.
    pub(super) fn close_strangers(&mut self) {
        let group = self.group.as_ref();
        self.live.retain(|live| {
            let standing = group.map_or(Standing::Stranger, |it| it.standing(&live.device));
            let hears_why = standing == Standing::Removed && live.connection.alpn() == ALPN;
            if standing == Standing::Member || hears_why {
                return live.connection.close_reason().is_none();
            }
            live.connection.close(CODE_REMOVED.into(), b"removed");
            false
        });
    }

    /// Who came and who went since, as events; a device that waits here is told of when it has heard itself.
    pub(super) fn differences(&self, before: &[Member]) -> Vec<Event> {
        let now = self.group.as_ref().map_or(&[][..], Group::members);
        let group = self.group.as_ref().map(|group| group.id().to_hex());
        let has = |list: &[Member], device| list.iter().any(|it| it.device == device);
        let came = now
            .iter()
            .filter(|it| !has(before, it.device))
            .filter(|it| self.waiting.iter().all(|one| one.device != it.device))
            .map(|it| Event::Paired {
                device: it.device.to_hex(),
                name: it.name.clone(),
                group: group.clone().unwrap_or_default(),
                invite: None,
            });
        let went = before
            .iter()
            .filter(|it| !has(now, it.device))
            .map(|it| Event::DeviceRemoved {
                device: it.device.to_hex(),
                name: it.name.clone(),
            });
        came.chain(went).collect()
    }
}
