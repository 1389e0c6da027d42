//! The driver of one machine: tells it what happened, and does what it asks for.

use crate::check::Violation;
use crate::host::Apply;
use crate::network::Packet;
use crate::sabotage::Sabotage;
use crate::world::{Step, World};
use shoal_protocol::id::FilesetId;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{
    Action, BatchId, Command, Config, Event, Halt, Machine, Message, Now, Report, Scope,
};
use std::collections::VecDeque;

/// 2026-01-01 in nanoseconds since 1970.
const EPOCH_NS: i64 = 1_767_225_600_000_000_000;

impl World {
    /// What the wall clock of a host shows.
    pub(crate) fn wall_ns(&self, host: usize) -> i64 {
        EPOCH_NS + self.now_ms as i64 * 1_000_000 + self.hosts[host].clock_offset_ns
    }

    pub(crate) fn start(&mut self, number: usize) {
        let nonce = self.chance.draw();
        let host = &mut self.hosts[number];
        if host.is_up() {
            return;
        }
        let config = Config {
            fileset: FilesetId([7; 32]),
            device: host.device,
            features: host.disk.manners.features,
            policy: self.plan.policy,
            nonce,
            // Crashes come between batches too.
            batch_max_paths: 1 + (nonce % 8) as usize,
        };
        host.life += 1;
        match Machine::new(config, &host.visible) {
            Ok(machine) => host.machine = Some(machine),
            Err(error) => self.fail(Violation::Broken(error.to_string())),
        }
        if let Some(removed) = self.removed.clone() {
            self.later(number, 0, Step::Handle(Event::Command(removed)));
        }
        self.look_everywhere(number);
        self.reach_out(number);
        self.busy();
    }

    pub(crate) fn fail(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    pub(crate) fn handle(&mut self, number: usize, event: Event) {
        let now = Now {
            monotonic_ms: self.now_ms,
            wall_ns: self.wall_ns(number),
        };
        let host = &mut self.hosts[number];
        let Some(machine) = &mut host.machine else {
            return;
        };
        match machine.handle(now, event, &host.visible) {
            Ok(actions) => {
                for action in actions {
                    self.trace.line(format_args!("  -> {action:?}"));
                    self.act(number, action);
                }
            }
            Err(error) => self.fail(Violation::Broken(error.to_string())),
        }
        self.plan_tick(number);
    }

    /// The machine wants to be told the time.
    pub(crate) fn tick(&mut self, number: usize) {
        self.hosts[number].tick_at_ms = None;
        self.handle(number, Event::Tick);
    }

    fn plan_tick(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        let Some(due_ms) = host.machine.as_ref().and_then(Machine::next_tick) else {
            return;
        };
        let at_ms = due_ms.max(self.now_ms + 1);
        if host.tick_at_ms.is_none_or(|planned_ms| planned_ms > at_ms) {
            host.tick_at_ms = Some(at_ms);
            self.later(number, at_ms - self.now_ms, Step::Tick);
        }
    }

    fn act(&mut self, number: usize, action: Action) {
        let Some(action) = self.spoil(number, action) else {
            return;
        };
        self.check_action(number, &action);
        match action {
            Action::Persist(batch) => {
                let id = batch.id;
                let host = &mut self.hosts[number];
                host.visible.write(&batch);
                host.pending.push_back(batch);
                let delay = self.chance.between(1, 40);
                self.later(number, delay, Step::Flush(id));
                if self.sabotage == Sabotage::PersistedTooEarly {
                    self.later(number, 0, Step::Handle(Event::Persisted(id)));
                }
                self.busy();
            }
            Action::Send { peer, message } => self.send(number, peer.0, message),
            Action::Disconnect { peer, why } => self.fail(Violation::Disconnected {
                host: number,
                peer: self.number(peer.0).unwrap_or_default(),
                why,
            }),
            Action::Fetch { content, from, .. } => {
                self.hosts[number].fetching.insert(content, from);
                let delay = self.chance.between(1, 300);
                self.later(number, delay, Step::Fetch(content));
            }
            Action::Unstage(content) => {
                let host = &mut self.hosts[number];
                host.staging.remove(&content);
                host.fetching.remove(&content);
            }
            Action::ClearStaging => self.hosts[number].staging.clear(),
            Action::Apply(ops) => self.queue_apply(number, ops.into()),
            Action::Look { scope, folders } => self.look(number, scope, folders),
            Action::Report(report) => self.report(number, report),
        }
    }

    fn queue_apply(&mut self, number: usize, ops: VecDeque<shoal_protocol::sync::Op>) {
        let host = &mut self.hosts[number];
        host.applies.push_back(Apply {
            ops,
            outcomes: Vec::new(),
            before: Vec::new(),
            user_writes: host.user_writes,
        });
        if host.applies.len() == 1 {
            let delay = self.chance.between(1, 20);
            self.later(number, delay, Step::Apply);
        }
    }

    pub(crate) fn send(&mut self, from: usize, device: [u8; 32], message: Message) {
        let Some(to) = self.number(device) else {
            return;
        };
        let Some(link) = self.hosts[from].links.get(&to).copied() else {
            return;
        };
        let delay = self.chance.between(1, 80);
        let packet = Packet {
            from,
            to,
            link,
            message,
        };
        self.in_order(from, to, delay, Step::Arrive(packet));
        self.busy();
    }

    /// The number of a host by its device.
    pub(crate) fn number(&self, device: [u8; 32]) -> Option<usize> {
        self.hosts.iter().position(|host| host.device.0 == device)
    }

    /// Batches up to one are durable; the last that is tells for all.
    pub(crate) fn flush(&mut self, number: usize, upto: BatchId) {
        let host = &mut self.hosts[number];
        let mut flushed = None;
        while let Some(batch) = host.pending.front() {
            if batch.id > upto {
                break;
            }
            host.durable.write(batch);
            flushed = Some(batch.id);
            host.pending.pop_front();
        }
        if let Some(id) = flushed {
            self.handle(number, Event::Persisted(id));
        }
    }

    fn report(&mut self, number: usize, report: Report) {
        match report {
            Report::Problem { path, problem } => {
                self.hosts[number].problems.insert(path, problem);
            }
            Report::Halted(halt) => {
                self.hosts[number].halted = Some(halt);
                // A person reads it, and decides. What the root lacks comes back by itself.
                let answer = match halt {
                    Halt::Root(_) => return,
                    _ if self.whim.chance(500) => Command::ConfirmDeletion,
                    _ => {
                        self.ledger.brought_back();
                        Command::RestoreDeleted
                    }
                };
                let delay = self.whim.between(100, 5_000);
                self.later(number, delay, Step::Handle(Event::Command(answer)));
                self.busy();
            }
            Report::Resumed => self.hosts[number].halted = None,
            Report::NewEpoch(_) => self.ledger.brought_back(),
            Report::Conflict { .. } | Report::Quarantined(_) | Report::UpToDate => {}
        }
    }

    /// The watcher saw something in a folder.
    pub(crate) fn watched(&mut self, number: usize, folder: Option<RelPath>) {
        self.look(number, Scope::Folders, vec![folder]);
    }

    pub(crate) fn look_everywhere(&mut self, number: usize) {
        if self.hosts[number].is_up() {
            self.look(number, Scope::Everything, Vec::new());
        }
    }
}
