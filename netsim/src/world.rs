//! The world: machines, what connects them, and the queue of everything that will happen.

use crate::check::{Count, Violation};
use crate::disk::Mount;
use crate::host::Host;
use crate::ledger::Ledger;
use crate::network::{Network, Packet, pair};
use crate::plan::{Fault, Plan};
use crate::random::Random;
use crate::sabotage::Sabotage;
use crate::trace::{Keep, Trace};
use shoal_protocol::id::ContentHash;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{BatchId, Command, Event, Halt};
use std::collections::BTreeMap;

/// After this long without work, everything has come to rest.
const REST_MS: u64 = 600_000;
/// Steps until rest, after which we think that rest never comes: for so many hosts, and more by the square of their number, as each
/// talks to each.
const STEPS_MAX: u64 = 60_000;
const STEPS_HOSTS: u64 = 8;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Step {
    /// A program starts.
    Start,
    /// The machine is told.
    Handle(Event),
    /// Batches up to this one survive from now on.
    Flush(BatchId),
    /// The look goes on.
    Look,
    /// The next operation is done.
    Apply,
    /// A fetch ends.
    Fetch(ContentHash),
    /// The machine wants to be told the time.
    Tick,
    /// The watcher has seen changes in a folder.
    Watched(Option<RelPath>),
    /// The driver learns that a peer is there (by this connection), or is not any more.
    Peer(usize, Option<u64>),
    /// A message arrives.
    Arrive(Packet),
    /// A connection is tried.
    Connect(usize),
    /// A user does something.
    Deed(u64),
    /// A user finishes writing a file.
    Finish(RelPath, Vec<u8>),
    /// Something goes wrong.
    Misfortune(u64),
}

/// Which life of its host a step belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Only this one.
    This(u64),
    /// Any: people and cables live on.
    Any,
}

/// Whether misfortunes happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    Storm,
    Calm,
}

/// Whether watchers see what users do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watchers {
    Awake,
    Asleep,
}

/// All of it.
#[derive(Debug)]
pub struct World {
    /// What is to happen.
    pub plan: Plan,
    /// The machines.
    pub hosts: Vec<Host>,
    /// What users did.
    pub ledger: Ledger,
    /// What happened.
    pub trace: Trace,
    pub(crate) now_ms: u64,
    pub(crate) weather: Weather,
    pub(crate) watchers: Watchers,
    pub(crate) network: Network,
    /// For delays and choices of drivers and the network.
    pub(crate) chance: Random,
    /// For what users do.
    pub(crate) whim: Random,
    /// For misfortunes.
    pub(crate) luck: Random,
    pub(crate) sabotage: Sabotage,
    pub(crate) violation: Option<Violation>,
    pub(crate) count: Count,
    /// What everybody is told of the device that was removed, which is that of the last host.
    pub(crate) removed: Option<Command>,
    /// The tree at the last rest: what everybody had.
    pub(crate) rest: Option<BTreeMap<RelPath, String>>,
    busy_at_ms: u64,
    queue: BTreeMap<(u64, u64), (usize, Life, Step)>,
    next_step: u64,
}

impl World {
    /// A world in which nothing has happened yet; all programs start soon.
    pub fn new(plan: Plan, sabotage: Sabotage, keep: Keep) -> Self {
        let hosts = (0..plan.hosts).map(|number| Host::new(number, plan.manners(number)));
        let mut world = Self {
            hosts: hosts.collect(),
            ledger: Ledger::new(plan.has(Fault::Names)),
            trace: Trace::new(keep),
            now_ms: 1_000,
            weather: Weather::Calm,
            watchers: Watchers::Awake,
            network: Network::default(),
            chance: Random::new(plan.seed, "chance"),
            whim: Random::new(plan.seed, "whim"),
            luck: Random::new(plan.seed, "luck"),
            sabotage,
            violation: None,
            count: Count::default(),
            removed: None,
            rest: None,
            busy_at_ms: 0,
            queue: BTreeMap::new(),
            next_step: 0,
            plan,
        };
        world.topology();
        for host in 0..world.hosts.len() {
            if world.plan.has(Fault::Clock) {
                world.hosts[host].clock_offset_ns =
                    (world.luck.below(7_200_000) as i64 - 3_600_000) * 1_000_000;
            }
            let delay = world.chance.below(50);
            world.later_any(host, delay, Step::Start);
        }
        world
    }

    /// Lets everything happen until nothing more does.
    ///
    /// # Errors
    /// What a checker found.
    pub fn run(&mut self) -> Result<(), Violation> {
        for round in 0..self.plan.rounds {
            self.weather = Weather::Storm;
            // Every deed has its own stream of chance: those that are left out do not change the others.
            for deed in round * self.plan.deeds..(round + 1) * self.plan.deeds {
                let mut random = Random::new(self.plan.seed.wrapping_add(deed << 32), "when");
                let host = random.below(self.hosts.len() as u64) as usize;
                let delay = random.below(self.plan.span_ms);
                if !self.plan.skipped.contains(&deed) {
                    self.later_any(host, delay, Step::Deed(deed));
                }
            }
            let misfortunes = self.plan.faults.len() as u64 * 2;
            for number in round * misfortunes..(round + 1) * misfortunes {
                let mut random = Random::new(self.plan.seed.wrapping_add(number << 32), "woe");
                let host = random.below(self.hosts.len() as u64) as usize;
                let delay = random.below(self.plan.span_ms * 3 / 2);
                self.later_any(host, delay, Step::Misfortune(number));
            }
            self.go_on(self.now_ms + self.plan.span_ms * 2)?;
            self.settle()?;
            self.remove_a_device();
        }
        Ok(())
    }

    /// Ends all misfortune, lets everything come to rest, and checks what is left.
    ///
    /// # Errors
    /// What a checker found.
    pub fn settle(&mut self) -> Result<(), Violation> {
        self.weather = Weather::Calm;
        self.network.partitioned.clear();
        for host in 0..self.hosts.len() {
            self.hosts[host].disk.mount = Mount::There;
            if self.hosts[host].is_up() {
                for command in [Command::Resume, Command::Retry] {
                    self.later(host, 0, Step::Handle(Event::Command(command)));
                }
            } else {
                self.later_any(host, 1, Step::Start);
            }
            self.reach_out(host);
        }
        self.rest()?;
        // What watchers missed: the hourly look. After it, a further one has nothing to tell.
        for last in [false, true] {
            self.count = Count::default();
            for host in 0..self.hosts.len() {
                self.look_everywhere(host);
            }
            self.rest()?;
            if last {
                self.check_quiet()?;
            }
        }
        self.check_rest()
    }

    /// How many hosts belong to the group: all, or all but the last.
    pub(crate) fn members(&self) -> usize {
        self.hosts.len() - usize::from(self.removed.is_some())
    }

    fn steps_max(&self) -> u64 {
        let hosts = self.hosts.len() as u64;
        STEPS_MAX * (hosts * hosts).div_ceil(STEPS_HOSTS * STEPS_HOSTS)
    }

    fn rest(&mut self) -> Result<(), Violation> {
        self.count = Count::default();
        self.busy_at_ms = self.now_ms;
        while let Some(((at_ms, _), _)) = self.queue.first_key_value() {
            if *at_ms > self.busy_at_ms + REST_MS {
                self.now_ms = self.busy_at_ms + REST_MS;
                break;
            }
            self.step()?;
            self.count.steps += 1;
            if self.count.steps > self.steps_max() {
                let steps = self.steps_max();
                return Err(Violation::Restless { steps });
            }
        }
        Ok(())
    }

    /// Nothing gets from one host to another, from now on until [`World::settle`].
    pub fn part(&mut self, one: usize, other: usize) {
        self.network.partitioned.insert(pair(one, other));
        self.cut(one, other);
    }

    /// Lets things happen for a while.
    ///
    /// # Errors
    /// What a checker found.
    pub fn wait(&mut self, time_ms: u64) -> Result<(), Violation> {
        self.go_on(self.now_ms + time_ms)
    }

    /// Why the fileset of a host stands still, if it does.
    pub fn halted(&self, host: usize) -> Option<Halt> {
        self.hosts[host].halted
    }

    /// What a host has, path by path: `file "bytes"`, `folder`, `link "target"`.
    pub fn tree(&self, host: usize) -> Vec<String> {
        let tree = crate::check::tree(&self.hosts[host]);
        let rows = tree.into_iter();
        rows.map(|(path, what)| format!("{} {what}", path.as_str()))
            .collect()
    }

    /// Lets things happen up to a time.
    ///
    /// # Errors
    /// What a checker found.
    pub fn go_on(&mut self, until_ms: u64) -> Result<(), Violation> {
        let mut steps = 0;
        while self
            .queue
            .first_key_value()
            .is_some_and(|((at_ms, _), _)| *at_ms <= until_ms)
        {
            self.step()?;
            steps += 1;
            if steps > self.steps_max() {
                return Err(Violation::Restless { steps });
            }
        }
        self.now_ms = self.now_ms.max(until_ms);
        Ok(())
    }

    /// Something that counts as work was done: rest is not reached yet.
    pub(crate) fn busy(&mut self) {
        self.busy_at_ms = self.now_ms;
    }

    /// Something will happen to a host, unless its program ends before.
    pub(crate) fn later(&mut self, host: usize, delay_ms: u64, step: Step) {
        let life = Life::This(self.hosts[host].life);
        self.enqueue(host, life, self.now_ms + delay_ms, step);
    }

    /// Something will happen to a host, whatever happens to its program.
    pub(crate) fn later_any(&mut self, host: usize, delay_ms: u64, step: Step) {
        self.enqueue(host, Life::Any, self.now_ms + delay_ms, step);
    }

    /// As [`World::later`], and never before what else is on the way from one host to the other.
    pub(crate) fn in_order(&mut self, from: usize, to: usize, delay_ms: u64, step: Step) {
        let at_ms = self.network.in_order(from, to, self.now_ms + delay_ms);
        let life = Life::This(self.hosts[to].life);
        self.enqueue(to, life, at_ms, step);
    }

    fn enqueue(&mut self, host: usize, life: Life, at_ms: u64, step: Step) {
        self.next_step += 1;
        self.queue
            .insert((at_ms, self.next_step), (host, life, step));
    }

    fn step(&mut self) -> Result<(), Violation> {
        let Some(((at_ms, _), (host, life, step))) = self.queue.pop_first() else {
            return Ok(());
        };
        self.now_ms = at_ms.max(self.now_ms);
        let alive = match life {
            Life::This(life) => self.hosts[host].is_up() && self.hosts[host].life == life,
            Life::Any => true,
        };
        if !alive {
            return Ok(());
        }
        if !matches!(step, Step::Tick | Step::Deed(_)) {
            self.trace
                .line(format_args!("{} #{host} {step:?}", self.now_ms));
        }
        match step {
            Step::Start => self.start(host),
            Step::Handle(event) => self.handle(host, event),
            Step::Flush(batch) => self.flush(host, batch),
            Step::Look => self.look_on(host),
            Step::Apply => self.apply_on(host),
            Step::Fetch(content) => self.fetch_on(host, content),
            Step::Tick => self.tick(host),
            Step::Watched(folder) => self.watched(host, folder),
            Step::Peer(other, link) => self.peer(host, other, link),
            Step::Arrive(packet) => self.arrive(packet),
            Step::Connect(other) => self.connect(host, other),
            Step::Deed(number) => {
                self.whim = Random::new(self.plan.seed.wrapping_add(number << 32), "whim");
                self.deed(host);
            }
            Step::Finish(path, bytes) => self.write(host, &path, &bytes),
            Step::Misfortune(number) => {
                self.luck = Random::new(self.plan.seed.wrapping_add(number << 32), "luck");
                self.misfortune(host);
            }
        }
        match self.violation.take() {
            Some(violation) => Err(violation),
            None => Ok(()),
        }
    }

    /// Tries to connect a host to all others.
    pub(crate) fn reach_out(&mut self, host: usize) {
        for other in 0..self.hosts.len() {
            if self.network.can_connect(host, other) {
                let delay = self.chance.between(1, 500);
                self.later_any(host, delay, Step::Connect(other));
            }
        }
    }

    fn connect(&mut self, host: usize, other: usize) {
        let up = self.hosts[host].is_up() && self.hosts[other].is_up();
        if !up || !self.network.can_connect(host, other) {
            return;
        }
        let link = self.network.connect(host, other);
        for (to, from) in [(host, other), (other, host)] {
            let delay = self.chance.below(30);
            self.in_order(from, to, delay, Step::Peer(from, Some(link)));
        }
    }

    /// Breaks a connection, if there is one; it is tried anew later.
    pub(crate) fn cut(&mut self, host: usize, other: usize) {
        if !self.network.cut(host, other) {
            return;
        }
        for (to, from) in [(host, other), (other, host)] {
            let delay = self.chance.below(100);
            self.in_order(from, to, delay, Step::Peer(from, None));
        }
        let delay = self.chance.between(100, 3_000);
        self.later_any(host, delay, Step::Connect(other));
    }

    /// What a host sends goes by the connection that it knows of.
    fn peer(&mut self, host: usize, other: usize, link: Option<u64>) {
        let device = self.hosts[other].device;
        let event = match link {
            Some(link) => {
                self.hosts[host].links.insert(other, link);
                Event::PeerConnected(device)
            }
            None => {
                self.hosts[host].links.remove(&other);
                Event::PeerGone(device)
            }
        };
        self.handle(host, event);
    }

    fn arrive(&mut self, packet: Packet) {
        if self.network.link(packet.from, packet.to) == Some(packet.link) {
            let event = Event::Received {
                peer: self.hosts[packet.from].device,
                message: packet.message,
            };
            self.handle(packet.to, event);
        }
    }

    /// Sometimes everybody talks to everybody, sometimes there is a chain, or one in the middle.
    fn topology(&mut self) {
        let hosts = self.hosts.len();
        if !self.plan.has(Fault::Topology) {
            return;
        }
        let star = self.luck.chance(500);
        for a in 0..hosts {
            for b in a + 1..hosts {
                let linked = if star { a == 0 } else { b == a + 1 };
                if !linked && self.luck.chance(900) {
                    self.network.strangers.insert(pair(a, b));
                }
            }
        }
    }
}
