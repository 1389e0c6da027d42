//! What people see of one fileset.

use super::words;
use crate::group::Members;
use crate::service::Records;
use shoal_api::{Event, FilesetProblem, FilesetState, FilesetView};
use shoal_disk::Counters;
use shoal_disk::replica::Problem;
use shoal_protocol::display::{escape, escape_os};
use shoal_protocol::id::{DeviceId, FilesetId};
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{self, Report};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Problems that are shown.
pub(super) const PROBLEMS_MAX: usize = 300;
/// Share of the newest second in the rate that is shown.
const RATE_WEIGHT: f64 = 0.4;

/// What is known of one fileset at the moment.
pub(super) struct State {
    id: FilesetId,
    name: String,
    root: PathBuf,
    records: Records,
    members: Members,
    hashed: Counters,
    sent: AtomicU64,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    stage: Stage,
    scanning: bool,
    numbers: Numbers,
    /// Said by the machine, which tries again.
    problems: BTreeMap<RelPath, sync::Problem>,
    /// What the last looks left out, by the path as it is shown.
    left_out: BTreeMap<String, LeftOut>,
    /// More to say of a path: what the system said.
    details: BTreeMap<String, String>,
    watching: Option<String>,
    peers: BTreeSet<DeviceId>,
    keepers: BTreeSet<DeviceId>,
    received: u64,
    wanted: (u64, u64),
    meter: Meter,
    told: Option<FilesetView>,
}

struct LeftOut {
    folder: Option<String>,
    what: String,
}

/// Whether it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Stage {
    /// It is being opened.
    #[default]
    Opening,
    /// It goes on.
    Going,
    /// Somebody paused it.
    Paused,
    /// It stands still until a person, or a disk that comes back, says more: what and the next step.
    Halted(String, String),
    /// It cannot go on: what and the next step.
    Failed(String, String),
}

/// Counted by the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Numbers {
    pub(super) here: u64,
    pub(super) known: u64,
    pub(super) conflicts: u64,
    pub(super) up_to_date: bool,
}

#[derive(Default)]
struct Meter {
    arrived: u64,
    counted: u64,
    since: Option<Instant>,
    rate: f64,
}

impl State {
    pub(super) fn new(
        id: FilesetId,
        name: String,
        root: PathBuf,
        records: Records,
        members: Members,
    ) -> Self {
        Self {
            id,
            name,
            root,
            records,
            members,
            hashed: Counters::default(),
            sent: AtomicU64::new(0),
            shown: Mutex::default(),
        }
    }

    /// Counts what is hashed.
    pub(super) fn hashed(&self) -> &Counters {
        &self.hashed
    }

    pub(super) fn stage(&self, stage: Stage) {
        self.shown().stage = stage;
        self.tell();
    }

    pub(super) fn is_halted(&self) -> bool {
        matches!(self.shown().stage, Stage::Halted(..))
    }

    /// The ring does not turn any more: nobody is talked to, and nothing is on its way.
    pub(super) fn rests(&self) {
        let mut shown = self.shown();
        shown.peers.clear();
        shown.wanted = (0, 0);
        shown.watching = None;
        shown.scanning = false;
        shown.meter = Meter::default();
        drop(shown);
        self.tell();
    }

    /// A look begins at these folders, or at everything: what was left out there is found again if it is still so.
    pub(super) fn looks_at(&self, folders: Option<&[Option<RelPath>]>) {
        let mut shown = self.shown();
        match folders {
            None => {
                shown.left_out.clear();
                shown.scanning = true;
            }
            Some(folders) => {
                let folders: BTreeSet<Option<&str>> = folders
                    .iter()
                    .map(|folder| folder.as_ref().map(RelPath::as_str))
                    .collect();
                shown
                    .left_out
                    .retain(|_, left| !folders.contains(&left.folder.as_deref()));
            }
        }
        drop(shown);
        if folders.is_none() {
            self.tell();
        }
    }

    pub(super) fn looked(&self) {
        self.shown().scanning = false;
    }

    /// A path that a look leaves out.
    pub(super) fn leaves_out(&self, problem: &Problem) {
        let path = escape_os(&problem.path).into_owned();
        let what = words::left_out(&problem.kind);
        let inner = String::from_utf8_lossy(&problem.path);
        let folder = inner.rsplit_once('/').map(|(folder, _)| folder.to_owned());
        let mut shown = self.shown();
        let known = shown.left_out.get(&path).is_some_and(|it| it.what == what);
        if !known && shown.left_out.len() < PROBLEMS_MAX {
            let left = LeftOut {
                folder,
                what: what.clone(),
            };
            shown.left_out.insert(path.clone(), left);
            drop(shown);
            self.tell_problem(&path, what);
        }
    }

    /// What the system said of a path.
    pub(super) fn detail(&self, path: &str, what: &str) {
        tracing::info!(fileset = %self.name, path = %escape(path), what, "a path of a fileset could not be changed");
        let mut shown = self.shown();
        if shown.details.len() < PROBLEMS_MAX {
            shown.details.insert(path.to_owned(), what.to_owned());
        }
    }

    /// That not everything is watched, or nothing.
    pub(super) fn watching(&self, what: Option<String>) {
        self.shown().watching = what;
    }

    pub(super) fn peers<'a>(&self, peers: impl Iterator<Item = &'a DeviceId>) {
        self.shown().peers = peers.copied().collect();
    }

    pub(super) fn wants(&self, files: u64, bytes: u64) {
        let mut shown = self.shown();
        shown.wanted.0 += files;
        shown.wanted.1 += bytes;
    }

    pub(super) fn wants_no_more(&self, files: u64, bytes: u64) {
        let mut shown = self.shown();
        shown.wanted.0 = shown.wanted.0.saturating_sub(files);
        shown.wanted.1 = shown.wanted.1.saturating_sub(bytes);
    }

    /// Bytes of what is wanted, come or not.
    pub(super) fn wanted_bytes(&self) -> u64 {
        self.shown().wanted.1
    }

    pub(super) fn arrived(&self, bytes: u64) {
        let mut shown = self.shown();
        shown.meter.arrived += bytes;
        shown.received += bytes;
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Who else keeps it.
    pub(super) fn kept_by(&self, devices: BTreeSet<DeviceId>) {
        let mut shown = self.shown();
        let differs = shown.keepers != devices;
        shown.keepers = devices;
        drop(shown);
        if differs {
            self.tell();
        }
    }

    /// What the machine says.
    pub(super) fn report(&self, report: Report) {
        match report {
            Report::Conflict { path, copy } => self.records.tell(Event::Conflict {
                id: self.id.to_hex(),
                name: self.name.clone(),
                path: self.absolute(&path),
                copy: self.absolute(&copy),
            }),
            Report::Problem { path, problem } => {
                let what = self.explain(&path, problem);
                self.tell_problem(path.as_str(), what);
            }
            Report::Halted(halt) => {
                let (what, next) = words::halted(&halt, &self.name, &self.root);
                tracing::warn!(fileset = %self.name, "{what}");
                self.stage(Stage::Halted(what, next));
            }
            Report::Resumed => self.stage(Stage::Going),
            Report::Quarantined(dot) => {
                let device = dot.author.device;
                tracing::warn!(fileset = %self.name, %device, "changes of a removed device are not taken");
            }
            Report::NewEpoch(epoch) => {
                tracing::warn!(fileset = %self.name, epoch, "this home was restored from a backup; it goes on as a new author");
            }
            Report::UpToDate => self.shown().details.clear(),
        }
    }

    /// Takes numbers and problems of the machine in, and tells whoever listens when something is different.
    pub(super) fn refresh(&self, numbers: Numbers, problems: Vec<(RelPath, sync::Problem)>) {
        let mut shown = self.shown();
        shown.numbers = numbers;
        shown.problems = problems.into_iter().collect();
        shown.meter.measure();
        drop(shown);
        self.tell();
    }

    /// How it stands.
    pub(super) fn view(&self) -> FilesetView {
        let shown = self.shown();
        let (state, why, hint) = shown.state();
        let left_bytes = shown.wanted.1;
        let rate = shown.meter.rate as u64;
        let numbers = shown.numbers;
        let said = shown
            .problems
            .iter()
            .map(|(path, problem)| (path.as_str(), self.explain_in(&shown, path, *problem)));
        let left = shown
            .left_out
            .iter()
            .map(|(path, left)| (path.as_str(), left.what.clone()));
        FilesetView {
            id: self.id.to_hex(),
            name: self.name.clone(),
            path: Some(self.root.to_string_lossy().into_owned()),
            state,
            files: numbers.here,
            missing: numbers.known.saturating_sub(numbers.here),
            bytes_wanted: left_bytes,
            rate_bytes_per_s: rate,
            received_bytes: shown.received,
            sent_bytes: self.sent.load(Ordering::Relaxed),
            left_s: left_bytes
                .checked_div(rate)
                .filter(|_| left_bytes > 0 && rate > 0),
            kept_by: self.names(&shown.keepers),
            connected: self.names(&shown.peers),
            conflicts: numbers.conflicts,
            why: why.or_else(|| shown.watching.clone()),
            hint,
            problems: said
                .chain(left)
                .take(PROBLEMS_MAX)
                .map(|(path, what)| FilesetProblem {
                    path: escape(path).into_owned(),
                    what,
                })
                .collect(),
        }
    }

    fn names(&self, devices: &BTreeSet<DeviceId>) -> Vec<String> {
        let names = devices.iter().map(|device| self.members.name_of(device));
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    fn tell(&self) {
        let view = self.view();
        let mut shown = self.shown();
        if shown.told.as_ref() != Some(&view) {
            shown.told = Some(view.clone());
            drop(shown);
            self.records.tell(Event::Fileset(Box::new(view)));
        }
    }

    fn tell_problem(&self, path: &str, what: String) {
        self.records.tell(Event::FilesetProblem {
            id: self.id.to_hex(),
            name: self.name.clone(),
            path: escape(path).into_owned(),
            what,
        });
    }

    fn explain(&self, path: &RelPath, problem: sync::Problem) -> String {
        self.explain_in(&self.shown(), path, problem)
    }

    fn explain_in(&self, shown: &Shown, path: &RelPath, problem: sync::Problem) -> String {
        let general = words::problem(problem);
        match shown.details.get(path.as_str()) {
            Some(detail) => format!("{general} ({detail})"),
            None => general.to_owned(),
        }
    }

    fn absolute(&self, path: &RelPath) -> String {
        let path = self.root.join(path.as_str());
        escape(&path.to_string_lossy()).into_owned()
    }

    /// A panic while the lock was held left nothing that matters half-changed.
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
    fn state(&self) -> (FilesetState, Option<String>, Option<String>) {
        let both = |what: &String, next: &String| (Some(what.clone()), Some(next.clone()));
        let (state, (why, hint)) = match &self.stage {
            Stage::Opening => (FilesetState::Scanning, (None, None)),
            Stage::Paused => (FilesetState::Paused, (None, None)),
            Stage::Halted(what, next) => (FilesetState::Halted, both(what, next)),
            Stage::Failed(what, next) => (FilesetState::Failed, both(what, next)),
            Stage::Going if self.scanning => (FilesetState::Scanning, (None, None)),
            Stage::Going if self.numbers.up_to_date => (FilesetState::UpToDate, (None, None)),
            Stage::Going => (FilesetState::Syncing, (None, None)),
        };
        (state, why, hint)
    }
}

impl Meter {
    fn measure(&mut self) {
        let now = Instant::now();
        let Some(since) = self.since else {
            self.since = Some(now);
            return;
        };
        let seconds = (now - since).as_secs_f64();
        if seconds < 0.2 {
            return;
        }
        let rate = (self.arrived - self.counted) as f64 / seconds;
        self.rate = match rate {
            0.0 => 0.0,
            rate if self.rate == 0.0 => rate,
            rate => self.rate * (1.0 - RATE_WEIGHT) + rate * RATE_WEIGHT,
        };
        self.counted = self.arrived;
        self.since = Some(now);
    }
}
