//! `tracker-bench`: tracker-lite beside opentracker on loopback, under the same load.
//!
//! Each round starts each tracker afresh, once for HTTP (a connection for each announce, as opentracker closes
//! every one) and once for UDP, lets distinct peers announce themselves, and then lets them announce again. Rounds take
//! turns in which tracker comes first; the table shows medians. Where generator and tracker share few cores, the rate
//! says as much about the generator: announces for each second of the tracker's own CPU time tell the two apart.

mod build;
mod load;
mod process;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde::Serialize;

use load::{Load, Protocol};
use process::{Kind, Process};

/// Measures tracker-lite beside opentracker on loopback.
#[derive(Debug, Parser)]
#[command(name = "tracker-bench")]
struct Args {
    /// Distinct peers
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    peers: u32,
    /// Announces after every peer is known
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    announces: u32,
    /// Torrents that the peers share
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    torrents: u32,
    /// Rounds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Threads of the generator
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// Seconds after which the bench gives up
    #[arg(long, default_value_t = 600)]
    max_seconds: u64,
    /// The tracker-lite program [default: built now, linked statically]
    #[arg(long)]
    tracker_lite: Option<PathBuf>,
    /// The opentracker program
    #[arg(long, default_value = "opentracker")]
    opentracker: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One tracker under one protocol in one round.
#[derive(Debug, Clone, Serialize)]
struct Sample {
    tracker: Kind,
    protocol: Protocol,
    first_announces_per_s: f64,
    announces_per_s: f64,
    announces_per_cpu_s: f64,
    idle_rss_kb: u64,
    rss_kb: u64,
    lost: u64,
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    tracker_lite: f64,
    opentracker: f64,
    /// Above 1 is better than opentracker, whatever the unit.
    ratio: f64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let deadline = Instant::now() + Duration::from_secs(args.max_seconds);
    // What the limits of tracker-lite, as they are, let one address ask in a minute.
    if u64::from(args.announces) > 4 * u64::from(args.peers) {
        bail!(
            "more than four --announces for each of --peers would meet tracker-lite's limit for one address"
        );
    }
    let tracker_lite = match &args.tracker_lite {
        Some(path) => path.clone(),
        None => build::tracker_lite()?,
    };
    let mut samples = Vec::new();
    for round in 0..args.rounds {
        for protocol in [Protocol::Http, Protocol::Udp] {
            let mut kinds = [Kind::TrackerLite, Kind::Opentracker];
            if round % 2 == 1 {
                kinds.reverse();
            }
            for kind in kinds {
                let program = match kind {
                    Kind::TrackerLite => &tracker_lite,
                    Kind::Opentracker => &args.opentracker,
                };
                samples.push(measure(&args, kind, program, protocol, deadline)?);
            }
        }
    }
    let rows = rows(&samples);
    if args.json {
        println!(
            "{}",
            serde_json::json!({"peers": args.peers, "torrents": args.torrents, "rows": rows, "samples": samples})
        );
    } else {
        print_table(&args, &rows);
    }
    Ok(())
}

fn measure(
    args: &Args,
    kind: Kind,
    program: &Path,
    protocol: Protocol,
    deadline: Instant,
) -> Result<Sample> {
    let load = Load::new(args.peers, args.torrents, args.threads);
    let tracker = Process::start(kind, program, &load.infohashes()).with_context(|| {
        format!(
            "{}: install it (Debian has opentracker), or name it by its flag",
            program.display()
        )
    })?;
    let idle_rss_kb = tracker.rss_kb()?;
    let first = load.run(protocol, tracker.address(), args.peers, deadline)?;
    let cpu_before = tracker.cpu()?;
    let again = load.run(protocol, tracker.address(), args.announces, deadline)?;
    let cpu = tracker.cpu()? - cpu_before;
    let rss_kb = tracker.rss_kb()?;
    let seen = load.swarm_size(tracker.address())?;
    if seen < args.peers / args.torrents {
        bail!(
            "{kind:?} knows {seen} peers of the first torrent, and {} announced",
            args.peers / args.torrents
        );
    }
    Ok(Sample {
        tracker: kind,
        protocol,
        first_announces_per_s: first.per_s(),
        announces_per_s: again.per_s(),
        announces_per_cpu_s: f64::from(args.announces) / cpu.as_secs_f64(),
        idle_rss_kb,
        rss_kb,
        lost: first.lost + again.lost,
    })
}

fn rows(samples: &[Sample]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (protocol, name) in [(Protocol::Http, "HTTP"), (Protocol::Udp, "UDP")] {
        let row = |what: &str, better: Better, figure: fn(&Sample) -> f64| {
            let median = |kind| {
                let of_kind = samples
                    .iter()
                    .filter(|it| it.tracker == kind && it.protocol == protocol);
                median(of_kind.map(figure).collect())
            };
            let (ours, theirs) = (median(Kind::TrackerLite), median(Kind::Opentracker));
            Row {
                what: format!("{name}: {what}"),
                tracker_lite: ours,
                opentracker: theirs,
                ratio: match better {
                    Better::More => ours / theirs,
                    Better::Less => theirs / ours,
                },
            }
        };
        rows.push(row("first announces/s", Better::More, |it| {
            it.first_announces_per_s
        }));
        rows.push(row("announces/s", Better::More, |it| it.announces_per_s));
        rows.push(row("announces/CPU s", Better::More, |it| {
            it.announces_per_cpu_s
        }));
        rows.push(row("RSS idle, kB", Better::Less, |it| {
            it.idle_rss_kb as f64
        }));
        rows.push(row("RSS with all peers, kB", Better::Less, |it| {
            it.rss_kb as f64
        }));
    }
    rows
}

enum Better {
    More,
    Less,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print_table(args: &Args, rows: &[Row]) {
    println!(
        "{} peers in {} torrents, medians of {} rounds; ratio above 1: tracker-lite is better",
        args.peers, args.torrents, args.rounds
    );
    println!(
        "{:<28} {:>14} {:>14} {:>7}",
        "", "tracker-lite", "opentracker", "ratio"
    );
    for row in rows {
        println!(
            "{:<28} {:>14.0} {:>14.0} {:>7.2}",
            row.what, row.tracker_lite, row.opentracker, row.ratio
        );
    }
}
