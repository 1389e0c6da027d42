//! Files of a link that are not given: shown with it, and kept over a restart.

use shoal_store::KeptProblems;
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Problems that are remembered whole and shown; of the rest it is said how many there are.
const SHOWN_MAX: usize = 200;
/// Paths beyond those of which it is known that they were counted; what is beyond these is not counted any more.
const COUNTED_MAX: usize = 100_000;
/// Bytes of a path and of a sentence that are kept.
const TEXT_MAX_BYTES: usize = 1_024;

/// The problems of one link, by path.
#[derive(Default)]
pub(super) struct Problems {
    shown: BTreeMap<String, String>,
    /// Hashes of the paths that there is no room for.
    counted: HashSet<u64>,
    more_before: u64,
}

/// What a problem is to those who are told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It was known.
    Known,
    /// It is shown from now on.
    Shown,
    /// It is only counted.
    Counted,
}

impl Problems {
    pub(super) fn restored(kept: KeptProblems) -> Self {
        Self {
            shown: kept.rows.into_iter().collect(),
            counted: HashSet::new(),
            more_before: kept.more,
        }
    }

    pub(super) fn note(&mut self, path: &str, what: &str) -> News {
        let (path, what) = (cut(path), cut(what));
        if self.shown.get(path).is_some_and(|known| known == what) {
            return News::Known;
        }
        if self.shown.len() < SHOWN_MAX || self.shown.contains_key(path) {
            self.shown.insert(path.to_owned(), what.to_owned());
            return News::Shown;
        }
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        if self.counted.len() < COUNTED_MAX && self.counted.insert(hasher.finish()) {
            News::Counted
        } else {
            News::Known
        }
    }

    /// Leaves out those that are over.
    pub(super) fn retain(&mut self, mut lasts: impl FnMut(&str) -> bool) {
        self.shown.retain(|path, _| lasts(path));
    }

    pub(super) fn shown(&self) -> impl Iterator<Item = (&String, &String)> {
        self.shown.iter()
    }

    /// How many there are beside those that are shown. What was counted before a restart and is met again counts once.
    pub(super) fn more(&self) -> u64 {
        self.more_before.max(self.counted.len() as u64)
    }

    pub(super) fn to_keep(&self) -> KeptProblems {
        KeptProblems {
            rows: self
                .shown
                .iter()
                .map(|(path, what)| (path.clone(), what.clone()))
                .collect(),
            more: self.more(),
        }
    }
}

fn cut(text: &str) -> &str {
    let end = text.floor_char_boundary(TEXT_MAX_BYTES);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_shown_and_the_rest_is_counted_once() {
        let mut problems = Problems::default();
        for _ in 0..2 {
            for n in 0..SHOWN_MAX + 50 {
                problems.note(&format!("{n:04}"), "left out");
            }
        }
        assert_eq!(problems.shown().count(), SHOWN_MAX);
        assert_eq!(problems.more(), 50);
        assert_eq!(problems.note("0000", "left out"), News::Known);
        assert_eq!(problems.note("0000", "changed"), News::Shown);

        let mut again = Problems::restored(problems.to_keep());
        assert_eq!(again.more(), 50);
        assert_eq!(again.note("9999", "left out"), News::Counted);
        assert_eq!(again.more(), 50);
        again.retain(|path| path != "0000");
        assert_eq!(again.shown().count(), SHOWN_MAX - 1);
    }
}
