//! A home of its own for a test, and `shoal` run on it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Deadline, Running, namespace::Namespace, tidy};

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The JSON lines of its output.
    pub fn lines(&self) -> Result<Vec<Value>> {
        self.stdout
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
            .collect()
    }

    /// Fails unless it ended with 0.
    pub fn success(self) -> Result<Outcome> {
        ensure!(self.code == Some(0), "it failed: {self:#?}");
        Ok(self)
    }

    /// Fails unless it ended with `code`, with a sentence on stderr and without a panic.
    #[track_caller]
    pub fn refused(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        let said = format!("{}{}", self.stdout, self.stderr);
        assert!(!said.contains("panicked"), "{self:#?}");
        assert!(said.trim().len() > 20, "it says nothing: {self:#?}");
    }
}

/// The home of a node that listens on loopback alone (or in a namespace), on ports that the system picks.
pub struct Home {
    dir: TempDir,
    namespace: Option<String>,
}

impl Home {
    /// A new home whose node listens on 127.0.0.1.
    pub fn new() -> Result<Home> {
        Home::with("127.0.0.1", None)
    }

    /// A new home whose node runs in `namespace` and listens on its address.
    pub fn in_namespace(namespace: &Namespace) -> Result<Home> {
        Home::with(namespace.address(), Some(namespace.name().to_owned()))
    }

    fn with(address: &str, namespace: Option<String>) -> Result<Home> {
        // Short, because the node's Unix socket lies in it.
        let dir = tempfile::Builder::new().prefix("shoal-").tempdir()?;
        let home = Home { dir, namespace };
        fs::create_dir(home.path())?;
        home.settings(&[
            ("listen", &format!("\"{address}:0\"")),
            ("port-mapping", "false"),
        ])?;
        Ok(home)
    }

    /// Adds settings to the home's file; values as TOML writes them.
    pub fn settings(&self, pairs: &[(&str, &str)]) -> Result<()> {
        let path = self.path().join("config.toml");
        let mut text = fs::read_to_string(&path).unwrap_or_default();
        for (key, value) in pairs {
            let without: Vec<_> = text
                .lines()
                .filter(|line| !line.starts_with(&format!("{key} =")))
                .collect();
            text = format!("{}\n{key} = {value}\n", without.join("\n"));
        }
        Ok(fs::write(path, text)?)
    }

    /// The home itself.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// A folder beside the home, for trees and targets.
    pub fn beside(&self) -> &Path {
        self.dir.path()
    }

    /// `shoal --home HOME ARGS`, with nothing of the caller's own settings.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Command {
        let mut command = in_namespace(self.namespace.as_deref(), &shoal_binary());
        command.env("RUST_BACKTRACE", "0").env("NO_COLOR", "1");
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let ours = ["SHOAL_", "XDG_", "DBUS_"];
            if ours.iter().any(|start| text.starts_with(start)) {
                command.env_remove(&name);
            }
        }
        command.env("HOME", self.dir.path());
        command.current_dir(self.dir.path());
        command.arg("--home").arg(self.path()).args(args);
        command
    }

    /// Runs a command to its end; half a minute is the most.
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Result<Outcome> {
        self.run_within(args, Deadline::secs(30))
    }

    /// Runs a command to its end.
    pub fn run_within<S: AsRef<std::ffi::OsStr>>(
        &self,
        args: &[S],
        deadline: Deadline,
    ) -> Result<Outcome> {
        let mut running = Running::start(self.command(args))?;
        running.close_stdin();
        running.outcome(deadline)
    }

    /// Starts a command that stays.
    pub fn start<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Result<Running> {
        Running::start(self.command(args))
    }

    /// `shoal share --json PATH EXTRA...` in the foreground, up to its first event.
    pub fn share(&self, path: &Path, extra: &[&str]) -> Result<Share> {
        let mut args: Vec<OsString> = vec!["share".into(), "--json".into()];
        args.extend(extra.iter().map(OsString::from));
        args.push("--".into());
        args.push(path.into());
        let mut running = self.start(&args)?;
        let url = running.event("url", Deadline::secs(20))?;
        let text = |name: &str| -> Result<String> {
            Ok(url[name]
                .as_str()
                .with_context(|| format!("the url event lacks {name}"))?
                .to_owned())
        };
        Ok(Share {
            id: text("id")?,
            url: text("url")?,
            running,
        })
    }

    /// `shoal up --json` in the foreground, until it says that it is up.
    pub fn up(&self) -> Result<Running> {
        let mut running = self.start(&["up", "--json"])?;
        running.event("status", Deadline::secs(20))?;
        Ok(running)
    }

    /// `shoal get --json LINK -o INTO EXTRA...` to its end; two minutes are the most.
    pub fn get(&self, link: &str, into: &Path, extra: &[&str]) -> Result<Outcome> {
        let into = into.to_string_lossy();
        let mut args = vec!["get", "--json", link, "-o", &into];
        args.extend(extra);
        self.run_within(&args, Deadline::secs(120))
    }

    /// One JSON answer of a command that prints one line.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let mut all = vec!["--json", "--no-start"];
        all.extend(args);
        let outcome = self.run(&all)?.success()?;
        outcome
            .lines()?
            .into_iter()
            .next()
            .context("the command printed nothing")
    }

    /// All JSON lines of a command.
    pub fn json_lines(&self, args: &[&str]) -> Result<Vec<Value>> {
        let mut all = vec!["--json", "--no-start"];
        all.extend(args);
        self.run(&all)?.success()?.lines()
    }

    /// Bytes that the home takes on disk, by blocks.
    pub fn disk_bytes(&self) -> Result<u64> {
        let output = Command::new("du").arg("-sk").arg(self.path()).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let kib: u64 = text
            .split_whitespace()
            .next()
            .context("du printed nothing")?
            .parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A command may have left a node in the background.
        if self.path().join("lock").exists() {
            let _ = self
                .command(&["--no-start", "--quiet", "down"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// A `shoal share` that runs in the foreground.
pub struct Share {
    pub id: String,
    pub url: String,
    pub running: Running,
}

impl Share {
    /// Waits until all is hashed, and returns the `ready` event.
    pub fn ready(&mut self, deadline: Deadline) -> Result<Value> {
        let id = self.id.clone();
        self.running
            .event_where("ready", deadline, |event| event["id"] == id.as_str())
    }

    /// Waits until all is hashed, and returns the magnet.
    pub fn magnet(&mut self, deadline: Deadline) -> Result<String> {
        let ready = self.ready(deadline)?;
        Ok(ready["magnet"]
            .as_str()
            .context("ready has a magnet")?
            .to_owned())
    }

    /// `127.0.0.1:PORT` of its web address.
    pub fn address(&self) -> Result<String> {
        let rest = self
            .url
            .strip_prefix("http://")
            .context("the web address is plain http")?;
        Ok(rest.split('/').next().unwrap_or_default().to_owned())
    }
}

/// The `shoal` under test: SHOAL_BIN, or target/release/shoal.
pub fn shoal_binary() -> PathBuf {
    std::env::var_os("SHOAL_BIN").map_or_else(|| release_binary("shoal"), PathBuf::from)
}

/// A program of ours in target/release.
pub fn release_binary(name: &str) -> PathBuf {
    let path = target_dir().join("release").join(name);
    assert!(
        path.exists(),
        "{} is not there: cargo build --release -p {name}",
        path.display()
    );
    path
}

/// A folder for big trees, below target/, which goes when dropped.
pub fn scratch() -> Result<TempDir> {
    let parent = target_dir().join("scratch");
    fs::create_dir_all(&parent)?;
    Ok(tempfile::tempdir_in(parent)?)
}

/// Fails unless `program` can be run, with the line that installs it.
pub fn needs(program: &str) -> Result<PathBuf> {
    let venv = tidy::workspace_root()
        .join("target")
        .join("test-venv/bin")
        .join(program);
    if venv.exists() {
        return Ok(venv);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].iter().map(PathBuf::from));
    for folder in folders {
        if folder.join(program).exists() {
            return Ok(folder.join(program));
        }
    }
    bail!("{program} is not installed: run scripts/install-test-deps")
}

/// A command in a namespace, or here.
pub fn in_namespace(namespace: Option<&str>, program: &Path) -> Command {
    match namespace {
        None => Command::new(program),
        Some(name) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", name]).arg(program);
            command
        }
    }
}

fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| tidy::workspace_root().join("target"), PathBuf::from)
}
