//! Whoever changes the folder is noticed at once: inotify on every folder of the tree.
//!
//! What is told are folders to look at, not what happened in them: a look finds that out, so that an
//! editor's save by rename is one change and no deletion. Events are gathered until 80 ms were quiet, for
//! one second at most. Losing events (the kernel's queue is bounded) means a look at everything.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod inotify;
mod quiet;

use super::root::Replica;
use shoal_protocol::path::RelPath;
use std::io;

/// What is noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noticed {
    /// Something changed right in these folders (none: the root), each named once, in their order: look at them.
    Folders(Vec<Option<RelPath>>),
    /// Too much happened to say where: look at everything.
    Everything,
    /// The root itself was moved, removed or unmounted: look, and the look says what is wrong. Nothing more is noticed.
    Root,
    /// So many folders cannot be watched (`fs.inotify.max_user_watches`): look at everything more often.
    /// Told again when the number grows.
    Limited {
        /// How many are not watched.
        unwatched: usize,
    },
}

/// Why nothing is noticed at all. Look at everything more often then.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// This system has no inotify.
    #[error("this system cannot tell of changes; the folder is looked at from time to time")]
    Unsupported,
    /// The system gave no watcher (`fs.inotify.max_user_instances`) or thread.
    #[error("the folder cannot be watched: {0}; it is looked at from time to time")]
    Io(#[from] io::Error),
}

/// A watched root. Dropping it ends the watching.
#[derive(Debug)]
pub struct Watch {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    stop: std::sync::Arc<rustix::fd::OwnedFd>,
}

impl Replica {
    /// Watches the whole tree, from a thread of its own. When this returns, every folder is watched: a look
    /// that begins now and what is noticed from now on miss nothing between them.
    ///
    /// `tell` is called on that thread and may wait; meanwhile events gather in the kernel.
    ///
    /// # Errors
    /// See [`WatchError`].
    pub fn watch(&self, tell: impl FnMut(Noticed) + Send + 'static) -> Result<Watch, WatchError> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return inotify::start(self, Box::new(tell));
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        {
            let _ = tell;
            Err(WatchError::Unsupported)
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Drop for Watch {
    fn drop(&mut self) {
        // Not waited for: the thread may be telling us something.
        let _ = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
    }
}
