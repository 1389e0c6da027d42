//! `shoal conflicts`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use shoal_api::{ConflictSide, ConflictView, FilesetApi, SettleRequest};
use shoal_protocol::display::{bytes_human, escape};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Form, Output};
use crate::{connect, fileset, table, typed, units};

/// Part of the name of every conflict copy.
const COPY_MARK: &str = ".conflict-";

/// List files that two devices changed at one time, and settle them.
///
/// Both versions are on both devices: one has the name, the other lies beside it as a conflict copy,
/// `name.conflict-DEVICE-DATE-....ext`. Nothing waits for you, and nothing is lost. To settle a conflict keep one side with this
/// command, or simply edit, rename or delete one of the two files.
#[derive(Debug, Args)]
pub(crate) struct ConflictsArgs {
    /// Those of this fileset alone: its name, its folder here, or the first digits of its id.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Keep one side; the others are deleted, on all devices.
    Keep {
        /// The file in conflict, or one of its copies.
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// The side that stays: its number in the list, the name of the device, or the file that has it.
        #[arg(value_name = "SIDE")]
        side: String,
    },
}

pub(crate) async fn run(args: ConflictsArgs, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    match (args.name, args.action) {
        (Some(_), Some(_)) => Err(Failure::usage(
            "`keep` takes a path, which says of which fileset it is",
            "leave the name of the fileset out",
        )),
        (_, Some(Action::Keep { path, side })) => {
            let request = SettleRequest {
                path: typed::absolute(&path)?,
                side: meant(&side, &path)?,
            };
            let node = connect::needed(context).await?;
            let settled = node.settle_conflict(request).await?;
            output.tagged("settled", &settled)?;
            output.line(&format!("{} is settled.", escape(&settled.path)))
        }
        (name, None) => {
            let node = connect::needed(context).await?;
            let conflicts = node.conflicts(name.as_deref()).await;
            list(&conflicts.map_err(fileset::not_found)?, output)
        }
    }
}

/// A side as the node knows it: what is a path becomes absolute. It is one if it has a slash or the mark of a copy,
/// or is the file in conflict again: numbers and names of devices are not.
fn meant(side: &str, path: &Path) -> Result<String, Failure> {
    if side.contains('/') || side.contains(COPY_MARK) || Path::new(side) == path {
        return typed::absolute(Path::new(side));
    }
    Ok(side.to_owned())
}

fn list(conflicts: &[ConflictView], output: &Output) -> Result<(), Failure> {
    if output.form == Form::Json {
        return conflicts
            .iter()
            .try_for_each(|conflict| output.tagged("conflict", conflict));
    }
    if conflicts.is_empty() {
        output.note("There are no conflicts.");
    }
    conflicts
        .iter()
        .flat_map(lines)
        .try_for_each(|line| output.line(&line))
}

/// A conflict, its sides, the command that settles it, and an empty line.
fn lines(conflict: &ConflictView) -> Vec<String> {
    let head = ["", "DEVICE", "CHANGED", "SIZE", "SEEN AT"];
    let rows: Vec<Vec<String>> = conflict.sides.iter().map(cells).collect();
    let mut lines = vec![format!(
        "{}: {}",
        escape(&conflict.name),
        escape(&conflict.path)
    )];
    // Paths are there to be copied, so they are not cut.
    let table = table::render(&head, &rows, 0, None);
    lines.extend(table.into_iter().map(|line| format!("  {line}")));
    lines.push(format!(
        "  to keep one: shoal conflicts keep {} NUMBER",
        typed::word(&conflict.path)
    ));
    lines.push(String::new());
    lines
}

fn cells(side: &ConflictSide) -> Vec<String> {
    let changed = u64::try_from(side.changed_s).map_or_else(
        // Files can be older than 1970.
        |_| "before 1970".to_owned(),
        units::moment,
    );
    let size = match side.kind.as_str() {
        "file" => bytes_human(side.bytes),
        kind => escape(kind).into_owned(),
    };
    vec![
        side.number.to_string(),
        escape(&side.device).into_owned(),
        changed,
        size,
        escape(&side.path).into_owned(),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn side(number: u64, path: &str, kind: &str) -> ConflictSide {
        ConflictSide {
            number,
            path: path.into(),
            kind: kind.into(),
            bytes: 2048,
            changed_s: -1,
            device: "lap\ntop".into(),
        }
    }

    #[test]
    fn sides_are_numbered_and_what_is_copied_is_a_word() {
        let conflict = ConflictView {
            id: "00".into(),
            name: "work".into(),
            path: "/w/a b".into(),
            sides: vec![
                side(1, "/w/a b", "file"),
                side(2, "/w/a.conflict-x", "symlink"),
            ],
        };
        assert_eq!(
            lines(&conflict),
            [
                "work: /w/a b",
                "     DEVICE    CHANGED      SIZE     SEEN AT",
                "  1  lap\\ntop  before 1970  2.0 KiB  /w/a b",
                "  2  lap\\ntop  before 1970  symlink  /w/a.conflict-x",
                "  to keep one: shoal conflicts keep '/w/a b' NUMBER",
                "",
            ]
        );
    }

    #[test]
    fn a_side_that_is_a_file_becomes_absolute() {
        let path = Path::new("a.txt");
        assert_eq!(meant("2", path).unwrap(), "2");
        assert_eq!(meant("laptop", path).unwrap(), "laptop");
        for file in [
            "./a",
            "a.txt",
            "a.conflict-laptop-20300101-000000-abcdef.txt",
        ] {
            let found = meant(file, path).unwrap();
            assert!(Path::new(&found).is_absolute(), "{found}");
        }
    }
}
