//! Shoal beside the programs that a person would pick instead, on this machine, over loopback, in one run.
//!
//! Each *trial* starts a sharing command, waits for the link that it prints, starts the taking command, and ends with
//! it. Trials of one round follow each other directly and every round begins with another program, so that a noisy
//! machine hits everybody alike; the table shows medians, and goals are judged by the ratios of trials of one round.
//! Every result is compared with the random bytes that the seed gives.

mod closed;
mod install;
mod options;
mod payload;
mod peers;
mod process;
mod report;
mod sync;
mod tracker;
mod trial;
mod watch;
mod web;

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use closed::Network;
use install::Asked;
use options::Options;
use payload::{Kind, Payloads};
use peers::Peer;
use report::{Report, Row};
use trial::{Bench, Outcome};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("shoal-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let options = Options::parse();
    if options.install {
        install::install(&options)?;
    }
    let network = closed::enter(&options).context("closing the network")?;
    let bench = Bench::new(&options)?;
    let Asked {
        present,
        web,
        sync,
        missing,
    } = install::look(&options)?;
    ensure!(
        web || sync || !present.is_empty(),
        "nothing to measure; known names: {}, {}, {}",
        peers::names().join(", "),
        web::NAME,
        sync::NAME
    );
    let payloads = Payloads::generate(bench.dir(), &options)?;
    let mut report = Report::new(&options, &network, missing);
    measure(&bench, &payloads, &present, &mut report)?;
    if web {
        report.web = web::measure(&bench, &options.absolute()?, &payloads)?;
    }
    if sync {
        report.sync = sync::measure(&bench, &options.absolute()?)?;
    }
    if options.json {
        println!("{}", serde_json::to_string(&report.to_json())?);
    } else {
        print!("{}", report.to_markdown());
    }
    let failed = report.rows.iter().any(|row| row.samples.is_empty());
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn measure(
    bench: &Bench,
    payloads: &Payloads,
    present: &[Box<dyn Peer>],
    report: &mut Report,
) -> Result<()> {
    for kind in Kind::ALL {
        if payloads.path(kind).is_none() {
            continue;
        }
        let mut rows: Vec<(&dyn Peer, Row)> = present
            .iter()
            .filter(|peer| peer.takes(kind))
            .map(|peer| (peer.as_ref(), Row::new(peer.name(), kind)))
            .collect();
        for round in 0..bench.rounds() {
            let turn = round % rows.len().max(1);
            let (later, first) = rows.split_at_mut(turn);
            for (peer, row) in first.iter_mut().chain(later) {
                eprint!("round {}, {kind}, {}: ", round + 1, row.name);
                match bench.trial(*peer, payloads, kind, round)? {
                    Outcome::Complete(sample) => {
                        eprintln!("{:.2} s", sample.whole_s);
                        row.samples.push(sample);
                    }
                    Outcome::Failed(why) => {
                        eprintln!("FAILED: {why}");
                        row.failures.push(why);
                    }
                }
            }
        }
        report.rows.extend(rows.into_iter().map(|(_, row)| row));
    }
    Ok(())
}

/// How the network was kept closed, for the report.
impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Closed => "a network namespace that has loopback alone",
            Self::Host => "this machine's network (no namespace could be made)",
        })
    }
}
