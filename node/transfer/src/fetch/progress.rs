//! What a `get` tells while it works.

use super::Way;

/// Where a `get` stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It looks for somebody who has the link.
    Connecting,
    /// It reads what the link contains.
    Metadata,
    /// The sharing machine still hashes; nothing can be fetched yet.
    WaitingForHashing,
    /// It reads again what an earlier run fetched: the machine was restarted since, or the disk mounted anew.
    Rechecking,
    /// Bytes arrive.
    Fetching,
    /// Everything is there; times, links and durability are being settled.
    Finishing,
}

/// What became of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WayState {
    /// It is used from now on.
    Up,
    /// It failed and is tried again.
    Down {
        /// What happened; escape before showing.
        why: String,
    },
    /// It is not used any more: it sent wrong bytes, or refused.
    Dropped {
        /// What happened; escape before showing.
        why: String,
    },
}

/// One piece of news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A new phase began.
    Phase(Phase),
    /// What there is to fetch.
    Total {
        /// Name of the file or folder; escape before showing.
        name: String,
        /// Regular files.
        files: u64,
        /// Bytes of them.
        bytes: u64,
    },
    /// How much is there by now; at most ten times a second.
    Done {
        /// Bytes of the total.
        bytes: u64,
        /// Bytes of these that an earlier run had fetched.
        resumed_bytes: u64,
    },
    /// News of a source.
    Way {
        /// Its way.
        way: Way,
        /// Its address; escape before showing.
        address: String,
        /// What became of it.
        state: WayState,
    },
}

/// Who is told. Called from several threads, and should return at once.
pub trait Progress: Send + Sync + 'static {
    /// Something happened.
    fn event(&self, event: Event);
}

/// Nobody is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: Event) {}
}
