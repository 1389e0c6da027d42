//! Operations on the disk, one at a time, each only when what is there is what the machine expects.
//!
//! Between the look at what is there and the change, nothing happens here: the short race of real file systems is not simulated.

use crate::disk::{Disk, Mount, Node};
use crate::plan::Fault;
use crate::sabotage::Sabotage;
use crate::world::{Step, Weather, World};
use shoal_protocol::id::ContentHash;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{Attributes, Event, Expect, Failure, Op, OpKind, Outcome, Source};
use std::collections::BTreeMap;

impl World {
    /// Does the next operation; after the last, tells that all are durable.
    pub(crate) fn apply_on(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        let Some(apply) = host.applies.front_mut() else {
            return;
        };
        let Some(op) = apply.ops.pop_front() else {
            let outcomes = std::mem::take(&mut apply.outcomes);
            host.applies.pop_front();
            if !host.applies.is_empty() {
                self.later(number, 1, Step::Apply);
            }
            self.handle(number, Event::Applied(outcomes));
            return;
        };
        apply.before.push((host.disk.clone(), host.staging.clone()));
        let ill = self.weather == Weather::Storm && self.plan.has(Fault::Disk);
        let outcome = match self.luck.below(60) {
            0 if ill => Outcome::Failed(Failure::NoSpace),
            1 if ill => Outcome::Failed(Failure::Io),
            _ => self.operate(number, &op).unwrap_or_else(|refusal| refusal),
        };
        self.trace.line(format_args!("  {:?} {outcome:?}", op.id));
        if matches!(outcome, Outcome::Done(_)) {
            self.busy();
        }
        if let Some(apply) = self.hosts[number].applies.front_mut() {
            apply.outcomes.push((op.id, outcome));
        }
        let delay = self.chance.below(15);
        self.later(number, delay, Step::Apply);
    }

    /// One operation.
    fn operate(&mut self, number: usize, op: &Op) -> Result<Outcome, Outcome> {
        let now_ns = self.wall_ns(number);
        if self.hosts[number].disk.mount != Mount::There {
            return Err(Outcome::Changed);
        }
        let source = match &op.kind {
            OpKind::Move { from, .. } => Some(from),
            _ => None,
        };
        if self.sabotage != Sabotage::ApplyUnseen {
            expect(&self.hosts[number].disk, &op.path, &op.expect, source)?;
        }
        self.check_cause(number, op);
        let host = &mut self.hosts[number];
        let disk = &mut host.disk;
        let path = &op.path;
        let done = match &op.kind {
            OpKind::Write {
                content,
                source,
                attributes,
                ..
            } => {
                let bytes = match source {
                    Source::Empty => Some(Vec::new()),
                    Source::Staged => host.staging.remove(content),
                    Source::Local { path, stamp } => local(disk, path, *stamp, content),
                };
                let file = Node::File(bytes.ok_or(Outcome::NoContent)?);
                let done = disk.put(path, file, attributes.mode, now_ns);
                set(disk, path, attributes, now_ns);
                done
            }
            OpKind::Move {
                from,
                from_expect,
                attributes,
            } => {
                expect(disk, from, from_expect, None)?;
                let done = disk.rename(from, path, now_ns);
                set(disk, path, attributes, now_ns);
                done
            }
            OpKind::Stage { content } => {
                let bytes = staged(disk, path, content).ok_or(Outcome::Changed)?;
                host.staging.insert(*content, bytes);
                disk.touch(path, None, None, now_ns);
                true
            }
            OpKind::Folder { mode } => disk.put(path, Node::Folder(BTreeMap::new()), *mode, now_ns),
            OpKind::Symlink { .. } if !disk.manners.features.symlinks => {
                return Err(Outcome::Impossible);
            }
            OpKind::Symlink { target } => {
                disk.put(path, Node::Symlink(target.clone()), 0o777, now_ns)
            }
            OpKind::Attributes(attributes) => {
                set(disk, path, attributes, now_ns);
                true
            }
            OpKind::Remove => return remove(disk, path),
        };
        match disk.stamp(path) {
            stamp @ Some(_) if done => Ok(Outcome::Done(stamp)),
            _ => Err(Outcome::Changed),
        }
    }
}

/// The bytes at a path, if they have this hash.
fn staged(disk: &Disk, path: &RelPath, content: &ContentHash) -> Option<Vec<u8>> {
    match disk.node(path) {
        Some(Node::File(bytes)) if ContentHash::of(bytes) == *content => Some(bytes.clone()),
        _ => None,
    }
}

fn remove(disk: &mut Disk, path: &RelPath) -> Result<Outcome, Outcome> {
    let names = disk.names(Some(path));
    if names.is_some_and(|names| !names.is_empty()) {
        return Err(Outcome::NotEmpty);
    }
    disk.remove(path);
    Ok(Outcome::Done(None))
}

/// Whether what is there is what is expected.
fn expect(
    disk: &Disk,
    path: &RelPath,
    expected: &Expect,
    source: Option<&RelPath>,
) -> Result<(), Outcome> {
    let parent = path.parent();
    if parent.is_some() && disk.names(parent.as_ref()).is_none() {
        return Err(Outcome::Changed);
    }
    let is = match (expected, disk.node(path)) {
        (Expect::Absent, None) => true,
        (Expect::Absent, Some(_)) => {
            if source.is_some_and(|source| disk.is_same(source, path)) {
                return Ok(());
            }
            let exact = disk.is_exact(path);
            return Err(if exact {
                Outcome::Changed
            } else {
                Outcome::Taken
            });
        }
        (_, Some(_)) if !disk.is_exact(path) => false,
        (Expect::File(stamp), Some(Node::File(_))) => disk
            .stamp(path)
            .is_some_and(|now| stamp.same_bytes(&now) && stamp.mode == now.mode),
        (Expect::Symlink(target), Some(Node::Symlink(now))) => target == now,
        (Expect::Folder, Some(Node::Folder(_))) => true,
        _ => false,
    };
    if is { Ok(()) } else { Err(Outcome::Changed) }
}

/// The bytes of another file of the tree, if it is what it must be.
fn local(
    disk: &Disk,
    path: &RelPath,
    stamp: shoal_protocol::sync::Stamp,
    content: &ContentHash,
) -> Option<Vec<u8>> {
    let same = disk.stamp(path).is_some_and(|now| stamp.same_bytes(&now));
    match disk.node(path) {
        Some(Node::File(bytes)) if same && ContentHash::of(bytes) == *content => {
            Some(bytes.clone())
        }
        _ => None,
    }
}

fn set(disk: &mut Disk, path: &RelPath, attributes: &Attributes, now_ns: i64) {
    match disk.node(path) {
        Some(Node::File(_)) => {
            disk.touch(
                path,
                Some(attributes.mtime_ns),
                Some(attributes.mode),
                now_ns,
            );
        }
        Some(Node::Folder(_)) => disk.touch(path, None, Some(attributes.mode), now_ns),
        _ => {}
    }
}
