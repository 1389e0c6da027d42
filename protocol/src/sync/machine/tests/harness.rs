//! Replicas over trees in memory, and a driver that turns their rings until all is quiet. No faults here: `netsim` has them.

// Length: one small world, whose parts only make sense together.

use super::super::{Config, Machine};
use crate::id::{ContentHash, DeviceId, FilesetId};
use crate::path::RelPath;
use crate::sync::memory::MemoryIndex;
use crate::sync::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Steps after which a world that is not quiet fails.
const STEPS_MAX: usize = 200_000;

#[derive(Debug, Clone, PartialEq)]
enum Node {
    File(String),
    Folder,
    Link(String),
}

pub(super) struct Replica {
    pub(super) device: DeviceId,
    names: Names,
    pub(super) machine: Machine,
    pub(super) index: MemoryIndex,
    /// Bytes copied from file to file on the disk.
    pub(super) copied: usize,
    disk: BTreeMap<RelPath, (Node, Stamp)>,
    staging: BTreeMap<ContentHash, String>,
    inbox: VecDeque<Event>,
    problems: Vec<Problem>,
    /// How often content was asked for.
    fetches: usize,
    hidden: bool,
    /// What the machine is not told yet of its operations.
    held: Option<Vec<Event>>,
    /// Changes that no watcher has told of.
    unseen: bool,
}

pub(super) struct World {
    replicas: Vec<Replica>,
    links: BTreeSet<(usize, usize)>,
    clock: i64,
    starts: u64,
    fetched: usize,
}

impl World {
    pub(super) fn new(count: usize) -> Self {
        Self::with_names(&vec![Names::default(); count])
    }

    /// One replica for each, whose file system takes these names for one.
    pub(super) fn with_names(all: &[Names]) -> Self {
        let mut world = Self {
            replicas: Vec::new(),
            links: BTreeSet::new(),
            clock: 1_000_000_000_000,
            starts: 0,
            fetched: 0,
        };
        for (number, names) in all.iter().enumerate() {
            let device = DeviceId([number as u8; 32]);
            let machine = world.machine(device, *names, &MemoryIndex::new());
            world.replicas.push(Replica {
                device,
                names: *names,
                machine,
                index: MemoryIndex::new(),
                copied: 0,
                disk: BTreeMap::new(),
                staging: BTreeMap::new(),
                inbox: VecDeque::new(),
                problems: Vec::new(),
                fetches: 0,
                hidden: false,
                held: None,
                unseen: false,
            });
        }
        world.join();
        for at in 0..all.len() {
            world.scan(at);
        }
        world
    }

    fn machine(&mut self, device: DeviceId, names: Names, index: &MemoryIndex) -> Machine {
        self.starts += 1;
        let config = Config {
            fileset: FilesetId([9; 32]),
            device,
            features: Features {
                names,
                ..Features::default()
            },
            policy: Policy::Newer,
            nonce: self.starts,
            batch_max_paths: 1,
        };
        Machine::new(config, index).unwrap()
    }

    pub(super) fn replica(&self, at: usize) -> &Replica {
        &self.replicas[at]
    }

    pub(super) fn bytes_moved(&self) -> usize {
        self.fetched
    }

    pub(super) fn halted(&self, at: usize) -> Option<Halt> {
        self.replicas[at].machine.halted()
    }

    pub(super) fn fetches(&self, at: usize) -> usize {
        self.replicas[at].fetches
    }

    pub(super) fn problems(&self, at: usize) -> &[Problem] {
        &self.replicas[at].problems
    }

    pub(super) fn hide(&mut self, at: usize, hidden: bool) {
        self.replicas[at].hidden = hidden;
    }

    /// From now on operations take long: their outcomes are told when they are let go.
    pub(super) fn hold(&mut self, at: usize) {
        self.replicas[at].held = Some(Vec::new());
    }

    /// Tells what was held until now, and goes on holding.
    pub(super) fn tell_held(&mut self, at: usize) {
        let held = self.replicas[at].held.replace(Vec::new());
        for event in held.unwrap_or_default() {
            self.turn(at, event);
        }
    }

    pub(super) fn let_go(&mut self, at: usize) {
        let held = self.replicas[at].held.take();
        self.replicas[at].inbox.extend(held.unwrap_or_default());
    }

    pub(super) fn command(&mut self, at: usize, command: Command) {
        self.replicas[at].inbox.push_back(Event::Command(command));
    }

    pub(super) fn siblings(&self, path: &str) -> usize {
        let path = RelPath::new(path).unwrap();
        self.replicas[0].index.entries(&path).unwrap().len()
    }

    pub(super) fn backup(&self, at: usize) -> MemoryIndex {
        self.replicas[at].index.clone()
    }

    /// The home is as it was; the folder is as it is.
    pub(super) fn restore(&mut self, at: usize, index: MemoryIndex) {
        let (device, names) = (self.replicas[at].device, self.replicas[at].names);
        let machine = self.machine(device, names, &index);
        let replica = &mut self.replicas[at];
        replica.index = index;
        replica.machine = machine;
        replica.inbox.clear();
        self.scan(at);
    }

    /// The program ends before it has written down what its operations did since `before` was taken.
    pub(super) fn crash(&mut self, at: usize, before: &MemoryIndex) {
        let mut index = self.replicas[at].index.clone();
        let (old, new) = (before.all_applied(), index.all_applied());
        let paths: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
        let rows = paths.into_iter().map(|path| AppliedChange {
            row: old.get(&path).cloned(),
            folded: None,
            path,
        });
        index.write(&Batch {
            id: BatchId(0),
            entries: Vec::new(),
            applied: rows.collect(),
            knowledge: Vec::new(),
            meta: None,
        });
        self.part();
        self.restore(at, index);
    }

    pub(super) fn connect(&mut self, a: usize, b: usize) {
        if self.links.insert((a.min(b), a.max(b))) {
            for (to, from) in [(a, b), (b, a)] {
                let peer = self.replicas[from].device;
                self.replicas[to]
                    .inbox
                    .push_back(Event::PeerConnected(peer));
            }
        }
    }

    pub(super) fn cut(&mut self, a: usize, b: usize) {
        if self.links.remove(&(a.min(b), a.max(b))) {
            for (to, from) in [(a, b), (b, a)] {
                let peer = self.replicas[from].device;
                let inbox = &mut self.replicas[to].inbox;
                inbox.retain(
                    |event| !matches!(event, Event::Received { peer: p, .. } if *p == peer),
                );
                inbox.push_back(Event::PeerGone(peer));
            }
        }
    }

    pub(super) fn part(&mut self) {
        for (a, b) in self.links.clone() {
            self.cut(a, b);
        }
    }

    pub(super) fn join(&mut self) {
        for a in 0..self.replicas.len() {
            for b in 0..a {
                self.connect(a, b);
            }
        }
    }

    pub(super) fn write(&mut self, at: usize, path: &str, text: &str) {
        self.write_unseen(at, path, text);
        self.replicas[at].unseen = true;
    }

    pub(super) fn write_unseen(&mut self, at: usize, path: &str, text: &str) {
        let path = RelPath::new(path).unwrap();
        for parent in std::iter::successors(path.parent(), RelPath::parent) {
            if !self.replicas[at].disk.contains_key(&parent) {
                self.put(at, parent, Node::Folder, 0o755, None);
            }
        }
        self.put(at, path, Node::File(text.to_owned()), 0o644, None);
    }

    pub(super) fn mkdir(&mut self, at: usize, path: &str) {
        self.put(at, RelPath::new(path).unwrap(), Node::Folder, 0o755, None);
        self.replicas[at].unseen = true;
    }

    pub(super) fn remove(&mut self, at: usize, path: &str) {
        self.remove_unseen(at, path);
        self.replicas[at].unseen = true;
    }

    pub(super) fn remove_unseen(&mut self, at: usize, path: &str) {
        let path = RelPath::new(path).unwrap();
        let disk = &mut self.replicas[at].disk;
        disk.retain(|other, _| *other != path && !other.is_below(&path));
    }

    pub(super) fn rename(&mut self, at: usize, from: &str, to: &str) {
        let disk = &mut self.replicas[at].disk;
        let from_path = RelPath::new(from).unwrap();
        let moved: Vec<_> = disk
            .keys()
            .filter(|path| **path == from_path || path.is_below(&from_path))
            .cloned()
            .collect();
        for path in moved {
            let node = disk.remove(&path).unwrap();
            let new = format!("{to}{}", &path.as_str()[from.len()..]);
            disk.insert(RelPath::new(&new).unwrap(), node);
        }
        self.replicas[at].unseen = true;
    }

    pub(super) fn tree(&self, at: usize) -> Vec<String> {
        let show = |(path, (node, _)): (&RelPath, &(Node, Stamp))| match node {
            Node::File(text) => format!("{}={text}", path.as_str()),
            Node::Folder => format!("{}/", path.as_str()),
            Node::Link(to) => format!("{}->{to}", path.as_str()),
        };
        self.replicas[at].disk.iter().map(show).collect()
    }

    /// Turns all rings until nothing happens any more.
    pub(super) fn settle(&mut self) {
        for at in 0..self.replicas.len() {
            if self.replicas[at].held.is_none() {
                self.look(at);
            }
        }
        let mut waited = 0;
        for _ in 0..STEPS_MAX {
            let Some(at) = (0..self.replicas.len()).find(|at| !self.replicas[*at].inbox.is_empty())
            else {
                if self.tick() {
                    continue;
                }
                if waited == 40 {
                    return;
                }
                // Whatever waits for a time gets it.
                self.clock += 1_000_000_000;
                waited += 1;
                continue;
            };
            let event = self.replicas[at].inbox.pop_front().unwrap();
            self.turn(at, event);
        }
        panic!("not quiet after {STEPS_MAX} steps");
    }

    /// All replicas show the same, and are content.
    pub(super) fn check(&self) {
        for (at, replica) in self.replicas.iter().enumerate() {
            assert_eq!(self.tree(at), self.tree(0));
            assert_eq!(
                replica.index.all_entries(),
                self.replicas[0].index.all_entries()
            );
            assert!(replica.machine.is_up_to_date(), "{:#?}", replica.machine);
            assert!(replica.staging.is_empty());
        }
    }

    /// The watcher of a replica tells what it has seen.
    pub(super) fn look(&mut self, at: usize) {
        if std::mem::take(&mut self.replicas[at].unseen) {
            self.scan(at);
        }
    }

    fn scan(&mut self, at: usize) {
        let replica = &mut self.replicas[at];
        replica
            .inbox
            .push_back(Event::Scan(Scan::Started(Scope::Everything)));
        self.clock += 1;
        let now = self.now();
        let events: Vec<_> = std::mem::take(&mut self.replicas[at].inbox).into();
        for event in events {
            self.turn(at, event);
        }
        let replica = &mut self.replicas[at];
        let folders = replica
            .disk
            .iter()
            .filter(|(_, (node, _))| *node == Node::Folder)
            .map(|(path, _)| Some(path.clone()));
        let pages: Vec<_> = std::iter::once(None)
            .chain(folders)
            .map(|folder| page(&replica.disk, folder))
            .collect();
        let _ = now;
        for page in pages {
            self.turn(at, Event::Scan(Scan::Page(page)));
        }
        self.turn(at, Event::Scan(Scan::Finished));
    }

    fn now(&self) -> Now {
        Now {
            monotonic_ms: (self.clock / 1_000_000) as u64,
            wall_ns: self.clock,
        }
    }

    fn tick(&mut self) -> bool {
        let now = self.now();
        let due = |replica: &Replica| {
            let at = replica.machine.next_tick();
            at.is_some_and(|at| at <= now.monotonic_ms)
        };
        let Some(at) = self.replicas.iter().position(due) else {
            return false;
        };
        self.turn(at, Event::Tick);
        true
    }

    /// What a look would find in the root now.
    pub(super) fn found_in_root(&self, at: usize) -> Vec<Found> {
        page(&self.replicas[at].disk, None).found
    }

    pub(super) fn turn(&mut self, at: usize, event: Event) {
        self.clock += 1;
        let now = self.now();
        let replica = &mut self.replicas[at];
        let actions = replica.machine.handle(now, event, &replica.index).unwrap();
        for action in actions {
            self.act(at, action);
        }
    }

    fn act(&mut self, at: usize, action: Action) {
        match action {
            Action::Persist(batch) => {
                self.replicas[at].index.write(&batch);
                self.replicas[at]
                    .inbox
                    .push_back(Event::Persisted(batch.id));
            }
            Action::Send { peer, message } => {
                let message = Message::decode(&message.encode()).unwrap();
                let to = self.number(peer);
                let from = self.replicas[at].device;
                if self.links.contains(&(at.min(to), at.max(to))) {
                    let event = Event::Received {
                        peer: from,
                        message,
                    };
                    self.replicas[to].inbox.push_back(event);
                }
            }
            Action::Disconnect { why, .. } => panic!("{why}"),
            Action::Fetch { content, from, .. } => self.fetch(at, content, &from),
            Action::Unstage(content) => {
                self.replicas[at].staging.remove(&content);
            }
            Action::ClearStaging => self.replicas[at].staging.clear(),
            Action::Apply(ops) => {
                let outcomes = ops.into_iter().map(|op| (op.id, self.apply(at, op)));
                let event = Event::Applied(outcomes.collect());
                let replica = &mut self.replicas[at];
                match &mut replica.held {
                    Some(held) => held.push(event),
                    None => replica.inbox.push_back(event),
                }
            }
            Action::Look { .. } => self.replicas[at].unseen = true,
            Action::Report(Report::Problem { problem, .. }) => {
                self.replicas[at].problems.push(problem);
            }
            Action::Report(_) => {}
        }
        let replica = &self.replicas[at];
        if replica.unseen && replica.inbox.is_empty() && replica.held.is_none() {
            self.look(at);
        }
    }

    fn number(&self, device: DeviceId) -> usize {
        let is = |replica: &Replica| replica.device == device;
        self.replicas.iter().position(is).unwrap()
    }

    fn fetch(&mut self, at: usize, content: ContentHash, from: &[DeviceId]) {
        self.replicas[at].fetches += 1;
        let text = from.iter().map(|peer| self.number(*peer)).find_map(|peer| {
            let replica = &self.replicas[peer];
            let linked = self.links.contains(&(at.min(peer), at.max(peer)));
            let has = |node: &Node| match node {
                Node::File(text) if ContentHash::of(text.as_bytes()) == content => {
                    Some(text.clone())
                }
                _ => None,
            };
            let mut nodes = replica.disk.values().map(|(node, _)| node);
            (linked && !replica.hidden).then(|| nodes.find_map(has))?
        });
        let event = match text {
            Some(text) => {
                self.fetched += text.len();
                self.replicas[at].staging.insert(content, text);
                Event::Fetched(vec![content])
            }
            None => Event::FetchFailed {
                content,
                why: FetchFailure::NotThere,
            },
        };
        self.replicas[at].inbox.push_back(event);
    }

    fn put(&mut self, at: usize, path: RelPath, node: Node, mode: u32, mtime_ns: Option<i64>) {
        self.clock += 1;
        let size_bytes = match &node {
            Node::File(text) => text.len() as u64,
            _ => 0,
        };
        let stamp = Stamp {
            size_bytes,
            mtime_ns: mtime_ns.unwrap_or(self.clock),
            ctime_ns: self.clock,
            inode: self.clock as u64,
            mode,
        };
        self.replicas[at].disk.insert(path, (node, stamp));
    }

    fn holds(&self, at: usize, path: &RelPath, expect: &Expect) -> bool {
        match (self.replicas[at].disk.get(path), expect) {
            (None, Expect::Absent) => true,
            (Some((Node::File(_), now)), Expect::File(stamp)) => {
                stamp.same_bytes(now) && stamp.mode == now.mode
            }
            (Some((Node::Link(to), _)), Expect::Symlink(target)) => to == target,
            (Some((Node::Folder, _)), Expect::Folder) => true,
            _ => false,
        }
    }

    /// Whether something else has the name that is to be used.
    fn is_taken(&self, at: usize, op: &Op) -> bool {
        let replica = &self.replicas[at];
        let folded = |path: &RelPath| replica.names.folded(path);
        let source = match &op.kind {
            OpKind::Move { from, .. } => Some(from),
            _ => None,
        };
        let mut others = replica.disk.keys().filter(|path| Some(*path) != source);
        let is_twin = |path: &RelPath| *path != op.path && folded(path) == folded(&op.path);
        replica.names.fold_at_all() && op.expect == Expect::Absent && others.any(is_twin)
    }

    fn apply(&mut self, at: usize, op: Op) -> Outcome {
        let parent = op.path.parent();
        let folder = |path: &RelPath| {
            let there = self.replicas[at].disk.get(path);
            there.is_some_and(|(node, _)| *node == Node::Folder)
        };
        if !self.holds(at, &op.path, &op.expect) || !parent.as_ref().is_none_or(folder) {
            return Outcome::Changed;
        }
        if self.is_taken(at, &op) {
            return Outcome::Taken;
        }
        let path = op.path.clone();
        match op.kind {
            OpKind::Write {
                content,
                source,
                attributes,
                ..
            } => {
                let text = match source {
                    Source::Empty => Some(String::new()),
                    Source::Staged => self.replicas[at].staging.remove(&content),
                    Source::Local { path, stamp } => {
                        if !self.holds(at, &path, &Expect::File(stamp)) {
                            return Outcome::NoContent;
                        }
                        let Some((Node::File(text), _)) =
                            self.replicas[at].disk.get(&path).cloned()
                        else {
                            return Outcome::NoContent;
                        };
                        self.replicas[at].copied += text.len();
                        Some(text)
                    }
                };
                let Some(text) = text else {
                    return Outcome::NoContent;
                };
                assert_eq!(ContentHash::of(text.as_bytes()), content);
                self.put(
                    at,
                    path,
                    Node::File(text),
                    attributes.mode,
                    Some(attributes.mtime_ns),
                );
            }
            OpKind::Move {
                from,
                from_expect,
                attributes,
            } => {
                if !self.holds(at, &from, &from_expect) {
                    return Outcome::Changed;
                }
                if from_expect == Expect::Folder {
                    self.rename(at, from.as_str(), path.as_str());
                    self.replicas[at].unseen = false;
                } else {
                    let (node, _) = self.replicas[at].disk.remove(&from).unwrap();
                    self.put(at, path, node, attributes.mode, Some(attributes.mtime_ns));
                }
            }
            OpKind::Stage { content } => {
                let (node, stamp) = self.replicas[at].disk.get_mut(&path).unwrap();
                stamp.ctime_ns += 1;
                let Node::File(text) = node.clone() else {
                    return Outcome::Changed;
                };
                self.replicas[at].staging.insert(content, text);
            }
            OpKind::Folder { mode } => self.put(at, path, Node::Folder, mode, None),
            OpKind::Symlink { target } => self.put(at, path, Node::Link(target), 0, None),
            OpKind::Attributes(attributes) => {
                let (_, stamp) = self.replicas[at].disk.get_mut(&path).unwrap();
                stamp.mode = attributes.mode;
                stamp.mtime_ns = attributes.mtime_ns;
                stamp.ctime_ns += 1;
            }
            OpKind::Remove => {
                let disk = &mut self.replicas[at].disk;
                if disk.keys().any(|other| other.is_below(&path)) {
                    return Outcome::NotEmpty;
                }
                disk.remove(&path);
            }
        }
        let stamp = self.replicas[at]
            .disk
            .get(&op.path)
            .map(|(_, stamp)| *stamp);
        Outcome::Done(stamp)
    }
}

fn page(disk: &BTreeMap<RelPath, (Node, Stamp)>, folder: Option<RelPath>) -> Page {
    let found = disk
        .iter()
        .filter(|(path, _)| path.parent() == folder)
        .map(|(path, (node, stamp))| Found {
            name: path.name().to_owned(),
            kind: match node {
                Node::File(text) => FoundKind::File {
                    content: ContentHash::of(text.as_bytes()),
                },
                Node::Folder => FoundKind::Folder,
                Node::Link(target) => FoundKind::Symlink {
                    target: target.clone(),
                },
            },
            stamp: *stamp,
        })
        .collect();
    Page {
        folder,
        after: None,
        upto: None,
        found,
    }
}
