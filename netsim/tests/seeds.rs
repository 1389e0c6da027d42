//! Three hundred worlds, each run twice, and those that found what no story shows.

use netsim::{Plan, Sabotage, run};

/// A copy that was put back in its place, and whose row still said that it was there.
const FOUND: [u64; 1] = [8050];

#[test]
fn three_hundred_seeds_keep_every_promise() {
    let failed: Vec<String> = (0..300)
        .chain(FOUND)
        .filter_map(|seed| {
            let plan = Plan::new(seed);
            let violation = run(&plan, Sabotage::None).err()?;
            Some(format!("seed {seed}: {violation}\n  {}", plan.command()))
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
