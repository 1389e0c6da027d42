//! The sync machine: what keeps the replicas of a fileset the same. It has no IO, no clock and no randomness.
//!
//! Data flows one way, in a ring:
//!
//! ```text
//! disk, peers, API, timers --Event--> Machine::handle --Action--> disk, peers, store, API
//! ```
//!
//! A *driver* turns the ring: `node` over a real disk, `netsim` over a simulated one. Its contract:
//!
//! 1. **One at a time.** `handle` is called with one event after the other. [`Index`] is the only thing the machine
//!    pulls from, and only during `handle`. When a read fails, `handle` fails: the driver drops the machine and starts anew.
//! 2. **Persist.** A [`Batch`] is visible in the `Index` before the next `handle`; batches become durable in their order,
//!    all of one or nothing of it; one `handle` may hand out several. When it survives a power cut, the driver says [`Event::Persisted`].
//!    The machine sends and applies nothing that depends on a batch before that.
//! 3. **Scan.** One look at a time: [`Scan::Started`] is handled before the first `stat`; then one or more
//!    [`Scan::Page`] for every folder looked at (a folder before what is in it); then [`Scan::Finished`].
//!    A page names a range of names in one folder and *all* that is there, except what is ignored for good (`.shoal`, ignore rules).
//!    Files come with their hash: [`known_content`] tells the driver which hash it may take from the index instead of reading.
//!    [`Action::Look`] asks for a look; the driver looks at once, after what runs.
//! 4. **Apply.** The driver does the operations of one [`Action::Apply`] in their order, each only when
//!    what is on the disk is what `expect` says, looked at right before. [`Event::Applied`] is given when they are durable.
//! 5. **Fetch.** The driver brings the content into staging, verified and durable, from any of the named peers, and says
//!    [`Event::Fetched`]. It may have a content in staging already (from before a crash): then that is the answer.
//! 6. **Time.** [`Machine::next_tick`] says when [`Event::Tick`] is due.
//!
//! What nobody but this device writes (its own counter, its entries) is never seen by a peer before it is durable. A device that
//! forgets (a restored backup) is caught by its [`Seen::incarnation`] and goes on as a new author.

mod action;
mod applied;
mod batch;
pub mod conflict;
mod entry;
mod event;
mod index;
pub mod machine;
pub mod memory;
pub mod merge;
mod message;
mod names;
pub mod project;
#[cfg(test)]
mod testing;
mod version;
mod wire;

pub use action::{
    Action, Attributes, Expect, Failure, Halt, Op, OpId, OpKind, Outcome, Problem, Report, Source,
};
pub use applied::{Applied, Features, Role, Stamp, known_content};
pub use batch::{AppliedChange, Batch, BatchId, EntrySet, Incarnation, Meta};
pub use conflict::Policy;
pub use entry::{Entry, Kind, Removal};
pub use event::{
    Command, Event, FetchFailure, Found, FoundKind, Now, Page, RootProblem, Scan, Scope,
};
pub use index::{Index, IndexError, Read, Span, key};
pub use machine::{Config, Machine};
pub use message::Message;
pub use names::{Case, Folded, Forms, Names};
pub use version::{AuthorId, Dot, Knowledge, Seen, VersionVector};
