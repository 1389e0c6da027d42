//! `shoal status`.

use clap::Args;
use shoal_api::{
    Api, ErrorCode, FilesetApi, FilesetView, Mapping, MappingOutcome, NodeStatus, Transport,
};
use shoal_protocol::display::{bytes_human, duration_human, escape, escape_os};

use crate::connect;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Form, Output};
use crate::{fileset, units};

/// Show where the node of this home can be reached, what it does, and how its filesets stand; exit code 10 if none runs.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {}

pub(crate) async fn run(_: StatusArgs, context: &Context) -> Result<(), Failure> {
    let node = connect::running(context).await?;
    let output = &context.output;
    show(&node.status().await?, output)?;
    if output.form == Form::Human {
        match node.filesets().await {
            Ok(views) => filesets(&views, output)?,
            // A node of an older version has no such route; `status` is what tells its version.
            Err(error) if error.code == ErrorCode::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A line for each; `shoal sets` tells more.
fn filesets(views: &[FilesetView], output: &Output) -> Result<(), Failure> {
    views
        .iter()
        .try_for_each(|view| output.line(&format!("fileset  {}", fileset::line(view))))
}

/// The status as a result.
pub(crate) fn show(status: &NodeStatus, output: &Output) -> Result<(), Failure> {
    output.tagged("status", status)?;
    let home = escape_os(status.home.as_os_str().as_encoded_bytes());
    output.line(&format!(
        "node     shoal {}, pid {}, up {}",
        status.version,
        status.pid,
        duration_human(status.uptime_s)
    ))?;
    output.line(&format!("home     {home}"))?;
    output.line(&format!("device   {}", status.device))?;
    if let Some(group) = &status.group {
        output.line(&format!(
            "group    {}: {}, {} connected, {} waiting",
            escape(&group.name),
            units::count(group.devices, "device"),
            group.connected,
            group.waiting
        ))?;
    }
    output.line(&format!(
        "ports    TCP {} (HTTP, BitTorrent), UDP {} (iroh), UDP {} (tracker)",
        status.ports.tcp, status.ports.iroh_udp, status.ports.tracker_udp
    ))?;
    for address in &status.addresses {
        output.line(&format!("address  http://{address}"))?;
    }
    output.line(&format!(
        "reach    {}: {}",
        units::scope(status.reach.scope),
        status.reach.sentence
    ))?;
    if let Some(help) = &status.reach.help {
        output.line(&format!("         {help}"))?;
    }
    for mapping in &status.mappings {
        output.line(&format!("router   {}", router(mapping)))?;
    }
    let shares = &status.shares;
    output.line(&format!(
        "shares   {} active ({} of them being hashed), {} resting, {} ended",
        shares.active, shares.counting, shares.resting, shares.ended
    ))?;
    output.line(&format!(
        "takers   {} now; {} sent since the start",
        status.takers,
        bytes_human(status.bytes_sent)
    ))
}

fn router(mapping: &Mapping) -> String {
    let transport = match mapping.transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
    };
    let outcome = match &mapping.outcome {
        MappingOutcome::Off => "is not asked (setting port-mapping)".to_owned(),
        MappingOutcome::Asking => "has not answered yet".to_owned(),
        MappingOutcome::Mapped { external } => format!("forwards {}", escape(external)),
        MappingOutcome::Failed { why } => format!("forwards nothing: {}", escape(why)),
    };
    format!("{transport} {}: {outcome}", mapping.port)
}
