//! `shoal shares`.

use clap::Args;
use shoal_api::{Api, ShareEnd, ShareState, ShareView};
use shoal_protocol::display::{bytes_human, escape, escape_os};

use crate::connect;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Form, Output};
use crate::{table, units};

/// List what is shared, or show one share with its addresses.
#[derive(Debug, Args)]
pub(crate) struct SharesArgs {
    /// Show this share alone: its id or the first letters of it (four at least).
    #[arg(value_name = "ID")]
    id: Option<String>,
}

pub(crate) async fn run(args: SharesArgs, context: &Context) -> Result<(), Failure> {
    let node = connect::needed(context).await?;
    let output = &context.output;
    let shares = match &args.id {
        Some(id) => vec![node.share(id).await?],
        None => node.shares().await?,
    };
    if output.form == Form::Json {
        for share in &shares {
            output.tagged("share", share)?;
        }
        return Ok(());
    }
    match (&args.id, shares.as_slice()) {
        (Some(_), shares) => shares.iter().try_for_each(|share| details(share, output)),
        (None, []) => {
            output.note("Nothing is shared. Share something: shoal share PATH");
            Ok(())
        }
        (None, shares) => {
            let rows: Vec<Vec<String>> = shares.iter().map(cells).collect();
            let head = ["ID", "NAME", "SIZE", "STATE", "TAKEN", "ENDS"];
            table::render(&head, &rows, 1, output.width())
                .iter()
                .try_for_each(|line| output.line(line))
        }
    }
}

fn cells(share: &ShareView) -> Vec<String> {
    vec![
        share.id.clone(),
        escape(&share.name).into_owned(),
        bytes_human(share.bytes),
        state_word(share),
        taken(share),
        share
            .expires_s
            .map_or_else(|| "-".to_owned(), units::moment),
    ]
}

/// Everything about one share, a line each; addresses stand alone so that they can be copied.
fn details(share: &ShareView, output: &Output) -> Result<(), Failure> {
    output.line(&format!("id      {}", share.id))?;
    output.line(&format!("name    {}", escape(&share.name)))?;
    for root in &share.roots {
        let shown = escape_os(root.as_os_str().as_encoded_bytes());
        output.line(&format!("path    {shown}"))?;
    }
    let files = units::count(share.files, "file");
    output.line(&format!("size    {files}, {}", bytes_human(share.bytes)))?;
    output.line(&format!("state   {}", state_sentence(share)))?;
    output.line(&format!("taken   {}", taken(share)))?;
    output.line(&format!("made    {}", units::moment(share.created_s)))?;
    if let Some(at) = share.expires_s {
        output.line(&format!("ends    {}", units::moment(at)))?;
    }
    output.line(&format!("reach   {}", share.reach.sentence))?;
    for problem in &share.problems {
        let (path, what) = (escape(&problem.path), escape(&problem.what));
        output.line(&format!("not given: {path}: {what}"))?;
    }
    if share.more_problems > 0 {
        let more = units::count(share.more_problems, "more path");
        output.line(&format!("not given: {more}"))?;
    }
    if share.end == ShareEnd::Active {
        output.line("")?;
        for url in &share.urls {
            output.line(url)?;
        }
        if let Some(magnet) = &share.magnet {
            output.line(magnet)?;
        }
    }
    Ok(())
}

fn taken(share: &ShareView) -> String {
    let mut text = match share.max_downloads {
        Some(max) => format!("{} of {max}", share.completed),
        None => share.completed.to_string(),
    };
    if share.taking > 0 {
        text.push_str(&format!(" +{} now", share.taking));
    }
    text
}

fn state_word(share: &ShareView) -> String {
    match (&share.end, &share.state) {
        (ShareEnd::Stopped { .. }, _) => "stopped".to_owned(),
        (ShareEnd::Expired, _) => "expired".to_owned(),
        (ShareEnd::UsedUp, _) => "used up".to_owned(),
        (ShareEnd::Resting { .. }, _) => "resting".to_owned(),
        (ShareEnd::Active, ShareState::Failed { .. }) => "failed".to_owned(),
        (ShareEnd::Active, ShareState::Ready) => "active".to_owned(),
        (
            ShareEnd::Active,
            ShareState::Counting {
                bytes, bytes_total, ..
            },
        ) => format!("hashing {} %", units::percent(*bytes, *bytes_total)),
    }
}

fn state_sentence(share: &ShareView) -> String {
    match (&share.end, &share.state) {
        (ShareEnd::Stopped { at_s }, _) => format!("stopped at {}", units::moment(*at_s)),
        (ShareEnd::Resting { why }, _) => format!("resting: {}", escape(why)),
        (ShareEnd::Active, ShareState::Failed { why }) => format!("failed: {}", escape(why)),
        _ => state_word(share),
    }
}
