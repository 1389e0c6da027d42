//! Two network namespaces joined by a virtual cable.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What netem adds on each side: half of 50 ms and of 0.1 %, at 100 Mbit/s.
const FAR: [&str; 10] = [
    "root", "netem", "delay", "25ms", "loss", "0.05%", "rate", "100mbit", "limit", "1000",
];

/// The two namespaces; they go when this is dropped.
pub(crate) struct Cable {
    names: [String; 2],
}

impl Cable {
    pub(crate) fn new() -> Result<Self> {
        let name = |side| format!("shoal-bench-{}{side}", std::process::id());
        let cable = Self {
            names: [name("l"), name("r")],
        };
        let [left, right] = &cable.names;
        for name in [left, right] {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        let between = [
            "link", "add", "cable", "netns", left, "type", "veth", "peer",
        ];
        ip(&[&between[..], &["name", "cable", "netns", right]].concat())?;
        for (name, address) in [(left, "10.99.0.1/24"), (right, "10.99.0.2/24")] {
            ip(&["-n", name, "address", "add", address, "dev", "cable"])?;
            ip(&["-n", name, "link", "set", "cable", "up"])?;
        }
        Ok(cable)
    }

    /// Makes it long, slow and lossy.
    pub(crate) fn is_far(&mut self) -> Result<()> {
        for name in &self.names {
            let tc = ["netns", "exec", name, "tc", "qdisc", "add", "dev", "cable"];
            ip(&[&tc[..], &FAR].concat())?;
        }
        Ok(())
    }

    /// Whether the kernel can make it so.
    pub(crate) fn can_be_far(mut self) -> bool {
        self.is_far().is_ok()
    }

    /// Starts a program in one of them; what it becomes has the process id of what is started.
    pub(crate) fn command(&self, side: usize, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[side], program]);
        command
    }

    /// What has gone over it, both ways, as the process `pid` at one end sees it.
    pub(crate) fn bytes(&self, pid: i32) -> Result<u64> {
        let path = format!("/proc/{pid}/net/dev");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("cable:"))
            .context("the cable is not there")?;
        // Received bytes are the first column, sent ones the ninth (proc(5)).
        let columns: Vec<u64> = line
            .split_whitespace()
            .map(|it| it.parse().unwrap_or(0))
            .collect();
        Ok(columns.first().unwrap_or(&0) + columns.get(8).unwrap_or(&0))
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&["netns", "del", name]);
        }
    }
}

fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip")
        .args(args)
        .output()
        .context("starting ip")?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
