//! `shoal`: gives out files by link, and takes them.

mod args;
mod background;
mod command;
mod connect;
mod context;
mod expiry;
mod failure;
mod fileset;
mod logfile;
mod logging;
mod output;
mod password;
mod qr;
mod question;
mod screen;
mod seat;
mod signals;
mod table;
mod typed;
mod units;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::args::Cli;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;

/// Time that tasks have to end after the command has; what is kept is safe without it.
const FAREWELL: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let wants_json = std::env::args_os().any(|argument| argument == "--json");
            return failure::report_usage(error, wants_json);
        }
    };
    let output = Output::new(&cli.global);
    match run(cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&output),
    }
}

fn run(cli: Cli, output: &Output) -> Result<(), Failure> {
    let context = Context::new(cli.global, output.clone())?;
    // `get` on one thread: on several, librqbit hands its thread over for every 16 KiB, which takes twice the CPU.
    let mut builder = match &cli.command {
        args::Command::Get(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("no threads can be had: {error}")))?;
    let outcome = runtime.block_on(command::run(cli.command, &context));
    runtime.shutdown_timeout(FAREWELL);
    outcome
}
