//! `shoal pause`.

use clap::Args;
use shoal_api::FilesetApi;
use shoal_protocol::display::escape;

use crate::context::Context;
use crate::failure::Failure;
use crate::{connect, fileset, typed};

/// Let a fileset stand still here: nothing is sent, taken or changed until `shoal resume`, also after a restart.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// The fileset: its name, its folder here, or the first digits of its id.
    #[arg(value_name = "NAME")]
    name: String,
}

pub(crate) async fn run(args: PauseArgs, context: &Context) -> Result<(), Failure> {
    let node = connect::needed(context).await?;
    let output = &context.output;
    let paused = node.pause_fileset(&args.name).await;
    let view = paused.map_err(fileset::not_found)?;
    output.tagged("fileset", &view)?;
    output.line(&format!("{} is paused.", escape(&view.name)))?;
    output.note(&format!(
        "It goes on with: shoal resume {}",
        typed::fileset(&view, &[])
    ));
    Ok(())
}
