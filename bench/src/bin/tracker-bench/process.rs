//! A tracker as a child process, and what the system says of it.

use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tempfile::TempDir;

/// Which tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    TrackerLite,
    Opentracker,
}

/// A tracker that runs, until it is dropped.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Process {
    /// Starts a tracker for the given infohashes (in hexadecimal digits) on a free port, with its own limits as they are.
    pub(crate) fn start(kind: Kind, program: &Path, infohashes: &[String]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let list = folder.path().join("list");
        fs::write(&list, infohashes.join("\n") + "\n")?;
        // opentracker gives up its privileges before it reads the list, and its root becomes this folder.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        fs::set_permissions(&list, fs::Permissions::from_mode(0o644))?;
        let address = free_address()?;
        let mut command = Command::new(program);
        match kind {
            Kind::TrackerLite => {
                let address = address.to_string();
                command
                    .arg("--allow")
                    .arg(&list)
                    .args(["--listen", &address, "--udp", &address]);
            }
            Kind::Opentracker => {
                let port = address.port().to_string();
                command.args([
                    "-i",
                    "127.0.0.1",
                    "-p",
                    &port,
                    "-P",
                    &port,
                    "-u",
                    "nobody",
                    "-w",
                    "list",
                ]);
                command
                    .arg("-d")
                    .arg(folder.path())
                    .current_dir(folder.path());
            }
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut process = Self {
            child,
            address,
            _folder: folder,
        };
        process.wait_until_it_listens()?;
        Ok(process)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resident memory, with what is shared.
    pub(crate) fn rss_kb(&self) -> Result<u64> {
        let status = fs::read_to_string(self.proc("status"))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .context("the system does not say how much memory the tracker has")
    }

    /// CPU time of all threads, user and system.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut sum_ns = 0;
        for task in fs::read_dir(self.proc("task"))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let ns: u64 = text.split(' ').next().unwrap_or_default().parse()?;
            sum_ns += ns;
        }
        Ok(Duration::from_nanos(sum_ns))
    }

    fn proc(&self, name: &str) -> String {
        let mut path = String::new();
        // Writing to a string does not fail.
        let _ = write!(path, "/proc/{}/{name}", self.child.id());
        path
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended at once: {status}");
            }
            if Instant::now() > until {
                bail!("it does not listen on {} after 10 s", self.address);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both trackers want a number; somebody may take it in between, which the start then reports.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
