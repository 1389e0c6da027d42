//! `netsim --seeds N` runs N seeds; `netsim --seed S --trace` shows one of them.

use netsim::{FAULTS, Keep, Plan, Sabotage, World, run, shrink};
use std::process::ExitCode;
use std::time::Instant;

const HELP: &str = "netsim: the sync machine in a simulated world

    --seeds N          run N seeds (default 300)
    --seed S           begin with this one (default 0); alone: run only this one
    --trace            print everything that happens
    --hosts N  --rounds N  --deeds N  --skip DEED  --without FAULT      change the plan of the seed
    --keep-going       do not stop at the first seed that fails
";

/// After how many seeds it is told how far it is.
const PROGRESS_SEEDS: u64 = 1_000;

struct Wishes {
    seed: u64,
    seeds: Option<u64>,
    trace: bool,
    keep_going: bool,
    change: Vec<(String, String)>,
}

fn main() -> ExitCode {
    let wishes = match wishes() {
        Ok(wishes) => wishes,
        Err(error) => {
            eprintln!("netsim: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let count = wishes
        .seeds
        .unwrap_or(if wishes.seed == 0 { 300 } else { 1 });
    let (mut failed, mut done) = (0, 0_u64);
    let start = Instant::now();
    for seed in wishes.seed..wishes.seed.saturating_add(count) {
        let plan = changed(Plan::new(seed), &wishes.change);
        if wishes.trace {
            let mut world = World::new(plan.clone(), Sabotage::None, Keep::Text);
            let result = world.run();
            println!("{}{plan:?}\n{result:?}", world.trace.text());
            if let Err(violation) = result {
                println!("{}", world.explain(&violation));
            }
        }
        done += 1;
        if done % PROGRESS_SEEDS == 0 {
            let seconds = start.elapsed().as_secs();
            eprintln!("{done} of {count} seeds, {failed} failed, {seconds} s");
        }
        if let Err(violation) = run(&plan, Sabotage::None) {
            failed += 1;
            println!("seed {seed}: {violation}\n  {}", plan.command());
            if !wishes.keep_going {
                let least = shrink(&plan, Sabotage::None);
                println!("  less: {}", least.command());
                break;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{done} seeds, {failed} failed, {:.0} seeds per second",
        done as f64 / seconds
    );
    if failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn wishes() -> Result<Wishes, lexopt::Error> {
    use lexopt::prelude::*;
    let mut wishes = Wishes {
        seed: 0,
        seeds: None,
        trace: false,
        keep_going: false,
        change: Vec::new(),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("seed") => wishes.seed = parser.value()?.parse()?,
            Long("seeds") => wishes.seeds = Some(parser.value()?.parse()?),
            Long("trace") => wishes.trace = true,
            Long("keep-going") => wishes.keep_going = true,
            Long(name @ ("hosts" | "rounds" | "deeds" | "skip" | "without")) => {
                let name = name.to_owned();
                wishes.change.push((name, parser.value()?.string()?));
            }
            Long("help") => {
                print!("{HELP}");
                std::process::exit(0);
            }
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(wishes)
}

fn changed(mut plan: Plan, change: &[(String, String)]) -> Plan {
    for (name, value) in change {
        let number = value.parse().unwrap_or(1);
        match name.as_str() {
            "hosts" => plan.hosts = (number as usize).clamp(2, 50),
            "rounds" => plan.rounds = number,
            "deeds" => plan.deeds = number,
            "skip" => {
                plan.skipped.insert(number);
            }
            _ => plan.faults.retain(|fault| {
                !FAULTS
                    .iter()
                    .any(|(known, text)| known == fault && text == value)
            }),
        }
    }
    plan
}
