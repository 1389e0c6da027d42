//! What a program does for the bench with its two ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Pid;

/// Between two looks at what a program tells of itself.
const PAUSE: Duration = Duration::from_millis(100);

/// One of the two devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Left = 0,
    Right = 1,
}

impl End {
    pub(crate) const BOTH: [Self; 2] = [Self::Left, Self::Right];

    pub(crate) fn address(self) -> &'static str {
        match self {
            Self::Left => "10.99.0.1",
            Self::Right => "10.99.0.2",
        }
    }

    /// Everything of this end is in here.
    pub(crate) fn dir(self, dir: &Path) -> PathBuf {
        dir.join(match self {
            Self::Left => "left",
            Self::Right => "right",
        })
    }

    /// The folder that is kept the same.
    pub(crate) fn folder(self, dir: &Path) -> PathBuf {
        self.dir(dir).join("Work")
    }
}

/// What an end has used since it was started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    pub(crate) cpu_s: f64,
    pub(crate) rss_bytes: u64,
    pub(crate) peak_bytes: u64,
}

/// Both ends of a program, connected, with folders that are the same.
pub(crate) trait Ends {
    fn pid(&self, end: End) -> Result<i32>;
    /// What the program writes for itself.
    fn home(&self, end: End) -> PathBuf;
    /// Has the folder scanned, where the program would wait with that.
    fn look_now(&mut self, end: End) -> Result<()>;
    fn stop(&mut self, end: End) -> Result<()>;
    fn start_again(&mut self, end: End) -> Result<()>;
    fn end(self: Box<Self>) -> Result<()>;

    /// Of the process and of all below it: Syncthing runs in a child of its monitor.
    fn used(&self, end: End) -> Result<Used> {
        let mut used = Used::default();
        let mut open = vec![self.pid(end)?];
        while let Some(pid) = open.pop() {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let bytes = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                let kib = line.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok());
                kib.map_or(0, |kib| kib * 1024)
            };
            used.cpu_s += crate::process::cpu_s(Pid::from_raw(pid).context("a number")?)?;
            used.rss_bytes = used.rss_bytes.max(bytes("VmRSS:"));
            used.peak_bytes = used.peak_bytes.max(bytes("VmHWM:"));
            // Each thread has children of its own.
            for thread in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
                let below = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
                open.extend(
                    below
                        .split_whitespace()
                        .filter_map(|it| it.parse::<i32>().ok()),
                );
            }
        }
        Ok(used)
    }
}

/// Asks until the answer is yes.
pub(crate) fn until(what: &str, mut yes: impl FnMut() -> Result<bool>) -> Result<()> {
    let limit = Instant::now() + Duration::from_secs(120);
    loop {
        if yes().unwrap_or(false) {
            return Ok(());
        }
        if Instant::now() > limit {
            bail!("two minutes are over, and still not: {what}");
        }
        std::thread::sleep(PAUSE);
    }
}
