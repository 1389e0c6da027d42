//! Notices: what happens to a link with `--notify URL` is posted there as JSON, and shown on the desktop where there
//! is one.

mod dbus;
mod desktop;
mod queue;
mod sign;

pub(crate) use desktop::run as run_desktop;
pub(crate) use sign::Secret;
pub use sign::webhook_secret;

use crate::service::Context;
use queue::{Queue, Waiting};
use serde::Serialize;
use shoal_api::{Event, Way};
use shoal_protocol::id::LinkId;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::broadcast::error::RecvError;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Waits between tries; after the last one the notice is given up and the log says so.
const RETRY_AFTER: [Duration; 7] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(3_600),
    Duration::from_secs(5 * 3_600),
];

/// The body of a notice.
#[derive(Debug, Serialize)]
struct Notice {
    #[serde(rename = "type")]
    what: &'static str,
    id: String,
    name: String,
    at_s: u64,
    who: Option<String>,
    via: Option<Way>,
    bytes: Option<u64>,
    why: Option<String>,
}

/// What is needed to send.
#[derive(Clone)]
struct Sender {
    client: reqwest::Client,
    secret: Arc<Secret>,
    queue: Queue,
    context: Arc<Context>,
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
    let (queue, left) = Queue::open(context.records.store.clone());
    let sender = Sender {
        client,
        secret: Arc::new(Secret::of(&context.identity)),
        queue,
        context: context.clone(),
    };
    for (place, waiting) in left {
        sender.begin(place, waiting);
    }
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = context.stopping.cancelled() => return,
        };
        match event {
            Ok(event) => {
                if let Some(waiting) = waiting(&context, &event) {
                    match sender.queue.add(&waiting) {
                        Some(place) => sender.begin(place, waiting),
                        None => tracing::warn!("too many notices wait: one is dropped"),
                    }
                }
            }
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "notices are missed"),
            Err(RecvError::Closed) => return,
        }
    }
}

impl Sender {
    /// Sends in the background; what is not taken when the node ends waits for its next start.
    fn begin(&self, place: usize, waiting: Waiting) {
        let sender = self.clone();
        tokio::spawn(async move {
            let stopping = sender.context.stopping.clone();
            tokio::select! {
                () = sender.deliver(place, waiting) => sender.queue.done(place),
                () = stopping.cancelled() => {}
            }
        });
    }

    async fn deliver(&self, place: usize, mut waiting: Waiting) {
        loop {
            let Err(why) = self.post(&waiting).await else {
                return;
            };
            let Some(wait) = RETRY_AFTER.get(waiting.tried) else {
                return tracing::warn!(why, "a notice was given up");
            };
            tracing::debug!(why, "a notice is tried again");
            waiting.tried += 1;
            self.queue.keep(place, &waiting);
            tokio::time::sleep(*wait).await;
        }
    }

    async fn post(&self, waiting: &Waiting) -> Result<(), String> {
        let at_s = now_s();
        let signature = self.secret.sign(&waiting.id, at_s, &waiting.body);
        let request = self
            .client
            .post(&waiting.url)
            .header("content-type", "application/json")
            .header(sign::ID, &waiting.id)
            .header(sign::TIMESTAMP, at_s)
            .header(sign::SIGNATURE, signature)
            .body(waiting.body.clone());
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(response.status().to_string()),
            // An address may hold a secret: it is not logged.
            Err(error) => Err(error.without_url().to_string()),
        }
    }
}

/// What is to be sent of an event, for links that were made with an address to send it to.
fn waiting(context: &Context, event: &Event) -> Option<Waiting> {
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
    let notice = Notice {
        what,
        id: id.to_owned(),
        name: row.name,
        at_s: now_s(),
        who: who.cloned(),
        via,
        bytes,
        why,
    };
    Some(Waiting {
        url: row.notify?,
        id: sign::message_id()?,
        body: serde_json::to_string(&notice).ok()?,
        tried: 0,
    })
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs())
}
