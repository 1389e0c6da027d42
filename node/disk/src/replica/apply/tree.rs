//! Operations that need no bytes: moves, folders, links and removals.

use super::Tried;
use super::copy;
use super::faults::Step;
use super::place::{Placing, settled};
use super::stage::{Temp, Unplaced};
use crate::replica::look::{is_same_renamed, stamp, stamp_of};
use crate::replica::probe::Support;
use crate::replica::staging::incoming_name;
use shoal_jail::{Create, Existing, JailErrorKind, Kind, Meta};
use shoal_protocol::id::ContentHash;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{Attributes, Expect, Op, OpKind, Outcome, Stamp};
use std::io;

impl Placing<'_> {
    /// Moves a file or link within the tree.
    pub(super) fn rename(&mut self, op: &Op) -> Tried<Stamp> {
        let OpKind::Move {
            from,
            from_expect,
            attributes,
        } = &op.kind
        else {
            return Err(Outcome::Changed);
        };
        let source = self
            .expect(op, from, from_expect)?
            .ok_or(Outcome::Changed)?;
        let there = match self.expect(op, &op.path, &op.expect) {
            // Another spelling of the very name.
            Err(Outcome::Taken) if self.is_same_inode(op, &source)? => {
                self.plain_rename(op, from, Existing::Replace)?;
                return self.after_move(op, &source, attributes);
            }
            other => other?,
        };
        match there {
            None => self.plain_rename(op, from, Existing::Keep)?,
            Some(was) if self.can_exchange() => self.move_over(op, from, &source, &was)?,
            Some(_) => self.plain_rename(op, from, Existing::Replace)?,
        }
        self.after_move(op, &source, attributes)
    }

    fn can_exchange(&self) -> bool {
        self.capabilities().exchange == Support::Yes
    }

    fn is_same_inode(&self, op: &Op, source: &Meta) -> Tried<bool> {
        let there = self.look(op, &op.path)?;
        Ok(there.is_some_and(|meta| meta.ino == source.ino))
    }

    fn plain_rename(&mut self, op: &Op, from: &RelPath, existing: Existing) -> Tried<()> {
        self.step(Step::Move)
            .map_err(|error| self.failed(op, error))?;
        self.jail()
            .rename(from.as_str(), self.jail(), op.path.as_str(), existing)
            .map_err(|error| match error.is_exists() {
                true => self.taken(&op.path),
                false => self.refused(op, &error),
            })?;
        self.touched(from);
        self.touched(&op.path);
        Ok(())
    }

    /// Moves onto something: the two change places, and what was there leaves by the other name.
    fn move_over(&mut self, op: &Op, from: &RelPath, source: &Meta, was: &Meta) -> Tried<()> {
        let (jail, path) = (self.jail(), op.path.as_str());
        let exchange = || jail.rename(from.as_str(), jail, path, Existing::Exchange);
        self.step(Step::Exchange)
            .map_err(|error| self.failed(op, error))?;
        exchange().map_err(|error| self.refused(op, &error))?;
        self.touched(from);
        self.touched(&op.path);
        let _ = self.step(Step::LookDisplaced);
        let name = self.temp_name();
        let is = |meta: &Meta, at: &RelPath| {
            jail.metadata(at.as_str()).is_ok_and(|now| {
                now.kind == meta.kind && is_same_renamed(&stamp(meta), &stamp(&now))
            })
        };
        if !is(was, from) || !is(source, &op.path) {
            // Somebody was quicker: both go back.
            let _ = exchange();
            return Err(Outcome::Changed);
        }
        self.take_out(op, from, was, &name)
    }

    /// Takes what is at a path out of the tree, if it is what was looked at.
    fn take_out(&mut self, op: &Op, path: &RelPath, was: &Meta, name: &str) -> Tried<()> {
        self.step(Step::Displace)
            .map_err(|error| self.failed(op, error))?;
        self.jail()
            .rename(path.as_str(), self.staging(), name, Existing::Keep)
            .map_err(|error| self.refused(op, &error))?;
        self.touched(path);
        let out = self.staging().metadata(name);
        match out {
            Ok(out) if out.kind == was.kind && is_same_renamed(&stamp(was), &stamp(&out)) => {
                self.displaced(name, out.nlink);
                Ok(())
            }
            _ => {
                let back = self
                    .staging()
                    .rename(name, self.jail(), path.as_str(), Existing::Keep);
                if back.is_err() {
                    self.rescue(name);
                }
                Err(Outcome::Changed)
            }
        }
    }

    fn after_move(&mut self, op: &Op, source: &Meta, attributes: &Attributes) -> Tried<Stamp> {
        let after = settled(&stamp(source), self.stamp_at(op, &op.path)?);
        let wants_mode = source.kind == Kind::File && after.mode != attributes.mode & 0o777;
        let wants_mtime = after.mtime_ns != attributes.mtime_ns;
        let expect = match source.kind {
            Kind::File if after.ctime_ns != 0 && (wants_mode || wants_mtime) => Expect::File(after),
            Kind::Symlink if wants_mtime => Expect::Symlink(String::new()),
            _ => return Ok(after),
        };
        // The move is done: what cannot be set now is seen by the next look.
        let set = self.set_attributes(op, &op.path, &expect, attributes);
        Ok(set.unwrap_or(Stamp {
            ctime_ns: 0,
            ..after
        }))
    }

    /// Keeps the bytes of a file in staging as well.
    pub(super) fn keep(&mut self, op: &Op, content: &ContentHash) -> Tried<Stamp> {
        self.expect(op, &op.path, &op.expect)?;
        let Expect::File(was) = &op.expect else {
            return Err(Outcome::Changed);
        };
        let name = incoming_name(content);
        self.step(Step::Stage)
            .map_err(|error| self.failed(op, error))?;
        self.used_up.retain(|used| used != content);
        let (jail, staging) = (self.jail(), self.staging());
        match jail.link(op.path.as_str(), staging, &name) {
            Ok(()) => {}
            // The content is in staging already, or a part of it, of which a fetch was left.
            Err(error) if error.is_exists() => {
                if self.replica().staged_bytes(content) == Some(was.size_bytes) {
                    return self.stamp_at(op, &op.path);
                }
                self.replica()
                    .unstage(content)
                    .and_then(|()| jail.link(op.path.as_str(), staging, &name))
                    .map_err(|error| self.failed(op, error.into()))?;
            }
            Err(error) if error.is_not_found() => return Err(Outcome::Changed),
            // No hard links here.
            Err(_) => self.keep_copy(op, was, &name)?,
        }
        let now = self.stamp_at(op, &op.path)?;
        if !is_same_renamed(was, &now) {
            let _ = staging.remove_file(&name);
            return Err(Outcome::Changed);
        }
        Ok(now)
    }

    fn keep_copy(&mut self, op: &Op, was: &Stamp, name: &str) -> Tried<()> {
        self.spend(was.size_bytes)?;
        let temp = self.temp_name();
        let copied = || -> io::Result<bool> {
            let from = self.jail().open_read(op.path.as_str())?;
            let to = self.staging().create_file(&temp, 0o600, Create::New)?;
            copy::copy(&from, &to, was.size_bytes)?;
            to.sync_all()?;
            Ok(was.same_bytes(&stamp_of(&from)?))
        };
        let kept = match copied() {
            Ok(true) => self
                .staging()
                .rename(&temp, self.staging(), name, Existing::Keep)
                .map_err(|error| self.refused(op, &error)),
            Ok(false) => Err(Outcome::Changed),
            Err(error) => Err(self.failed(op, error)),
        };
        if kept.is_err() {
            let _ = self.staging().remove_file(&temp);
        }
        kept
    }

    /// Makes a folder; in place of a file or link, by exchange.
    pub(super) fn make_folder(&mut self, op: &Op, mode: u32) -> Tried<Stamp> {
        self.expect(op, &op.path, &op.expect)?;
        let name = self.temp_name();
        self.step(Step::MakeFolder)
            .map_err(|error| self.failed(op, error))?;
        self.staging()
            .create_dir(&name, 0o700)
            .map_err(|error| self.refused(op, &error))?;
        let dressed = self
            .staging()
            .set_mode(&name, mode)
            .and_then(|()| self.staging().metadata(&name));
        self.placed(op, name, dressed)
    }

    /// Makes a symbolic link; in place of a file or link, by exchange.
    pub(super) fn link(&mut self, op: &Op, target: &str) -> Tried<Stamp> {
        self.expect(op, &op.path, &op.expect)?;
        if self.capabilities().symlinks == Support::No {
            return Err(Outcome::Impossible);
        }
        let name = self.temp_name();
        self.step(Step::Stage)
            .map_err(|error| self.failed(op, error))?;
        self.staging()
            .symlink_as_it_is(target, &name)
            .map_err(|error| self.refused(op, &error))?;
        let made = self.staging().metadata(&name);
        self.placed(op, name, made)
    }

    fn placed(
        &mut self,
        op: &Op,
        name: String,
        made: Result<Meta, shoal_jail::JailError>,
    ) -> Tried<Stamp> {
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                let _ = self.staging().remove_tree(&name);
                return Err(self.refused(op, &error));
            }
        };
        let temp = Temp {
            name,
            stamp: stamp(&made),
            unplaced: Unplaced::Remove,
            uses_up: None,
        };
        if let Err(outcome) = self.place(op, &temp) {
            self.discard(&temp);
            return Err(outcome);
        }
        self.stamp_at(op, &op.path)
    }

    /// Removes a file, link or empty folder. One that is gone already is removed.
    pub(super) fn remove(&mut self, op: &Op) -> Tried<()> {
        let was = match self.expect(op, &op.path, &op.expect) {
            Err(Outcome::Changed) if self.look(op, &op.path)?.is_none() => return Ok(()),
            other => other?,
        };
        let Some(was) = was else {
            return Ok(());
        };
        if was.kind != Kind::Dir {
            let name = self.temp_name();
            return self.take_out(op, &op.path, &was, &name);
        }
        self.step(Step::RemoveFolder)
            .map_err(|error| self.failed(op, error))?;
        match self.jail().remove_dir(op.path.as_str()) {
            Ok(()) => {}
            Err(error) if matches!(error.kind, JailErrorKind::NotFound) => {}
            Err(error) => return Err(self.refused(op, &error)),
        }
        self.touched(&op.path);
        Ok(())
    }
}
