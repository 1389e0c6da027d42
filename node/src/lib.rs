//! The node of a home: takes its lock, serves its links, answers its socket.
//!
//! This crate is the composition root: it wires store, disk, net, transfer, gateway and tracker.
//! Rules live in `protocol`; what can be done on its own lives in the crates below `node/`.

pub mod config;
pub mod error;
mod filesets;
pub mod group;
pub mod home;
mod identity;
mod mainline;
mod network;
pub mod node;
mod notify;
mod places;
mod ports;
mod relay;
mod servers;
mod service;
mod tls;

pub use config::Config;
pub use error::NodeError;
pub use home::{Home, Xdg};
pub use node::{Node, Overrides};
pub use notify::webhook_secret;
pub use shoal_transfer::fetch as get;
pub use tls::TlsFiles;
