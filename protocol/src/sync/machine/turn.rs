//! One call of `handle`: the index as it will be once the rows written so far are visible, and what is asked for.

use crate::id::DeviceId;
use crate::path::RelPath;
use crate::sync::action::{Action, Report};
use crate::sync::applied::Applied;
use crate::sync::batch::Meta;
use crate::sync::entry::Entry;
use crate::sync::event::Now;
use crate::sync::index::{Index, Read};
use crate::sync::version::{AuthorId, Seen};
use std::collections::{BTreeMap, BTreeSet};

/// One call.
pub(super) struct Turn<'a, I> {
    pub(super) now: Now,
    pub(super) index: &'a I,
    pub(super) writes: Writes,
    pub(super) actions: Vec<Action>,
}

/// Rows to write, and what follows once they are durable.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// What goes before the rest, in batches of its own.
    pub(super) sealed: Vec<Sealed>,
    pub(super) entries: BTreeMap<RelPath, Vec<Entry>>,
    pub(super) applied: BTreeMap<RelPath, Option<Applied>>,
    pub(super) knowledge: BTreeMap<AuthorId, Seen>,
    pub(super) meta: bool,
    /// Paths to project again.
    pub(super) dirty: BTreeSet<RelPath>,
    /// Pages to acknowledge.
    pub(super) taken: Vec<(DeviceId, u64)>,
    /// Whether all peers get a new `Hello`.
    pub(super) greet: bool,
}

/// Rows that were written first, and may be on the disk without those that came after them.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) entries: BTreeMap<RelPath, Vec<Entry>>,
    pub(super) applied: BTreeMap<RelPath, Option<Applied>>,
    pub(super) knowledge: BTreeMap<AuthorId, Seen>,
    pub(super) meta: Option<Meta>,
}

impl Writes {
    /// Whether nothing has to be written down.
    pub(super) fn is_empty(&self) -> bool {
        self.sealed.is_empty()
            && self.entries.is_empty()
            && self.applied.is_empty()
            && self.knowledge.is_empty()
            && !self.meta
    }
}

impl<'a, I: Index> Turn<'a, I> {
    pub(super) fn new(now: Now, index: &'a I) -> Self {
        Self {
            now,
            index,
            writes: Writes::default(),
            actions: Vec::new(),
        }
    }

    pub(super) fn report(&mut self, report: Report) {
        self.actions.push(Action::Report(report));
    }

    pub(super) fn entries(&self, path: &RelPath) -> Read<Vec<Entry>> {
        let sealed = self.writes.sealed.iter().rev();
        let written = std::iter::once(&self.writes.entries).chain(sealed.map(|it| &it.entries));
        match written.into_iter().find_map(|rows| rows.get(path)) {
            Some(set) => Ok(set.clone()),
            None => self.index.entries(path),
        }
    }

    pub(super) fn applied(&self, path: &RelPath) -> Read<Option<Applied>> {
        let sealed = self.writes.sealed.iter().rev();
        let written = std::iter::once(&self.writes.applied).chain(sealed.map(|it| &it.applied));
        match written.into_iter().find_map(|rows| rows.get(path)) {
            Some(row) => Ok(row.clone()),
            None => self.index.applied(path),
        }
    }

    /// Paths beside this one, and below them, that begin like it, and whose rows were written in this call.
    pub(super) fn applied_now(&self, first: &RelPath) -> BTreeSet<RelPath> {
        let sealed = self.writes.sealed.iter().map(|it| &it.applied);
        let written = std::iter::once(&self.writes.applied).chain(sealed);
        let paths = written.flat_map(|rows| {
            let after = rows.range(first..).map(|(path, _)| path);
            after.take_while(|path| path.as_str().starts_with(first.as_str()))
        });
        paths.cloned().collect()
    }

    /// Writes a row. With the last thing in it a folder may go as well, whoever took that thing away.
    pub(super) fn set_applied(&mut self, path: &RelPath, row: Option<Applied>) {
        if row.is_none()
            && let Some(parent) = path.parent()
        {
            self.dirty(&parent);
        }
        self.writes.applied.insert(path.clone(), row);
    }

    pub(super) fn dirty(&mut self, path: &RelPath) {
        self.writes.dirty.insert(path.clone());
    }
}
