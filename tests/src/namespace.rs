//! Two network namespaces joined by a virtual cable, which nothing outside them sees. Needs root.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

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
}

/// Two namespaces that reach each other and nobody else. Both go when dropped.
pub struct Pair {
    pub left: Namespace,
    pub right: Namespace,
}

impl Pair {
    /// Makes them: 10.99.0.1 and 10.99.0.2.
    pub fn new() -> Result<Pair> {
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
        };
        for side in [&pair.left, &pair.right] {
            ip(&["netns", "add", &side.name])?;
            side.run(&["ip", "link", "set", "lo", "up"])?;
        }
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
            let address = format!("{}/24", side.address);
            side.run(&["ip", "address", "add", &address, "dev", "cable"])?;
            side.run(&["ip", "link", "set", "cable", "up"])?;
        }
        Ok(pair)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
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
