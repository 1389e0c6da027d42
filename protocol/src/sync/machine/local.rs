//! The disk against `applied`: what a look finds becomes entries.
//!
//! What is new, or changed in place, is an entry at once. What may be half of a rename (new content that is known elsewhere), a
//! change between folder and file, and whatever is gone, wait for the end of the look.

use super::Machine;
use super::turn::Turn;
use crate::limits::{SYNC_LOOK_MAX_PATHS, SYNC_ROUND_MAX_PATHS};
use crate::path::RelPath;
use crate::sync::action::{Action, Problem, Report};
use crate::sync::applied::{Applied, Role};
use crate::sync::entry::{Entry, Kind};
use crate::sync::event::{Found, FoundKind, Page, Scan, Scope};
use crate::sync::index::{Index, Read};
use crate::sync::names::{Folded, Names};
use crate::sync::project::{Wanted, project};
use std::collections::{BTreeMap, BTreeSet};

/// A look at the disk, as far as it went.
#[derive(Debug, Default)]
pub(super) struct Scanning {
    /// Whether everything was looked at since the machine was made: nothing is applied before.
    pub(super) looked: bool,
    pub(super) scope: Option<Scope>,
    pub(super) root: Root,
    /// Found, but decided at the end.
    pub(super) late: BTreeMap<RelPath, Late>,
    /// Applied paths that are gone; what was below them is gone too.
    pub(super) vanished: BTreeSet<RelPath>,
    /// Paths that the machine itself changed while the look went on: what the look says of them may be old.
    touched: BTreeSet<RelPath>,
    /// The same, as the file system takes their names: it may show them in another form than the one that was asked for.
    touched_twins: BTreeSet<Folded>,
    /// Folders to look at again, for that reason.
    pub(super) relook: BTreeSet<Option<RelPath>>,
    /// Too much happened to remember: everything is to be looked at again.
    pub(super) spoiled: bool,
}

/// What a look has found in the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Root {
    /// It was not looked at, or not yet.
    #[default]
    Unseen,
    /// Nothing.
    Empty,
    /// Something.
    Inhabited,
}

/// Something found whose meaning shows at the end of the look.
#[derive(Debug, Clone)]
pub(super) struct Late {
    pub(super) found: Found,
    pub(super) row: Option<Applied>,
}

impl Scanning {
    /// Ends the look: gives what it found, and forgets it.
    pub(super) fn end(&mut self) -> Self {
        let looked = self.looked;
        let ended = std::mem::take(self);
        self.looked = looked;
        ended
    }

    /// What was gone when its folder was looked at, and was put there again by the machine since then, is not gone: it is looked at
    /// once more.
    pub(super) fn doubt_vanished(&mut self) {
        let vanished = std::mem::take(&mut self.vanished).into_iter();
        let (touched, gone): (BTreeSet<_>, _) = vanished.partition(|path| self.is_touched(path));
        self.vanished = gone;
        self.relook.extend(touched.iter().map(RelPath::parent));
    }

    /// Whether no look is under way.
    pub(super) fn is_over(&self) -> bool {
        self.scope.is_none()
    }

    /// Remembers that the machine changed a path.
    pub(super) fn touch(&mut self, path: &RelPath, names: Names) {
        if self.scope.is_none() {
        } else if self.touched.len() < SYNC_LOOK_MAX_PATHS {
            self.touched.insert(path.clone());
            self.touched_twins.extend(names.folded(path));
        } else {
            self.spoiled = true;
        }
    }

    /// Whether a twin of a path was changed, or the path itself: its name may be told in a form that is not the one it has by now.
    fn is_twin_touched(&self, path: &RelPath, names: Names) -> bool {
        let folded = names.folded(path);
        folded.is_some_and(|folded| self.touched_twins.contains(&folded))
    }

    fn is_touched(&self, path: &RelPath) -> bool {
        let mut at_or_below = self.touched.range(path.clone()..);
        at_or_below
            .next()
            .is_some_and(|first| first == path || first.is_below(path))
    }
}

impl Machine {
    pub(super) fn on_scan<I: Index>(&mut self, turn: &mut Turn<'_, I>, scan: Scan) -> Read<()> {
        match scan {
            Scan::Started(scope) => {
                self.scan.end();
                self.scan.scope = Some(scope);
                for path in self.work.busy_paths() {
                    self.scan.touch(path, self.config.features.names);
                }
                Ok(())
            }
            Scan::Page(page) if self.scan.scope.is_some() && !self.scan.spoiled => {
                self.on_page(turn, page)
            }
            Scan::Page(_) => Ok(()),
            Scan::Finished => self.on_finished(turn),
            Scan::Failed(problem) => {
                self.scan.end();
                self.halt(turn, super::Halt::Root(problem));
                Ok(())
            }
        }
    }

    fn on_page<I: Index>(&mut self, turn: &mut Turn<'_, I>, page: Page) -> Read<()> {
        if page.folder.is_none() && self.scan.root != Root::Inhabited {
            self.scan.root = match page.found.is_empty() {
                true => Root::Empty,
                false => Root::Inhabited,
            };
        }
        if let Some(folder) = &page.folder
            && !self.scan.late.contains_key(folder)
            && !is_known(turn, folder)?
        {
            // Not just the parent: it may be there under another form of its name, and just as unknown.
            let mut above = folder.parent();
            while let Some(at) = &above
                && !is_known(turn, at)?
            {
                above = at.parent();
            }
            self.scan.relook.insert(above);
            return Ok(());
        }
        let mut rows = self.rows_of(turn, &page)?;
        for found in page.found {
            let path = match &page.folder {
                Some(folder) => folder.join(&found.name),
                None => RelPath::new(&found.name),
            };
            rows.remove(&found.name);
            let Ok(path) = path else {
                continue;
            };
            // What was found before may have made a copy a file of its own.
            let row = turn.applied(&path)?;
            let names = self.config.features.names;
            if self.scan.is_touched(&path) && found.kind != FoundKind::Folder
                || row.is_none() && self.scan.is_twin_touched(&path, names)
                || self.work.is_busy(&path)
            {
                self.scan.relook.insert(page.folder.clone());
                continue;
            }
            self.on_found(turn, path, found, row)?;
        }
        for name in rows.into_keys() {
            let path = match &page.folder {
                Some(folder) => folder.join(&name),
                None => RelPath::new(&name),
            };
            let Ok(path) = path else { continue };
            if self.scan.is_touched(&path) || self.work.is_busy_at_or_below(&path) {
                self.scan.relook.insert(page.folder.clone());
            } else {
                self.scan.vanished.insert(path);
            }
        }
        Ok(())
    }

    fn rows_of<I: Index>(
        &self,
        turn: &Turn<'_, I>,
        page: &Page,
    ) -> Read<BTreeMap<String, Applied>> {
        let mut rows = BTreeMap::new();
        let mut after = page.after.clone();
        loop {
            let part = turn.index.applied_children(
                page.folder.as_ref(),
                after.as_deref(),
                SYNC_ROUND_MAX_PATHS,
            )?;
            let Some((last, _)) = part.last() else {
                return Ok(rows);
            };
            after = Some(last.name().to_owned());
            for (path, row) in part {
                let name = path.name();
                if page.upto.as_deref().is_some_and(|upto| name > upto) {
                    return Ok(rows);
                }
                rows.insert(name.to_owned(), row);
            }
        }
    }

    fn on_found<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        path: RelPath,
        found: Found,
        row: Option<Applied>,
    ) -> Read<()> {
        let Some(kind) = kind_of(&found) else {
            return Ok(());
        };
        if let Some(row) = &row
            && row.kind == kind
        {
            return self.on_same_content(turn, path, &found, row);
        }
        if let Some(wanted) = self.wanted_at(turn, &path)?
            && wanted.kind == kind
            && is_still_wanted(turn, &wanted)?
            && !self.is_replacement(turn, &path, row.as_ref(), &wanted)?
        {
            let was_folder = row.is_some_and(|row| row.kind == Kind::Folder);
            if was_folder && kind != Kind::Folder && self.vanish_inside(turn, &path)? {
                // Not before that has gone: a further look may be needed to be sure of it, and would not know that there was a folder.
                return Ok(());
            }
            self.adopt(turn, &path, &found, wanted);
            return Ok(());
        }
        let swaps_folder = |row: &Applied| (row.kind == Kind::Folder) != (kind == Kind::Folder);
        let late = match &row {
            Some(row) if swaps_folder(row) => true,
            _ => self.is_known_elsewhere(turn, &kind)?,
        };
        if late && self.scan.late.len() < SYNC_LOOK_MAX_PATHS {
            self.scan.late.insert(path, Late { found, row });
            return Ok(());
        }
        self.write_found(turn, &path, &found, kind, row, None)
    }

    /// The bytes are the same: at most times or mode changed.
    fn on_same_content<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        path: RelPath,
        found: &Found,
        row: &Applied,
    ) -> Read<()> {
        let (mode, mtime_ns) = self.attributes_of(found, &row.kind, Some(row));
        if row.role != Role::Implied && (mode, mtime_ns) != (row.mode, row.mtime_ns) {
            return self.write_found(
                turn,
                &path,
                found,
                row.kind.clone(),
                Some(row.clone()),
                None,
            );
        }
        if row.stamp != found.stamp && row.kind != Kind::Folder {
            let row = Applied {
                stamp: found.stamp,
                ..row.clone()
            };
            turn.set_applied(&path, Some(row));
        }
        Ok(())
    }

    /// A folder is there no more, and what was in it neither. Gives whether there was anything.
    fn vanish_inside<I: Index>(&mut self, turn: &Turn<'_, I>, folder: &RelPath) -> Read<bool> {
        let mut after: Option<String> = None;
        loop {
            let (folder, after_name) = (Some(folder), after.as_deref());
            let page = turn
                .index
                .applied_children(folder, after_name, SYNC_ROUND_MAX_PATHS)?;
            let Some((last, _)) = page.last() else {
                return Ok(after.is_some());
            };
            after = Some(last.name().to_owned());
            self.scan
                .vanished
                .extend(page.into_iter().map(|(path, _)| path));
        }
    }

    /// Whether somebody put what is wanted in the place of a version that it does not dominate. That version was seen and
    /// removed: if nobody said so, all would look for its bytes for ever. What the first look finds may be an operation of this
    /// machine that a crash cut short, with the bytes still in staging: nothing is concluded from it.
    fn is_replacement<I: Index>(
        &self,
        turn: &Turn<'_, I>,
        path: &RelPath,
        row: Option<&Applied>,
        wanted: &Wanted,
    ) -> Read<bool> {
        let Some(row) = row.filter(|_| self.scan.looked) else {
            return Ok(false);
        };
        let of = match &row.role {
            Role::Main => path,
            Role::Copy { of } => of,
            Role::Implied => return Ok(false),
        };
        let taken = |entry: &Entry| of == path && wanted.version.contains(entry.dot());
        let seen = |entry: &Entry| entry.is_live() && row.version.contains(entry.dot());
        Ok(turn.entries(of)?.iter().any(|it| seen(it) && !taken(it)))
    }

    /// What is found is what should be there: nobody has to write anything.
    fn adopt<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        path: &RelPath,
        found: &Found,
        wanted: Wanted,
    ) {
        let mut row = wanted.row(found.stamp);
        if row.kind != Kind::Folder || self.config.features.mode_bits != 0 {
            let (mode, mtime_ns) = self.attributes_of(found, &row.kind, None);
            row.mtime_ns = mtime_ns;
            if self.config.features.mode_bits != 0 {
                row.mode = mode;
            }
        }
        if row.role == Role::Implied {
            row.mode = wanted.mode;
        }
        turn.set_applied(path, Some(row));
        turn.dirty(path);
    }

    /// What should be at a path of the disk.
    pub(super) fn wanted_at<I: Index>(
        &self,
        turn: &Turn<'_, I>,
        path: &RelPath,
    ) -> Read<Option<Wanted>> {
        let own = project(turn.index, path, self.config.policy)?;
        if own.main.is_some() {
            return Ok(own.main);
        }
        self.wanted_copy(turn, path)
    }

    fn is_known_elsewhere<I: Index>(&self, turn: &Turn<'_, I>, kind: &Kind) -> Read<bool> {
        match kind {
            Kind::File {
                content,
                size_bytes,
            } if *size_bytes > 0 => Ok(!turn.index.applied_content(content, 1)?.is_empty()),
            _ => Ok(false),
        }
    }

    /// Asks for a look at folders.
    pub(super) fn look_at<I: Index>(
        turn: &mut Turn<'_, I>,
        folders: impl IntoIterator<Item = Option<RelPath>>,
    ) {
        let folders: Vec<_> = folders.into_iter().collect();
        if !folders.is_empty() {
            turn.actions.push(Action::Look {
                scope: Scope::Folders,
                folders,
            });
        }
    }

    /// Tells of a problem at a path.
    pub(super) fn complain<I: Index>(turn: &mut Turn<'_, I>, path: &RelPath, problem: Problem) {
        turn.report(Report::Problem {
            path: path.clone(),
            problem,
        });
    }
}

/// Whether the loser that a copy shows was not dominated by what was found before, in this very call.
fn is_still_wanted<I: Index>(turn: &Turn<'_, I>, wanted: &Wanted) -> Read<bool> {
    let Role::Copy { of } = &wanted.role else {
        return Ok(true);
    };
    let mut entries = turn.entries(of)?.into_iter();
    Ok(entries.any(|entry| Some(entry.dot()) == wanted.dot))
}

fn is_known<I: Index>(turn: &Turn<'_, I>, folder: &RelPath) -> Read<bool> {
    let row = turn.applied(folder)?;
    Ok(row.is_some_and(|row| row.kind == Kind::Folder))
}

/// What was found, as an entry would say it.
pub(super) fn kind_of(found: &Found) -> Option<Kind> {
    match &found.kind {
        FoundKind::File { content } => Some(Kind::File {
            content: *content,
            size_bytes: found.stamp.size_bytes,
        }),
        FoundKind::Folder => Some(Kind::Folder),
        FoundKind::Symlink { target } => Some(Kind::Symlink {
            target: target.clone(),
        }),
        FoundKind::Unknown => None,
    }
}
