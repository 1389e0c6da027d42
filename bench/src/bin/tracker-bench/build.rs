//! Builds tracker-lite as it is meant to be installed: linked statically, so that it is without the memory of shared
//! libraries of which it uses little.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Builds the program into the target folder from which this one runs. Nothing happens if it is up to date.
pub(crate) fn tracker_lite() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let target_folder = exe
        .ancestors()
        .nth(2)
        .context("this program is not in a target folder; name tracker-lite with --tracker-lite")?;
    let host = host()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--package", "tracker-lite"])
        .args(["--target", &host, "--target-dir"])
        .arg(target_folder)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .context("cargo does not start; name a built tracker-lite with --tracker-lite")?;
    if !status.success() {
        bail!("tracker-lite does not build; name a built one with --tracker-lite");
    }
    Ok(target_folder
        .join(host)
        .join("release")
        .join("tracker-lite"))
}

/// The triple of this machine: with it named, flags are for the program alone and not for what builds it.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output()?;
    String::from_utf8(output.stdout)?
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc does not name its host")
}
