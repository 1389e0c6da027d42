//! Two devices that keep a folder the same, beside Syncthing: each device in a network namespace of its own, joined by a
//! cable whose bytes are counted.
//!
//! A change is placed into the left folder with one rename, and has arrived when the right folder has every name in its
//! full length; both programs are looked at in the same way. What is expected is compared byte by byte afterwards.
//! Syncthing waits 10 seconds before it acts on what its watcher saw, so it is told to scan at once wherever the time
//! until then is not what is measured.

mod cable;
mod ends;
mod shoal;
mod syncthing;
mod work;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;

use crate::options::Options;
use crate::peers::is_there;
use crate::trial::Bench;
use cable::Cable;
use ends::{End, Ends, Used};
pub(crate) use work::Job;
use work::Trees;

/// What `--only` calls all of this.
pub(crate) const NAME: &str = "sync";

/// How long nobody does anything in the job that measures that, in seconds.
const IDLE_S: u64 = 60;
/// How many single files are written.
const SINGLE_FILES: u32 = 10;
/// Between two of them, so that none is part of what the one before caused.
const BETWEEN_SINGLE_FILES: Duration = Duration::from_millis(1_500);

/// One program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Shoal,
    Syncthing,
}

/// One job done by one program.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    pub(crate) job: Job,
    pub(crate) side: Side,
    pub(crate) round: usize,
    /// From the change until it is on the other side; the median, where there are several.
    pub(crate) whole_s: f64,
    /// Of all processors, both ends.
    pub(crate) cpu_s: f64,
    /// Memory of each end: the peak, and in the idle job what it has then.
    pub(crate) rss_bytes: [u64; 2],
    /// On the cable, both ways.
    pub(crate) traffic_bytes: u64,
    /// What each end's home takes on the disk.
    pub(crate) home_bytes: [u64; 2],
}

/// What is missing for this, as a command that installs it.
pub(crate) fn missing(options: &Options) -> Option<String> {
    let program = syncthing::program(options);
    (!is_there(&program) || !is_there(Path::new("ip")))
        .then(|| "apt-get install -y syncthing iproute2".to_owned())
}

/// Does the jobs that are asked for, round by round.
pub(crate) fn measure(bench: &Bench, options: &Options) -> Result<Vec<Figure>> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "two network namespaces need root: run this as root, or leave `sync` out with --only"
    );
    let mut figures = Vec::new();
    let mut jobs = options.jobs.clone();
    if jobs.contains(&Job::Far) && !Cable::new()?.can_be_far() {
        eprintln!("NOT RUN: {}: this kernel has no netem", Job::Far.name());
        jobs.retain(|job| *job != Job::Far);
    }
    for round in 0..bench.rounds() {
        let mut order = [Side::Shoal, Side::Syncthing];
        order.rotate_left(round % 2);
        for group in work::groups(&jobs) {
            for side in order {
                if options.alone.is_some_and(|alone| alone != side) {
                    continue;
                }
                let dir = tempfile::tempdir_in(bench.dir())?;
                run_group(side, &group, options, round, dir.path(), &mut figures)
                    .with_context(|| format!("{side:?} at {group:?}"))?;
            }
        }
    }
    Ok(figures)
}

/// Jobs that follow each other on the same pair of devices.
fn run_group(
    side: Side,
    group: &[Job],
    options: &Options,
    round: usize,
    dir: &Path,
    figures: &mut Vec<Figure>,
) -> Result<()> {
    let trees = Trees::prepare(group, dir, options)?;
    let mut cable = Cable::new()?;
    let mut ends: Box<dyn Ends> = match side {
        Side::Shoal => Box::new(shoal::Shoal::start(options, &cable, dir)?),
        Side::Syncthing => Box::new(syncthing::Syncthing::start(options, &cable, dir)?),
    };
    for &job in group {
        if job == Job::Far {
            cable.is_far()?;
        }
        rustix::fs::syncfs(fs::File::open(dir)?).context("syncfs")?;
        let mut before = (used(ends.as_ref())?, cable.bytes(ends.pid(End::Left)?)?);
        if job == Job::Restart {
            // The process that begins then has used nothing.
            before.0[0].cpu_s = 0.0;
        }
        let whole_s = run(job, ends.as_mut(), &trees, options)?;
        let after = used(ends.as_ref())?;
        let figure = Figure {
            job,
            side,
            round,
            whole_s,
            cpu_s: (after[0].cpu_s + after[1].cpu_s) - (before.0[0].cpu_s + before.0[1].cpu_s),
            rss_bytes: after.map(|it| match job {
                Job::Idle => it.rss_bytes,
                _ => it.peak_bytes,
            }),
            traffic_bytes: cable.bytes(ends.pid(End::Left)?)?.saturating_sub(before.1),
            home_bytes: [
                work::disk_bytes(&ends.home(End::Left))?,
                work::disk_bytes(&ends.home(End::Right))?,
            ],
        };
        eprintln!(
            "round {}, sync, {}, {side:?}: {:.2} s, CPU {:.2} s",
            round + 1,
            job.name(),
            figure.whole_s,
            figure.cpu_s
        );
        figures.push(figure);
    }
    trees.verify()?;
    ends.end()
}

/// Both ends, now.
fn used(ends: &dyn Ends) -> Result<[Used; 2]> {
    Ok([ends.used(End::Left)?, ends.used(End::Right)?])
}

fn run(job: Job, ends: &mut dyn Ends, trees: &Trees, options: &Options) -> Result<f64> {
    let limit = Duration::from_secs(options.max_seconds);
    match job {
        Job::Idle => {
            std::thread::sleep(Duration::from_secs(IDLE_S));
            Ok(0.0)
        }
        Job::Single => {
            let mut times = Vec::new();
            for number in 0..SINGLE_FILES {
                std::thread::sleep(BETWEEN_SINGLE_FILES);
                let change = trees.single(number)?;
                times.push(change.until_there(limit)?);
            }
            times.sort_by(f64::total_cmp);
            Ok((times[4] + times[5]) / 2.0)
        }
        Job::Restart => {
            ends.stop(End::Left)?;
            let change = trees.edit_while_away()?;
            let began = Instant::now();
            ends.start_again(End::Left)?;
            change.until_there(limit)?;
            Ok(began.elapsed().as_secs_f64())
        }
        _ => {
            let change = trees.place(job)?;
            ends.look_now(End::Left)?;
            change.until_there(limit)
        }
    }
}
