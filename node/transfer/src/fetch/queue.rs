//! The queue of work that all sources share.
//!
//! Every source takes the next piece when it is done with one. When nothing is left to take, an idle
//! source takes a piece that another has been working on for a while; the first to finish wins.

use super::decode::GROUP_BYTES;
use super::layout::Layout;
use super::marks::Marks;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Bytes of a piece of a large file.
const RANGE_BYTES: u64 = 16 << 20;
/// Files below this go in batches.
const SMALL_BYTES: u64 = 1 << 20;
/// Files of a batch.
const BATCH_FILES: usize = 500;
/// Bytes of a batch.
const BATCH_BYTES: u64 = 8 << 20;
/// Sources that work on one piece, at the end.
const RIVALS_MAX: usize = 2;
/// How long a piece is left to the source that has it.
const RIVAL_AFTER: Duration = Duration::from_secs(1);

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// Bytes of one file, beginning at a chunk group.
    Range { file: u32, start: u64, end: u64 },
    /// Whole small files.
    Batch(Vec<u32>),
}

/// A piece that a source has taken; it must be ended by [`Queue::done`] or [`Queue::give_back`].
#[derive(Debug)]
pub(crate) struct Taken {
    /// What to fetch.
    pub(crate) work: Work,
    /// Ends when somebody else finished it.
    pub(crate) beaten: CancellationToken,
    id: u64,
    source: usize,
}

/// From which end of the list to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// From the first file on.
    Front,
    /// From the last file back, because a torrent works from the front.
    Back,
}

/// Files of the same content: the first is fetched, the others are copied.
pub(crate) type Twins = HashMap<u32, Vec<u32>>;

/// The queue.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug)]
struct Inner {
    waiting: VecDeque<Work>,
    running: HashMap<u64, Running>,
    next_id: u64,
}

#[derive(Debug)]
struct Running {
    work: Work,
    since: Instant,
    sources: Vec<usize>,
    beaten: CancellationToken,
}

impl Queue {
    /// Everything that is missing, and which files are copies of others.
    pub(crate) fn new(layout: &Layout, marks: &Marks) -> (Self, Twins) {
        let (twins, copies) = twins(layout);
        let mut waiting = VecDeque::new();
        let mut batch = Batch::default();
        for (file, spec) in (0u32..).zip(&layout.files) {
            if spec.content.is_none() || copies.contains(&file) || marks.is_complete(file) {
                continue;
            }
            let whole = marks.missing(file, 0, spec.size) == [(0, spec.size)];
            if spec.size < SMALL_BYTES && whole {
                batch.add(file, spec.size, &mut waiting);
            } else {
                cut_file(file, spec.size, marks, &mut waiting);
            }
        }
        batch.finish(&mut waiting);
        let inner = Inner {
            waiting,
            running: HashMap::new(),
            next_id: 0,
        };
        (
            Self {
                inner: Mutex::new(inner),
                changed: Notify::new(),
            },
            twins,
        )
    }

    /// The next piece for a source; waits until there is one. Never ends when all is done: cancel it.
    pub(crate) async fn take(&self, source: usize, end: impl Fn() -> End, marks: &Marks) -> Taken {
        loop {
            let changed = self.changed.notified();
            if let Some(taken) = self.try_take(source, end(), marks) {
                return taken;
            }
            // Also without news: a piece of somebody else becomes free for all after a while.
            let _ = tokio::time::timeout(RIVAL_AFTER / 2, changed).await;
        }
    }

    /// A piece is finished.
    pub(crate) fn done(&self, taken: &Taken) {
        if let Some(running) = self.lock().running.remove(&taken.id) {
            running.beaten.cancel();
        }
        self.changed.notify_waiters();
    }

    /// A source could not finish a piece: what is missing of it is for others.
    pub(crate) fn give_back(&self, taken: &Taken, marks: &Marks) {
        let mut inner = self.lock();
        let Some(running) = inner.running.get_mut(&taken.id) else {
            return;
        };
        running.sources.retain(|source| *source != taken.source);
        if !running.sources.is_empty() {
            return;
        }
        if let Some(running) = inner.running.remove(&taken.id)
            && let Some(rest) = running.work.rest(marks)
        {
            inner.waiting.push_front(rest);
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// A source is gone: what it was working on is for others.
    pub(crate) fn leave(&self, source: usize, marks: &Marks) {
        let mut inner = self.lock();
        let left: Vec<u64> = inner
            .running
            .iter_mut()
            .filter_map(|(id, running)| {
                running.sources.retain(|other| *other != source);
                running.sources.is_empty().then_some(*id)
            })
            .collect();
        for id in left {
            let rest = inner
                .running
                .remove(&id)
                .and_then(|running| running.work.rest(marks));
            inner.waiting.extend(rest);
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// A file turned out wrong and is missing again.
    pub(crate) fn again(&self, file: u32, size: u64, marks: &Marks) {
        cut_file(file, size, marks, &mut self.lock().waiting);
        self.changed.notify_waiters();
    }

    fn try_take(&self, source: usize, end: End, marks: &Marks) -> Option<Taken> {
        let mut inner = self.lock();
        loop {
            let next = match end {
                End::Front => inner.waiting.pop_front(),
                End::Back => inner.waiting.pop_back(),
            };
            let Some(next) = next else { break };
            if let Some(work) = next.rest(marks) {
                return Some(inner.start(work, source));
            }
        }
        inner.join(source, marks)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn start(&mut self, work: Work, source: usize) -> Taken {
        let id = self.next_id;
        self.next_id += 1;
        let beaten = CancellationToken::new();
        let running = Running {
            work: work.clone(),
            since: Instant::now(),
            sources: vec![source],
            beaten: beaten.clone(),
        };
        self.running.insert(id, running);
        Taken {
            work,
            beaten,
            id,
            source,
        }
    }

    /// Takes what another source has been working on longest.
    fn join(&mut self, source: usize, marks: &Marks) -> Option<Taken> {
        let free = |running: &&mut Running| {
            running.sources.len() < RIVALS_MAX
                && !running.sources.contains(&source)
                && running.since.elapsed() >= RIVAL_AFTER
        };
        let ids = self.running.iter_mut().map(|(id, running)| (*id, running));
        let (id, running) = ids
            .filter(|(_, r)| free(r))
            .min_by_key(|(_, running)| running.since)?;
        let work = running.work.rest(marks)?;
        running.sources.push(source);
        // The next idle source waits as long again.
        running.since = Instant::now();
        Some(Taken {
            work,
            beaten: running.beaten.clone(),
            id,
            source,
        })
    }
}

impl Work {
    /// What is still missing of it. A range keeps its middle even if that is there: one request is cheaper than two.
    fn rest(&self, marks: &Marks) -> Option<Self> {
        match self {
            Self::Range { file, start, end } => {
                let missing = marks.missing(*file, *start, *end);
                let (first, last) = (missing.first()?, missing.last()?);
                // Groups are verified as a whole; pieces of a torrent end anywhere.
                let start = first.0 - first.0 % GROUP_BYTES;
                Some(Self::Range {
                    file: *file,
                    start,
                    end: last.1.next_multiple_of(GROUP_BYTES).min(*end),
                })
            }
            Self::Batch(files) => {
                let files: Vec<u32> = files
                    .iter()
                    .copied()
                    .filter(|file| !marks.is_complete(*file))
                    .collect();
                (!files.is_empty()).then_some(Self::Batch(files))
            }
        }
    }
}

/// Cuts what is missing of a file into ranges that begin at multiples of their length.
fn cut_file(file: u32, size: u64, marks: &Marks, waiting: &mut VecDeque<Work>) {
    for (start, end) in marks.missing(file, 0, size) {
        let mut at = start - start % GROUP_BYTES;
        let end = end.next_multiple_of(GROUP_BYTES).min(size);
        while at < end {
            let next = (at - at % RANGE_BYTES + RANGE_BYTES).min(end);
            waiting.push_back(Work::Range {
                file,
                start: at,
                end: next,
            });
            at = next;
        }
    }
}

/// Files with equal content, by the first of them; and all the others.
fn twins(layout: &Layout) -> (Twins, HashSet<u32>) {
    let mut first: HashMap<_, u32> = HashMap::with_capacity(layout.files.len());
    let (mut twins, mut copies) = (Twins::new(), HashSet::new());
    for (file, spec) in (0u32..)
        .zip(&layout.files)
        .filter(|(_, spec)| spec.size > 0)
    {
        let Some(content) = spec.content else {
            continue;
        };
        match first.entry(content) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(file);
            }
            std::collections::hash_map::Entry::Occupied(entry) => {
                twins.entry(*entry.get()).or_default().push(file);
                copies.insert(file);
            }
        }
    }
    (twins, copies)
}

#[derive(Default)]
struct Batch {
    files: Vec<u32>,
    bytes: u64,
}

impl Batch {
    fn add(&mut self, file: u32, size: u64, waiting: &mut VecDeque<Work>) {
        if self.files.len() >= BATCH_FILES || self.bytes + size > BATCH_BYTES {
            self.finish(waiting);
        }
        self.files.push(file);
        self.bytes += size;
    }

    fn finish(&mut self, waiting: &mut VecDeque<Work>) {
        self.bytes = 0;
        if !self.files.is_empty() {
            waiting.push_back(Work::Batch(std::mem::take(&mut self.files)));
        }
    }
}

#[cfg(test)]
mod tests;
