//! Every `--help`, word for word, in `tests/snapshots/`. `UPDATE=1 cargo test -p shoal` writes them anew.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};

#[test]
fn every_help_is_as_it_was() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    let mut known = BTreeSet::new();
    let mut left = vec![Vec::new()];
    while let Some(command) = left.pop() {
        let help = help(&command);
        for name in subcommands(&help) {
            left.push(command.iter().cloned().chain([name]).collect());
        }
        let path = golden(&command);
        known.insert(path.clone());
        if update {
            std::fs::write(&path, &help).expect("a golden file can be written");
            continue;
        }
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        if before != help {
            wrong.push(format!(
                "{}:\n--- before\n{before}\n--- now\n{help}",
                path.display()
            ));
        }
    }
    assert!(known.len() > 15, "the commands were not found: {known:?}");
    let folder = golden(&[]).with_file_name("");
    for entry in std::fs::read_dir(folder).expect("the golden files are there") {
        let path = entry.expect("a folder can be listed").path();
        if !known.contains(&path) {
            wrong.push(format!("{}: no such command", path.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nIf that is meant: UPDATE=1 cargo test -p shoal",
        wrong.join("\n")
    );
}

#[test]
fn the_man_page_has_what_no_help_has() {
    let output = shoal(&["man"]);
    let page = String::from_utf8(output.stdout).expect("a man page is UTF-8");
    for heading in [
        "SETTINGS",
        "EXIT STATUS",
        "FILES",
        "ENVIRONMENT",
        "SUBCOMMANDS",
        "OPTIONS",
    ] {
        assert!(page.contains(heading), "{heading}\n{page}");
    }
    for exit in ["0", "10", "130"] {
        assert!(page.contains(&format!("\\fB{exit}\\fR")), "{exit}\n{page}");
    }
}

#[test]
fn there_is_a_man_page_for_each_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = shoal(&["man", "--dir", &folder.path().to_string_lossy()]);
    assert!(output.status.success(), "{output:?}");
    for name in [
        "shoal.1",
        "shoal-share.1",
        "shoal-config.1",
        "shoal-config-set.1",
        "shoal-conflicts-keep.1",
    ] {
        let page = std::fs::read_to_string(folder.path().join(name)).expect(name);
        assert!(page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = shoal(&["completions", shell]);
        let text = String::from_utf8(output.stdout).expect("completions are UTF-8");
        for word in ["unshare", "max-downloads", "torrent", "restore"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
}

/// Names below `Commands:`.
fn subcommands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn help(command: &[String]) -> String {
    let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
    words.push("--help");
    let output = shoal(&words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

fn golden(command: &[String]) -> PathBuf {
    let mut name = "shoal".to_owned();
    for word in command {
        name.push('-');
        name.push_str(word);
    }
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/snapshots")
        .join(name + ".txt")
}

fn shoal(words: &[&str]) -> Output {
    let home = tempfile::tempdir().expect("a folder");
    Command::new(env!("CARGO_BIN_EXE_shoal"))
        .args(words)
        .env_clear()
        .env("HOME", home.path())
        .output()
        .expect("shoal starts")
}
