//! Whose bytes are unproven until their whole file is there: plain HTTP proves nothing by itself.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Sources that brought bytes of files that are not proven yet, and those that were found to lie.
#[derive(Debug, Default)]
pub(crate) struct Suspects(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    brought: HashMap<u32, HashSet<usize>>,
    liars: HashSet<usize>,
}

impl Suspects {
    /// A source brings bytes of a file.
    pub(crate) fn brings(&self, source: usize, file: u32) {
        self.lock().brought.entry(file).or_default().insert(source);
    }

    /// A file is what was signed.
    pub(crate) fn clear(&self, file: u32) {
        self.lock().brought.remove(&file);
    }

    /// A file is not what was signed: nobody who brought some of it is asked again.
    pub(crate) fn convict(&self, file: u32) {
        let mut inner = self.lock();
        let brought = inner.brought.remove(&file).unwrap_or_default();
        inner.liars.extend(brought);
    }

    /// Whether a source brought bytes of a file that was wrong.
    pub(crate) fn has_lied(&self, source: usize) -> bool {
        self.lock().liars.contains(&source)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_brought_a_wrong_file_lied() {
        let suspects = Suspects::default();
        suspects.brings(0, 7);
        suspects.brings(1, 8);
        suspects.brings(2, 9);
        suspects.clear(8);
        suspects.convict(7);
        suspects.convict(8);
        let lied: Vec<bool> = (0..3).map(|source| suspects.has_lied(source)).collect();
        assert_eq!(lied, [true, false, false]);
    }
}
