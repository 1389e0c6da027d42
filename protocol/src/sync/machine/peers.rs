//! Entries to and from other replicas.
//!
//! Each side says once what it has seen; the other streams, author by author and in the order of numbers, what is above. When a
//! stream has come to its end, the sender says what it has seen itself, and the receiver has seen that too: only then, because an
//! entry may have made place for one of another author that is still to come.

use super::Machine;
use super::ledger::Ledger;
use super::turn::Turn;
use crate::id::DeviceId;
use crate::limits::{
    SYNC_AUTHORS_MAX, SYNC_MESSAGE_MAX_BYTES, SYNC_PAGE_MAX_ENTRIES, SYNC_PAGE_TARGET_BYTES,
    SYNC_PAGES_UNACKNOWLEDGED, SYNC_SIBLINGS_MAX,
};
use crate::sync::action::{Action, Report};
use crate::sync::entry::{Entry, Kind};
use crate::sync::index::{Index, Read};
use crate::sync::merge::Joined;
use crate::sync::message::Message;
use crate::sync::version::{AuthorId, Knowledge};
use std::collections::BTreeMap;

/// Rows of one author that are read at once for a page.
const READ_ROWS: usize = 512;
/// How long deletions wait for the end of a stream that may bring a rename's other half, milliseconds.
pub(super) const STREAM_PATIENCE_MS: u64 = 10_000;

/// Those who are connected, and those who were removed.
#[derive(Debug, Default)]
pub(super) struct Peers {
    pub(super) connected: BTreeMap<DeviceId, Peer>,
    pub(super) removed: Removed,
}

/// A connected peer.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// How many `Hello`s of it have come.
    hellos: u64,
    /// How many it was sent.
    hellos_sent: u64,
    /// Which of them its claims have to answer at least: before that one, it was told that more had been seen.
    hello_valid: u64,
    /// What it said that it has seen.
    pub(super) knows: Knowledge,
    /// Up to which number of each author it was sent everything, or has seen it.
    cursors: BTreeMap<AuthorId, u64>,
    /// What it was told of our knowledge.
    told: Knowledge,
    /// Whether it was told that our stream is at its end since the last entry.
    told_end: bool,
    sent_serial: u64,
    acknowledged_serial: u64,
    received_serial: u64,
    /// Since when its stream is open: entries came, and their end has not.
    open_since_ms: Option<u64>,
    /// What it has materialised.
    pub(super) complete: Knowledge,
    /// What it was told that we have materialised.
    told_complete: Option<Knowledge>,
}

impl Peer {
    fn is_greeted(&self) -> bool {
        self.hellos > 0
    }
}

impl Peers {
    /// Until when deletions wait because some stream is open.
    pub(super) fn open_until_ms(&self) -> Option<u64> {
        let open = self
            .connected
            .values()
            .filter_map(|peer| peer.open_since_ms);
        open.max().map(|since| since + STREAM_PATIENCE_MS)
    }
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It was taken in, or need not be.
    Done,
    /// Its author gave this number before, and has not heard of it yet: it will say this again as a new author.
    Refused,
}

/// Of removed devices, the last number that is accepted of each author.
#[derive(Debug, Default)]
pub(super) struct Removed(pub(super) BTreeMap<DeviceId, BTreeMap<AuthorId, u64>>);

impl Removed {
    fn accepts(&self, author: &AuthorId, seq: u64) -> bool {
        let of = self.0.get(&author.device);
        of.is_none_or(|last| last.get(author).is_some_and(|last| seq <= *last))
    }
}

impl Machine {
    pub(super) fn on_connected<I: Index>(&mut self, turn: &mut Turn<'_, I>, peer: DeviceId) {
        let state = Peer {
            open_since_ms: Some(turn.now.monotonic_ms),
            ..Peer::default()
        };
        self.peers.connected.insert(peer, state);
        self.greet(turn, peer);
        self.work.retry_content();
    }

    pub(super) fn on_gone(&mut self, peer: DeviceId) {
        self.peers.connected.remove(&peer);
        self.ledger.forget_pages(peer);
        self.work.release_held();
    }

    /// Less was seen than all were told: their claims count again once they have heard it.
    pub(super) fn doubt_claims(&mut self) {
        for peer in self.peers.connected.values_mut() {
            peer.hello_valid = peer.hellos_sent + 1;
        }
    }

    pub(super) fn greet_all<I: Index>(&mut self, turn: &mut Turn<'_, I>) {
        let peers: Vec<_> = self.peers.connected.keys().copied().collect();
        for peer in peers {
            self.greet(turn, peer);
        }
    }

    fn greet<I: Index>(&mut self, turn: &mut Turn<'_, I>, peer: DeviceId) {
        let knowledge = self.ledger.durable.clone();
        if let Some(peer) = self.peers.connected.get_mut(&peer) {
            peer.hellos_sent += 1;
        }
        turn.actions.push(Action::Send {
            peer,
            message: Message::Hello { knowledge },
        });
    }

    pub(super) fn on_message<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        from: DeviceId,
        message: Message,
    ) -> Read<()> {
        let Some(peer) = self.peers.connected.get_mut(&from) else {
            return Ok(());
        };
        match message {
            Message::Hello { knowledge } => {
                peer.hellos += 1;
                peer.told.clear();
                peer.cursors = knowledge.iter().map(|(a, seen)| (*a, seen.seq)).collect();
                peer.knows = knowledge;
                peer.told_end = false;
                let knows = peer.knows.clone();
                self.check_own_past(turn, &knows)?;
                self.hear_doubts(turn, &knows);
                Ok(())
            }
            Message::Entries {
                serial,
                entries,
                caught_up,
                hellos,
            } => {
                if !peer.is_greeted() || serial != peer.received_serial + 1 {
                    self.refuse(turn, from, "it sent a page out of turn");
                    return Ok(());
                }
                peer.received_serial = serial;
                let caught_up = caught_up.filter(|_| hellos >= peer.hello_valid);
                self.on_entries(turn, from, entries, caught_up)?;
                turn.writes.taken.push((from, serial));
                Ok(())
            }
            Message::Taken { serial } => {
                if serial > peer.sent_serial {
                    self.refuse(turn, from, "it acknowledged what was never sent");
                    return Ok(());
                }
                peer.acknowledged_serial = peer.acknowledged_serial.max(serial);
                Ok(())
            }
            Message::Complete { knowledge } => {
                peer.complete = knowledge;
                self.work.retry_content();
                Ok(())
            }
        }
    }

    fn refuse<I: Index>(&mut self, turn: &mut Turn<'_, I>, peer: DeviceId, why: &'static str) {
        self.on_gone(peer);
        turn.actions.push(Action::Disconnect { peer, why });
    }

    fn on_entries<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        from: DeviceId,
        entries: Vec<Entry>,
        caught_up: Option<Knowledge>,
    ) -> Read<()> {
        if let Some(knowledge) = &caught_up {
            self.check_own_past(turn, knowledge)?;
            self.hear_doubts(turn, knowledge);
        }
        let mut refused = false;
        for entry in entries {
            refused |= self.on_entry(turn, from, entry)? == Fate::Refused;
        }
        if refused {
            // What it passed on and what it said itself look the same here: when it has become a new author, it sends the former again.
            self.greet(turn, from);
        }
        let now_ms = turn.now.monotonic_ms;
        let own = self.ledger.author();
        let Some(peer) = self.peers.connected.get_mut(&from) else {
            return Ok(());
        };
        let Some(knowledge) = caught_up else {
            peer.open_since_ms.get_or_insert(now_ms);
            return Ok(());
        };
        peer.open_since_ms = None;
        self.work.release_held();
        let mut learned = Vec::new();
        for (author, seen) in knowledge {
            let cursor = peer.cursors.entry(author).or_default();
            *cursor = (*cursor).max(seen.seq);
            let known = self.ledger.knowledge.get(&author);
            let is_new = known.is_none_or(|known| known.seq < seen.seq && !known.is_doubted());
            // What is refused is not known: it is asked for again should the device be admitted again.
            let is_new = is_new && self.peers.removed.accepts(&author, seen.seq);
            if is_new && author != own && self.ledger.knowledge.len() < SYNC_AUTHORS_MAX {
                learned.push((author, seen));
            }
            peer.knows.insert(author, seen);
        }
        for (author, seen) in learned {
            self.know(turn, author, seen);
        }
        Ok(())
    }

    fn on_entry<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        from: DeviceId,
        entry: Entry,
    ) -> Read<Fate> {
        let dot = entry.dot();
        if !self.peers.removed.accepts(&dot.author, dot.seq) {
            turn.report(Report::Quarantined(dot));
            return Ok(Fate::Done);
        }
        if self.is_number_again(turn, &entry)? {
            self.doubt(turn, dot)?;
            if dot.author.device == from && !self.has_renewed(dot.author) {
                return Ok(Fate::Refused);
            }
        }
        let siblings = turn.entries(&entry.path)?;
        if siblings.iter().filter(|known| !entry.covers(known)).count() >= SYNC_SIBLINGS_MAX {
            self.refuse(
                turn,
                from,
                "it brought more versions of one path than there may be",
            );
            return Ok(Fate::Done);
        }
        if self.take_in(turn, entry)? == Joined::Known {
            return Ok(Fate::Done);
        }
        for (id, peer) in &mut self.peers.connected {
            // What came out of order goes to the others all the same.
            if *id != from
                && let Some(cursor) = peer.cursors.get_mut(&dot.author)
            {
                *cursor = (*cursor).min(dot.seq - 1);
            }
        }
        Ok(Fate::Done)
    }

    /// Whether a connected device said that it is another author by now: what it sends of this one, it passes on.
    fn has_renewed(&self, author: AuthorId) -> bool {
        let peer = self.peers.connected.get(&author.device);
        let later = |it: &AuthorId| it.device == author.device && it.epoch > author.epoch;
        peer.is_some_and(|peer| peer.knows.keys().any(later))
    }

    pub(super) fn send_taken<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        taken: Vec<(DeviceId, u64)>,
    ) {
        let last: BTreeMap<_, _> = taken.into_iter().collect();
        for (peer, serial) in last {
            if self.peers.connected.contains_key(&peer) {
                let message = Message::Taken { serial };
                turn.actions.push(Action::Send { peer, message });
            }
        }
    }

    /// Sends to every peer what it may not have, as far as it keeps up.
    pub(super) fn pump<I: Index>(&mut self, turn: &mut Turn<'_, I>) -> Read<()> {
        if self.brake.paused {
            return Ok(());
        }
        for (id, peer) in &mut self.peers.connected {
            while peer.is_greeted()
                && peer.sent_serial - peer.acknowledged_serial < SYNC_PAGES_UNACKNOWLEDGED as u64
            {
                let Some(message) = next_page(&self.ledger, peer, turn.index)? else {
                    break;
                };
                self.ledger.give(&message);
                turn.actions.push(Action::Send { peer: *id, message });
            }
        }
        Ok(())
    }

    /// Not all is in order, but more than before: what was complete is said again, so that others ask again for what they miss.
    pub(super) fn tell_progress<I: Index>(&mut self, turn: &mut Turn<'_, I>) {
        for (id, peer) in self
            .peers
            .connected
            .iter()
            .filter(|(_, peer)| peer.is_greeted())
        {
            let knowledge = peer.told_complete.clone().unwrap_or_default();
            let message = Message::Complete { knowledge };
            turn.actions.push(Action::Send { peer: *id, message });
        }
    }

    /// All is in order: whoever does not know it yet is told.
    pub(super) fn tell_complete<I: Index>(&mut self, turn: &mut Turn<'_, I>) -> bool {
        let mut news = false;
        let durable = &self.ledger.durable;
        for (id, peer) in &mut self.peers.connected {
            if peer.is_greeted() && peer.told_complete.as_ref() != Some(durable) {
                peer.told_complete = Some(durable.clone());
                news = true;
                let knowledge = durable.clone();
                let message = Message::Complete { knowledge };
                turn.actions.push(Action::Send { peer: *id, message });
            }
        }
        news
    }
}

/// The next page for a peer; none when there is nothing to say.
fn next_page(ledger: &Ledger, peer: &mut Peer, index: &impl Index) -> Read<Option<Message>> {
    let own = ledger.author();
    let (mut entries, mut size_bytes, mut full) = (Vec::new(), 0, false);
    'page: for (author, head) in &ledger.heads {
        let last = if *author == own {
            ledger.durable_seq.min(*head)
        } else {
            *head
        };
        let cursor = peer.cursors.entry(*author).or_default();
        while *cursor < last {
            let rows = index.authored(*author, *cursor, READ_ROWS)?;
            let many = rows.len() >= READ_ROWS;
            for entry in rows {
                let seq = entry.dot().seq;
                if seq > last {
                    break;
                }
                // What has one number goes in one page: the cursor tells numbers apart, and nothing else.
                full = size_bytes > SYNC_PAGE_TARGET_BYTES && seq > *cursor
                    || size_bytes > SYNC_MESSAGE_MAX_BYTES / 2
                    || entries.len() >= SYNC_PAGE_MAX_ENTRIES;
                if full {
                    break 'page;
                }
                *cursor = seq;
                size_bytes += entry_bytes(&entry);
                entries.push(entry);
            }
            if !many {
                *cursor = last;
            }
        }
    }
    let news = |(author, seen): &(&AuthorId, &crate::sync::version::Seen)| {
        peer.told.get(author) != Some(*seen)
    };
    let mut caught_up = None;
    if !full && ledger.is_durable() {
        let delta: Knowledge = ledger
            .durable
            .iter()
            .filter(news)
            .map(|(author, seen)| (*author, *seen))
            .collect();
        if !delta.is_empty() || !peer.told_end || !entries.is_empty() {
            peer.told.extend(delta.iter().map(|(a, s)| (*a, *s)));
            caught_up = Some(delta);
        }
    }
    if entries.is_empty() && caught_up.is_none() {
        return Ok(None);
    }
    peer.told_end = caught_up.is_some();
    peer.sent_serial += 1;
    Ok(Some(Message::Entries {
        serial: peer.sent_serial,
        entries,
        caught_up,
        hellos: peer.hellos,
    }))
}

/// About how many bytes an entry takes on the wire.
fn entry_bytes(entry: &Entry) -> usize {
    let target = match &entry.kind {
        Kind::Symlink { target } => target.len(),
        _ => 0,
    };
    let from = entry
        .moved_from
        .as_ref()
        .map_or(0, |path| path.as_str().len());
    64 + entry.path.as_str().len() + from + target + 8 * entry.version.pairs().len()
}
