//! Differences become operations.

use super::Machine;
use super::plan::Round;
use super::turn::Turn;
use super::ways::Way;
use super::work::{Flight, Then};
use crate::path::RelPath;
use crate::sync::action::{Attributes, Expect, Op, OpKind, Problem, Source};
use crate::sync::applied::Applied;
use crate::sync::entry::Kind;
use crate::sync::index::{Index, Read, Span};
use crate::sync::project::Wanted;

impl Machine {
    /// Operations that bring about what is wanted at a path.
    pub(super) fn build<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        round: &mut Round,
        path: RelPath,
        row: Option<Applied>,
        wanted: Wanted,
        way: Option<Way>,
    ) -> Read<()> {
        // Where names fold, a folder that cannot be made may be there all the same, as another one: nothing goes into it unseen.
        let folds = self.config.features.names.fold_at_all();
        if let Some(parent) = path.parent()
            && (folds || !round.folders.contains(&parent))
        {
            let there = turn.applied(&parent)?;
            if self.work.is_busy(&parent) || there.is_none_or(|row| row.kind != Kind::Folder) {
                self.give_back(turn, &path, way);
                return Ok(());
            }
        }
        let was_folder = row.as_ref().is_some_and(|row| row.kind == Kind::Folder);
        let is_folder = wanted.kind == Kind::Folder;
        let mut expect = expect_of(row.as_ref());
        if row.is_some() && was_folder != is_folder {
            if was_folder && has_applied_below(turn, &path)? {
                // Comes again when what is below has gone.
                self.give_back(turn, &path, way);
                return Ok(());
            }
            let op = self.op(turn, path.clone(), expect, OpKind::Remove, Then::Gone);
            round.ops.push(op);
            expect = Expect::Absent;
        }
        let same = row.as_ref().is_some_and(|row| row.kind == wanted.kind);
        if matches!(wanted.kind, Kind::Symlink { .. }) && !self.config.features.symlinks {
            self.give_up(turn, &path, Problem::Impossible);
            return Ok(());
        }
        let Some((kind, then)) = step(wanted, way, same) else {
            return Ok(());
        };
        if is_folder {
            round.folders.insert(path.clone());
        }
        let op = self.op(turn, path, expect, kind, then);
        round.ops.push(op);
        Ok(())
    }

    /// A path whose turn has not come; what was set aside for it goes back.
    fn give_back<I: Index>(&mut self, turn: &mut Turn<'_, I>, path: &RelPath, way: Option<Way>) {
        match way {
            Some(Way::From(Source::Staged)) => {
                if let Ok(Some(wanted)) = self.wanted_at(turn, path)
                    && let Some(content) = wanted.kind.content()
                {
                    self.work.staged.insert(content);
                }
            }
            Some(Way::Move(from, _)) => self.postpone(turn, &from),
            _ => {}
        }
        self.postpone(turn, path);
    }

    /// Tries a path again when operations under way are done, or after a while.
    pub(super) fn postpone<I: Index>(&mut self, turn: &Turn<'_, I>, path: &RelPath) {
        if self.work.flights.is_empty() {
            self.work.retry(path, turn.now.monotonic_ms, None);
        } else {
            self.work.wait(path.clone());
        }
    }

    /// Takes away what should not be at a path.
    pub(super) fn take_away<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        round: &mut Round,
        path: RelPath,
        row: Option<Applied>,
    ) -> Read<()> {
        if row.as_ref().is_some_and(|row| row.kind == Kind::Folder)
            && has_applied_below(turn, &path)?
        {
            // Comes again when what is below has gone.
            return Ok(());
        }
        let op = self.op(
            turn,
            path,
            expect_of(row.as_ref()),
            OpKind::Remove,
            Then::Gone,
        );
        round.removes.push(op);
        Ok(())
    }

    pub(super) fn op<I: Index>(
        &mut self,
        _turn: &Turn<'_, I>,
        path: RelPath,
        expect: Expect,
        kind: OpKind,
        then: Then,
    ) -> Op {
        let id = self.work.next_op();
        let names = self.config.features.names;
        self.scan.touch(&path, names);
        if let Then::Moved(_, from) = &then {
            self.scan.touch(from, names);
        }
        let source = match &kind {
            OpKind::Write { source, .. } => Some(source.clone()),
            _ => None,
        };
        let flight = Flight {
            path: path.clone(),
            then,
            source,
        };
        self.work.take_off(id, flight);
        Op {
            id,
            path,
            expect,
            kind,
        }
    }
}

/// The operation that brings about what is wanted where only attributes, or everything, differs.
fn step(wanted: Wanted, way: Option<Way>, same: bool) -> Option<(OpKind, Then)> {
    let attributes = Attributes {
        mode: wanted.mode,
        mtime_ns: wanted.mtime_ns,
    };
    let kind = match (wanted.kind.clone(), way) {
        _ if same => OpKind::Attributes(attributes),
        (Kind::File { .. } | Kind::Folder, Some(Way::Move(from, row))) => {
            let kind = OpKind::Move {
                from: from.clone(),
                from_expect: expect_of(Some(&row)),
                attributes,
            };
            return Some((kind, Then::Moved(Box::new(wanted), from)));
        }
        (Kind::Folder, _) => OpKind::Folder { mode: wanted.mode },
        (Kind::Symlink { target }, _) => OpKind::Symlink { target },
        (
            Kind::File {
                content,
                size_bytes,
            },
            Some(Way::From(source)),
        ) => OpKind::Write {
            content,
            size_bytes,
            source,
            attributes,
        },
        (Kind::File { .. } | Kind::Tombstone(_), _) => return None,
    };
    Some((kind, Then::There(Box::new(wanted))))
}

pub(super) fn expect_of(row: Option<&Applied>) -> Expect {
    match row.map(|row| (&row.kind, row.stamp)) {
        Some((Kind::File { .. }, stamp)) => Expect::File(stamp),
        Some((Kind::Folder, _)) => Expect::Folder,
        Some((Kind::Symlink { target }, _)) => Expect::Symlink(target.clone()),
        Some((Kind::Tombstone(_), _)) | None => Expect::Absent,
    }
}

fn has_applied_below<I: Index>(turn: &Turn<'_, I>, path: &RelPath) -> Read<bool> {
    let span = Span {
        below: Some(path),
        after: None,
    };
    Ok(!turn.index.applied_in(span, 1)?.is_empty())
}
