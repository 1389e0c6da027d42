//! `shoal events`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use clap::Args;
use futures::StreamExt;
use jiff::Timestamp;
use shoal_api::{Api, Client, Event, FilesetView, Way};
use shoal_protocol::display::{bytes_human, escape};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Form;
use crate::signals::Signals;
use crate::{connect, fileset, units};

/// Follow what happens: who opens links, takes them, has everything; devices that pair; filesets that change.
///
/// Goes on until Ctrl-C, or until the node ends. With --json each line is one event, progress included.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Of this share alone: its id or the first letters of it (four at least).
    #[arg(value_name = "ID")]
    id: Option<String>,
}

pub(crate) async fn run(args: EventsArgs, context: &Context) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let node = connect::needed(context).await?;
    let mut events = node.events(args.id.as_deref()).await?;
    let mut names = HashMap::new();
    let mut said = HashMap::new();
    let output = &context.output;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = signals.next() => return Ok(()),
        };
        let Some(event) = event else {
            output.note("The node has ended.");
            return Ok(());
        };
        if output.form == Form::Json {
            output.object(&event)?;
        } else if is_new(&event, &mut said)
            && let Some(what) = sentence(&event)
        {
            let at = units::moment(Timestamp::now().as_second().try_into().unwrap_or(0));
            let link = match event.share_id() {
                Some(id) => format!("{}: ", name(&node, &mut names, id).await),
                None => String::new(),
            };
            output.line(&format!("{at}  {link}{what}"))?;
        }
    }
}

/// The share's name with the start of its id; asked for once.
async fn name<'a>(node: &Client, names: &'a mut HashMap<String, String>, id: &str) -> &'a str {
    match names.entry(id.to_owned()) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(unknown) => {
            let name = match node.share(id).await {
                Ok(share) => escape(&share.name).into_owned(),
                Err(_) => String::new(),
            };
            let short: String = id.chars().take(8).collect();
            unknown.insert(format!("{name} ({short})"))
        }
    }
}

/// A fileset tells each second how far it is, and people want to know what has become of it.
fn is_new(event: &Event, said: &mut HashMap<String, String>) -> bool {
    let Event::Fileset(view) = event else {
        return true;
    };
    let now = state(view);
    said.insert(view.id.clone(), now.clone()) != Some(now)
}

fn state(view: &FilesetView) -> String {
    let state = fileset::word(view.state);
    match &view.why {
        Some(why) => format!("{state}: {}", escape(why)),
        None => state.to_owned(),
    }
}

fn sentence(event: &Event) -> Option<String> {
    let sentence = match event {
        Event::Url { url, .. } => format!("the link answers: {}", escape(url)),
        Event::Ready { files, bytes, .. } => format!(
            "everything is hashed: {}, {}",
            units::count(*files, "file"),
            bytes_human(*bytes)
        ),
        Event::Problem { path, what, .. } => {
            format!("not given: {}: {}", escape(path), escape(what))
        }
        Event::Failed { error, .. } => format!("failed: {}", escape(&error.message)),
        Event::Opened { who, via, .. } => {
            format!("{} looks at it ({})", escape(who), units::way(*via))
        }
        Event::Started { who, via, .. } => {
            format!("{} begins to take it ({})", escape(who), units::way(*via))
        }
        Event::Finished {
            who, via, bytes, ..
        } => format!(
            "{} has everything ({}, {})",
            escape(who),
            units::way(*via),
            bytes_human(*bytes)
        ),
        Event::Refused { who, via, .. } => {
            format!("{} was refused ({})", escape(who), units::way(*via))
        }
        Event::WrongPassword {
            who, via, tries, ..
        } => guess(who, *via, *tries),
        Event::Ended { why, .. } => format!("the link has ended: {}", escape(why)),
        Event::PairWaiting { name, code, .. } => {
            format!("{} waits to be confirmed as a device: {code}", escape(name))
        }
        Event::Paired { name, .. } => format!("{} belongs to your devices", escape(name)),
        Event::PairFailed { name, error, .. } => {
            format!("{} does not join: {}", escape(name), escape(&error.message))
        }
        Event::DeviceRemoved { name, .. } => {
            format!("{} belongs to your devices no more", escape(name))
        }
        Event::Fileset(view) => format!("{} is {}", escape(&view.name), state(view)),
        Event::FilesetLeft { name, .. } => format!("{} is kept here no more", escape(name)),
        Event::Conflict {
            name, path, copy, ..
        } => format!(
            "{}: two devices changed {}; the other version is {}",
            escape(name),
            escape(path),
            escape(copy)
        ),
        Event::FilesetProblem {
            name, path, what, ..
        } => format!(
            "{}: left out: {}: {}",
            escape(name),
            escape(path),
            escape(what)
        ),
        Event::NodeStopping => "the node ends".to_owned(),
        Event::Progress { .. } | Event::Taking { .. } => return None,
    };
    Some(sentence)
}

/// Somebody tried a wrong password.
pub(crate) fn guess(who: &str, via: Way, tries: u64) -> String {
    let times = match tries {
        1 => String::new(),
        tries => format!(", {tries} times by now"),
    };
    format!(
        "{} tries a wrong password ({}{times})",
        escape(who),
        units::way(via)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fileset_is_named_when_its_state_changes() {
        let mut said = HashMap::new();
        let mut view = crate::fileset::tests::view("work");
        let mut tell = |view: &FilesetView| {
            let event = Event::Fileset(Box::new(view.clone()));
            is_new(&event, &mut said)
                .then(|| sentence(&event))
                .flatten()
        };
        assert_eq!(tell(&view).as_deref(), Some("work is up to date"));
        view.files += 1;
        assert_eq!(tell(&view), None);
        view.state = shoal_api::FilesetState::Halted;
        view.why = Some("all is gone".to_owned());
        assert_eq!(tell(&view).as_deref(), Some("work is halted: all is gone"));
        view.why = Some("more is gone".to_owned());
        assert_eq!(tell(&view).as_deref(), Some("work is halted: more is gone"));
    }

    #[test]
    fn names_are_escaped() {
        let event = Event::Refused {
            id: String::new(),
            who: "\u{1b}[2J".to_owned(),
            via: Way::Http,
            bytes: 0,
        };
        assert_eq!(
            sentence(&event).as_deref(),
            Some("\\x1b[2J was refused (http)")
        );
        assert_eq!(
            sentence(&Event::Taking {
                id: String::new(),
                takers: vec![],
                rate_bytes_per_s: 1
            }),
            None
        );
    }
}
