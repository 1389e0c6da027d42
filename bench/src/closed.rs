//! A network that has loopback alone, so that nobody asks a public relay, tracker, DHT or name server.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::options::Options;

/// Set for the process inside.
const INSIDE: &str = "SHOAL_BENCH_CLOSED";

/// Where the trials run.
pub(crate) enum Network {
    /// In a namespace of their own.
    Closed,
    /// In that of this machine.
    Host,
}

/// Starts this program again in a namespace of its own, where this machine lets it.
pub(crate) fn enter(options: &Options) -> Result<Network> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(Network::Closed);
    }
    if options.host_network {
        return Ok(Network::Host);
    }
    // Root needs no user namespace, and keeps its rights without one.
    let ways: [&[&str]; 2] = [&["--net"], &["--user", "--map-root-user", "--net"]];
    let Some(way) = ways.into_iter().find(|way| works(way)) else {
        eprintln!("note: no network namespace can be made here; staying in this machine's network");
        return Ok(Network::Host);
    };
    let error = unshare(way)
        .arg("ip link set lo up && exec \"$0\" \"$@\"")
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1).filter(|it| it != "--install"))
        .env(INSIDE, "1")
        .exec();
    bail!("unshare does not start: {error}")
}

fn works(way: &[&str]) -> bool {
    unshare(way)
        .arg("ip link set lo up")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn unshare(way: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(way).args(["--", "sh", "-c"]);
    command
}
