//! `shoal resume`.

use clap::Args;
use shoal_api::{FilesetApi, HaltAnswer, ResumeRequest};
use shoal_protocol::display::escape;

use crate::context::Context;
use crate::failure::Failure;
use crate::{connect, fileset};

/// Let a fileset go on after a pause, or after it halted.
///
/// A fileset halts by itself before many files would be deleted at once: its folder is empty, or more than half of it is
/// gone. `shoal sets` says why. It goes on with one of the two answers.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The fileset: its name, its folder here, or the first digits of its id.
    #[arg(value_name = "NAME")]
    name: String,
    /// The deletion is meant: do it on all devices.
    #[arg(long, conflicts_with = "restore")]
    delete: bool,
    /// The deletion is not meant: bring back what is gone from the other devices.
    #[arg(long)]
    restore: bool,
}

pub(crate) async fn run(args: ResumeArgs, context: &Context) -> Result<(), Failure> {
    let answer = match (args.delete, args.restore) {
        (true, _) => Some(HaltAnswer::Delete),
        (_, true) => Some(HaltAnswer::Restore),
        _ => None,
    };
    let fileset = args.name;
    let node = connect::needed(context).await?;
    let output = &context.output;
    let resumed = node.resume_fileset(ResumeRequest { fileset, answer });
    let view = resumed.await.map_err(fileset::not_found)?;
    output.tagged("fileset", &view)?;
    let what = match answer {
        None => "",
        Some(HaltAnswer::Delete) => " What is gone here is deleted on all devices.",
        Some(HaltAnswer::Restore) => " What is gone here comes back from the other devices.",
    };
    output.line(&format!("{} goes on.{what}", escape(&view.name)))
}
