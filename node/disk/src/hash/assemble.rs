//! Joins what the threads hashed: groups to files and outboards, in order, whoever is first.

use super::plan::Plan;
use super::{GROUP_BYTES, HashError, Hashed, HashedFile, Outboard, outboard_len_bytes};
use blake3::hazmat::{ChainingValue, Mode, merge_subtrees_non_root, merge_subtrees_root};
use shoal_protocol::id::ContentHash;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Outboards are written in blocks of about this many bytes.
const WRITE_BYTES: usize = 64 * 1024;

/// What was hashed of one unit.
#[derive(Default)]
pub(super) struct UnitHashes {
    /// SHA-1 of its pieces.
    pub(super) pieces: Vec<u8>,
    /// Its files in order, with how many of `groups` are theirs.
    pub(super) runs: Vec<Run>,
    /// Chaining values of groups; of a file of one group, its hash.
    pub(super) groups: Vec<ChainingValue>,
}

/// Consecutive groups of one file.
pub(super) struct Run {
    pub(super) file: usize,
    pub(super) groups: usize,
}

/// Shared by the threads: hands out units and takes their hashes.
pub(super) struct Assembly<'a> {
    state: Mutex<State<'a>>,
    moved_on: Condvar,
    units: usize,
    window_units: usize,
}

struct State<'a> {
    /// The next unit to be handed out.
    next: usize,
    /// The next unit to be joined; those after it wait in `early`.
    joined: usize,
    early: BTreeMap<usize, UnitHashes>,
    joiner: Joiner<'a>,
    failed: Option<HashError>,
}

impl<'a> Assembly<'a> {
    pub(super) fn new(plan: &'a Plan, outboards: &'a mut (dyn Write + Send)) -> Self {
        let joiner = Joiner {
            plan,
            outboards,
            unwritten: Vec::new(),
            written_bytes: 0,
            pieces: Vec::new(),
            files: Vec::with_capacity(plan.files().len()),
            current: Tower::default(),
        };
        let state = State {
            next: 0,
            joined: 0,
            early: BTreeMap::new(),
            joiner,
            failed: None,
        };
        Self {
            state: Mutex::new(state),
            moved_on: Condvar::new(),
            units: plan.units(),
            window_units: plan.window_units(),
        }
    }

    /// The next unit to hash; nothing when all are taken or something failed. Waits for the slowest
    /// thread when it is far behind, so that memory stays bounded.
    pub(super) fn next_unit(&self) -> Option<usize> {
        let mut state = self.lock();
        while state.failed.is_none()
            && state.next < self.units
            && state.next >= state.joined + self.window_units
        {
            state = self
                .moved_on
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.failed.is_some() || state.next >= self.units {
            return None;
        }
        state.next += 1;
        Some(state.next - 1)
    }

    pub(super) fn deliver(&self, unit: usize, hashes: UnitHashes) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.early.insert(unit, hashes);
        while let Some(hashes) = state.early.remove(&state.joined) {
            state.joined += 1;
            if let Err(error) = state.joiner.join(&hashes)
                && state.failed.is_none()
            {
                state.failed = Some(error);
            }
        }
        drop(guard);
        self.moved_on.notify_all();
    }

    /// Keeps the first failure and stops all threads.
    pub(super) fn fail(&self, error: HashError) {
        self.lock().failed.get_or_insert(error);
        self.moved_on.notify_all();
    }

    pub(super) fn finish(self) -> Result<Hashed, HashError> {
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match state.failed {
            Some(error) => Err(error),
            None => state.joiner.finish(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes units in order.
struct Joiner<'a> {
    plan: &'a Plan,
    outboards: &'a mut (dyn Write + Send),
    unwritten: Vec<u8>,
    written_bytes: u64,
    pieces: Vec<u8>,
    files: Vec<HashedFile>,
    current: Tower,
}

impl Joiner<'_> {
    fn join(&mut self, hashes: &UnitHashes) -> Result<(), HashError> {
        self.pieces.extend_from_slice(&hashes.pieces);
        let mut groups = hashes.groups.as_slice();
        for run in &hashes.runs {
            let (own, rest) = groups.split_at(run.groups.min(groups.len()));
            groups = rest;
            let Some(file) = self.plan.files().get(run.file) else {
                continue;
            };
            let count = file.size.div_ceil(GROUP_BYTES);
            if self.current.height == 0 && count > 1 {
                self.current.offset = self.written_bytes + self.unwritten.len() as u64;
            }
            for group in own {
                self.current.push(*group, count, &mut self.unwritten);
            }
            if self.unwritten.len() >= WRITE_BYTES {
                self.write()?;
            }
            // A file that goes on in the next unit, or whose last group began in the one before.
            if self.current.height < count || self.files.len() > run.file {
                continue;
            }
            let tower = std::mem::take(&mut self.current);
            let content = tower
                .stack
                .first()
                .copied()
                .unwrap_or_else(|| *blake3::hash(b"").as_bytes());
            let outboard = (count > 1).then(|| Outboard {
                offset: tower.offset,
                len_bytes: outboard_len_bytes(file.size),
            });
            self.files.push(HashedFile {
                entry: file.entry,
                content: ContentHash(content),
                outboard,
            });
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), HashError> {
        self.outboards
            .write_all(&self.unwritten)
            .map_err(HashError::Outboards)?;
        self.written_bytes += self.unwritten.len() as u64;
        self.unwritten.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Hashed, HashError> {
        self.write()?;
        self.outboards.flush().map_err(HashError::Outboards)?;
        Ok(Hashed {
            files: self.files,
            pieces: self.pieces,
            total_bytes: self.plan.total_bytes,
            outboard_bytes: self.written_bytes,
        })
    }
}

/// The unfinished BLAKE3 tree of one file: subtrees that grow smaller from left to right.
#[derive(Default)]
struct Tower {
    stack: Vec<ChainingValue>,
    /// Groups taken so far.
    height: u64,
    /// Where the file's outboard begins.
    offset: u64,
}

impl Tower {
    /// Takes the next of `count` groups; pairs that are merged go to `pairs`, which is post-order.
    fn push(&mut self, group: ChainingValue, count: u64, pairs: &mut Vec<u8>) {
        self.stack.push(group);
        self.height += 1;
        // As many merges as 2 divides the number of groups; at the end all that is left, the last as root.
        let mut merges = if self.height == count {
            u32::MAX
        } else {
            self.height.trailing_zeros()
        };
        while merges > 0 && self.stack.len() > 1 {
            let (Some(right), Some(left)) = (self.stack.pop(), self.stack.pop()) else {
                return;
            };
            pairs.extend_from_slice(&left);
            pairs.extend_from_slice(&right);
            let merged = if self.height == count && self.stack.is_empty() {
                *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
            } else {
                merge_subtrees_non_root(&left, &right, Mode::Hash)
            };
            self.stack.push(merged);
            merges -= 1;
        }
    }
}
