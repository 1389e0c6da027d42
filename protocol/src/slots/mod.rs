//! Slots: how the takers of a link are counted against its maximum.
//!
//! A taker reserves a slot at the first byte, uses it at completion, and frees it after ten idle
//! minutes. Whoever has a slot is never cut off; whoever has none is refused before the first byte.
//! Asking [`Slots::admit`] before every request keeps it so: there are never more than the maximum that get bytes.

mod merged;
#[cfg(test)]
mod tests;

pub use merged::{MERGED_MAX, PeerId};

use crate::id::TakerToken;
use merged::Merged;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Idle time after which a reserved slot is free again, in milliseconds.
pub const IDLE_MS: u64 = 10 * 60 * 1000;

/// Takers remembered for a link; the longest idle is forgotten first. No more than these take at a time from a
/// link that has a maximum.
pub const REMEMBERED_MAX: usize = 10_000;

/// Who counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Taker {
    /// A `shoal get`, by its token, on all ways.
    Token(TakerToken),
    /// Anybody else, by address.
    Address(IpAddr),
}

/// What a taker has of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Payload bytes that went to it.
    pub bytes: u64,
    /// When it last got some, milliseconds since 1970.
    pub seen_ms: u64,
    /// How far it is.
    pub stage: Stage,
}

/// Where a taker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is taking, and holds a reserved slot.
    Taking,
    /// It took nothing for ten minutes, and its slot is free for others.
    Idle,
    /// It has everything, and used a slot.
    Complete,
}

/// The answer to a taker who wants bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It just got a slot.
    Fresh,
    /// It had lost its slot by being idle, and just got one again.
    Back,
    /// It has a slot.
    Again,
    /// All slots are taken.
    Full,
}

/// The takers of one link.
#[derive(Debug, Clone, Default)]
pub struct Slots {
    max: Option<u32>,
    takers: BTreeMap<Taker, Progress>,
    merged: Merged,
    forgotten_complete: u64,
    forgotten: Vec<Taker>,
    whole_bytes: Option<u64>,
}

impl Slots {
    /// No takers yet; `max` downloads, or any number.
    pub fn new(max: Option<u32>) -> Self {
        Self {
            max,
            ..Self::default()
        }
    }

    /// How many bytes a whole copy has.
    pub fn know_whole(&mut self, bytes: u64) {
        self.whole_bytes = Some(bytes);
    }

    /// Puts back what was kept over a restart.
    pub fn restore(&mut self, taker: Taker, progress: Progress) {
        self.forget_one_if_many();
        self.takers.insert(taker, progress);
    }

    /// Puts back how many were complete before they were forgotten.
    pub fn restore_forgotten(&mut self, complete: u64) {
        self.forgotten_complete = self.forgotten_complete.saturating_add(complete);
    }

    /// Under whom somebody counts that is known by address, and perhaps by a BitTorrent peer id.
    ///
    /// Few addresses of one peer id share a slot. Because others can copy a peer id, they share no more than two
    /// copies: a client that nears its end asks for blocks by both addresses, and needs no third. After that, as
    /// for an address that had a slot of its own before, each counts for itself.
    pub fn taker_of(&mut self, now_ms: u64, address: IpAddr, peer_id: Option<PeerId>) -> Taker {
        let own = Taker::Address(address);
        if let Some(peer_id) = peer_id {
            self.merged.know(now_ms, peer_id, address);
            if !self.takers.contains_key(&own) {
                self.merged.join(&peer_id, address);
            }
        }
        let first = Taker::Address(self.merged.first(address));
        let whole = self.whole_bytes.unwrap_or(0);
        let spent = |progress: &Progress| whole > 0 && progress.bytes >= whole.saturating_mul(2);
        if self.takers.contains_key(&own) || self.takers.get(&first).is_some_and(spent) {
            own
        } else {
            first
        }
    }

    /// Before the first byte of every request or connection.
    pub fn admit(&mut self, now_ms: u64, taker: Taker) -> Admission {
        if let Some(progress) = self.takers.get_mut(&taker)
            && progress.stage != Stage::Idle
            && (self.max.is_none() || !is_idle(now_ms, progress))
        {
            progress.seen_ms = now_ms;
            return Admission::Again;
        }
        self.free_idle(now_ms);
        match self.would_admit(now_ms, &taker) {
            Admission::Full => Admission::Full,
            Admission::Fresh => {
                self.forget_one_if_many();
                let fresh = Progress {
                    bytes: 0,
                    seen_ms: now_ms,
                    stage: Stage::Taking,
                };
                self.takers.insert(taker, fresh);
                Admission::Fresh
            }
            again => {
                if let Some(progress) = self.takers.get_mut(&taker) {
                    progress.seen_ms = now_ms;
                    if progress.stage == Stage::Idle {
                        progress.stage = Stage::Taking;
                    }
                }
                again
            }
        }
    }

    /// What [`Slots::admit`] would answer; nothing is reserved.
    pub fn would_admit(&self, now_ms: u64, taker: &Taker) -> Admission {
        let known = self.takers.get(taker);
        let stage = known.map(|progress| self.stage_at(now_ms, progress));
        match (known, stage) {
            (Some(progress), Some(Stage::Complete)) => {
                let used_up =
                    |max| is_idle(now_ms, progress) && self.held_at(now_ms).1 >= u64::from(max);
                if self.max.is_some_and(used_up) {
                    Admission::Full
                } else {
                    Admission::Again
                }
            }
            (_, Some(Stage::Taking)) => Admission::Again,
            (_, Some(Stage::Idle)) if self.has_room(now_ms) => Admission::Back,
            (_, None) if self.has_room(now_ms) => Admission::Fresh,
            _ => Admission::Full,
        }
    }

    /// Payload bytes went out to a taker. One who lost its slot meanwhile has it again where there is room; where
    /// not, it is refused at its next request.
    pub fn sent(&mut self, now_ms: u64, taker: Taker, bytes: u64) {
        let revived = self.takers.get(&taker).map(|progress| progress.stage) == Some(Stage::Idle)
            && self.would_admit(now_ms, &taker) == Admission::Back;
        if let Some(progress) = self.takers.get_mut(&taker) {
            progress.bytes = progress.bytes.saturating_add(bytes);
            if revived {
                progress.stage = Stage::Taking;
            }
            if progress.stage != Stage::Idle {
                progress.seen_ms = now_ms;
            }
        }
    }

    /// A taker has everything. True when it was not complete before.
    pub fn complete(&mut self, now_ms: u64, taker: Taker) -> bool {
        let open = match self.takers.get(&taker).map(|progress| progress.stage) {
            Some(Stage::Taking) => true,
            Some(Stage::Idle) => self.would_admit(now_ms, &taker) == Admission::Back,
            Some(Stage::Complete) | None => false,
        };
        if let Some(progress) = self.takers.get_mut(&taker).filter(|_| open) {
            progress.stage = Stage::Complete;
            progress.seen_ms = now_ms;
        }
        open
    }

    /// Whether every download is used by a completed taker, so that the link is at its end.
    pub fn used_up(&self) -> bool {
        self.max
            .is_some_and(|max| self.completed() >= u64::from(max))
    }

    /// Takers that have everything.
    pub fn completed(&self) -> u64 {
        let complete = |progress: &&Progress| progress.stage == Stage::Complete;
        self.forgotten_complete + self.takers.values().filter(complete).count() as u64
    }

    /// Takers that were complete when they were forgotten.
    pub fn forgotten_complete(&self) -> u64 {
        self.forgotten_complete
    }

    /// Takers that were forgotten since this was asked last: what is kept of them can go.
    pub fn take_forgotten(&mut self) -> Vec<Taker> {
        std::mem::take(&mut self.forgotten)
    }

    /// What one taker has.
    pub fn progress(&self, taker: &Taker) -> Option<&Progress> {
        self.takers.get(taker)
    }

    /// All takers that are remembered.
    pub fn takers(&self) -> impl Iterator<Item = (&Taker, &Progress)> {
        self.takers.iter()
    }

    /// Reserved and used slots.
    pub fn taken(&self) -> u64 {
        let holds = |progress: &&Progress| progress.stage != Stage::Idle;
        self.forgotten_complete + self.takers.values().filter(holds).count() as u64
    }

    /// An idle taker that was sent a whole copy has used its slot, whether it said so or not.
    fn stage_at(&self, now_ms: u64, progress: &Progress) -> Stage {
        let whole = self.whole_bytes.filter(|bytes| *bytes > 0);
        match progress.stage {
            Stage::Taking if self.max.is_some() && is_idle(now_ms, progress) => {
                if whole.is_some_and(|bytes| progress.bytes >= bytes) {
                    Stage::Complete
                } else {
                    Stage::Idle
                }
            }
            stage => stage,
        }
    }

    fn has_room(&self, now_ms: u64) -> bool {
        self.max.is_none_or(|max| {
            let (taking, complete) = self.held_at(now_ms);
            taking + complete < u64::from(max) && taking < REMEMBERED_MAX as u64
        })
    }

    /// Reserved slots, and used ones.
    fn held_at(&self, now_ms: u64) -> (u64, u64) {
        let mut held = (0, self.forgotten_complete);
        for progress in self.takers.values() {
            match self.stage_at(now_ms, progress) {
                Stage::Taking => held.0 += 1,
                Stage::Idle => {}
                Stage::Complete => held.1 += 1,
            }
        }
        held
    }

    fn free_idle(&mut self, now_ms: u64) {
        let mut takers = std::mem::take(&mut self.takers);
        for progress in takers.values_mut() {
            progress.stage = self.stage_at(now_ms, progress);
        }
        self.takers = takers;
    }

    /// Memory is bounded whatever the number of downloads. Who takes from a link with a maximum is not forgotten,
    /// or it would take without being counted.
    fn forget_one_if_many(&mut self) {
        if self.takers.len() < REMEMBERED_MAX {
            return;
        }
        let oldest = self
            .takers
            .iter()
            .filter(|(_, p)| self.max.is_none() || p.stage != Stage::Taking)
            .min_by_key(|(_, p)| (p.stage == Stage::Complete && self.max.is_some(), p.seen_ms))
            .map(|(taker, p)| (*taker, p.stage));
        if let Some((taker, stage)) = oldest {
            self.takers.remove(&taker);
            self.forgotten.push(taker);
            self.forgotten_complete += u64::from(stage == Stage::Complete);
        }
    }
}

fn is_idle(now_ms: u64, progress: &Progress) -> bool {
    now_ms.saturating_sub(progress.seen_ms) > IDLE_MS
}
