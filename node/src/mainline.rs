//! Links made with `--public` are announced to the BitTorrent DHT. Without one of them nothing of it runs.

use crate::service::Service;
use shoal_api::Event;
use shoal_protocol::id::{InfoHash, LinkId};
use shoal_store::{Audience, ShareEnd, ShareState};
use shoal_transfer::serve::mainline::Mainline;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::task::AbortOnDropHandle;

/// Announces public links until the node ends.
pub(crate) async fn run(service: Arc<Service>, bootstrap: Vec<String>) {
    let context = service.context.clone();
    let mut events = context.records.listen();
    let mut mainline = None;
    let mut announced: HashMap<LinkId, AbortOnDropHandle<()>> = HashMap::new();
    loop {
        let public = public_links(&service);
        announced.retain(|link, _| public.contains_key(link));
        if !public.is_empty() && mainline.is_none() {
            match Mainline::enter(bootstrap.clone(), context.stopping.clone()).await {
                Ok(entered) => mainline = Some(entered),
                Err(error) => return tracing::error!(%error, "public links are not announced"),
            }
        }
        for (link, infohash) in public {
            let Some(mainline) = &mainline else { break };
            let (mainline, port) = (mainline.clone(), context.ports.tcp);
            announced.entry(link).or_insert_with(|| {
                AbortOnDropHandle::new(tokio::spawn(async move {
                    mainline.announce(infohash, port).await
                }))
            });
        }
        // Looked at again when a link became ready or ended.
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(Event::Ready { .. } | Event::Ended { .. }) | Err(RecvError::Lagged(_)) => break,
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                },
                () = context.stopping.cancelled() => return,
            }
        }
    }
}

fn public_links(service: &Service) -> HashMap<LinkId, InfoHash> {
    let rows = service
        .context
        .records
        .store
        .shares()
        .unwrap_or_else(|error| {
            tracing::warn!(%error, "public links cannot be listed");
            Vec::new()
        });
    let public = rows
        .into_iter()
        .filter(|row| row.audience == Audience::Public && row.end == ShareEnd::Active);
    public
        .filter_map(|row| match row.state {
            ShareState::Ready { infohash, .. } => Some((row.id, infohash)),
            _ => None,
        })
        .collect()
}
