//! `shoal add`.

use std::path::PathBuf;

use clap::Args;
use shoal_api::{AddRequest, Client, DeviceApi, DeviceState, FilesetApi, FilesetView};
use shoal_protocol::display::escape;

use crate::connect;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Form, Output};
use crate::typed;

/// Make a folder a fileset, which other devices of this group can join and keep the same.
///
/// What is in it stays where it is, and can be used as before. Whatever is changed on one device is changed on the
/// others; two changes at one time are both kept: see `shoal conflicts`.
#[derive(Debug, Args)]
#[command(after_long_help = MORE)]
pub(crate) struct AddArgs {
    /// The folder.
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Its name for all devices; the name of the folder by default.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

const MORE: &str = "\
Shoal keeps its own files of a fileset in PATH/.shoal. Folders of filesets may not lie in each other.
A backup is something else: what is deleted on one device is deleted on all of them.";

pub(crate) async fn run(args: AddArgs, context: &Context) -> Result<(), Failure> {
    let path = typed::absolute(&args.path)?;
    let name = args.name;
    let node = connect::needed(context).await?;
    let output = &context.output;
    let view = node.add_fileset(AddRequest { path, name }).await?;
    output.tagged("fileset", &view)?;
    let folder = view.path.as_deref().unwrap_or_default();
    output.line(&format!(
        "{} is a fileset: {}",
        escape(&view.name),
        escape(folder)
    ))?;
    if output.form == Form::Human {
        next(&node, &view, output).await;
    }
    Ok(())
}

/// What to do on the other devices, if there are any.
async fn next(node: &Client, view: &FilesetView, output: &Output) {
    // The fileset is made; without an answer the longer advice is right, too.
    let devices = node.devices().await.unwrap_or_default();
    let others = |state| matches!(state, DeviceState::Connected | DeviceState::Away);
    let name = typed::fileset(view, &[]);
    if !devices.iter().any(|device| others(device.state)) {
        output.note("This device is alone. Pair it with another one: shoal pair");
    }
    output.note(&format!(
        "To keep it the same on another device, run there: shoal join {name} PATH"
    ));
}
