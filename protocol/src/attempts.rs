//! How often somebody may try: a burst, then one try at a time (the generic cell rate algorithm, ITU-T I.371).

use std::collections::HashMap;
use std::hash::Hash;

/// A burst of tries, and how long until each comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Tries that may come at once.
    pub burst: u64,
    /// Milliseconds after which one try more is allowed.
    pub every_ms: u64,
}

/// Whoever tries has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Milliseconds until the next try is looked at.
    pub ms: u64,
}

/// Who tried, and how much of the burst that took. One number for each.
#[derive(Debug)]
pub struct Attempts<K> {
    rule: Rule,
    keys_max: usize,
    /// When all tries will have come back, in milliseconds of the caller's clock.
    whole_at_ms: HashMap<K, u64>,
}

impl<K: Hash + Eq + Clone> Attempts<K> {
    /// For at most `keys_max` at a time: where more try, new ones wait until one of them has all tries back.
    pub fn new(rule: Rule, keys_max: usize) -> Self {
        Self {
            rule,
            keys_max,
            whole_at_ms: HashMap::new(),
        }
    }

    /// Takes one try.
    ///
    /// # Errors
    /// [`Wait`]; nothing is taken then.
    pub fn take(&mut self, now_ms: u64, key: &K) -> Result<(), Wait> {
        let Rule { burst, every_ms } = self.rule;
        if self.whole_at_ms.len() >= self.keys_max && !self.whole_at_ms.contains_key(key) {
            self.whole_at_ms.retain(|_, whole| *whole > now_ms);
            if self.whole_at_ms.len() >= self.keys_max {
                return Err(Wait { ms: every_ms });
            }
        }
        let whole = self.whole_at_ms.get(key).copied().unwrap_or(0);
        let after = whole.max(now_ms).saturating_add(every_ms);
        let over = after
            .saturating_sub(now_ms)
            .saturating_sub(burst.saturating_mul(every_ms));
        if over > 0 {
            return Err(Wait { ms: over });
        }
        self.whole_at_ms.insert(key.clone(), after);
        Ok(())
    }

    /// Gives one try back: it was a good one.
    pub fn give_back(&mut self, key: &K) {
        if let Some(whole) = self.whole_at_ms.get_mut(key) {
            *whole = whole.saturating_sub(self.rule.every_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        burst: 3,
        every_ms: 100,
    };

    #[test]
    fn a_burst_then_one_at_a_time() {
        let mut attempts = Attempts::new(RULE, 10);
        let table = [
            (0, Ok(())),
            (0, Ok(())),
            (10, Ok(())),
            (10, Err(Wait { ms: 90 })),
            (99, Err(Wait { ms: 1 })),
            (100, Ok(())),
            (101, Err(Wait { ms: 99 })),
            // A clock that was set back makes nobody wait longer than all tries take.
            (0, Err(Wait { ms: 200 })),
            (10_000, Ok(())),
            (10_000, Ok(())),
            (10_000, Ok(())),
            (10_000, Err(Wait { ms: 100 })),
        ];
        for (row, (now_ms, expected)) in table.into_iter().enumerate() {
            assert_eq!(attempts.take(now_ms, &'a'), expected, "row {row}");
        }
        assert_eq!(attempts.take(10_000, &'b'), Ok(()), "others may go on");
    }

    #[test]
    fn good_tries_cost_nothing() {
        let mut attempts = Attempts::new(RULE, 10);
        for _ in 0..100 {
            assert_eq!(attempts.take(5, &'a'), Ok(()));
            attempts.give_back(&'a');
        }
        attempts.give_back(&'b');
    }

    #[test]
    fn it_stays_bounded() {
        let mut attempts = Attempts::new(RULE, 2);
        assert_eq!(attempts.take(0, &1), Ok(()));
        assert_eq!(attempts.take(50, &2), Ok(()));
        assert_eq!(attempts.take(60, &3), Err(Wait { ms: 100 }));
        assert_eq!(attempts.take(60, &1), Ok(()), "who is known goes on");
        assert_eq!(
            attempts.take(160, &3),
            Ok(()),
            "the second has its try back"
        );
        assert_eq!(attempts.whole_at_ms.len(), 2);
    }
}
