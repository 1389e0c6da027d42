//! Pages that wait for the hashes of their files, and leave in the order in which they were begun.

use super::content::{Answer, Hashed};
use super::scan::Told;
use crate::entry::{Problem, ProblemKind};
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{Found, FoundKind, Page};
use std::collections::VecDeque;

/// Pages in their order.
#[derive(Debug, Default)]
pub(super) struct Pages {
    queue: VecDeque<Pending>,
    /// Number of the first page in the queue.
    first: u64,
    names: usize,
}

#[derive(Debug)]
struct Pending {
    page: Page,
    /// Found, except that files without a hash and files that went are none.
    slots: Vec<Option<Found>>,
    missing: usize,
    problems: Vec<Problem>,
}

impl Pages {
    /// Number that the next page will have.
    pub(super) fn next_number(&self) -> u64 {
        self.first + self.queue.len() as u64
    }

    /// Names in pages that wait.
    pub(super) fn names(&self) -> usize {
        self.names
    }

    /// Takes a page; `slots` without a value wait for their hash.
    pub(super) fn push(&mut self, page: Page, slots: Vec<Option<Found>>, problems: Vec<Problem>) {
        self.names += slots.len();
        let missing = slots.iter().filter(|slot| slot.is_none()).count();
        self.queue.push_back(Pending {
            page,
            slots,
            missing,
            problems,
        });
    }

    /// Puts an answer where it belongs.
    pub(super) fn answer(&mut self, hashed: Hashed) {
        let Hashed { job, answer } = hashed;
        let place = usize::try_from(job.page.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let Some(pending) = self.queue.get_mut(place) else {
            return;
        };
        pending.missing = pending.missing.saturating_sub(1);
        let found = match answer {
            Answer::Gone => None,
            Answer::Content(stamp, content) => Some(Found {
                name: job.path.name().to_owned(),
                kind: FoundKind::File { content },
                stamp,
            }),
            Answer::Problem(kind) => {
                pending.problems.push(problem(&job.path, kind));
                Some(Found {
                    name: job.path.name().to_owned(),
                    kind: FoundKind::Unknown,
                    stamp: Default::default(),
                })
            }
        };
        if let Some(slot) = pending.slots.get_mut(job.index) {
            *slot = found;
        }
    }

    /// Whether the first page waits for nothing.
    pub(super) fn is_ready(&self) -> bool {
        self.queue
            .front()
            .is_some_and(|pending| pending.missing == 0)
    }

    /// Tells all pages that wait for nothing, up to the first that does.
    pub(super) fn deliver(&mut self, tell: &mut dyn FnMut(Told)) {
        while self.is_ready() {
            let Some(mut pending) = self.queue.pop_front() else {
                return;
            };
            self.first += 1;
            self.names = self.names.saturating_sub(pending.slots.len());
            pending.page.found = pending.slots.into_iter().flatten().collect();
            for problem in pending.problems {
                tell(Told::Problem(problem));
            }
            tell(Told::Page(pending.page));
        }
    }
}

pub(super) fn problem(path: &RelPath, kind: ProblemKind) -> Problem {
    Problem {
        path: path.as_str().as_bytes().to_vec(),
        kind,
    }
}
