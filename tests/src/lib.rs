//! Runs the real `shoal` beside real torrent clients, and checks the project's habits.
//!
//! A test makes a [`Home`] and a tree, starts `shoal share`, waits for its events, lets somebody fetch, and compares
//! what arrived with what was shared. Nothing here sleeps to be on the safe side: a wait has a condition and a
//! [`Deadline`]. Random choices come from a [`Random`] that prints its seed.

#![allow(clippy::unwrap_used, missing_docs)]

pub mod clients;
pub mod http;
pub mod namespace;
pub mod swarm;
pub mod tidy;

mod compare;
mod deadline;
mod device;
mod home;
mod kept;
mod mitm;
mod process;
mod random;
mod tree;

pub use compare::{Attributes, assert_same_tree, differences};
pub use deadline::{Deadline, poll};
pub use device::Device;
pub use home::{Home, Outcome, Share, in_namespace, needs, release_binary, scratch, shoal_binary};
pub use kept::{Kept, Seen, alike, seen, settle, two};
pub use mitm::Liar;
pub use process::Running;
pub use random::Random;
pub use tree::Tree;
