//! One machine of the world: its disk, its index, and the program that runs (or does not run) on it.

use crate::disk::{Disk, Manners};
use shoal_protocol::id::{ContentHash, DeviceId};
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::memory::MemoryIndex;
use shoal_protocol::sync::{Batch, Found, Halt, Machine, Op, OpId, Outcome, Problem, Scope};
use std::collections::{BTreeMap, VecDeque};

/// One machine of the world.
#[derive(Debug)]
pub struct Host {
    /// Its device.
    pub device: DeviceId,
    /// Its folder.
    pub disk: Disk,
    /// The rows that count for the running program.
    pub visible: MemoryIndex,
    /// The rows that survive a crash.
    pub(crate) durable: MemoryIndex,
    pub(crate) pending: VecDeque<Batch>,
    pub(crate) backup: Option<MemoryIndex>,
    /// The program; none while it does not run.
    pub(crate) machine: Option<Machine>,
    /// Number of starts and ends of the program: what was asked for in an earlier life is not answered in this one.
    pub(crate) life: u64,
    /// The connections that the driver knows of.
    pub(crate) links: BTreeMap<usize, u64>,
    pub(crate) clock_offset_ns: i64,
    pub(crate) staging: Staging,
    pub(crate) fetching: BTreeMap<ContentHash, Vec<DeviceId>>,
    pub(crate) looks: VecDeque<(Scope, Vec<Option<RelPath>>)>,
    pub(crate) look: Option<Look>,
    pub(crate) applies: VecDeque<Apply>,
    pub(crate) tick_at_ms: Option<u64>,
    /// When the look goes on; there is never more than one such step.
    pub(crate) look_at_ms: Option<u64>,
    pub(crate) user_writes: u64,
    /// Paths that the machine reported as impossible here, since the program started.
    pub(crate) problems: BTreeMap<RelPath, Problem>,
    pub(crate) halted: Option<Halt>,
}

/// Contents that wait to get their places.
pub(crate) type Staging = BTreeMap<ContentHash, Vec<u8>>;

/// A look at the disk under way.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) scope: Scope,
    pub(crate) folders: VecDeque<Option<RelPath>>,
    pub(crate) page: Option<PageRun>,
}

/// A folder being looked at: names that were listed, and what was found of them so far.
#[derive(Debug)]
pub(crate) struct PageRun {
    pub(crate) folder: Option<RelPath>,
    pub(crate) after: Option<String>,
    /// Names on the disk, with the names to tell, in the order of the latter.
    pub(crate) names: VecDeque<(String, String)>,
    pub(crate) found: Vec<Found>,
}

/// Operations under way.
#[derive(Debug)]
pub(crate) struct Apply {
    pub(crate) ops: VecDeque<Op>,
    pub(crate) outcomes: Vec<(OpId, Outcome)>,
    /// The disk before each operation that is not durable yet, as long as no user wrote in between.
    pub(crate) before: Vec<(Disk, Staging)>,
    pub(crate) user_writes: u64,
}

impl Host {
    pub(crate) fn new(number: usize, manners: Manners) -> Self {
        Self {
            device: DeviceId([number as u8 + 1; 32]),
            disk: Disk::new(manners),
            visible: MemoryIndex::new(),
            durable: MemoryIndex::new(),
            pending: VecDeque::new(),
            backup: None,
            machine: None,
            life: 0,
            links: BTreeMap::new(),
            clock_offset_ns: 0,
            staging: BTreeMap::new(),
            fetching: BTreeMap::new(),
            looks: VecDeque::new(),
            look: None,
            applies: VecDeque::new(),
            tick_at_ms: None,
            look_at_ms: None,
            user_writes: 0,
            problems: BTreeMap::new(),
            halted: None,
        }
    }

    /// Whether the program runs.
    pub fn is_up(&self) -> bool {
        self.machine.is_some()
    }
}
