//! HTTP of a node: the public side of its links, and the local API over its Unix socket.
//!
//! `node` implements [`port::Links`], hands TCP connections whose first byte is HTTP to
//! [`serve_connection`] with [`public_router`], and its Unix socket to [`serve_unix`] with
//! [`local_router`].

mod answer;
mod assets;
mod body;
mod buffer;
mod connection;
mod content;
mod delivery;
mod devices;
mod filesets;
mod list;
mod local;
mod naming;
mod page;
mod password;
pub mod port;
mod public;
mod target;
mod zip;

pub use answer::REFUSAL_HEADER;
pub use connection::{
    HEAD_MAX_BYTES, HEAD_TIMEOUT, HEADERS_MAX, SHUTDOWN_GRACE, STALL_TIMEOUT, Transport,
    serve_connection, serve_over, serve_unix,
};
pub use devices::device_routes;
pub use filesets::fileset_routes;
pub use list::PAGE_ROWS;
pub use local::{local_router, local_router_with};
pub use password::SESSION_HEADER;
pub use public::{TAKER_HEADER, public_router};

/// Bytes of a `User-Agent` that are kept.
pub const AGENT_MAX_BYTES: usize = 200;
