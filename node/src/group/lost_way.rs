//! A connection whose direct way is gone is made anew.
//!
//! iroh goes on over the relay by itself when no UDP arrives any more. But what was said over the direct way right before may
//! never arrive then (iroh 1.4 under load: messages of one stream stayed away while others went on). Who makes a new
//! connection says everything that matters again.

use futures::StreamExt;
use iroh::endpoint::{Connection, PathEvent};

/// Close code: UDP does not get through any more.
const CODE_WAY_LOST: u32 = 7;

/// Watches a connection until it ends, and ends it when it has lost its last direct way.
pub(super) fn watch(connection: &Connection) {
    let mut events = connection.path_events();
    let connection = connection.weak_handle();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            let PathEvent::Closed { remote_addr, .. } = event else {
                continue;
            };
            let Some(connection) = connection.upgrade() else {
                return;
            };
            let ways = connection.paths();
            let relays_alone = !ways.is_empty() && ways.iter().all(|way| way.is_relay());
            if !remote_addr.is_relay() && relays_alone {
                tracing::debug!(device = %connection.remote_id(), "UDP does not get through any more");
                return connection.close(CODE_WAY_LOST.into(), b"no UDP any more");
            }
        }
    });
}
