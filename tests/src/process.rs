//! A child process whose lines are events.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{Deadline, Outcome, poll};

/// A running child. Killed when dropped.
pub struct Running {
    child: Child,
    name: String,
    lines: Receiver<String>,
    seen: Vec<String>,
    stderr: Arc<Mutex<String>>,
    stderr_ended: Receiver<()>,
}

impl Running {
    /// Starts `command` with its output piped.
    pub fn start(mut command: Command) -> Result<Running> {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let (sender, lines) = channel();
        let stdout = child.stdout.take().context("stdout is piped")?;
        thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                if sender.send(text).is_err() {
                    break;
                }
            }
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let mut pipe = child.stderr.take().context("stderr is piped")?;
        let into = Arc::clone(&stderr);
        let (ended, stderr_ended) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len) = pipe.read(&mut buffer)
                && len > 0
            {
                let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
                if let Ok(mut all) = into.lock() {
                    all.push_str(&text);
                }
            }
            // Nobody waits when the process was dropped.
            let _ = ended.send(());
        });
        Ok(Running {
            child,
            name,
            lines,
            seen: Vec::new(),
            stderr,
            stderr_ended,
        })
    }

    /// The next line of output, or none at its end.
    pub fn line(&mut self, deadline: Deadline) -> Result<Option<String>> {
        match self.lines.recv_timeout(deadline.left()) {
            Ok(line) => {
                self.seen.push(line.clone());
                Ok(Some(line))
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!(
                "{} printed no further line in time\nstdout:\n{}\nstderr:\n{}",
                self.name,
                self.tail(),
                self.stderr()
            ),
        }
    }

    /// The next JSON line whose `type` is `kind`; others are passed over.
    pub fn event(&mut self, kind: &str, deadline: Deadline) -> Result<Value> {
        self.event_where(kind, deadline, |_| true)
    }

    /// The next JSON line whose `type` is `kind` and that `wanted` accepts.
    pub fn event_where(
        &mut self,
        kind: &str,
        deadline: Deadline,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        loop {
            let Some(line) = self
                .line(deadline)
                .with_context(|| format!("waiting for an event {kind:?}"))?
            else {
                let status = self.child.wait()?;
                bail!(
                    "{} ended ({status}) before an event {kind:?}\nstdout:\n{}\nstderr:\n{}",
                    self.name,
                    self.tail(),
                    self.stderr()
                );
            };
            let value: Value = serde_json::from_str(&line).with_context(|| {
                format!("{} printed a line that is not JSON: {line}", self.name)
            })?;
            if value["type"] == kind && wanted(&value) {
                return Ok(value);
            }
        }
    }

    /// The last lines of its output, for messages.
    fn tail(&self) -> String {
        const SHOWN: usize = 30;
        let from = self.seen.len().saturating_sub(SHOWN);
        self.seen[from..].join("\n")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr
            .lock()
            .map(|text| text.clone())
            .unwrap_or_default()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGINT, as Ctrl-C sends it.
    pub fn interrupt(&self) -> Result<()> {
        self.signal(Signal::INT)
    }

    /// SIGTERM.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Writes a line to its standard input.
    pub fn write_line(&mut self, line: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("its input is closed")?;
        writeln!(stdin, "{line}").with_context(|| format!("writing to {}", self.name))
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("its input is closed")?;
        writeln!(input, "{line}")?;
        Ok(())
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for its end and returns everything that it printed.
    pub fn outcome(&mut self, deadline: Deadline) -> Result<Outcome> {
        while self.line(deadline)?.is_some() {}
        let status = poll(deadline, &format!("the end of {}", self.name), || {
            Ok(self.child.try_wait()?)
        })?;
        // A process that was left in the background may hold it open: then what has come is all.
        let _ = self.stderr_ended.recv_timeout(Duration::from_secs(2));
        Ok(Outcome {
            code: status.code(),
            stdout: self.seen.join("\n"),
            stderr: self.stderr(),
        })
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id() as i32).context("a process id")?;
        kill_process(pid, signal)?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "--- {}\nstdout:\n{}\nstderr:\n{}",
                self.name,
                self.tail(),
                self.stderr()
            );
        }
    }
}
