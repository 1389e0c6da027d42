//! What a person wants.

use super::ledger::Draft;
use super::turn::Turn;
use super::{Consent, Halt, Machine};
use crate::limits::SYNC_ROUND_MAX_PATHS;
use crate::path::RelPath;
use crate::sync::applied::{Applied, Role};
use crate::sync::conflict::View;
use crate::sync::entry::{Entry, Kind, Removal};
use crate::sync::event::Command;
use crate::sync::index::{Index, Read, Span};
use crate::sync::merge::version_of;
use crate::sync::project::project;

impl Machine {
    pub(super) fn on_command<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        command: Command,
    ) -> Read<()> {
        match command {
            Command::Pause => self.brake.paused = true,
            Command::Resume => self.brake.paused = false,
            Command::Retry => Self::look_again(turn),
            Command::ConfirmDeletion => self.answer(turn, Consent::Delete)?,
            Command::RestoreDeleted => self.answer(turn, Consent::Restore)?,
            Command::Settle { path, keep } => self.settle(turn, &path, &keep)?,
            Command::Removed { device, accepted } => {
                self.peers
                    .removed
                    .0
                    .insert(device, accepted.into_iter().collect());
            }
            Command::Readmitted(device) => {
                self.peers.removed.0.remove(&device);
            }
        }
        Ok(())
    }

    fn answer<I: Index>(&mut self, turn: &mut Turn<'_, I>, consent: Consent) -> Read<()> {
        match self.brake.halt {
            Some(Halt::RemoteDeletion { .. }) => {
                self.answer_doomed(turn, consent)?;
                self.release(turn);
            }
            Some(Halt::Emptied | Halt::MassDeletion { .. }) => {
                self.brake.consent = consent;
                Self::look_again(turn);
            }
            Some(Halt::Root(_)) | None => {}
        }
        Ok(())
    }

    /// Says for every path that others deleted, and that is still here: it goes, by the will of a person; or it stays.
    fn answer_doomed<I: Index>(&mut self, turn: &mut Turn<'_, I>, consent: Consent) -> Read<()> {
        let mut after: Option<RelPath> = None;
        loop {
            let span = Span {
                below: None,
                after: after.as_ref(),
            };
            let page = turn.index.applied_in(span, SYNC_ROUND_MAX_PATHS)?;
            for (path, row) in &page {
                let removal = project(turn.index, path, self.config.policy)?.removal;
                if row.role == Role::Main && removal == Some(Removal::Deleted) {
                    self.answer_one(turn, path, row, consent)?;
                }
            }
            match page.into_iter().next_back() {
                Some((last, _)) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    fn answer_one<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        path: &RelPath,
        row: &Applied,
        consent: Consent,
    ) -> Read<()> {
        let mut base = version_of(&turn.entries(path)?);
        base.join(&row.version);
        let stays = consent == Consent::Restore;
        let kind = if stays {
            row.kind.clone()
        } else {
            Kind::Tombstone(Removal::Confirmed)
        };
        let draft = Draft {
            path: path.clone(),
            kind,
            mode: if stays { row.mode } else { 0 },
            mtime_ns: if stays {
                row.mtime_ns
            } else {
                turn.now.wall_ns
            },
            parent: None,
            moved_from: None,
            base,
        };
        let version = self.write(turn, draft)?;
        if stays {
            let row = Applied {
                version,
                ..row.clone()
            };
            turn.set_applied(path, Some(row));
        }
        Ok(())
    }

    /// One side of a conflict stays; the others become deleted.
    fn settle<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        path: &RelPath,
        keep: &RelPath,
    ) -> Read<()> {
        let set = turn.entries(path)?;
        let view = View::new(&set, self.config.policy);
        if !view.is_conflict() {
            return Ok(());
        }
        let chosen: Option<Entry> = if keep == path {
            view.sides.first().map(|side| side.entry.clone())
        } else {
            let copies = project(turn.index, path, self.config.policy)?.copies;
            let copy = copies.into_iter().find(|(at, _)| at == keep);
            copy.and_then(|(_, wanted)| set.iter().find(|e| Some(e.dot()) == wanted.dot).cloned())
        };
        let Some(chosen) = chosen else {
            return Ok(());
        };
        let draft = Draft {
            path: path.clone(),
            kind: chosen.kind,
            mode: chosen.mode,
            mtime_ns: chosen.mtime_ns,
            parent: None,
            moved_from: None,
            base: version_of(&set),
        };
        self.write(turn, draft).map(|_| ())
    }
}
