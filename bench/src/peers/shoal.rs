//! shoal itself: every way at once, each way alone, and the web address opened by curl.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::Value;

use super::{Pair, Peer};
use crate::options::Options;
use crate::payload::Kind;
use crate::process::{Process, Usage};
use crate::trial::Trial;
use crate::watch::Mine;

/// How the bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    All,
    Iroh,
    Torrent,
    Http,
    /// By HTTP, without shoal at the taking end.
    Curl,
}

impl Way {
    pub(crate) const ALL: [Self; 5] =
        [Self::All, Self::Iroh, Self::Torrent, Self::Http, Self::Curl];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "shoal",
            Self::Iroh => "shoal-iroh",
            Self::Torrent => "shoal-torrent",
            Self::Http => "shoal-http",
            Self::Curl => "shoal-curl",
        }
    }

    fn option(self) -> Option<&'static str> {
        match self {
            Self::All | Self::Curl => None,
            Self::Iroh => Some("iroh"),
            Self::Torrent => Some("torrent"),
            Self::Http => Some("http"),
        }
    }
}

/// The program that is measured.
pub(crate) fn program(options: &Options) -> Result<PathBuf> {
    Ok(match &options.shoal {
        Some(program) => program.clone(),
        None => std::env::current_exe()
            .context("finding this program")?
            .with_file_name("shoal"),
    })
}

/// shoal in one way.
pub(crate) struct Shoal {
    program: PathBuf,
    way: Way,
}

impl Shoal {
    pub(crate) fn new(options: &Options, way: Way) -> Result<Self> {
        Ok(Self {
            program: program(options)?,
            way,
        })
    }

    fn command(&self, trial: &Trial, end: &str) -> Command {
        let Some(recording) = &trial.recording else {
            return Command::new(&self.program);
        };
        let mut command = Command::new("perf");
        command
            .args(["record", "--quiet", "-F", "499", "-g", "-o"])
            .arg(format!("{}-{end}.perf", recording.display()))
            .arg("--")
            .arg(&self.program);
        command
    }

    fn taker(&self, trial: &Trial, url: &str) -> Command {
        if self.way == Way::Curl {
            let mut command = Command::new("curl");
            command
                .args(["--silent", "--show-error", "--fail", "--output"])
                .arg(trial.target.join(trial.kind.file_name()))
                .arg(format!("{url}/f/{}", trial.kind.file_name()));
            return command;
        }
        let mut command = self.command(trial, "taker");
        command
            .arg("--home")
            .arg(trial.taker.join("home"))
            .args(["get", "--json", url, "-o"])
            .arg(&trial.target);
        if let Some(way) = self.way.option() {
            command.args(["--via", way]);
        }
        command
    }
}

impl Peer for Shoal {
    fn name(&self) -> &'static str {
        self.way.name()
    }

    fn needs(&self) -> Vec<PathBuf> {
        let mut needs = vec![self.program.clone()];
        if self.way == Way::Curl {
            needs.push("curl".into());
        }
        needs
    }

    fn install(&self) -> String {
        match self.way {
            Way::Curl => "cargo build --release -p shoal && apt-get install -y curl".to_owned(),
            _ => "cargo build --release -p shoal".to_owned(),
        }
    }

    fn takes(&self, kind: Kind) -> bool {
        self.way != Way::Curl || kind == Kind::File
    }

    fn mine(&self) -> Mine {
        Mine::Endings(&["state", "state.new", "lock"])
    }

    fn begin(&self, trial: &Trial) -> Result<Pair> {
        let mut share = self.command(trial, "sharer");
        share
            .arg("--home")
            .arg(trial.sharer.join("home"))
            .args(["share", "--json", "--listen", "127.0.0.1:0", "--no-qr"])
            .arg(&trial.source);
        let mut sharer = Process::start(share, &trial.sharer)?;
        let url = sharer.line(trial.until, |line| {
            let value: Value = serde_json::from_str(line).ok()?;
            (value.get("type")? == "url").then(|| value.get("url")?.as_str().map(str::to_owned))?
        })?;
        let taker = Process::start(self.taker(trial, &url), &trial.taker)?;
        Ok(Pair {
            before: Usage::default(),
            sharer,
            taker,
            end: Signal::INT,
            result: trial.target.join(trial.kind.file_name()),
        })
    }
}
