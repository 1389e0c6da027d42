//! `shoal stop`.

use clap::Args;
use shoal_api::{Api, ShareEnd};
use shoal_protocol::display::escape;

use crate::connect;
use crate::context::Context;
use crate::failure::Failure;

/// End a link for good, within a second.
///
/// From then on this node refuses the link on every way, and says why to whoever comes with it.
/// What was taken cannot be recalled. People who already have the files, or parts of them, in
/// torrent clients of their own may go on giving them to each other.
#[derive(Debug, Args)]
#[command(visible_alias = "unshare")]
pub(crate) struct StopArgs {
    /// The share's id or its first letters (four at least), as `shoal shares` shows it.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

pub(crate) async fn run(args: StopArgs, context: &Context) -> Result<(), Failure> {
    let node = connect::needed(context).await?;
    let output = &context.output;
    for id in &args.ids {
        let share = node.stop_share(id).await?;
        output.tagged("stopped", &share)?;
        let name = escape(&share.name);
        output.line(&match share.end {
            ShareEnd::Stopped { .. } => format!("{} has ended: {name}", share.id),
            _ => format!("{} had ended before: {name}", share.id),
        })?;
        if share.completed > 0 {
            output.note(&format!(
                "  {} had taken it; that cannot be recalled.",
                crate::units::people(share.completed)
            ));
        }
    }
    Ok(())
}
