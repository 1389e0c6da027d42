//! The upload half of BitTorrent (BEP 3, 6, 9, 10), read from the user's files.
//!
//! One connection is two tasks: one reads messages, one writes answers. They share a queue of what
//! was asked for. A taker gets its seat at the first request, so that a link's maximum of downloads holds
//! before the first byte.

mod outbox;
mod session;
mod swarms;
mod writer;

pub use session::mark_of_peer_id;

use super::port::Directory;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpStream;

/// Connections of all peers together.
pub const MAX_CONNECTIONS: usize = 512;
/// Connections of one address: a household, or a client that reconnects.
pub const MAX_CONNECTIONS_PER_ADDRESS: usize = 32;

/// Serves peers whose connections somebody else accepted.
#[derive(Clone)]
pub struct Seeder {
    directory: Arc<dyn Directory>,
    client: Arc<str>,
    nonce: [u8; 32],
    connections: Arc<Mutex<HashMap<IpAddr, usize>>>,
    swarms: Arc<swarms::Swarms>,
}

impl Seeder {
    /// `client` is what peers are told of our name and version; `nonce` is random, and makes peer ids.
    pub fn new(directory: Arc<dyn Directory>, client: &str, nonce: [u8; 32]) -> Self {
        Self {
            directory,
            client: client.into(),
            nonce,
            connections: Arc::default(),
            swarms: Arc::default(),
        }
    }

    /// Serves one connection until either side ends it. Over the limits it is closed at once.
    pub async fn serve(&self, stream: TcpStream, address: SocketAddr) {
        let Some(_place) = self.place(address.ip().to_canonical()) else {
            tracing::debug!(%address, "too many BitTorrent connections");
            return;
        };
        if let Err(error) = session::run(stream, address, self).await {
            tracing::debug!(%address, %error, "BitTorrent connection ended");
        }
    }

    fn place(&self, address: IpAddr) -> Option<Place> {
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let here = connections.get(&address).copied().unwrap_or(0);
        if here >= MAX_CONNECTIONS_PER_ADDRESS
            || connections.values().sum::<usize>() >= MAX_CONNECTIONS
        {
            return None;
        }
        connections.insert(address, here + 1);
        Some(Place {
            address,
            connections: self.connections.clone(),
        })
    }
}

/// One of the connections that are allowed at a time.
struct Place {
    address: IpAddr,
    connections: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = connections.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                connections.remove(&self.address);
            }
        }
    }
}
