//! What a fileset tells people: what happened, and what to do next.

use shoal_disk::replica::{ProblemKind, RootProblem};
use shoal_protocol::display::escape;
use shoal_protocol::sync::{self, Failure, Halt, Problem};
use std::path::Path;

/// Why a fileset stands still, and the next step.
pub(super) fn halted(halt: &Halt, name: &str, root: &Path) -> (String, String) {
    let name = argument(name);
    let root = escape(&root.to_string_lossy()).into_owned();
    let ask = format!(
        "if that is meant: shoal resume {name} --delete; if not: shoal resume {name} --restore brings everything back from the other devices"
    );
    match halt {
        Halt::Root(sync::RootProblem::Missing) => (
            format!("the folder {root} is not there or cannot be read"),
            "connect or mount its disk; it goes on by itself".to_owned(),
        ),
        Halt::Root(sync::RootProblem::Unmarked) => (
            format!(
                "the folder at {root} is not the one that was kept the same: its .shoal/marker is gone"
            ),
            format!(
                "mount its disk, and it goes on by itself; if the folder was replaced on purpose: shoal leave {name}, then join it again"
            ),
        ),
        Halt::Emptied => (format!("the folder {root} is suddenly empty"), ask),
        Halt::MassDeletion { gone, of } => (
            format!("{gone} of {of} files, folders and links are gone from {root} at once"),
            ask,
        ),
        Halt::RemoteDeletion { gone, of } => (
            format!(
                "another device deleted {gone} of {of} files, folders and links that are here, and nobody confirmed it"
            ),
            format!(
                "if that is meant: shoal resume {name} --delete; if not: shoal resume {name} --restore keeps them, on all devices"
            ),
        ),
    }
}

/// Why the folder cannot be opened, and the next step.
pub(super) fn unopened(problem: &RootProblem, root: &Path) -> (String, String) {
    let root = escape(&root.to_string_lossy()).into_owned();
    (
        format!("the folder {root} cannot be kept the same: {problem}"),
        "it is tried again every few seconds; `shoal leave` ends it and leaves the files"
            .to_owned(),
    )
}

/// What is the matter with one path.
pub(super) fn problem(problem: Problem) -> &'static str {
    match problem {
        Problem::Twin => {
            "another path has a name that this file system takes for the same; rename one of them on another device"
        }
        Problem::Impossible => {
            "this file system cannot have such a name or kind; rename it on another device"
        }
        Problem::NotEmpty => {
            "the folder was deleted on another device, but has files here that are not part of the fileset; move or delete them"
        }
        Problem::NoContent => {
            "no connected device has its content; it comes when one that has it connects"
        }
        Problem::Disk(Failure::NoSpace) => "the disk is full; free some space",
        Problem::Disk(Failure::Denied) => {
            "the system does not allow it; check owner and mode of the folder it is in"
        }
        Problem::Disk(Failure::Io) => "the disk cannot be read or written; check it",
    }
}

/// Why a look leaves a path out.
pub(super) fn left_out(kind: &ProblemKind) -> String {
    match kind {
        ProblemKind::Changing => "it changes while it is read; it is looked at again".to_owned(),
        other => other.to_string(),
    }
}

/// A name as it is typed in a shell.
pub(super) fn argument(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.,+@%/".contains(&byte);
    let escaped = escape(name);
    if !escaped.is_empty() && !escaped.starts_with('-') && escaped.bytes().all(plain) {
        return escaped.into_owned();
    }
    format!("'{}'", escaped.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_be_typed_as_it_is_shown() {
        assert_eq!(argument("work-2"), "work-2");
        assert_eq!(argument("my work"), "'my work'");
        assert_eq!(argument("it's"), r"'it'\''s'");
        assert_eq!(argument("$(reboot)"), "'$(reboot)'");
    }
}
