//! Two nodes of Syncthing, with its default settings but for what would leave the cable.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::cable::Cable;
use super::ends::{End, Ends, until};
use crate::options::Options;
use crate::process::Process;

const KEY: &str = "bench";

/// Which one is measured.
pub(crate) fn program(options: &Options) -> PathBuf {
    options.syncthing.clone().unwrap_or("syncthing".into())
}

pub(crate) struct Syncthing {
    dir: PathBuf,
    commands: [Vec<String>; 2],
    asks: [Vec<String>; 2],
    nodes: [Option<Process>; 2],
}

impl Syncthing {
    pub(crate) fn start(options: &Options, cable: &Cable, dir: &Path) -> Result<Self> {
        let program = program(options);
        let words = |command: Command| -> Vec<String> {
            let args = command.get_args();
            args.map(|it| it.to_string_lossy().into_owned()).collect()
        };
        let mut both = Self {
            dir: dir.to_owned(),
            commands: End::BOTH.map(|end| {
                let mut command = cable.command(end as usize, &program.to_string_lossy());
                let home = end.dir(dir).join("home");
                command.arg("serve").arg("--no-browser").arg("--no-restart");
                command.arg("--home").arg(home);
                words(command)
            }),
            asks: End::BOTH.map(|end| words(cable.command(end as usize, "curl"))),
            nodes: [None, None],
        };
        let mut devices = Vec::new();
        for end in End::BOTH {
            fs::create_dir_all(end.folder(dir))?;
            let made = Command::new(&program)
                .args(["generate", "--home"])
                .arg(both.home(end))
                .env("HOME", end.dir(dir))
                .output()
                .with_context(|| format!("starting {}", program.display()))?;
            let said = String::from_utf8_lossy(&made.stderr);
            ensure!(made.status.success(), "syncthing generate: {said}");
            let config = fs::read_to_string(both.home(end).join("config.xml"))?;
            devices.push(own_device(&config).context("no device in config.xml")?);
        }
        for end in End::BOTH {
            let config = config(&devices, &end.folder(dir));
            fs::write(both.home(end).join("config.xml"), config)?;
            both.start_again(end)?;
        }
        until("connected devices", || {
            let left = both.ask(End::Left, "GET", "system/connections")?;
            Ok(left.replace(' ', "").contains("\"connected\":true"))
        })?;
        for end in End::BOTH {
            until("an idle folder", || {
                let status = both.ask(end, "GET", "db/status?folder=work")?;
                Ok(status.replace(' ', "").contains("\"state\":\"idle\""))
            })?;
        }
        Ok(both)
    }

    fn ask(&self, end: End, method: &str, what: &str) -> Result<String> {
        let output = Command::new("ip")
            .args(&self.asks[end as usize])
            .args(["--silent", "--show-error", "--fail", "-X", method, "-H"])
            .arg(format!("X-API-Key: {KEY}"))
            .arg(format!("http://127.0.0.1:8384/rest/{what}"))
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{what}: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Ends for Syncthing {
    fn pid(&self, end: End) -> Result<i32> {
        let node = self.nodes[end as usize].as_ref();
        Ok(node.context("it does not run")?.id())
    }

    fn home(&self, end: End) -> PathBuf {
        end.dir(&self.dir).join("home")
    }

    fn look_now(&mut self, end: End) -> Result<()> {
        self.ask(end, "POST", "db/scan?folder=work").map(drop)
    }

    fn stop(&mut self, end: End) -> Result<()> {
        let node = self.nodes[end as usize].take();
        node.context("it does not run")?.end(Signal::TERM)?;
        Ok(())
    }

    fn start_again(&mut self, end: End) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(&self.commands[end as usize]);
        let node = Process::start(command, &end.dir(&self.dir).join("user"))?;
        self.nodes[end as usize] = Some(node);
        until("Syncthing answers", || {
            Ok(self.ask(end, "GET", "system/ping")?.contains("pong"))
        })
    }

    fn end(mut self: Box<Self>) -> Result<()> {
        self.stop(End::Left)?;
        self.stop(End::Right)
    }
}

fn own_device(config: &str) -> Option<String> {
    let (_, rest) = config.split_once("<device id=\"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

fn config(devices: &[String], folder: &Path) -> String {
    let folder = folder.display();
    let refer: String = devices
        .iter()
        .map(|id| format!("<device id=\"{id}\"/>"))
        .collect();
    let known: String = (devices.iter().zip(End::BOTH))
        .map(|(id, end)| {
            let address = end.address();
            format!("<device id=\"{id}\" name=\"{end:?}\"><address>tcp://{address}:22000</address></device>")
        })
        .collect();
    format!(
        r#"<configuration version="36">
<folder id="work" label="work" path="{folder}" type="sendreceive" rescanIntervalS="3600" fsWatcherEnabled="true" fsWatcherDelayS="10">{refer}</folder>
{known}
<gui enabled="true" tls="false"><address>127.0.0.1:8384</address><apikey>{KEY}</apikey></gui>
<options><listenAddress>tcp://0.0.0.0:22000</listenAddress><globalAnnounceEnabled>false</globalAnnounceEnabled>
<localAnnounceEnabled>false</localAnnounceEnabled><relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled>
<startBrowser>false</startBrowser><urAccepted>-1</urAccepted><urSeen>9999</urSeen><autoUpgradeIntervalH>0</autoUpgradeIntervalH>
<crashReportingEnabled>false</crashReportingEnabled></options>
</configuration>
"#
    )
}
