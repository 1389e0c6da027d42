//! What is there of each file, in memory. The journal is the same on disk.

use super::Way;
use super::layout::Layout;
use super::ranges::RangeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How far one file is.
#[derive(Debug, Default)]
enum State {
    #[default]
    Missing,
    Part(Box<RangeSet>),
    Complete,
}

#[derive(Debug, Default)]
struct Mark {
    state: State,
    /// Bytes in it were checked by something weaker than BLAKE3: pieces of a torrent, plain HTTP.
    unproven: bool,
    /// Its times are set.
    stamped: bool,
}

/// Which proof stands behind bytes that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// BLAKE3, against the manifest.
    Content,
    /// SHA-1 of a torrent's piece, or none yet.
    Piece,
}

/// What adding bytes did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    /// The file is still incomplete, or was complete before.
    Some,
    /// The file became complete and is proven.
    Completed,
    /// The file became complete and its content has to be hashed.
    CompletedUnproven,
}

/// What is there of all files.
#[derive(Debug)]
pub(crate) struct Marks {
    files: Mutex<Vec<Mark>>,
    sizes: Vec<u64>,
    done_bytes: AtomicU64,
    incomplete: AtomicU64,
    ways: [AtomicU64; 3],
}

impl Marks {
    /// Nothing is there but empty files.
    pub(crate) fn new(layout: &Layout) -> Self {
        let sizes: Vec<u64> = layout.files.iter().map(|file| file.size).collect();
        let mut files = Vec::new();
        files.resize_with(sizes.len(), Mark::default);
        Self {
            files: Mutex::new(files),
            incomplete: AtomicU64::new(sizes.len() as u64),
            sizes,
            done_bytes: AtomicU64::new(0),
            ways: Default::default(),
        }
    }

    /// Bytes `start..end` of a file are there. `way` is `None` for what an earlier run had.
    pub(crate) fn add(
        &self,
        file: u32,
        start: u64,
        end: u64,
        proof: Proof,
        way: Option<Way>,
    ) -> Added {
        let Some(size) = self.sizes.get(file as usize).copied() else {
            return Added::Some;
        };
        let mut files = self.lock();
        let Some(mark) = files.get_mut(file as usize) else {
            return Added::Some;
        };
        let end = end.min(size);
        let (new, complete) = match &mut mark.state {
            State::Complete => return Added::Some,
            State::Missing if start == 0 && end == size => (size, true),
            State::Missing => {
                let mut ranges = RangeSet::default();
                let new = ranges.add(start, end);
                mark.state = State::Part(Box::new(ranges));
                (new, false)
            }
            State::Part(ranges) => {
                let new = ranges.add(start, end);
                (new, ranges.covers(0, size))
            }
        };
        mark.unproven |= proof == Proof::Piece && new > 0;
        self.done_bytes.fetch_add(new, Ordering::Relaxed);
        if let Some(way) = way {
            self.ways[way.index()].fetch_add(new, Ordering::Relaxed);
        }
        if !complete {
            return Added::Some;
        }
        mark.state = State::Complete;
        if mark.unproven {
            return Added::CompletedUnproven;
        }
        self.incomplete.fetch_sub(1, Ordering::AcqRel);
        Added::Completed
    }

    /// The content of a complete file was hashed and is right.
    pub(crate) fn proven(&self, file: u32) {
        if let Some(mark) = self.lock().get_mut(file as usize)
            && mark.unproven
            && matches!(mark.state, State::Complete)
        {
            mark.unproven = false;
            self.incomplete.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The content of a file turned out wrong: nothing of it is there any more.
    pub(crate) fn forget(&self, file: u32) {
        let Some(size) = self.sizes.get(file as usize).copied() else {
            return;
        };
        if let Some(mark) = self.lock().get_mut(file as usize) {
            let had = match &mark.state {
                State::Missing => 0,
                State::Part(ranges) => ranges.total(),
                State::Complete => size,
            };
            if matches!(mark.state, State::Complete) && !mark.unproven {
                self.incomplete.fetch_add(1, Ordering::AcqRel);
            }
            self.done_bytes.fetch_sub(had, Ordering::Relaxed);
            *mark = Mark::default();
        }
    }

    /// The parts of `start..end` of a file that are missing.
    pub(crate) fn missing(&self, file: u32, start: u64, end: u64) -> Vec<(u64, u64)> {
        let Some(size) = self.sizes.get(file as usize).copied() else {
            return Vec::new();
        };
        let end = end.min(size);
        match self.lock().get(file as usize).map(|mark| &mark.state) {
            Some(State::Missing) if start < end => vec![(start, end)],
            Some(State::Part(ranges)) => ranges.missing(start, end).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether all of a file is there, proven or not.
    pub(crate) fn is_complete(&self, file: u32) -> bool {
        self.lock()
            .get(file as usize)
            .is_some_and(|mark| matches!(mark.state, State::Complete))
    }

    /// Files that are complete but not proven.
    pub(crate) fn unproven(&self) -> Vec<u32> {
        let files = self.lock();
        let unproven = (0u32..)
            .zip(files.iter())
            .filter(|(_, mark)| mark.unproven && matches!(mark.state, State::Complete));
        unproven.map(|(file, _)| file).collect()
    }

    /// The ranges that are there of a file, and whether some of them are unproven.
    pub(crate) fn ranges(&self, file: u32) -> (Vec<(u64, u64)>, Proof) {
        let size = self.sizes.get(file as usize).copied().unwrap_or(0);
        let files = self.lock();
        let Some(mark) = files.get(file as usize) else {
            return (Vec::new(), Proof::Content);
        };
        let ranges = match &mark.state {
            State::Missing => Vec::new(),
            State::Part(ranges) => ranges.iter().collect(),
            State::Complete => vec![(0, size)],
        };
        (
            ranges,
            if mark.unproven {
                Proof::Piece
            } else {
                Proof::Content
            },
        )
    }

    /// The times of a file are set.
    pub(crate) fn stamp(&self, file: u32) {
        if let Some(mark) = self.lock().get_mut(file as usize) {
            mark.stamped = true;
        }
    }

    /// Whether the times of a file are set.
    pub(crate) fn is_stamped(&self, file: u32) -> bool {
        self.lock()
            .get(file as usize)
            .is_some_and(|mark| mark.stamped)
    }

    /// Bytes that are there.
    pub(crate) fn done_bytes(&self) -> u64 {
        self.done_bytes.load(Ordering::Relaxed)
    }

    /// Files that are not complete and proven.
    pub(crate) fn incomplete(&self) -> u64 {
        self.incomplete.load(Ordering::Acquire)
    }

    /// New bytes that came by a way.
    pub(crate) fn by_way(&self, way: Way) -> u64 {
        self.ways[way.index()].load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Mark>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
