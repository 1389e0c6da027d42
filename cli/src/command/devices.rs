//! `shoal devices`.

use clap::{Args, Subcommand};
use serde_json::json;
use shoal_api::{
    Answer, AnswerRequest, Client, DeviceApi, DeviceState, DeviceView, LimitRequest, RenameRequest,
    Via,
};
use shoal_protocol::display::escape;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Form, Output};
use crate::{connect, table, units};

/// Hexadecimal digits of a key that are shown.
const KEY_DIGITS: usize = 8;

/// List the devices of this group, and those that wait to be confirmed; confirm, rename, limit or remove one.
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
    /// Limit how fast files go to and come from a device, on this one. Without --up and --down: no limit any more.
    Limit {
        /// Its name, or the first digits of its key.
        #[arg(value_name = "NAME")]
        name: String,
        /// Bytes a second to it, such as 500K or 2M.
        #[arg(long, value_name = "SPEED", value_parser = units::parse_speed)]
        up: Option<u64>,
        /// Bytes a second from it.
        #[arg(long, value_name = "SPEED", value_parser = units::parse_speed)]
        down: Option<u64>,
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
        Some(Action::Limit { name, up, down }) => {
            let request = LimitRequest {
                device: name,
                up_bytes_per_s: up,
                down_bytes_per_s: down,
            };
            let view = node.limit_device(request).await?;
            output.tagged("device", &view)?;
            let name = escape(&view.name);
            output.line(&match limits(&view) {
                Some(limits) => format!("{name}: {limits}"),
                None => format!("{name} has no limit."),
            })
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
    for device in &devices {
        if let Some(limits) = limits(device) {
            output.line(&format!("{}: {limits}", escape(&device.name)))?;
        }
    }
    if devices.len() == 1 {
        output.note("This device is alone. Pair it with another one: shoal pair");
    }
    Ok(())
}

/// `2.0 MiB/s to it, 500 KiB/s from it`; none without a limit.
fn limits(device: &DeviceView) -> Option<String> {
    let way = |rate: Option<u64>, way| rate.map(|rate| format!("{} {way}", units::speed(rate)));
    let up = way(device.up_limit_bytes_per_s, "at most to it");
    let down = way(device.down_limit_bytes_per_s, "at most from it");
    let limits: Vec<_> = up.into_iter().chain(down).collect();
    (!limits.is_empty()).then(|| limits.join(", "))
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
