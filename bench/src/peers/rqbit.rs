//! rqbit: `share` makes the torrent; the taker is told the sharer's address, so that no tracker is waited for.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use rustix::process::Signal;

use super::{Pair, Peer, word_with};
use crate::options::Options;
use crate::process::{Process, Usage};
use crate::trial::Trial;

const VERSION: &str = "9.1.0";

pub(crate) struct Rqbit {
    peers: PathBuf,
}

impl Rqbit {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            peers: options.peers.clone(),
        }
    }

    fn command(&self, port: u16) -> Command {
        let mut command = Command::new(self.peers.join("bin/rqbit"));
        command
            .args([
                "--disable-dht",
                "--disable-lsd",
                "--disable-upnp-port-forward",
                "--ipv4-only",
                "--listen-ip=127.0.0.1",
                "--http-api-listen-addr=127.0.0.1:0",
            ])
            .arg(format!("--listen-port={port}"));
        command
    }
}

impl Peer for Rqbit {
    fn name(&self) -> &'static str {
        "rqbit"
    }

    fn needs(&self) -> Vec<PathBuf> {
        vec![self.peers.join("bin/rqbit")]
    }

    fn install(&self) -> String {
        format!(
            "cargo install --locked rqbit --version {VERSION} --no-default-features --features rust-tls --root {}",
            self.peers.display()
        )
    }

    fn begin(&self, trial: &Trial) -> Result<Pair> {
        let port = Trial::free_port()?;
        let mut share = self.command(port);
        share.arg("share").arg(&trial.source);
        let mut sharer = Process::start(share, &trial.sharer)?;
        let magnet = sharer.line(trial.until, |line| word_with(line, "magnet:"))?;
        let mut download = self.command(Trial::free_port()?);
        download
            .args(["download", "--exit-on-finish", "--disable-http-api"])
            .arg(format!("--initial-peers=127.0.0.1:{port}"))
            .arg("--output-folder")
            .arg(&trial.target)
            .arg(&magnet);
        Ok(Pair {
            before: Usage::default(),
            sharer,
            taker: Process::start(download, &trial.taker)?,
            end: Signal::TERM,
            result: trial.target.join(trial.kind.file_name()),
        })
    }
}
