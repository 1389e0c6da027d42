//! Starts a node that outlives this command.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use shoal_api::{ApiError, ErrorCode, NodeStatus};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::context::Context;
use crate::failure::Failure;
use crate::logfile;

/// A node of ten thousand shares starts in seconds; one that takes this long is stuck.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The first line that the node in the background prints.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum FirstLine {
    Status(Box<NodeStatus>),
    Error(ApiError),
}

/// Starts this program again as `shoal up` in a session of its own, and returns when it answers, or with its error.
pub(crate) async fn start(
    context: &Context,
    up_options: &[OsString],
) -> Result<NodeStatus, Failure> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::internal(format!("this program's own path is unknown: {error}"))
    })?;
    let mut command = Command::new(&program);
    command
        .args(["--json", "up", "--as-background"])
        .args(up_options);
    if context.global.home.is_some() {
        command.arg("--home").arg(context.home.data_dir());
    }
    command
        .args(std::iter::repeat_n("-v", context.global.verbose.into()))
        // It must not keep a disk from being unmounted.
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(last_words(context)?);
    let mut child = command
        .spawn()
        .map_err(|error| Failure::path("cannot start", &program, &error))?;
    let Some(stdout) = child.stdout.take() else {
        return Err(Failure::internal(
            "the node in the background has no stdout",
        ));
    };
    let mut line = String::new();
    let mut stdout = BufReader::new(stdout);
    match tokio::time::timeout(START_LIMIT, stdout.read_line(&mut line)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(died(context, &error.to_string())),
        Err(_) => {
            // Best effort: what is reported is that it did not start.
            let _ = child.start_kill();
            return Err(died(
                context,
                &format!("nothing in {} seconds", START_LIMIT.as_secs()),
            ));
        }
    }
    match serde_json::from_str(&line) {
        Ok(FirstLine::Status(status)) => Ok(*status),
        Ok(FirstLine::Error(error)) => Err(error.into()),
        Err(_) => Err(died(context, "no more than its log")),
    }
}

/// Where a node that dies before it can log says why.
fn last_words(context: &Context) -> Result<Stdio, Failure> {
    let folder = context.home.log_dir();
    let path = logfile::present(folder);
    std::fs::create_dir_all(folder)
        .and_then(|()| {
            OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(&path)
        })
        .map(Stdio::from)
        .map_err(|error| Failure::path("cannot write the log", &path, &error))
}

fn died(context: &Context, said: &str) -> Failure {
    let last = logfile::tail(context.home.log_dir(), 1)
        .ok()
        .and_then(|mut lines| lines.pop())
        .unwrap_or_default();
    Failure::new(
        ErrorCode::NoNode,
        format!(
            "the node in the background did not start; it said {said} {}",
            shoal_protocol::display::escape(&last)
        )
        .trim_end()
        .to_owned(),
        "see `shoal logs`, or run `shoal up` to watch it",
    )
}
