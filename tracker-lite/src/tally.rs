//! Counts by address in fixed memory: two rows of counters, each address in one cell of either row, its count the
//! smaller of both. A count is never too low; it is too high only where both cells are shared (a count-min sketch). The
//! cells follow from a secret seed, so that nobody can aim at somebody else's.

use std::net::IpAddr;

use crate::table::hash;

/// A fixed number of counters.
#[derive(Debug)]
pub(crate) struct Tally {
    rows: [Box<[u16]>; 2],
    seed: u64,
}

impl Tally {
    /// For about `expected` things in all.
    pub(crate) fn new(expected: usize, seed: u64) -> Self {
        let cells = (expected / 128).clamp(4096, 1 << 20).next_power_of_two();
        Self {
            rows: [0, 1].map(|_| vec![0; cells].into_boxed_slice()),
            seed,
        }
    }

    pub(crate) fn count(&self, address: IpAddr) -> u16 {
        let [first, second] = self.cells(address);
        self.rows[0][first].min(self.rows[1][second])
    }

    pub(crate) fn add(&mut self, address: IpAddr) {
        for (row, cell) in self.rows.iter_mut().zip(cells(address, self.seed)) {
            let cell = cell & (row.len() - 1);
            row[cell] = row[cell].saturating_add(1);
        }
    }

    pub(crate) fn take(&mut self, address: IpAddr) {
        for (row, cell) in self.rows.iter_mut().zip(cells(address, self.seed)) {
            let cell = cell & (row.len() - 1);
            row[cell] = row[cell].saturating_sub(1);
        }
    }

    /// Adds only where the count would else be too low, which keeps cells that are shared lower. Good where nothing
    /// is taken away.
    fn add_sparingly(&mut self, address: IpAddr) {
        let more = self.count(address).saturating_add(1);
        for (row, cell) in self.rows.iter_mut().zip(cells(address, self.seed)) {
            let cell = cell & (row.len() - 1);
            row[cell] = row[cell].max(more);
        }
    }

    pub(crate) fn clear(&mut self) {
        for row in &mut self.rows {
            row.fill(0);
        }
    }

    fn cells(&self, address: IpAddr) -> [usize; 2] {
        cells(address, self.seed).map(|cell| cell & (self.rows[0].len() - 1))
    }
}

/// Requests by address in the current minute.
#[derive(Debug)]
pub(crate) struct Pace {
    tally: Tally,
    minute: u64,
    limit: u16,
}

impl Pace {
    /// At most `limit` a minute from one address; 0 is no limit.
    pub(crate) fn new(limit: u16, seed: u64) -> Self {
        Self {
            tally: Tally::new(1 << 21, seed),
            minute: 0,
            limit,
        }
    }

    /// Counts a request. Whether it is within the limit.
    pub(crate) fn admits(&mut self, now_s: u64, address: IpAddr) -> bool {
        if self.limit == 0 {
            return true;
        }
        if now_s / 60 != self.minute {
            self.minute = now_s / 60;
            self.tally.clear();
        }
        if self.tally.count(address) >= self.limit {
            return false;
        }
        self.tally.add_sparingly(address);
        true
    }
}

/// What counts as one address: an IPv4 address, or an IPv6 network of 64 bits, which is what one subscriber gets.
fn cells(address: IpAddr, seed: u64) -> [usize; 2] {
    let hash = match address {
        IpAddr::V4(ip) => hash(&ip.octets(), seed),
        IpAddr::V6(ip) => hash(&ip.octets()[..8], !seed),
    };
    [hash as u32 as usize, (hash >> 32) as usize]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn counts_by_address_and_by_network() {
        let mut tally = Tally::new(1000, 1);
        let one: IpAddr = "10.0.0.1".parse().unwrap();
        let host: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::ffff".parse().unwrap();
        for _ in 0..3 {
            tally.add(one);
            tally.add(host);
        }
        tally.take(one);
        assert_eq!(tally.count(one), 2);
        assert_eq!(tally.count(neighbour), 3);
        assert_eq!(tally.count("10.0.0.2".parse().unwrap()), 0);
    }

    #[test]
    fn a_full_tally_hardly_errs() {
        let mut tally = Tally::new(1 << 20, 7);
        for number in 0..1u32 << 20 {
            tally.add(IpAddr::V4(number.into()));
        }
        let worst = (0..1u32 << 20)
            .map(|number| tally.count(IpAddr::V4(number.into())))
            .max();
        assert!(worst < Some(250), "{worst:?}");
    }

    #[test]
    fn a_pace_is_by_the_minute() {
        let mut pace = Pace::new(2, 1);
        let one: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(
            [0, 1, 2].map(|now_s| pace.admits(now_s, one)),
            [true, true, false]
        );
        assert!(pace.admits(59, "10.0.0.2".parse().unwrap()));
        assert!(pace.admits(60, one));
        let mut free = Pace::new(0, 1);
        assert!((0..100).all(|_| free.admits(0, one)));
    }
}
