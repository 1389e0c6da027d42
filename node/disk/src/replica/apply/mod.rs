//! What others changed, put on the disk: whole or not at all, and never over something unknown.
//!
//! A batch goes in this order. Every file is staged in `.shoal/staging` and gets its mode and times there.
//! One `syncfs` (or an `fsync` each, if they are few) makes them durable. Then the operations run in the
//! order given: each path is looked at, and if it is not what was expected, nothing is touched there. A
//! file that replaces another changes places with it (`RENAME_EXCHANGE`), so that the name is never
//! missing, and what came out is looked at once more before it goes: a change in the last microsecond is
//! put back. Then the folders whose names changed are synced, and only then is what was displaced removed.
//! When `apply` returns, what it says is done survives a power cut.
//!
//! Where the file system cannot exchange names, a plain rename replaces the file right after the look.

mod attributes;
mod copy;
mod failure;
mod faults;
mod place;
mod stage;
mod tree;

pub use faults::{Faults, Step};

use super::root::{Replica, RootProblem};
use failure::failure;
use place::Placing;
use shoal_protocol::sync::{Op, OpId, Outcome};
use stage::Staged;

/// How to apply.
#[derive(Clone, Copy)]
pub struct ApplyOptions<'a> {
    /// Bytes that stay free on the disk: below, nothing is written.
    pub floor_bytes: u64,
    /// For tests: what fails.
    pub faults: &'a dyn Faults,
    /// Told of everything that went wrong, in words for people: the path and what the system said.
    pub report: &'a dyn Fn(&str, &str),
}

impl Replica {
    /// Carries out operations in their order and says of each what came of it: `Event::Applied`. A failed one
    /// stops none of the others. Memory grows with the number of operations: batches of a thousand are good.
    ///
    /// A ctime of 0 in a stamp means that somebody else may have been at the file: the next look reads it.
    ///
    /// # Errors
    /// What is wrong with the root; then nothing was done.
    pub fn apply(
        &self,
        ops: &[Op],
        options: &ApplyOptions<'_>,
    ) -> Result<Vec<(OpId, Outcome)>, RootProblem> {
        self.check()?;
        let mut placing = Placing::new(self, options);
        let staged = stage::stage_all(&mut placing, ops);
        let mut outcomes: Vec<(OpId, Outcome)> = Vec::with_capacity(ops.len());
        for (op, staged) in ops.iter().zip(staged) {
            let outcome = match staged {
                Staged::Refused(outcome) => outcome,
                staged => match placing.one(op, staged) {
                    Ok(stamp) => Outcome::Done(stamp),
                    Err(outcome) => outcome,
                },
            };
            outcomes.push((op.id, outcome));
        }
        if let Err(error) = placing.sync_parents() {
            let failure = failure(error);
            (options.report)("", "the folders could not be made durable");
            for (_, outcome) in &mut outcomes {
                if matches!(outcome, Outcome::Done(_)) {
                    *outcome = Outcome::Failed(failure);
                }
            }
        } else {
            placing.remove_used_up();
        }
        placing.remove_displaced();
        Ok(outcomes)
    }
}

/// What an operation came to; `Err` holds anything but `Done`.
type Tried<T> = Result<T, Outcome>;
