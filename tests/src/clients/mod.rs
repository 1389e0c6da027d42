//! Other people's torrent clients. All of them stay inside: no DHT, no peer exchange, no local discovery, no port
//! mapping, and an address of loopback or of a namespace.

mod aria2;
mod libtorrent;
mod qbittorrent;
mod transmission;

pub use aria2::Aria2;
pub use libtorrent::Libtorrent;
pub use qbittorrent::{QBittorrent, QBittorrentFetch};
pub use transmission::Transmission;

use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context, Result};

use crate::Deadline;

/// A torrent client that can be told to fetch something.
pub trait Client {
    /// Its name, for messages.
    fn name(&self) -> &'static str;

    /// Starts to fetch a magnet or the web address of a `.torrent` into a folder.
    fn start(&self, link: &str, into: &Path) -> Result<Box<dyn Fetch>>;

    /// Fetches a link to its end, and closes the client so that everything is on disk.
    fn fetch(&self, link: &str, into: &Path, deadline: Deadline) -> Result<()> {
        std::fs::create_dir_all(into)?;
        let mut running = self
            .start(link, into)
            .with_context(|| format!("starting {}", self.name()))?;
        running
            .complete(deadline)
            .with_context(|| format!("{} fetching {link}", self.name()))?;
        running
            .close()
            .with_context(|| format!("closing {}", self.name()))
    }
}

/// A client at work.
pub trait Fetch {
    /// Waits until it has everything; it stays in the swarm.
    fn complete(&mut self, deadline: Deadline) -> Result<()>;

    /// The TCP port on which it takes peers.
    fn port(&self) -> u16;

    /// Payload bytes that it has given to others.
    fn uploaded_bytes(&mut self) -> Result<u64>;

    /// Ends it, with everything written.
    fn close(self: Box<Self>) -> Result<()>;
}

/// A TCP port of loopback that was free a moment ago, for a client that cannot pick one itself.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
