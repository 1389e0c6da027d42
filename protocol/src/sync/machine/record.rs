//! What was found is written down: entries with all that their writer has seen, and the conflicts that this settles.

use super::Machine;
use super::ledger::Draft;
use super::turn::Turn;
use crate::limits::SYNC_ROUND_MAX_PATHS;
use crate::path::RelPath;
use crate::sync::applied::{Applied, Role};
use crate::sync::conflict::{Side, View, copy_prefix};
use crate::sync::entry::{Entry, Kind, Removal};
use crate::sync::event::Found;
use crate::sync::index::{Index, Read};
use crate::sync::merge::version_of;
use crate::sync::project::place_copy;
use crate::sync::version::VersionVector;
use std::collections::BTreeSet;

impl Machine {
    /// Writes an entry for what was found, and the row for it.
    pub(super) fn write_found<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        path: &RelPath,
        found: &Found,
        kind: Kind,
        row: Option<Applied>,
        moved_from: Option<RelPath>,
    ) -> Read<()> {
        let (mode, mtime_ns) = self.attributes_of(found, &kind, row.as_ref());
        let parent = row
            .as_ref()
            .and_then(|row| row.kind.content())
            .filter(|parent| kind.content() != Some(*parent));
        let base = self.seen_at(turn, path, row.as_ref())?;
        let draft = Draft {
            path: path.clone(),
            kind: kind.clone(),
            mode,
            mtime_ns,
            parent,
            moved_from,
            base,
        };
        let version = self.write(turn, draft)?;
        turn.set_applied(
            path,
            Some(Applied {
                kind,
                mode,
                mtime_ns,
                stamp: found.stamp,
                version,
                role: Role::Main,
            }),
        );
        if let Some(Role::Copy { of }) = row.as_ref().map(|row| &row.role) {
            let row = row.clone();
            self.settle_copy(
                turn,
                &of.clone(),
                row.map(|row| row.version).unwrap_or_default(),
            )?;
        }
        Ok(())
    }

    /// What whoever changes a path of the disk has seen. When the path was in conflict and its copies are on the disk, they
    /// were seen too: they become files of their own, and the new entry dominates all siblings.
    pub(super) fn seen_at<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        path: &RelPath,
        row: Option<&Applied>,
    ) -> Read<VersionVector> {
        let set = turn.entries(path)?;
        let mut seen = version_of(set.iter().filter(|entry| !entry.is_live()));
        match row {
            Some(row) if matches!(row.role, Role::Copy { .. }) => {}
            Some(row) => {
                seen = row.version.clone();
                // An own entry that is shown as a copy would be dominated by the next own number, seen or not.
                let unseen = |e: &Entry| e.is_live() && !row.version.contains(e.dot());
                let any_unseen = set.iter().any(unseen);
                for (at, copy) in copies_of(turn, path)? {
                    // What the row says is there already as a copy: it was not changed, it made way, and that was not written down.
                    if any_unseen || copy.kind == row.kind {
                        seen.join(&copy.version);
                        self.keep_copy(turn, &at, copy)?;
                    }
                }
            }
            None => {}
        }
        Ok(seen)
    }

    /// Makes a conflict copy a file of its own. What others put at its name meanwhile has not been seen: it becomes a sibling.
    fn keep_copy<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        at: &RelPath,
        copy: Applied,
    ) -> Read<()> {
        let there = turn.entries(at)?;
        let base = version_of(there.iter().filter(|entry| !entry.is_live()));
        let draft = Draft {
            path: at.clone(),
            kind: copy.kind.clone(),
            mode: copy.mode,
            mtime_ns: copy.mtime_ns,
            parent: None,
            moved_from: None,
            base,
        };
        let version = self.write(turn, draft)?;
        let row = Applied {
            version,
            role: Role::Main,
            ..copy
        };
        turn.set_applied(at, Some(row));
        Ok(())
    }

    /// The next own number dominates whatever this device said of the path before, seen by the writer or not. What was not seen
    /// (a file that is shown as a copy, or content that was said again and never came) becomes a file of its own.
    pub(super) fn set_aside<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        draft: &Draft,
    ) -> Read<()> {
        let own = self.ledger.author();
        for entry in turn.entries(&draft.path)? {
            let seen = entry.author != own || draft.base.contains(entry.dot());
            if seen || entry.kind.same_content(&draft.kind) || !entry.is_live() {
                continue;
            }
            let Some(at) = place_copy(turn.index, &entry)? else {
                continue;
            };
            let row = turn.applied(&at)?;
            let is_shown = |row: &Applied| {
                row.kind == entry.kind
                    && matches!(&row.role, Role::Copy { of } if *of == draft.path)
            };
            if let Some(copy) = row.filter(is_shown) {
                self.keep_copy(turn, &at, copy)?;
                continue;
            }
            let base = version_of(turn.entries(&at)?.iter().filter(|entry| !entry.is_live()));
            let aside = Draft {
                path: at,
                kind: entry.kind,
                mode: entry.mode,
                mtime_ns: entry.mtime_ns,
                parent: None,
                moved_from: None,
                base,
            };
            self.write(turn, aside)?;
        }
        Ok(())
    }

    /// A person dealt with a copy: what wins at its path is said again, with that loser taken into account.
    pub(super) fn settle_copy<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        of: &RelPath,
        loser: VersionVector,
    ) -> Read<()> {
        let set = turn.entries(of)?;
        let view = View::new(&set, self.config.policy);
        let unsettled = |entry: &Entry| entry.is_live() && loser.contains(entry.dot());
        if !set.iter().any(unsettled) {
            return Ok(());
        }
        let row = turn.applied(of)?;
        let is_back = |entry: &Entry| row.as_ref().is_some_and(|row| row.kind == entry.kind);
        if set.iter().filter(|entry| unsettled(entry)).any(is_back) {
            // It is at its original: there it was brought back, and not taken away.
            return Ok(());
        }
        let other = |side: &&Side| !loser.contains(side.entry.dot());
        let winner = view.sides.iter().find(other);
        let mut base = winner.map(|side| side.version.clone()).unwrap_or_default();
        base.join(&view.deleted);
        base.join(&loser);
        let own = self.ledger.author();
        let unseen = |e: &Entry| e.is_live() && e.author == own && !base.contains(e.dot());
        if set.iter().any(unseen) {
            // Whatever is said now has a higher number than what this device said before, and would dominate it unseen.
            return Ok(());
        }
        let draft = match winner.map(|side| side.entry.clone()) {
            Some(entry) => Draft {
                path: of.clone(),
                kind: entry.kind,
                mode: entry.mode,
                mtime_ns: entry.mtime_ns,
                parent: None,
                moved_from: None,
                base,
            },
            // Nothing else wanted the path any more.
            None => Draft {
                path: of.clone(),
                kind: Kind::Tombstone(Removal::Moved),
                mode: 0,
                mtime_ns: turn.now.wall_ns,
                parent: None,
                moved_from: None,
                base,
            },
        };
        let kind = draft.kind.clone();
        let version = self.write(turn, draft)?;
        if let Some(row) = turn.applied(of)?
            && row.kind == kind
        {
            turn.set_applied(of, Some(Applied { version, ..row }));
        }
        Ok(())
    }

    /// Mode and time as an entry keeps them: what the disk cannot show stays as it was asked for.
    pub(super) fn attributes_of(
        &self,
        found: &Found,
        kind: &Kind,
        row: Option<&Applied>,
    ) -> (u32, i64) {
        let bits = self.config.features.mode_bits;
        let shown = found.stamp.mode & bits;
        let mode = match row {
            _ if matches!(kind, Kind::Symlink { .. }) => 0,
            Some(row) if row.stamp.mode & bits == shown && same_sort(&row.kind, kind) => row.mode,
            _ if bits == 0 && *kind == Kind::Folder => 0o755,
            _ if bits == 0 => 0o644,
            _ => shown & 0o777,
        };
        let mtime_ns = match row {
            _ if !matches!(kind, Kind::File { .. }) => 0,
            Some(row) if row.kind == *kind && row.stamp.mtime_ns == found.stamp.mtime_ns => {
                row.mtime_ns
            }
            _ => found.stamp.mtime_ns,
        };
        (mode, mtime_ns)
    }
}

/// The copies of a path in conflict that are on the disk.
pub(super) fn copies_of<I: Index>(
    turn: &Turn<'_, I>,
    path: &RelPath,
) -> Read<Vec<(RelPath, Applied)>> {
    let prefix = copy_prefix(path);
    let mut after = prefix.clone();
    let parent = path.parent();
    let is_copy = |row: &Applied| matches!(&row.role, Role::Copy { of } if of == path);
    let mut copies = Vec::new();
    let first = match &parent {
        Some(parent) => parent.join(&prefix),
        None => RelPath::new(&prefix),
    };
    for at in first.map_or_else(|_| BTreeSet::new(), |first| turn.applied_now(&first)) {
        if let Some(row) = turn.applied(&at)?.filter(is_copy) {
            copies.push((at, row));
        }
    }
    // Almost no path has a copy: one row tells.
    let mut rows = 1;
    loop {
        let page = turn
            .index
            .applied_children(parent.as_ref(), Some(&after), rows)?;
        rows = SYNC_ROUND_MAX_PATHS;
        for (at, _) in page.iter() {
            if !at.name().starts_with(&prefix) {
                return Ok(copies);
            }
            let row = turn.applied(at)?.filter(is_copy);
            if let Some(row) = row.filter(|_| copies.iter().all(|(known, _)| known != at)) {
                copies.push((at.clone(), row));
            }
        }
        match page.into_iter().next_back() {
            Some((last, _)) => after = last.name().to_owned(),
            None => return Ok(copies),
        }
    }
}

fn same_sort(a: &Kind, b: &Kind) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}
