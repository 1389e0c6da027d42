//! A child process: its lines, its peak memory while it lives, its CPU time when it has ended.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::Serialize;

/// Lines kept for messages.
const TAIL_LINES: usize = 12;
const PAUSE: Duration = Duration::from_millis(10);
const END_MAX: Duration = Duration::from_secs(10);

/// What one end used.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Usage {
    /// User and system time, of the process and of its children.
    pub(crate) cpu_s: f64,
    /// Peak resident memory, of the largest process.
    pub(crate) rss_bytes: u64,
}

impl Usage {
    /// Of two programs that one end needs, one after the other or side by side.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            cpu_s: self.cpu_s + other.cpu_s,
            rss_bytes: self.rss_bytes.max(other.rss_bytes),
        }
    }
}

/// A running program.
pub(crate) struct Process {
    name: String,
    child: Child,
    pid: Pid,
    pidfd: OwnedFd,
    lines: Receiver<String>,
    tail: VecDeque<String>,
    rss_bytes: u64,
}

impl Process {
    /// Starts a program with nothing of this environment but PATH, and with a HOME of its own.
    pub(crate) fn start(mut command: Command, home: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        fs::create_dir_all(home)?;
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("TMPDIR", home)
            .env("LANG", "C.UTF-8")
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if command.get_current_dir().is_none() {
            command.current_dir(home);
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let (sender, lines) = channel();
        read_lines(child.stdout.take(), sender.clone());
        read_lines(child.stderr.take(), sender);
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open")?;
        Ok(Self {
            name,
            child,
            pid,
            pidfd,
            lines,
            tail: VecDeque::new(),
            rss_bytes: 0,
        })
    }

    /// The first line, on stdout or stderr, in which `find` finds something.
    pub(crate) fn line<T>(
        &mut self,
        until: Instant,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        while Instant::now() < until {
            match self.lines.recv_timeout(PAUSE) {
                Ok(line) => {
                    let found = find(&line);
                    self.keep(line);
                    if let Some(found) = found {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.observe(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let said = self.said();
        bail!("{} does not say what it should: {said}", self.name)
    }

    /// Waits a moment; whether the process has ended.
    pub(crate) fn ended(&self, pause: Duration) -> Result<bool> {
        let pause = Timespec::try_from(pause).context("a pause")?;
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        Ok(poll(&mut fds, Some(&pause)).context("poll")? > 0)
    }

    /// Notes the memory of now. Peaks of the process itself are not missed: the kernel keeps them.
    pub(crate) fn observe(&mut self) {
        let of_tree = largest_rss_bytes(self.pid.as_raw_nonzero().get());
        self.rss_bytes = self.rss_bytes.max(of_tree);
    }

    /// Waits until it ends by itself, successfully.
    pub(crate) fn complete(mut self, until: Instant) -> Result<Usage> {
        while !self.ended(PAUSE)? {
            self.observe();
            if Instant::now() > until {
                let said = self.said();
                bail!("{} does not end: {said}", self.name);
            }
        }
        let usage = self.usage()?;
        let status = self.child.wait()?;
        self.must_succeed(status)?;
        Ok(usage)
    }

    /// Asks it to end, and sees to it.
    pub(crate) fn end(mut self, signal: Signal) -> Result<Usage> {
        self.observe();
        let _ = pidfd_send_signal(&self.pidfd, signal);
        let asked = Instant::now();
        while !self.ended(PAUSE)? {
            if asked.elapsed() > END_MAX {
                let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
            }
        }
        let usage = self.usage()?;
        self.child.wait()?;
        Ok(usage)
    }

    pub(crate) fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// What it has used until now.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Ok(Usage {
            cpu_s: cpu_s(self.pid)?,
            rss_bytes: self.rss_bytes,
        })
    }

    fn must_succeed(&mut self, status: ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        let said = self.said();
        bail!("{} ended with {status}: {said}", self.name)
    }

    fn keep(&mut self, line: String) {
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// Its last lines.
    pub(crate) fn said(&mut self) -> String {
        while let Ok(line) = self.lines.recv_timeout(PAUSE) {
            self.keep(line);
        }
        if self.tail.is_empty() {
            return "(it said nothing)".to_owned();
        }
        let lines: Vec<&str> = self.tail.iter().map(String::as_str).collect();
        lines.join(" | ")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// CPU time of a process, and of its children that it has waited for. One that has ended has its line in /proc until
/// somebody waits for it.
pub(crate) fn cpu_s(pid: Pid) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // The name in brackets may contain anything; utime, stime, cutime and cstime are fields 14 to 17 (proc(5)).
    let (_, fields) = text.rsplit_once(") ").context("/proc/PID/stat")?;
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(4)
        .map(|field| field.parse::<u64>().unwrap_or(0))
        .sum();
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn read_lines(pipe: Option<impl Read + Send + 'static>, sender: Sender<String>) {
    let Some(pipe) = pipe else { return };
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            // Progress is drawn over itself; nobody asks for more than the last state of it.
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let line = line.rsplit('\r').next().unwrap_or_default().to_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
}

/// Peak memory of a process or of the largest of its children. Not ru_maxrss: that contains what this program had
/// when it started the child.
fn largest_rss_bytes(pid: i32) -> u64 {
    let of_process = fs::read_to_string(format!("/proc/{pid}/status"))
        .ok()
        .and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        })
        .map_or(0, |kib| kib * 1024);
    let children =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .map(largest_rss_bytes)
        .fold(of_process, u64::max)
}
