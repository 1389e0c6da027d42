//! Join: the union of two sets of entries of one path, minus what is dominated.

use super::entry::Entry;
use super::version::VersionVector;

/// What became of an entry that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// The set has it now.
    Taken,
    /// The set had it, or knows something newer.
    Known,
}

/// Takes an entry into the set of maximal entries of its path, which stays sorted by dots.
///
/// Join is commutative, associative and idempotent, so that the order of arrival does not matter.
pub fn join(set: &mut Vec<Entry>, entry: Entry) -> Joined {
    if set.iter().any(|known| known.covers(&entry)) {
        return Joined::Known;
    }
    set.retain(|known| !entry.covers(known));
    let order = |entry: &Entry| (entry.dot(), entry.kind.clone(), entry.version.clone());
    let place = order(&entry);
    let at = set.partition_point(|known| order(known) < place);
    set.insert(at, entry);
    Joined::Taken
}

/// What somebody who has seen all of these has taken into account.
pub fn version_of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> VersionVector {
    let mut version = VersionVector::new();
    for entry in entries {
        version.join(&entry.version);
    }
    version
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sync::testing::{author, file, history};
    use proptest::prelude::*;

    fn joined(parts: &[&[Entry]]) -> Vec<Entry> {
        let mut set = Vec::new();
        for entry in parts.iter().flat_map(|part| part.iter()) {
            join(&mut set, entry.clone());
        }
        set
    }

    proptest! {
        #[test]
        fn join_is_commutative_associative_and_idempotent(
            steps in prop::collection::vec((0..4u8, any::<u16>()), 1..24), cut in any::<(u16, u16)>(),
        ) {
            let all = history(&steps);
            let a = &all[..cut.0 as usize % (all.len() + 1)];
            let b = &all[cut.1 as usize % (all.len() + 1)..];
            let c = &all[all.len() / 3..];
            prop_assert_eq!(joined(&[a, b]), joined(&[b, a]));
            let (ab, bc) = (joined(&[a, b]), joined(&[b, c]));
            prop_assert_eq!(joined(&[&ab, c]), joined(&[a, &bc]));
            prop_assert_eq!(joined(&[&ab, &ab]), ab.clone());
            prop_assert!(ab.is_sorted_by_key(Entry::dot));
            for x in &ab {
                for y in &ab {
                    prop_assert!(x == y || !x.covers(y), "no entry of the set dominates another");
                }
            }
        }

        #[test]
        fn covering_a_dot_is_covering_its_whole_version(steps in prop::collection::vec((0..4u8, any::<u16>()), 1..24)) {
            let all = history(&steps);
            for x in &all {
                for y in &all {
                    prop_assert_eq!(x.covers(y), x.version.covers(&y.version));
                }
            }
        }
    }

    /// A restored device may give a number twice.
    #[test]
    fn entries_of_one_number_stay_both_unless_one_of_them_has_seen_more() {
        let plain = file("f", 1, b"one", 5);
        let other = file("f", 1, b"two", 5);
        let later = Entry {
            mtime_ns: 6,
            ..plain.clone()
        };
        let mut wiser = plain.clone();
        wiser.version.raise(crate::sync::Dot {
            author: author(2),
            seq: 7,
        });
        for (a, b, left) in [
            (&plain, &plain, 1),
            (&plain, &other, 2),
            (&plain, &later, 1),
            (&plain, &wiser, 1),
            (&other, &wiser, 2),
        ] {
            let (a, b) = (std::slice::from_ref(a), std::slice::from_ref(b));
            let both = joined(&[a, b]);
            assert_eq!(both, joined(&[b, a]));
            assert_eq!(both.len(), left, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_clipped_vector_covers_less() {
        let mut version = VersionVector::from_pairs([(author(1), 5), (author(2), 3)]);
        version.clip(author(1), 2);
        assert_eq!(version.pairs(), [(author(1), 2), (author(2), 3)]);
        version.clip(author(1), 0);
        assert_eq!(version.pairs(), [(author(2), 3)]);
    }
}
