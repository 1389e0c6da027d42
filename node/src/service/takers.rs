//! The takers of one link: who may take, who takes, who has taken.
//!
//! The counting itself is `protocol::slots`; here it meets the clock, the store, the log and the events.

use super::clock::now_ms;
use super::guesses::Guesses;
use super::happened::Happened;
use super::password::network;
use super::records::{Records, off_the_runtime};
use shoal_api::{TakerView, Way};
use shoal_protocol::hello::Refusal;
use shoal_protocol::id::{LinkId, TakerToken};
use shoal_protocol::slots::{Admission, IDLE_MS, PeerId, Slots, Stage, Taker};
use shoal_store::{Durability, KeptTakers};
use shoal_transfer::serve::port;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Takers without bytes for this long are no longer shown as taking.
const SHOWN_MS: u64 = 3_000;
/// Live rows that are kept; they only serve the display.
const LIVE_MAX: usize = 1_000;
/// How often it is kept that somebody still takes, so that a restart knows whose slot is idle.
const KEEP_EVERY_MS: u64 = 60_000;

/// Who comes, on whatever way.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    pub(crate) address: IpAddr,
    pub(crate) way: Way,
    pub(crate) mark: Mark,
    pub(crate) client: Option<String>,
}

/// By what a guest is recognised. Six bytes of a token are enough, and all that a peer id holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Token([u8; 6]),
    PeerId(PeerId),
    Address,
}

impl Mark {
    pub(crate) fn of_token(token: &TakerToken) -> Self {
        let mut prefix = [0; 6];
        prefix.copy_from_slice(&token.0[..6]);
        Self::Token(prefix)
    }
}

impl From<port::Mark> for Mark {
    fn from(mark: port::Mark) -> Self {
        match mark {
            port::Mark::Token(token) => Self::of_token(&token),
            port::Mark::TokenPrefix(prefix) => Self::Token(prefix),
            port::Mark::PeerId(peer_id) => Self::PeerId(peer_id),
            port::Mark::Address => Self::Address,
        }
    }
}

/// The takers of one link.
pub(crate) struct Takers {
    link: LinkId,
    max: Option<u32>,
    total_bytes: AtomicU64,
    slots: Mutex<Slots>,
    live: Mutex<HashMap<Taker, Live>>,
    refused: Mutex<HashMap<Taker, u64>>,
    looked: Mutex<HashMap<Taker, u64>>,
    guesses: Mutex<Guesses>,
    /// When the row of each was written; no more than `slots` remembers.
    kept: Mutex<HashMap<Taker, u64>>,
    sent_bytes: AtomicU64,
    records: Records,
}

struct Live {
    guest: Guest,
    seen_ms: u64,
    bytes: u64,
    shown_bytes: u64,
    shown_ms: u64,
}

impl Takers {
    /// With what the store has kept of earlier takers.
    pub(crate) fn new(link: LinkId, max: Option<u32>, kept: KeptTakers, records: Records) -> Self {
        let mut slots = Slots::new(max);
        slots.restore_forgotten(kept.forgotten_complete);
        for (taker, progress) in kept.rows {
            slots.restore(taker, progress);
        }
        let takers = Self {
            link,
            max,
            total_bytes: AtomicU64::new(0),
            slots: Mutex::new(slots),
            live: Mutex::default(),
            refused: Mutex::default(),
            looked: Mutex::default(),
            guesses: Mutex::default(),
            kept: Mutex::default(),
            sent_bytes: AtomicU64::new(0),
            records,
        };
        takers.drop_forgotten();
        takers
    }

    /// How much a whole copy is; until it is known nobody is complete by count.
    pub(crate) fn know_total(&self, bytes: u64) {
        self.total_bytes.store(bytes, Ordering::Relaxed);
        lock(&self.slots).know_whole(bytes);
    }

    /// Before the first byte: a seat, or why there is none.
    pub(crate) fn admit(self: &Arc<Self>, guest: &Guest) -> Result<TakerSeat, Refusal> {
        let taker = self.seat(guest)?;
        self.show(taker, guest, now_ms());
        Ok(TakerSeat {
            takers: self.clone(),
            taker: Mutex::new(taker),
            guest: guest.clone(),
        })
    }

    /// The slot of a guest, reserved.
    fn seat(&self, guest: &Guest) -> Result<Taker, Refusal> {
        let now = now_ms();
        let (taker, admission) = {
            let mut slots = lock(&self.slots);
            let taker = taker_of(&mut slots, now, guest);
            (taker, slots.admit(now, taker))
        };
        match admission {
            Admission::Full => {
                self.note_refusal(now, taker, guest);
                return Err(Refusal::UsedUp);
            }
            Admission::Fresh => {
                self.keep(taker, Durability::Flushed);
                self.drop_forgotten();
                self.note(now, guest, Happened::Started);
            }
            Admission::Back => self.keep(taker, Durability::Flushed),
            Admission::Again => {}
        }
        Ok(taker)
    }

    /// Whether this guest gets nothing because all slots are taken. Nothing is reserved; a refusal is noted.
    pub(crate) fn refuses(&self, guest: &Guest) -> bool {
        let now = now_ms();
        let (taker, full) = {
            let mut slots = lock(&self.slots);
            let taker = taker_of(&mut slots, now, guest);
            (taker, slots.would_admit(now, &taker) == Admission::Full)
        };
        if full {
            self.note_refusal(now, taker, guest);
        }
        full
    }

    /// Somebody looked at the link: told once in ten minutes, however often the page is loaded.
    pub(crate) fn opened(&self, guest: &Guest) {
        let now = now_ms();
        let taker = taker_of(&mut lock(&self.slots), now, guest);
        if note_once(&self.looked, now, taker) {
            self.note(now, guest, Happened::Opened);
        }
    }

    /// Somebody tried a wrong password.
    pub(crate) fn guessed(&self, guest: &Guest) {
        let now = now_ms();
        let Some(noted) = lock(&self.guesses).count(now, network(guest.address)) else {
            return;
        };
        self.note(now, guest, Happened::Guess(noted));
    }

    /// Somebody says that it has everything. Only who was sent something is believed, or slots could be
    /// used up by words alone.
    pub(crate) fn says_complete(&self, guest: &Guest) {
        let whole = self.total_bytes.load(Ordering::Relaxed);
        let (taker, took) = {
            let mut slots = lock(&self.slots);
            let taker = taker_of(&mut slots, now_ms(), guest);
            let progress = slots.progress(&taker);
            let took = progress.is_some_and(|progress| progress.bytes > 0 || whole == 0);
            (taker, took)
        };
        if took {
            self.complete(taker, guest);
        }
    }

    pub(crate) fn used_up(&self) -> bool {
        lock(&self.slots).used_up()
    }

    pub(crate) fn completed(&self) -> u64 {
        lock(&self.slots).completed()
    }

    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// How many take at the moment: those that have everything do not count.
    pub(crate) fn taking_now(&self) -> u64 {
        let now = now_ms();
        let slots = lock(&self.slots);
        let taking = |taker: &Taker| {
            slots
                .progress(taker)
                .is_some_and(|progress| progress.stage == Stage::Taking)
        };
        let live = lock(&self.live);
        live.iter()
            .filter(|(taker, row)| now.saturating_sub(row.seen_ms) < SHOWN_MS && taking(taker))
            .count() as u64
    }

    /// Who takes at the moment, with rates since the last look.
    pub(crate) fn taking(&self) -> Vec<TakerView> {
        let now = now_ms();
        let total = self.total_bytes.load(Ordering::Relaxed);
        let mut live = lock(&self.live);
        live.retain(|_, row| now.saturating_sub(row.seen_ms) < SHOWN_MS);
        let views = live.values_mut().map(|row| {
            let elapsed = now.saturating_sub(row.shown_ms).max(1);
            let rate = (row.bytes - row.shown_bytes).saturating_mul(1000) / elapsed;
            (row.shown_bytes, row.shown_ms) = (row.bytes, now);
            TakerView {
                who: who(&row.guest),
                via: row.guest.way,
                bytes: row.bytes,
                total,
                rate_bytes_per_s: rate,
                client: program(&row.guest),
            }
        });
        views.collect()
    }

    fn sent(&self, taker: Taker, guest: &Guest, bytes: u64) {
        let now = now_ms();
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
        let total = self.total_bytes.load(Ordering::Relaxed);
        let whole = {
            let mut slots = lock(&self.slots);
            slots.sent(now, taker, bytes);
            // `shoal get` says itself when it has everything: what it was sent may have been sent twice.
            matches!(taker, Taker::Address(_))
                && total > 0
                && slots
                    .progress(&taker)
                    .is_some_and(|progress| progress.bytes >= total)
        };
        self.show(taker, guest, now);
        if let Some(row) = lock(&self.live).get_mut(&taker) {
            row.bytes += bytes;
        }
        if whole {
            self.complete(taker, guest);
        } else if self.max.is_some() && self.is_kept_long_ago(now, taker) {
            self.keep(taker, Durability::Lazy);
        }
    }

    fn complete(&self, taker: Taker, guest: &Guest) {
        let now = now_ms();
        let bytes = {
            let mut slots = lock(&self.slots);
            if !slots.complete(now, taker) {
                return;
            }
            slots.progress(&taker).map_or(0, |progress| progress.bytes)
        };
        self.keep(taker, Durability::Flushed);
        self.note(now, guest, Happened::Finished { bytes });
    }

    fn show(&self, taker: Taker, guest: &Guest, now: u64) {
        let mut live = lock(&self.live);
        if live.len() < LIVE_MAX || live.contains_key(&taker) {
            let fresh = || Live {
                guest: guest.clone(),
                seen_ms: now,
                bytes: 0,
                shown_bytes: 0,
                shown_ms: now,
            };
            let row = live.entry(taker).or_insert_with(fresh);
            row.seen_ms = now;
            row.guest.way = guest.way;
        }
    }

    fn keep(&self, taker: Taker, durability: Durability) {
        let Some(progress) = lock(&self.slots).progress(&taker).copied() else {
            return;
        };
        let put = |durability| {
            self.records
                .keep_taker(&self.link, &taker, &progress, durability);
        };
        match (self.max, progress.stage, durability) {
            (None, Stage::Taking | Stage::Idle, _) => return,
            (None, Stage::Complete, _) | (_, _, Durability::Lazy) => put(Durability::Lazy),
            (Some(_), _, Durability::Flushed) => off_the_runtime(|| put(Durability::Flushed)),
        }
        if self.max.is_some() {
            lock(&self.kept).insert(taker, now_ms());
        }
    }

    fn is_kept_long_ago(&self, now: u64, taker: Taker) -> bool {
        let kept = lock(&self.kept).get(&taker).copied();
        now.saturating_sub(kept.unwrap_or(0)) > KEEP_EVERY_MS
    }

    /// Rows of takers that are not remembered any more go, so that the store is bounded as memory is.
    fn drop_forgotten(&self) {
        let (forgotten, complete) = {
            let mut slots = lock(&self.slots);
            (slots.take_forgotten(), slots.forgotten_complete())
        };
        if !forgotten.is_empty() {
            let mut kept = lock(&self.kept);
            forgotten.iter().for_each(|taker| {
                kept.remove(taker);
            });
            drop(kept);
            self.records.forget_takers(&self.link, &forgotten, complete);
        }
    }

    /// A refused client asks again and again: one line in ten minutes says it.
    fn note_refusal(&self, now: u64, taker: Taker, guest: &Guest) {
        if note_once(&self.refused, now, taker) {
            self.note(now, guest, Happened::Refused);
        }
    }

    fn note(&self, at_ms: u64, guest: &Guest, happened: Happened) {
        let (who, via) = (who(guest), guest.way);
        let row = happened.row(at_ms, who.clone(), via, program(guest));
        self.records.log(&self.link, row);
        let event = happened.event(self.link.to_string(), who, via);
        self.records.tell(event);
    }
}

/// Leave to take, for one taker.
pub(crate) struct TakerSeat {
    takers: Arc<Takers>,
    /// Under whom it counts; an address that shared another's slot may have to count for itself later.
    taker: Mutex<Taker>,
    guest: Guest,
}

impl TakerSeat {
    pub(crate) fn again(&self) -> Result<(), Refusal> {
        let taker = self.takers.seat(&self.guest)?;
        *lock(&self.taker) = taker;
        Ok(())
    }

    pub(crate) fn sent(&self, bytes: u64) {
        self.takers.sent(self.taker(), &self.guest, bytes);
    }

    pub(crate) fn complete(&self) {
        self.takers.complete(self.taker(), &self.guest);
    }

    fn taker(&self) -> Taker {
        *lock(&self.taker)
    }
}

fn taker_of(slots: &mut Slots, now: u64, guest: &Guest) -> Taker {
    let address = guest.address.to_canonical();
    match guest.mark {
        Mark::Address => slots.taker_of(now, address, None),
        Mark::PeerId(peer_id) => slots.taker_of(now, address, Some(peer_id)),
        Mark::Token(prefix) => {
            let mut token = [0; 16];
            token[..6].copy_from_slice(&prefix);
            Taker::Token(TakerToken(token))
        }
    }
}

/// How a guest is named.
fn who(guest: &Guest) -> String {
    guest.address.to_canonical().to_string()
}

/// What program a guest is, with the start of its token where it has one: two of one address are told apart.
fn program(guest: &Guest) -> Option<String> {
    match guest.mark {
        Mark::Address | Mark::PeerId(_) => guest.client.clone(),
        Mark::Token(prefix) => Some(format!(
            "shoal get {:02x}{:02x}{:02x}",
            prefix[0], prefix[1], prefix[2]
        )),
    }
}

/// Whether this taker was not noted in the last ten minutes. Bounded: where very many come, some are not noted.
fn note_once(noted: &Mutex<HashMap<Taker, u64>>, now: u64, taker: Taker) -> bool {
    let fresh = |at: &u64| now.saturating_sub(*at) < IDLE_MS;
    let mut noted = lock(noted);
    if noted.len() >= LIVE_MAX {
        noted.retain(|_, at| fresh(at));
    }
    if noted.get(&taker).is_some_and(fresh) || noted.len() >= LIVE_MAX {
        return false;
    }
    noted.insert(taker, now);
    true
}

/// A panic elsewhere leaves counts, which stay usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
