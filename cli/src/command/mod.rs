//! One file for each command.

pub(crate) mod add;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod conflicts;
pub(crate) mod devices;
pub(crate) mod down;
pub(crate) mod events;
pub(crate) mod get;
pub(crate) mod join;
pub(crate) mod leave;
pub(crate) mod log;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod pair;
pub(crate) mod pause;
pub(crate) mod resume;
pub(crate) mod service;
pub(crate) mod sets;
pub(crate) mod share;
pub(crate) mod shares;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod up;

use crate::args::Command;
use crate::context::Context;
use crate::failure::Failure;
use crate::logging::{self, Stderr};

/// Runs a command to its end.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    // These two are the node, or may become it, and set logging up with its settings.
    match command {
        Command::Share(args) => return share::run(args, context).await,
        Command::Up(args) => return up::run(args, context).await,
        _ => logging::begin(context, "info", Stderr::Asked),
    }
    match command {
        Command::Share(_) | Command::Up(_) => Ok(()),
        Command::Shares(args) => shares::run(args, context).await,
        Command::Stop(args) => stop::run(args, context).await,
        Command::Events(args) => events::run(args, context).await,
        Command::Log(args) => log::run(args, context).await,
        Command::Get(args) => get::run(args, context).await,
        Command::Pair(args) => pair::run(args, context).await,
        Command::Devices(args) => devices::run(args, context).await,
        Command::Add(args) => add::run(args, context).await,
        Command::Join(args) => join::run(args, context).await,
        Command::Leave(args) => leave::run(args, context).await,
        Command::Sets(args) => sets::run(args, context).await,
        Command::Pause(args) => pause::run(args, context).await,
        Command::Resume(args) => resume::run(args, context).await,
        Command::Conflicts(args) => conflicts::run(args, context).await,
        Command::Down(args) => down::run(args, context).await,
        Command::Status(args) => status::run(args, context).await,
        Command::Logs(args) => logs::run(args, context).await,
        Command::Service(args) => service::run(args, context).await,
        Command::Config(args) => config::run(args, context),
        Command::Completions(args) => completions::run(&args, context),
        Command::Man(args) => man::run(&args, context),
    }
}
