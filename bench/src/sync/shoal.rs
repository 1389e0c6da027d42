//! Two nodes of shoal.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::cable::Cable;
use super::ends::{End, Ends, until};
use crate::options::Options;
use crate::peers::shoal_program;
use crate::process::Process;

const START_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Shoal {
    program: PathBuf,
    dir: PathBuf,
    commands: [Vec<String>; 2],
    nodes: [Option<Process>; 2],
}

impl Shoal {
    /// Pairs two new homes, and has them keep an empty folder.
    pub(crate) fn start(options: &Options, cable: &Cable, dir: &Path) -> Result<Self> {
        let program = shoal_program(options)?;
        let commands = End::BOTH.map(|end| {
            let mut args: Vec<String> = cable
                .command(end as usize, &program.to_string_lossy())
                .get_args()
                .map(|it| it.to_string_lossy().into_owned())
                .collect();
            let home = end.dir(dir).join("home");
            args.extend(["--home".to_owned(), home.to_string_lossy().into_owned()]);
            args.extend([
                "up".into(),
                "--listen".into(),
                format!("{}:0", end.address()),
            ]);
            args
        });
        let mut both = Self {
            program,
            dir: dir.to_owned(),
            commands,
            nodes: [None, None],
        };
        for end in End::BOTH {
            fs::create_dir_all(end.folder(dir))?;
            both.start_again(end)?;
        }
        both.pair()?;
        let folder = |end: End| end.folder(dir).to_string_lossy().into_owned();
        both.run(End::Left, &["add", &folder(End::Left), "--name", "work"])?;
        until("the offer", || Ok(both.state(End::Right)? == "offered"))?;
        both.run(End::Right, &["join", "work", &folder(End::Right)])?;
        until("equal folders", || {
            Ok(both.state(End::Left)? == "up_to_date" && both.state(End::Right)? == "up_to_date")
        })?;
        Ok(both)
    }

    fn pair(&self) -> Result<()> {
        let mut inviting = Process::start(
            self.command(End::Left, &["pair", "--yes", "--json"]),
            &End::Left.dir(&self.dir),
        )?;
        let invite = inviting.line(Instant::now() + START_MAX, |line| {
            let value: Value = serde_json::from_str(line).ok()?;
            value.get("invite")?.as_str().map(str::to_owned)
        })?;
        self.run(End::Right, &["pair", &invite, "--yes", "--json"])?;
        inviting.complete(Instant::now() + START_MAX)?;
        Ok(())
    }

    fn command(&self, end: End, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--home").arg(self.home(end)).args(args);
        command
    }

    fn run(&self, end: End, args: &[&str]) -> Result<Output> {
        let output = self.command(end, args).output().context("starting shoal")?;
        ensure!(
            output.status.success(),
            "shoal {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output)
    }

    fn state(&self, end: End) -> Result<String> {
        let output = self.run(end, &["sets", "--json"])?;
        let text = String::from_utf8(output.stdout)?;
        let line = text.lines().next().context("no fileset")?;
        let value: Value = serde_json::from_str(line)?;
        Ok(value["state"].as_str().unwrap_or_default().to_owned())
    }
}

impl Ends for Shoal {
    fn pid(&self, end: End) -> Result<i32> {
        let node = self.nodes[end as usize].as_ref();
        Ok(node.context("the node does not run")?.id())
    }

    fn home(&self, end: End) -> PathBuf {
        end.dir(&self.dir).join("home")
    }

    /// It looks at once by itself.
    fn look_now(&mut self, _: End) -> Result<()> {
        Ok(())
    }

    fn stop(&mut self, end: End) -> Result<()> {
        let node = self.nodes[end as usize].take();
        node.context("the node does not run")?.end(Signal::TERM)?;
        Ok(())
    }

    fn start_again(&mut self, end: End) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(&self.commands[end as usize]);
        let node = Process::start(command, &end.dir(&self.dir).join("user"))?;
        self.nodes[end as usize] = Some(node);
        let socket = self.home(end);
        until("a node that answers", || {
            let asked = Command::new(&self.program)
                .arg("--home")
                .arg(&socket)
                .args(["--no-start", "status", "--json"])
                .output()?;
            Ok(asked.status.success())
        })
    }

    fn end(mut self: Box<Self>) -> Result<()> {
        self.stop(End::Left)?;
        self.stop(End::Right)
    }
}
