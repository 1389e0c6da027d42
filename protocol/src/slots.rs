//! Slots: how the takers of a link are counted against its maximum.
//!
//! A taker reserves a slot at the first byte, uses it at completion, and frees it after ten idle
//! minutes. Whoever has a slot is never cut off; whoever has none is refused before the first byte.

use crate::id::TakerToken;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Idle time after which a reserved slot is free again, in milliseconds.
pub const IDLE_MS: u64 = 10 * 60 * 1000;

/// Takers remembered for a link without a maximum; the longest idle is forgotten first.
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
    /// Whether it has everything.
    pub stage: Stage,
}

/// Where a taker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is taking, and holds a reserved slot.
    Taking,
    /// It has everything, and used a slot.
    Complete,
}

/// The answer to a taker who wants bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It just got a slot.
    Fresh,
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
    forgotten_complete: u64,
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
        self.takers.insert(taker, progress);
    }

    /// Before the first byte of every request or connection.
    pub fn admit(&mut self, now_ms: u64, taker: Taker) -> Admission {
        self.free_idle(now_ms);
        let used_up = self.used_up();
        if let Some(progress) = self.takers.get_mut(&taker) {
            let idle = now_ms.saturating_sub(progress.seen_ms) > IDLE_MS;
            if progress.stage == Stage::Complete && idle && used_up {
                return Admission::Full;
            }
            progress.seen_ms = now_ms;
            return Admission::Again;
        }
        if self.max.is_some_and(|max| self.taken() >= u64::from(max)) {
            return Admission::Full;
        }
        self.forget_one_if_many();
        self.takers.insert(
            taker,
            Progress {
                bytes: 0,
                seen_ms: now_ms,
                stage: Stage::Taking,
            },
        );
        Admission::Fresh
    }

    /// What [`Slots::admit`] would answer; nothing is reserved.
    pub fn would_admit(&self, now_ms: u64, taker: &Taker) -> Admission {
        let idle = |p: &Progress| now_ms.saturating_sub(p.seen_ms) > IDLE_MS;
        if let Some(progress) = self.takers.get(taker) {
            return match progress.stage {
                Stage::Complete if idle(progress) && self.used_up() => Admission::Full,
                _ => Admission::Again,
            };
        }
        let whole = self.whole_bytes.filter(|bytes| *bytes > 0);
        let took_all = |p: &Progress| whole.is_some_and(|bytes| p.bytes >= bytes);
        let held = self
            .takers
            .values()
            .filter(|p| p.stage == Stage::Complete || !idle(p) || took_all(p))
            .count() as u64;
        match self.max {
            Some(max) if self.forgotten_complete + held >= u64::from(max) => Admission::Full,
            _ => Admission::Fresh,
        }
    }

    /// Payload bytes went out to a taker.
    pub fn sent(&mut self, now_ms: u64, taker: Taker, bytes: u64) {
        if let Some(progress) = self.takers.get_mut(&taker) {
            progress.bytes = progress.bytes.saturating_add(bytes);
            progress.seen_ms = now_ms;
        }
    }

    /// A taker has everything. True when it was not complete before.
    pub fn complete(&mut self, now_ms: u64, taker: Taker) -> bool {
        match self.takers.get_mut(&taker) {
            Some(progress) if progress.stage == Stage::Taking => {
                progress.stage = Stage::Complete;
                progress.seen_ms = now_ms;
                true
            }
            _ => false,
        }
    }

    /// Whether every download is used by a completed taker, so that the link is at its end.
    pub fn used_up(&self) -> bool {
        self.max
            .is_some_and(|max| self.completed() >= u64::from(max))
    }

    /// Takers that have everything.
    pub fn completed(&self) -> u64 {
        self.forgotten_complete
            + self
                .takers
                .values()
                .filter(|p| p.stage == Stage::Complete)
                .count() as u64
    }

    /// What one taker has.
    pub fn progress(&self, taker: &Taker) -> Option<&Progress> {
        self.takers.get(taker)
    }

    /// All takers that are remembered.
    pub fn takers(&self) -> impl Iterator<Item = (&Taker, &Progress)> {
        self.takers.iter()
    }

    fn taken(&self) -> u64 {
        self.forgotten_complete + self.takers.len() as u64
    }

    /// An idle taker that was sent a whole copy has used its slot, whether it said so or not.
    fn free_idle(&mut self, now_ms: u64) {
        if self.max.is_none() {
            return;
        }
        let whole = self.whole_bytes.filter(|bytes| *bytes > 0);
        self.takers.retain(|_, progress| {
            let idle = now_ms.saturating_sub(progress.seen_ms) > IDLE_MS;
            if idle && whole.is_some_and(|bytes| progress.bytes >= bytes) {
                progress.stage = Stage::Complete;
            }
            progress.stage == Stage::Complete || !idle
        });
    }

    /// Memory is bounded also where nothing limits the number of downloads.
    fn forget_one_if_many(&mut self) {
        if self.takers.len() < REMEMBERED_MAX {
            return;
        }
        let oldest = self
            .takers
            .iter()
            .min_by_key(|(_, p)| p.seen_ms)
            .map(|(taker, p)| (*taker, p.stage));
        if let Some((taker, stage)) = oldest {
            self.takers.remove(&taker);
            self.forgotten_complete += u64::from(stage == Stage::Complete);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn token(n: u8) -> Taker {
        Taker::Token(TakerToken([n; 16]))
    }

    #[test]
    fn one_taker_counts_once() {
        let mut slots = Slots::new(Some(1));
        assert_eq!(slots.admit(0, token(1)), Admission::Fresh);
        assert_eq!(slots.admit(1, token(1)), Admission::Again);
        assert_eq!(slots.admit(1, token(2)), Admission::Full);
        assert!(slots.complete(2, token(1)));
        assert!(!slots.complete(3, token(1)));
        assert!(slots.used_up());
        assert_eq!(slots.completed(), 1);
    }

    #[test]
    fn an_idle_reservation_is_freed_and_a_completed_one_is_not() {
        let mut slots = Slots::new(Some(2));
        slots.admit(0, token(1));
        slots.admit(0, token(2));
        slots.complete(0, token(1));
        assert_eq!(slots.admit(IDLE_MS, token(3)), Admission::Full);
        assert_eq!(slots.admit(IDLE_MS + 1, token(3)), Admission::Fresh);
        assert_eq!(slots.admit(IDLE_MS + 1, token(2)), Admission::Full);
    }

    #[test]
    fn who_was_sent_everything_and_says_nothing_has_used_its_slot() {
        let mut slots = Slots::new(Some(1));
        slots.know_whole(10);
        slots.admit(0, token(1));
        slots.sent(0, token(1), 10);
        assert_eq!(slots.completed(), 0);
        assert_eq!(slots.would_admit(IDLE_MS + 1, &token(2)), Admission::Full);
        assert_eq!(slots.admit(IDLE_MS + 1, token(2)), Admission::Full);
        assert_eq!(slots.completed(), 1);
    }

    #[test]
    fn bytes_keep_a_slot() {
        let mut slots = Slots::new(Some(1));
        slots.admit(0, token(1));
        slots.sent(IDLE_MS, token(1), 5);
        assert_eq!(slots.admit(IDLE_MS + 1, token(2)), Admission::Full);
        assert_eq!(slots.progress(&token(1)).map(|p| p.bytes), Some(5));
    }

    #[test]
    fn a_completed_taker_may_finish_its_last_requests_but_not_come_back_for_another_copy() {
        let mut slots = Slots::new(Some(1));
        slots.admit(0, token(1));
        slots.complete(0, token(1));
        assert_eq!(slots.admit(1000, token(1)), Admission::Again);
        assert_eq!(slots.admit(1000 + IDLE_MS + 1, token(1)), Admission::Full);
    }

    #[test]
    fn memory_is_bounded_and_the_count_stays_right() {
        let mut slots = Slots::new(None);
        for n in 0..REMEMBERED_MAX as u32 + 50 {
            let taker = Taker::Address(IpAddr::from(n.to_be_bytes()));
            assert_eq!(slots.admit(u64::from(n), taker), Admission::Fresh);
            slots.complete(u64::from(n), taker);
        }
        assert_eq!(slots.takers().count(), REMEMBERED_MAX);
        assert_eq!(slots.completed(), REMEMBERED_MAX as u64 + 50);
    }
}
