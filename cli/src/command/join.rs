//! `shoal join`.

use std::path::PathBuf;

use clap::Args;
use shoal_api::{FilesetApi, JoinFilesetRequest};
use shoal_protocol::display::escape;

use crate::connect;
use crate::context::Context;
use crate::failure::Failure;
use crate::{fileset, typed};

/// Keep a fileset of another device here, too.
///
/// What is in PATH already is united with it, and nothing is deleted: files of the same content are the same, of two
/// different files at one path both are kept (see `shoal conflicts`).
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The fileset: its name, or the first digits of its id. `shoal sets` lists what is offered.
    #[arg(value_name = "NAME")]
    name: String,
    /// The folder; it is made if it is not there.
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

pub(crate) async fn run(args: JoinArgs, context: &Context) -> Result<(), Failure> {
    let path = typed::absolute(&args.path)?;
    let fileset = args.name;
    let node = connect::needed(context).await?;
    let output = &context.output;
    let joined = node.join_fileset(JoinFilesetRequest { fileset, path });
    let view = joined.await.map_err(fileset::not_found)?;
    output.tagged("fileset", &view)?;
    let folder = view.path.as_deref().unwrap_or_default();
    output.line(&format!(
        "{} is kept the same here: {}",
        escape(&view.name),
        escape(folder)
    ))?;
    output.note("How far it is: shoal sets --watch");
    Ok(())
}
