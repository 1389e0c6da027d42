//! What is written down: batches under way, own numbers, and entries that go into the index.

use super::turn::{Sealed, Turn, Writes};
use super::{Config, Machine};
use crate::id::{ContentHash, DeviceId};
use crate::path::RelPath;
use crate::sync::action::Action;
use crate::sync::batch::{AppliedChange, Batch, BatchId, EntrySet, Incarnation, Meta};
use crate::sync::entry::{Entry, Kind};
use crate::sync::index::{Index, Read};
use crate::sync::merge::{Joined, join};
use crate::sync::message::Message;
use crate::sync::project::originals;
use crate::sync::version::{AuthorId, DOUBTED, Dot, Knowledge, Seen, VersionVector, incarnation};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Starts of the program that are remembered: enough to tell an own past from a foreign one.
const INCARNATIONS_MAX: usize = 64;

/// What this device has written and seen.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) meta: Meta,
    /// The last own number when the program started: what it wrote since then may have been written after a backup was restored.
    pub(super) loaded_seq: u64,
    /// Whether this start of the program has given a number to the present author.
    pub(super) has_written: bool,
    /// The last own number that any other was sent in this life of the program.
    pub(super) given_seq: u64,
    /// Own numbers up to this one are durable, so that others may hear of them.
    pub(super) durable_seq: u64,
    pub(super) knowledge: Knowledge,
    /// The part of `knowledge` that is durable: what others are told.
    pub(super) durable: Knowledge,
    /// Highest number held of every author, seen without gaps or not.
    pub(super) heads: BTreeMap<AuthorId, u64>,
    /// Whether `meta` has something that is worth writing when nothing else is to be done.
    pub(super) unsaved: bool,
    pending: VecDeque<Pending>,
    last_batch: BatchId,
}

/// What follows once a batch is durable.
#[derive(Debug)]
struct Pending {
    id: BatchId,
    own_seq: (AuthorId, u64),
    knowledge: BTreeMap<AuthorId, Seen>,
    dirty: BTreeSet<RelPath>,
    taken: Vec<(DeviceId, u64)>,
    greet: bool,
}

/// A new entry of this device, before it has a number.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) path: RelPath,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) mtime_ns: i64,
    pub(super) parent: Option<ContentHash>,
    pub(super) moved_from: Option<RelPath>,
    /// What the writer has seen.
    pub(super) base: VersionVector,
}

impl Ledger {
    pub(super) fn load(config: &Config, index: &impl Index) -> Read<Self> {
        let fresh = Meta {
            author: AuthorId {
                device: config.device,
                epoch: 0,
            },
            last_seq: 0,
            incarnations: Vec::new(),
            confirmed_seq: 0,
        };
        let meta = index.meta()?.unwrap_or(fresh);
        let knowledge = index.knowledge()?;
        Ok(Self {
            loaded_seq: meta.last_seq,
            has_written: false,
            given_seq: 0,
            durable_seq: meta.last_seq,
            meta,
            durable: knowledge.clone(),
            knowledge,
            heads: index.heads()?.into_iter().collect(),
            unsaved: false,
            pending: VecDeque::new(),
            last_batch: BatchId(0),
        })
    }

    /// Whether nothing is on its way to the disk.
    pub(super) fn is_durable(&self) -> bool {
        self.pending.is_empty()
    }

    /// A connection ended: its pages are not acknowledged any more, least of all on the next one.
    pub(super) fn forget_pages(&mut self, peer: DeviceId) {
        for batch in &mut self.pending {
            batch.taken.retain(|(from, _)| *from != peer);
        }
    }

    pub(super) fn author(&self) -> AuthorId {
        self.meta.author
    }

    /// Remembers which own numbers go out.
    pub(super) fn give(&mut self, message: &Message) {
        if let Message::Entries { entries, .. } = message {
            let own = entries.iter().filter(|it| it.author == self.meta.author);
            let last = own.map(|entry| entry.dot().seq).max().unwrap_or(0);
            self.given_seq = self.given_seq.max(last);
        }
    }

    fn next_dot(&mut self, nonce: u64) -> Dot {
        self.meta.last_seq += 1;
        let seq = self.meta.last_seq;
        if !std::mem::replace(&mut self.has_written, true) {
            self.meta.incarnations.push(Incarnation {
                first_seq: seq,
                nonce: incarnation(nonce, seq),
            });
            if self.meta.incarnations.len() > INCARNATIONS_MAX {
                self.meta.incarnations.remove(0);
            }
        }
        Dot {
            author: self.meta.author,
            seq,
        }
    }
}

impl Machine {
    /// Where what was written so far may be on the disk without what comes after it: makes much of it a batch of its own, so
    /// that memory is bounded however much changed at once.
    pub(super) fn seal_if_much<I: Index>(&mut self, turn: &mut Turn<'_, I>) {
        let writes = &mut turn.writes;
        if writes.entries.len().max(writes.applied.len()) < self.config.batch_max_paths {
            return;
        }
        let meta = std::mem::take(&mut writes.meta);
        self.ledger.unsaved &= !meta;
        writes.sealed.push(Sealed {
            entries: std::mem::take(&mut writes.entries),
            applied: std::mem::take(&mut writes.applied),
            knowledge: std::mem::take(&mut writes.knowledge),
            meta: meta.then(|| self.ledger.meta.clone()),
        });
    }

    /// Hands out what was written in this call: one batch, and before it those that were sealed.
    pub(super) fn persist<I: Index>(&mut self, turn: &mut Turn<'_, I>) {
        let mut writes = std::mem::take(&mut turn.writes);
        let mut knowledge = BTreeMap::new();
        for sealed in std::mem::take(&mut writes.sealed) {
            knowledge.extend(sealed.knowledge.iter().map(|(a, s)| (*a, *s)));
            self.hand_out(turn, sealed);
        }
        let Writes {
            sealed: _,
            entries,
            applied,
            knowledge: last_knowledge,
            meta,
            dirty,
            taken,
            greet,
        } = writes;
        self.ledger.unsaved &= !meta;
        knowledge.extend(last_knowledge.iter().map(|(a, s)| (*a, *s)));
        let last = Sealed {
            entries,
            applied,
            knowledge: last_knowledge,
            meta: meta.then(|| self.ledger.meta.clone()),
        };
        let id = self.hand_out(turn, last);
        self.ledger.pending.push_back(Pending {
            id,
            own_seq: (self.ledger.meta.author, self.ledger.meta.last_seq),
            knowledge,
            dirty,
            taken,
            greet,
        });
    }

    fn hand_out<I: Index>(&mut self, turn: &mut Turn<'_, I>, rows: Sealed) -> BatchId {
        self.ledger.last_batch.0 += 1;
        let id = self.ledger.last_batch;
        let entries = rows.entries.into_iter();
        let names = self.config.features.names;
        turn.actions.push(Action::Persist(Batch {
            id,
            entries: entries
                .map(|(path, maximal)| EntrySet { path, maximal })
                .collect(),
            applied: rows
                .applied
                .into_iter()
                .map(|(path, row)| AppliedChange {
                    folded: names.folded(&path),
                    path,
                    row,
                })
                .collect(),
            knowledge: rows.knowledge.into_iter().collect(),
            meta: rows.meta,
        }));
        id
    }

    /// A batch and all before it are durable: what depends on them may go on.
    pub(super) fn on_persisted<I: Index>(&mut self, turn: &mut Turn<'_, I>, id: BatchId) {
        while self
            .ledger
            .pending
            .front()
            .is_some_and(|batch| batch.id <= id)
            && let Some(batch) = self.ledger.pending.pop_front()
        {
            if batch.own_seq.0 == self.ledger.meta.author {
                self.ledger.durable_seq = self.ledger.durable_seq.max(batch.own_seq.1);
            }
            self.ledger.durable.extend(batch.knowledge);
            self.work.dirty_all(batch.dirty);
            turn.writes.taken.extend(batch.taken);
            if batch.greet {
                self.greet_all(turn);
            }
        }
    }

    /// Pages of this call wait for what is under way, or are acknowledged at once when there is nothing.
    pub(super) fn acknowledge<I: Index>(&mut self, turn: &mut Turn<'_, I>) {
        let taken = std::mem::take(&mut turn.writes.taken);
        self.work.dirty_all(std::mem::take(&mut turn.writes.dirty));
        match self.ledger.pending.back_mut() {
            Some(last) => last.taken.extend(taken),
            None => self.send_taken(turn, taken),
        }
    }

    /// Writes a new entry of this device; gives what it has taken into account.
    pub(super) fn write<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        draft: Draft,
    ) -> Read<VersionVector> {
        self.set_aside(turn, &draft)?;
        let mut version = draft.base;
        // The new number takes every older one of this device into account, so also what those have taken into account.
        let own = self.ledger.author();
        for entry in turn
            .entries(&draft.path)?
            .iter()
            .filter(|entry| entry.author == own)
        {
            version.join(&entry.version);
        }
        let dot = self.next_dot(turn);
        version.raise(dot);
        let entry = Entry {
            path: draft.path,
            kind: draft.kind,
            mode: draft.mode,
            mtime_ns: draft.mtime_ns,
            parent: draft.parent,
            moved_from: draft.moved_from,
            version: version.clone(),
            author: dot.author,
        };
        self.take_in(turn, entry)?;
        Ok(version)
    }

    /// The next number of this device, taken.
    pub(super) fn next_dot<I: Index>(&mut self, turn: &mut Turn<'_, I>) -> Dot {
        let dot = self.ledger.next_dot(self.config.nonce);
        let start = self.ledger.meta.incarnations.last();
        let seen = Seen {
            seq: dot.seq,
            incarnation: start.map_or(DOUBTED, |start| start.nonce),
        };
        self.know(turn, dot.author, seen);
        turn.writes.meta = true;
        dot
    }

    /// Raises what is known of an author.
    pub(super) fn know<I: Index>(&mut self, turn: &mut Turn<'_, I>, author: AuthorId, seen: Seen) {
        self.ledger.knowledge.insert(author, seen);
        turn.writes.knowledge.insert(author, seen);
    }

    /// Joins an entry to what is known of its path.
    pub(super) fn take_in<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        entry: Entry,
    ) -> Read<Joined> {
        let mut set = turn.entries(&entry.path)?;
        let (path, dot) = (entry.path.clone(), entry.dot());
        let joined = join(&mut set, entry);
        if joined == Joined::Taken {
            turn.writes.entries.insert(path.clone(), set);
            let head = self.ledger.heads.entry(dot.author).or_default();
            *head = (*head).max(dot.seq);
            self.touched(turn, &path)?;
        }
        Ok(joined)
    }

    /// Marks a path whose entries changed, and all whose projection depends on it.
    pub(super) fn touched<I: Index>(&mut self, turn: &mut Turn<'_, I>, path: &RelPath) -> Read<()> {
        turn.dirty(path);
        for original in originals(turn.index, path)? {
            turn.dirty(&original);
        }
        let mut parent = path.parent();
        while let Some(folder) = parent {
            let is_folder = |entry: &Entry| entry.kind == Kind::Folder;
            if turn.entries(&folder)?.iter().any(is_folder) || turn.writes.dirty.contains(&folder) {
                break;
            }
            turn.dirty(&folder);
            parent = folder.parent();
        }
        Ok(())
    }
}
