//! Content of filesets between paired devices, over a connection of ALPN `shoal/sync/1`.
//!
//! Every stream begins with one byte that says what it is: [`MESSAGES`] for the one stream of the sync
//! machine's messages, [`CONTENT`] for a request. A request is the fileset's id (32 bytes) and then an
//! iroh-blobs request; its answer is that of iroh-blobs 0.104, the same as for links.

mod fetch;
mod serve;

pub use fetch::{CarryError, Sink, Want, fetch_files, fetch_range};
pub use serve::{Library, serve_content};

/// Names the protocol.
pub const ALPN: &[u8] = b"shoal/sync/1";
/// First byte of the stream of messages.
pub const MESSAGES: u8 = 0;
/// First byte of a request for content.
pub const CONTENT: u8 = 1;
/// Bytes of a fileset's id.
pub const FILESET_ID_BYTES: usize = 32;
/// Files of one request, so that a request stays far below what a peer accepts.
pub const REQUEST_MAX_FILES: usize = 1_000;

#[cfg(test)]
mod tests;
