//! Brings content into staging: small files in batches, large ones by themselves, from whoever has them.

use super::ring::Input;
use super::sink::Staging;
use super::state::State;
use crate::group::Paces;
use iroh::endpoint::Connection;
use shoal_disk::GROUP_BYTES;
use shoal_disk::replica::Replica;
use shoal_protocol::id::{ContentHash, DeviceId};
use shoal_protocol::sync::{Event, FetchFailure};
use shoal_transfer::carry::{CarryError, FILESET_ID_BYTES, Want, fetch_files, fetch_range};
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Requests to one peer at a time, so that its line is never idle between two.
const LANES: usize = 3;
/// Files up to this go in batches.
const SMALL_BYTES: u64 = 1 << 20;
/// Bytes of a batch.
const BATCH_BYTES: u64 = 8 << 20;
/// Files of a batch.
const BATCH_FILES: usize = 500;
/// Broken connections after which a content is given up until the machine asks again.
const TRIES: u32 = 4;

/// Fetches what one fileset wants.
#[derive(Clone)]
pub(super) struct Fetcher(Arc<Inner>);

/// What an earlier run left in staging.
#[derive(Clone, Default)]
pub(super) struct Staged {
    /// Contents of which the first part is there.
    pub(super) begun: Vec<ContentHash>,
    /// Contents that are there as a whole.
    pub(super) whole: Vec<ContentHash>,
}

struct Inner {
    fileset: [u8; FILESET_ID_BYTES],
    replica: Replica,
    floor_bytes: u64,
    state: Arc<State>,
    inputs: mpsc::Sender<Input>,
    runtime: tokio::runtime::Handle,
    ended: CancellationToken,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    wanted: HashMap<ContentHash, Wanted>,
    /// Contents that no lane is at, in the order in which they were asked for.
    waiting: VecDeque<ContentHash>,
    /// Contents that a lane is at, wanted still or not: no two lanes write to one file.
    under_way: HashSet<ContentHash>,
    /// See [`Fetcher::begun`].
    begun: HashSet<ContentHash>,
    lines: HashMap<DeviceId, Line>,
    /// Contents that an earlier run left in staging, whole, and nobody has asked for since.
    left: HashSet<ContentHash>,
}

struct Wanted {
    bytes: u64,
    from: Vec<DeviceId>,
    /// Who said that it has it not.
    without: HashSet<DeviceId>,
    tries: u32,
    /// Bytes in staging from the start on, verified by this process.
    have: Arc<AtomicU64>,
}

struct Line {
    connection: Connection,
    number: u64,
    paces: Arc<Paces>,
    busy: usize,
}

/// What one lane is at.
struct Load {
    peer: DeviceId,
    number: u64,
    connection: Connection,
    wants: Vec<Want>,
    have: Arc<AtomicU64>,
    paces: Arc<Paces>,
}

impl Fetcher {
    pub(super) fn new(
        fileset: [u8; FILESET_ID_BYTES],
        replica: Replica,
        floor_bytes: u64,
        state: Arc<State>,
        inputs: mpsc::Sender<Input>,
        ended: CancellationToken,
        staged: Staged,
    ) -> Self {
        let work = Work {
            begun: staged.begun.into_iter().collect(),
            left: staged.whole.into_iter().collect(),
            ..Work::default()
        };
        Self(Arc::new(Inner {
            fileset,
            replica,
            floor_bytes,
            state,
            inputs,
            runtime: tokio::runtime::Handle::current(),
            ended,
            work: Mutex::new(work),
        }))
    }

    /// Asks for a content.
    pub(super) fn want(&self, content: ContentHash, bytes: u64, from: Vec<DeviceId>) {
        let is_left = self.work().left.remove(&content);
        if is_left && self.0.replica.staged_bytes(&content) == Some(bytes) {
            self.tell(Event::Fetched(vec![content]));
            return;
        }
        // Of a large content, a part may have come before this node was started, or before a peer went.
        let have = match bytes > SMALL_BYTES {
            true => self.0.replica.checkpoint(&content).min(bytes - 1),
            false => 0,
        };
        let mut work = self.work();
        if !self.has_room(&work, &content, bytes - have) {
            drop(work);
            let why = FetchFailure::NoSpace;
            self.tell(Event::FetchFailed { content, why });
            return;
        }
        let wanted = Wanted {
            bytes,
            from,
            without: HashSet::new(),
            tries: 0,
            have: Arc::new(AtomicU64::new(have)),
        };
        work.begun.remove(&content);
        let before = work.wanted.insert(content, wanted);
        if before.is_none() {
            self.0.state.wants(1, bytes);
            if !work.under_way.contains(&content) {
                work.waiting.push_back(content);
            }
        }
        drop(work);
        self.pump();
    }

    /// Whether there is room for so many bytes of a content, beside what else is on its way.
    fn has_room(&self, work: &Work, content: &ContentHash, bytes: u64) -> bool {
        let Some(free) = self.0.replica.free_bytes() else {
            return true;
        };
        let left = free.saturating_sub(self.0.floor_bytes);
        // Mostly there is room for all of it, come or not, and nothing has to be counted.
        if left >= self.0.state.wanted_bytes().saturating_add(bytes) {
            return true;
        }
        let to_come = |one: &Wanted| one.bytes.saturating_sub(one.have.load(Ordering::Relaxed));
        let others = work.wanted.iter().filter(|(other, _)| *other != content);
        let to_come: u64 = others.map(|(_, one)| to_come(one)).sum();
        left >= to_come.saturating_add(bytes)
    }

    /// Nobody wants it any more.
    pub(super) fn forget(&self, content: ContentHash) {
        let mut work = self.work();
        work.begun.remove(&content);
        if let Some(wanted) = work.wanted.remove(&content) {
            self.0.state.wants_no_more(1, wanted.bytes);
        }
        work.waiting.retain(|waiting| *waiting != content);
    }

    /// Nothing is missing any more: whether something in staging is of no use.
    pub(super) fn forget_left(&self) -> bool {
        !std::mem::take(&mut self.work().left).is_empty()
    }

    /// Contents of which a part is in staging, and which are not being fetched: they may be wanted again.
    pub(super) fn begun(&self) -> HashSet<ContentHash> {
        self.work().begun.clone()
    }

    /// Nothing is missing any more: gives what was begun and is wanted by nobody.
    pub(super) fn take_begun(&self) -> HashSet<ContentHash> {
        std::mem::take(&mut self.work().begun)
    }

    /// A device can be asked, in the conversation with this number.
    pub(super) fn line_up(
        &self,
        peer: DeviceId,
        connection: Connection,
        number: u64,
        paces: Arc<Paces>,
    ) {
        let line = Line {
            connection,
            number,
            paces,
            busy: 0,
        };
        self.work().lines.insert(peer, line);
        self.pump();
    }

    /// The conversation is over.
    pub(super) fn line_down(&self, peer: DeviceId, number: u64) {
        let mut work = self.work();
        if work.lines.get(&peer).is_some_and(|it| it.number == number) {
            work.lines.remove(&peer);
        }
        drop(work);
        self.pump();
    }

    /// Gives work to every free lane, and gives up what nobody can bring.
    fn pump(&self) {
        let (loads, lost) = {
            let mut work = self.work();
            let mut loads = Vec::new();
            while let Some(load) = work.next_load() {
                loads.push(load);
            }
            (loads, work.hopeless())
        };
        for load in loads {
            let fetcher = self.clone();
            self.0
                .runtime
                .spawn(async move { fetcher.carry(load).await });
        }
        for (content, bytes, why) in lost {
            self.0.state.wants_no_more(1, bytes);
            self.tell(Event::FetchFailed { content, why });
        }
    }

    async fn carry(self, load: Load) {
        let done = Arc::new(Mutex::new(Vec::new()));
        let sink = Staging::new(
            self.0.replica.clone(),
            self.0.state.clone(),
            load.wants.clone(),
            done.clone(),
            load.have.clone(),
            load.paces.clone(),
            self.0.ended.clone(),
        );
        let request = async {
            match load.wants.as_slice() {
                [large] if large.bytes > SMALL_BYTES => {
                    let have = load.have.load(Ordering::Relaxed) / GROUP_BYTES * GROUP_BYTES;
                    let range = (have.min(large.bytes), large.bytes);
                    fetch_range(&load.connection, &self.0.fileset, *large, range, sink).await
                }
                _ => fetch_files(&load.connection, &self.0.fileset, load.wants.clone(), sink).await,
            }
        };
        let result = tokio::select! {
            result = request => result,
            () = self.0.ended.cancelled() => return,
        };
        let done = std::mem::take(&mut *done.lock().unwrap_or_else(PoisonError::into_inner));
        let failures = self.settle(&load, &done, result.err());
        if !done.is_empty() {
            self.tell(Event::Fetched(done));
        }
        for (content, why) in failures {
            self.tell(Event::FetchFailed { content, why });
        }
        self.pump();
    }

    /// Takes a lane's result in; says which contents are given up.
    fn settle(
        &self,
        load: &Load,
        done: &[ContentHash],
        error: Option<CarryError>,
    ) -> Vec<(ContentHash, FetchFailure)> {
        let mut work = self.work();
        let line = work.lines.get_mut(&load.peer);
        if let Some(line) = line.filter(|line| line.number == load.number) {
            line.busy = line.busy.saturating_sub(1);
        }
        let mut failures = Vec::new();
        let mut first = true;
        for want in &load.wants {
            work.under_way.remove(&want.hash);
            if done.contains(&want.hash) {
                if let Some(wanted) = work.wanted.remove(&want.hash) {
                    self.0.state.wants_no_more(1, wanted.bytes);
                }
                continue;
            }
            // Answers come in order: the first that is missing is the one that failed.
            let is_first = std::mem::take(&mut first);
            let Some(wanted) = work.wanted.get_mut(&want.hash) else {
                continue;
            };
            match &error {
                Some(CarryError::NotThere | CarryError::Lied) if is_first => {
                    wanted.without.insert(load.peer);
                    wanted.have.store(0, Ordering::Relaxed);
                }
                Some(CarryError::Broken(_)) => wanted.tries += 1,
                Some(CarryError::Sink(error)) => failures.push((want.hash, refusal(error))),
                _ => {}
            }
        }
        for (content, _) in &failures {
            if let Some(wanted) = work.wanted.remove(content) {
                self.0.state.wants_no_more(1, wanted.bytes);
            }
        }
        for want in load.wants.iter().rev() {
            if work.wanted.contains_key(&want.hash) {
                work.waiting.push_front(want.hash);
            }
        }
        if let Some(error) = &error {
            tracing::debug!(peer = %load.peer, %error, "a fetch ended early");
        }
        failures
    }

    fn tell(&self, event: Event) {
        let inputs = self.0.inputs.clone();
        // From tasks and from the ring's own thread alike: the ring must not wait for itself.
        self.0.runtime.spawn(async move {
            let _ = inputs.send(Input::Event(event)).await;
        });
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.0.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    fn next_load(&mut self) -> Option<Load> {
        let mut free: Vec<_> = self
            .lines
            .iter()
            .filter(|(_, line)| line.busy < LANES)
            .map(|(peer, line)| (line.busy, *peer))
            .collect();
        free.sort();
        for (_, peer) in free {
            let (wants, have) = self.pick(&peer);
            if wants.is_empty() {
                continue;
            }
            let taken: HashSet<_> = wants.iter().map(|want| want.hash).collect();
            self.waiting.retain(|content| !taken.contains(content));
            self.under_way.extend(taken);
            let line = self.lines.get_mut(&peer)?;
            line.busy += 1;
            return Some(Load {
                peer,
                number: line.number,
                connection: line.connection.clone(),
                paces: line.paces.clone(),
                wants,
                have,
            });
        }
        None
    }

    /// The next contents that this peer may be asked for: one that is large, or a batch.
    fn pick(&self, peer: &DeviceId) -> (Vec<Want>, Arc<AtomicU64>) {
        let mut wants: Vec<Want> = Vec::new();
        let mut bytes = 0;
        let mut have = Arc::default();
        for content in &self.waiting {
            let one = self.wanted.get(content);
            let Some(one) = one.filter(|one| one.may_ask(peer)) else {
                continue;
            };
            let large = one.bytes > SMALL_BYTES;
            if !wants.is_empty() && (large || bytes + one.bytes > BATCH_BYTES) {
                continue;
            }
            wants.push(Want {
                hash: *content,
                bytes: one.bytes,
            });
            bytes += one.bytes;
            have = one.have.clone();
            if large || wants.len() >= BATCH_FILES {
                break;
            }
        }
        (wants, have)
    }

    /// Takes out what waits and nobody can bring.
    fn hopeless(&mut self) -> Vec<(ContentHash, u64, FetchFailure)> {
        let Self {
            wanted,
            waiting,
            lines,
            begun,
            ..
        } = self;
        let mut lost = Vec::new();
        waiting.retain(|content| {
            let Some(one) = wanted.get(content) else {
                return false;
            };
            let can = |peer: &DeviceId| lines.contains_key(peer) && one.may_ask(peer);
            if one.from.iter().any(can) {
                return true;
            }
            let why = match one.tries {
                0 => FetchFailure::NotThere,
                _ => FetchFailure::Broken,
            };
            lost.push((*content, one.bytes, why));
            false
        });
        for (content, ..) in &lost {
            if let Some(one) = wanted.remove(content)
                && one.bytes > SMALL_BYTES
            {
                begun.insert(*content);
            }
        }
        lost
    }
}

impl Wanted {
    fn may_ask(&self, peer: &DeviceId) -> bool {
        self.tries < TRIES && self.from.contains(peer) && !self.without.contains(peer)
    }
}

fn refusal(error: &io::Error) -> FetchFailure {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FetchFailure::NoSpace,
        _ => FetchFailure::Broken,
    }
}
