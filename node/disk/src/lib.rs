//! The user's files. For a share they are read and never written: walking a tree, stamping and hashing
//! it, and opening its files again to serve them. For a fileset, [`replica`] keeps a folder the same.
//!
//! Order of calls: [`walk`] lists what is to be shared, [`hash_tree`] reads every byte once, and from
//! then on [`Sources`] opens single files and refuses those that changed since the walk.
//!
//! Everything here is synchronous; callers with an async runtime use its blocking threads.

mod cache;
mod entry;
mod hash;
mod listing;
mod named;
pub mod replica;
mod roots;
mod source;
mod stamp;
mod walk;

pub use cache::{SOURCE_CACHE_MAX_FILES, SourceCache};
pub use entry::{Entry, EntryKind, Problem, ProblemKind, Tree};
pub use hash::{
    Counters, GROUP_BYTES, HashError, HashOptions, Hashed, HashedFile, Outboard, Progress,
    hash_tree, outboard_len_bytes,
};
pub use named::WalkError;
pub use roots::{SourceRoot, Sources};
pub use source::{SourceError, SourceFile};
pub use stamp::Stamp;
pub use walk::{locate_roots, walk};

#[cfg(test)]
mod source_tests;
#[cfg(test)]
mod walk_tests;
