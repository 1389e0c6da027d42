//! Planted bugs: each checker is shown to bite by a driver that does one thing wrong.

use crate::world::World;
use shoal_protocol::id::DeviceId;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{Action, Message, OpKind, Outcome};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// One thing that a driver does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    None,
    /// Operations are done whatever is on the disk.
    ApplyUnseen,
    /// Batches are said to be durable before they are.
    PersistedTooEarly,
    /// Entries get lost on the way, now and then.
    LoseEntries,
    /// What was written gets lost: a removal comes instead.
    RemoveInstead,
    /// Whoever has said that it has everything hangs up and calls again, for ever.
    Chatter,
    /// Deletions are said to be done, and are not.
    KeepDeleted,
    /// Files get a mode that nobody asked for.
    WrongMode,
    /// A look misses a file at rest, now and then.
    MissFiles,
    /// Empty files go everywhere at once.
    LoseEmptyFiles,
    /// Pages are sent twice.
    SendTwice,
    /// Pages have more entries than they may.
    LongPages,
    /// What happens depends on something that no seed knows.
    Whim,
}

/// How often something was done in this process: no seed knows it.
static DONE: AtomicU64 = AtomicU64::new(0);

impl World {
    /// Lets files go that were there at the last rest, if that is what this run is about.
    pub(crate) fn spoil_trees(&self, trees: &mut [BTreeMap<RelPath, String>]) {
        if self.sabotage == Sabotage::LoseEmptyFiles {
            let known = |path: &RelPath| self.rest.as_ref().is_some_and(|it| it.contains_key(path));
            for tree in trees {
                tree.retain(|path, what| what != "file \"\"" || !known(path));
            }
        }
    }

    /// Does something else than what the machine asked for, if that is what this run is about.
    pub(crate) fn spoil(&mut self, number: usize, mut action: Action) -> Option<Action> {
        match (&mut action, self.sabotage) {
            (Action::Send { peer, message }, _) => self.spoil_message(number, *peer, message),
            (Action::Apply(ops), Sabotage::RemoveInstead) => {
                for op in ops {
                    if matches!(op.kind, OpKind::Write { .. }) && self.luck.chance(100) {
                        op.kind = OpKind::Remove;
                    }
                }
            }
            (Action::Apply(ops), Sabotage::KeepDeleted) => {
                let kept = ops.iter().filter(|op| op.kind == OpKind::Remove);
                let outcomes: Vec<_> = kept.map(|op| (op.id, Outcome::Done(None))).collect();
                ops.retain(|op| op.kind != OpKind::Remove);
                if !outcomes.is_empty() {
                    let event = shoal_protocol::sync::Event::Applied(outcomes);
                    self.later(number, 1, crate::world::Step::Handle(event));
                }
                if ops.is_empty() {
                    return None;
                }
            }
            (Action::Apply(ops), Sabotage::WrongMode) => {
                for op in ops {
                    if let OpKind::Write { attributes, .. } = &mut op.kind {
                        attributes.mode ^= u32::from(self.luck.chance(100)) * 0o111;
                    }
                }
            }
            (Action::Persist(_), Sabotage::Whim) => {
                let done = DONE.fetch_add(1, Ordering::Relaxed);
                self.trace.line(format_args!("{done}"));
            }
            _ => {}
        }
        Some(action)
    }

    fn spoil_message(&mut self, number: usize, peer: DeviceId, message: &mut Message) {
        match (message, self.sabotage) {
            (Message::Entries { entries, .. }, Sabotage::LoseEntries) if self.luck.chance(300) => {
                entries.pop();
            }
            (page @ Message::Entries { .. }, Sabotage::SendTwice) if self.luck.chance(50) => {
                self.send(number, peer.0, page.clone());
            }
            (Message::Entries { entries, .. }, Sabotage::LongPages) => {
                let first = entries.first().cloned();
                entries.extend(first.iter().cycle().take(5_000).cloned());
            }
            (Message::Complete { .. }, Sabotage::Chatter) => {
                if let Some(other) = self.number(peer.0) {
                    self.cut(number, other);
                }
            }
            _ => {}
        }
    }
}
