//! Two network namespaces joined by a virtual cable, which nothing outside them sees. Needs root.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

use crate::{Deadline, Running, needs, tidy};

/// A network namespace with one address on its cable.
pub struct Namespace {
    name: String,
    address: String,
}

impl Namespace {
    /// Its name, as `ip netns exec` takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its IPv4 address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Runs a program in it to its end and returns what it printed.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let mut all = vec!["netns", "exec", &self.name];
        all.extend(args);
        ip(&all)
    }

    fn address_on(&self, device: &str) -> Result<()> {
        let address = format!("{}/24", self.address);
        self.run(&["ip", "address", "add", &address, "dev", device])
            .map(drop)
    }

    /// From now on no UDP arrives from outside, as on many guest networks; nobody is told.
    pub fn block_udp(&self) -> Result<()> {
        let rules = "add table inet shoal; add chain inet shoal in { type filter hook input priority 0; }; \
            add rule inet shoal in iifname != lo meta l4proto udp drop";
        self.run(&["nft", rules]).map(drop)
    }

    /// With UDP blocked: nobody outside comes to this TCP port, either.
    pub fn block_tcp(&self, port: u64) -> Result<()> {
        let rule = format!("add rule inet shoal in iifname != lo tcp dport {port} drop");
        self.run(&["nft", &rule]).map(drop)
    }

    /// Ends all that.
    pub fn allow_udp(&self) -> Result<()> {
        self.run(&["nft", "delete table inet shoal"]).map(drop)
    }
}

/// What lies between two namespaces.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    /// In one direction.
    pub delay_ms: u32,
    pub loss_percent: f32,
    pub rate_mbit: u32,
}

/// Two namespaces that reach each other and nobody else. Both go when dropped.
pub struct Pair {
    pub left: Namespace,
    pub right: Namespace,
    cable: Option<Running>,
}

impl Pair {
    /// Makes them: 10.99.0.1 and 10.99.0.2.
    pub fn new() -> Result<Pair> {
        let pair = Pair::without_cable()?;
        ip(&[
            "link",
            "add",
            "cable",
            "netns",
            &pair.left.name,
            "type",
            "veth",
            "peer",
            "name",
            "cable",
            "netns",
            &pair.right.name,
        ])?;
        for side in [&pair.left, &pair.right] {
            side.address_on("cable")?;
            side.run(&["ip", "link", "set", "cable", "up"])?;
        }
        Ok(pair)
    }

    /// The same, far from each other. By a program, because not every kernel has netem.
    pub fn far(path: Path) -> Result<Pair> {
        let mut pair = Pair::without_cable()?;
        let program = tidy::workspace_root().join("tests/py/lossy_cable.py");
        let mut command = Command::new(needs("python3")?);
        command
            .arg(program)
            .args([pair.left.name(), pair.right.name()])
            .arg(path.delay_ms.to_string())
            .arg(path.loss_percent.to_string())
            .arg(path.rate_mbit.to_string());
        let mut cable = Running::start(command)?;
        let said = cable.line(Deadline::secs(10))?;
        ensure!(said.as_deref() == Some("ready"), "the cable says {said:?}");
        pair.cable = Some(cable);
        for side in [&pair.left, &pair.right] {
            side.address_on("far")?;
        }
        Ok(pair)
    }

    fn without_cable() -> Result<Pair> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("shoal-{}-{number}{side}", std::process::id());
        let pair = Pair {
            left: Namespace {
                name: name("l"),
                address: "10.99.0.1".into(),
            },
            right: Namespace {
                name: name("r"),
                address: "10.99.0.2".into(),
            },
            cable: None,
        };
        for side in [&pair.left, &pair.right] {
            ip(&["netns", "add", &side.name])?;
            side.run(&["ip", "link", "set", "lo", "up"])?;
        }
        Ok(pair)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        drop(self.cable.take());
        for side in [&self.left, &self.right] {
            let _ = ip(&["netns", "del", &side.name]);
        }
    }
}

fn ip(args: &[&str]) -> Result<String> {
    let output = Command::new("ip")
        .args(args)
        .output()
        .context("ip does not start: run scripts/install-test-deps")?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
