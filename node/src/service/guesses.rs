//! Wrong passwords in a link's log: who guesses is seen, and cannot drown what else is there.

use shoal_protocol::attempts::{Attempts, Rule};
use std::collections::HashMap;
use std::net::IpAddr;

/// After this long without one an address begins anew.
const QUIET_MS: u64 = 60 * 60 * 1000;
/// Addresses that are counted; what more of them try is not noted.
const ADDRESSES_MAX: usize = 1_000;
/// Rows of one link, from all addresses: some hundred at once, then less than two hundred a day, of the 10,000 that
/// a log keeps.
const ROWS: Rule = Rule {
    burst: 200,
    every_ms: 10 * 60 * 1000,
};

/// The wrong passwords of one link.
#[derive(Debug)]
pub(crate) struct Guesses {
    of_address: HashMap<IpAddr, Tries>,
    rows: Attempts<()>,
    unnoted: u64,
}

#[derive(Debug, Clone, Copy)]
struct Tries {
    count: u64,
    last_ms: u64,
}

/// A row to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Noted {
    /// Wrong passwords of this address in a row, this one included.
    pub(crate) tries: u64,
    /// Wrong passwords, of anybody, that should have had a row since the last one that was written, and have none.
    pub(crate) unnoted: u64,
}

impl Default for Guesses {
    fn default() -> Self {
        Self {
            of_address: HashMap::new(),
            rows: Attempts::new(ROWS, 1),
            unnoted: 0,
        }
    }
}

impl Guesses {
    /// One more from this address; a row is due for the first, second, fourth, eighth and so on.
    pub(crate) fn count(&mut self, now_ms: u64, address: IpAddr) -> Option<Noted> {
        let recent = |tries: &Tries| now_ms.saturating_sub(tries.last_ms) < QUIET_MS;
        if self.of_address.len() >= ADDRESSES_MAX && !self.of_address.contains_key(&address) {
            self.of_address.retain(|_, tries| recent(tries));
            if self.of_address.len() >= ADDRESSES_MAX {
                self.unnoted = self.unnoted.saturating_add(1);
                return None;
            }
        }
        let before = self.of_address.get(&address).filter(|tries| recent(tries));
        let tries = before.map_or(1, |tries| tries.count.saturating_add(1));
        self.of_address.insert(
            address,
            Tries {
                count: tries,
                last_ms: now_ms,
            },
        );
        if !tries.is_power_of_two() {
            return None;
        }
        if self.rows.take(now_ms, &()).is_err() {
            self.unnoted = self.unnoted.saturating_add(1);
            return None;
        }
        Some(Noted {
            tries,
            unnoted: std::mem::take(&mut self.unnoted),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + n).to_be_bytes())
    }

    #[test]
    fn an_address_has_a_row_each_time_its_tries_have_doubled() {
        let mut guesses = Guesses::default();
        let mut rows = |now_ms, times: u64| -> Vec<u64> {
            (0..times)
                .filter_map(|_| guesses.count(now_ms, address(1)))
                .map(|noted| noted.tries)
                .collect()
        };
        assert_eq!(rows(0, 20), [1, 2, 4, 8, 16]);
        assert_eq!(rows(QUIET_MS - 1, 20), [32]);
        assert_eq!(rows(3 * QUIET_MS, 3), [1, 2], "it begins anew");
    }

    #[test]
    fn many_addresses_have_a_bounded_number_of_rows() {
        let mut guesses = Guesses::default();
        let rows = (0..100_000)
            .filter(|n| guesses.count(0, address(*n)).is_some())
            .count() as u64;
        assert_eq!(rows, ROWS.burst);
        assert_eq!(guesses.of_address.len(), ADDRESSES_MAX);
        let later = guesses.count(2 * QUIET_MS, address(7));
        let expected = Noted {
            tries: 1,
            unnoted: 100_000 - ROWS.burst,
        };
        assert_eq!(later, Some(expected), "what has no row is counted");
    }
}
