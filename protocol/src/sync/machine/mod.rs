//! The machine itself: what it remembers, and which part answers to which event.
//!
//! - `turn`: one call of `handle`, with the rows that it writes.
//! - `ledger`: batches under way, this device's own numbers, epochs.
//! - `local`, `finish`, `record`: the disk against `applied` becomes entries.
//! - `peers`: entries to and from others.
//! - `work`, `plan`, `ways`, `build`: entries against `applied` become operations.
//! - `twins`: names that the file system takes for one.
//! - `outcome`: what came of operations and fetches.
//! - `command`: what a person wants.

mod build;
mod command;
mod epoch;
mod finish;
mod ledger;
mod local;
mod outcome;
mod peers;
mod plan;
mod record;
#[cfg(test)]
mod tests;
mod turn;
mod twins;
mod ways;
mod work;

use super::action::{Action, Halt, Problem, Report};
use super::applied::Features;
use super::conflict::Policy;
use super::event::{Event, Now, Scope};
use super::index::{Index, Read};
use crate::id::{DeviceId, FilesetId};
use crate::path::RelPath;
use ledger::Ledger;
use local::Scanning;
use peers::Peers;
use std::collections::BTreeSet;
use turn::Turn;
use work::Work;

/// What does not change while a machine lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The fileset.
    pub fileset: FilesetId,
    /// This device.
    pub device: DeviceId,
    /// What the file system of the replica can keep.
    pub features: Features,
    /// Which edit wins; the same on all replicas of the fileset.
    pub policy: Policy,
    /// A random number, new whenever a machine is made.
    pub nonce: u64,
    /// About how many paths one batch may write, where it can be divided: [`SYNC_BATCH_MAX_PATHS`](crate::limits::SYNC_BATCH_MAX_PATHS).
    pub batch_max_paths: usize,
}

/// Keeps one replica of one fileset. See the [module](super) for the contract with its driver.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    ledger: Ledger,
    peers: Peers,
    scan: Scanning,
    work: Work,
    brake: Brake,
}

/// What keeps the machine from changing the tree.
#[derive(Debug, Default)]
struct Brake {
    halt: Option<Halt>,
    paused: bool,
    consent: Consent,
    growing: Option<Growing>,
}

/// A deletion that may still go on: files vanish one after the other, and a look in between sees a part of them.
#[derive(Debug, Clone)]
struct Growing {
    /// How many were gone at the last look, or at the looks since one was asked for.
    gone: u64,
    since_ms: u64,
    /// When it is to be looked at again, in milliseconds of [`Now::monotonic_ms`]; none when that was asked for.
    look_at_ms: Option<u64>,
    /// From when on the same number means that it is over.
    settles_at_ms: u64,
    /// Where few are gone; nothing when it is so many that everything is to be looked at.
    folders: BTreeSet<Option<RelPath>>,
}

/// What a person answered to a halt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Consent {
    /// Nothing was asked, or nothing answered.
    #[default]
    None,
    /// The deletion that the next look at everything finds is meant.
    Delete,
    /// What the next look at everything misses is brought back.
    Restore,
}

impl Machine {
    /// A machine that goes on from what the index holds. The driver then looks at everything, and tells of connected peers.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn new(config: Config, index: &impl Index) -> Read<Self> {
        Ok(Self {
            ledger: Ledger::load(&config, index)?,
            peers: Peers::default(),
            scan: Scanning::default(),
            work: Work::new(config.features.names),
            brake: Brake::default(),
            config,
        })
    }

    /// Takes an event in, and says what to do.
    ///
    /// # Errors
    /// When the index cannot be read. The machine must not be used any more then, and nothing of this call was asked for.
    pub fn handle(&mut self, now: Now, event: Event, index: &impl Index) -> Read<Vec<Action>> {
        let mut turn = Turn::new(now, index);
        match event {
            Event::Scan(scan) => self.on_scan(&mut turn, scan)?,
            Event::PeerConnected(peer) => self.on_connected(&mut turn, peer),
            Event::PeerGone(peer) => self.on_gone(peer),
            Event::Received { peer, message } => self.on_message(&mut turn, peer, message)?,
            Event::Fetched(contents) => self.on_fetched(contents),
            Event::FetchFailed { content, why } => self.on_fetch_failed(&mut turn, content, why),
            Event::Applied(outcomes) => self.on_applied(&mut turn, outcomes)?,
            Event::Persisted(id) => self.on_persisted(&mut turn, id),
            Event::Tick => self.look_at_growing(&mut turn),
            Event::Command(command) => self.on_command(&mut turn, command)?,
        }
        self.close(turn)
    }

    /// When [`Event::Tick`] is due, in milliseconds of [`Now::monotonic_ms`]; a time that has passed means at once.
    pub fn next_tick(&self) -> Option<u64> {
        if self.is_still() {
            return None;
        }
        let stream_ms = self.peers.open_until_ms();
        let stream_ms = stream_ms.filter(|_| self.work.waits_for_stream());
        let growing_ms = self.brake.growing.as_ref();
        let growing_ms = growing_ms.and_then(|growing| growing.look_at_ms);
        let others = stream_ms.into_iter().chain(growing_ms);
        self.work.next_ms().into_iter().chain(others).min()
    }

    /// Why the fileset stands still, if it does.
    pub fn halted(&self) -> Option<Halt> {
        self.brake.halt
    }

    /// Whether all that is known is materialised, durable and told to those who are connected.
    pub fn is_up_to_date(&self) -> bool {
        self.is_idle() && self.work.nothing_left()
    }

    /// Paths that wait to be tried again, and why; at most `limit`.
    pub fn problems(&self, limit: usize) -> Vec<(RelPath, Problem)> {
        self.work.problems().take(limit).collect()
    }

    fn is_still(&self) -> bool {
        self.brake.halt.is_some() || self.brake.paused
    }

    fn halt(&mut self, turn: &mut Turn<'_, impl Index>, why: Halt) {
        if self.brake.halt != Some(why) {
            self.brake.halt = Some(why);
            turn.report(Report::Halted(why));
        }
    }

    fn release(&mut self, turn: &mut Turn<'_, impl Index>) {
        if self.brake.halt.take().is_some() {
            turn.report(Report::Resumed);
        }
    }

    /// Ends a call. Rows that were written are handed out first; only a call that writes nothing reads the index for
    /// others and for the tree, so that it never reads what it is about to replace.
    fn close<I: Index>(&mut self, mut turn: Turn<'_, I>) -> Read<Vec<Action>> {
        if !turn.writes.is_empty() {
            self.persist(&mut turn);
            return Ok(turn.actions);
        }
        self.acknowledge(&mut turn);
        self.pump(&mut turn)?;
        if !self.is_still() && self.scan.looked {
            self.work_on(&mut turn)?;
        }
        if !turn.writes.is_empty() {
            self.persist(&mut turn);
        } else if self.is_idle() {
            self.settle_down(&mut turn);
        }
        Ok(turn.actions)
    }

    fn is_idle(&self) -> bool {
        self.scan.looked
            && self.scan.is_over()
            && self.ledger.is_durable()
            && self.work.is_idle()
            && self.brake.growing.is_none()
            && !self.is_still()
    }

    fn look_again(turn: &mut Turn<'_, impl Index>) {
        turn.actions.push(Action::Look {
            scope: Scope::Everything,
            folders: Vec::new(),
        });
    }
}
