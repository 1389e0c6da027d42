//! Names that the file system of this replica takes for one: which of them has the place, and which waits for it.
//!
//! Whoever is materialised keeps the place. A twin that has none is reported, and neither fetched nor tried again before something
//! happens to one of its twins. What is below a folder without a place is not looked at at all; it comes when the folder does.
//! Nothing here concerns a replica that takes no two names for one.

use super::Machine;
use super::plan::Round;
use super::turn::Turn;
use crate::limits::{SYNC_ROUND_MAX_PATHS, SYNC_TODO_MAX_PATHS};
use crate::path::RelPath;
use crate::sync::action::Problem;
use crate::sync::applied::{Applied, Role};
use crate::sync::entry::{Kind, Removal};
use crate::sync::index::{Index, Read, Span};
use crate::sync::names::{Folded, Names};
use crate::sync::project::{Wanted, project};
use crate::sync::version::VersionVector;
use std::collections::{BTreeMap, BTreeSet};

use super::finish::MASS_MIN_PATHS;

/// Twins in one folder that are looked at; a file system that folds has one.
const TWINS_MAX: usize = 8;

/// Paths without a place.
#[derive(Debug, Default)]
pub(super) struct Twins {
    names: Names,
    waiting: BTreeMap<Folded, BTreeMap<RelPath, Place>>,
    count: usize,
    /// Folders that are being renamed to a twin, with their new names.
    pub(super) moving: BTreeSet<RelPath>,
}

/// How the place of a path is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// By what will go, or may still turn out to go.
    Leaving,
    /// By what stays; this was reported.
    Taken,
}

impl Twins {
    pub(super) fn new(names: Names) -> Self {
        Self {
            names,
            ..Self::default()
        }
    }

    /// All that wait for the place that this path is at.
    pub(super) fn waiting_for(&self, path: &RelPath) -> Vec<RelPath> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let folded = self.names.folded(path);
        let group = folded.and_then(|folded| self.waiting.get(&folded));
        group.into_iter().flat_map(|g| g.keys().cloned()).collect()
    }

    /// All that wait.
    pub(super) fn all(&self) -> BTreeSet<RelPath> {
        let groups = self.waiting.values();
        groups.flat_map(|group| group.keys().cloned()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a place may become free by itself.
    pub(super) fn any_leaving(&self) -> bool {
        let mut places = self.waiting.values().flat_map(BTreeMap::values);
        places.any(|place| *place == Place::Leaving)
    }

    /// Whether this path has no place.
    pub(super) fn is_waiting(&self, path: &RelPath) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        let folded = self.names.folded(path);
        let group = folded.and_then(|folded| self.waiting.get(&folded));
        group.is_some_and(|group| group.contains_key(path))
    }

    fn is_below_waiting(&self, path: &RelPath) -> bool {
        let mut folder = path.parent();
        while let Some(at) = folder.filter(|_| !self.waiting.is_empty()) {
            if self.is_waiting(&at) {
                return true;
            }
            folder = at.parent();
        }
        false
    }

    /// A path need not wait any more. Gives whether it did.
    pub(super) fn free(&mut self, path: &RelPath) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        let Some(folded) = self.names.folded(path) else {
            return false;
        };
        let Some(group) = self.waiting.get_mut(&folded) else {
            return false;
        };
        let waited = group.remove(path).is_some();
        if group.is_empty() {
            self.waiting.remove(&folded);
        }
        self.count -= usize::from(waited);
        waited
    }

    /// A path waits. Gives what was known of its place, or nothing when as many wait as may.
    fn wait(&mut self, folded: Folded, path: &RelPath, place: Place) -> Option<Option<Place>> {
        if self.count >= SYNC_TODO_MAX_PATHS {
            return None;
        }
        let group = self.waiting.entry(folded).or_default();
        let before = group.insert(path.clone(), place);
        self.count += usize::from(before.is_none());
        Some(before)
    }
}

impl Machine {
    /// Whether a path that is not materialised can be. If not, it waits; or it comes with the folder that waits.
    pub(super) fn has_place<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        round: &mut Round,
        path: &RelPath,
        wanted: &Wanted,
    ) -> Read<bool> {
        let Some(folded) = self.config.features.names.folded(path) else {
            return Ok(true);
        };
        // A folder that is known to wait is not tried anew for each thing in it.
        if !self.work.twins.is_below_waiting(path) {
            self.consider_parent(turn, round, path)?;
        }
        if self.work.twins.is_below_waiting(path) {
            self.work.succeeded(path);
            self.work.twins.free(path);
            return Ok(false);
        }
        for other in turn.index.applied_folded(&folded, TWINS_MAX)? {
            if other != *path
                && let Some(row) = turn.applied(&other)?
                && !self.makes_way(turn, round, (path, wanted), (&other, &row))?
            {
                return Ok(false);
            }
        }
        let first = round.claims.entry(folded).or_insert_with(|| path.clone());
        if first != path {
            self.wait_for_place(turn, path, Place::Leaving);
            return Ok(false);
        }
        if self.work.twins.free(path) && wanted.kind == Kind::Folder {
            self.work.walk_below(path.clone());
        }
        Ok(true)
    }

    /// Whether a twin that is materialised goes in this round, or becomes what is wanted by a rename.
    fn makes_way<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        round: &mut Round,
        (path, wanted): (&RelPath, &Wanted),
        (other, row): (&RelPath, &Applied),
    ) -> Read<bool> {
        if self.wanted_at(turn, other)?.is_some() {
            if self.is_stream_open(turn) {
                // The other half of a rename may be on its way.
                self.work.hold(path.clone());
                self.wait_for_place(turn, path, Place::Leaving);
            } else {
                self.wait_for_place(turn, path, Place::Taken);
            }
            return Ok(false);
        }
        let under_way = self.work.is_busy(other) || self.work.is_busy_at_or_below(other);
        if under_way {
            self.work.wait(path.clone());
        } else if self.work.is_waiting(other) {
            // It is tried again, and then this one is too.
        } else if row.kind == Kind::Folder && wanted.kind == Kind::Folder {
            if !self.hides_mass_deletion(turn, other, path)? {
                round
                    .refolded
                    .insert(path.clone(), (other.clone(), row.clone()));
                return Ok(true);
            }
        } else if row.kind == wanted.kind && row.kind.content().is_some() {
            round.allow_removal(other);
            round.queue.push(other.clone());
            return Ok(true);
        }
        self.wait_for_place(turn, path, Place::Leaving);
        Ok(false)
    }

    /// Whether renaming a folder to its twin would carry out what the brake asks about.
    fn hides_mass_deletion<I: Index>(
        &self,
        turn: &Turn<'_, I>,
        from: &RelPath,
        to: &RelPath,
    ) -> Read<bool> {
        let mut gone = 0_u64;
        let mut after: Option<RelPath> = None;
        loop {
            let span = Span {
                below: Some(from),
                after: after.as_ref(),
            };
            let page = turn.index.applied_in(span, SYNC_ROUND_MAX_PATHS)?;
            for (at, _) in &page {
                let removal = project(turn.index, at, self.config.policy)?.removal;
                let new = moved_along(at, from, to);
                if removal == Some(Removal::Deleted)
                    && new
                        .map_or(Ok(None), |new| self.wanted_at(turn, &new))?
                        .is_none()
                {
                    gone += 1;
                }
            }
            match page.into_iter().next_back() {
                Some((last, _)) => after = Some(last),
                None => break,
            }
        }
        Ok(gone >= MASS_MIN_PATHS && gone.saturating_mul(2) > turn.index.applied_count()?)
    }

    /// The disk says that a name is taken, whatever the index thinks: a look finds out by what.
    pub(super) fn is_taken<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        path: &RelPath,
        look: &mut BTreeSet<Option<RelPath>>,
    ) {
        look.insert(path.parent());
        self.wait_for_place(turn, path, Place::Taken);
    }

    fn wait_for_place<I: Index>(&mut self, turn: &mut Turn<'_, I>, path: &RelPath, place: Place) {
        let folded = self.config.features.names.folded(path);
        let waits = folded.and_then(|folded| self.work.twins.wait(folded, path, place));
        match waits {
            // This folder folds and the others do not, or too many wait: it is tried from time to time.
            None => self.give_up(turn, path, Problem::Twin),
            Some(before) => {
                self.work.succeeded(path);
                if place == Place::Taken && before != Some(Place::Taken) {
                    Self::complain(turn, path, Problem::Twin);
                }
            }
        }
    }

    /// A folder was renamed to its twin: what is materialised below has new names.
    pub(super) fn refold<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        from: &RelPath,
        to: &RelPath,
    ) -> Read<()> {
        let mut after: Option<RelPath> = None;
        loop {
            let span = Span {
                below: Some(from),
                after: after.as_ref(),
            };
            let page = turn.index.applied_in(span, SYNC_ROUND_MAX_PATHS)?;
            for (at, _) in &page {
                if let Some(row) = turn.applied(at)? {
                    self.refold_row(turn, at, moved_along(at, from, to), row)?;
                }
            }
            match page.into_iter().next_back() {
                Some((last, _)) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    fn refold_row<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        at: &RelPath,
        new: Option<RelPath>,
        row: Applied,
    ) -> Read<()> {
        turn.set_applied(at, None);
        turn.dirty(at);
        let Some(new) = new else {
            return Ok(());
        };
        // Versions belong to a path: at the new one, nothing was seen but what is there already.
        let (version, role) = match self.wanted_at(turn, &new)? {
            Some(wanted) if wanted.kind == row.kind => (wanted.version, wanted.role),
            _ => (VersionVector::new(), Role::Main),
        };
        if let Role::Copy { of } = &row.role {
            turn.dirty(of);
        }
        let row = Applied {
            version,
            role,
            ..row
        };
        turn.set_applied(&new, Some(row));
        turn.dirty(&new);
        Ok(())
    }
}

/// Where a path below `from` is once that folder is `to`; nowhere when that would be too long.
fn moved_along(at: &RelPath, from: &RelPath, to: &RelPath) -> Option<RelPath> {
    let rest = at.as_str().strip_prefix(from.as_str())?;
    RelPath::new(&format!("{}{rest}", to.as_str())).ok()
}

/// Folders that are renamed to a twin take along all that is in them, which others may need: a round of their own. Gives what is
/// left for later.
pub(super) fn leave_to_folders(round: &mut Round) -> Vec<RelPath> {
    if round.refolded.is_empty() {
        return Vec::new();
    }
    let wants = std::mem::take(&mut round.wants);
    let inside = |path: &RelPath| round.refolded.keys().any(|to| path.is_below(to));
    let (now, later): (BTreeMap<_, _>, BTreeMap<_, _>) = wants
        .into_iter()
        .partition(|(path, _)| round.refolded.contains_key(path) && !inside(path));
    round.wants = now;
    later.into_keys().collect()
}
