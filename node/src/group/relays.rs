//! Relays by which a device is sought: its own, on its TCP port, and where that is not found, those of members to which
//! there is a connection.
//!
//! A relay is asked first whether it is the device's, because a number such as 192.168.1.2 is another machine in every
//! network, and a device may have many of them.

use super::GroupService;
use crate::relay::INVITE_PARAMETER;
use futures::future::{Either, join_all, ready, select};
use futures::stream::{FuturesUnordered, StreamExt};
use iroh::RelayUrl;
use iroh_relay::http::RELAY_PROBE_PATH;
use shoal_protocol::group::Standing;
use shoal_protocol::id::DeviceId;
use shoal_protocol::invite::InviteTag;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Time for a relay to answer. Nobody is waited for longer before UDP is tried.
const PATIENCE: Duration = Duration::from_secs(2);
/// Addresses of one device that are asked.
const ASKED_MAX: usize = 8;
/// Other members whose relays are asked, and addresses of each.
const OTHERS_MAX: usize = 4;
const ASKED_OF_OTHERS_MAX: usize = 4;

/// What a device may do at the relay of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelayRight {
    /// It is this one, or a member.
    Member,
    /// It brought an invite that is open.
    Guest,
    /// Nothing.
    None,
}

impl GroupService {
    /// What a device may do at the relay of this one.
    pub(crate) fn relay_right(&self, device: &DeviceId, invite: Option<&InviteTag>) -> RelayRight {
        let now_ms = self.now_ms();
        let state = self.state();
        if *device == self.own_device() || state.standing(device) == Standing::Member {
            return RelayRight::Member;
        }
        let pairs = state.waiting.iter().any(|one| one.device == *device);
        let invited = invite.is_some_and(|tag| state.invites.find_for(now_ms, tag, device).is_ok());
        match pairs || invited {
            true => RelayRight::Guest,
            false => RelayRight::None,
        }
    }

    /// Relays through which a device may be reached; none where nobody answers in time.
    pub(super) async fn relays_to(
        &self,
        device: &DeviceId,
        listed: &[SocketAddr],
        invite: Option<&InviteTag>,
    ) -> Vec<RelayUrl> {
        let until = Instant::now() + PATIENCE;
        let others: Vec<_> = self.connected_relays(device);
        let others = others.iter().map(|(other, listed)| {
            let asking = self.first_relay(other, listed, ASKED_OF_OTHERS_MAX);
            async move { timeout_at(until, asking).await.ok().flatten() }
        });
        let own = timeout_at(until, self.first_relay(device, listed, ASKED_MAX));
        tokio::pin!(own);
        let (found, others) = match select(own, join_all(others)).await {
            Either::Left((found, others)) => (found, Either::Left(others)),
            Either::Right((found, own)) => (own.await, Either::Right(ready(found))),
        };
        if let Ok(Some(at)) = found {
            return relay_url(at, invite).into_iter().collect();
        }
        let others = others.await.into_iter().flatten();
        others.filter_map(|at| relay_url(at, None)).collect()
    }

    /// Members that news flow from, and where their relays are.
    fn connected_relays(&self, but: &DeviceId) -> Vec<(DeviceId, Vec<SocketAddr>)> {
        let state = self.state();
        let others = state.contacts.iter().filter(|(device, kept)| {
            *device != but && !kept.contact.relays.is_empty() && state.is_connected(device)
        });
        others
            .map(|(device, kept)| (*device, kept.contact.relays.clone()))
            .take(OTHERS_MAX)
            .collect()
    }

    /// The address that answers first as the relay of a device; none if none does.
    async fn first_relay(
        &self,
        device: &DeviceId,
        listed: &[SocketAddr],
        asked_max: usize,
    ) -> Option<SocketAddr> {
        let client = self.http()?;
        let asked = listed.iter().take(asked_max).map(|at| async move {
            let url = format!("http://{at}{RELAY_PROBE_PATH}?device={}", device.to_hex());
            let answer = client.get(url).send().await.ok()?;
            answer.status().is_success().then_some(*at)
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        while let Some(answered) = asked.next().await {
            if answered.is_some() {
                return answered;
            }
        }
        None
    }

    fn http(&self) -> Option<&reqwest::Client> {
        let client = self.http.get_or_init(|| {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .pool_max_idle_per_host(0)
                .build()
                .inspect_err(|error| tracing::warn!(%error, "relays cannot be asked for"))
                .ok()
        });
        client.as_ref()
    }
}

fn relay_url(at: SocketAddr, invite: Option<&InviteTag>) -> Option<RelayUrl> {
    let url = match invite {
        None => format!("http://{at}/"),
        Some(tag) => format!("http://{at}/?{INVITE_PARAMETER}={}", tag.to_hex()),
    };
    url.parse().ok()
}
