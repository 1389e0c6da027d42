//! What the sync machine pulls.

use super::codec::{Broken, decode_applied, decode_entries, decode_meta, decode_seen};
use super::{FilesetIndex, keys};
use shoal_protocol::id::ContentHash;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{
    Applied, AuthorId, Entry, Folded, Index, IndexError, Kind, Knowledge, Meta, Read, Span, key,
};
use std::ops::Bound;

impl Index for FilesetIndex {
    fn entries(&self, path: &RelPath) -> Read<Vec<Entry>> {
        match self.row(&keys::path(keys::ENTRIES, path))? {
            None => Ok(Vec::new()),
            Some(value) => Ok(decode_entries(path, &value, &self.authors())?),
        }
    }

    fn entries_in(&self, span: Span<'_>, limit: usize) -> Read<Vec<Entry>> {
        let mut entries = Vec::new();
        for row in self.span(keys::ENTRIES, span).take(limit) {
            let (path, value) = path_row(row)?;
            entries.extend(decode_entries(&path, &value, &self.authors())?);
        }
        Ok(entries)
    }

    fn authored(&self, author: AuthorId, after_seq: u64, limit: usize) -> Read<Vec<Entry>> {
        let Some(number) = self.authors().number(&author) else {
            return Ok(Vec::new());
        };
        let Some(first) = after_seq.checked_add(1) else {
            return Ok(Vec::new());
        };
        let from = keys::sequence_prefix(number, first);
        // No path begins with this byte.
        let to = [keys::sequence_prefix(number, u64::MAX), vec![255]].concat();
        let mut entries: Vec<Entry> = Vec::new();
        for row in self.0.tree.range(from..to) {
            let (key, _) = row.map_err(failed)?;
            let seq = keys::sequence_number(&key).ok_or(Broken)?;
            let last = entries.last().map(|entry| entry.dot().seq);
            if entries.len() >= limit && last != Some(seq) {
                break;
            }
            let path = keys::sequence_path(&key).ok_or(Broken)?;
            let before = entries.len();
            let set = self.entries(&path)?.into_iter();
            // A restored device may have given a number twice.
            entries.extend(set.filter(|entry| {
                let dot = entry.dot();
                (dot.author, dot.seq) == (author, seq)
            }));
            if entries.len() == before {
                return Err(Broken.into());
            }
        }
        Ok(entries)
    }

    fn heads(&self) -> Read<Vec<(AuthorId, u64)>> {
        let authors = self.authors().clone();
        let mut heads = Vec::new();
        for (number, author) in (0..).map_while(|number| Some((number, authors.author(number)?))) {
            let number = u16::try_from(number).map_err(|_| Broken)?;
            let mut rows = self
                .0
                .tree
                .scan_prefix(keys::author(keys::SEQUENCE, number));
            if let Some(last) = rows.next_back() {
                let (key, _) = last.map_err(failed)?;
                heads.push((author, keys::sequence_number(&key).ok_or(Broken)?));
            }
        }
        Ok(heads)
    }

    fn applied(&self, path: &RelPath) -> Read<Option<Applied>> {
        match self.row(&keys::path(keys::APPLIED, path))? {
            None => Ok(None),
            Some(value) => Ok(Some(decode_applied(&value, &self.authors())?)),
        }
    }

    fn applied_in(&self, span: Span<'_>, limit: usize) -> Read<Vec<(RelPath, Applied)>> {
        let mut rows = Vec::new();
        for row in self.span(keys::APPLIED, span).take(limit) {
            let (path, value) = path_row(row)?;
            rows.push((path, decode_applied(&value, &self.authors())?));
        }
        Ok(rows)
    }

    fn applied_children(
        &self,
        folder: Option<&RelPath>,
        after: Option<&str>,
        limit: usize,
    ) -> Read<Vec<(RelPath, Applied)>> {
        let prefix = below(keys::APPLIED, folder);
        // 1 is the least byte after the NUL that begins what is below a name.
        let past = |name: &[u8]| Bound::Included([prefix.as_slice(), name, &[1]].concat());
        let end = Bound::Excluded(successor(prefix.clone()));
        let first = match after {
            Some(name) => past(name.as_bytes()),
            None => Bound::Included(prefix.clone()),
        };
        let mut children = Vec::new();
        let mut rows = self.0.tree.range((first, end.clone()));
        while children.len() < limit {
            let Some(row) = rows.next() else {
                break;
            };
            let (key, value) = row.map_err(failed)?;
            let name = key.get(prefix.len()..).unwrap_or_default();
            let own = name.split(|byte| *byte == 0).next().unwrap_or_default();
            // What is below a child comes right after it, and may be much: it is jumped over.
            if own.len() < name.len() {
                rows = self.0.tree.range((past(own), end.clone()));
                continue;
            }
            let path = keys::path_of(key.get(1..).unwrap_or_default()).ok_or(Broken)?;
            let row = decode_applied(&value, &self.authors())?;
            if row.kind == Kind::Folder {
                rows = self.0.tree.range((past(own), end.clone()));
            }
            children.push((path, row));
        }
        Ok(children)
    }

    fn applied_content(&self, content: &ContentHash, limit: usize) -> Read<Vec<RelPath>> {
        let is = |row: &Applied| row.kind.content().as_ref() == Some(content);
        self.applied_by(keys::content_prefix(content), limit, is)
    }

    fn applied_inode(&self, inode: u64, limit: usize) -> Read<Vec<RelPath>> {
        let is = |row: &Applied| row.stamp.inode == inode;
        self.applied_by(keys::inode_prefix(inode), limit, is)
    }

    fn applied_folded(&self, folded: &Folded, limit: usize) -> Read<Vec<RelPath>> {
        self.applied_by(keys::folded_prefix(folded), limit, |_| true)
    }

    fn applied_count(&self) -> Read<u64> {
        self.count(keys::APPLIED_COUNT)
    }

    fn knowledge(&self) -> Read<Knowledge> {
        let mut knowledge = Knowledge::new();
        for row in self.0.tree.scan_prefix([keys::KNOWLEDGE]) {
            let (key, value) = row.map_err(failed)?;
            let number = keys::author_number(&key).ok_or(Broken)?;
            let author = self.authors().author(u64::from(number)).ok_or(Broken)?;
            knowledge.insert(author, decode_seen(&value)?);
        }
        Ok(knowledge)
    }

    fn meta(&self) -> Read<Option<Meta>> {
        match self.row(keys::META)? {
            None => Ok(None),
            Some(value) => Ok(Some(decode_meta(&value, &self.authors())?)),
        }
    }
}

impl FilesetIndex {
    /// How many files, folders and links are known, those in conflict once for each content.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn live_count(&self) -> Read<u64> {
        self.count(keys::LIVE_COUNT)
    }

    /// Paths that have more than one live content, in their order; at most `limit`.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn conflicts(&self, limit: usize) -> Read<Vec<RelPath>> {
        let rows = self.0.tree.scan_prefix([keys::CONFLICTS]).take(limit);
        rows.map(|row| path_row(row).map(|(path, _)| path))
            .collect()
    }

    pub(super) fn count(&self, key: &[u8]) -> Read<u64> {
        match self.row(key)? {
            None => Ok(0),
            Some(value) => Ok(u64::from_be_bytes(
                value.as_ref().try_into().map_err(|_| Broken)?,
            )),
        }
    }

    fn row(&self, key: &[u8]) -> Read<Option<sled::IVec>> {
        self.0.tree.get(key).map_err(failed)
    }

    fn span(&self, kind: u8, span: Span<'_>) -> sled::Iter {
        let prefix = below(kind, span.below);
        let end = successor(prefix.clone());
        let first = match span.after {
            Some(path) => Bound::Excluded(keys::path(kind, path).max(prefix)),
            None => Bound::Included(prefix),
        };
        // A range that begins after its end is a mistake to sled, and nothing to us.
        let end = match &first {
            Bound::Excluded(first) | Bound::Included(first) => end.max(first.clone()),
            Bound::Unbounded => end,
        };
        self.0.tree.range((first, Bound::Included(end)))
    }

    fn applied_by(
        &self,
        prefix: Vec<u8>,
        limit: usize,
        is: impl Fn(&Applied) -> bool,
    ) -> Read<Vec<RelPath>> {
        let mut paths = Vec::new();
        for row in self.0.tree.scan_prefix(&prefix) {
            if paths.len() >= limit {
                break;
            }
            let (key, _) = row.map_err(failed)?;
            let path = keys::path_of(key.get(prefix.len()..).unwrap_or_default()).ok_or(Broken)?;
            if self.applied(&path)?.is_some_and(|row| is(&row)) {
                paths.push(path);
            }
        }
        Ok(paths)
    }
}

/// The least key below a folder, or of a kind of row.
fn below(kind: u8, folder: Option<&RelPath>) -> Vec<u8> {
    let mut prefix = vec![kind];
    if let Some(folder) = folder {
        prefix.extend(key(folder));
        prefix.push(0);
    }
    prefix
}

/// The least key that has not this prefix and comes after it: no prefix ends in 255.
fn successor(mut prefix: Vec<u8>) -> Vec<u8> {
    if let Some(last) = prefix.last_mut() {
        *last = last.saturating_add(1);
    }
    prefix
}

fn path_row(row: sled::Result<(sled::IVec, sled::IVec)>) -> Read<(RelPath, sled::IVec)> {
    let (key, value) = row.map_err(failed)?;
    let path = keys::path_of(key.get(1..).unwrap_or_default()).ok_or(Broken)?;
    Ok((path, value))
}

fn failed(error: sled::Error) -> IndexError {
    IndexError(error.to_string())
}

impl From<Broken> for IndexError {
    fn from(_: Broken) -> Self {
        IndexError("a row is broken; check the disk and put the home back from a backup".to_owned())
    }
}
