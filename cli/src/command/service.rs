//! `shoal service`.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use shoal_api::ErrorCode;
use tokio::process::Command;

use crate::context::{Context, xdg};
use crate::failure::Failure;

/// Install the node as a systemd user service, or remove it.
#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Action {
    /// Write ~/.config/systemd/user/shoal.service, and start it now and at every login.
    Install,
    /// End the service and remove its unit; shares and settings stay.
    Uninstall,
}

const UNIT: &str = "shoal.service";
/// By this line a unit is known as ours.
const MARK: &str = "# Written by `shoal service install`; `shoal service uninstall` removes it.";

pub(crate) async fn run(args: ServiceArgs, context: &Context) -> Result<(), Failure> {
    let path = unit_path()?;
    match args.action {
        Action::Install => install(&path, context).await,
        Action::Uninstall => uninstall(&path, context).await,
    }
}

async fn install(path: &Path, context: &Context) -> Result<(), Failure> {
    is_ours(path)?;
    let program = std::env::current_exe().map_err(|error| {
        Failure::internal(format!("this program's own path is unknown: {error}"))
    })?;
    let home = context
        .global
        .home
        .as_ref()
        .map(|_| context.home.data_dir());
    let text = unit(&program, home)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|error| Failure::path("cannot write", path, &error))?;
    context
        .output
        .tagged("service", &json!({"installed": true, "path": path}))?;
    context.output.line(&format!("Wrote {}", path.display()))?;
    let steps: &[&[&str]] = &[&["daemon-reload"], &["enable", "--now", UNIT]];
    systemctl(steps, context).await;
    context.output.note(
        "It runs while you are logged in. To let it run from boot on: loginctl enable-linger",
    );
    Ok(())
}

async fn uninstall(path: &Path, context: &Context) -> Result<(), Failure> {
    if !is_ours(path)? {
        return Err(Failure::new(
            ErrorCode::NotFound,
            format!("no service is installed: there is no {}", path.display()),
            "nothing is to be done",
        ));
    }
    systemctl(&[&["disable", "--now", UNIT]], context).await;
    std::fs::remove_file(path).map_err(|error| Failure::path("cannot remove", path, &error))?;
    context
        .output
        .tagged("service", &json!({"installed": false, "path": path}))?;
    context
        .output
        .line(&format!("Removed {}", path.display()))?;
    systemctl(&[&["daemon-reload"]], context).await;
    Ok(())
}

/// Whether the unit is there; an error if somebody else wrote it.
fn is_ours(path: &Path) -> Result<bool, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.lines().any(|line| line == MARK) => Ok(true),
        Ok(_) => Err(Failure::new(
            ErrorCode::TargetExists,
            format!("{} was not written by shoal", path.display()),
            "move it away if it is not needed, then run this command again",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::path("cannot read", path, &error)),
    }
}

/// Takes the steps, or says which are left to the person.
async fn systemctl(steps: &[&[&str]], context: &Context) {
    for (done, step) in steps.iter().enumerate() {
        let output = Command::new("systemctl")
            .arg("--user")
            .args(*step)
            .stdin(std::process::Stdio::null())
            .output()
            .await;
        let why = match output {
            Ok(output) if output.status.success() => continue,
            Ok(output) => String::from_utf8_lossy(&output.stderr)
                .lines()
                .next()
                .unwrap_or("it failed")
                .to_owned(),
            Err(error) => error.to_string(),
        };
        let left: Vec<String> = steps
            .iter()
            .skip(done)
            .map(|step| format!("  systemctl --user {}", step.join(" ")))
            .collect();
        context.output.aside(&format!(
            "systemctl could not be used ({}). What is left to run, where systemd runs your session:\n{}",
            shoal_protocol::display::escape(&why),
            left.join("\n")
        ));
        return;
    }
}

fn unit_path() -> Result<PathBuf, Failure> {
    let places = xdg();
    let config = places
        .config
        .filter(|path| path.is_absolute())
        .or_else(|| places.home.map(|home| home.join(".config")))
        .ok_or_else(|| {
            Failure::usage(
                "there is no home directory to put the unit into",
                "set HOME, or XDG_CONFIG_HOME",
            )
        })?;
    Ok(config.join("systemd/user").join(UNIT))
}

fn unit(program: &Path, home: Option<&Path>) -> Result<String, Failure> {
    let mut start = quoted(program)?;
    if let Some(home) = home {
        start.push_str(" --home ");
        start.push_str(&quoted(home)?);
    }
    Ok(format!(
        "{MARK}\n\
         [Unit]\n\
         Description=Shoal node\n\
         After=network-online.target\n\
         \n\
         [Service]\n\
         ExecStart={start} --quiet up\n\
         Restart=on-failure\n\
         RestartSec=5\n\
         # A wrong setting, a taken port or home, a newer store: starting again would not help.\n\
         RestartPreventExitStatus=2 4 11 12 13\n\
         NoNewPrivileges=true\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n"
    ))
}

/// As systemd.service(5) wants a word of a command line.
fn quoted(path: &Path) -> Result<String, Failure> {
    let text = path
        .to_str()
        .filter(|text| !text.contains('\n'))
        .ok_or_else(|| {
            Failure::usage(
                "a path with line breaks or bytes that are not UTF-8 cannot stand in a unit",
                "use another folder for the program or the home",
            )
        })?;
    let escaped = text
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
        .replace('$', "$$");
    Ok(format!("\"{escaped}\""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_unit_starts_this_program_on_this_home() {
        let text = unit(Path::new("/usr/bin/shoal"), Some(Path::new("/data/a b"))).unwrap();
        assert!(text.starts_with(MARK));
        assert!(text.contains("\nExecStart=\"/usr/bin/shoal\" --home \"/data/a b\" --quiet up\n"));
        let text = unit(Path::new("/usr/bin/shoal"), None).unwrap();
        assert!(text.contains("\nExecStart=\"/usr/bin/shoal\" --quiet up\n"));
    }

    #[test]
    fn what_systemd_would_expand_is_escaped() {
        assert_eq!(
            quoted(Path::new(r#"/a"%h$X\"#)).unwrap(),
            r#""/a\"%%h$$X\\""#
        );
        assert!(quoted(Path::new("/a\nExecStart=/bin/false")).is_err());
    }
}
