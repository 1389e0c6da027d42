//! `shoal down`.

use clap::Args;
use serde_json::json;
use shoal_api::{Api, Client, ErrorCode};
use std::time::Duration;
use tokio::time::Instant;

use crate::connect;
use crate::context::Context;
use crate::failure::Failure;

/// A foreground `shoal share` that takes over does so at once; this is time enough to notice.
const TAKE_OVER: Duration = Duration::from_millis(300);
/// A node that has been asked ends within seconds.
const END_LIMIT: Duration = Duration::from_secs(30);

/// End the node of this home, wherever it runs, and wait until it has ended.
///
/// Its links rest until `shoal up`. A `shoal share` that waits in another terminal takes over, and this command says so.
#[derive(Debug, Args)]
pub(crate) struct DownArgs {}

pub(crate) async fn run(_: DownArgs, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    let node = match connect::running(context).await {
        Ok(node) => node,
        Err(failure) if failure.is(ErrorCode::NoNode) => {
            output.tagged("down", &json!({"pid": null}))?;
            output.note("No node runs on this home.");
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    let pid = node.status().await?.pid;
    ask_to_end(&node, pid).await?;
    let heir = wait_for_end(context, pid).await?;
    output.tagged("down", &json!({"pid": pid}))?;
    output.line(&format!(
        "The node (pid {pid}) has ended; its links rest until `shoal up`."
    ))?;
    if let Some(heir) = heir {
        output.aside(&format!(
            "A waiting `shoal share` (pid {heir}) has taken over and serves the links: end it in its terminal, or with `shoal down`."
        ));
    }
    Ok(())
}

/// Asks the node to end, and waits for the end of its event stream.
async fn ask_to_end(node: &Client, pid: u32) -> Result<(), Failure> {
    let client = node.clone();
    let (listening, listens) = tokio::sync::oneshot::channel();
    let gone = tokio::spawn(async move {
        use futures::StreamExt;
        let events = client.events(None).await;
        // The receiver lives in this function and is awaited below.
        let _ = listening.send(());
        if let Ok(mut events) = events {
            while events.next().await.is_some() {}
        }
    });
    // A sender that was dropped means the same: the stream could not be had.
    let _ = listens.await;
    node.shutdown().await?;
    tokio::time::timeout(END_LIMIT, gone)
        .await
        .map(|_| ())
        .map_err(|_| stuck(pid))
}

/// Waits until the node has let go of the home; then for a moment whether another process becomes the node.
async fn wait_for_end(context: &Context, pid: u32) -> Result<Option<u32>, Failure> {
    let mut pace = connect::pace();
    let until = Instant::now() + END_LIMIT;
    while !connect::home_is_free(context) {
        if let Some(heir) = other_node(context, pid).await {
            return Ok(Some(heir));
        }
        if Instant::now() > until {
            return Err(stuck(pid));
        }
        pace.tick().await;
    }
    let look = async {
        loop {
            if let Some(heir) = other_node(context, pid).await {
                return heir;
            }
            pace.tick().await;
        }
    };
    Ok(tokio::time::timeout(TAKE_OVER, look).await.ok())
}

/// The process that is the node, if it is another one.
async fn other_node(context: &Context, ended: u32) -> Option<u32> {
    let node = connect::running(context).await.ok()?;
    let pid = node.status().await.ok()?.pid;
    (pid != ended).then_some(pid)
}

fn stuck(pid: u32) -> Failure {
    Failure::new(
        ErrorCode::NoNode,
        format!(
            "the node (pid {pid}) has not ended after {} seconds",
            END_LIMIT.as_secs()
        ),
        format!("see `shoal logs`; to end it by force: kill -9 {pid}"),
    )
}
