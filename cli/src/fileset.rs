//! How a fileset stands, for people.

use shoal_api::{ApiError, ErrorCode, FilesetState, FilesetView};
use shoal_protocol::display::{bytes_human, duration_human, escape};

use crate::{table, typed, units};

/// Problems of one fileset that are shown among others; all of them are shown of one alone.
const PROBLEMS_SHOWN: usize = 5;

/// How much of what is left out is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    Some,
    All,
}

/// Those of `all` that `asked` names, by name, folder, or the first digits of the id.
pub(crate) fn named(asked: &str, all: &[FilesetView]) -> Result<Vec<FilesetView>, ApiError> {
    let by = |fits: &dyn Fn(&FilesetView) -> bool| -> Vec<FilesetView> {
        all.iter().filter(|view| fits(view)).cloned().collect()
    };
    let mut found = by(&|view| view.name == asked || view.path.as_deref() == Some(asked));
    if found.is_empty() && asked.len() >= 4 {
        found = by(&|view| view.id.starts_with(asked));
    }
    if found.is_empty() {
        return Err(unknown(asked));
    }
    Ok(found)
}

/// A table, and below it what its rows do not say.
pub(crate) fn lines(views: &[FilesetView], detail: Detail, width: Option<usize>) -> Vec<String> {
    let head = ["NAME", "STATE", "FILES", "MISSING", "DEVICES", "FOLDER"];
    let rows: Vec<Vec<String>> = views.iter().map(cells).collect();
    let mut lines = table::render(&head, &rows, head.len() - 1, width);
    for view in views {
        let more = explained(view, views, detail);
        if !more.is_empty() {
            lines.push(String::new());
            lines.extend(more);
        }
    }
    lines
}

/// One line: how it stands, what is on its way, and why it stands still.
pub(crate) fn line(view: &FilesetView) -> String {
    let mut line = format!("{}: {}", escape(&view.name), word(view.state));
    if view.state == FilesetState::Offered {
        line.push_str(&format!(" by {}", kept_by(view)));
        return line;
    }
    line.push_str(&format!(", {}", units::count(view.files, "file")));
    if view.missing > 0 {
        line.push_str(&format!(", {} missing", view.missing));
    }
    if let Some(progress) = progress(view) {
        line.push_str(&format!(", {progress}"));
    }
    if let Some(why) = &view.why {
        line.push_str(&format!(": {}", escape(why)));
    }
    line
}

/// The word for a state.
pub(crate) fn word(state: FilesetState) -> &'static str {
    match state {
        FilesetState::Offered => "offered",
        FilesetState::Scanning => "scanning",
        FilesetState::Syncing => "syncing",
        FilesetState::UpToDate => "up to date",
        FilesetState::Paused => "paused",
        FilesetState::Halted => "halted",
        FilesetState::Failed => "failed",
    }
}

/// A fileset that was not found, with where they are listed.
pub(crate) fn not_found(error: ApiError) -> ApiError {
    if error.code == ErrorCode::NotFound && error.hint.is_none() {
        return error.hint("`shoal sets` lists them");
    }
    error
}

fn unknown(asked: &str) -> ApiError {
    let message = format!("there is no fileset \"{}\"", escape(asked));
    not_found(ApiError::new(ErrorCode::NotFound, message))
}

fn cells(view: &FilesetView) -> Vec<String> {
    let (files, missing) = match view.state {
        FilesetState::Offered => ("-".to_owned(), "-".to_owned()),
        _ => (view.files.to_string(), view.missing.to_string()),
    };
    let folder = view.path.as_deref().unwrap_or("-");
    vec![
        escape(&view.name).into_owned(),
        word(view.state).to_owned(),
        files,
        missing,
        kept_by(view),
        escape(folder).into_owned(),
    ]
}

/// Other devices that keep it.
fn kept_by(view: &FilesetView) -> String {
    if view.kept_by.is_empty() {
        return "-".to_owned();
    }
    let named = view.kept_by.iter().map(|name| {
        let away = if view.connected.contains(name) {
            ""
        } else {
            " (away)"
        };
        format!("{}{away}", escape(name))
    });
    named.collect::<Vec<_>>().join(", ")
}

/// What is on its way, how fast, and for how long.
fn progress(view: &FilesetView) -> Option<String> {
    if view.bytes_wanted == 0 {
        return None;
    }
    let mut text = format!("{} to come", bytes_human(view.bytes_wanted));
    if view.rate_bytes_per_s > 0 {
        text.push_str(&format!(" at {}", units::speed(view.rate_bytes_per_s)));
    }
    if let Some(left) = view.left_s {
        text.push_str(&format!(", {} left", duration_human(left)));
    }
    Some(text)
}

fn explained(view: &FilesetView, all: &[FilesetView], detail: Detail) -> Vec<String> {
    let name = escape(&view.name);
    let typed = typed::fileset(view, all);
    let mut lines = Vec::new();
    if let Some(progress) = progress(view) {
        lines.push(format!("{name}: {progress}"));
    }
    let next = next(view, &typed);
    match (&view.why, view.state) {
        (Some(why), FilesetState::Halted) => lines.push(format!("{name} halted: {}", escape(why))),
        (Some(why), FilesetState::Failed) => {
            lines.push(format!("{name} cannot go on: {}", escape(why)));
        }
        (Some(why), _) => lines.push(format!("{name}: {}", escape(why))),
        (None, _) => lines.extend(standing(view, &name)),
    }
    lines.extend(next.map(|next| format!("  next: {next}")));
    if view.conflicts > 0 {
        let conflicts = units::count(view.conflicts, "conflict");
        lines.push(format!(
            "{name}: {conflicts}; to list and settle: shoal conflicts {typed}"
        ));
    }
    lines.extend(left_out(view, &typed, detail));
    lines
}

/// What a state that needs no reason means.
fn standing(view: &FilesetView, name: &str) -> Option<String> {
    let kept = view.path.is_some();
    match view.state {
        FilesetState::Offered => Some(format!("{name} is not kept here.")),
        FilesetState::Paused => Some(format!("{name} is paused.")),
        FilesetState::Halted => Some(format!("{name} halted.")),
        FilesetState::Failed => Some(format!("{name} cannot go on.")),
        _ if kept && view.kept_by.is_empty() => {
            Some(format!("{name}: no other device keeps it yet."))
        }
        _ if view.connected.is_empty() => Some(format!(
            "{name}: none of the devices that keep it is connected; it goes on by itself when one is."
        )),
        _ => None,
    }
}

/// The node's own advice, or what is usual.
fn next(view: &FilesetView, typed: &str) -> Option<String> {
    if let Some(hint) = &view.hint {
        return Some(escape(hint).into_owned());
    }
    match view.state {
        FilesetState::Offered => Some(format!("shoal join {typed} PATH")),
        FilesetState::Paused => Some(format!("shoal resume {typed}")),
        FilesetState::Halted => Some(format!(
            "shoal resume {typed} --restore brings back what is gone; shoal resume {typed} --delete deletes it on all devices"
        )),
        FilesetState::Failed => Some(format!("correct that, then: shoal resume {typed}")),
        _ if view.why.is_none() && view.kept_by.is_empty() => {
            Some(format!("on another device: shoal join {typed} PATH"))
        }
        _ => None,
    }
}

fn left_out(view: &FilesetView, typed: &str, detail: Detail) -> Vec<String> {
    let all = view.problems.len();
    if all == 0 {
        return Vec::new();
    }
    let shown = match detail {
        Detail::All => all,
        Detail::Some => PROBLEMS_SHOWN,
    };
    let count = u64::try_from(all).unwrap_or(u64::MAX);
    let head = format!(
        "{}: {} left out:",
        escape(&view.name),
        units::count(count, "path")
    );
    let mut lines = vec![head];
    lines.extend(
        view.problems
            .iter()
            .take(shown)
            .map(|it| format!("  {}: {}", escape(&it.path), escape(&it.what))),
    );
    if all > shown {
        let more = all - shown;
        lines.push(format!(
            "  and {more} more; all of them: shoal sets {typed}"
        ));
    }
    lines
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use shoal_api::FilesetProblem;

    pub(crate) fn view(name: &str) -> FilesetView {
        FilesetView {
            id: "0123456789abcdef".into(),
            name: name.into(),
            path: Some(format!("/home/ada/{name}")),
            state: FilesetState::UpToDate,
            files: 3,
            missing: 0,
            bytes_wanted: 0,
            rate_bytes_per_s: 0,
            received_bytes: 0,
            sent_bytes: 0,
            left_s: None,
            kept_by: vec!["phone".into()],
            connected: vec!["phone".into()],
            conflicts: 0,
            why: None,
            hint: None,
            problems: vec![],
        }
    }

    #[test]
    fn what_is_well_needs_no_word_below_the_table() {
        assert_eq!(
            lines(&[view("work")], Detail::Some, None),
            [
                "NAME  STATE       FILES  MISSING  DEVICES  FOLDER",
                "work  up to date  3      0        phone    /home/ada/work"
            ]
        );
    }

    #[test]
    fn each_state_says_what_to_do() {
        let said = |change: &dyn Fn(&mut FilesetView)| {
            let mut view = view("my work");
            change(&mut view);
            explained(&view, &[], Detail::Some).join("\n")
        };
        let offered = said(&|it| {
            it.state = FilesetState::Offered;
            it.path = None;
        });
        assert!(offered.ends_with("next: shoal join 'my work' PATH"));
        let paused = said(&|it| it.state = FilesetState::Paused);
        assert!(paused.ends_with("next: shoal resume 'my work'"));
        let halted = said(&|it| {
            it.state = FilesetState::Halted;
            it.why = Some("all is gone\u{1b}[2J".into());
        });
        assert!(halted.starts_with("my work halted: all is gone\\x1b[2J\n  next: shoal resume"));
        assert!(halted.contains("--restore") && halted.contains("--delete"));
        let failed = said(&|it| {
            it.state = FilesetState::Failed;
            it.why = Some("the disk is full".into());
            it.hint = Some("make room".into());
        });
        assert_eq!(
            failed,
            "my work cannot go on: the disk is full\n  next: make room"
        );
        let alone = said(&|it| {
            it.kept_by.clear();
            it.connected.clear();
        });
        assert!(alone.ends_with("next: on another device: shoal join 'my work' PATH"));
        let away = said(&|it| it.connected.clear());
        assert!(away.contains("none of the devices") && !away.contains("next:"));
    }

    #[test]
    fn progress_conflicts_and_problems_are_told() {
        let mut view = view("work");
        view.state = FilesetState::Syncing;
        (view.missing, view.bytes_wanted) = (5, 3 << 20);
        view.rate_bytes_per_s = 1 << 20;
        view.left_s = Some(65);
        view.conflicts = 1;
        let problem = |n: usize| FilesetProblem {
            path: format!("p{n}"),
            what: "a FIFO".into(),
        };
        view.problems = (0..7).map(problem).collect();
        let mut said = lines(std::slice::from_ref(&view), Detail::Some, None);
        assert_eq!(
            said.split_off(3),
            [
                "work: 3.0 MiB to come at 1.0 MiB/s, 1m 5s left",
                "work: 1 conflict; to list and settle: shoal conflicts work",
                "work: 7 paths left out:",
                "  p0: a FIFO",
                "  p1: a FIFO",
                "  p2: a FIFO",
                "  p3: a FIFO",
                "  p4: a FIFO",
                "  and 2 more; all of them: shoal sets work",
            ]
        );
        let all = lines(std::slice::from_ref(&view), Detail::All, None);
        assert_eq!(all.last().unwrap(), "  p6: a FIFO");
        assert_eq!(
            line(&view),
            "work: syncing, 3 files, 5 missing, 3.0 MiB to come at 1.0 MiB/s, 1m 5s left"
        );
    }

    #[test]
    fn a_fileset_is_found_by_name_folder_and_id() {
        let all = [view("work"), view("pics")];
        for asked in ["work", "/home/ada/work"] {
            assert_eq!(named(asked, &all).unwrap(), [view("work")]);
        }
        assert_eq!(named("0123", &all).unwrap().len(), 2);
        for asked in ["", "012", "wor", "ffff"] {
            assert_eq!(named(asked, &all).unwrap_err().code, ErrorCode::NotFound);
        }
    }
}
