//! Three hundred worlds, each run twice.

use netsim::{Plan, Sabotage, run};

#[test]
fn three_hundred_seeds_keep_every_promise() {
    let failed: Vec<String> = (0..300)
        .filter_map(|seed| {
            let plan = Plan::new(seed);
            let violation = run(&plan, Sabotage::None).err()?;
            Some(format!("seed {seed}: {violation}\n  {}", plan.command()))
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
