//! One trial: one program, one job, once.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use tempfile::TempDir;

use crate::options::Options;
use crate::payload::{Kind, Payloads};
use crate::peers::{Pair, Peer};
use crate::process::Usage;
use crate::watch::Watch;

/// How long the taker is left alone between two looks at it.
const PAUSE: Duration = Duration::from_millis(2);
/// The same, when its first byte was seen.
const LONG_PAUSE: Duration = Duration::from_millis(20);

/// What one trial showed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    pub(crate) round: usize,
    /// From the start of the sharing command until the taker had a byte.
    pub(crate) first_byte_s: Option<f64>,
    /// From the start of the sharing command until the taking command ended.
    pub(crate) whole_s: f64,
    pub(crate) sharer: Usage,
    pub(crate) taker: Usage,
}

/// How a trial ended.
pub(crate) enum Outcome {
    Complete(Sample),
    Failed(String),
}

/// What a program is told for a trial.
pub(crate) struct Trial {
    /// The file or folder to share.
    pub(crate) source: PathBuf,
    pub(crate) kind: Kind,
    /// The sharing end's own folder.
    pub(crate) sharer: PathBuf,
    /// The taking end's own folder.
    pub(crate) taker: PathBuf,
    /// Where the result goes.
    pub(crate) target: PathBuf,
    /// When it has failed.
    pub(crate) until: Instant,
    /// Where recordings of `perf` go, without the ending.
    pub(crate) recording: Option<PathBuf>,
}

impl Trial {
    /// A port that was free a moment ago.
    pub(crate) fn free_port() -> Result<u16> {
        Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port())
    }
}

/// Where trials run.
pub(crate) struct Bench {
    options: Options,
    dir: TempDir,
}

impl Bench {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let options = options.absolute()?;
        fs::create_dir_all(&options.dir)
            .with_context(|| format!("creating {}", options.dir.display()))?;
        if let Some(recordings) = &options.profile {
            fs::create_dir_all(recordings)?;
        }
        let dir = tempfile::tempdir_in(&options.dir)?;
        Ok(Self { options, dir })
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn rounds(&self) -> usize {
        self.options.rounds as usize
    }

    /// Runs one trial. An error is ours; what the program got wrong is an outcome.
    pub(crate) fn trial(
        &self,
        peer: &dyn Peer,
        payloads: &Payloads,
        kind: Kind,
        round: usize,
    ) -> Result<Outcome> {
        let dir = tempfile::tempdir_in(self.dir())?;
        let trial = Trial {
            source: payloads.path(kind).context("the job was left out")?,
            kind,
            sharer: dir.path().join("sharer"),
            taker: dir.path().join("taker"),
            target: dir.path().join("target"),
            until: Instant::now() + Duration::from_secs(self.options.max_seconds),
            recording: (self.options.profile.as_ref())
                .map(|recordings| recordings.join(format!("{}-{kind}", peer.name()))),
        };
        for folder in [&trial.sharer, &trial.taker, &trial.target] {
            fs::create_dir_all(folder)?;
        }
        // What the trial before has left in memory is written before this one begins, not while it runs.
        rustix::fs::syncfs(File::open(dir.path())?).context("syncfs")?;
        let outcome = match run(peer, &trial, round) {
            Ok((sample, result)) => match payloads.verify(kind, &result) {
                Ok(()) => Outcome::Complete(sample),
                Err(error) => Outcome::Failed(format!("{error:#}")),
            },
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        dir.close()?;
        Ok(outcome)
    }
}

fn run(peer: &dyn Peer, trial: &Trial, round: usize) -> Result<(Sample, PathBuf)> {
    peer.prepare(trial)?;
    let began = Instant::now();
    let Pair {
        before,
        mut sharer,
        mut taker,
        end,
        result,
    } = peer.begin(trial)?;
    let mut watch = Watch::new(&trial.target, peer.mine());
    loop {
        let pause = watch.found().map_or(PAUSE, |_| LONG_PAUSE);
        if taker.ended(pause)? {
            break;
        }
        watch.look();
        taker.observe();
        sharer.observe();
        if Instant::now() > trial.until {
            bail!("it takes too long: {}; {}", taker.said(), sharer.said());
        }
    }
    let whole_s = began.elapsed().as_secs_f64();
    watch.look();
    let taker = taker
        .complete(trial.until)
        .map_err(|error| anyhow!("{error}; the sharer said: {}", sharer.said()))?;
    let sharer = sharer.end(end)?.and(before);
    let sample = Sample {
        round,
        first_byte_s: (watch.found()).map(|found| found.duration_since(began).as_secs_f64()),
        whole_s,
        sharer,
        taker,
    };
    Ok((sample, result))
}
