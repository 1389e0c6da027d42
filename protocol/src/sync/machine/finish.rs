//! The end of a look: renames are told from copies, what is gone becomes tombstones, and the brakes decide.

use super::ledger::Draft;
use super::local::{Late, Root, Scanning, kind_of};
use super::record::copies_of;
use super::turn::Turn;
use super::{Consent, Growing, Halt, Machine};
use crate::id::ContentHash;
use crate::limits::SYNC_ROUND_MAX_PATHS;
use crate::path::RelPath;
use crate::sync::applied::{Applied, Role};
use crate::sync::entry::{Entry, Kind, Removal};
use crate::sync::event::Scope;
use crate::sync::index::{Index, Read, Span};
use crate::sync::project::originals;
use std::collections::{BTreeMap, BTreeSet};

/// From how many paths on a deletion can be a mass deletion.
pub(super) const MASS_MIN_PATHS: u64 = 50;

/// From how many paths on a deletion may be the beginning of a greater one.
const GROWING_MIN_PATHS: u64 = 20;
/// How long so many paths must be gone, and no more of them go, before they are taken for deleted.
const MASS_SETTLE_MS: u64 = 1_000;
/// The same for fewer.
const FEW_SETTLE_MS: u64 = 300;
/// How long a deletion that never ends is waited for, milliseconds: some programs delete files all the time.
const GROWING_MAX_MS: u64 = 300_000;

/// Where content that moved can have come from.
type Sources = BTreeMap<ContentHash, Vec<RelPath>>;

impl Machine {
    pub(super) fn on_finished<I: Index>(&mut self, turn: &mut Turn<'_, I>) -> Read<()> {
        let mut scan = self.scan.end();
        let Some(scope) = scan.scope else {
            return Ok(());
        };
        scan.doubt_vanished();
        if scan.spoiled {
            Self::look_again(turn);
            return Ok(());
        }
        Self::look_at(turn, scan.relook.iter().cloned());
        let consent = match scope {
            Scope::Everything => std::mem::take(&mut self.brake.consent),
            Scope::Folders => Consent::None,
        };
        let (gone, sources) = self.survey(turn, &scan)?;
        let of = turn.index.applied_count()?;
        let empty = match scan.root {
            Root::Unseen => scope == Scope::Everything,
            Root::Empty => true,
            Root::Inhabited => false,
        };
        let emptied = empty && of > 1;
        let moved = self.write_late(turn, scan.late, sources)?;
        let gone = gone.saturating_sub(moved.len() as u64);
        // A root that is found empty is no beginning of anything.
        if consent == Consent::None
            && !emptied
            && !self.is_settled(turn.now.monotonic_ms, scope, gone, &scan.vanished)
        {
            return Ok(());
        }
        let mass = gone >= MASS_MIN_PATHS && gone.saturating_mul(2) > of;
        if consent == Consent::None && gone > 0 && (emptied || mass) {
            let why = if emptied {
                Halt::Emptied
            } else {
                Halt::MassDeletion { gone, of }
            };
            self.halt(turn, why);
            return Ok(());
        }
        for path in &scan.vanished {
            self.bury_tree(turn, path, &moved, consent)?;
            self.seal_if_much(turn);
        }
        if scope == Scope::Everything {
            // What has taken a place may be nothing that the index knows, and have gone.
            let waiting = self.work.twins.all();
            self.work.dirty_all(waiting);
            if !self.scan.looked {
                self.scan.looked = true;
                self.work.walk_all();
            }
            if !matches!(self.brake.halt, Some(Halt::RemoteDeletion { .. })) {
                self.release(turn);
            }
        }
        self.work.looked();
        Ok(())
    }

    /// Whether a deletion is over. Many files do not go at once, and a brake that counted each part of them alone would never bite:
    /// as long as more of them go, none is taken for deleted. Few are looked at once more where they were, many with everything.
    fn is_settled(
        &mut self,
        now_ms: u64,
        scope: Scope,
        gone: u64,
        vanished: &BTreeSet<RelPath>,
    ) -> bool {
        let seen = self.brake.growing.take();
        let everything = scope == Scope::Everything;
        if let Some(seen) = &seen
            && !everything
            && (seen.folders.is_empty() || gone == 0 && seen.look_at_ms.is_some())
        {
            // It is no answer to what was asked.
            self.brake.growing = Some(seen.clone());
            return gone == 0;
        }
        let asked = seen.as_ref().filter(|seen| seen.look_at_ms.is_none());
        let before = match (&seen, asked) {
            (Some(seen), None) if !everything => seen.gone,
            _ => 0,
        };
        let few = before + gone < GROWING_MIN_PATHS;
        if gone == 0 || few && everything || few && asked.is_some_and(|asked| asked.gone == gone) {
            return true;
        }
        let since_ms = seen.as_ref().map_or(now_ms, |seen| seen.since_ms);
        if now_ms.saturating_sub(since_ms) >= GROWING_MAX_MS {
            return true;
        }
        if few {
            let mut folders = seen
                .as_ref()
                .map_or_else(BTreeSet::new, |it| it.folders.clone());
            folders.extend(vanished.iter().map(RelPath::parent));
            let at_ms = seen.and_then(|seen| seen.look_at_ms);
            let at_ms = at_ms.unwrap_or(now_ms + FEW_SETTLE_MS);
            self.brake.growing = Some(Growing {
                gone: before + gone,
                since_ms,
                look_at_ms: Some(at_ms),
                settles_at_ms: at_ms,
                folders,
            });
            return false;
        }
        let same = seen.filter(|seen| everything && seen.folders.is_empty() && seen.gone == gone);
        let settles_at_ms = same.map_or(now_ms + MASS_SETTLE_MS, |seen| seen.settles_at_ms);
        if settles_at_ms <= now_ms {
            return true;
        }
        self.brake.growing = Some(Growing {
            gone,
            since_ms,
            look_at_ms: Some(settles_at_ms),
            settles_at_ms,
            folders: BTreeSet::new(),
        });
        false
    }

    /// Looks whether more of it is gone.
    pub(super) fn look_at_growing<I: Index>(&mut self, turn: &mut Turn<'_, I>) {
        let due = |growing: &&mut Growing| {
            let at_ms = growing.look_at_ms;
            at_ms.is_some_and(|at_ms| at_ms <= turn.now.monotonic_ms)
        };
        if let Some(growing) = self.brake.growing.as_mut().filter(due) {
            growing.look_at_ms = None;
            match growing.folders.is_empty() {
                true => Self::look_again(turn),
                false => Self::look_at(turn, growing.folders.iter().cloned()),
            }
        }
    }

    /// Counts what is gone, and finds where late content may have come from.
    fn survey<I: Index>(&self, turn: &Turn<'_, I>, scan: &Scanning) -> Read<(u64, Sources)> {
        let content = |late: &Late| kind_of(&late.found).and_then(|kind| kind.content());
        let wanted: BTreeSet<_> = scan.late.values().filter_map(content).collect();
        let (mut gone, mut sources, mut copies) = (0, Sources::new(), Sources::new());
        let mut count = |path: &RelPath, row: &Applied| {
            gone += 1;
            if let Some(content) = row.kind.content().filter(|hash| wanted.contains(hash)) {
                let of = match &row.role {
                    Role::Main => &mut sources,
                    // Where it went it may be the only one: its row must not say any longer that it is here.
                    Role::Copy { .. } => &mut copies,
                    Role::Implied => return,
                };
                of.entry(content).or_default().push(path.clone());
            }
        };
        for path in &scan.vanished {
            if let Some(row) = turn.applied(path)? {
                count(path, &row);
            }
            each_below(turn, path, &mut count)?;
        }
        let emptied = |late: &(&RelPath, &Late)| {
            let was_folder = |row: &Applied| row.kind == Kind::Folder;
            late.1.row.as_ref().is_some_and(was_folder)
        };
        for (path, _) in scan.late.iter().filter(emptied) {
            each_below(turn, path, &mut count)?;
        }
        // What was overwritten by known content may have gone elsewhere: a swap, or a chain of renames.
        for (path, late) in &scan.late {
            let had = late.row.as_ref().and_then(|row| row.kind.content());
            if let Some(content) = had.filter(|hash| wanted.contains(hash)) {
                sources.entry(content).or_default().push(path.clone());
            }
        }
        for (content, paths) in copies {
            sources.entry(content).or_default().extend(paths);
        }
        Ok((gone, sources))
    }

    /// Writes what waited; gives the paths whose content went elsewhere.
    fn write_late<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        late: BTreeMap<RelPath, Late>,
        mut sources: Sources,
    ) -> Read<BTreeSet<RelPath>> {
        let mut moved = BTreeSet::new();
        let replaced: BTreeSet<_> = late.keys().cloned().collect();
        for (path, Late { found, row }) in late {
            let Some(kind) = kind_of(&found) else {
                continue;
            };
            let source = kind.content().and_then(|content| {
                let paths = sources.get_mut(&content)?;
                let same_name = |from: &RelPath| from.name() == path.name();
                let at = paths.iter().position(same_name).unwrap_or(0);
                (at < paths.len()).then(|| paths.swap_remove(at))
            });
            if row.as_ref().is_some_and(|row| row.kind == Kind::Folder) {
                self.bury_below(turn, &path, &moved, Consent::None)?;
            }
            let row_of = source.as_ref().map(|from| turn.applied(from)).transpose()?;
            let is_copy = |row: &Applied| matches!(row.role, Role::Copy { .. });
            let was_copy = row_of.flatten().as_ref().is_some_and(is_copy);
            let moved_from = source.clone().filter(|_| !was_copy);
            self.write_found(turn, &path, &found, kind, row, moved_from)?;
            if let Some(from) = source.filter(|from| !replaced.contains(from)) {
                self.bury(turn, &from, Removal::Moved)?;
                moved.insert(from);
            }
            self.seal_if_much(turn);
        }
        Ok(moved)
    }

    fn bury_tree<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        path: &RelPath,
        moved: &BTreeSet<RelPath>,
        consent: Consent,
    ) -> Read<()> {
        self.bury_below(turn, path, moved, consent)?;
        self.bury_as(turn, path, moved, consent)
    }

    fn bury_below<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        path: &RelPath,
        moved: &BTreeSet<RelPath>,
        consent: Consent,
    ) -> Read<()> {
        let mut below = Vec::new();
        each_below(turn, path, &mut |at: &RelPath, _: &Applied| {
            below.push(at.clone());
        })?;
        for at in below {
            self.bury_as(turn, &at, moved, consent)?;
            self.seal_if_much(turn);
        }
        Ok(())
    }

    fn bury_as<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        path: &RelPath,
        moved: &BTreeSet<RelPath>,
        consent: Consent,
    ) -> Read<()> {
        match consent {
            _ if moved.contains(path) => Ok(()),
            Consent::None => self.bury(turn, path, Removal::Deleted),
            Consent::Delete => self.bury(turn, path, Removal::Confirmed),
            Consent::Restore => {
                turn.set_applied(path, None);
                turn.dirty(path);
                for of in originals(turn.index, path)? {
                    turn.dirty(&of);
                }
                Ok(())
            }
        }
    }

    /// An applied path is gone from the disk: writes a tombstone, where there is something to bury.
    pub(super) fn bury<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        path: &RelPath,
        removal: Removal,
    ) -> Read<()> {
        let Some(row) = turn.applied(path)? else {
            return Ok(());
        };
        turn.set_applied(path, None);
        match &row.role {
            Role::Implied => {
                turn.dirty(path);
                Ok(())
            }
            Role::Copy { of } => {
                turn.dirty(of);
                self.settle_copy(turn, &of.clone(), row.version)
            }
            Role::Main if !turn.entries(path)?.iter().any(Entry::is_live) => {
                turn.dirty(path);
                Ok(())
            }
            Role::Main if is_shown_as_copy(turn, path, &row)? => {
                turn.dirty(path);
                Ok(())
            }
            Role::Main => {
                let base = self.seen_at(turn, path, Some(&row))?;
                let draft = Draft {
                    path: path.clone(),
                    kind: Kind::Tombstone(removal),
                    mode: 0,
                    mtime_ns: turn.now.wall_ns,
                    parent: row.kind.content(),
                    moved_from: None,
                    base,
                };
                self.write(turn, draft).map(|_| ())
            }
        }
    }
}

/// Whether what was at a path is beside it as the copy of a conflict: this machine put it there to make way for something else, and
/// ended before that was written down. Nobody deleted it.
fn is_shown_as_copy<I: Index>(turn: &Turn<'_, I>, path: &RelPath, row: &Applied) -> Read<bool> {
    let copies = copies_of(turn, path)?;
    Ok(copies.iter().any(|(_, copy)| copy.kind == row.kind))
}

fn each_below<I: Index>(
    turn: &Turn<'_, I>,
    path: &RelPath,
    each: &mut impl FnMut(&RelPath, &Applied),
) -> Read<()> {
    let mut after: Option<RelPath> = None;
    loop {
        let span = Span {
            below: Some(path),
            after: after.as_ref(),
        };
        let page = turn.index.applied_in(span, SYNC_ROUND_MAX_PATHS)?;
        for (at, row) in &page {
            each(at, row);
        }
        match page.into_iter().next_back() {
            Some((last, _)) => after = Some(last),
            None => return Ok(()),
        }
    }
}
