//! A set of byte ranges: what of a file is there.

/// Disjoint, sorted, half-open ranges that do not touch each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RangeSet(Vec<(u64, u64)>);

impl RangeSet {
    /// Adds `start..end` and says how many bytes of it are new.
    pub(crate) fn add(&mut self, start: u64, end: u64) -> u64 {
        if start >= end {
            return 0;
        }
        // Ranges that overlap or touch are `first..last`; they become one.
        let first = self.0.partition_point(|(_, e)| *e < start);
        let last = self.0.partition_point(|(s, _)| *s <= end);
        let touched = self.0.get(first..last).unwrap_or_default();
        let had: u64 = touched
            .iter()
            .map(|(s, e)| end.min(*e).saturating_sub(start.max(*s)))
            .sum();
        let merged = (
            touched.first().map_or(start, |(s, _)| start.min(*s)),
            touched.last().map_or(end, |(_, e)| end.max(*e)),
        );
        self.0.splice(first..last, [merged]);
        end - start - had
    }

    /// Whether all of `start..end` is there.
    pub(crate) fn covers(&self, start: u64, end: u64) -> bool {
        start >= end || self.missing(start, end).next().is_none()
    }

    /// The parts of `start..end` that are not there.
    pub(crate) fn missing(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let first = self.0.partition_point(|(_, e)| *e <= start);
        let mut at = start;
        let mut ranges = self.0.get(first..).unwrap_or_default().iter();
        std::iter::from_fn(move || {
            while at < end {
                let (from, (s, e)) = (at, ranges.next().copied().unwrap_or((u64::MAX, u64::MAX)));
                at = e;
                if from < s.min(end) {
                    return Some((from, s.min(end)));
                }
            }
            None
        })
    }

    /// The ranges.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Bytes in all ranges.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(|(s, e)| e - s).sum()
    }
}

/// A range without another: what is before it and what is after.
pub(crate) fn cut(
    (start, end): (u64, u64),
    (from, to): (u64, u64),
) -> impl Iterator<Item = (u64, u64)> {
    let before = (start, end.min(from));
    let after = (start.max(to), end);
    [before, after]
        .into_iter()
        .filter(|(start, end)| start < end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_one_bit_per_byte(adds in prop::collection::vec((0u64..60, 0u64..60), 0..20), ask in (0u64..60, 0u64..60)) {
            let (mut set, mut bits) = (RangeSet::default(), [false; 64]);
            for (start, end) in adds {
                let new = (start..end).filter(|at| !bits[*at as usize]).count() as u64;
                prop_assert_eq!(set.add(start, end), new);
                (start..end).for_each(|at| bits[at as usize] = true);
            }
            let total = bits.iter().filter(|bit| **bit).count() as u64;
            prop_assert_eq!(set.total(), total);
            for pair in set.0.windows(2) {
                prop_assert!(pair[0].1 < pair[1].0);
            }
            let (start, end) = ask;
            let missing: Vec<u64> = set.missing(start, end).flat_map(|(s, e)| s..e).collect();
            let expected: Vec<u64> = (start..end).filter(|at| !bits[*at as usize]).collect();
            prop_assert_eq!(set.covers(start, end), expected.is_empty());
            prop_assert_eq!(missing, expected);
        }
    }
}
