//! A node with one link, ready: what is hashed at the beginning is no part of serving.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::Value;

use super::Job;
use crate::options::Options;
use crate::peers::shoal_program;
use crate::process::Process;

/// A running node.
pub(crate) struct Node {
    process: Process,
    url: String,
}

impl Node {
    /// Shares `source` with a home in `dir`, and waits until everything is hashed.
    pub(crate) fn start(options: &Options, source: &Path, dir: &Path) -> Result<Self> {
        let home = dir.join("node");
        let mut command = std::process::Command::new(shoal_program(options)?);
        command
            .arg("--home")
            .arg(home.join("home"))
            .args(["share", "--json", "--listen", "127.0.0.1:0", "--no-qr"])
            .arg(source);
        let mut process = Process::start(command, &home)?;
        let until = Instant::now() + Duration::from_secs(options.max_seconds);
        let url = process.line(until, |line| {
            let value: Value = serde_json::from_str(line).ok()?;
            (value.get("type")? == "ready")
                .then(|| value.get("url")?.as_str().map(str::to_owned))?
        });
        Ok(Self {
            url: url.context("waiting for the link")?,
            process,
        })
    }

    pub(crate) fn url(&self, job: Job) -> String {
        let url = &self.url;
        match job {
            Job::File => format!("{url}/f/one.bin"),
            Job::LargeZip | Job::SmallZip => format!("{url}/{}.zip", job.source()),
            Job::Page => url.clone(),
        }
    }

    pub(crate) fn cpu_s(&self) -> Result<f64> {
        Ok(self.process.usage()?.cpu_s)
    }

    pub(crate) fn end(self) -> Result<()> {
        self.process.end(Signal::INT)?;
        Ok(())
    }
}
