//! A connection between two members: each tells the other what it may not know yet, whenever that changes.

use super::GroupService;
use super::state::{AtGuest, State};
use super::wire::{receive, send};
use iroh::endpoint::{Connection, RecvStream, SendStream};
use shoal_protocol::group::{Contact, News, Standing, WaitingDevice};
use shoal_protocol::id::{DeviceId, RecordHash};
use shoal_protocol::limits::GROUP_NEWS_MAX_BYTES;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Close code: the device at the other end was removed, or this one left.
pub(super) const CODE_REMOVED: u32 = 3;
/// Close code: the device at the other end is no member.
pub(super) const CODE_STRANGER: u32 = 4;
/// Close code: what it said makes no sense.
const CODE_NONSENSE: u32 = 5;

const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a removed device to hear of it.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(1);

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Dialed,
    Accepted,
}

/// What the other side of a connection knows.
#[derive(Default)]
struct Told(Mutex<Knowledge>);

#[derive(Default)]
struct Knowledge {
    records: HashSet<RecordHash>,
    contacts: HashMap<DeviceId, u64>,
    waiting: Vec<WaitingDevice>,
}

impl GroupService {
    /// Exchanges news over a registered connection until it ends.
    pub(super) async fn meet(self: Arc<Self>, connection: Connection, side: Side) {
        let device = DeviceId(*connection.remote_id().as_bytes());
        let streams = async {
            match side {
                Side::Dialed => connection.open_bi().await,
                Side::Accepted => connection.accept_bi().await,
            }
        };
        if let Ok(Ok((sending, receiving))) = timeout(OPEN_TIMEOUT, streams).await {
            let told = Told::default();
            self.changed();
            let ended = tokio::select! {
                ended = self.tell_news(sending, device, &told) => ended,
                ended = self.hear_news(receiving, device, &told) => ended,
                () = self.context.stopping.cancelled() => Ok(()),
            };
            match ended {
                Ok(()) => connection.close(CODE_REMOVED.into(), b"ended"),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::warn!(member = %device, %error, "a member said what makes no sense");
                    connection.close(CODE_NONSENSE.into(), b"nonsense");
                }
                Err(error) => tracing::debug!(member = %device, %error, "a connection ended"),
            }
        }
        let own = connection.stable_id();
        let mut state = self.state();
        state.live.retain(|live| live.connection.stable_id() != own);
        if !state.is_connected(&device) {
            state.elsewhere.remove(&device);
        }
        drop(state);
        self.changed();
    }

    async fn tell_news(
        &self,
        mut sending: SendStream,
        device: DeviceId,
        told: &Told,
    ) -> io::Result<()> {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let (news, goes_on) = {
                let state = self.state();
                let goes_on = state.standing(&device) == Standing::Member
                    && state.standing(&self.own_device()) == Standing::Member;
                (told.news(&state, &device), goes_on)
            };
            if !news.is_empty() {
                send(&mut sending, &news.encode()).await?;
            }
            if !goes_on {
                sending.finish().map_err(io::Error::other)?;
                // It hangs up when it has heard, or does not listen.
                let _ = timeout(LAST_WORD_TIMEOUT, sending.stopped()).await;
                return Ok(());
            }
            if changes.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn hear_news(
        &self,
        mut receiving: RecvStream,
        device: DeviceId,
        told: &Told,
    ) -> io::Result<()> {
        loop {
            let bytes = receive(&mut receiving, GROUP_NEWS_MAX_BYTES).await?;
            let news = News::decode(&bytes)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            told.knows(&news);
            self.take_news(device, &news).map_err(io::Error::other)?;
        }
    }
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, Knowledge> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the other side told it knows.
    fn knows(&self, news: &News) {
        let mut told = self.lock();
        for bytes in &news.records {
            told.records
                .extend(shoal_protocol::group::record_hash(bytes));
        }
        for contact in news.contacts.iter().flat_map(|it| Contact::verify(it)) {
            let said = told.contacts.entry(contact.device).or_default();
            *said = contact.said_ms.max(*said);
        }
    }

    /// What the other side does not know, which it does from now on. One that was removed hears the log alone.
    fn news(&self, state: &State, device: &DeviceId) -> News {
        let mut told = self.lock();
        let mut news = News::default();
        let Some(group) = &state.group else {
            return news;
        };
        for (hash, bytes) in group.records() {
            if told.records.insert(hash) {
                news.records.push(bytes.to_vec());
            }
        }
        if group.standing(device) != Standing::Member {
            return news;
        }
        for (of, kept) in &state.contacts {
            let said_ms = kept.contact.said_ms;
            let is_member = group.standing(of) == Standing::Member;
            if is_member && told.contacts.get(of).is_none_or(|known| *known < said_ms) {
                told.contacts.insert(*of, said_ms);
                news.contacts.push(kept.signed.clone());
            }
        }
        let waiting: Vec<_> = state
            .waiting
            .iter()
            .filter(|one| one.at_guest == AtGuest::Agreed)
            .map(|one| WaitingDevice {
                device: one.device,
                name: one.name.clone(),
                code: one.code.clone(),
            })
            .collect();
        if waiting != told.waiting {
            told.waiting.clone_from(&waiting);
            news.waiting = Some(waiting);
        }
        news
    }
}
