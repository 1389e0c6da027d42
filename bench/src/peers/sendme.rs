//! sendme: iroh-blobs by a ticket that names direct addresses, without a relay.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use rustix::process::Signal;

use super::{Pair, Peer, word_with};
use crate::options::Options;
use crate::process::{Process, Usage};
use crate::trial::Trial;
use crate::watch::Mine;

const VERSION: &str = "0.37.1";

pub(crate) struct Sendme {
    peers: PathBuf,
}

impl Sendme {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            peers: options.peers.clone(),
        }
    }

    fn program(&self) -> PathBuf {
        self.peers.join("bin/sendme")
    }
}

impl Peer for Sendme {
    fn name(&self) -> &'static str {
        "sendme"
    }

    fn needs(&self) -> Vec<PathBuf> {
        vec![self.program()]
    }

    fn install(&self) -> String {
        format!(
            "cargo install --locked sendme --version {VERSION} --no-default-features --root {}",
            self.peers.display()
        )
    }

    /// Small files are in its database until they are exported: their first byte is seen late.
    fn mine(&self) -> Mine {
        Mine::Endings(&[".db", ".obao4", ".sizes4", ".bitfield"])
    }

    fn begin(&self, trial: &Trial) -> Result<Pair> {
        let mut send = Command::new(self.program());
        send.args([
            "send",
            "--relay",
            "disabled",
            "--ticket-type",
            "addresses",
            "--no-progress",
        ])
        .arg(&trial.source)
        .current_dir(&trial.sharer);
        let mut sharer = Process::start(send, &trial.sharer)?;
        let ticket = sharer.line(trial.until, |line| {
            line.contains("sendme receive")
                .then(|| word_with(line, "blob"))?
        })?;
        let mut receive = Command::new(self.program());
        receive
            .args(["receive", "--relay", "disabled", "--no-progress", &ticket])
            .current_dir(&trial.target);
        Ok(Pair {
            before: Usage::default(),
            sharer,
            taker: Process::start(receive, &trial.taker)?,
            end: Signal::INT,
            result: trial.target.join(trial.kind.file_name()),
        })
    }
}
