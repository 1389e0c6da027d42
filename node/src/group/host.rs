//! A device brings an invite that this one made.

use super::GroupService;
use super::state::{AtGuest, AtHost, Waiting};
use super::wire::{receive, send};
use crate::identity::fill_random;
use iroh::endpoint::{Connection, RecvStream, SendStream};
use shoal_api::{ApiError, ErrorCode, Event};
use shoal_protocol::group::Standing;
use shoal_protocol::id::DeviceId;
use shoal_protocol::invite::{InviteRefusal, InviteSecret, InviteTag};
use shoal_protocol::limits::PAIRING_MESSAGE_MAX_BYTES;
use shoal_protocol::pairing::{
    Declined, Ephemeral, Hello, Host, Message, Offer, PairingError, Session,
};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Close code: too many pair at the moment.
const CODE_BUSY: u32 = 6;
/// Time for the handshake, and for each message that no person is waited for.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest time that two people compare a code.
pub(super) const COMPARE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Why a device did not join.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("the connection to the other device broke: {0}")]
    Wire(#[from] io::Error),
    #[error(transparent)]
    Pairing(#[from] PairingError),
    #[error(transparent)]
    Declined(Declined),
    #[error("the other device took too long; make a new invite with `shoal pair`")]
    Late(#[from] tokio::time::error::Elapsed),
    #[error(transparent)]
    Node(#[from] ApiError),
}

/// Both directions of a pairing.
pub(super) struct Talk {
    pub(super) sending: SendStream,
    pub(super) receiving: RecvStream,
    pub(super) session: Session,
}

/// Who is at the other end.
struct Guest {
    device: DeviceId,
    name: String,
    tag: InviteTag,
}

impl GroupService {
    /// Pairs with whoever connected, and returns when that is over.
    pub(super) async fn host(self: Arc<Self>, connection: Connection) {
        let Ok(_place) = self.pairings.try_acquire() else {
            return connection.close(
                CODE_BUSY.into(),
                b"too many devices pair here at the moment",
            );
        };
        if let Err(error) = self.host_to_its_end(&connection).await {
            tracing::info!(%error, device = %connection.remote_id(), "a device did not pair");
        }
        // The other side hangs up when it has read the last word.
        let _ = timeout(STEP_TIMEOUT, connection.closed()).await;
        connection.close(0u32.into(), b"done");
    }

    async fn host_to_its_end(&self, connection: &Connection) -> Result<(), Failed> {
        let Some((mut talk, tag)) = timeout(STEP_TIMEOUT, self.shake_hands(connection)).await??
        else {
            return Ok(());
        };
        let introduced = timeout(STEP_TIMEOUT, self.introduce(&mut talk, tag)).await??;
        let Some(guest) = introduced else {
            return Ok(());
        };
        let outcome = tokio::select! {
            outcome = self.decide(&mut talk, &guest) => outcome,
            () = self.context.stopping.cancelled() => Err(Failed::Declined(Declined::TooLate)),
        };
        let _ = talk.sending.finish();
        self.stop_waiting(&guest, outcome.as_ref().err());
        outcome
    }

    /// Up to common keys; none if the invite opens nothing, which the other side is told.
    async fn shake_hands(
        &self,
        connection: &Connection,
    ) -> Result<Option<(Talk, InviteTag)>, Failed> {
        let (mut sending, mut receiving) =
            connection.accept_bi().await.map_err(io::Error::other)?;
        let hello = receive(&mut receiving, PAIRING_MESSAGE_MAX_BYTES).await?;
        let hello = Hello::decode(&hello).map_err(PairingError::from)?;
        if hello.device.as_bytes() != connection.remote_id().as_bytes() {
            return Err(PairingError::Signature.into());
        }
        let tag = hello.tag;
        let secret = match self.opened_by(&tag, &hello.device) {
            Ok(secret) => secret,
            Err(refusal) => {
                send(&mut sending, &Offer::refusal(refusal)).await?;
                sending.finish().map_err(io::Error::other)?;
                return Ok(None);
            }
        };
        let (host, offer) = Host::new(secret, self.own_device(), ephemeral()?, hello)?;
        send(&mut sending, &offer).await?;
        let reveal = receive(&mut receiving, PAIRING_MESSAGE_MAX_BYTES).await?;
        let (session, reveal) = host.revealed(&reveal)?;
        send(&mut sending, &reveal).await?;
        let talk = Talk {
            sending,
            receiving,
            session,
        };
        Ok(Some((talk, tag)))
    }

    fn opened_by(&self, tag: &InviteTag, device: &DeviceId) -> Result<InviteSecret, InviteRefusal> {
        let now_ms = self.now_ms();
        self.state().invites.find_for(now_ms, tag, device)
    }

    /// Both say who they are. None if they belong together already.
    async fn introduce(&self, talk: &mut Talk, tag: InviteTag) -> Result<Option<Guest>, Failed> {
        let Message::Introduce { name, group, .. } = talk.receive().await? else {
            return Err(PairingError::Turn.into());
        };
        let device = talk.session.other();
        let (own_name, own_group) = {
            let now_ms = self.now_ms();
            let mut state = self.state();
            let used = state.invites.use_by(now_ms, &tag, &device);
            used.map_err(PairingError::from)?;
            let group = state.group.as_ref().map(shoal_protocol::group::Group::id);
            (self.own_name(&state), group)
        };
        let introduction = Message::Introduce {
            name: own_name,
            group: own_group,
            proof: talk.session.proof(&self.context.identity.key),
        };
        talk.send(&introduction).await?;
        if group.is_some() && group != own_group {
            // It may have seen that itself, and be gone.
            let _ = talk.decline(Declined::OtherGroup).await;
            let guest = Guest { device, name, tag };
            self.tell_failure(&guest, &Failed::Declined(Declined::OtherGroup));
            return Err(Failed::Declined(Declined::OtherGroup));
        }
        let together = group.is_some() && self.state().standing(&device) == Standing::Member;
        Ok((!together).then_some(Guest { device, name, tag }))
    }

    /// Waits for both people, or for another member; then hands the log over.
    async fn decide(&self, talk: &mut Talk, guest: &Guest) -> Result<(), Failed> {
        let code = talk.session.code().to_string();
        let mut changes = self.changes.subscribe();
        {
            let mut state = self.state();
            state.waiting.retain(|one| one.device != guest.device);
            state.waiting.push(Waiting {
                device: guest.device,
                name: guest.name.clone(),
                code: code.clone(),
                tag: guest.tag,
                at_guest: AtGuest::Comparing,
                at_host: AtHost::Comparing,
            });
        }
        self.context.records.tell(Event::PairWaiting {
            device: guest.device.to_hex(),
            name: guest.name.clone(),
            code,
            invite: Some(guest.tag.to_hex()),
        });
        let said = tokio::select! {
            said = timeout(COMPARE_TIMEOUT, talk.receive()) => Some(said??),
            () = self.refused(guest) => None,
        };
        match said {
            Some(Message::Agree) => {}
            Some(Message::Decline(why)) => return Err(Failed::Declined(why)),
            Some(_) => return Err(PairingError::Turn.into()),
            None => {
                let _ = talk.decline(Declined::ByPerson).await;
                return Err(Failed::Declined(Declined::ByPerson));
            }
        }
        for one in &mut self.state().waiting {
            if one.device == guest.device {
                one.at_guest = AtGuest::Agreed;
            }
        }
        self.changed();
        let confirmed = async {
            loop {
                changes.mark_unchanged();
                if let Some(confirmed) = self.is_confirmed(guest)? {
                    return Ok(confirmed);
                }
                changes.changed().await.map_err(io::Error::other)?;
            }
        };
        let decided: Result<bool, Failed> = tokio::select! {
            decided = timeout(COMPARE_TIMEOUT, confirmed) => decided?,
            // Nothing is due from there: it says no, or is gone.
            said = talk.receiving.read_chunk(PAIRING_MESSAGE_MAX_BYTES) => Err(match said {
                Ok(_) => Failed::Declined(Declined::ByPerson),
                Err(error) => io::Error::other(error).into(),
            }),
        };
        if !decided? {
            let _ = talk.decline(Declined::ByPerson).await;
            return Err(Failed::Declined(Declined::ByPerson));
        }
        timeout(STEP_TIMEOUT, self.hand_over(talk)).await?
    }

    /// Until the person here says no.
    async fn refused(&self, guest: &Guest) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let refused = {
                let state = self.state();
                let mut waiting = state.waiting.iter();
                let one = waiting.find(|one| one.device == guest.device);
                one.is_none_or(|one| one.at_host == AtHost::Refused)
            };
            if refused || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether the guest is to be let in; none while that is open.
    fn is_confirmed(&self, guest: &Guest) -> Result<Option<bool>, Failed> {
        let at_host = {
            let state = self.state();
            if state.standing(&guest.device) == Standing::Member {
                return Ok(Some(true));
            }
            let mut waiting = state.waiting.iter();
            let one = waiting.find(|one| one.device == guest.device);
            one.map_or(AtHost::Refused, |one| one.at_host)
        };
        match at_host {
            AtHost::Comparing => Ok(None),
            AtHost::Refused => Ok(Some(false)),
            AtHost::Confirmed => {
                self.admit(guest.device, &guest.name)?;
                Ok(Some(true))
            }
        }
    }

    /// The log and where the members are; then the guest says where it is itself.
    async fn hand_over(&self, talk: &mut Talk) -> Result<(), Failed> {
        self.keep_own_contact();
        let welcome = {
            let state = self.state();
            let records = state.group.iter().flat_map(|group| group.records());
            Message::Welcome {
                log: records.map(|(_, bytes)| bytes.to_vec()).collect(),
                contacts: state
                    .contacts
                    .values()
                    .map(|kept| kept.signed.clone())
                    .collect(),
            }
        };
        talk.send(&welcome).await?;
        let Message::Joined { contact } = talk.receive().await? else {
            return Err(PairingError::Turn.into());
        };
        let fresh = self.state().keep_contacts(&[contact]);
        self.store_contacts(&fresh)?;
        Ok(())
    }

    /// The guest is a member, or will not be one by this.
    fn stop_waiting(&self, guest: &Guest, failed: Option<&Failed>) {
        let now_ms = self.now_ms();
        let mut state = self.state();
        state.waiting.retain(|one| one.device != guest.device);
        let member = state.group.as_ref().and_then(|group| {
            let member = group.member(&guest.device)?;
            Some((member.name.clone(), group.id().to_hex()))
        });
        if member.is_some() {
            state.invites.end(now_ms, &guest.tag);
        }
        drop(state);
        match (failed, member) {
            // Where the last word was lost, the guest is a member all the same.
            (None | Some(Failed::Wire(_) | Failed::Late(_)), Some((name, group))) => {
                self.context.records.tell(Event::Paired {
                    device: guest.device.to_hex(),
                    name,
                    group,
                    invite: Some(guest.tag.to_hex()),
                });
            }
            (Some(failed), _) => self.tell_failure(guest, failed),
            (None, None) => {}
        }
        self.changed();
    }

    fn tell_failure(&self, guest: &Guest, failed: &Failed) {
        self.context.records.tell(Event::PairFailed {
            device: guest.device.to_hex(),
            name: guest.name.clone(),
            error: failed.to_api(),
            invite: Some(guest.tag.to_hex()),
        });
    }

    /// Milliseconds since this node started, by a clock that nobody sets.
    pub(super) fn now_ms(&self) -> u64 {
        self.context.started.elapsed().as_millis() as u64
    }
}

impl Talk {
    pub(super) async fn send(&mut self, message: &Message) -> Result<(), Failed> {
        let sealed = self.session.seal(message);
        Ok(send(&mut self.sending, &sealed).await?)
    }

    /// A message of a device that is not trusted yet: a short one.
    pub(super) async fn receive(&mut self) -> Result<Message, Failed> {
        let sealed = receive(&mut self.receiving, PAIRING_MESSAGE_MAX_BYTES).await?;
        Ok(self.session.open(&sealed)?)
    }

    pub(super) async fn decline(&mut self, why: Declined) -> Result<(), Failed> {
        self.send(&Message::Decline(why)).await?;
        let _ = self.sending.finish();
        Ok(())
    }
}

/// A key pair for one pairing.
pub(super) fn ephemeral() -> Result<Ephemeral, Failed> {
    let (mut key, mut blinding) = ([0; 32], [0; 16]);
    fill_random(&mut key)
        .and_then(|()| fill_random(&mut blinding))
        .map_err(ApiError::from)?;
    Ok(Ephemeral::new(key, blinding))
}

impl Failed {
    /// As programs understand it. Sentences end with the next step.
    pub(super) fn to_api(&self) -> ApiError {
        let code = match self {
            Self::Node(error) => return error.clone(),
            Self::Declined(_) => ErrorCode::Refused,
            Self::Pairing(PairingError::Invite(_)) => ErrorCode::Refused,
            Self::Pairing(PairingError::Oneself) => ErrorCode::Usage,
            Self::Pairing(_) => ErrorCode::Verification,
            Self::Wire(_) | Self::Late(_) => ErrorCode::Unreachable,
        };
        let error = ApiError::new(code, self.to_string());
        match self {
            Self::Wire(_) => {
                error.hint("check that both devices are on, then pair them again: shoal pair")
            }
            _ => error,
        }
    }
}
