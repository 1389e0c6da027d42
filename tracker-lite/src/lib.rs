//! A small BitTorrent tracker for known torrents: announce and scrape over HTTP and UDP (BEP 3, 7, 15, 23, 24, 31, 41,
//! 48), over IPv4 and IPv6, with a token for each link in the announce path.
//!
//! - [`Swarms`] is the core: who is in which swarm. No IO, no clock, no randomness of its own, bounded memory.
//! - [`Tracker`] answers requests, and asks its owner through [`Torrents`] and [`Listener`].
//! - [`router`] and [`serve_udp`] put it into a program that runs axum and tokio; [`Server`] is a lean server of its
//!   own, which the program `tracker-lite` runs.
//!
//! Two rules hold throughout: an address that has not proven itself gets nothing longer than it sent, and
//! nothing from outside makes memory grow past [`Limits`].

mod allow;
mod config;
mod connection_id;
mod metrics;
mod random;
mod router;
mod serve_udp;
mod server;
mod swarms;
mod table;
mod tally;
mod torrents;
mod tracker;

pub use allow::{AllowList, AllowListError};
pub use config::{ClaimedAddresses, Config, Limits};
pub use metrics::{Counter, Metrics};
pub use random::Xorshift;
pub use router::{ClientAddr, metrics_router, router};
pub use serve_udp::serve_udp;
pub use server::{Server, Serves, Stop, bind_tcp, bind_udp};
pub use swarms::{Ask, Full, Outcome, Peers, Place, Role, Swarms, Totals, Wants};
pub use torrents::{Admission, AnnounceEvent, Everybody, Listener, Open, Proof, Torrents, Verdict};
pub use tracker::{NoRandomness, Scratch, Status, Tracker};
