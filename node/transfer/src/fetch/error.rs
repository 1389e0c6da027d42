//! Why a `get` ended without its files.

use super::Way;
use shoal_jail::{JailError, JailErrorKind};
use shoal_protocol::hello::Refusal;
use std::io;
use std::path::{Path, PathBuf};

/// One source that was tried, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The way.
    pub way: Way,
    /// Its address; escape before showing.
    pub address: String,
    /// What happened there; escape before showing.
    pub why: String,
}

/// Why a `get` ended without its files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// The link contradicts itself, or offers none of the ways asked for.
    #[error("this link cannot be used: {0}")]
    BadLink(String),
    /// The node that serves the link refuses.
    #[error(transparent)]
    Refused(Refusal),
    /// Nobody who has the files could be reached, or all went away.
    #[error(
        "nobody could be reached who has these files; check that the sharing machine is on and in reach, \
         then run the same command again: it goes on where it stopped{}",
        listed(tried)
    )]
    Unreachable {
        /// Everything that was tried.
        tried: Vec<Tried>,
    },
    /// A source sent something else than what was signed.
    #[error(
        "what was sent is not what the link promises ({0}); nothing of it was kept: ask for a new link"
    )]
    Verification(String),
    /// The files are not what the link was made for any more, where they are shared.
    #[error(
        "files were changed or moved at {address} after they were shared, so that this link does not stand for them \
         any more; ask whoever gave it to you to share them again"
    )]
    Changed {
        /// Who said so; escape before showing.
        address: String,
    },
    /// The torrent way alone was asked for, and cannot do it.
    #[error(
        "BitTorrent here takes no names with a backslash, as in {path:?}; leave --via out, or use --via iroh,http"
    )]
    TorrentName {
        /// One of the names; escape before showing.
        path: String,
    },
    /// Two names of the tree are one name for the target's file system.
    #[error(
        "{path:?} cannot hold both {first:?} and {second:?}: its file system takes them for one name; \
         choose a folder on another file system with -o"
    )]
    OneName {
        /// The folder that was to get the tree.
        path: PathBuf,
        /// A path of the tree.
        first: String,
        /// Another.
        second: String,
    },
    /// Disk or quota is full. What is there stays for the next run.
    #[error(
        "the disk is full in {path:?}: {needed_bytes} more bytes are needed and {free_bytes} are free; \
         free some space and run the same command again: it goes on where it stopped"
    )]
    DiskFull {
        /// The folder that was written to.
        path: PathBuf,
        /// Bytes still to be written, at most.
        needed_bytes: u64,
        /// Bytes free.
        free_bytes: u64,
    },
    /// Something else has the target's name.
    #[error(
        "{path:?} is there already and has other content; move it away, or choose another folder with -o"
    )]
    TargetExists {
        /// The target.
        path: PathBuf,
    },
    /// Another `get` of the same link works in the same folder.
    #[error(
        "another shoal get is fetching the same link into {path:?}; wait for it, or choose another folder with -o"
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The target may not be written.
    #[error("{path:?} may not be written: {why}")]
    Permission {
        /// What could not be written.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Any other failure of this machine.
    #[error("{path:?}: {source}; run the same command again once that is settled")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was cancelled. What is there stays for the next run.
    #[error("cancelled; run the same command again to go on where it stopped")]
    Cancelled,
}

impl GetError {
    /// From an error of the jail; `DiskFull` gets its figures where they are known.
    pub(crate) fn jail(error: JailError) -> Self {
        let path = error.path.clone();
        match error.kind {
            JailErrorKind::NoSpace => Self::DiskFull {
                path,
                needed_bytes: 0,
                free_bytes: 0,
            },
            JailErrorKind::Permission | JailErrorKind::ReadOnly => Self::Permission {
                path,
                why: error.kind.to_string(),
            },
            _ => Self::Io {
                path,
                source: error.into(),
            },
        }
    }

    /// From an error of the file system at a path.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                path,
                needed_bytes: 0,
                free_bytes: 0,
            },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Permission {
                    path,
                    why: source.to_string(),
                }
            }
            _ => Self::Io { path, source },
        }
    }
}

fn listed(tried: &[Tried]) -> String {
    let mut text = String::new();
    for Tried { way, address, why } in tried {
        let address: String = address.escape_debug().collect();
        let why: String = why.escape_debug().collect();
        text.push_str(&format!("\n  {way} {address}: {why}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_sent_is_escaped_in_the_sentence() {
        let tried = vec![Tried {
            way: Way::Http,
            address: "http://a".into(),
            why: "\x1b[2Jno".into(),
        }];
        let text = GetError::Unreachable { tried }.to_string();
        assert!(text.ends_with("\n  http http://a: \\u{1b}[2Jno"), "{text}");
    }
}
