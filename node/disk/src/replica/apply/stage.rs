//! The first half of a batch: what needs bytes is prepared in staging and made durable.

use super::Tried;
use super::attributes::dress;
use super::copy;
use super::failure::{failure, refusal};
use super::faults::Step;
use super::place::Placing;
use crate::replica::content::hash;
use crate::replica::look::stamp_of;
use crate::replica::staging::incoming_name;
use shoal_jail::Create;
use shoal_protocol::id::ContentHash;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{Attributes, Failure, Op, OpKind, Outcome, Source, Stamp};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;

/// Up to so many files, an `fsync` each is cheaper than one `syncfs`.
pub(super) const SYNC_EACH_MAX: usize = 8;

/// What was prepared for an operation.
pub(super) enum Staged {
    /// Nothing yet: it needs no bytes, or they come to be in the course of the batch.
    Nothing,
    /// This waits in staging.
    Ready(Temp),
    /// It went wrong, and left nothing.
    Refused(Outcome),
}

/// Something in staging that is ours.
#[derive(Debug)]
pub(super) struct Temp {
    pub(super) name: String,
    pub(super) stamp: Stamp,
    /// What becomes of it when it gets no place.
    pub(super) unplaced: Unplaced,
    /// The staged content of which it is a copy, when nobody else wants that: it is used up once this has its place.
    pub(super) uses_up: Option<ContentHash>,
}

/// What becomes of something in staging that gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unplaced {
    /// It is removed.
    Remove,
    /// It is content that was fetched: it stays for another attempt.
    Keep,
}

/// Prepares a batch. What would be refused anyway is not prepared.
pub(super) fn stage_all(placing: &mut Placing<'_>, ops: &[Op]) -> Vec<Staged> {
    placing.users = users(ops);
    let mut made_here: HashSet<ContentHash> = HashSet::new();
    let mut staged = Vec::with_capacity(ops.len());
    let mut files = Vec::new();
    for (index, op) in ops.iter().enumerate() {
        let prepared = placing.guard(op).and_then(|()| match &op.kind {
            OpKind::Stage { content } => {
                made_here.insert(*content);
                Ok(None)
            }
            // The bytes are staged by an operation before this one.
            OpKind::Write {
                source: Source::Staged,
                content,
                ..
            } if made_here.contains(content) => Ok(None),
            // The path may be made free, or made at all, by an operation before this one: it is looked at
            // in its turn.
            OpKind::Write { .. } => write(placing, op, Turn::Early),
            _ => Ok(None),
        });
        staged.push(match prepared {
            Ok(None) => Staged::Nothing,
            Ok(Some((temp, file))) => {
                files.push((index, file));
                Staged::Ready(temp)
            }
            Err(outcome) => Staged::Refused(outcome),
        });
    }
    make_durable(placing, &mut staged, files);
    staged
}

/// How many operations use up each staged content.
fn users(ops: &[Op]) -> HashMap<ContentHash, usize> {
    let mut users = HashMap::new();
    for op in ops {
        if let OpKind::Write {
            source: Source::Staged,
            content,
            ..
        } = &op.kind
        {
            *users.entry(*content).or_default() += 1;
        }
    }
    users
}

/// Few files are synced one by one, many by one sync of the file system.
fn make_durable(placing: &Placing<'_>, staged: &mut [Staged], files: Vec<(usize, File)>) {
    let mut refuse = |index: usize, failure: Failure| {
        if let Some(staged) = staged.get_mut(index) {
            let refused = Staged::Refused(Outcome::Failed(failure));
            if let Staged::Ready(temp) = std::mem::replace(staged, refused) {
                placing.discard(&temp);
            }
        }
    };
    if files.len() > SYNC_EACH_MAX {
        let synced = placing
            .step(Step::SyncStaged)
            .and_then(|()| placing.jail().sync().map_err(io::Error::from));
        if let Err(error) = synced {
            let failure = failure(error);
            for (index, _) in files {
                refuse(index, failure);
            }
        }
        return;
    }
    for (index, file) in files {
        let synced = placing
            .step(Step::SyncStaged)
            .and_then(|()| file.sync_all());
        if let Err(error) = synced {
            refuse(index, failure(error));
        }
    }
}

/// When a file is prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// With the rest of the batch.
    Early,
    /// Right before it is placed.
    Own,
}

/// Prepares the file of one `Write`. None if it is not its turn.
pub(super) fn write(placing: &mut Placing<'_>, op: &Op, turn: Turn) -> Tried<Option<(Temp, File)>> {
    let OpKind::Write {
        content,
        size_bytes,
        source,
        attributes,
    } = &op.kind
    else {
        return Err(Outcome::NoContent);
    };
    let size_bytes = *size_bytes;
    let (mut temp, file) = if let Source::Local { path, stamp } = source {
        local(placing, op, content, size_bytes, (path, stamp))?
    } else if size_bytes == 0 {
        // Wherever it may be, nothing is needed from there.
        filled(placing, op, |_| Ok(()))?
    } else {
        match incoming(placing, op, content, size_bytes, turn)? {
            Some(prepared) => prepared,
            None => return Ok(None),
        }
    };
    match dressed(placing, op, &file, attributes) {
        Ok(stamp) => temp.stamp = stamp,
        Err(outcome) => {
            placing.discard(&temp);
            return Err(outcome);
        }
    }
    Ok(Some((temp, file)))
}

/// A copy of another file of the tree.
fn local(
    placing: &mut Placing<'_>,
    op: &Op,
    content: &ContentHash,
    size_bytes: u64,
    (path, stamp): (&RelPath, &Stamp),
) -> Tried<(Temp, File)> {
    placing.spend(size_bytes)?;
    let from = placing
        .jail()
        .open_read(path.as_str())
        .map_err(|_| Outcome::NoContent)?;
    filled(placing, op, |to| {
        let unchanged = || stamp_of(&from).is_ok_and(|now| stamp.same_bytes(&now));
        if !unchanged() || stamp.size_bytes != size_bytes {
            return Err(Outcome::NoContent);
        }
        copied(placing, op, &from, to, size_bytes)?;
        // The stamp says that the bytes are those that were hashed; the copy is what is checked.
        if !unchanged() || hash(to, size_bytes).ok() != Some(*content) {
            return Err(Outcome::NoContent);
        }
        Ok(())
    })
}

/// Content that was fetched before: it is used up by the last who wants it, and copied for the others.
fn incoming(
    placing: &mut Placing<'_>,
    op: &Op,
    content: &ContentHash,
    size_bytes: u64,
    turn: Turn,
) -> Tried<Option<(Temp, File)>> {
    let name = incoming_name(content);
    let file = placing
        .staging()
        .open_rw(&name)
        .map_err(|_| Outcome::NoContent)?;
    let meta = rustix::fs::fstat(&file).map_err(|errno| placing.failed(op, errno.into()))?;
    let meta = shoal_jail::Meta::from(&meta);
    if meta.size != size_bytes {
        return Err(Outcome::NoContent);
    }
    // A file of the tree has the same inode. It may be overwritten before this one's turn; until then,
    // what is done to this one would be done to it.
    if meta.nlink > 1 && turn == Turn::Early {
        return Ok(None);
    }
    let left = placing.users.entry(*content).or_insert(1);
    *left = left.saturating_sub(1);
    let last = *left == 0;
    if last && meta.nlink == 1 {
        let temp = Temp {
            name,
            stamp: crate::replica::look::stamp(&meta),
            unplaced: Unplaced::Keep,
            uses_up: None,
        };
        return Ok(Some((temp, file)));
    }
    placing.spend(size_bytes)?;
    let (temp, copy) = filled(placing, op, |to| {
        copied(placing, op, &file, to, size_bytes)?;
        match hash(to, size_bytes) {
            Ok(found) if found == *content => Ok(()),
            Ok(_) => Err(Outcome::NoContent),
            Err(error) => Err(placing.failed(op, error)),
        }
    })?;
    let uses_up = last.then_some(*content);
    Ok(Some((Temp { uses_up, ..temp }, copy)))
}

/// Makes a file in staging and fills it; what fails leaves nothing.
fn filled(
    placing: &Placing<'_>,
    op: &Op,
    fill: impl FnOnce(&File) -> Tried<()>,
) -> Tried<(Temp, File)> {
    let name = placing.temp_name();
    placing
        .step(Step::Stage)
        .map_err(|error| placing.failed(op, error))?;
    let file = placing
        .staging()
        .create_file(&name, 0o600, Create::New)
        .map_err(|error| placing.refused(op, &error))?;
    let filled = placing
        .step(Step::Fill)
        .map_err(|error| placing.failed(op, error))
        .and_then(|()| fill(&file))
        .and_then(|()| stamp_of(&file).map_err(|error| placing.failed(op, error)));
    match filled {
        Ok(stamp) => {
            let unplaced = Unplaced::Remove;
            let temp = Temp {
                name,
                stamp,
                unplaced,
                uses_up: None,
            };
            Ok((temp, file))
        }
        Err(outcome) => {
            let _ = placing.staging().remove_file(&name);
            Err(outcome)
        }
    }
}

fn copied(placing: &Placing<'_>, op: &Op, from: &File, to: &File, size_bytes: u64) -> Tried<()> {
    copy::copy(from, to, size_bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Outcome::NoContent,
        _ => placing.failed(op, error),
    })
}

fn dressed(placing: &Placing<'_>, op: &Op, file: &File, attributes: &Attributes) -> Tried<Stamp> {
    placing
        .step(Step::Dress)
        .and_then(|()| dress(file, attributes))
        .and_then(|()| stamp_of(file))
        .map_err(|error| placing.failed(op, error))
}

impl Placing<'_> {
    /// What an error of the system comes to; people are told its words.
    pub(super) fn failed(&self, op: &Op, error: io::Error) -> Outcome {
        self.report(op, &error.to_string());
        Outcome::Failed(failure(error))
    }

    /// What an error of the jail comes to; people are told its words, unless it is a mere local change.
    pub(super) fn refused(&self, op: &Op, error: &shoal_jail::JailError) -> Outcome {
        let outcome = refusal(error);
        if !matches!(outcome, Outcome::Changed | Outcome::NotEmpty) {
            self.report(op, &error.kind.to_string());
        }
        outcome
    }
}
