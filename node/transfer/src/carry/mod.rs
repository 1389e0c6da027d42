//! Content of filesets between paired devices, over a connection of ALPN `shoal/sync/1`.
//!
//! Every stream begins with one byte that says what it is: [`CONTROL`] for the one stream on which both sides tell
//! what they keep, [`MESSAGES`] and the fileset's id (32 bytes) for the one stream of a fileset's sync messages,
//! [`CONTENT`] for a request. A request is the fileset's id and then an iroh-blobs request; its answer is that of iroh-blobs 0.104, the same as for links.

mod fetch;
mod serve;
mod tree;

pub use fetch::{CarryError, Sink, Want, fetch_files, fetch_range};
pub use serve::{Library, serve_content};
pub use tree::hash_tree;

/// Names the protocol.
pub const ALPN: &[u8] = b"shoal/sync/1";
/// First byte of the stream of messages.
pub const MESSAGES: u8 = 0;
/// First byte of a request for content.
pub const CONTENT: u8 = 1;
/// First byte of the stream on which both sides tell what they keep.
pub const CONTROL: u8 = 2;
/// Bytes of a fileset's id.
pub const FILESET_ID_BYTES: usize = 32;
/// Files of one request, so that a request stays far below what a peer accepts.
pub const REQUEST_MAX_FILES: usize = 1_000;

#[cfg(test)]
mod tests;
