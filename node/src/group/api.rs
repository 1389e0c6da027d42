//! The group as others ask of it: by name.

use super::members::Members;
use super::pace::RATE_MIN;
use super::state::AtHost;
use super::{GroupService, no_group, of_group};
use crate::identity::fill_random;
use crate::service::clock::now_s;
use shoal_api::{
    Answer, AnswerRequest, ApiError, DeviceApi, DeviceState, DeviceView, ErrorCode, GroupStatus,
    InviteRequest, InviteView, JoinRequest, JoinView, LimitRequest, RemovedView, RenameRequest,
};
use shoal_protocol::display::escape;
use shoal_protocol::group::{Group, check_device_name};
use shoal_protocol::id::DeviceId;
use shoal_protocol::invite::{Invite, InviteSecret, InviteTag, Whereabouts};
use std::sync::Arc;
use std::time::Duration;

/// Seconds for which an invite is good, by default and at most.
const INVITE_LASTS_S: u64 = 600;
const INVITE_LASTS_MAX_S: u64 = 86_400;
/// Hexadecimal digits of a key that name a device.
const PREFIX_MIN: usize = 4;
/// Time for the others to hear that this device leaves.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(3);

/// [`DeviceApi`] over a group that others hold too.
pub(crate) struct GroupApi(pub(crate) Arc<GroupService>);

#[async_trait::async_trait]
impl DeviceApi for GroupApi {
    async fn devices(&self) -> Result<Vec<DeviceView>, ApiError> {
        Ok(self.0.views())
    }

    async fn invite(&self, request: InviteRequest) -> Result<InviteView, ApiError> {
        self.0.endpoint().await?;
        let lasts_s = request.expires_in_s.unwrap_or(INVITE_LASTS_S);
        let lasts_s = lasts_s.min(INVITE_LASTS_MAX_S);
        let mut secret = [0; 16];
        fill_random(&mut secret)?;
        let secret = InviteSecret(secret);
        let now_ms = self.0.now_ms();
        let until_ms = now_ms.saturating_add(lasts_s.saturating_mul(1000));
        let given = self
            .0
            .state()
            .invites
            .give(now_ms, secret.clone(), until_ms);
        given.map_err(|error| ApiError::new(ErrorCode::Refused, error.to_string()))?;
        let id = secret.tag().to_hex();
        let invite = Invite {
            secret,
            inviter: Some(Whereabouts {
                device: self.0.own_device(),
                addresses: self.0.own_addresses(),
                relays: self.0.own_relays(),
            }),
        };
        Ok(InviteView {
            id,
            invite: invite.link().unwrap_or_default(),
            words: invite.words(),
            at: self.0.context.network.borrow().addresses.web.clone(),
            expires_s: now_s().saturating_add(lasts_s),
        })
    }

    async fn cancel_invite(&self, id: &str) -> Result<(), ApiError> {
        let now_ms = self.0.now_ms();
        if let Some(tag) = InviteTag::from_hex(id) {
            let mut state = self.0.state();
            state.invites.end(now_ms, &tag);
            for one in state.waiting.iter_mut().filter(|one| one.tag == tag) {
                one.at_host = AtHost::Refused;
            }
            drop(state);
            self.0.changed();
        }
        Ok(())
    }

    async fn join(&self, request: JoinRequest) -> Result<JoinView, ApiError> {
        self.0.begin_join(request).await
    }

    async fn answer(&self, request: AnswerRequest) -> Result<DeviceView, ApiError> {
        self.0.answer(&request.device, request.answer)
    }

    async fn rename_device(&self, request: RenameRequest) -> Result<DeviceView, ApiError> {
        check_device_name(&request.name).map_err(of_group)?;
        let views = self.0.views();
        let mut view = named(&views, &request.device, |state| {
            state != DeviceState::Waiting
        })?;
        if views
            .iter()
            .any(|it| it.name == request.name && it.device != view.device)
        {
            return Err(ApiError::new(
                ErrorCode::TargetExists,
                format!("another device is called {} already", escape(&request.name)),
            )
            .hint("choose another name"));
        }
        let device = key_of(&view)?;
        self.0.rename(device, &request.name)?;
        view.name = request.name;
        Ok(view)
    }

    async fn limit_device(&self, request: LimitRequest) -> Result<DeviceView, ApiError> {
        let rates = [request.up_bytes_per_s, request.down_bytes_per_s];
        if rates.iter().flatten().any(|rate| *rate < RATE_MIN) {
            return Err(ApiError::new(
                ErrorCode::Usage,
                format!("a limit is {RATE_MIN} bytes a second at least"),
            )
            .hint("to stop a fileset altogether: shoal pause NAME"));
        }
        let mut view = named(&self.0.views(), &request.device, |state| {
            matches!(state, DeviceState::Connected | DeviceState::Away)
        })?;
        let [up, down] = rates;
        self.0.limit(&key_of(&view)?, up, down)?;
        (view.up_limit_bytes_per_s, view.down_limit_bytes_per_s) = (up, down);
        Ok(view)
    }

    async fn remove_device(&self, device: &str) -> Result<RemovedView, ApiError> {
        let views = self.0.views();
        let view = named(&views, device, |_| true)?;
        let others: Vec<_> = views
            .iter()
            .filter(|it| it.device != view.device)
            .filter(|it| matches!(it.state, DeviceState::Connected | DeviceState::Away))
            .collect();
        match view.state {
            DeviceState::Waiting => {
                self.0.answer(&view.device, Answer::No)?;
            }
            DeviceState::This => self.0.leave().await?,
            DeviceState::Connected | DeviceState::Away => {
                self.0.put_out(key_of(&view)?)?;
            }
        }
        let connected = |it: &&&DeviceView| it.state == DeviceState::Connected;
        Ok(RemovedView {
            device: view.device.clone(),
            name: view.name.clone(),
            told: others.iter().filter(connected).count() as u64,
            untold: others
                .iter()
                .filter(|it| !connected(it))
                .map(|it| it.name.clone())
                .collect(),
        })
    }
}

impl GroupService {
    /// For the node's status.
    pub(crate) fn status(self: &Arc<Self>) -> Option<GroupStatus> {
        let id = self.state().group.as_ref().map(Group::id)?;
        let views = self.views();
        let count = |state| views.iter().filter(|it| it.state == state).count() as u64;
        let name = views.iter().find(|it| it.state == DeviceState::This);
        let waiting = count(DeviceState::Waiting);
        Some(GroupStatus {
            id: id.to_hex(),
            name: name.map(|it| it.name.clone()).unwrap_or_default(),
            devices: views.len() as u64 - waiting,
            connected: count(DeviceState::Connected),
            waiting,
        })
    }

    /// This device, the other members, and who waits.
    fn views(self: &Arc<Self>) -> Vec<DeviceView> {
        let members = Members(self.clone()).list();
        let state = self.state();
        let own = DeviceView {
            device: self.own_device().to_hex(),
            name: self.own_name(&state),
            state: DeviceState::This,
            via: None,
            addresses: self
                .own_addresses()
                .iter()
                .map(ToString::to_string)
                .collect(),
            code: None,
            up_limit_bytes_per_s: None,
            down_limit_bytes_per_s: None,
        };
        let members = members.into_iter().map(|member| DeviceView {
            up_limit_bytes_per_s: self.pace(&member.device).up.rate(),
            down_limit_bytes_per_s: self.pace(&member.device).down.rate(),
            device: member.device.to_hex(),
            name: member.name,
            state: if member.connected {
                DeviceState::Connected
            } else {
                DeviceState::Away
            },
            via: member.via,
            addresses: member.addresses.iter().map(ToString::to_string).collect(),
            code: None,
        });
        let here = state.waiting.iter();
        let here = here.map(|one| (one.device, &one.name, &one.code));
        let elsewhere = state.elsewhere.values().flatten();
        let elsewhere = elsewhere.map(|one| (one.device, &one.name, &one.code));
        let joining = state.joining.iter();
        let joining = joining.map(|one| (one.device, &one.name, &one.code));
        let waiting = here.chain(elsewhere).chain(joining);
        let waiting = waiting.map(|(device, name, code)| DeviceView {
            device: device.to_hex(),
            name: name.clone(),
            state: DeviceState::Waiting,
            via: None,
            addresses: Vec::new(),
            code: Some(code.clone()),
            up_limit_bytes_per_s: None,
            down_limit_bytes_per_s: None,
        });
        std::iter::once(own).chain(members).chain(waiting).collect()
    }

    /// What a person says to a code: of a device that waits here, at another member, or that invited this one.
    fn answer(self: &Arc<Self>, device: &str, answer: Answer) -> Result<DeviceView, ApiError> {
        let view = named(&self.views(), device, |state| state == DeviceState::Waiting)?;
        let device = key_of(&view)?;
        let mut state = self.state();
        if let Some(joining) = state.joining.as_mut().filter(|it| it.device == device) {
            if let Some(sender) = joining.answer.take() {
                // Gone only if the pairing ended by itself, which is told by an event.
                let _ = sender.send(answer);
            }
            return Ok(view);
        }
        let here = state.waiting.iter_mut().find(|one| one.device == device);
        match here {
            Some(one) => {
                one.at_host = match answer {
                    Answer::Yes => AtHost::Confirmed,
                    Answer::No => AtHost::Refused,
                };
                drop(state);
                self.changed();
            }
            None => {
                drop(state);
                match answer {
                    Answer::Yes => self.admit(device, &view.name)?,
                    Answer::No => {
                        return Err(ApiError::new(
                            ErrorCode::Refused,
                            "this device waits at another member, which alone can refuse it",
                        )
                        .hint("refuse it on the device that made the invite, or let the invite expire"));
                    }
                }
            }
        }
        Ok(view)
    }

    /// Tells the others that this device leaves, as far as they can be reached, and forgets the group.
    async fn leave(&self) -> Result<(), ApiError> {
        if self.state().group.is_none() {
            return Err(no_group());
        }
        self.put_out(self.own_device())?;
        let mut changes = self.changes.subscribe();
        let told = async {
            loop {
                changes.mark_unchanged();
                if self.state().live.is_empty() || changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(FAREWELL_TIMEOUT, told).await;
        self.forget()
    }
}

/// The one device of a kind with this name, or whose key begins like this.
fn named(
    views: &[DeviceView],
    text: &str,
    wanted: impl Fn(DeviceState) -> bool,
) -> Result<DeviceView, ApiError> {
    let digits = text.to_ascii_lowercase();
    let by_key = |it: &&DeviceView| digits.len() >= PREFIX_MIN && it.device.starts_with(&digits);
    let wanted = || views.iter().filter(|it| wanted(it.state));
    let mut found: Vec<_> = wanted().filter(|it| it.name == text).collect();
    if found.is_empty() {
        found = wanted().filter(by_key).collect();
    }
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(ApiError::new(
            ErrorCode::NotFound,
            format!("there is no such device: {}", escape(text)),
        )
        .hint("`shoal devices` lists them; the first four digits of a key are enough")),
        _ => Err(ApiError::new(
            ErrorCode::Usage,
            format!("more than one device is called {}", escape(text)),
        )
        .hint("say the first digits of its key instead: `shoal devices --json` shows them")),
    }
}

fn key_of(view: &DeviceView) -> Result<DeviceId, ApiError> {
    DeviceId::from_hex(&view.device).map_err(|error| ApiError::internal(error.to_string()))
}
