#![allow(clippy::unwrap_used)]
//! A replica in a temporary folder, and an index in memory of what was applied in it.

use super::*;
use shoal_protocol::id::{ContentHash, FilesetId};
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{
    Applied, AuthorId, Entry, Folded, Found, FoundKind, Index, Kind, Knowledge, Meta, Page, Read,
    Role, Span, VersionVector,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

pub(crate) const FILESET: FilesetId = FilesetId([7; 32]);

pub(crate) struct Fixture {
    pub(crate) top: TempDir,
    pub(crate) replica: Replica,
    pub(crate) index: Memory,
}

/// The applied rows of a fileset.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) BTreeMap<RelPath, Applied>);

pub(crate) fn rel(path: &str) -> RelPath {
    RelPath::new(path).unwrap()
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::in_dir(tempfile::tempdir().unwrap())
    }

    pub(crate) fn in_dir(top: TempDir) -> Self {
        let replica = Replica::create(&top.path().join("root"), &FILESET, None).unwrap();
        let index = Memory::default();
        Self {
            top,
            replica,
            index,
        }
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.replica.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), bytes).unwrap();
    }

    pub(crate) fn try_scan(&self, look: Look<'_>) -> Result<(ScanSummary, Vec<Told>), ScanError> {
        let mut told = Vec::new();
        let cancel = AtomicBool::new(false);
        let options = ScanOptions {
            threads: 2,
            progress: &(),
            cancel: &cancel,
        };
        let summary = self
            .replica
            .scan(look, &self.index, &options, &mut |one| told.push(one))?;
        Ok((summary, told))
    }

    /// Differences between the disk and what was applied, as a machine would see them, sorted.
    pub(crate) fn differences(&self, look: Look<'_>) -> Vec<String> {
        let mut all = Vec::new();
        for told in self.try_scan(look).unwrap().1 {
            match told {
                Told::Problem(problem) => {
                    all.push(format!(
                        "! {} {:?}",
                        problem.path.escape_ascii(),
                        problem.kind
                    ));
                }
                Told::Page(page) => self.compare(&page, &mut all),
            }
        }
        all.sort();
        all
    }

    fn compare(&self, page: &Page, all: &mut Vec<String>) {
        let mut rows = BTreeMap::new();
        for (path, row) in self
            .index
            .applied_children(page.folder.as_ref(), page.after.as_deref(), usize::MAX)
            .unwrap()
        {
            if page.upto.as_deref().is_none_or(|upto| path.name() <= upto) {
                rows.insert(path.name().to_owned(), row);
            }
        }
        for found in &page.found {
            let path = full(page, found);
            let letter = match (&found.kind, rows.remove(&found.name)) {
                (FoundKind::Unknown, _) => continue,
                (kind, Some(row)) if row.kind == kind_of(kind, found) => {
                    if row.stamp.mode != found.stamp.mode {
                        "m"
                    } else if row.stamp.mtime_ns != found.stamp.mtime_ns
                        && *kind != FoundKind::Folder
                    {
                        "t"
                    } else {
                        continue;
                    }
                }
                (FoundKind::File { .. }, _) => "f",
                (FoundKind::Folder, _) => "d",
                (FoundKind::Symlink { .. }, _) => "l",
            };
            all.push(format!("{letter} {}", path.as_str()));
        }
        for name in rows.keys() {
            all.push(format!("v {}", join(page, name).as_str()));
        }
    }

    /// Takes everything that is there for applied.
    pub(crate) fn settle(&mut self) {
        let told = self.try_scan(Look::Everything).unwrap().1;
        let mut rows = BTreeMap::new();
        for told in told {
            let Told::Page(page) = told else {
                continue;
            };
            for found in &page.found {
                if found.kind != FoundKind::Unknown {
                    rows.insert(full(&page, found), row(found));
                }
            }
        }
        self.index.0 = rows;
    }
}

fn join(page: &Page, name: &str) -> RelPath {
    match &page.folder {
        Some(folder) => folder.join(name).unwrap(),
        None => rel(name),
    }
}

fn full(page: &Page, found: &Found) -> RelPath {
    join(page, &found.name)
}

fn kind_of(kind: &FoundKind, found: &Found) -> Kind {
    match kind {
        FoundKind::File { content } => Kind::File {
            content: *content,
            size_bytes: found.stamp.size_bytes,
        },
        FoundKind::Symlink { target } => Kind::Symlink {
            target: target.clone(),
        },
        _ => Kind::Folder,
    }
}

fn row(found: &Found) -> Applied {
    Applied {
        kind: kind_of(&found.kind, found),
        mode: found.stamp.mode,
        mtime_ns: found.stamp.mtime_ns,
        stamp: found.stamp,
        version: VersionVector::new(),
        role: Role::Main,
    }
}

impl Index for Memory {
    fn applied(&self, path: &RelPath) -> Read<Option<Applied>> {
        Ok(self.0.get(path).cloned())
    }

    fn applied_children(
        &self,
        folder: Option<&RelPath>,
        after: Option<&str>,
        limit: usize,
    ) -> Read<Vec<(RelPath, Applied)>> {
        let children = self.0.iter().filter(|(path, _)| {
            path.parent().as_ref() == folder && after.is_none_or(|after| path.name() > after)
        });
        Ok(children
            .take(limit)
            .map(|(path, row)| (path.clone(), row.clone()))
            .collect())
    }

    fn applied_inode(&self, inode: u64, limit: usize) -> Read<Vec<RelPath>> {
        let rows = self.0.iter().filter(|(_, row)| row.stamp.inode == inode);
        Ok(rows.take(limit).map(|(path, _)| path.clone()).collect())
    }

    fn applied_folded(&self, _folded: &Folded, _limit: usize) -> Read<Vec<RelPath>> {
        Ok(Vec::new())
    }

    fn entries(&self, _path: &RelPath) -> Read<Vec<Entry>> {
        Ok(Vec::new())
    }

    fn entries_in(&self, _span: Span<'_>, _limit: usize) -> Read<Vec<Entry>> {
        Ok(Vec::new())
    }

    fn authored(&self, _author: AuthorId, _after: u64, _limit: usize) -> Read<Vec<Entry>> {
        Ok(Vec::new())
    }

    fn heads(&self) -> Read<Vec<(AuthorId, u64)>> {
        Ok(Vec::new())
    }

    fn applied_in(&self, _span: Span<'_>, _limit: usize) -> Read<Vec<(RelPath, Applied)>> {
        Ok(Vec::new())
    }

    fn applied_content(&self, _content: &ContentHash, _limit: usize) -> Read<Vec<RelPath>> {
        Ok(Vec::new())
    }

    fn applied_count(&self) -> Read<u64> {
        Ok(self.0.len() as u64)
    }

    fn knowledge(&self) -> Read<Knowledge> {
        Ok(Knowledge::new())
    }

    fn meta(&self) -> Read<Option<Meta>> {
        Ok(None)
    }
}
