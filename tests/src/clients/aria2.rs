use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail, ensure};

use super::{Client, Fetch, free_port};
use crate::{Deadline, Running, needs};

/// aria2c. It ends when it has everything, so it gives nothing to others afterwards.
pub struct Aria2;

struct Aria2Fetch {
    running: Running,
    port: u16,
}

impl Client for Aria2 {
    fn name(&self) -> &'static str {
        "aria2"
    }

    fn start(&self, link: &str, into: &Path) -> Result<Box<dyn Fetch>> {
        let port = free_port()?;
        let mut command = Command::new(needs("aria2c")?);
        command
            .args([
                "--no-conf",
                "--enable-dht=false",
                "--enable-dht6=false",
                "--bt-enable-lpd=false",
                "--enable-peer-exchange=false",
                "--interface=127.0.0.1",
                "--disable-ipv6=true",
                "--bt-external-ip=127.0.0.1",
                "--seed-time=0",
                "--file-allocation=none",
                "--follow-torrent=mem",
                "--summary-interval=0",
                "--console-log-level=warn",
                "--download-result=full",
                "--bt-max-open-files=500",
                "--bt-tracker-connect-timeout=5",
            ])
            .arg(format!("--listen-port={port}"))
            .arg("--dir")
            .arg(into)
            .arg(link);
        let running = Running::start(command)?;
        Ok(Box::new(Aria2Fetch { running, port }))
    }
}

impl Fetch for Aria2Fetch {
    fn complete(&mut self, deadline: Deadline) -> Result<()> {
        let outcome = self.running.outcome(deadline)?;
        ensure!(outcome.code == Some(0), "aria2c failed: {outcome:#?}");
        Ok(())
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn uploaded_bytes(&mut self) -> Result<u64> {
        bail!("aria2 does not say")
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
