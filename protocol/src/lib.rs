//! The rules and formats of Shoal, without IO, clock or randomness.
//!
//! Everything that arrives from outside is parsed here, by functions from bytes to values that
//! have a limit and a typed error, so that each can be fuzzed on its own.

pub mod attempts;
pub mod bencode;
pub mod capability;
pub mod catalogue;
pub mod codec;
pub mod display;
pub mod fileset;
pub mod group;
pub mod hello;
pub mod id;
pub mod invite;
pub mod limits;
pub mod link;
pub mod magnet;
pub mod manifest;
pub mod metainfo;
pub mod pairing;
pub mod password;
pub mod path;
pub mod peerwire;
pub mod range;
mod signature;
pub mod slots;
pub mod sync;
pub mod tracker;
