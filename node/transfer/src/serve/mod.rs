//! Serving: the user's own files, in place, over iroh, BitTorrent and (through `gateway`) HTTP.
//!
//! What is served and who may take it is decided behind the traits of [`port`].

pub mod blobs;
pub mod iroh;
pub mod mainline;
mod memory;
pub mod port;
pub mod seed;

pub use memory::MemoryBlob;
