//! What is still to be done to the tree: paths to compare, operations and fetches under way, and what is tried again when.
// Length: paths, operations and fetches wait for each other, so one structure keeps them all.

use super::turn::Turn;
use super::twins::Twins;
use super::{Halt, Machine};
use crate::id::ContentHash;
use crate::limits::{SYNC_FETCHES_MAX, SYNC_ROUND_MAX_PATHS, SYNC_TODO_MAX_PATHS};
use crate::path::RelPath;
use crate::sync::action::{Action, OpId, Problem, Report, Source};
use crate::sync::applied::Role;
use crate::sync::entry::{Kind, Removal};
use crate::sync::index::{Index, Read, Span};
use crate::sync::names::Names;
use crate::sync::project::Wanted;
use std::collections::{BTreeMap, BTreeSet};

use super::finish::MASS_MIN_PATHS;

/// First and longest wait before something is tried again, milliseconds.
const RETRY_MS: (u64, u64) = (1_000, 300_000);
/// How often content that no connected peer has is asked for because time has passed: for about nine minutes. Later it is asked for
/// when a peer connects, or says that content came to it.
const CONTENT_ATTEMPTS_MAX: u32 = 10;
/// The time of what waits for an event alone.
const NEVER_MS: u64 = u64::MAX;
/// Operations that may be under way.
const FLIGHTS_MAX: usize = 2_048;

/// What is still to be done.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Paths to compare with what is materialised.
    dirty: BTreeSet<RelPath>,
    /// The same for paths whose content has come: they need nothing that is scarce.
    ready: BTreeSet<RelPath>,
    /// Materialised paths that should go; they go when nothing else is to be compared, so that a rename can use them.
    removals: BTreeMap<RelPath, Removal>,
    /// Paths that wait for operations under way.
    later: BTreeSet<RelPath>,
    /// Paths that wait for the end of a peer's stream.
    held: BTreeSet<RelPath>,
    /// Paths that wait for the end of a look at the disk.
    looking: BTreeSet<RelPath>,
    /// Paths that have no place, because the file system takes their names for others that are there.
    pub(super) twins: Twins,
    walk: Option<Walk>,
    /// Folders that got a place: all below is to be compared.
    subtrees: BTreeSet<RelPath>,
    retry: BTreeMap<RelPath, Retry>,
    pub(super) flights: BTreeMap<OpId, Flight>,
    busy: BTreeMap<RelPath, u32>,
    /// Contents that operations under way bring to their paths, and how many do.
    arriving: BTreeMap<ContentHash, u32>,
    pub(super) fetches: BTreeMap<ContentHash, BTreeSet<RelPath>>,
    /// Contents in staging.
    pub(super) staged: BTreeSet<ContentHash>,
    /// Whether something was put into staging since it was cleared.
    pub(super) staging_used: bool,
    last_op: u64,
    /// Whether content came that others may have asked for in vain.
    pub(super) news: bool,
    /// Whether paths wait because as much is fetched as may be.
    pub(super) stalled: bool,
    /// Whether the next tick is due at once.
    again: bool,
    up_to_date: bool,
}

/// An operation under way.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) path: RelPath,
    pub(super) then: Then,
    /// Where the content that is written comes from.
    pub(super) source: Option<Source>,
}

/// What follows when the operation is done.
#[derive(Debug, Clone)]
pub(super) enum Then {
    /// This is there.
    There(Box<Wanted>),
    /// This is there, and nothing at the other path.
    Moved(Box<Wanted>, RelPath),
    /// Nothing is there.
    Gone,
    /// The same is there, and in staging.
    Staged(ContentHash),
}

/// A walk over everything.
#[derive(Debug, Clone)]
enum Walk {
    /// Over what is known, after this path.
    Entries(Option<RelPath>),
    /// Over what is materialised, after this path.
    Applied(Option<RelPath>),
    /// Over what is known below this folder, after this path.
    Below(RelPath, Option<RelPath>),
}

#[derive(Debug, Clone, Copy)]
struct Retry {
    attempts: u32,
    /// When; none while it is being tried.
    at_ms: Option<u64>,
    problem: Option<Problem>,
}

impl Flight {
    /// The content that it brings to its path.
    fn content(&self) -> Option<ContentHash> {
        match &self.then {
            Then::There(wanted) => wanted.kind.content(),
            _ => None,
        }
    }
}

impl Work {
    pub(super) fn new(names: Names) -> Self {
        Self {
            twins: Twins::new(names),
            ..Self::default()
        }
    }

    pub(super) fn dirty_all(&mut self, paths: BTreeSet<RelPath>) {
        for path in paths {
            self.dirty(path);
        }
    }

    /// A path is to be compared, and with it all that wait for its place.
    pub(super) fn dirty(&mut self, path: RelPath) {
        for twin in self.twins.waiting_for(&path) {
            self.dirty_one(twin);
        }
        self.dirty_one(path);
    }

    /// The content of these paths is in staging, or never comes from where it was asked.
    pub(super) fn fetched(&mut self, content: &ContentHash) -> Option<BTreeSet<RelPath>> {
        let paths = self.fetches.remove(content)?;
        // Not at the first free place: each look at those who wait takes time.
        self.stalled &= self.fetches.len() > SYNC_FETCHES_MAX / 2;
        Some(paths)
    }

    /// A path whose content has come.
    pub(super) fn ready(&mut self, path: RelPath) {
        for twin in self.twins.waiting_for(&path) {
            self.dirty_one(twin);
        }
        self.up_to_date = false;
        if let Some(retry) = self.retry.get_mut(&path) {
            retry.at_ms = None;
        }
        self.ready.insert(path);
    }

    fn dirty_one(&mut self, path: RelPath) {
        self.up_to_date = false;
        if let Some(retry) = self.retry.get_mut(&path) {
            retry.at_ms = None;
        }
        if self.dirty.len() < SYNC_TODO_MAX_PATHS {
            self.dirty.insert(path);
        } else {
            self.walk_all();
        }
    }

    pub(super) fn walk_all(&mut self) {
        self.up_to_date = false;
        self.walk = Some(Walk::Entries(None));
    }

    fn is_walking(&self) -> bool {
        self.walk.is_some() || !self.subtrees.is_empty()
    }

    pub(super) fn walk_below(&mut self, folder: RelPath) {
        self.up_to_date = false;
        self.subtrees.insert(folder);
    }

    /// Whether an operation at this path is under way, or one that gives the folder above another name.
    pub(super) fn is_busy(&self, path: &RelPath) -> bool {
        self.busy.contains_key(path) || self.twins.moving.iter().any(|moving| path.is_below(moving))
    }

    pub(super) fn is_busy_at_or_below(&self, path: &RelPath) -> bool {
        let first = self.busy.range(path.clone()..).next();
        first.is_some_and(|(at, _)| at == path || at.is_below(path))
    }

    pub(super) fn busy_paths(&self) -> impl Iterator<Item = &RelPath> {
        self.busy.keys()
    }

    pub(super) fn next_op(&mut self) -> OpId {
        self.last_op += 1;
        OpId(self.last_op)
    }

    /// Whether an operation under way brings this content to a path, from where it can be copied then.
    pub(super) fn is_arriving(&self, content: &ContentHash) -> bool {
        self.arriving.contains_key(content)
    }

    pub(super) fn take_off(&mut self, id: OpId, flight: Flight) {
        if let Some(content) = flight.content() {
            *self.arriving.entry(content).or_default() += 1;
        }
        *self.busy.entry(flight.path.clone()).or_default() += 1;
        if let Then::Moved(wanted, from) = &flight.then {
            *self.busy.entry(from.clone()).or_default() += 1;
            if wanted.kind == Kind::Folder {
                let both = [from.clone(), flight.path.clone()];
                self.twins.moving.extend(both);
            }
        }
        self.flights.insert(id, flight);
    }

    pub(super) fn land(&mut self, id: OpId) -> Option<Flight> {
        let flight = self.flights.remove(&id)?;
        if let Some(content) = flight.content()
            && let Some(count) = self.arriving.get_mut(&content)
        {
            *count -= 1;
            if *count == 0 {
                self.arriving.remove(&content);
            }
        }
        let from = match &flight.then {
            Then::Moved(_, from) => Some(from),
            _ => None,
        };
        for path in from.into_iter().chain([&flight.path]) {
            if let Some(count) = self.busy.get_mut(path) {
                *count -= 1;
                if *count == 0 {
                    self.busy.remove(path);
                    self.twins.moving.remove(path);
                }
            }
        }
        let later = std::mem::take(&mut self.later);
        self.dirty_all(later);
        Some(flight)
    }

    /// Waits for operations under way.
    pub(super) fn wait(&mut self, path: RelPath) {
        self.later.insert(path);
    }

    /// Waits for the end of a peer's stream.
    pub(super) fn hold(&mut self, path: RelPath) {
        self.held.insert(path);
    }

    pub(super) fn release_held(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.dirty_all(held);
    }

    /// Waits for the end of a look at the disk.
    pub(super) fn await_look(&mut self, path: RelPath) {
        self.looking.insert(path);
    }

    pub(super) fn looked(&mut self) {
        let looking = std::mem::take(&mut self.looking);
        self.dirty_all(looking);
    }

    pub(super) fn remove_later(&mut self, path: &RelPath, removal: Removal) {
        self.removals.insert(path.clone(), removal);
    }

    pub(super) fn keep(&mut self, path: &RelPath) {
        self.removals.remove(path);
    }

    /// Content may be found now that could not be before.
    pub(super) fn retry_content(&mut self) {
        let waiting = |retry: &Retry| retry.problem == Some(Problem::NoContent);
        let paths: BTreeSet<_> = self
            .retry
            .iter()
            .filter(|(_, r)| waiting(r))
            .map(|(p, _)| p.clone())
            .collect();
        self.dirty_all(paths);
    }

    /// Tries a path again after a wait that grows. Gives how often it went wrong.
    pub(super) fn retry(&mut self, path: &RelPath, now_ms: u64, problem: Option<Problem>) -> u32 {
        if self.retry.len() >= SYNC_TODO_MAX_PATHS {
            self.retry.pop_first();
        }
        let retry = self.retry.entry(path.clone()).or_insert(Retry {
            attempts: 0,
            at_ms: None,
            problem,
        });
        let wait_ms = RETRY_MS.0 << retry.attempts.min(16);
        retry.attempts += 1;
        let is_sought = problem == Some(Problem::NoContent);
        retry.at_ms = Some(match is_sought && retry.attempts >= CONTENT_ATTEMPTS_MAX {
            true => NEVER_MS,
            false => now_ms + wait_ms.min(RETRY_MS.1),
        });
        retry.problem = problem;
        retry.attempts
    }

    /// Why a path is to be tried again.
    pub(super) fn problem_of(&self, path: &RelPath) -> Option<Problem> {
        self.retry.get(path)?.problem
    }

    pub(super) fn succeeded(&mut self, path: &RelPath) {
        self.retry.remove(path);
    }

    /// Whether a path is to be tried again later: until then it neither changes nor gives its content.
    pub(super) fn is_waiting(&self, path: &RelPath) -> bool {
        self.retry
            .get(path)
            .is_some_and(|retry| retry.at_ms.is_some())
    }

    fn wake_due(&mut self, now_ms: u64) {
        let due = |retry: &Retry| retry.at_ms.is_some_and(|at| at <= now_ms);
        let paths: BTreeSet<_> = self
            .retry
            .iter()
            .filter(|(_, r)| due(r))
            .map(|(p, _)| p.clone())
            .collect();
        self.dirty_all(paths);
    }

    pub(super) fn next_ms(&self) -> Option<u64> {
        if self.again {
            return Some(0);
        }
        let times = self.retry.values().filter_map(|retry| retry.at_ms);
        times.filter(|at_ms| *at_ms != NEVER_MS).min()
    }

    /// Whether something waits for the end of a peer's stream.
    pub(super) fn waits_for_stream(&self) -> bool {
        !self.held.is_empty() || !self.removals.is_empty()
    }

    /// Whether nothing is under way or about to be.
    pub(super) fn is_idle(&self) -> bool {
        self.dirty.is_empty()
            && self.ready.is_empty()
            && self.removals.is_empty()
            && self.later.is_empty()
            && self.held.is_empty()
            && self.looking.is_empty()
            && self.walk.is_none()
            && self.subtrees.is_empty()
            && self.flights.is_empty()
            && self.fetches.is_empty()
    }

    /// Whether what is in staging may be the only copy of what could not be written.
    fn is_staging_needed(&self) -> bool {
        let failed = |retry: &Retry| matches!(retry.problem, None | Some(Problem::Disk(_)));
        self.retry.values().any(failed)
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = (RelPath, Problem)> {
        let told = |(path, retry): (&RelPath, &Retry)| Some((path.clone(), retry.problem?));
        self.retry.iter().filter_map(told)
    }

    /// Whether nothing waits to be tried again.
    pub(super) fn nothing_left(&self) -> bool {
        self.retry.is_empty() && self.twins.is_empty()
    }
}

impl Machine {
    /// Compares paths with what is materialised, and asks for what is missing.
    pub(super) fn work_on<I: Index>(&mut self, turn: &mut Turn<'_, I>) -> Read<()> {
        self.work.again = false;
        self.work.wake_due(turn.now.monotonic_ms);
        if self.work.flights.len() >= FLIGHTS_MAX {
            return Ok(());
        }
        if !self.is_stream_open(turn) {
            self.work.release_held();
        }
        let mut round = super::plan::Round::default();
        let mut picked = 0;
        while picked < SYNC_ROUND_MAX_PATHS {
            let Some(path) = self.next_path(turn)? else {
                break;
            };
            picked += 1;
            if !self.work.is_waiting(&path) {
                self.consider(turn, &mut round, &path)?;
            }
        }
        let none_left = self.work.dirty.is_empty() && self.work.ready.is_empty();
        if none_left || self.work.stalled {
            self.pick_removals(turn, &mut round)?;
        }
        self.execute(turn, round)?;
        let more = !self.work.ready.is_empty()
            || !self.work.dirty.is_empty() && !self.work.stalled
            || self.work.is_walking();
        self.work.again |= more && self.work.flights.len() < FLIGHTS_MAX && turn.writes.is_empty();
        Ok(())
    }

    /// The next path to compare.
    fn next_path<I: Index>(&mut self, turn: &Turn<'_, I>) -> Read<Option<RelPath>> {
        if let Some(path) = self.work.ready.pop_first() {
            return Ok(Some(path));
        }
        if self.work.stalled {
            return Ok(None);
        }
        if self.work.dirty.is_empty() {
            self.walk_on(turn)?;
        }
        Ok(self.work.dirty.pop_first())
    }

    pub(super) fn is_stream_open<I: Index>(&self, turn: &Turn<'_, I>) -> bool {
        let until = self.peers.open_until_ms();
        until.is_some_and(|until| turn.now.monotonic_ms < until)
    }

    /// Takes up what should go, deepest first; or halts, when it is too much at once and nobody confirmed it.
    fn pick_removals<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        round: &mut super::plan::Round,
    ) -> Read<()> {
        if self.work.removals.is_empty() {
            return Ok(());
        }
        let deleted = |removal: &&Removal| **removal == Removal::Deleted;
        let gone = self.work.removals.values().filter(deleted).count() as u64;
        let may_be_renamed = gone > 0 || self.work.twins.any_leaving();
        if may_be_renamed && self.is_stream_open(turn) {
            return Ok(());
        }
        let of = turn.index.applied_count()?;
        if gone >= MASS_MIN_PATHS && gone.saturating_mul(2) > of {
            self.halt(turn, Halt::RemoteDeletion { gone, of });
            return Ok(());
        }
        while round.len() < SYNC_ROUND_MAX_PATHS {
            let Some((path, _)) = self.work.removals.pop_last() else {
                break;
            };
            if !self.work.is_waiting(&path) {
                round.allow_removal(&path);
                self.consider(turn, round, &path)?;
            }
        }
        self.work.again |= !self.work.removals.is_empty();
        Ok(())
    }

    /// Brings the next paths of a walk into `dirty`.
    fn walk_on<I: Index>(&mut self, turn: &Turn<'_, I>) -> Read<()> {
        let (mut paths, next) = match self.work.walk.take() {
            None => match self.work.subtrees.pop_first() {
                None => return Ok(()),
                Some(folder) => (Vec::new(), Some(Walk::Below(folder, None))),
            },
            Some(Walk::Below(folder, after)) => {
                let span = Span {
                    below: Some(&folder),
                    after: after.as_ref(),
                };
                let page = turn.index.entries_in(span, SYNC_ROUND_MAX_PATHS)?;
                let paths: Vec<_> = page.into_iter().map(|entry| entry.path).collect();
                let last = paths.last().cloned();
                let next = last.map(|last| Walk::Below(folder, Some(last)));
                (paths, next)
            }
            Some(Walk::Entries(after)) => {
                let span = Span {
                    below: None,
                    after: after.as_ref(),
                };
                let page = turn.index.entries_in(span, SYNC_ROUND_MAX_PATHS)?;
                let paths: Vec<_> = page.into_iter().map(|entry| entry.path).collect();
                let next = match paths.last() {
                    Some(last) => Walk::Entries(Some(last.clone())),
                    None => Walk::Applied(None),
                };
                (paths, Some(next))
            }
            Some(Walk::Applied(after)) => {
                let span = Span {
                    below: None,
                    after: after.as_ref(),
                };
                let page = turn.index.applied_in(span, SYNC_ROUND_MAX_PATHS)?;
                let next = page
                    .last()
                    .map(|(path, _)| Walk::Applied(Some(path.clone())));
                let paths = page.into_iter().filter_map(|(path, row)| match row.role {
                    // In a folder that was renamed to its twin, and nobody said anything of it there.
                    Role::Main if row.version.pairs().is_empty() => Some(path),
                    Role::Main => None,
                    Role::Implied => Some(path),
                    Role::Copy { of } => Some(of),
                });
                (paths.collect(), next)
            }
        };
        paths.dedup();
        self.work.walk = next;
        self.work.dirty.extend(paths);
        Ok(())
    }

    /// Nothing is under way: says so, once.
    pub(super) fn settle_down<I: Index>(&mut self, turn: &mut Turn<'_, I>) {
        if self.ledger.unsaved {
            turn.writes.meta = true;
            self.persist(turn);
            return;
        }
        if self.work.staging_used && !self.work.is_staging_needed() {
            self.work.staging_used = false;
            self.work.staged.clear();
            turn.actions.push(Action::ClearStaging);
        }
        if !self.work.nothing_left() {
            if std::mem::take(&mut self.work.news) {
                self.tell_progress(turn);
            }
            return;
        }
        self.work.news = false;
        let told = self.tell_complete(turn);
        if told || !self.work.up_to_date {
            self.work.up_to_date = true;
            turn.report(Report::UpToDate);
        }
    }
}
