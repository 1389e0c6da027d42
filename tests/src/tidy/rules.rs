//! The rules. Each takes what it looks at and returns one sentence for each violation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::code::line_of;
use super::{Crate, SourceFile, functions};

/// Lines of a file that are never passed.
pub const FILE_MAX_LINES: usize = 800;
/// Lines of a file above which it must say `// Length:` and why.
pub const FILE_EXPLAINED_LINES: usize = 500;
/// The median of all files stays below this.
pub const FILE_MEDIAN_LINES: usize = 250;
/// A function has fewer lines than this.
pub const FUNCTION_MAX_LINES: usize = 70;

/// Crates import only what the code map of ARCHITECTURE.md lets them, and the map knows every crate.
pub fn walls(crates: &[Crate], table: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let by_name: BTreeMap<&str, &str> = crates
        .iter()
        .map(|it| (it.name.as_str(), it.folder.as_str()))
        .collect();
    let mut wrong = Vec::new();
    for it in crates {
        let Some(allowed) = table.get(&it.folder) else {
            wrong.push(format!(
                "{}: missing in the code map of ARCHITECTURE.md",
                it.folder
            ));
            continue;
        };
        for dependency in &it.dependencies {
            if let Some(folder) = by_name.get(dependency.as_str())
                && !allowed.contains(*folder)
            {
                wrong.push(format!(
                    "{}: imports {folder}, which the code map does not allow",
                    it.folder
                ));
            }
        }
    }
    for folder in table.keys() {
        if !crates.iter().any(|it| &it.folder == folder) {
            wrong.push(format!(
                "ARCHITECTURE.md: the code map names {folder}, which does not exist"
            ));
        }
    }
    wrong
}

/// Foreign crates that some of ours must not use.
pub fn foreign_walls(crates: &[Crate]) -> Vec<String> {
    let mut wrong = Vec::new();
    for it in crates {
        let mut banned: Vec<&str> = Vec::new();
        // librqbit's storage trait returns anyhow's results, so node/transfer cannot do without; see `banned_calls`.
        if !matches!(
            it.folder.as_str(),
            "cli" | "tests" | "bench" | "node/transfer"
        ) {
            banned.push("anyhow");
        }
        if it.folder == "protocol" {
            banned.extend([
                "tokio",
                "rand",
                "getrandom",
                "futures",
                "async-trait",
                "mio",
            ]);
        }
        for name in banned {
            if it.dependencies.contains(name) {
                wrong.push(format!("{}/Cargo.toml: depends on {name}", it.folder));
            }
        }
    }
    wrong
}

/// Every crate inherits the workspace's lints (`unsafe_code = "forbid"` among them) and says what it is for.
pub fn manifests(root_manifest: &str, crates: &[Crate]) -> Vec<String> {
    let mut wrong = Vec::new();
    if !root_manifest.contains("unsafe_code = \"forbid\"") {
        wrong.push("Cargo.toml: [workspace.lints.rust] lacks unsafe_code = \"forbid\"".into());
    }
    for it in crates {
        let inherits = it
            .manifest
            .split("[lints]")
            .nth(1)
            .is_some_and(|rest| rest.trim_start().starts_with("workspace = true"));
        // The fuzz crate is outside the workspace, and its `fuzz_target!` expands to unsafe code.
        if !inherits && it.folder != "fuzz" {
            wrong.push(format!(
                "{}/Cargo.toml: lacks [lints] workspace = true",
                it.folder
            ));
        }
        if it.folder != "fuzz" && (it.description.is_empty() || it.description == "DESC") {
            wrong.push(format!("{}/Cargo.toml: lacks a description", it.folder));
        }
    }
    wrong
}

/// No file above [`FILE_MAX_LINES`]; above [`FILE_EXPLAINED_LINES`] a `// Length:` comment near the top gives the reason.
pub fn file_lengths(files: &[SourceFile]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut lengths: Vec<usize> = Vec::new();
    for file in files {
        let lines = file.text.lines().count();
        lengths.push(lines);
        let explained = file
            .text
            .lines()
            .take(40)
            .any(|line| line.trim_start().starts_with("// Length: "));
        let path = file.path.display();
        if lines > FILE_MAX_LINES {
            wrong.push(format!(
                "{path}: {lines} lines, and {FILE_MAX_LINES} is the most"
            ));
        } else if lines > FILE_EXPLAINED_LINES && !explained {
            wrong.push(format!(
                "{path}: {lines} lines; split it, or give the reason in a line `// Length: ...` near the top"
            ));
        }
    }
    lengths.sort_unstable();
    if let Some(median) = lengths.get(lengths.len() / 2)
        && *median >= FILE_MEDIAN_LINES
    {
        wrong.push(format!("the median file has {median} lines"));
    }
    wrong
}

/// Functions outside tests stay under [`FUNCTION_MAX_LINES`].
pub fn function_lengths(files: &[SourceFile]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        for function in functions(&file.production) {
            if function.lines >= FUNCTION_MAX_LINES {
                wrong.push(format!(
                    "{}:{}: fn {} has {} lines",
                    file.path.display(),
                    function.line,
                    function.name,
                    function.lines
                ));
            }
        }
    }
    wrong
}

/// A module is named after what it is about.
pub fn module_names(files: &[SourceFile]) -> Vec<String> {
    const BANNED: [&str; 8] = [
        "util", "utils", "common", "helper", "helpers", "manager", "managers", "misc",
    ];
    let mut wrong = Vec::new();
    for file in files {
        for part in file.path.iter() {
            let stem = part.to_string_lossy();
            let stem = stem.strip_suffix(".rs").unwrap_or(&stem);
            if BANNED.contains(&stem) {
                wrong.push(format!("{}: {stem} says nothing", file.path.display()));
            }
        }
        for name in words_after(&file.code, "mod ") {
            if BANNED.contains(&name.1.as_str()) {
                wrong.push(format!(
                    "{}:{}: mod {} says nothing",
                    file.path.display(),
                    name.0,
                    name.1
                ));
            }
        }
        for name in words_after(&file.code, "fn ") {
            if name.1.starts_with("get_") {
                wrong.push(format!("{}:{}: fn {}", file.path.display(), name.0, name.1));
            }
        }
    }
    wrong
}

/// Calls that a kind of code must not make.
pub fn banned_calls(files: &[SourceFile]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        let folder = file.crate_folder();
        let library =
            !matches!(folder.as_str(), "cli" | "tests" | "bench" | "fuzz") && !file.is_binary();
        if !matches!(folder.as_str(), "cli" | "tests" | "bench" | "fuzz") {
            wrong.extend(panics(file));
        }
        if library {
            for call in [
                "println!",
                "eprintln!",
                "print!",
                "eprint!",
                "env::var",
                "env::args",
            ] {
                wrong.extend(occurrences(
                    file,
                    &file.production,
                    call,
                    "a library neither prints nor reads the environment",
                ));
            }
        }
        for call in [
            "dbg!",
            "todo!",
            "unimplemented!",
            "allow(dead_code",
            "allow(unused",
        ] {
            wrong.extend(occurrences(file, &file.code, call, "unfinished"));
        }
        if folder == "node/transfer" && !file.code.contains("TorrentStorage") {
            wrong.extend(occurrences(
                file,
                &file.production,
                "anyhow",
                "only behind librqbit's storage trait",
            ));
        }
        if folder == "protocol" {
            for call in [
                "SystemTime",
                "Instant",
                "rand::",
                "getrandom",
                "std::fs",
                "std::io::",
                "TcpStream",
                "UdpSocket",
                "std::thread",
                "tokio",
            ] {
                wrong.extend(occurrences(
                    file,
                    &file.production,
                    call,
                    "protocol has no clock, no randomness and no IO",
                ));
            }
        }
        wrong.extend(sleeps(file));
    }
    wrong
}

/// Every Rust file is reached from some crate's root by `mod`.
pub fn forgotten_files(root: &Path, files: &[SourceFile], crates: &[Crate]) -> Vec<String> {
    let by_path: BTreeMap<PathBuf, &SourceFile> = files
        .iter()
        .map(|file| (root.join(&file.path), file))
        .collect();
    let mut reached = BTreeSet::new();
    let mut open: Vec<(PathBuf, bool)> = crates
        .iter()
        .flat_map(|it| it.roots.iter().map(|path| (path.clone(), true)))
        .collect();
    while let Some((path, is_root)) = open.pop() {
        let Some(file) = by_path.get(&path) else {
            continue;
        };
        if !reached.insert(path.clone()) {
            continue;
        }
        open.extend(
            children(&path, is_root, file)
                .into_iter()
                .map(|child| (child, false)),
        );
    }
    by_path
        .iter()
        .filter(|(path, _)| !reached.contains(*path))
        .map(|(_, file)| format!("{}: no `mod` reaches it", file.path.display()))
        .collect()
}

/// Documents, code and scripts name no path of one machine.
pub fn machine_paths(root: &Path, files: &[PathBuf]) -> Vec<String> {
    // Joined here, so that this file does not find itself.
    let banned = [
        ["/wo", "rk/"].concat(),
        ["/ro", "ot/"].concat(),
        ["/home/", "user/"].concat(),
    ];
    let mut wrong = Vec::new();
    for path in files {
        let Ok(text) = std::fs::read_to_string(path) else {
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            for name in &banned {
                let found = line.match_indices(name.as_str()).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|char| char.is_alphanumeric() || "_-.}".contains(char))
                });
                if found {
                    let shown = path.strip_prefix(root).unwrap_or(path).display();
                    wrong.push(format!(
                        "{shown}:{}: {name} is a path of one machine",
                        index + 1
                    ));
                }
            }
        }
    }
    wrong
}

/// `unwrap`, `expect` and `panic!` outside tests. Where a panic shows a mistake of ours and nothing from outside can
/// cause it, a comment `// Cannot fail: ...` in the three lines above says why.
fn panics(file: &SourceFile) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut wrong = Vec::new();
    for (index, line) in file.production.lines().enumerate() {
        for call in [
            ".unwrap()",
            ".expect(\"",
            ".unwrap_err()",
            "panic!(",
            "unreachable!(",
        ] {
            if !line.contains(call) {
                continue;
            }
            let explained = lines[index.saturating_sub(3)..=index.min(lines.len() - 1)]
                .iter()
                .any(|above| above.contains("// Cannot fail: "));
            if !explained {
                wrong.push(format!(
                    "{}:{}: {call} outside tests; return an error, or say `// Cannot fail: ...` above",
                    file.path.display(),
                    index + 1
                ));
            }
        }
    }
    wrong
}

/// Tests await events. A test under tokio's paused clock (`start_paused`) may move it.
fn sleeps(file: &SourceFile) -> Vec<String> {
    if file.text.contains("start_paused") || file.text.contains("time::pause()") {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    for ((index, code), production) in file.code.lines().enumerate().zip(file.production.lines()) {
        for call in ["thread::sleep", "time::sleep(", " sleep("] {
            if code.contains(call) && !production.contains(call) && !code.contains("fn sleep(") {
                wrong.push(format!(
                    "{}:{}: a test sleeps",
                    file.path.display(),
                    index + 1
                ));
                break;
            }
        }
    }
    wrong
}

fn occurrences(file: &SourceFile, code: &str, call: &str, why: &str) -> Vec<String> {
    code.match_indices(call)
        .filter(|(at, _)| {
            let before = code[..*at].chars().next_back();
            !before.is_some_and(|char| char.is_alphanumeric() || char == '_')
        })
        .map(|(at, _)| {
            format!(
                "{}:{}: {call}: {why}",
                file.path.display(),
                line_of(code, at)
            )
        })
        .collect()
}

/// Identifiers that follow `keyword`, with their lines.
fn words_after(code: &str, keyword: &str) -> Vec<(usize, String)> {
    code.match_indices(keyword)
        .filter(|(at, _)| {
            let before = code[..*at].chars().next_back();
            before.is_none_or(|char| char.is_whitespace() || char == '(')
        })
        .map(|(at, _)| {
            let word = code[at + keyword.len()..]
                .chars()
                .take_while(|char| char.is_alphanumeric() || *char == '_')
                .collect();
            (line_of(code, at), word)
        })
        .collect()
}

/// The files that `mod name;` in `file` may mean.
fn children(path: &Path, is_root: bool, file: &SourceFile) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let stem = path.file_stem().unwrap_or_default();
    let base = if is_root || stem == "mod" {
        folder.to_path_buf()
    } else {
        folder.join(stem)
    };
    let mut found = Vec::new();
    let text_lines: Vec<&str> = file.text.lines().collect();
    for (line, name) in words_after(&file.code, "mod ") {
        found.push(base.join(format!("{name}.rs")));
        found.push(base.join(&name).join("mod.rs"));
        if let Some(above) = line.checked_sub(2).and_then(|index| text_lines.get(index))
            && let Some(rest) = above.trim().strip_prefix("#[path = \"")
            && let Some(relative) = rest.strip_suffix("\"]")
        {
            found.push(folder.join(relative));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile::new(Path::new(path), text.to_owned())
    }

    #[test]
    fn a_planted_violation_of_each_rule_is_found() {
        let long = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(70));
        assert_eq!(function_lengths(&[file("cli/src/a.rs", &long)]).len(), 1);
        let huge = "\n".repeat(801);
        assert_eq!(
            file_lengths(&[file("cli/src/a.rs", &huge), file("cli/src/b.rs", "")]).len(),
            2
        );
        for (path, text) in [
            ("node/src/a.rs", "fn f() { x.unwrap(); }"),
            ("node/src/a.rs", "fn f() { x.expect(\"y\"); }"),
            ("node/src/a.rs", "fn f() { println!(\"y\"); }"),
            ("protocol/src/a.rs", "use std::time::Instant;"),
            (
                "node/src/a.rs",
                "#[cfg(test)]\nmod tests {\n    fn f() { std::thread::sleep(d); }\n}",
            ),
            (
                "tests/tests/a.rs",
                "fn f() { tokio::time::sleep(d).await; }",
            ),
        ] {
            assert_eq!(banned_calls(&[file(path, text)]).len(), 1, "{path}: {text}");
        }
        for (path, text) in [
            ("node/src/helpers.rs", ""),
            ("node/src/a.rs", "mod util;"),
            ("node/src/a.rs", "pub fn get_name() {}"),
        ] {
            assert_eq!(module_names(&[file(path, text)]).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn an_explained_panic_is_allowed() {
        let text =
            "fn f() {\n    // Cannot fail: the length was checked above.\n    x.expect(\"y\");\n}";
        assert!(banned_calls(&[file("node/src/a.rs", text)]).is_empty());
    }
}
