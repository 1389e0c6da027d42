//! The hands of one fileset: a thread that looks at the disk and changes it, one job after the other.

use super::ring::Input;
use super::state::State;
use shoal_disk::replica::{ApplyOptions, Look, ProblemKind, Replica, ScanError, ScanOptions, Told};
use shoal_protocol::id::ContentHash;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{Event, Failure, Op, Outcome, RootProblem, Scan};
use shoal_store::FilesetIndex;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// Threads that hash during a look.
const HASHING_THREADS_MAX: usize = 4;

/// Operations that are carried out in one go, about: each may have a file open.
const APPLIED_AT_ONCE: usize = 512;

/// Something to do.
pub(super) enum Job {
    /// Look at the whole tree.
    LookAtEverything,
    /// Look at some folders.
    LookAt(Vec<Option<RelPath>>),
    /// Change the tree.
    Apply(Vec<Op>),
    /// A content is not wanted any more.
    Unstage(ContentHash),
    /// Nothing in staging is wanted any more but these.
    ClearStaging(HashSet<ContentHash>),
}

/// Gives jobs to the thread. How many wait is bounded by what the machine has under way at once.
#[derive(Clone)]
pub(super) struct Hands(Sender<Job>);

/// What the thread works with.
pub(super) struct Workplace {
    pub(super) replica: Replica,
    pub(super) index: FilesetIndex,
    pub(super) state: Arc<State>,
    pub(super) floor_bytes: u64,
    pub(super) ended: Arc<AtomicBool>,
    pub(super) inputs: mpsc::Sender<Input>,
}

impl Hands {
    /// Starts the thread; it ends when all `Hands` are dropped, after what it is doing.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(workplace: Workplace) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (sender, jobs) = channel();
        let thread = std::thread::Builder::new()
            .name("fileset-hands".into())
            .spawn(move || workplace.work(&jobs))?;
        Ok((Self(sender), thread))
    }

    /// Adds a job.
    pub(super) fn give(&self, job: Job) {
        // The thread ends only after the ring.
        let _ = self.0.send(job);
    }
}

impl Workplace {
    fn work(&self, jobs: &Receiver<Job>) {
        let mut next = None;
        while let Some(job) = next.take().or_else(|| jobs.recv().ok()) {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            match job {
                Job::LookAtEverything => self.look(Look::Everything),
                Job::LookAt(folders) => self.look(Look::Folders(&folders)),
                Job::Apply(mut ops) => {
                    // Each call waits for the disk once: what came meanwhile goes along. No operation that is given out
                    // needs what another one that is under way does.
                    while ops.len() < APPLIED_AT_ONCE
                        && let Ok(job) = jobs.try_recv()
                    {
                        match job {
                            Job::Apply(more) => ops.extend(more),
                            other => {
                                next = Some(other);
                                break;
                            }
                        }
                    }
                    self.apply(&ops);
                }
                Job::Unstage(content) => {
                    if let Err(error) = self.replica.unstage(&content) {
                        tracing::debug!(%error, "staging keeps a content that is not wanted");
                    }
                }
                Job::ClearStaging(but) => {
                    if let Err(error) = self.replica.sweep(&|content| but.contains(content)) {
                        tracing::debug!(%error, "staging could not be cleared");
                    }
                }
            }
        }
    }

    fn look(&self, look: Look<'_>) {
        self.state.looks_at(match look {
            Look::Everything => None,
            Look::Folders(folders) => Some(folders),
        });
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let options = ScanOptions {
            threads: threads.min(HASHING_THREADS_MAX),
            progress: self.state.hashed(),
            cancel: &self.ended,
        };
        let mut again = BTreeSet::new();
        let mut tell = |told| match told {
            Told::Page(page) => self.tell(Input::Event(Event::Scan(Scan::Page(page)))),
            Told::Problem(problem) => {
                if matches!(problem.kind, ProblemKind::Changing) {
                    again.insert(folder_of(&problem.path));
                }
                self.state.leaves_out(&problem);
            }
        };
        let last = match self.replica.scan(look, &self.index, &options, &mut tell) {
            Ok(_) => Scan::Finished,
            Err(ScanError::Root(problem)) => Scan::Failed(problem.kind()),
            Err(ScanError::Cancelled) => return,
            Err(ScanError::Index(error)) => {
                self.tell(Input::Broken(error.0));
                Scan::Failed(RootProblem::Missing)
            }
        };
        self.state.looked();
        self.tell(Input::Looked(last, again));
    }

    fn apply(&self, ops: &[Op]) {
        let options = ApplyOptions {
            floor_bytes: self.floor_bytes,
            faults: &(),
            report: &|path, what| self.state.detail(path, what),
        };
        let outcomes = self.replica.apply(ops, &options);
        let (outcomes, root) = match outcomes {
            Ok(outcomes) => (outcomes, Ok(())),
            Err(problem) => {
                let failed = Outcome::Failed(Failure::Io);
                (ops.iter().map(|op| (op.id, failed)).collect(), Err(problem))
            }
        };
        self.tell(Input::Event(Event::Applied(outcomes)));
        if root.is_err() {
            // A look says what is wrong with the root.
            self.tell(Input::Dirty(None));
        }
    }

    /// A ring that ended needs no answer.
    fn tell(&self, input: Input) {
        let _ = self.inputs.blocking_send(input);
    }
}

/// The folder of a path that may be no proper path; the root where it is none.
fn folder_of(path: &[u8]) -> Option<RelPath> {
    let path = std::str::from_utf8(path).ok()?;
    RelPath::new(path.rsplit_once('/')?.0).ok()
}
