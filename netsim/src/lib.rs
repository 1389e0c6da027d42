//! The sync machine of `shoal-protocol`, the very same that the node runs, in a world that follows from one number.
//!
//! A [`World`] has machines with simulated disks, clocks, users and a network between them. A [`Plan`] says what happens
//! in it; a seed gives a plan. [`run`] lets it happen twice, compares the two traces, and tells what the checkers in
//! [`check`] found. [`shrink`] looks for a smaller plan with the same kind of finding.

mod apply;
pub mod check;
pub mod disk;
mod drive;
mod fetch;
pub mod host;
pub mod ledger;
mod misfortune;
pub mod names;
mod network;
mod plan;
mod random;
mod sabotage;
mod scan;
mod trace;
mod users;
mod world;

pub use check::Violation;
pub use plan::{FAULTS, Fault, Plan};
pub use random::Random;
pub use sabotage::Sabotage;
pub use trace::{Keep, Trace};
pub use world::World;

/// Runs a plan twice.
///
/// # Errors
/// What a checker found, or that the two runs were not the same.
pub fn run(plan: &Plan, sabotage: Sabotage) -> Result<(), Violation> {
    let once = || {
        let mut world = World::new(plan.clone(), sabotage, Keep::Hash);
        let result = world.run();
        (result, world.trace.hash())
    };
    let (result, hash) = once();
    let again = once();
    if again.1 != hash || again.0 != result {
        return Err(Violation::Indeterminate);
    }
    result
}

/// A smaller plan that still fails in the same way, found by trying lesser ones as long as one fails.
pub fn shrink(plan: &Plan, sabotage: Sabotage) -> Plan {
    let kind = |plan: &Plan| {
        let found = World::new(plan.clone(), sabotage, Keep::Hash).run().err();
        found.map(|violation| std::mem::discriminant(&violation))
    };
    let wanted = kind(plan);
    let mut least = plan.clone();
    while let Some(smaller) = least
        .smaller()
        .into_iter()
        .find(|plan| kind(plan) == wanted)
    {
        least = smaller;
    }
    least
}
