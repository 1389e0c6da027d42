//! A folder that is kept the same as a fileset: looked at, watched and changed.
//!
//! Order of calls: [`Replica::create`] once, [`Replica::open`] at every start (it clears what a crash left),
//! [`Replica::scan`] with the rows of what was applied, [`Watch`] for what changes afterwards,
//! [`Replica::apply`] for what others changed. All state of ours below the root is in `.shoal/`, which no
//! scan shows and no operation touches.
//!
//! What is compared is always the disk with the *applied* rows, never with the index. Nothing is ever
//! replaced or removed without a look at it right before.
//!
//! Everything here is synchronous; callers with an async runtime use its blocking threads.

mod apply;
mod content;
mod folder;
mod listing;
mod look;
mod marker;
mod pages;
mod probe;
mod root;
mod scan;
mod serve;
mod staging;
mod watch;

pub use apply::{ApplyOptions, Faults, Step};
pub use probe::{Capabilities, NameForm, Names, Support};
pub use root::{Replica, RootProblem, overlaps};
pub use scan::{Look, ScanError, ScanOptions, ScanSummary, Told};
pub use serve::ContentFile;
pub use staging::Swept;
pub use watch::{Noticed, Watch, WatchError};

pub use crate::entry::{Problem, ProblemKind};

/// The folder of ours in a root: marker and staging. No path of a fileset has this name in it.
pub const OWN_FOLDER: &str = ".shoal";
/// Where files are written before they get their names, below [`OWN_FOLDER`].
pub(crate) const STAGING: &str = ".shoal/staging";

/// Where the marker of a nested root would be.
pub(crate) fn folder_marker(folder: &str) -> String {
    format!("{folder}/{OWN_FOLDER}/marker")
}

/// Whether a path has a name that belongs to Shoal, in any case.
pub fn is_reserved(path: &str) -> bool {
    path.split('/')
        .any(|name| name.eq_ignore_ascii_case(OWN_FOLDER))
}
#[cfg(test)]
mod apply_tests;
#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod scan_tests;
#[cfg(test)]
mod watch_tests;
