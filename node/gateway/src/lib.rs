//! HTTP of a node: the public side of its links, and the local API over its Unix socket.

pub mod port;

/// Bytes of a `User-Agent` that are kept.
pub const AGENT_MAX_BYTES: usize = 200;
