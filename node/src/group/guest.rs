//! This device brings an invite to the one that made it.

use super::host::{COMPARE_TIMEOUT, Failed, STEP_TIMEOUT, Talk, ephemeral};
use super::members::ConnectError;
use super::state::Joining;
use super::wire::{receive, send};
use super::{GroupService, Settle, lookup};
use iroh::endpoint::Connection;
use shoal_api::{Answer, ApiError, ErrorCode, Event, JoinRequest, JoinStage, JoinView};
use shoal_protocol::group::{Group, Standing};
use shoal_protocol::id::{DeviceId, GroupId};
use shoal_protocol::invite::{Invite, InviteSecret, InviteTag, Whereabouts};
use shoal_protocol::limits::{GROUP_NEWS_MAX_BYTES, PAIRING_MESSAGE_MAX_BYTES};
use shoal_protocol::pairing::{ALPN, Declined, Guest, Message, PairingError};
use shoal_store::Durability;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Time for the other side to hang up after the last word.
const HANG_UP_TIMEOUT: Duration = Duration::from_secs(3);

impl GroupService {
    /// Up to the code; what follows goes on behind it.
    pub(super) async fn begin_join(
        self: &Arc<Self>,
        request: JoinRequest,
    ) -> Result<JoinView, ApiError> {
        let invite = Invite::parse(&request.invite)
            .map_err(|error| ApiError::new(ErrorCode::Usage, error.to_string()))?;
        let inviter = match (&request.at, invite.inviter) {
            (Some(at), _) => lookup::ask(at, &invite.secret).await?,
            (None, Some(inviter)) => inviter,
            (None, None) => {
                return Err(ApiError::new(
                    ErrorCode::Usage,
                    "words alone do not say where the other device is",
                )
                .hint("add --at HOST:PORT, which `shoal pair` shows there beside the words, or use the link"));
            }
        };
        if inviter.device == self.own_device() {
            return Err(Failed::Pairing(PairingError::Oneself).to_api());
        }
        let tag = invite.secret.tag();
        let connection = self.reach_inviter(&inviter, &tag).await?;
        let begun = timeout(STEP_TIMEOUT, self.introduce_to(&connection, invite.secret)).await;
        let begun = begun.map_err(Failed::from).and_then(|it| it);
        let (talk, name) = begun.map_err(|failed| failed.to_api())?;
        let device = talk.session.other();
        let code = talk.session.code().to_string();
        if self.state().standing(&device) == Standing::Member {
            connection.close(0u32.into(), b"together already");
            return Ok(JoinView {
                device: device.to_hex(),
                name,
                code,
                stage: JoinStage::Paired,
                brings: Vec::new(),
            });
        }
        let (answer, answered) = oneshot::channel();
        self.state().joining = Some(Joining {
            device,
            name: name.clone(),
            code: code.clone(),
            answer: Some(answer),
        });
        let view = JoinView {
            device: device.to_hex(),
            name: name.clone(),
            code,
            stage: JoinStage::Comparing,
            brings: self.luggage(),
        };
        let group = self.clone();
        tokio::spawn(async move {
            let outcome = group.finish_join(talk, answered).await;
            group.tell_joined(device, name, outcome.err());
            // What was said last arrives before the connection goes.
            let _ = timeout(HANG_UP_TIMEOUT, connection.closed()).await;
            connection.close(0u32.into(), b"done");
        });
        Ok(view)
    }

    async fn reach_inviter(
        &self,
        inviter: &Whereabouts,
        tag: &InviteTag,
    ) -> Result<Connection, ApiError> {
        self.endpoint().await?;
        let relays = self.relays_to(&inviter.device, &inviter.relays, Some(tag));
        let relays = relays.await;
        let reached = self.reach(&inviter.device, &inviter.addresses, relays, ALPN);
        let reached = reached.await;
        reached.map_err(|error| {
            let why = match error {
                ConnectError::Unreachable(why) => why,
                error => error.to_string(),
            };
            let tried: Vec<_> = inviter.addresses.iter().map(ToString::to_string).collect();
            ApiError::new(
                ErrorCode::Unreachable,
                format!(
                    "the device that made this invite does not answer at {}: {why}",
                    tried.join(", ")
                ),
            )
            .hint("check that it is on and on a network that reaches this one, then try again")
        })
    }

    /// Up to the other device's name.
    async fn introduce_to(
        &self,
        connection: &Connection,
        secret: InviteSecret,
    ) -> Result<(Talk, String), Failed> {
        let (mut sending, mut receiving) = connection.open_bi().await.map_err(io::Error::other)?;
        let (guest, hello) = Guest::new(secret, self.own_device(), ephemeral()?);
        send(&mut sending, &hello).await?;
        let offer = receive(&mut receiving, PAIRING_MESSAGE_MAX_BYTES).await?;
        let (guest, reveal) = guest.offered(&offer)?;
        send(&mut sending, &reveal).await?;
        let reveal = receive(&mut receiving, PAIRING_MESSAGE_MAX_BYTES).await?;
        let session = guest.revealed(&reveal)?;
        if session.other().as_bytes() != connection.remote_id().as_bytes() {
            return Err(PairingError::Signature.into());
        }
        let mut talk = Talk {
            sending,
            receiving,
            session,
        };
        let (own_name, own_group) = {
            let state = self.state();
            // A group that nobody else is in is left for the other one.
            let group = match state.alone_in(&self.own_device()) {
                Some(_) => None,
                None => state.group.as_ref().map(Group::id),
            };
            (self.own_name(&state), group)
        };
        let introduction = Message::Introduce {
            name: own_name.clone(),
            group: own_group,
            proof: talk.session.proof(&self.context.identity.key),
        };
        talk.send(&introduction).await?;
        match talk.receive().await? {
            Message::Introduce { group, .. } if own_group.is_some() && group != own_group => {
                Err(other_group(&own_name).into())
            }
            Message::Introduce { name, .. } => Ok((talk, name)),
            Message::Decline(why) => Err(Failed::Declined(why)),
            _ => Err(PairingError::Turn.into()),
        }
    }

    /// Waits for the person here, then for a member there.
    async fn finish_join(
        self: &Arc<Self>,
        mut talk: Talk,
        answered: oneshot::Receiver<Answer>,
    ) -> Result<(), Failed> {
        let answer = {
            let reading = receive(&mut talk.receiving, GROUP_NEWS_MAX_BYTES);
            tokio::pin!(reading);
            tokio::select! {
                answer = timeout(COMPARE_TIMEOUT, answered) => answer?.unwrap_or(Answer::No),
                sealed = &mut reading => {
                    return match talk.session.open(&sealed?)? {
                        Message::Decline(why) => Err(Failed::Declined(why)),
                        _ => Err(PairingError::Turn.into()),
                    };
                }
            }
        };
        if answer == Answer::No {
            talk.decline(Declined::ByPerson).await?;
            return Err(ApiError::new(
                ErrorCode::Refused,
                "the codes were not the same, or this was refused here",
            )
            .hint("if the codes differed, somebody sits in between: make a new invite on a network that you trust")
            .into());
        }
        talk.send(&Message::Agree).await?;
        let wait = receive(&mut talk.receiving, GROUP_NEWS_MAX_BYTES);
        let sealed = timeout(COMPARE_TIMEOUT, wait).await??;
        match talk.session.open(&sealed)? {
            Message::Welcome { log, contacts } => {
                let contact = self.enter(&talk.session.other(), &log, &contacts).await?;
                talk.send(&Message::Joined { contact }).await?;
                let _ = talk.sending.finish();
                Ok(())
            }
            Message::Decline(why) => Err(Failed::Declined(why)),
            _ => Err(PairingError::Turn.into()),
        }
    }

    /// Takes the group's log as the own one, and returns the own contact for the others.
    async fn enter(
        self: &Arc<Self>,
        host: &DeviceId,
        log: &[Vec<u8>],
        contacts: &[Vec<u8>],
    ) -> Result<Vec<u8>, Failed> {
        let wrong = |what: &str| {
            let message =
                format!("the group that the other device handed over does not hold: {what}");
            ApiError::new(ErrorCode::Verification, message)
                .hint("make a new invite with `shoal pair` on a device that you trust")
        };
        let group = Group::read(log).map_err(|error| wrong(&error.to_string()))?;
        let own = self.own_device();
        if [&own, host]
            .iter()
            .any(|it| group.standing(it) != Standing::Member)
        {
            return Err(wrong("not both devices are members of it").into());
        }
        let (present, alone) = {
            let state = self.state();
            (state.group.as_ref().map(Group::id), state.alone_in(&own))
        };
        match alone.filter(|present| *present != group.id()) {
            Some(present) => self.move_to(present, group).await?,
            None if present.is_some_and(|present| present != group.id()) => {
                return Err(other_group(&self.own_name(&self.state())).into());
            }
            None => self.adopt(&mut self.state(), group)?,
        }
        let mut state = self.state();
        state.keep_contacts(contacts);
        let before_ms = state
            .contacts
            .get(&own)
            .map_or(0, |kept| kept.contact.said_ms);
        let contact = self.sign_contact(before_ms);
        state.keep_contacts(std::slice::from_ref(&contact));
        let kept: Vec<_> = state
            .contacts
            .iter()
            .map(|(device, kept)| (*device, kept.signed.clone()))
            .collect();
        drop(state);
        let store = &self.context.records.store;
        let put = || store.put_group(&[], &kept, Durability::Flushed);
        crate::service::off_the_runtime(put)
            .map_err(crate::service::errors::of_store)
            .map_err(Failed::from)?;
        self.changed();
        Ok(contact)
    }

    /// Names of the filesets that come along into the other group.
    fn luggage(&self) -> Vec<String> {
        let group = self.state().alone_in(&self.own_device());
        let luggage = group.zip(self.luggage.get());
        luggage.map_or_else(Vec::new, |(group, luggage)| luggage.names(&group))
    }

    /// Leaves the group that has nobody else in it for another, with all filesets, or not at all.
    async fn move_to(self: &Arc<Self>, from: GroupId, group: Group) -> Result<(), ApiError> {
        let (service, to) = (self.clone(), group.id());
        let settle: Settle = Box::new(move |moved| {
            let mut state = service.state();
            // Somebody may have been let in meanwhile.
            if state.alone_in(&service.own_device()) != Some(from) {
                return Err(other_group(&service.own_name(&state)));
            }
            let records = group.records();
            let records: Vec<_> = records.map(|(hash, it)| (hash, it.to_vec())).collect();
            let store = &service.context.records.store;
            crate::service::off_the_runtime(|| store.change_group(&records, moved))
                .map_err(crate::service::errors::of_store)?;
            state.contacts.clear();
            state.group = Some(group);
            Ok(())
        });
        match self.luggage.get() {
            Some(luggage) => luggage.move_all(from, to, settle).await,
            None => settle(&[]),
        }
    }

    fn tell_joined(&self, device: DeviceId, name: String, failed: Option<Failed>) {
        let mut state = self.state();
        if state.joining.as_ref().is_some_and(|it| it.device == device) {
            state.joining = None;
        }
        let group = state.group.as_ref().map(|group| group.id().to_hex());
        drop(state);
        let device = device.to_hex();
        self.context.records.tell(match failed {
            None => Event::Paired {
                device,
                name,
                group: group.unwrap_or_default(),
                invite: None,
            },
            Some(failed) => Event::PairFailed {
                device,
                name,
                error: failed.to_api(),
                invite: None,
            },
        });
        self.changed();
    }
}

fn other_group(own_name: &str) -> ApiError {
    ApiError::new(
        ErrorCode::Refused,
        "this device belongs to another group already",
    )
    .hint(format!(
        "to stay in it, make the invite here and bring it to the other device; to leave it: shoal devices remove {own_name}"
    ))
}
