//! The BitTorrent DHT (BEP 5), for links that were made public.

use futures::StreamExt;
use librqbit::dht::{DhtBuilder, DhtConfig, Id20};
use shoal_protocol::id::InfoHash;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The DHT does not start.
#[derive(Debug, thiserror::Error)]
#[error("the BitTorrent DHT does not start: {0}")]
pub struct MainlineError(String);

/// A node of the BitTorrent DHT.
#[derive(Clone)]
pub struct Mainline(Arc<librqbit::dht::DhtState>);

impl Mainline {
    /// Enters the DHT by these nodes (`host:port`), on a port of its own, until `stopping`.
    ///
    /// # Errors
    /// When no UDP port can be had.
    pub async fn enter(
        bootstrap: Vec<String>,
        stopping: CancellationToken,
    ) -> Result<Self, MainlineError> {
        let config = DhtConfig {
            bootstrap_addrs: Some(bootstrap),
            cancellation_token: Some(stopping),
            ..DhtConfig::default()
        };
        let dht = DhtBuilder::with_config(config).await;
        dht.map(Self)
            .map_err(|error| MainlineError(error.to_string()))
    }

    /// Says again and again that this node has a torrent, at this TCP port, for as long as the future is polled.
    pub async fn announce(&self, infohash: InfoHash, port: u16) {
        let mut peers = self.0.get_peers(Id20::new(infohash.0), Some(port));
        while let Some(peer) = peers.next().await {
            tracing::trace!(%peer, "a peer from the DHT");
        }
    }
}
