//! The ring of one fileset: events in, one at a time, and actions out to the hands.
//!
//! One thread per fileset turns it, because the machine is entered by one caller at a time and because the store
//! answers without waiting. Whatever takes time is done by others, who come back with an [`Input`].

use super::fetch::Fetcher;
use super::hands::{Hands, Job};
use super::links::Outbox;
use super::state::{Numbers, PROBLEMS_MAX, State};
use shoal_protocol::id::DeviceId;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{
    Action, BatchId, Command, Config, Event, Halt, Index, IndexError, Machine, Message, Now,
    Report, Scan, Scope,
};
use shoal_store::{FilesetIndex, StoreError};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Inputs that wait; whoever brings more waits too.
const INPUTS_WAITING: usize = 256;
/// How often everything is looked at, whatever the watcher said.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);
/// The same where not all of it is watched.
const LOOK_EVERY_UNWATCHED: Duration = Duration::from_secs(60);
/// How long a file that changed while it was read is left alone.
const CHANGING_PAUSE: Duration = Duration::from_secs(2);
/// How often people see new numbers.
const REFRESH_EVERY: Duration = Duration::from_millis(500);
/// Conflicts that are counted.
const CONFLICTS_COUNTED: usize = 10_000;

/// What comes to the ring.
pub(super) enum Input {
    /// For the machine.
    Event(Event),
    /// A peer can be talked to.
    Linked(DeviceId, Outbox),
    /// A peer said something, in the conversation with this number.
    Said(DeviceId, u64, Message),
    /// This conversation is over; a newer one may have begun already.
    Unlinked(DeviceId, u64),
    /// Something changed in these folders; none means that nobody knows where.
    Dirty(Option<Vec<Option<RelPath>>>),
    /// So many folders are not watched.
    Unwatched(String),
    /// The look is over, with this as its last event; these folders are to be looked at once more in a while.
    Looked(Scan, BTreeSet<Option<RelPath>>),
    /// The store cannot be read or written.
    Broken(String),
}

/// Why a ring stopped turning.
#[derive(Debug, thiserror::Error)]
pub(super) enum RingError {
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store, as another thread saw it.
    #[error("{0}")]
    Broken(String),
}

/// How a ring ended when nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was told to.
    Stopped,
    /// Something is wrong with the root, which is to be opened anew.
    Root,
}

/// What a ring is made of.
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) index: FilesetIndex,
    pub(super) hands: Hands,
    pub(super) fetcher: Fetcher,
    pub(super) state: Arc<State>,
}

/// The channel to a ring.
pub(super) fn channel() -> (mpsc::Sender<Input>, mpsc::Receiver<Input>) {
    mpsc::channel(INPUTS_WAITING)
}

/// One fileset on one device.
pub(super) struct Ring {
    machine: Machine,
    index: FilesetIndex,
    hands: Hands,
    fetcher: Fetcher,
    state: Arc<State>,
    peers: HashMap<DeviceId, Outbox>,
    looks: Looks,
    inputs: mpsc::Sender<Input>,
    started: Instant,
    refreshed: Instant,
    stale: bool,
    up_to_date: bool,
    root_lost: bool,
}

/// Looks that are to be done, one at a time.
struct Looks {
    running: bool,
    everything: bool,
    folders: BTreeSet<Option<RelPath>>,
    /// Folders where something changed while it was read, and when they are looked at again.
    changing: BTreeSet<Option<RelPath>>,
    changing_at: Option<Instant>,
    every: Duration,
    next: Instant,
}

impl Ring {
    /// A ring that goes on from what the index holds.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub(super) fn new(parts: Parts, inputs: mpsc::Sender<Input>) -> Result<Self, RingError> {
        let now = Instant::now();
        Ok(Self {
            machine: Machine::new(parts.config, &parts.index)?,
            index: parts.index,
            hands: parts.hands,
            fetcher: parts.fetcher,
            state: parts.state,
            peers: HashMap::new(),
            looks: Looks {
                running: false,
                everything: true,
                folders: BTreeSet::new(),
                changing: BTreeSet::new(),
                changing_at: None,
                every: LOOK_EVERY,
                next: now + LOOK_EVERY,
            },
            inputs,
            started: now,
            refreshed: now,
            stale: true,
            up_to_date: false,
            root_lost: false,
        })
    }

    /// Turns until the inputs end, the root is lost, or the store fails.
    pub(super) async fn run(
        mut self,
        mut inputs: mpsc::Receiver<Input>,
        mut stop: tokio::sync::oneshot::Receiver<()>,
    ) -> Result<Ended, RingError> {
        self.look()?;
        self.refresh()?;
        loop {
            let tick = self.tick_at();
            let refresh = self.refreshed + REFRESH_EVERY;
            let input = tokio::select! {
                biased;
                _ = &mut stop => return Ok(Ended::Stopped),
                input = inputs.recv() => input,
                () = sleep_until(tick.unwrap_or(refresh)), if tick.is_some() => Some(Input::Event(Event::Tick)),
                () = sleep_until(refresh), if self.stale => {
                    self.refresh()?;
                    continue;
                }
                () = sleep_until(self.looks.due()) => {
                    self.looks.come_due();
                    self.look()?;
                    continue;
                }
            };
            let Some(input) = input else {
                return Ok(Ended::Stopped);
            };
            self.take(input)?;
            if self.root_lost {
                return Ok(Ended::Root);
            }
            if self.stale && (self.refreshed.elapsed() >= REFRESH_EVERY || self.has_become_quiet())
            {
                self.refresh()?;
            }
        }
    }

    fn take(&mut self, input: Input) -> Result<(), RingError> {
        self.stale = true;
        match input {
            Input::Event(event) => self.turn(event)?,
            Input::Linked(peer, outbox) => {
                if let Some(older) = self.peers.insert(peer, outbox) {
                    older.close();
                    self.turn(Event::PeerGone(peer))?;
                }
                self.state.peers(self.peers.keys());
                self.turn(Event::PeerConnected(peer))?;
            }
            Input::Said(peer, number, message) => {
                if self.is_current(&peer, number) {
                    self.turn(Event::Received { peer, message })?;
                }
            }
            Input::Unlinked(peer, number) => {
                if self.is_current(&peer, number) {
                    self.peers.remove(&peer);
                    self.state.peers(self.peers.keys());
                    self.turn(Event::PeerGone(peer))?;
                }
            }
            Input::Dirty(None) => self.looks.everything = true,
            Input::Dirty(Some(folders)) => self.looks.folders.extend(folders),
            Input::Unwatched(what) => {
                self.state.watching(Some(what));
                self.looks.every = LOOK_EVERY_UNWATCHED;
                self.looks.next = Instant::now() + LOOK_EVERY_UNWATCHED;
            }
            Input::Looked(last, again) => {
                self.looks.running = false;
                self.looks.changing.extend(again);
                if !self.looks.changing.is_empty() {
                    self.looks.changing_at = Some(Instant::now() + CHANGING_PAUSE);
                }
                self.turn(Event::Scan(last))?;
            }
            Input::Broken(what) => return Err(RingError::Broken(what)),
        }
        self.look()
    }

    fn is_current(&self, peer: &DeviceId, number: u64) -> bool {
        self.peers.get(peer).is_some_and(|it| it.number == number)
    }

    fn turn(&mut self, event: Event) -> Result<(), RingError> {
        let actions = self.machine.handle(self.now(), event, &self.index)?;
        for action in actions {
            self.perform(action)?;
        }
        Ok(())
    }

    fn perform(&mut self, action: Action) -> Result<(), RingError> {
        match action {
            Action::Persist(batch) => {
                let inputs = self.inputs.clone();
                self.index
                    .persist(&batch, move |durable: Result<BatchId, StoreError>| {
                        let input = match durable {
                            Ok(id) => Input::Event(Event::Persisted(id)),
                            Err(error) => Input::Broken(error.to_string()),
                        };
                        // A ring that ended needs no answer.
                        let _ = inputs.blocking_send(input);
                    })?;
            }
            Action::Send { peer, message } => {
                if let Some(outbox) = self.peers.get(&peer) {
                    outbox.send(&message);
                }
            }
            Action::Disconnect { peer, why } => {
                if let Some(outbox) = self.peers.get(&peer) {
                    tracing::warn!(%peer, why, "a device is not talked to any more");
                    outbox.close();
                }
            }
            Action::Fetch {
                content,
                size_bytes,
                from,
            } => self.fetcher.want(content, size_bytes, from),
            Action::Unstage(content) => {
                self.fetcher.forget(content);
                self.hands.give(Job::Unstage(content));
            }
            Action::ClearStaging => self.hands.give(Job::ClearStaging(self.fetcher.begun())),
            Action::Apply(ops) => self.hands.give(Job::Apply(ops)),
            Action::Look {
                scope: Scope::Everything,
                ..
            } => self.looks.everything = true,
            Action::Look { folders, .. } => self.looks.folders.extend(folders),
            Action::Report(report) => {
                if let Report::Halted(Halt::Root(_)) = report {
                    self.root_lost = true;
                }
                if report == Report::UpToDate && self.fetcher.forget_left() {
                    self.hands.give(Job::ClearStaging(self.fetcher.begun()));
                }
                self.state.report(report);
            }
        }
        Ok(())
    }

    /// Begins the next look, if one is due and none runs.
    fn look(&mut self) -> Result<(), RingError> {
        let none = !self.looks.everything && self.looks.folders.is_empty();
        if self.looks.running || none {
            return Ok(());
        }
        self.looks.running = true;
        let folders: Vec<_> = std::mem::take(&mut self.looks.folders)
            .into_iter()
            .collect();
        let (scope, job) = if std::mem::take(&mut self.looks.everything) {
            self.looks.next = Instant::now() + self.looks.every;
            (Scope::Everything, Job::LookAtEverything)
        } else {
            (Scope::Folders, Job::LookAt(folders))
        };
        self.turn(Event::Scan(Scan::Started(scope)))?;
        self.hands.give(job);
        Ok(())
    }

    fn refresh(&mut self) -> Result<(), RingError> {
        self.stale = false;
        self.refreshed = Instant::now();
        let up_to_date = self.machine.is_up_to_date();
        self.up_to_date = up_to_date;
        let numbers = Numbers {
            here: self.index.applied_count()?,
            known: self.index.live_count()?,
            conflicts: self.index.conflicts(CONFLICTS_COUNTED)?.len() as u64,
            up_to_date,
        };
        if up_to_date && numbers.here == numbers.known {
            for content in self.fetcher.take_begun() {
                self.hands.give(Job::Unstage(content));
            }
        }
        self.state
            .refresh(numbers, self.machine.problems(PROBLEMS_MAX));
        // The rate falls to nothing only by being measured again.
        self.stale = !up_to_date && self.machine.halted().is_none();
        Ok(())
    }

    /// Whether all is done since people last saw that something was under way.
    fn has_become_quiet(&self) -> bool {
        !self.up_to_date && self.machine.is_up_to_date()
    }

    fn tick_at(&self) -> Option<Instant> {
        let at = Duration::from_millis(self.machine.next_tick()?);
        Some(self.started + at)
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Now {
            monotonic_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            wall_ns: wall.map_or(0, |since| {
                i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
            }),
        }
    }
}

impl Looks {
    /// When a look is due by itself.
    fn due(&self) -> Instant {
        self.changing_at.map_or(self.next, |at| at.min(self.next))
    }

    fn come_due(&mut self) {
        let now = Instant::now();
        if self.changing_at.is_some_and(|at| at <= now) {
            self.changing_at = None;
            self.folders.append(&mut self.changing);
        }
        if self.next <= now {
            self.next = now + self.every;
            self.everything = true;
        }
    }
}

impl Ring {
    /// Commands that are said again at every start: what of removed devices is accepted.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub(super) fn command(&mut self, command: Command) -> Result<(), RingError> {
        self.turn(Event::Command(command))
    }
}
