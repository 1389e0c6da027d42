//! A source: somebody who has the files and is reached by iroh or HTTP. Its lanes take work from the
//! queue until all is done, and connect again when the connection breaks.

use super::Way;
use super::engine::Engine;
use super::http::{Web, WebBody};
use super::iroh::{IrohAddress, IrohBody, IrohChannel};
use super::lane;
use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use shoal_protocol::hello::{Refusal, Welcome};
use shoal_protocol::id::LinkId;
use std::sync::Arc;
use std::time::Duration;

/// Pieces that one source works on at once, so that its line is never idle between two.
const LANES: usize = 3;
/// Answers without sense after which a source is not asked again.
const GARBLED_MAX: u32 = 3;
const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Why a source did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum SourceError {
    /// The link gives nothing.
    #[error("{0}")]
    Refused(Refusal),
    /// It sent something else than what was signed.
    #[error("{0}")]
    Lied(String),
    /// It serves the link, but not these bytes any more.
    #[error("files were changed or moved where they are shared")]
    Changed,
    /// It cannot say yet: it hashes, or hashes again after a start.
    #[error("it is still hashing")]
    Counting,
    /// What it sends makes no sense. Once that may be somebody in between.
    #[error("{0}")]
    Garbled(String),
    /// It could not do it with these files, whoever has them.
    #[error("BitTorrent here takes no names with a backslash, as in {0:?}")]
    Unfit(String),
    /// It cannot be reached, or broke off.
    #[error("{0}")]
    Broken(String),
    /// Not its fault: this machine failed, and the engine knows how.
    #[error("this machine failed")]
    Local,
}

/// Where a source is.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    /// By iroh.
    Iroh(IrohAddress),
    /// By HTTP.
    Web(Web),
}

/// A source that was reached.
#[derive(Debug, Clone)]
pub(crate) enum Channel {
    /// By iroh.
    Iroh(IrohChannel),
    /// By HTTP, in iroh-blobs' answers.
    Web(Web),
    /// By HTTP, as plain files.
    Plain(Web),
}

/// The answer to one request.
pub(crate) enum Body {
    /// Of iroh.
    Iroh(Box<IrohBody>),
    /// Of HTTP.
    Web(WebBody),
}

impl SourceError {
    /// From whatever a library says: the innermost cause, which is what a person can act on.
    pub(crate) fn broken(error: impl std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let more = inner.to_string();
            if !more.is_empty() {
                text = more;
            }
            cause = inner.source();
        }
        if let Some(at) = text.find(" (os error ") {
            text.truncate(at);
        }
        Self::Broken(text)
    }

    /// Whether trying again cannot help.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Refused(Refusal::Resting)
            | Self::Broken(_)
            | Self::Counting
            | Self::Garbled(_) => false,
            Self::Refused(_) | Self::Lied(_) | Self::Changed | Self::Unfit(_) | Self::Local => true,
        }
    }
}

impl Address {
    /// The way.
    pub(crate) fn way(&self) -> Way {
        match self {
            Self::Iroh(_) => Way::Iroh,
            Self::Web(_) => Way::Http,
        }
    }

    /// The text by which it is shown.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Iroh(at) => at
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
            Self::Web(web) => web.origin.clone(),
        }
    }
}

impl Channel {
    /// Sends an iroh-blobs request. `None`: it only gives plain files.
    pub(crate) async fn request(&self, request: &[u8]) -> Result<Option<Body>, SourceError> {
        match self {
            Self::Iroh(channel) => Ok(Some(Body::Iroh(Box::new(channel.request(request).await?)))),
            Self::Web(web) => Ok(web.blobs(request).await?.map(Body::Web)),
            Self::Plain(_) => Ok(None),
        }
    }

    /// The gateway, where it is one.
    pub(crate) fn web(&self) -> Option<&Web> {
        match self {
            Self::Iroh(_) => None,
            Self::Web(web) | Self::Plain(web) => Some(web),
        }
    }

    async fn done(&self) {
        match self {
            Self::Iroh(channel) => channel.done(),
            Self::Web(web) | Self::Plain(web) => web.done().await,
        }
    }
}

impl Body {
    /// Waits for more; false at the end. Safe to cancel.
    pub(crate) async fn next(&mut self, batch: &mut Vec<Bytes>) -> Result<bool, SourceError> {
        match self {
            Self::Iroh(body) => body.next(batch).await,
            Self::Web(body) => body.next(batch).await,
        }
    }
}

/// Works until everything is there or the source is of no use any more. `channel` is one that was
/// opened before.
pub(crate) async fn run(
    engine: Arc<Engine>,
    source: usize,
    address: Address,
    channel: Option<Channel>,
) {
    let mut ready = channel;
    let mut backoff = BACKOFF_MIN;
    let mut was_changed = false;
    let mut garbled = 0;
    let stop = engine.stop.clone();
    loop {
        let connected = match ready.take() {
            Some(channel) => Ok(channel),
            None => tokio::select! {
                connected = connect(&engine, &address) => connected,
                () = stop.cancelled() => return,
            },
        };
        let failed = match connected {
            Err(error) => error,
            Ok(channel) => {
                engine.source_up(source);
                let before = engine.staging.marks.by_way(address.way());
                let failed = work(&engine, source, &channel).await;
                if engine.is_complete() {
                    return channel.done().await;
                }
                if engine.staging.marks.by_way(address.way()) > before {
                    backoff = BACKOFF_MIN;
                    was_changed = false;
                }
                match failed {
                    // Other files may still be as they were, and iroh resets streams likewise when
                    // the link was stopped, of which the next greeting tells.
                    SourceError::Changed if !was_changed => {
                        was_changed = true;
                        SourceError::Broken(SourceError::Changed.to_string())
                    }
                    other => other,
                }
            }
        };
        if stop.is_cancelled() {
            return;
        }
        let failed = match failed {
            SourceError::Garbled(why) => {
                garbled += 1;
                match garbled < GARBLED_MAX {
                    true => SourceError::Garbled(why),
                    false => SourceError::Lied(why),
                }
            }
            other => other,
        };
        engine.source_failed(source, &failed);
        if failed.is_final() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(backoff) => {}
            () = stop.cancelled() => return,
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

async fn connect(engine: &Engine, address: &Address) -> Result<Channel, SourceError> {
    match address {
        // Its first request shows whether it is there.
        Address::Web(web) => Ok(Channel::Web(web.clone())),
        Address::Iroh(at) => {
            let link: LinkId = engine
                .link
                .ok_or_else(|| SourceError::Broken("no link id".into()))?;
            let (channel, welcome) = engine
                .dialer
                .connect(at, link, engine.staging.taker)
                .await?;
            match welcome {
                Welcome::Ready { .. } => Ok(Channel::Iroh(channel)),
                Welcome::Counting { .. } => Err(SourceError::Counting),
                Welcome::Refused(refusal) => Err(SourceError::Refused(refusal)),
            }
        }
    }
}

/// Works in several lanes until one fails, or everything is there.
async fn work(engine: &Arc<Engine>, source: usize, channel: &Channel) -> SourceError {
    let mut lanes: FuturesUnordered<_> = (0..LANES)
        .map(|_| lane::run(engine.clone(), source, channel.clone()))
        .collect();
    let mut failed = None;
    // The others end their pieces: what they bring is still good.
    let give_up = tokio::time::sleep(Duration::MAX);
    tokio::pin!(give_up);
    loop {
        tokio::select! {
            ended = lanes.next() => match ended {
                None => break,
                Some(error) => {
                    give_up.as_mut().reset(tokio::time::Instant::now() + BACKOFF_MIN);
                    failed.get_or_insert(error);
                }
            },
            () = &mut give_up => break,
        }
    }
    drop(lanes);
    engine.queue.leave(source, &engine.staging.marks);
    failed.unwrap_or_else(|| SourceError::Broken("it ended".into()))
}
