//! aria2, which makes no torrents: `transmission-create` does, as part of sharing. They meet at a tracker of this bench.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::{Pair, Peer};
use crate::process::Process;
use crate::tracker::Tracker;
use crate::trial::Trial;
use crate::watch::Mine;

pub(crate) struct Aria2;

impl Aria2 {
    fn command(port: u16) -> Command {
        let mut command = Command::new("aria2c");
        command
            .args([
                "--no-conf",
                "--quiet",
                "--enable-dht=false",
                "--enable-dht6=false",
                "--bt-enable-lpd=false",
                "--enable-peer-exchange=false",
                "--disable-ipv6=true",
                "--interface=127.0.0.1",
                "--bt-external-ip=127.0.0.1",
                "--file-allocation=none",
                "--bt-max-open-files=500",
            ])
            .arg(format!("--listen-port={port}"));
        command
    }
}

impl Peer for Aria2 {
    fn name(&self) -> &'static str {
        "aria2"
    }

    fn needs(&self) -> Vec<PathBuf> {
        vec!["aria2c".into(), "transmission-create".into()]
    }

    fn install(&self) -> String {
        "apt-get install -y aria2 transmission-cli".to_owned()
    }

    fn mine(&self) -> Mine {
        Mine::Endings(&[".aria2", ".torrent"])
    }

    fn begin(&self, trial: &Trial) -> Result<Pair> {
        let tracker = Tracker::start()?;
        let torrent = trial.sharer.join("shared.torrent");
        let mut create = Command::new("transmission-create");
        create
            .arg("--tracker")
            .arg(tracker.url())
            .arg("--outfile")
            .arg(&torrent)
            .arg(&trial.source);
        let before = Process::start(create, &trial.sharer)?.complete(trial.until)?;
        let port = Trial::free_port()?;
        let mut seed = Self::command(port);
        seed.args(["--seed-ratio=0.0", "--bt-seed-unverified=true", "--dir"])
            .arg(trial.source.parent().context("the source has a folder")?)
            .arg(&torrent);
        let sharer = Process::start(seed, &trial.sharer)?;
        tracker.announced(port, Duration::from_secs(30))?;
        let mut fetch = Self::command(Trial::free_port()?);
        fetch
            .args(["--seed-time=0", "--dir"])
            .arg(&trial.target)
            .arg(&torrent);
        Ok(Pair {
            before,
            sharer,
            taker: Process::start(fetch, &trial.taker)?,
            end: Signal::TERM,
            result: trial.target.join(trial.kind.file_name()),
        })
    }
}
