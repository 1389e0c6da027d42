//! Notices on the desktop (Desktop Notifications 1.2, over the D-Bus of the session), where there is one.

use super::dbus;
use crate::service::Context;
use shoal_api::{Event, Way};
use shoal_protocol::display::{bytes_human, escape};
use shoal_protocol::id::LinkId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// Time for the desktop to answer; one that hangs costs its notices alone.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Shows notices until the node ends. `bus` is the address of the session's bus.
pub(crate) async fn run(context: Arc<Context>, bus: String) {
    let mut events = context.records.listen();
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = context.stopping.cancelled() => return,
        };
        let event = match event {
            Ok(event) => event,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        let Some((summary, body)) = notice(&context, &event) else {
            continue;
        };
        // A desktop may come and go while the node stays: the bus is looked for when there is something to say.
        match tokio::time::timeout(TIMEOUT, dbus::notify(&bus, &summary, &body)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "no notice on the desktop"),
            Err(_) => tracing::debug!("the desktop does not answer"),
        }
    }
}

/// What is worth a person's attention: somebody came, somebody has all of it, the link has ended.
fn notice(context: &Context, event: &Event) -> Option<(String, String)> {
    let link: LinkId = event.share_id()?.parse().ok()?;
    let sentence = sentence(event)?;
    let row = context.records.store.share(&link).ok().flatten()?;
    Some((escape(&row.name).into_owned(), markup(&sentence)))
}

fn sentence(event: &Event) -> Option<String> {
    let way = |via: &Way| match via {
        Way::Iroh => "iroh",
        Way::Torrent => "BitTorrent",
        Way::Http => "HTTP",
    };
    match event {
        Event::Opened { who, .. } => Some(format!("{} looks at it", escape(who))),
        Event::Finished {
            who, via, bytes, ..
        } => Some(format!(
            "{} has everything ({}, {})",
            escape(who),
            way(via),
            bytes_human(*bytes)
        )),
        Event::Ended { why, .. } => Some(format!("The link has ended: {why}")),
        _ => None,
    }
}

/// The body may be shown as markup.
fn markup(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_carry_no_markup() {
        let event = Event::Finished {
            id: String::new(),
            who: "<b>\u{1b}[2J&".to_owned(),
            via: Way::Torrent,
            bytes: 2048,
        };
        let text = sentence(&event).map(|text| markup(&text));
        assert_eq!(
            text.as_deref(),
            Some("&lt;b&gt;\\x1b[2J&amp; has everything (BitTorrent, 2.0 KiB)")
        );
    }
}
