//! What two replicas say to each other.

use super::entry::Entry;
use super::version::Knowledge;

/// A message between two replicas of a fileset. Each side first sends one `Hello`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What the sender has seen: the other streams what is above.
    Hello {
        /// Durable at the sender.
        knowledge: Knowledge,
    },
    /// Entries that the other may not have.
    Entries {
        /// Number of the page, from 1 on.
        serial: u64,
        /// The entries.
        entries: Vec<Entry>,
        /// Once this page and all before are taken in, the receiver has seen this too. Only authors that changed.
        caught_up: Option<Knowledge>,
    },
    /// All pages up to this number are durable at the sender of this message.
    Taken {
        /// Number of the page.
        serial: u64,
    },
    /// All that this knowledge covers is materialised and durable at the sender: it serves all of that content.
    Complete {
        /// What it covers.
        knowledge: Knowledge,
    },
}
