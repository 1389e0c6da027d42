//! `shoal leave`.

use clap::Args;
use shoal_api::FilesetApi;
use shoal_protocol::display::escape;

use crate::context::Context;
use crate::failure::Failure;
use crate::{connect, fileset};

/// Keep a fileset here no more. Its files stay, here and on the other devices.
#[derive(Debug, Args)]
pub(crate) struct LeaveArgs {
    /// The fileset: its name, its folder here, or the first digits of its id.
    #[arg(value_name = "NAME")]
    name: String,
}

pub(crate) async fn run(args: LeaveArgs, context: &Context) -> Result<(), Failure> {
    let node = connect::needed(context).await?;
    let output = &context.output;
    let left = node.leave_fileset(&args.name).await;
    let view = left.map_err(fileset::not_found)?;
    output.tagged("fileset_left", &view)?;
    output.line(&format!("{} is kept here no more.", escape(&view.name)))?;
    if let Some(path) = &view.path {
        output.note(&format!("Its files stay in {}", escape(path)));
    }
    Ok(())
}
