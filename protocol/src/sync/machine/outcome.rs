//! What came of operations and fetches.

use super::Machine;
use super::turn::Turn;
use super::work::{Flight, Then};
use crate::id::ContentHash;
use crate::path::RelPath;
use crate::sync::action::Failure;
use crate::sync::action::{OpId, Outcome, Problem, Source};
use crate::sync::applied::{Applied, Role, Stamp};
use crate::sync::entry::Kind;
use crate::sync::event::FetchFailure;
use crate::sync::index::{Index, Read};
use std::collections::BTreeSet;

impl Machine {
    pub(super) fn on_applied<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        outcomes: Vec<(OpId, Outcome)>,
    ) -> Read<()> {
        let mut look = BTreeSet::new();
        for (id, outcome) in outcomes {
            let Some(flight) = self.work.land(id) else {
                continue;
            };
            match outcome {
                Outcome::Done(stamp) => self.on_done(turn, flight, stamp.unwrap_or_default())?,
                other => self.on_undone(turn, flight, other, &mut look),
            }
        }
        Self::look_at(turn, look);
        Ok(())
    }

    fn on_done<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        flight: Flight,
        stamp: Stamp,
    ) -> Read<()> {
        let path = flight.path;
        self.work.news |=
            matches!(&flight.then, Then::There(wanted) if wanted.kind.content().is_some());
        match flight.then {
            Then::There(wanted) => turn.set_applied(&path, Some(wanted.row(stamp))),
            Then::Moved(wanted, from) => {
                if wanted.kind == Kind::Folder {
                    self.refold(turn, &from, &path)?;
                }
                turn.set_applied(&path, Some(wanted.row(stamp)));
                turn.set_applied(&from, None);
                turn.dirty(&from);
                self.work.succeeded(&from);
            }
            Then::Gone => turn.set_applied(&path, None),
            Then::Staged(content) => {
                self.work.staged.insert(content);
                self.work.staging_used = true;
                if let Some(row) = turn.applied(&path)? {
                    turn.set_applied(&path, Some(Applied { stamp, ..row }));
                }
            }
        }
        self.work.succeeded(&path);
        let row = turn.applied(&path)?;
        if let Some(Role::Copy { of }) = row.map(|row| row.role) {
            turn.dirty(&of);
        }
        turn.dirty(&path);
        Ok(())
    }

    fn on_undone<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        flight: Flight,
        outcome: Outcome,
        look: &mut BTreeSet<Option<RelPath>>,
    ) {
        let path = flight.path;
        let kept = match (&flight.then, &flight.source) {
            (Then::There(wanted), Some(Source::Staged)) => wanted.kind.content(),
            _ => None,
        };
        if outcome != Outcome::NoContent {
            // It was not used up, and may be the only copy.
            self.work.staged.extend(kept);
        }
        let from = match flight.then {
            Then::Moved(_, from) => Some(from),
            _ => None,
        };
        match outcome {
            Outcome::Changed => {
                for path in from.iter().chain([&path]) {
                    self.put_off(turn, path, look);
                }
                return;
            }
            Outcome::NoContent => {
                // A file of the tree that is not what it was is no source until it was looked at.
                if let Some(Source::Local { path, .. }) = &flight.source {
                    self.put_off(turn, path, look);
                }
                self.work.dirty(path.clone());
            }
            Outcome::NotEmpty => {
                look.insert(Some(path.clone()));
                self.give_up(turn, &path, Problem::NotEmpty);
            }
            Outcome::Taken => self.is_taken(turn, &path, look),
            Outcome::Impossible => self.give_up(turn, &path, Problem::Impossible),
            Outcome::Failed(failure) => self.give_up(turn, &path, Problem::Disk(failure)),
            Outcome::Done(_) => {}
        }
        if let Some(from) = from {
            self.work.dirty(from);
        }
    }

    /// The disk is not what it was thought to be: a look is needed first. The first one makes the path's turn come at once,
    /// later ones do not, or a path that changes all the time would be tried all the time.
    fn put_off<I: Index>(
        &mut self,
        turn: &Turn<'_, I>,
        path: &RelPath,
        look: &mut BTreeSet<Option<RelPath>>,
    ) {
        look.insert(path.parent());
        if self.work.retry(path, turn.now.monotonic_ms, None) == 1 {
            self.work.await_look(path.clone());
        }
    }

    /// Reports a problem when it is a new one, and tries again after a while.
    pub(super) fn give_up<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        path: &RelPath,
        problem: Problem,
    ) {
        let is_told = self.work.problem_of(path) == Some(problem);
        self.work.retry(path, turn.now.monotonic_ms, Some(problem));
        if !is_told {
            Self::complain(turn, path, problem);
        }
    }

    pub(super) fn on_fetched(&mut self, contents: Vec<ContentHash>) {
        for content in contents {
            let Some(paths) = self.work.fetched(&content) else {
                continue;
            };
            self.work.staged.insert(content);
            for path in paths {
                self.work.ready(path);
            }
        }
    }

    pub(super) fn on_fetch_failed<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        content: ContentHash,
        why: FetchFailure,
    ) {
        let Some(paths) = self.work.fetched(&content) else {
            return;
        };
        let problem = match why {
            FetchFailure::NotThere | FetchFailure::Broken => Problem::NoContent,
            FetchFailure::NoSpace => Problem::Disk(Failure::NoSpace),
        };
        for path in paths {
            self.give_up(turn, &path, problem);
        }
    }
}
