//! rsync with its daemon: what plain copying over TCP costs, without verification, encryption or a link.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::{Pair, Peer};
use crate::process::{Process, Usage};
use crate::trial::Trial;

pub(crate) struct Rsync;

impl Peer for Rsync {
    fn name(&self) -> &'static str {
        "rsync"
    }

    fn needs(&self) -> Vec<PathBuf> {
        vec!["rsync".into()]
    }

    fn install(&self) -> String {
        "apt-get install -y rsync".to_owned()
    }

    fn begin(&self, trial: &Trial) -> Result<Pair> {
        let parent = trial.source.parent().context("the source has a folder")?;
        let config = trial.sharer.join("rsyncd.conf");
        fs::write(
            &config,
            format!(
                "use chroot = no\nreverse lookup = no\n[shared]\npath = {}\nread only = yes\n",
                parent.display()
            ),
        )?;
        let port = Trial::free_port()?;
        let mut daemon = Command::new("rsync");
        daemon
            .args(["--daemon", "--no-detach", "--address=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--config={}", config.display()));
        let mut sharer = Process::start(daemon, &trial.sharer)?;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            ensure!(
                !sharer.ended(Duration::from_millis(1))? && Instant::now() < trial.until,
                "the daemon does not answer: {}",
                sharer.said()
            );
        }
        let mut fetch = Command::new("rsync");
        fetch
            .arg("--archive")
            .arg(format!(
                "rsync://127.0.0.1:{port}/shared/{}",
                trial.kind.file_name()
            ))
            .arg(format!("{}/", trial.target.display()));
        Ok(Pair {
            before: Usage::default(),
            sharer,
            taker: Process::start(fetch, &trial.taker)?,
            end: Signal::TERM,
            result: trial.target.join(trial.kind.file_name()),
        })
    }
}
