//! One link of this node: its row, how far it is, its takers, and what it serves.

use super::clock::{now_ms, now_s};
use super::content::Content;
use super::listing::Listing;
use super::problems::{News, Problems};
use super::records::{Records, off_the_runtime};
use super::takers::{Guest, TakerSeat, Takers};
use shoal_api::{Event, Problem};
use shoal_disk::{Counters, SourceError};
use shoal_protocol::hello::Refusal;
use shoal_protocol::id::LinkId;
use shoal_store::{Durability, ShareEnd, ShareRow, StoreError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio_util::sync::CancellationToken;

/// How far a link is.
#[derive(Clone)]
pub(crate) enum Phase {
    /// The tree is being walked, or what is known of it loaded.
    Walking,
    /// Files can be read, hashes are not known yet.
    Hashing(Arc<Listing>, Arc<Counters>),
    /// Everything is served.
    Ready(Arc<Content>),
    /// It could not be read when it was made.
    Failed(Arc<shoal_api::ApiError>),
    /// It was ready once, and its files are not there now.
    Resting(Arc<str>),
}

/// One link of this node.
pub(crate) struct LiveShare {
    pub(crate) id: LinkId,
    pub(crate) takers: Arc<Takers>,
    pub(crate) ended: CancellationToken,
    row: RwLock<Arc<ShareRow>>,
    phase: RwLock<Phase>,
    problems: Mutex<Problems>,
    writing: Mutex<()>,
    records: Records,
}

impl LiveShare {
    /// From its row, with the takers that the store has kept.
    pub(crate) fn new(row: ShareRow, records: Records) -> Result<Self, StoreError> {
        let kept = records.store.takers(&row.id)?;
        let problems = Problems::restored(records.store.problems(&row.id)?);
        let ended = CancellationToken::new();
        if matches!(row.end, ShareEnd::Stopped { .. } | ShareEnd::Expired) {
            ended.cancel();
        }
        Ok(Self {
            id: row.id,
            takers: Arc::new(Takers::new(
                row.id,
                row.max_downloads,
                kept,
                records.clone(),
            )),
            ended,
            row: RwLock::new(Arc::new(row)),
            phase: RwLock::new(Phase::Walking),
            problems: Mutex::new(problems),
            writing: Mutex::default(),
            records,
        })
    }

    pub(crate) fn row(&self) -> Arc<ShareRow> {
        self.row
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        match &phase {
            Phase::Hashing(listing, _) => self.takers.know_total(listing.total_bytes),
            Phase::Ready(content) => self.takers.know_total(content.listing.total_bytes),
            Phase::Walking | Phase::Failed(_) | Phase::Resting(_) => {}
        }
        *self.phase.write().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// Changes the row in the store first, durably, and then here.
    pub(crate) fn update(
        &self,
        change: impl FnOnce(&mut ShareRow),
    ) -> Result<Arc<ShareRow>, StoreError> {
        // Two changes at once must not reach the store in one order and this row in the other.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let row = Arc::new(self.records.store.update_share(
            &self.id,
            Durability::Flushed,
            change,
        )?);
        *self.row.write().unwrap_or_else(PoisonError::into_inner) = row.clone();
        Ok(row)
    }

    pub(crate) fn content(&self) -> Option<Arc<Content>> {
        match self.phase() {
            Phase::Ready(content) => Some(content),
            _ => None,
        }
    }

    pub(crate) fn listing(&self) -> Option<Arc<Listing>> {
        match self.phase() {
            Phase::Hashing(listing, _) => Some(listing),
            Phase::Ready(content) => Some(content.listing.clone()),
            _ => None,
        }
    }

    /// Why nobody gets anything, if so. Time is checked here as well as by the timer, which may be late.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        let row = self.row();
        match row.end {
            ShareEnd::Stopped { .. } => Some(Refusal::Stopped),
            ShareEnd::Expired => Some(Refusal::Expired),
            ShareEnd::Active | ShareEnd::UsedUp
                if row.expires_s.is_some_and(|end| now_s() >= end) =>
            {
                Some(Refusal::Expired)
            }
            // Who used a slot a moment ago may finish; slots refuse everybody else.
            ShareEnd::UsedUp => None,
            ShareEnd::Active => match self.phase() {
                Phase::Failed(_) | Phase::Resting(_) => Some(Refusal::Resting),
                _ => None,
            },
        }
    }

    /// Why this guest gets nothing, if so. A taker that used its slot a moment ago is let through.
    pub(crate) fn refuses(&self, guest: &Guest) -> Option<Refusal> {
        self.refusal()
            .or_else(|| self.takers.refuses(guest).then_some(Refusal::UsedUp))
    }

    /// Before the first byte.
    pub(crate) fn admit(self: &Arc<Self>, guest: &Guest) -> Result<ShareSeat, Refusal> {
        match self.refusal() {
            Some(refusal) => Err(refusal),
            None => Ok(ShareSeat {
                seat: self.takers.admit(guest)?,
                share: self.clone(),
            }),
        }
    }

    /// A taker says that it has everything.
    pub(crate) fn says_complete(&self, guest: &Guest) {
        self.takers.says_complete(guest);
        self.end_if_used_up();
    }

    /// A link whose every download is used ends; who is at it may finish.
    fn end_if_used_up(&self) {
        if self.row().end != ShareEnd::Active || !self.takers.used_up() {
            return;
        }
        let used_up = off_the_runtime(|| {
            self.update(|row| {
                if row.end == ShareEnd::Active {
                    row.end = ShareEnd::UsedUp;
                }
            })
        });
        match used_up {
            Ok(row) if row.end != ShareEnd::UsedUp => {}
            Ok(_) => self.records.tell(Event::Ended {
                id: self.id.to_string(),
                why: Refusal::UsedUp.to_string(),
            }),
            Err(error) => tracing::warn!(%error, "that a link is used up could not be kept"),
        }
    }

    /// A single file has a problem: told once, shown with the link, and kept by [`LiveShare::keep_problems`].
    pub(crate) fn trouble(&self, path: &str, what: &str) {
        let path = shoal_protocol::display::escape(path).into_owned();
        if self.lock_problems().note(&path, what) != News::Shown {
            return;
        }
        tracing::warn!(
            link = self.id.brief(),
            path,
            what,
            "a shared file has a problem"
        );
        self.records.tell(Event::Problem {
            id: self.id.to_string(),
            path,
            what: what.to_owned(),
        });
    }

    /// So that a restart does not forget which files are not given.
    pub(crate) fn keep_problems(&self) {
        let problems = self.lock_problems().to_keep();
        let kept = self
            .records
            .store
            .put_problems(&self.id, problems, Durability::Lazy);
        if let Err(error) = kept {
            tracing::warn!(%error, "the problems of shared files could not be kept");
        }
    }

    /// Leaves out the problems of files that can be read again.
    pub(crate) fn review_problems(&self, listing: &Listing) {
        self.lock_problems().retain(|path| {
            let entry = shoal_protocol::path::RelPath::new(path).ok();
            let entry = entry.and_then(|path| listing.find(&path));
            entry.is_none_or(|entry| listing.open(entry).is_err())
        });
    }

    pub(crate) fn source_trouble(&self, path: &str, error: &SourceError) {
        let before = self.lock_problems().shown().count();
        self.trouble(path, &error.to_string());
        if self.lock_problems().shown().count() != before {
            self.keep_problems();
        }
    }

    /// How many files are not given beside those that are shown.
    pub(crate) fn more_problems(&self) -> u64 {
        self.lock_problems().more()
    }

    fn lock_problems(&self) -> MutexGuard<'_, Problems> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.lock_problems()
            .shown()
            .map(|(path, what)| Problem {
                path: path.clone(),
                what: what.clone(),
            })
            .collect()
    }

    /// Ends the link: what runs is cut off, what comes is refused, and the row says why.
    pub(crate) fn end(&self, how: ShareEnd) -> Result<(), StoreError> {
        self.update(|row| {
            if matches!(row.end, ShareEnd::Active | ShareEnd::UsedUp) {
                row.end = how;
            }
        })?;
        self.ended.cancel();
        let why = match how {
            ShareEnd::Stopped { .. } => Refusal::Stopped,
            ShareEnd::Expired => Refusal::Expired,
            ShareEnd::UsedUp | ShareEnd::Active => Refusal::UsedUp,
        };
        self.records.tell(Event::Ended {
            id: self.id.to_string(),
            why: why.to_string(),
        });
        Ok(())
    }

    /// Ends the link if its time is over; else says when that will be, in milliseconds from now.
    pub(crate) fn expire(&self) -> Option<u64> {
        let row = self.row();
        let end_ms = row
            .expires_s
            .filter(|_| matches!(row.end, ShareEnd::Active | ShareEnd::UsedUp))?
            .saturating_mul(1000);
        let left = end_ms.saturating_sub(now_ms());
        if left > 0 {
            return Some(left);
        }
        if let Err(error) = self.end(ShareEnd::Expired) {
            tracing::warn!(%error, "that a link expired could not be kept");
            self.ended.cancel();
        }
        None
    }
}

/// Leave to take from one link.
pub(crate) struct ShareSeat {
    seat: TakerSeat,
    share: Arc<LiveShare>,
}

impl ShareSeat {
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        if self.share.ended.is_cancelled() {
            self.share.refusal().or(Some(Refusal::Stopped))
        } else {
            None
        }
    }
}

impl shoal_transfer::serve::port::Seat for ShareSeat {
    fn again(&self) -> Result<(), Refusal> {
        self.seat.again()
    }

    fn sent(&self, bytes: u64) {
        self.seat.sent(bytes);
        self.share.end_if_used_up();
    }

    fn complete(&self) {
        self.seat.complete();
        self.share.end_if_used_up();
    }
}

impl shoal_gateway::port::Seat for ShareSeat {
    fn sent(&self, bytes: u64) {
        shoal_transfer::serve::port::Seat::sent(self, bytes);
    }

    fn ended(&self) -> Option<Refusal> {
        self.refusal()
    }
}
