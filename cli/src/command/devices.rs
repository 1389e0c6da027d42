//! `shoal devices`.

use clap::{Args, Subcommand};
use serde_json::json;
use shoal_api::{
    Answer, AnswerRequest, Client, DeviceApi, DeviceState, DeviceView, RenameRequest, Via,
};
use shoal_protocol::display::escape;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Form, Output};
use crate::{connect, table};

/// Hexadecimal digits of a key that are shown.
const KEY_DIGITS: usize = 8;

/// List the devices of this group, and those that wait to be confirmed; confirm, rename or remove one.
#[derive(Debug, Args)]
pub(crate) struct DevicesArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Confirm a device that waits, once both devices have shown the same digits.
    Confirm {
        /// Its name, or the first digits of its key.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Give a device another name, on all devices of the group.
    Rename {
        /// Its name, or the first digits of its key.
        #[arg(value_name = "NAME")]
        name: String,
        /// Its name from now on.
        #[arg(value_name = "NEW")]
        new: String,
    },
    /// Remove a device from the group, or refuse one that waits. With the name of this device: leave the group.
    ///
    /// Connections to it end at once here, and on every other device as soon as it hears of it. What the device
    /// has received stays there: that cannot be recalled.
    Remove {
        /// Its name, or the first digits of its key.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

pub(crate) async fn run(args: DevicesArgs, context: &Context) -> Result<(), Failure> {
    let node = connect::needed(context).await?;
    let output = &context.output;
    match args.action {
        None => list(&node, output).await,
        Some(Action::Confirm { name }) => {
            let answer = Answer::Yes;
            let device = name;
            let view = node.answer(AnswerRequest { device, answer }).await?;
            output.tagged("confirmed", &view)?;
            output.line(&format!("{} is confirmed.", escape(&view.name)))
        }
        Some(Action::Rename { name, new }) => {
            let request = RenameRequest {
                device: name.clone(),
                name: new,
            };
            let view = node.rename_device(request).await?;
            output.tagged("device", &view)?;
            let (old, new) = (escape(&name), escape(&view.name));
            output.line(&format!("{old} is called {new} from now on."))
        }
        Some(Action::Remove { name }) => remove(&name, &node, output).await,
    }
}

async fn list(node: &Client, output: &Output) -> Result<(), Failure> {
    let devices = node.devices().await?;
    if output.form == Form::Json {
        return devices
            .iter()
            .try_for_each(|device| output.tagged("device", device));
    }
    let rows: Vec<Vec<String>> = devices.iter().map(cells).collect();
    for line in table::render(
        &["NAME", "STATE", "KEY", "ADDRESS"],
        &rows,
        0,
        output.width(),
    ) {
        output.line(&line)?;
    }
    if devices.len() == 1 {
        output.note("This device is alone. Pair it with another one: shoal pair");
    }
    Ok(())
}

fn cells(device: &DeviceView) -> Vec<String> {
    let state = match device.state {
        DeviceState::This => "this device".to_owned(),
        DeviceState::Connected => match device.via {
            Some(Via::Relay) => "connected by relay".to_owned(),
            Some(Via::Direct) | None => "connected".to_owned(),
        },
        DeviceState::Away => "away".to_owned(),
        DeviceState::Waiting => format!("waits, shows {}", device.code.as_deref().unwrap_or("-")),
    };
    vec![
        escape(&device.name).into_owned(),
        state,
        device.device.chars().take(KEY_DIGITS).collect(),
        device
            .addresses
            .first()
            .map_or("-", String::as_str)
            .to_owned(),
    ]
}

async fn remove(name: &str, node: &Client, output: &Output) -> Result<(), Failure> {
    let removed = node.remove_device(name).await?;
    output.tagged("removed", &json!(removed))?;
    output.line(&format!("{} is removed.", escape(&removed.name)))?;
    if !removed.untold.is_empty() {
        let names: Vec<_> = removed.untold.iter().map(|name| escape(name)).collect();
        output.note(&format!(
            "Not reached, and told as soon as they can be: {}",
            names.join(", ")
        ));
    }
    Ok(())
}
