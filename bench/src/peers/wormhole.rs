//! magic-wormhole, with a mailbox server of its own on loopback instead of the public one.

use std::cell::RefCell;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::{Pair, Peer};
use crate::options::Options;
use crate::process::{Process, Usage};
use crate::trial::Trial;

pub(crate) struct Wormhole {
    peers: PathBuf,
    /// Started with the first trial; ends with the bench.
    mailbox: RefCell<Option<(Process, u16)>>,
}

impl Wormhole {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            peers: options.peers.clone(),
            mailbox: RefCell::new(None),
        }
    }

    fn twist(&self) -> PathBuf {
        self.peers.join("wormhole-venv/bin/twist")
    }

    fn command(&self) -> Command {
        let port = self.mailbox.borrow().as_ref().map_or(0, |(_, port)| *port);
        let mut command = Command::new("wormhole");
        command
            .arg(format!("--relay-url=ws://127.0.0.1:{port}/v1"))
            // Nobody listens there: both ends reach each other directly.
            .arg("--transit-helper=tcp:127.0.0.1:1");
        command
    }
}

impl Peer for Wormhole {
    fn name(&self) -> &'static str {
        "wormhole"
    }

    fn needs(&self) -> Vec<PathBuf> {
        vec!["wormhole".into(), self.twist()]
    }

    fn install(&self) -> String {
        let venv = self.peers.join("wormhole-venv");
        format!(
            "apt-get install -y magic-wormhole python3-venv && python3 -m venv {venv} && \
             {venv}/bin/pip install magic-wormhole-mailbox-server",
            venv = venv.display()
        )
    }

    fn prepare(&self, trial: &Trial) -> Result<()> {
        if self.mailbox.borrow().is_some() {
            return Ok(());
        }
        let port = Trial::free_port()?;
        let mut command = Command::new(self.twist());
        command
            .args(["--log-level=error", "wormhole-mailbox"])
            .arg(format!("--port=tcp:{port}:interface=127.0.0.1"))
            .arg("--channel-db=:memory:");
        let mut mailbox = Process::start(command, &self.peers.join("wormhole-home"))?;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            ensure!(
                !mailbox.ended(Duration::from_millis(50))?,
                "the mailbox server ended: {}",
                mailbox.said()
            );
            ensure!(
                std::time::Instant::now() < trial.until,
                "the mailbox server does not answer: {}",
                mailbox.said()
            );
        }
        *self.mailbox.borrow_mut() = Some((mailbox, port));
        Ok(())
    }

    fn begin(&self, trial: &Trial) -> Result<Pair> {
        let mut send = self.command();
        send.args(["send", "--hide-progress"]).arg(&trial.source);
        let mut sharer = Process::start(send, &trial.sharer)?;
        let code = sharer.line(trial.until, |line| {
            line.strip_prefix("Wormhole code is: ").map(str::to_owned)
        })?;
        let mut receive = self.command();
        receive
            .args(["receive", "--accept-file", "--hide-progress", &code])
            .current_dir(&trial.target);
        Ok(Pair {
            before: Usage::default(),
            sharer,
            taker: Process::start(receive, &trial.taker)?,
            end: Signal::TERM,
            result: trial.target.join(trial.kind.file_name()),
        })
    }
}
