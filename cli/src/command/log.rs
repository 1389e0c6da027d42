//! `shoal log`.

use clap::Args;
use shoal_api::{Api, LogRow, LogWhat};
use shoal_protocol::display::{bytes_human, escape};

use crate::connect;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Form;
use crate::{table, units};

/// Show who took a share: when, how, and how much (what the node itself says: `shoal logs`).
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// The share's id or its first letters (four at least), as `shoal shares` shows it.
    #[arg(value_name = "ID")]
    id: String,
    /// Show at most the newest N rows.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1_000)]
    limit: u32,
}

pub(crate) async fn run(args: LogArgs, context: &Context) -> Result<(), Failure> {
    let node = connect::needed(context).await?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let rows = node.share_log(&args.id, limit).await?;
    let output = &context.output;
    if output.form == Form::Json {
        for row in &rows {
            output.tagged("log", row)?;
        }
        return Ok(());
    }
    if rows.is_empty() {
        output.note("Nobody has opened this link yet.");
        return Ok(());
    }
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let head = ["WHEN", "WHO", "WAY", "WHAT", "SENT", "DETAIL"];
    for line in table::render(&head, &cells, 5, output.width()) {
        output.line(&line)?;
    }
    Ok(())
}

fn cells(row: &LogRow) -> Vec<String> {
    let what = match row.what {
        LogWhat::Opened => "looked",
        LogWhat::Started => "started",
        LogWhat::Finished => "has all",
        LogWhat::Refused => "refused",
        LogWhat::WrongPassword => "wrong password",
    };
    vec![
        units::moment(row.at_ms / 1_000),
        escape(&row.who).into_owned(),
        units::way(row.via).to_owned(),
        what.to_owned(),
        bytes_human(row.bytes),
        escape(&row.detail).into_owned(),
    ]
}
