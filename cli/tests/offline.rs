//! Commands that need no node, on a home of their own.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

#[test]
fn a_service_is_installed_for_its_home_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let unit = folder.path().join(".config/systemd/user/shoal.service");
    let installed = shoal(
        folder.path(),
        &["service", "install", "--json", "--home", "/a b%"],
    );
    assert_eq!(json(&installed)["path"], unit.to_str().expect("UTF-8"));
    let text = std::fs::read_to_string(&unit).expect("the unit is there");
    assert!(text.contains("--home \"/a b%%\" --quiet up"), "{text}");
    let said = String::from_utf8_lossy(&installed.stderr).into_owned();
    assert!(
        said.contains("systemctl --user enable --now shoal.service"),
        "without systemctl it says what is left to run: {said}"
    );

    let removed = shoal(folder.path(), &["service", "uninstall"]);
    assert_eq!(removed.status.code(), Some(0), "{removed:?}");
    assert!(!unit.exists());
    let again = shoal(folder.path(), &["service", "uninstall"]);
    assert_eq!(again.status.code(), Some(3), "{again:?}");
}

#[test]
fn a_unit_of_somebody_else_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let unit = folder.path().join(".config/systemd/user/shoal.service");
    std::fs::create_dir_all(unit.with_file_name("")).expect("a folder");
    std::fs::write(&unit, "[Service]\nExecStart=/bin/true\n").expect("a file");
    for action in ["install", "uninstall"] {
        let refused = shoal(folder.path(), &["service", action]);
        assert_eq!(refused.status.code(), Some(9), "{refused:?}");
    }
    let text = std::fs::read_to_string(&unit).expect("the unit is there");
    assert!(text.contains("/bin/true"));
}

#[test]
fn settings_are_written_and_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let set = shoal(folder.path(), &["config", "set", "listen", "127.0.0.1:0"]);
    assert_eq!(set.status.code(), Some(0), "{set:?}");
    let value = shoal(folder.path(), &["config", "get", "listen"]);
    assert_eq!(value.stdout, b"127.0.0.1:0\n");
    let path = shoal(folder.path(), &["config", "path"]);
    let path = String::from_utf8(path.stdout).expect("UTF-8");
    assert!(Path::new(path.trim()).exists(), "{path}");
    for (words, exit) in [
        (&["config", "set", "listen", "here"][..], 2),
        (&["config", "set", "nothing", "x"], 3),
        (&["config", "get", "nothing"], 3),
    ] {
        let refused = shoal(folder.path(), words);
        assert_eq!(refused.status.code(), Some(exit), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("next:"));
    }
}

#[test]
fn without_a_node_it_is_said_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    for words in [
        &["status"][..],
        &["--no-start", "shares"],
        &["--no-start", "share", "."],
        &["--no-start", "sets"],
        &["--no-start", "add", "."],
        &["--no-start", "conflicts", "keep", "a.txt", "1"],
    ] {
        let refused = shoal(folder.path(), words);
        assert_eq!(refused.status.code(), Some(10), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("shoal up"));
    }
    let down = shoal(folder.path(), &["down"]);
    assert_eq!(down.status.code(), Some(0), "{down:?}");
    let logs = shoal(folder.path(), &["logs"]);
    assert_eq!(logs.status.code(), Some(0), "{logs:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = command(folder.path(), &["man"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("shoal starts");
    drop(child.stdout.take());
    let ended = child.wait_with_output().expect("shoal ends");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn what_was_typed_is_quoted_without_control_characters() {
    let folder = tempfile::tempdir().expect("a folder");
    for words in [
        &["get", "http://\x1b[31m/s/x"][..],
        &["\x1b[31m"],
        &["config", "get", "\x1b[31m"],
        &["share", ".", "--notify", "\x1b[31m"],
        &["share", ".", "--expires", "\x1b[31m"],
        &["up", "--\x1b[31m"],
    ] {
        for form in [&[][..], &["--json"]] {
            let refused = shoal(folder.path(), &[words, form].concat());
            assert!(!refused.status.success(), "{refused:?}");
            let said = [refused.stdout.as_slice(), &refused.stderr].concat();
            assert!(!said.is_empty());
            assert!(!said.contains(&0x1b), "{refused:?}");
        }
    }
}

#[test]
fn a_link_that_is_none_is_told_in_one_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = format!("http://127.0.0.1:1/s/{}", "x".repeat(2_000));
    for link in ["", "garbage", "magnet:?xt=urn:btih:abc", long.as_str()] {
        let refused = shoal(folder.path(), &["get", link]);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(
            said.contains("\n  next: copy ") && said.len() < 300,
            "{said}"
        );
    }
    assert_eq!(entries(folder.path()), 0, "a wrong link leaves nothing");
}

#[test]
fn what_is_missing_is_named_in_json_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = shoal(folder.path(), &["share", "--json"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stdout);
    assert!(said.contains("<PATH>"), "{said}");
}

#[test]
fn a_wrong_line_of_the_settings_is_told_with_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    let home = folder.path().to_str().expect("UTF-8");
    for line in ["nothing = 1\n", "iroh = \"maybe\"\n", "listen = \n"] {
        std::fs::write(&file, line).expect("a file");
        for words in [&["config", "get"][..], &["up"], &["share", "."]] {
            let refused = shoal(folder.path(), &[words, &["--home", home]].concat());
            assert_eq!(refused.status.code(), Some(2), "{refused:?}");
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(said.contains("config.toml"), "{said}");
            assert!(said.contains("next: correct"), "{said}");
        }
    }
}

#[test]
fn without_any_home_it_is_said() {
    let output = Command::new(env!("CARGO_BIN_EXE_shoal"))
        .arg("status")
        .env_clear()
        .output()
        .expect("shoal starts");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--home"));
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().next().unwrap_or_default()).expect("a line of JSON")
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).expect("a folder").count()
}

fn shoal(home: &Path, words: &[&str]) -> Output {
    command(home, words).output().expect("shoal starts")
}

/// With nothing of the environment, so that neither a running node nor systemd is found.
fn command(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
    command
        .args(words)
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/nonexistent");
    command
}
