//! One round: paths whose tree differs from what it should be, and the operations that change it.
//!
//! Content that is known moves without being read: a file that should go is renamed to where its content should be; a file that is
//! about to be overwritten is first kept in staging by a second name. What is nowhere on this disk is fetched.

use super::Machine;
use super::record::copies_of;
use super::turn::Turn;
use super::twins::leave_to_folders;
use super::ways::Way;
use crate::id::ContentHash;
use crate::path::RelPath;
use crate::sync::action::{Action, Op, Report};
use crate::sync::applied::{Applied, Role};
use crate::sync::entry::{Kind, Removal};
use crate::sync::index::{Index, Read};
use crate::sync::names::Folded;
use crate::sync::project::{Wanted, originals, project};
use std::collections::{BTreeMap, BTreeSet};

/// Differences that are dealt with together.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) wants: BTreeMap<RelPath, Want>,
    considered: BTreeSet<RelPath>,
    removable: BTreeSet<RelPath>,
    pub(super) ops: Vec<Op>,
    pub(super) removes: Vec<Op>,
    pub(super) folders: BTreeSet<RelPath>,
    /// Paths that have to be considered as well.
    pub(super) queue: Vec<RelPath>,
    /// Of paths that the file system takes for one, the first that gets the place.
    pub(super) claims: BTreeMap<Folded, RelPath>,
    /// Folders that come about by renaming a twin, with its row.
    pub(super) refolded: BTreeMap<RelPath, (RelPath, Applied)>,
    /// Paths whose turn comes when what this round does is done.
    pub(super) waiting: Vec<RelPath>,
}

/// A path of the disk that is not as it should be.
#[derive(Debug, Clone)]
pub(super) struct Want {
    pub(super) row: Option<Applied>,
    pub(super) wanted: Option<Wanted>,
}

impl Round {
    pub(super) fn len(&self) -> usize {
        self.wants.len()
    }

    /// Lets a path go in this round, if it should.
    pub(super) fn allow_removal(&mut self, path: &RelPath) {
        if self.removable.insert(path.clone()) {
            self.considered.remove(path);
        }
    }
}

impl Machine {
    /// Compares a path of the fileset with all its copies, and whatever has to be dealt with together with them.
    pub(super) fn consider<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        round: &mut Round,
        path: &RelPath,
    ) -> Read<()> {
        round.queue.push(path.clone());
        while let Some(path) = round.queue.pop() {
            self.consider_one(turn, round, &path)?;
        }
        Ok(())
    }

    fn consider_one<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        round: &mut Round,
        path: &RelPath,
    ) -> Read<()> {
        let projection = project(turn.index, path, self.config.policy)?;
        for (at, _) in &projection.copies {
            if turn.applied(at)?.is_none() {
                turn.report(Report::Conflict {
                    path: path.clone(),
                    copy: at.clone(),
                });
            }
            self.consider_at(turn, round, at)?;
        }
        for (at, _) in copies_of(turn, path)? {
            self.consider_at(turn, round, &at)?;
        }
        self.consider_at(turn, round, path)
    }

    /// Compares one path of the disk.
    pub(super) fn consider_at<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        round: &mut Round,
        path: &RelPath,
    ) -> Read<()> {
        if !round.considered.insert(path.clone()) {
            return Ok(());
        }
        self.work.keep(path);
        if self.work.is_waiting(path) {
            return Ok(());
        }
        if self.work.is_busy(path) {
            self.work.wait(path.clone());
            return Ok(());
        }
        let row = turn.applied(path)?;
        let own = project(turn.index, path, self.config.policy)?;
        let removal = own.removal.unwrap_or(Removal::Moved);
        let wanted = match own.main {
            Some(main) => Some(main),
            None => self.wanted_copy(turn, path)?,
        };
        if let Some(row) = &row
            && self.is_needed_back(turn, round, path, row, wanted.as_ref())?
        {
            return Ok(());
        }
        if let (None, Some(wanted)) = (&row, &wanted) {
            if !self.has_place(turn, round, path, wanted)? {
                return Ok(());
            }
        } else {
            self.work.twins.free(path);
        }
        match (&row, &wanted) {
            (None, None) => {
                self.work.succeeded(path);
                return Ok(());
            }
            (Some(_), None) if !round.removable.contains(path) => {
                self.work.remove_later(path, removal);
                return Ok(());
            }
            (Some(row), Some(wanted)) if self.is_as_wanted(row, wanted) => {
                if (&row.version, &row.role) != (&wanted.version, &wanted.role) {
                    turn.set_applied(path, Some(wanted.row(row.stamp)));
                }
                self.work.succeeded(path);
                return Ok(());
            }
            _ => {}
        }
        if let Some(had) = row.as_ref().and_then(|row| row.kind.content()) {
            if !self.can_make_way(turn, path, had, &own.copies) {
                return Ok(());
            }
            round.queue.push(path.clone());
        }
        if let Some(wanted) = &wanted {
            self.consider_parent(turn, round, path)?;
            self.consider_source(turn, round, wanted)?;
        }
        round.wants.insert(path.clone(), Want { row, wanted });
        Ok(())
    }

    /// What has to make way here may have to be shown as a copy: both are dealt with together, or neither is.
    fn can_make_way<I: Index>(
        &mut self,
        turn: &Turn<'_, I>,
        path: &RelPath,
        had: ContentHash,
        copies: &[(RelPath, Wanted)],
    ) -> bool {
        for (at, copy) in copies {
            if copy.kind.content() != Some(had) {
                continue;
            }
            if self.work.is_busy(at) {
                self.work.wait(path.clone());
                return false;
            }
            if self.work.is_waiting(at) || self.work.twins.is_waiting(at) {
                self.work.retry(path, turn.now.monotonic_ms, None);
                return false;
            }
        }
        true
    }

    /// Whether a copy that should go holds the content that now belongs at its original, whose turn has not come: what is
    /// written there at the moment may just replace the only other file with these bytes.
    fn is_needed_back<I: Index>(
        &mut self,
        turn: &Turn<'_, I>,
        round: &mut Round,
        path: &RelPath,
        row: &Applied,
        wanted: Option<&Wanted>,
    ) -> Read<bool> {
        let Role::Copy { of } = &row.role else {
            return Ok(false);
        };
        if wanted.is_some_and(|wanted| !matches!(wanted.role, Role::Copy { .. })) {
            // The name of a copy is now that of a file: the copy first finds another one.
            round.queue.push(of.clone());
        }
        let busy = self.work.is_busy(of);
        if wanted.is_some_and(|wanted| wanted.kind == row.kind)
            || !busy && !self.work.is_waiting(of)
        {
            return Ok(false);
        }
        let main = project(turn.index, of, self.config.policy)?.main;
        if main.is_none_or(|main| main.kind != row.kind) {
            return Ok(false);
        }
        if busy {
            self.work.wait(path.clone());
        } else {
            self.work.retry(path, turn.now.monotonic_ms, None);
        }
        Ok(true)
    }

    /// The loser of a conflict that is shown at this path, if it is the name of a copy.
    pub(super) fn wanted_copy<I: Index>(
        &self,
        turn: &Turn<'_, I>,
        path: &RelPath,
    ) -> Read<Option<Wanted>> {
        for original in originals(turn.index, path)? {
            let copies = project(turn.index, &original, self.config.policy)?.copies;
            if let Some((_, wanted)) = copies.into_iter().find(|(at, _)| at == path) {
                return Ok(Some(wanted));
            }
        }
        Ok(None)
    }

    fn is_as_wanted(&self, row: &Applied, wanted: &Wanted) -> bool {
        row.kind == wanted.kind
            && match wanted.kind {
                Kind::File { .. } => (row.mode, row.mtime_ns) == (wanted.mode, wanted.mtime_ns),
                Kind::Folder => row.mode == wanted.mode || wanted.role == Role::Implied,
                Kind::Symlink { .. } | Kind::Tombstone(_) => true,
            }
    }

    /// What is to be inside a folder needs the folder first.
    pub(super) fn consider_parent<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        round: &mut Round,
        path: &RelPath,
    ) -> Read<()> {
        let Some(parent) = path.parent() else {
            return Ok(());
        };
        match turn.applied(&parent)? {
            Some(row) if row.kind == Kind::Folder => Ok(()),
            // What is in it waits. Were the folder to wait for itself as well, it would be tried again at once, though it has no place.
            _ if self.work.is_busy(&parent) => Ok(()),
            _ => self.consider_at(turn, round, &parent),
        }
    }

    /// What was renamed is dealt with together with the place that it comes from.
    fn consider_source<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        round: &mut Round,
        wanted: &Wanted,
    ) -> Read<()> {
        let Some(from) = &wanted.moved_from else {
            return Ok(());
        };
        let there = turn.applied(from)?;
        if there.is_some_and(|row| row.kind == wanted.kind) {
            round.allow_removal(from);
            round.queue.push(from.clone());
        }
        Ok(())
    }

    /// Turns the differences into operations and fetches.
    pub(super) fn execute<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        mut round: Round,
    ) -> Read<()> {
        let later = leave_to_folders(&mut round);
        let mut ways = self.assign(turn, &mut round)?;
        for (path, (from, row)) in std::mem::take(&mut round.refolded) {
            ways.insert(path, Way::Move(from, row));
        }
        let (copies, others) = copies_first(std::mem::take(&mut round.wants));
        for (path, want) in copies.into_iter().chain(others) {
            match want.wanted {
                Some(wanted) => {
                    let way = ways.remove(&path);
                    self.build(turn, &mut round, path, want.row, wanted, way)?;
                }
                None => self.take_away(turn, &mut round, path, want.row)?,
            }
        }
        for path in later {
            match self.work.flights.is_empty() {
                true => self.work.dirty(path),
                false => self.work.wait(path),
            }
        }
        for path in std::mem::take(&mut round.waiting) {
            self.postpone(turn, &path);
        }
        round.removes.reverse();
        round.ops.append(&mut round.removes);
        if !round.ops.is_empty() {
            turn.actions.push(Action::Apply(round.ops));
        }
        Ok(())
    }
}

/// What makes way for something else, and is shown as a copy: the copy comes first, or an end of the program in between would look
/// like a deletion.
fn copies_first(
    wants: BTreeMap<RelPath, Want>,
) -> (BTreeMap<RelPath, Want>, BTreeMap<RelPath, Want>) {
    let role = |want: &Want| want.wanted.as_ref().map(|wanted| wanted.role.clone());
    let is_there = |of: &RelPath| wants.get(of).is_some_and(|want| want.row.is_some());
    let first: BTreeSet<_> = wants
        .iter()
        .filter(|(_, want)| matches!(role(want), Some(Role::Copy { of }) if is_there(&of)))
        .map(|(path, _)| path.clone())
        .collect();
    wants
        .into_iter()
        .partition(|(path, _)| first.contains(path))
}
