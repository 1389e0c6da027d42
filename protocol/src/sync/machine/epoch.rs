//! A home that was restored from a backup: how it is noticed, and how it goes on without harm.
//!
//! A number that was given away twice would make two different entries look like one. What peers have seen of this device says
//! in which start of the program the number was written; a start that this home does not remember happened after the backup.
//! Then this device becomes a new author, and says again, under new numbers, what it wrote since some peer last confirmed it.

use super::Machine;
use super::turn::Turn;
use crate::sync::action::Report;
use crate::sync::batch::Incarnation;
use crate::sync::entry::Entry;
use crate::sync::index::{Index, Read};
use crate::sync::merge::join;
use crate::sync::version::{AuthorId, Knowledge, Seen};

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
            self.ledger.meta.confirmed_seq = self.shared_past(theirs.get(&own));
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

    fn remembers(&self, seen: &Seen) -> bool {
        let meta = &self.ledger.meta;
        let wrote = meta
            .incarnations
            .iter()
            .rev()
            .find(|start| start.first_seq <= seen.seq);
        seen.seq <= meta.last_seq && wrote.is_none_or(|start| start.nonce == seen.incarnation)
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
        meta.confirmed_seq.max(until.unwrap_or(0))
    }

    fn new_epoch<I: Index>(&mut self, turn: &mut Turn<'_, I>, epoch: u32) -> Read<()> {
        let old = self.ledger.author();
        let sure = self.ledger.meta.confirmed_seq;
        let incarnation = self
            .ledger
            .meta
            .incarnations
            .iter()
            .rev()
            .find(|start| start.first_seq <= sure)
            .map_or(0, |start| start.nonce);
        let said = self.said_since(turn, old, sure)?;
        let meta = &mut self.ledger.meta;
        meta.author = AuthorId {
            device: old.device,
            epoch,
        };
        meta.last_seq = 0;
        meta.confirmed_seq = 0;
        meta.incarnations.clear();
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
        let dot = self.next_dot(turn);
        entry.version.clip(old, sure);
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
