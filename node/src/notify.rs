//! Webhooks: what happens to a link with `--notify URL` is posted there as JSON.

use crate::service::Context;
use serde::Serialize;
use shoal_api::{Event, Way};
use shoal_protocol::id::LinkId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Waits between tries; after the last one the notice is given up and the log says so.
const RETRY_AFTER: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
];
/// Notices on their way at a time; more are dropped, and the log says so.
const UNDER_WAY_MAX: usize = 64;

/// The body of a notice.
#[derive(Debug, Serialize)]
struct Notice {
    #[serde(rename = "type")]
    what: &'static str,
    id: String,
    name: String,
    who: Option<String>,
    via: Option<Way>,
    bytes: Option<u64>,
    why: Option<String>,
}

/// Posts notices until the node ends.
pub(crate) async fn run(context: Arc<Context>) {
    let mut events = context.records.listen();
    let client = match reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
    {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "no notices are sent"),
    };
    let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = context.stopping.cancelled() => return,
        };
        match event {
            Ok(event) => {
                let Some((url, notice)) = notice(&context, &event) else {
                    continue;
                };
                let Ok(place) = places.clone().try_acquire_owned() else {
                    tracing::warn!(
                        what = notice.what,
                        "too many notices are under way: one is dropped"
                    );
                    continue;
                };
                let (client, stopping) = (client.clone(), context.stopping.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = post(&client, &url, &notice) => {}
                        () = stopping.cancelled() => {}
                    }
                    drop(place);
                });
            }
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "notices are missed"),
            Err(RecvError::Closed) => return,
        }
    }
}

fn notice(context: &Context, event: &Event) -> Option<(String, Notice)> {
    let (what, who, via, bytes, why) = match event {
        Event::Started {
            who, via, bytes, ..
        } => ("started", Some(who), Some(*via), Some(*bytes), None),
        Event::Finished {
            who, via, bytes, ..
        } => ("finished", Some(who), Some(*via), Some(*bytes), None),
        Event::Opened {
            who, via, bytes, ..
        } => ("opened", Some(who), Some(*via), Some(*bytes), None),
        Event::Ended { why, .. } => ("ended", None, None, None, Some(why.clone())),
        Event::Failed { error, .. } => ("failed", None, None, None, Some(error.message.clone())),
        _ => return None,
    };
    let id = event.share_id()?;
    let link: LinkId = id.parse().ok()?;
    let row = context.records.store.share(&link).ok().flatten()?;
    let url = row.notify?;
    Some((
        url,
        Notice {
            what,
            id: id.to_owned(),
            name: row.name,
            who: who.cloned(),
            via,
            bytes,
            why,
        },
    ))
}

async fn post(client: &reqwest::Client, url: &str, notice: &Notice) {
    let Ok(body) = serde_json::to_vec(notice) else {
        return;
    };
    let mut waits = RETRY_AFTER.into_iter();
    loop {
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .body(body.clone());
        let why = match request.send().await {
            Ok(response) if response.status().is_success() => return,
            Ok(response) => response.status().to_string(),
            // An address may hold a secret: it is not logged.
            Err(error) => error.without_url().to_string(),
        };
        match waits.next() {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return tracing::warn!(what = notice.what, why, "a notice was given up"),
        }
    }
}
