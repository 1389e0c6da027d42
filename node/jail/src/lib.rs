//! The path jail: whatever a peer, a torrent or a link names is opened, created and renamed below
//! one directory, and never outside it.
//!
//! Every path is relative, `/`-separated UTF-8, and checked here again whoever checked it before.
//! No symlink is ever followed below the jail's directory. On Linux the kernel sees to that
//! (`openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`); elsewhere, and where a sandbox hides
//! `openat2`, the jail walks component by component with `O_NOFOLLOW`.
//!
//! What the jail does not guard against: somebody with an account on this machine who moves an
//! opened folder out of the jail, or who puts a hard link to another file in it. Peers can do neither.

mod attributes;
mod error;
mod folder;
mod meta;
mod open;
mod path;
mod rename;
mod resolve;

pub use attributes::Exec;
pub use error::{Escape, JailError, JailErrorKind};
pub use folder::DirEntry;
pub use meta::{Kind, Meta};
pub use open::{Create, Jail};
pub use path::symlink_target_stays;
pub use rename::Existing;

#[cfg(test)]
mod escape_tests;
#[cfg(test)]
mod tests;
