//! Whether losses are many.

/// Of what was sent, one in so many may be lost: BBR's own measure (`BBRLossThresh`).
const ONE_IN: u64 = 50;
/// So many datagrams must be missing before they count: of a few, one is much.
const FEW: u64 = 6;
/// Bytes over which losses are counted, and as many before these.
const COUNTED_BYTES: u64 = 1 << 20;

/// Losses among what was sent lately.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    now: Count,
    before: Count,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    arrived_bytes: u64,
    lost_bytes: u64,
    lost: u64,
}

impl Counted {
    pub(super) fn arrived(&mut self, bytes: u64) {
        self.now.arrived_bytes += bytes;
        self.turn();
    }

    pub(super) fn lost(&mut self, bytes: u64) {
        self.now.lost_bytes += bytes;
        self.now.lost += 1;
        self.turn();
    }

    fn turn(&mut self) {
        if self.now.arrived_bytes + self.now.lost_bytes > COUNTED_BYTES {
            self.before = std::mem::take(&mut self.now);
        }
    }

    pub(super) fn are_many(&self) -> bool {
        let lost_bytes = self.now.lost_bytes + self.before.lost_bytes;
        let bytes = self.now.arrived_bytes + self.before.arrived_bytes + lost_bytes;
        self.now.lost + self.before.lost >= FEW && lost_bytes * ONE_IN > bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One datagram in `one_in` is lost, of `count`.
    fn after(count: u64, one_in: u64) -> Counted {
        let mut counted = Counted::default();
        for number in 1..=count {
            match number % one_in {
                0 => counted.lost(1400),
                _ => counted.arrived(1400),
            }
        }
        counted
    }

    #[test]
    fn single_losses_are_few_and_two_percent_are_many() {
        for count in [6, 100, 1_000, 10_000, 100_000] {
            assert!(!after(count, 1_000).are_many(), "{count}");
            assert!(!after(count, 60).are_many(), "{count}");
        }
        assert!(after(1_000, 40).are_many());
        assert!(after(100_000, 40).are_many());
        assert!(!after(10, 2).are_many(), "five of ten say nothing yet");
        assert!(after(100, 10).are_many());
    }

    #[test]
    fn losses_of_long_ago_are_forgotten() {
        let mut counted = after(1_000, 10);
        assert!(counted.are_many());
        for _ in 0..2_000 {
            counted.arrived(1400);
        }
        assert!(!counted.are_many());
    }
}
