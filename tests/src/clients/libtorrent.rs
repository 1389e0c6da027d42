use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Client, Fetch};
use crate::{Deadline, Running, needs, tidy};

/// libtorrent-rasterbar through its Python bindings: the most programmable of the real clients.
#[derive(Default)]
pub struct Libtorrent {
    /// Bytes a second that it takes at most, until [`LibtorrentFetch::lift_limit`]; none for as many as come.
    pub download_limit_bytes: Option<u64>,
}

/// A running libtorrent.
pub struct LibtorrentFetch {
    running: Running,
    port: u16,
}

impl Libtorrent {
    /// Like [`Client::start`], with all that this client can tell.
    pub fn begin(&self, link: &str, into: &Path) -> Result<LibtorrentFetch> {
        std::fs::create_dir_all(into)?;
        let mut command = Command::new(needs("python")?);
        command
            .arg("-u")
            .arg(tidy::workspace_root().join("tests/py/lt_get.py"))
            .arg("--link")
            .arg(link)
            .arg("--into")
            .arg(into);
        if let Some(limit) = self.download_limit_bytes {
            command.arg("--download-limit").arg(limit.to_string());
        }
        let mut running = Running::start(command)?;
        let listening = running.event("listening", Deadline::secs(20))?;
        let port = listening["port"].as_u64().context("listening has a port")? as u16;
        Ok(LibtorrentFetch { running, port })
    }
}

impl LibtorrentFetch {
    /// Waits until the peer that listens on `port` has greeted it.
    pub fn peer(&mut self, port: u16, deadline: Deadline) -> Result<()> {
        self.running.event_where("peers", deadline, |event| {
            let peers = event["peers"].as_array().into_iter().flatten();
            peers
                .into_iter()
                .any(|peer| peer["port"] == port && peer["greeted"] == true)
        })?;
        Ok(())
    }

    /// Lifts [`Libtorrent::download_limit_bytes`].
    pub fn lift_limit(&mut self) -> Result<()> {
        self.running.write_line("full speed")
    }
}

impl Client for Libtorrent {
    fn name(&self) -> &'static str {
        "libtorrent"
    }

    fn start(&self, link: &str, into: &Path) -> Result<Box<dyn Fetch>> {
        Ok(Box::new(self.begin(link, into)?))
    }
}

impl Fetch for LibtorrentFetch {
    fn complete(&mut self, deadline: Deadline) -> Result<()> {
        self.running.event("complete", deadline)?;
        Ok(())
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn uploaded_bytes(&mut self) -> Result<u64> {
        let event = self.running.event("peers", Deadline::secs(10))?;
        event["uploaded_bytes"]
            .as_u64()
            .context("peers says how much")
    }

    fn close(mut self: Box<Self>) -> Result<()> {
        self.running.close_stdin();
        self.running.outcome(Deadline::secs(60))?.success()?;
        Ok(())
    }
}
