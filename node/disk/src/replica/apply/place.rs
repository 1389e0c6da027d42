//! The second half of a batch: names are given, exchanged and taken away, after a look at each.

use super::faults::Step;
use super::stage::{SYNC_EACH_MAX, Staged, Temp, Turn, Unplaced};
use super::{ApplyOptions, Tried};
use crate::replica::is_reserved;
use crate::replica::look::{is_same_renamed, stamp};
use crate::replica::probe::{Capabilities, Support};
use crate::replica::root::Replica;
use crate::replica::staging::incoming_name;
use shoal_jail::{Existing, Jail, JailError, Kind, Meta};
use shoal_protocol::id::ContentHash;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{Expect, Failure, Op, OpKind, Outcome, Stamp};
use std::collections::{BTreeSet, HashMap};
use std::io;

/// A batch that is being carried out.
pub(super) struct Placing<'a> {
    replica: &'a Replica,
    options: &'a ApplyOptions<'a>,
    /// Folders whose names changed.
    parents: BTreeSet<String>,
    /// Names in staging of what was displaced from the tree, to be removed for good.
    displaced: Vec<String>,
    /// Staged contents that nobody wants any more. They go last: a file of the tree may be the same inode, whose ctime changes
    /// with its names, and an operation of this batch may expect it as it was.
    pub(super) used_up: Vec<ContentHash>,
    /// Folders that were found to belong, or not, to this fileset.
    belongs: HashMap<String, Belongs>,
    free_bytes: Option<u64>,
    /// Operations that have yet to use each fetched content.
    pub(super) users: HashMap<ContentHash, usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Belongs {
    Here,
    Elsewhere,
}

impl<'a> Placing<'a> {
    pub(super) fn new(replica: &'a Replica, options: &'a ApplyOptions<'a>) -> Self {
        Self {
            replica,
            options,
            parents: BTreeSet::new(),
            displaced: Vec::new(),
            used_up: Vec::new(),
            belongs: HashMap::new(),
            users: HashMap::new(),
            free_bytes: replica.jail().free_space().ok(),
        }
    }

    pub(super) fn replica(&self) -> &'a Replica {
        self.replica
    }

    pub(super) fn jail(&self) -> &'a Jail {
        self.replica.jail()
    }

    pub(super) fn staging(&self) -> &'a Jail {
        self.replica.staging()
    }

    pub(super) fn capabilities(&self) -> &'a Capabilities {
        self.replica.capabilities()
    }

    pub(super) fn temp_name(&self) -> String {
        self.replica.temp_name()
    }

    pub(super) fn step(&self, step: Step) -> io::Result<()> {
        self.options.faults.before(step)
    }

    pub(super) fn report(&self, op: &Op, what: &str) {
        (self.options.report)(op.path.as_str(), what);
    }

    /// Takes bytes from what may still be written.
    pub(super) fn spend(&mut self, bytes: u64) -> Tried<()> {
        let Some(free) = self.free_bytes else {
            return Ok(());
        };
        match free.checked_sub(bytes) {
            Some(left) if left >= self.options.floor_bytes => {
                self.free_bytes = Some(left);
                Ok(())
            }
            _ => Err(Outcome::Failed(Failure::NoSpace)),
        }
    }

    /// Refuses paths that are Shoal's own, or another fileset's. Looks at each folder once.
    pub(super) fn guard(&mut self, op: &Op) -> Tried<()> {
        let from = match &op.kind {
            OpKind::Move { from, .. } => Some(from),
            _ => None,
        };
        for path in [Some(&op.path), from].into_iter().flatten() {
            if self.is_foreign(path) {
                self.report(op, "the path belongs to Shoal itself or to another fileset");
                return Err(Outcome::Impossible);
            }
        }
        Ok(())
    }

    fn is_foreign(&mut self, path: &RelPath) -> bool {
        let text = path.as_str();
        // Moving or removing a folder above the home would take the home along.
        let around = |outer: &str, inner: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let of_home = self
            .replica
            .keep_out()
            .is_some_and(|home| around(home, text) || text == home);
        if is_reserved(text) || of_home {
            return true;
        }
        // A file system that folds names may have more spellings of `.shoal` than this program knows.
        let first = text.split('/').next().unwrap_or(text);
        if self.replica.capabilities().has_twins()
            && self
                .jail()
                .metadata(first)
                .is_ok_and(|meta| self.replica.is_own_inode(meta.ino))
        {
            return true;
        }
        let mut folder = path.parent();
        while let Some(at) = folder {
            if let Some(known) = self.belongs.get(at.as_str()) {
                return *known == Belongs::Elsewhere;
            }
            let found = self.look_whose(at.as_str());
            self.belongs.insert(at.as_str().to_owned(), found);
            if found == Belongs::Elsewhere {
                return true;
            }
            folder = at.parent();
        }
        false
    }

    fn look_whose(&self, folder: &str) -> Belongs {
        let marker = format!("{folder}/{}/marker", crate::replica::OWN_FOLDER);
        let other = self.jail().metadata(&marker).is_ok()
            || self
                .jail()
                .metadata(folder)
                .is_ok_and(|meta| meta.kind == Kind::Dir && meta.dev != self.replica.dev());
        match other {
            true => Belongs::Elsewhere,
            false => Belongs::Here,
        }
    }

    /// What is at a path; none if nothing is, or if a folder on the way is missing.
    pub(super) fn look(&self, op: &Op, path: &RelPath) -> Tried<Option<Meta>> {
        match self.jail().metadata(path.as_str()) {
            Ok(meta) => Ok(Some(meta)),
            Err(error) => match self.refused(op, &error) {
                Outcome::Changed => Ok(None),
                outcome => Err(outcome),
            },
        }
    }

    /// Refuses if what is at a path is not what was expected there.
    pub(super) fn expect(&self, op: &Op, path: &RelPath, expect: &Expect) -> Tried<Option<Meta>> {
        let there = self.look(op, path)?;
        let holds = match (expect, &there) {
            (Expect::Absent, None) => true,
            (Expect::File(was), Some(meta)) => {
                let now = stamp(meta);
                meta.kind == Kind::File && was.same_bytes(&now) && was.mode == now.mode
            }
            (Expect::Folder, Some(meta)) => meta.kind == Kind::Dir,
            (Expect::Symlink(target), Some(meta)) => {
                meta.kind == Kind::Symlink
                    && self
                        .jail()
                        .read_link(path.as_str())
                        .is_ok_and(|found| found == target.as_bytes())
            }
            _ => false,
        };
        match (holds, expect) {
            (true, _) => Ok(there),
            (false, Expect::Absent) => Err(self.taken(path)),
            (false, _) => Err(Outcome::Changed),
        }
    }

    /// Why a name is not free: something came to it, or it is another spelling of a name that is there.
    pub(super) fn taken(&self, path: &RelPath) -> Outcome {
        if !self.replica.capabilities().has_twins() {
            return Outcome::Changed;
        }
        let parent = path.parent();
        let names = self
            .jail()
            .read_dir(parent.as_ref().map_or("", RelPath::as_str))
            .unwrap_or_default();
        match names.iter().any(|entry| entry.name == path.name()) {
            true => Outcome::Changed,
            false => Outcome::Taken,
        }
    }

    /// Carries out one operation.
    pub(super) fn one(&mut self, op: &Op, staged: Staged) -> Tried<Option<Stamp>> {
        match (&op.kind, staged) {
            (OpKind::Write { .. }, Staged::Ready(temp)) => self.write(op, temp).map(Some),
            (OpKind::Write { .. }, _) => {
                let prepared = super::stage::write(self, op, Turn::Own)?;
                let (temp, file) = prepared.ok_or(Outcome::NoContent)?;
                let synced = self.step(Step::SyncStaged).and_then(|()| file.sync_all());
                if let Err(error) = synced {
                    self.discard(&temp);
                    return Err(self.failed(op, error));
                }
                self.write(op, temp).map(Some)
            }
            (OpKind::Move { .. }, _) => self.rename(op).map(Some),
            (OpKind::Stage { content }, _) => self.keep(op, content).map(Some),
            (OpKind::Folder { mode }, _) => self.make_folder(op, *mode).map(Some),
            (OpKind::Symlink { target }, _) => self.link(op, target).map(Some),
            (OpKind::Attributes(attributes), _) => {
                self.expect(op, &op.path, &op.expect)?;
                self.set_attributes(op, &op.path, &op.expect, attributes)
                    .map(Some)
            }
            (OpKind::Remove, _) => self.remove(op).map(|()| None),
        }
    }

    fn write(&mut self, op: &Op, temp: Temp) -> Tried<Stamp> {
        match self.place(op, &temp) {
            Ok(()) => {}
            Err(outcome) => {
                self.discard(&temp);
                return Err(outcome);
            }
        }
        self.used_up.extend(temp.uses_up);
        let after = self.stamp_at(op, &op.path)?;
        Ok(settled(&temp.stamp, after))
    }

    /// Gives something in staging its name: where nothing is, or in exchange for what is expected.
    pub(super) fn place(&mut self, op: &Op, temp: &Temp) -> Tried<()> {
        let there = self.expect(op, &op.path, &op.expect)?;
        let placed = match there {
            None => self
                .step(Step::Name)
                .map_err(|error| self.failed(op, error))
                .and_then(|()| {
                    self.staging()
                        .rename(&temp.name, self.jail(), op.path.as_str(), Existing::Keep)
                        .map_err(|error| self.name_error(op, &error))
                }),
            Some(was) => self.replace(op, temp, &was),
        };
        placed?;
        self.touched(&op.path);
        Ok(())
    }

    fn name_error(&self, op: &Op, error: &JailError) -> Outcome {
        if error.is_exists() {
            return self.taken(&op.path);
        }
        self.refused(op, error)
    }

    /// Puts something from staging in the place of what is there.
    fn replace(&mut self, op: &Op, temp: &Temp, was: &Meta) -> Tried<()> {
        if temp.unplaced == Unplaced::Remove {
            return self.exchange(op, &temp.name, &temp.stamp, was);
        }
        // It may be the only copy: until it is in its place it keeps the name that a sweep knows. And what comes
        // out must not get that name, which promises some content. So a second name goes the way.
        let (staging, name) = (self.staging(), self.temp_name());
        if self.replica.capabilities().exchange == Support::No
            || staging.link(&temp.name, staging, &name).is_err()
        {
            return staging
                .rename(&temp.name, self.jail(), op.path.as_str(), Existing::Replace)
                .map_err(|error| self.refused(op, &error));
        }
        let exchanged = self.exchange(op, &name, &temp.stamp, was);
        let spare = match exchanged {
            Ok(()) => &temp.name,
            Err(_) => &name,
        };
        // Where the exchange was taken back, and in it somebody's file was rescued, the name is gone.
        if self.is_ours(spare, &temp.stamp) {
            let _ = staging.remove_file(spare);
        }
        exchanged
    }

    /// Lets a name in staging and `op.path` change places. What came out must be what was looked at.
    fn exchange(&mut self, op: &Op, temp: &str, ours: &Stamp, was: &Meta) -> Tried<()> {
        self.step(Step::Exchange)
            .map_err(|error| self.failed(op, error))?;
        let path = op.path.as_str();
        let (staging, jail) = (self.staging(), self.jail());
        let exchange = || staging.rename(temp, jail, path, Existing::Exchange);
        if self.replica.capabilities().exchange == Support::No {
            return staging
                .rename(temp, jail, path, Existing::Replace)
                .map_err(|error| self.refused(op, &error));
        }
        exchange().map_err(|error| self.refused(op, &error))?;
        let _ = self.step(Step::LookDisplaced);
        match staging.metadata(temp) {
            Ok(out) if out.kind == was.kind && is_same_renamed(&stamp(was), &stamp(&out)) => {
                self.displaced(temp, out.nlink);
                Ok(())
            }
            _ => {
                // Somebody was quicker: what is theirs goes back to its name.
                if exchange().is_err() || !self.is_ours(temp, ours) {
                    self.rescue(temp);
                }
                Err(Outcome::Changed)
            }
        }
    }

    fn is_ours(&self, temp: &str, ours: &Stamp) -> bool {
        self.staging()
            .metadata(temp)
            .is_ok_and(|meta| is_same_renamed(ours, &stamp(&meta)))
    }

    /// What was taken out of the tree is removed when the names are durable. A file that has other names
    /// goes at once: the bytes stay, and whoever has staged it by such a name has it alone.
    pub(super) fn displaced(&mut self, temp: &str, names: u64) {
        if names < 2 || self.staging().remove_file(temp).is_err() {
            self.displaced.push(temp.to_owned());
        }
    }

    /// Keeps something of the user's that lost its place in a race: in `.shoal/rescued`.
    pub(super) fn rescue(&self, temp: &str) {
        if self.replica.rescue(temp).is_ok() {
            (self.options.report)(
                temp,
                "a file changed in the very moment of being replaced; it is kept in .shoal/rescued",
            );
        }
    }

    pub(super) fn discard(&self, temp: &Temp) {
        if temp.unplaced == Unplaced::Remove {
            let _ = self.staging().remove_tree(&temp.name);
        }
    }

    /// Remembers the folder of a path, to sync it.
    pub(super) fn touched(&mut self, path: &RelPath) {
        let parent = path.as_str().rsplit_once('/').map_or("", |split| split.0);
        if !self.parents.contains(parent) {
            self.parents.insert(parent.to_owned());
        }
    }

    /// Makes the names durable.
    pub(super) fn sync_parents(&mut self) -> io::Result<()> {
        if self.parents.is_empty() {
            return Ok(());
        }
        self.step(Step::SyncParents)?;
        if self.parents.len() > SYNC_EACH_MAX {
            return Ok(self.jail().sync()?);
        }
        for parent in &self.parents {
            match self.jail().sync_dir(parent) {
                // It was removed since, which its own parent remembers.
                Err(error) if error.is_not_found() => {}
                other => other?,
            }
        }
        Ok(())
    }

    pub(super) fn remove_used_up(&mut self) {
        for content in std::mem::take(&mut self.used_up) {
            let _ = self.staging().remove_file(&incoming_name(&content));
        }
    }

    pub(super) fn remove_displaced(&mut self) {
        for name in std::mem::take(&mut self.displaced) {
            // What stays is swept at the next start.
            if self.step(Step::Unlink).is_ok() {
                let _ = self.staging().remove_file(&name);
            }
        }
    }
}

/// The stamp to remember for what was placed: one that differs in more than the ctime is somebody else's work,
/// and is to be looked at again.
pub(super) fn settled(placed: &Stamp, after: Stamp) -> Stamp {
    match is_same_renamed(placed, &after) {
        true => after,
        false => Stamp {
            ctime_ns: 0,
            ..*placed
        },
    }
}
