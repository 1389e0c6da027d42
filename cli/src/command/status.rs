//! `shoal status`.

use clap::Args;
use shoal_api::{Api, Mapping, MappingOutcome, NodeStatus, Transport};
use shoal_protocol::display::{bytes_human, duration_human, escape, escape_os};

use crate::connect;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::units;

/// Show where the node of this home can be reached and what it does; exit code 10 if none runs.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {}

pub(crate) async fn run(_: StatusArgs, context: &Context) -> Result<(), Failure> {
    let status = connect::running(context).await?.status().await?;
    show(&status, &context.output)
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
