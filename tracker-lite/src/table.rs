//! Peers of one family and one role in one torrent: an open hash table whose slots are nothing but
//! address, port and one byte of time, because a tracker is made of these slots. It grows by an eighth at a time, so that
//! little is empty, and is never more than nine tenths full, so that a search ends soon.

use crate::random::{Xorshift, fold};

/// Bytes of a slot for IPv4: address, port, time.
pub(crate) const V4: usize = 7;
/// Bytes of a slot for IPv6.
pub(crate) const V6: usize = 19;

/// Address and port in network order, and a byte that is overwritten with the time.
pub(crate) type Slot<const N: usize> = [u8; N];

/// When a peer was heard, in steps of a [`Clock`], modulo 255. 0 marks an empty slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(u8);

const STAMP_CYCLE: u64 = 255;

/// Turns times into stamps that are good for one timeout. A stamp comes around after two and a half timeouts,
/// before which whoever keeps stamps must have looked at each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    step_s: u64,
    timeout_steps: u64,
}

impl Clock {
    pub(crate) fn new(timeout_s: u32) -> Self {
        let timeout_s = u64::from(timeout_s).max(1);
        let step_s = timeout_s.div_ceil(100);
        Self {
            step_s,
            timeout_steps: timeout_s.div_ceil(step_s),
        }
    }

    pub(crate) fn stamp(self, now_s: u64) -> Stamp {
        Stamp((now_s / self.step_s % STAMP_CYCLE) as u8 + 1)
    }

    /// Whether more than the timeout lies between two stamps.
    pub(crate) fn is_overdue(self, heard: Stamp, now: Stamp) -> bool {
        (STAMP_CYCLE + u64::from(now.0) - u64::from(heard.0)) % STAMP_CYCLE > self.timeout_steps
    }
}

/// What an insertion found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inserted {
    New,
    Refreshed,
}

#[derive(Debug, Default)]
pub(crate) struct Table<const N: usize> {
    slots: Box<[Slot<N>]>,
    len: u32,
}

impl<const N: usize> Table<N> {
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// Slots, empty ones included: what a scan costs.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn contains(&self, key: &Slot<N>, seed: u64) -> bool {
        self.find(key, seed).is_ok()
    }

    /// Inserts, or renews the time.
    pub(crate) fn insert(&mut self, key: &Slot<N>, now: Stamp, seed: u64) -> Inserted {
        match self.find(key, seed) {
            Ok(at) => {
                self.slots[at] = stamped(key, now);
                Inserted::Refreshed
            }
            Err(free) => {
                self.len += 1;
                if self.len() * 10 > self.capacity() * 9 {
                    self.resize(self.capacity() + (self.capacity() / 8).max(2), seed);
                    self.place(stamped(key, now), seed);
                } else {
                    self.slots[free] = stamped(key, now);
                }
                Inserted::New
            }
        }
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, key: &Slot<N>, seed: u64) -> bool {
        let Ok(at) = self.find(key, seed) else {
            return false;
        };
        self.remove_at(at, seed);
        self.shrink(seed);
        true
    }

    /// Removes everything overdue, telling `gone` of each.
    pub(crate) fn expire(
        &mut self,
        clock: Clock,
        now: Stamp,
        seed: u64,
        mut gone: impl FnMut(&Slot<N>),
    ) {
        for at in 0..self.capacity() {
            // Removing moves a later slot here, which is looked at as well.
            while let Some(stamp) = stamp(&self.slots[at])
                && clock.is_overdue(stamp, now)
            {
                gone(&self.slots[at]);
                self.remove_at(at, seed);
            }
        }
        self.shrink(seed);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot<N>> {
        self.slots.iter().filter(|slot| stamp(slot).is_some())
    }

    /// Appends up to `want` random peers, none twice and none of `skip`, in compact form. Says how many.
    pub(crate) fn sample(
        &self,
        want: usize,
        skip: &[Slot<N>],
        random: &mut Xorshift,
        out: &mut Vec<u8>,
    ) -> usize {
        // Below this many peers for each one wanted, a scan of all is as cheap and exactly uniform.
        const SCAN_BELOW: usize = 8;
        if want == 0 || self.len == 0 {
            0
        } else if self.len() <= want.saturating_mul(SCAN_BELOW) {
            self.sample_by_scan(want, skip, random, out)
        } else {
            self.sample_by_strata(want, skip, random, out)
        }
    }

    /// Knuth's selection sampling: each peer is taken with the probability wanted / remaining.
    fn sample_by_scan(
        &self,
        want: usize,
        skip: &[Slot<N>],
        random: &mut Xorshift,
        out: &mut Vec<u8>,
    ) -> usize {
        let mut taken = 0;
        let mut remaining = self.len();
        for slot in self.iter() {
            if taken == want {
                break;
            }
            // One that is skipped leaves its place to those behind it.
            if random.below(remaining) < want - taken && !skip.iter().any(|own| same(own, slot)) {
                out.extend_from_slice(&slot[..N - 1]);
                taken += 1;
            }
            remaining -= 1;
        }
        taken
    }

    /// Cuts the table into as many parts as peers are wanted and takes one from each.
    fn sample_by_strata(
        &self,
        want: usize,
        skip: &[Slot<N>],
        random: &mut Xorshift,
        out: &mut Vec<u8>,
    ) -> usize {
        let mut taken = 0;
        for part in 0..want {
            let start = part * self.capacity() / want;
            let end = (part + 1) * self.capacity() / want;
            let offset = random.below(end - start);
            let (before, after) = self.slots[start..end].split_at(offset);
            let found = after
                .iter()
                .chain(before)
                .find(|slot| stamp(slot).is_some() && !skip.iter().any(|own| same(own, slot)));
            if let Some(slot) = found {
                out.extend_from_slice(&slot[..N - 1]);
                taken += 1;
            }
        }
        taken
    }

    /// Where `key` is, or the empty slot where it would go.
    fn find(&self, key: &Slot<N>, seed: u64) -> Result<usize, usize> {
        if self.slots.is_empty() {
            return Err(0);
        }
        let mut at = self.home(key, seed);
        // Ends: the table is never full.
        loop {
            let slot = &self.slots[at];
            if stamp(slot).is_none() {
                return Err(at);
            }
            if same(slot, key) {
                return Ok(at);
            }
            at = self.next(at);
        }
    }

    fn place(&mut self, slot: Slot<N>, seed: u64) {
        if let Err(free) = self.find(&slot, seed) {
            self.slots[free] = slot;
        }
    }

    /// Empties a slot and moves back what had to go past it, so that no search is cut short.
    fn remove_at(&mut self, at: usize, seed: u64) {
        let mut hole = at;
        let mut from = self.next(at);
        while stamp(&self.slots[from]).is_some() {
            let home = self.home(&self.slots[from], seed);
            let distance = |to: usize| (to + self.capacity() - home) % self.capacity();
            if distance(hole) < distance(from) {
                self.slots[hole] = self.slots[from];
                hole = from;
            }
            from = self.next(from);
        }
        self.slots[hole] = [0; N];
        self.len -= 1;
    }

    fn shrink(&mut self, seed: u64) {
        if self.len == 0 {
            self.slots = Box::default();
        } else if self.capacity() > 8 && self.len() * 3 < self.capacity() {
            self.resize(self.len() * 3 / 2 + 2, seed);
        }
    }

    fn resize(&mut self, capacity: usize, seed: u64) {
        let old = std::mem::replace(&mut self.slots, vec![[0; N]; capacity].into_boxed_slice());
        for slot in old.iter().filter(|slot| stamp(slot).is_some()) {
            self.place(*slot, seed);
        }
    }

    fn home(&self, key: &Slot<N>, seed: u64) -> usize {
        ((u128::from(hash(&key[..N - 1], seed)) * self.slots.len() as u128) >> 64) as usize
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() {
            0
        } else {
            at + 1
        }
    }
}

/// Hashes an address under a secret seed, so that nobody outside can aim at one slot.
pub(crate) fn hash(bytes: &[u8], seed: u64) -> u64 {
    let mut state = seed ^ 0xa076_1d64_78bd_642f;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        state = fold(state ^ u64::from_le_bytes(word), 0xe703_7ed1_a0b4_28db);
    }
    fold(state ^ seed.rotate_left(32), 0x8ebc_6af0_9c88_c6e3)
}

fn same<const N: usize>(a: &Slot<N>, b: &Slot<N>) -> bool {
    a[..N - 1] == b[..N - 1]
}

fn stamped<const N: usize>(key: &Slot<N>, now: Stamp) -> Slot<N> {
    let mut slot = *key;
    slot[N - 1] = now.0;
    slot
}

fn stamp<const N: usize>(slot: &Slot<N>) -> Option<Stamp> {
    match slot[N - 1] {
        0 => None,
        value => Some(Stamp(value)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const SEED: u64 = 0x5eed;
    const TIMEOUT_S: u32 = 100;

    fn key(number: u32) -> Slot<V4> {
        let [a, b, c, d] = number.to_be_bytes();
        [a, b, c, d, 0x1a, 0xe1, 0]
    }

    fn filled(count: u32) -> Table<V4> {
        let mut table = Table::default();
        for number in 0..count {
            assert_eq!(
                table.insert(&key(number), clock().stamp(0), SEED),
                Inserted::New
            );
        }
        table
    }

    fn clock() -> Clock {
        Clock::new(TIMEOUT_S)
    }

    #[test]
    fn stamps_go_around() {
        for timeout_s in [1, 60, 99, 101, 3900, 200_000] {
            let clock = Clock::new(timeout_s);
            let timeout_s = u64::from(timeout_s);
            for then_s in [0, 7, 1000, 255 * timeout_s, 255 * timeout_s / 100 - 1] {
                let overdue =
                    |after_s| clock.is_overdue(clock.stamp(then_s), clock.stamp(then_s + after_s));
                assert!(!overdue(0) && !overdue(timeout_s), "{timeout_s} {then_s}");
                assert!(
                    overdue(timeout_s + timeout_s / 20 + 2),
                    "{timeout_s} {then_s}"
                );
                // Steps are of whole seconds, which cuts the shortest timeouts.
                assert!(overdue(timeout_s * 2 + 2), "{timeout_s} {then_s}");
            }
        }
    }

    #[test]
    fn little_is_empty() {
        let table = filled(100_000);
        assert!(table.capacity() * 9 >= 1_000_000);
        assert!(table.capacity() < 100_000 * 10 / 9 * 9 / 8 + 8);
        assert_eq!(table.iter().count(), 100_000);
    }

    #[test]
    fn samples_are_distinct_and_spread() {
        for (count, want) in [(10, 50), (60, 50), (399, 50), (401, 50), (10_000, 200)] {
            let table = filled(count);
            let mut hits = BTreeMap::new();
            let mut random = Xorshift::new(7);
            let rounds = 4000;
            for _ in 0..rounds {
                let mut out = Vec::new();
                let taken = table.sample(want, &[key(3)], &mut random, &mut out);
                let set: BTreeSet<[u8; 6]> = out.as_chunks::<6>().0.iter().copied().collect();
                assert_eq!(set.len(), taken, "none twice");
                assert!(!set.contains(&key(3)[..6]));
                assert!(
                    taken + 2 >= want.min(count as usize - 1),
                    "{count} {want}: {taken}"
                );
                for peer in set {
                    *hits.entry(peer).or_insert(0u32) += 1;
                }
            }
            let reached = hits.len() as f64 / f64::from(count - 1);
            assert!(reached > 0.99, "{count} {want}: {reached}");
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(steps in proptest::collection::vec((0u8..3, 0u32..40, 0u64..3), 0..300), seed: u64) {
            let mut table = Table::<V4>::default();
            let mut model = BTreeMap::new();
            let mut now_s = 0;
            for (step, number, wait) in steps {
                now_s += wait;
                let now = clock().stamp(now_s);
                match step {
                    0 => {
                        let fresh = model.insert(number, now_s).is_none();
                        prop_assert_eq!(table.insert(&key(number), now, seed) == Inserted::New, fresh);
                    }
                    1 => prop_assert_eq!(table.remove(&key(number), seed), model.remove(&number).is_some()),
                    _ => {
                        let mut gone = 0;
                        table.expire(clock(), now, seed, |_| gone += 1);
                        let before = model.len();
                        model.retain(|_, then_s| now_s - *then_s <= u64::from(TIMEOUT_S));
                        prop_assert_eq!(gone, before - model.len());
                    }
                }
                prop_assert_eq!(table.len(), model.len());
                for number in 0..40 {
                    prop_assert_eq!(table.contains(&key(number), seed), model.contains_key(&number));
                }
            }
        }
    }
}
