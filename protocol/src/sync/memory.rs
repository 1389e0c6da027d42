//! An index in memory: for the browser, for simulations and for tests.

use super::applied::Applied;
use super::batch::{Batch, Meta};
use super::entry::{Entry, Kind};
use super::index::{Index, Read, Span};
use super::names::Folded;
use super::version::{AuthorId, Knowledge};
use crate::id::ContentHash;
use crate::path::RelPath;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// All rows of one fileset in memory. Cloning it is taking a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryIndex {
    entries: BTreeMap<RelPath, Vec<Entry>>,
    by_dot: BTreeMap<(AuthorId, u64), BTreeSet<RelPath>>,
    applied: BTreeMap<RelPath, Applied>,
    by_content: BTreeSet<(ContentHash, RelPath)>,
    by_inode: BTreeSet<(u64, RelPath)>,
    by_folded: BTreeSet<(Folded, RelPath)>,
    knowledge: Knowledge,
    meta: Option<Meta>,
}

impl MemoryIndex {
    /// An index without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a batch visible.
    pub fn write(&mut self, batch: &Batch) {
        for set in &batch.entries {
            for old in self.entries.remove(&set.path).unwrap_or_default() {
                let dot = (old.author, old.dot().seq);
                if let Some(paths) = self.by_dot.get_mut(&dot) {
                    paths.remove(&set.path);
                    if paths.is_empty() {
                        self.by_dot.remove(&dot);
                    }
                }
            }
            for entry in &set.maximal {
                let paths = self
                    .by_dot
                    .entry((entry.author, entry.dot().seq))
                    .or_default();
                paths.insert(set.path.clone());
            }
            if !set.maximal.is_empty() {
                self.entries.insert(set.path.clone(), set.maximal.clone());
            }
        }
        for change in &batch.applied {
            if let Some(old) = self.applied.remove(&change.path) {
                if let Kind::File { content, .. } = old.kind {
                    self.by_content.remove(&(content, change.path.clone()));
                }
                self.by_inode
                    .remove(&(old.stamp.inode, change.path.clone()));
            }
            if let Some(folded) = &change.folded {
                let twin = (folded.clone(), change.path.clone());
                match change.row {
                    Some(_) => self.by_folded.insert(twin),
                    None => self.by_folded.remove(&twin),
                };
            }
            if let Some(row) = &change.row {
                if let Kind::File { content, .. } = row.kind {
                    self.by_content.insert((content, change.path.clone()));
                }
                if row.stamp.inode != 0 {
                    self.by_inode.insert((row.stamp.inode, change.path.clone()));
                }
                self.applied.insert(change.path.clone(), row.clone());
            }
        }
        self.knowledge.extend(batch.knowledge.iter().copied());
        if let Some(meta) = &batch.meta {
            self.meta = Some(meta.clone());
        }
    }

    /// All sets of maximal entries, by path.
    pub fn all_entries(&self) -> &BTreeMap<RelPath, Vec<Entry>> {
        &self.entries
    }

    /// All that is materialised, by path.
    pub fn all_applied(&self) -> &BTreeMap<RelPath, Applied> {
        &self.applied
    }
}

impl Index for MemoryIndex {
    fn entries(&self, path: &RelPath) -> Read<Vec<Entry>> {
        Ok(self.entries.get(path).cloned().unwrap_or_default())
    }

    fn entries_in(&self, span: Span<'_>, limit: usize) -> Read<Vec<Entry>> {
        Ok(within(&self.entries, span)
            .take(limit)
            .flat_map(|(_, set)| set.iter().cloned())
            .collect())
    }

    fn authored(&self, author: AuthorId, after_seq: u64, limit: usize) -> Read<Vec<Entry>> {
        let dots = (
            Bound::Excluded((author, after_seq)),
            Bound::Included((author, u64::MAX)),
        );
        let mut entries = Vec::new();
        for ((_, seq), paths) in self.by_dot.range(dots) {
            if entries.len() >= limit {
                break;
            }
            let is = |entry: &&Entry| entry.author == author && entry.dot().seq == *seq;
            let sets = paths.iter().filter_map(|path| self.entries.get(path));
            entries.extend(sets.flatten().filter(is).cloned());
        }
        Ok(entries)
    }

    fn heads(&self) -> Read<Vec<(AuthorId, u64)>> {
        let heads: BTreeMap<_, _> = self.by_dot.keys().copied().collect();
        Ok(heads.into_iter().collect())
    }

    fn applied(&self, path: &RelPath) -> Read<Option<Applied>> {
        Ok(self.applied.get(path).cloned())
    }

    fn applied_in(&self, span: Span<'_>, limit: usize) -> Read<Vec<(RelPath, Applied)>> {
        Ok(within(&self.applied, span)
            .take(limit)
            .map(|(path, row)| (path.clone(), row.clone()))
            .collect())
    }

    fn applied_children(
        &self,
        folder: Option<&RelPath>,
        after: Option<&str>,
        limit: usize,
    ) -> Read<Vec<(RelPath, Applied)>> {
        let depth = folder.map_or(0, |path| path.components().count()) + 1;
        let span = Span {
            below: folder,
            after: None,
        };
        Ok(within(&self.applied, span)
            .filter(|(path, _)| path.components().count() == depth)
            .filter(|(path, _)| after.is_none_or(|after| path.name() > after))
            .take(limit)
            .map(|(path, row)| (path.clone(), row.clone()))
            .collect())
    }

    fn applied_content(&self, content: &ContentHash, limit: usize) -> Read<Vec<RelPath>> {
        Ok(paths_of(&self.by_content, content, limit))
    }

    fn applied_inode(&self, inode: u64, limit: usize) -> Read<Vec<RelPath>> {
        Ok(paths_of(&self.by_inode, &inode, limit))
    }

    fn applied_folded(&self, folded: &Folded, limit: usize) -> Read<Vec<RelPath>> {
        Ok(paths_of(&self.by_folded, folded, limit))
    }

    fn applied_count(&self) -> Read<u64> {
        Ok(self.applied.len() as u64)
    }

    fn knowledge(&self) -> Read<Knowledge> {
        Ok(self.knowledge.clone())
    }

    fn meta(&self) -> Read<Option<Meta>> {
        Ok(self.meta.clone())
    }
}

fn within<'a, T>(
    rows: &'a BTreeMap<RelPath, T>,
    span: Span<'a>,
) -> impl Iterator<Item = (&'a RelPath, &'a T)> {
    let start = [span.below, span.after].into_iter().flatten().max();
    let from = start.map_or(Bound::Unbounded, Bound::Excluded);
    rows.range::<RelPath, _>((from, Bound::Unbounded))
        .take_while(move |(path, _)| span.below.is_none_or(|below| path.is_below(below)))
}

fn paths_of<K: Ord + Clone>(rows: &BTreeSet<(K, RelPath)>, key: &K, limit: usize) -> Vec<RelPath> {
    // No path sorts before this one: NUL is in no name, and the text is the shortest there is.
    let Ok(first) = RelPath::new("\u{1}") else {
        return Vec::new();
    };
    rows.range((key.clone(), first)..)
        .take_while(|(other, _)| other == key)
        .take(limit)
        .map(|(_, path)| path.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::EntrySet;
    use crate::sync::testing::{author, file};
    use crate::sync::{BatchId, VersionVector};

    #[test]
    fn entries_under_one_number_are_never_cut_and_go_with_their_path() {
        let entry = |path: &str, seq| Entry {
            version: VersionVector::from_pairs([(author(1), seq)]),
            ..file(path, 1, path.as_bytes(), 0)
        };
        let all = [entry("a", 1), entry("b", 2), entry("c", 2), entry("d", 3)];
        let write = |index: &mut MemoryIndex, path: &RelPath, maximal: Vec<Entry>| {
            index.write(&Batch {
                id: BatchId(1),
                entries: vec![EntrySet {
                    path: path.clone(),
                    maximal,
                }],
                applied: Vec::new(),
                knowledge: Vec::new(),
                meta: None,
            });
        };
        let mut index = MemoryIndex::new();
        for entry in &all {
            write(&mut index, &entry.path, vec![entry.clone()]);
        }
        for (after, limit, expected) in [
            (0, 1, &all[..1]),
            (0, 2, &all[..3]),
            (1, 1, &all[1..3]),
            (2, 9, &all[3..]),
        ] {
            let found = index.authored(author(1), after, limit);
            assert_eq!(found.as_deref(), Ok(expected), "{after} {limit}");
        }
        write(&mut index, &all[2].path, Vec::new());
        let found = index.authored(author(1), 1, 1);
        assert_eq!(found.as_deref(), Ok(&all[1..2]));
    }
}
