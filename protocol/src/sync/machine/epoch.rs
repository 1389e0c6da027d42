//! A home that was restored from a backup: how it is noticed, and how it goes on without harm.
//!
//! A number that was given away twice would make two different entries look like one. What peers have seen of this device says
//! in which start of the program the number was written; a start that this home does not remember happened after the backup.
//! Then this device becomes a new author, and says again, under new numbers, what it wrote since some peer last confirmed it.

use super::Machine;
use super::ledger::Draft;
use super::turn::Turn;
use crate::sync::action::Report;
use crate::sync::batch::Incarnation;
use crate::sync::entry::Entry;
use crate::sync::index::{Index, Read};
use crate::sync::merge::join;
use crate::sync::version::{AuthorId, DOUBTED, Dot, Knowledge, Seen, incarnation};

/// Rows that are read at once.
const PAGE_ROWS: usize = 1024;

impl Machine {
    /// Compares what a peer has seen of this device with what this device remembers.
    pub(super) fn check_own_past<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        theirs: &Knowledge,
    ) -> Read<()> {
        let own = self.ledger.author();
        let mine = |author: &&AuthorId| author.device == own.device;
        let newest = theirs.keys().filter(mine).map(|a| a.epoch).max();
        let forgotten = theirs.get(&own).is_some_and(|seen| !self.remembers(seen));
        if forgotten || newest.is_some_and(|epoch| epoch > own.epoch) {
            let mut shared_seq = self.shared_past(theirs.get(&own));
            if let Some(seen) = theirs.get(&own).filter(|seen| seen.is_doubted()) {
                // Others hold two entries under one number: what was given, was given before this start.
                shared_seq = shared_seq.min(seen.seq);
                self.ledger.given_seq = u64::MAX;
            }
            self.ledger.meta.confirmed_seq = shared_seq;
            return self.new_epoch(turn, newest.unwrap_or(0).max(own.epoch) + 1);
        }
        if let Some(seen) = theirs.get(&own)
            && seen.seq > self.ledger.meta.confirmed_seq
        {
            self.ledger.meta.confirmed_seq = seen.seq;
            self.ledger.unsaved = true;
        }
        Ok(())
    }

    /// A device gave a number twice: it was restored, and could not notice, because whoever it met had forgotten too. What it wrote from
    /// there on does not count as seen any more, so that all send it to each other; the device hears of it, and becomes a new author.
    pub(super) fn doubt<I: Index>(&mut self, turn: &mut Turn<'_, I>, dot: Dot) -> Read<()> {
        let seen = Seen {
            seq: dot.seq.saturating_sub(1),
            incarnation: DOUBTED,
        };
        if dot.author == self.ledger.author() {
            return self.check_own_past(turn, &Knowledge::from([(dot.author, seen)]));
        }
        let known = self.ledger.knowledge.get(&dot.author).copied();
        let seq = known.map_or(0, |known| known.seq).min(seen.seq);
        if known.is_none_or(|known| known.seq > seq || !known.is_doubted()) {
            self.count_as_unseen(turn, dot.author, seq);
        }
        Ok(())
    }

    /// Others doubt the numbers of an author, or have seen them written in another start of its program: so does this replica, from
    /// the same number on.
    pub(super) fn hear_doubts<I: Index>(&mut self, turn: &mut Turn<'_, I>, theirs: &Knowledge) {
        let own = self.ledger.author();
        for (author, seen) in theirs.iter().filter(|(author, _)| **author != own) {
            let Some(known) = self.ledger.knowledge.get(author) else {
                continue;
            };
            let doubted = seen.is_doubted().then_some(seen.seq);
            let Some(seq) = doubted.or_else(|| known.forked_after(seen)) else {
                continue;
            };
            if known.seq > seq || known.seq == seq && !known.is_doubted() {
                self.count_as_unseen(turn, *author, seq);
            }
        }
    }

    /// Numbers above this one do not count as seen any more; everybody is told.
    fn count_as_unseen<I: Index>(&mut self, turn: &mut Turn<'_, I>, author: AuthorId, seq: u64) {
        let incarnation = DOUBTED;
        let seen = Seen { seq, incarnation };
        self.know(turn, author, seen);
        self.ledger.durable.insert(author, seen);
        turn.writes.greet = true;
        self.doubt_claims();
    }

    /// Whether this is another entry under a number that is held already, or has a number of this device that it never gave.
    pub(super) fn is_number_again<I: Index>(
        &self,
        turn: &Turn<'_, I>,
        entry: &Entry,
    ) -> Read<bool> {
        let dot = entry.dot();
        if dot.author == self.ledger.author() && dot.seq > self.ledger.meta.last_seq {
            return Ok(true);
        }
        let held = turn
            .index
            .authored(dot.author, dot.seq.saturating_sub(1), 1)?;
        let other = |held: &Entry| held.dot() == dot && held != entry;
        Ok(held.iter().any(other))
    }

    fn remembers(&self, seen: &Seen) -> bool {
        let meta = &self.ledger.meta;
        let wrote = meta
            .incarnations
            .iter()
            .rev()
            .find(|start| start.first_seq <= seen.seq);
        !seen.is_doubted()
            && seen.seq <= meta.last_seq
            && wrote.is_none_or(|start| start.nonce == seen.incarnation)
    }

    /// Up to which number this home and what peers have seen of this device are surely the same.
    fn shared_past(&self, seen: Option<&Seen>) -> u64 {
        let meta = &self.ledger.meta;
        let starts = &meta.incarnations;
        let same = |start: &Incarnation| seen.is_some_and(|seen| seen.incarnation == start.nonce);
        let until = starts.iter().position(same).map(|at| {
            let next = starts.get(at + 1).map(|next| next.first_seq - 1);
            next.unwrap_or(meta.last_seq)
        });
        let until = until.zip(seen).map(|(until, seen)| until.min(seen.seq));
        // What was confirmed since this start, by one who had forgotten as much, may be what a number meant for the second time.
        let before = meta.confirmed_seq.min(self.ledger.loaded_seq);
        // Of a start that this home does not remember, all is forgotten.
        let foreign = seen.filter(|seen| !starts.iter().any(|it| it.nonce == seen.incarnation));
        let known = foreign.map_or(u64::MAX, |seen| seen.first_seq().saturating_sub(1));
        before.min(known).max(until.unwrap_or(0))
    }

    fn new_epoch<I: Index>(&mut self, turn: &mut Turn<'_, I>, epoch: u32) -> Read<()> {
        let old = self.ledger.author();
        let sure = self.ledger.meta.confirmed_seq;
        let starts = self.ledger.meta.incarnations.iter().rev();
        let wrote = starts.into_iter().find(|start| start.first_seq <= sure);
        let incarnation = match self.ledger.given_seq > sure {
            true => DOUBTED,
            false => wrote.map_or(incarnation(self.config.nonce, 0), |start| start.nonce),
        };
        let said = self.said_since(turn, old, sure)?;
        let meta = &mut self.ledger.meta;
        meta.author = AuthorId {
            device: old.device,
            epoch,
        };
        meta.last_seq = 0;
        meta.confirmed_seq = 0;
        meta.incarnations.clear();
        self.ledger.loaded_seq = 0;
        self.ledger.given_seq = 0;
        self.ledger.has_written = false;
        self.ledger.durable_seq = 0;
        turn.writes.meta = true;
        let seen = Seen {
            seq: sure,
            incarnation,
        };
        self.know(turn, old, seen);
        self.ledger.durable.insert(old, seen);
        for entry in said {
            self.say_again(turn, entry, old, sure)?;
        }
        turn.writes.greet = true;
        self.doubt_claims();
        turn.report(Report::NewEpoch(epoch));
        Ok(())
    }

    fn said_since<I: Index>(
        &self,
        turn: &Turn<'_, I>,
        author: AuthorId,
        mut after: u64,
    ) -> Read<Vec<Entry>> {
        let mut all = Vec::new();
        loop {
            let page = turn.index.authored(author, after, PAGE_ROWS)?;
            match page.last() {
                Some(last) => after = last.dot().seq,
                None => return Ok(all),
            }
            all.extend(page);
        }
    }

    fn say_again<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        mut entry: Entry,
        old: AuthorId,
        sure: u64,
    ) -> Read<()> {
        let path = entry.path.clone();
        let mut set = turn.entries(&path)?;
        set.retain(|known| known.dot() != entry.dot());
        entry.version.clip(old, sure);
        // Another content that was said of this path under an old number: it would be dominated by this one, unseen.
        let draft = Draft {
            path: path.clone(),
            kind: entry.kind.clone(),
            mode: entry.mode,
            mtime_ns: entry.mtime_ns,
            parent: entry.parent,
            moved_from: None,
            base: entry.version.clone(),
        };
        self.set_aside(turn, &draft)?;
        let dot = self.next_dot(turn);
        entry.version.raise(dot);
        entry.author = dot.author;
        if let Some(mut row) = turn.applied(&path)?
            && row.kind == entry.kind
        {
            row.version = entry.version.clone();
            turn.set_applied(&path, Some(row));
        }
        join(&mut set, entry);
        turn.writes.entries.insert(path.clone(), set);
        let head = self.ledger.heads.entry(dot.author).or_default();
        *head = (*head).max(dot.seq);
        self.touched(turn, &path)
    }
}
