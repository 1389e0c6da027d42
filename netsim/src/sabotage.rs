//! Planted bugs: each checker is shown to bite by a driver that does one thing wrong.

use crate::world::World;
use shoal_protocol::sync::{Action, Message, OpKind, Outcome};

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
}

impl World {
    /// Does something else than what the machine asked for, if that is what this run is about.
    pub(crate) fn spoil(&mut self, number: usize, mut action: Action) -> Option<Action> {
        match (&mut action, self.sabotage) {
            (
                Action::Send {
                    message: Message::Entries { entries, .. },
                    ..
                },
                Sabotage::LoseEntries,
            ) if self.luck.chance(300) => {
                entries.pop();
            }
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
            (
                Action::Send {
                    peer,
                    message: Message::Complete { .. },
                },
                Sabotage::Chatter,
            ) => {
                if let Some(other) = self.number(peer.0) {
                    self.cut(number, other);
                }
            }
            _ => {}
        }
        Some(action)
    }
}
