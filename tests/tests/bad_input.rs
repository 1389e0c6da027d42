//! What people get wrong: each time a clear sentence, the next step, and the exit code of the table.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::process::Command;

use shoal_tests::{Deadline, Home, Outcome, Random, Tree, http};

/// Exit code, a sentence and the next step, in both forms.
fn refused_with_next_step(home: &Home, args: &[&OsStr], code: i32) -> Outcome {
    let human = home.run(args).unwrap();
    human.refused(code);
    assert!(human.stderr.contains("next:"), "no next step: {human:#?}");
    assert!(
        !human.stderr.contains('\u{1b}'),
        "a control character: {human:#?}"
    );
    let mut with_json = vec![OsStr::new("--json")];
    with_json.extend(args);
    let json = home.run(&with_json).unwrap();
    json.refused(code);
    let error = json.lines().unwrap().pop().unwrap();
    assert_eq!(error["type"], "error");
    assert_eq!(error["exit"], code);
    for field in ["code", "message", "hint"] {
        assert!(
            error[field].as_str().is_some_and(|text| text.len() > 3),
            "{error}"
        );
    }
    human
}

fn share_args(path: &std::path::Path) -> [&OsStr; 3] {
    [OsStr::new("share"), OsStr::new("--"), path.as_os_str()]
}

#[test]
fn paths_that_cannot_be_shared() {
    let home = Home::new().unwrap();
    let missing = home.beside().join("not there \u{1b}[31m");
    refused_with_next_step(&home, &share_args(&missing), 3);

    let fifo = home.beside().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    refused_with_next_step(&home, &share_args(&fifo), 2);

    let socket = home.beside().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    refused_with_next_step(&home, &share_args(&socket), 2);

    let name = home.beside().join(OsStr::from_bytes(b"latin-1 \xfc.txt"));
    fs::write(&name, "text").unwrap();
    let outcome = refused_with_next_step(&home, &share_args(&name), 2);
    assert!(outcome.stderr.contains("UTF-8"), "{outcome:#?}");
}

/// What in a tree cannot be shared is reported, one by one; the rest is shared.
#[test]
fn entries_that_cannot_be_shared() {
    let mut random = Random::from_env("entries_that_cannot_be_shared");
    let home = Home::new().unwrap();
    let tree = Tree::folder(home.beside(), "odd").unwrap();
    tree.file("good.txt", 1000, &mut random).unwrap();
    tree.file("red\u{1b}[31m\u{7}\n.txt", 10, &mut random)
        .unwrap();
    fs::write(tree.path().join(OsStr::from_bytes(b"\xff\xfe.txt")), "x").unwrap();
    let _socket = UnixListener::bind(tree.path().join("socket")).unwrap();
    let fifo = tree.path().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    std::os::unix::fs::symlink("/etc/passwd", tree.path().join("out")).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let ready = share.ready(Deadline::secs(20)).unwrap();
    assert_eq!(ready["files"], 2, "{ready}");
    let view = home.json(&["shares"]).unwrap();
    let problems = view["problems"].as_array().unwrap();
    for part in ["socket", "fifo", "out", ".txt"] {
        let told = problems.iter().any(|problem| {
            problem["path"].as_str().unwrap().contains(part)
                && problem["what"].as_str().unwrap().len() > 10
        });
        assert!(told, "{part} is not reported: {problems:#?}");
    }
    assert_eq!(problems.len(), 4, "{problems:#?}");
    for args in [
        &["shares"][..],
        &["shares", &share.id],
        &["log", &share.id],
        &["status"],
    ] {
        let shown = home.run(args).unwrap().success().unwrap();
        let text = format!("{}{}", shown.stdout, shown.stderr);
        assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
    }
    // Whoever reads a log must not have the link by that.
    let logs = home.run(&["logs"]).unwrap().success().unwrap().stdout;
    assert!(logs.contains(&share.id[..6]), "{logs}");
    assert!(!logs.contains(&share.id), "{logs}");
    let page = http::get(&share.url).unwrap().text().unwrap();
    assert!(!page.contains(['\u{1b}', '\u{7}']));

    drop(share.running);
    let _again = home.up().unwrap();
    let view = home.json(&["shares"]).unwrap();
    assert_eq!(
        view["problems"],
        serde_json::Value::from(problems.clone()),
        "after a restart"
    );
}

#[test]
fn names_are_escaped_when_they_are_printed() {
    let mut random = Random::from_env("names_are_escaped_when_they_are_printed");
    let home = Home::new().unwrap();
    let name = "evil\u{1b}]0;title\u{7}\r\u{202e}.txt";
    let tree = Tree::single_file(home.beside(), name, 100, &mut random).unwrap();
    let mut human = home
        .start(&["share", "--no-qr", tree.path().to_str().unwrap()])
        .unwrap();
    let url = human.line(Deadline::secs(20)).unwrap().unwrap();
    assert!(url.starts_with("http://"), "{url}");
    let magnet = human.line(Deadline::secs(20)).unwrap().unwrap();
    assert!(magnet.starts_with("magnet:?"), "{magnet}");
    let into = home.beside().join("got");
    let got = home
        .run(&["get", &url, "-o", into.to_str().unwrap()])
        .unwrap()
        .success()
        .unwrap();
    assert!(into.join(name).exists());
    human.interrupt().unwrap();
    let shared = human.outcome(Deadline::secs(10)).unwrap();
    for text in [&got.stdout, &got.stderr, &shared.stdout, &shared.stderr] {
        assert!(
            !text.contains(['\u{1b}', '\u{7}', '\r', '\u{202e}']),
            "{text:?}"
        );
    }
    assert!(
        shared.stderr.contains("shoal up"),
        "it says how the link goes on: {shared:#?}"
    );
}

#[test]
fn bad_links() {
    let home = Home::new().unwrap();
    let into = home.beside().join("never");
    let deep = format!("http://127.0.0.1/s/{}", "a".repeat(20_000));
    for link in [
        "",
        "hello",
        "ftp://example.org/s/abc",
        "http://",
        "http://127.0.0.1:1/",
        "http://127.0.0.1:1/s/",
        "http://127.0.0.1:1/s/not!base32",
        "magnet:?",
        "magnet:?xt=urn:btih:zz",
        "magnet:?xt=urn:btih:0123",
        "magnet:?xt=urn:btih:0123456789012345678901234567890123456789&x.shoal=AAAA",
        &deep,
    ] {
        let outcome = home.get(link, &into, &[]).unwrap();
        assert_eq!(outcome.code, Some(2), "{link:.60}: {outcome:#?}");
    }
    assert!(!into.exists());
}

#[test]
fn links_that_nobody_serves() {
    let mut random = Random::from_env("links_that_nobody_serves");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "gone", &mut random).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(20)).unwrap();
    let into = home.beside().join("never");

    // Another id at the same address.
    let mut other: Vec<char> = share.url.chars().collect();
    let last = other.pop().unwrap();
    other.push(if last == 'a' { 'b' } else { 'a' });
    let other: String = other.into_iter().collect();
    let outcome = home.get(&other, &into, &[]).unwrap();
    assert!(matches!(outcome.code, Some(2 | 5)), "{outcome:#?}");

    // Nobody there.
    share.running.kill().unwrap();
    let outcome = home.get(&share.url, &into, &[]).unwrap();
    outcome.refused(6);
    assert!(!into.join("gone").exists());
}

#[test]
fn a_port_in_use() {
    let mut random = Random::from_env("a_port_in_use");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "port", &mut random).unwrap();
    let tcp = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let udp = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    for port in [
        tcp.local_addr().unwrap().port(),
        udp.local_addr().unwrap().port(),
    ] {
        let listen = format!("127.0.0.1:{port}");
        let [share, dashes, path] = share_args(tree.path());
        let args = [
            share,
            OsStr::new("--listen"),
            OsStr::new(&listen),
            dashes,
            path,
        ];
        let outcome = refused_with_next_step(&home, &args, 11);
        assert!(outcome.stderr.contains(&port.to_string()), "{outcome:#?}");
        let up = [
            OsStr::new("up"),
            OsStr::new("--listen"),
            OsStr::new(&listen),
        ];
        refused_with_next_step(&home, &up, 11);
    }
}

/// A home keeps its ports, because links carry them. Where none does, another program's port is no reason to fail.
#[test]
fn another_program_on_the_port_of_a_home_without_links() {
    let mut random = Random::from_env("another_program_on_the_port_of_a_home_without_links");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "port", &mut random).unwrap();
    drop(home.up().unwrap());
    let before = home.up().unwrap();
    let ports = home.json(&["status"]).unwrap()["ports"].clone();
    drop(before);
    let tcp = ports["tcp"].as_u64().unwrap();
    let _other = TcpListener::bind(("127.0.0.1", u16::try_from(tcp).unwrap())).unwrap();

    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(20)).unwrap();
    let said = share.running.stderr();
    assert!(said.contains(&format!("has port {tcp}")), "{said}");
    let address = share.address().unwrap();
    assert!(!address.ends_with(&format!(":{tcp}")), "{address}");
    drop(share.running);

    // From now on a link carries the new port: it is remembered, and not given up for another.
    let again = home.up().unwrap();
    let port = home.json(&["status"]).unwrap()["ports"]["tcp"].clone();
    assert!(address.ends_with(&format!(":{port}")), "{address}");
    drop(again);
    let port = u16::try_from(port.as_u64().unwrap()).unwrap();
    let _other = TcpListener::bind(("127.0.0.1", port)).unwrap();
    refused_with_next_step(&home, &[OsStr::new("up")], 11);
}

#[test]
fn a_second_node_on_one_home() {
    let home = Home::new().unwrap();
    let node = home.up().unwrap();
    let outcome = refused_with_next_step(&home, &[OsStr::new("up")], 12);
    assert!(!outcome.stderr.contains("panicked"));
    assert_eq!(home.json(&["status"]).unwrap()["pid"], node.id());
}

#[test]
fn commands_that_need_a_node_start_one_and_say_so() {
    let home = Home::new().unwrap();
    for args in [
        &["shares"][..],
        &["stop", "abc"],
        &["log", "abc"],
        &["status"],
    ] {
        let mut all = vec!["--no-start"];
        all.extend(args);
        home.run(&all).unwrap().refused(10);
    }
    let started = home.run(&["shares"]).unwrap().success().unwrap();
    assert!(started.stderr.contains("background"), "{started:#?}");
    let status = home.json(&["status"]).unwrap();
    assert!(status["pid"].as_u64().is_some());
    home.run(&["stop", "nosuchid"]).unwrap().refused(3);
    home.run(&["down"]).unwrap().success().unwrap();
    home.run(&["status"]).unwrap().refused(10);
}

#[test]
fn command_lines_that_make_no_sense() {
    let home = Home::new().unwrap();
    let here = home.beside().to_str().unwrap().to_owned();
    for args in [
        &["share"][..],
        &["share", &here, "--max-downloads", "0"],
        &["share", &here, "--max-downloads", "many"],
        &["share", &here, "--expires", "soon"],
        &["share", &here, "--expires", "2001-01-01"],
        &["share", &here, "--notify", "mail me"],
        &["share", &here, "--listen", "nowhere"],
        &["get"],
        &["get", "http://127.0.0.1:1/s/x", "--via", "pigeon"],
        &["config", "set", "listen", "nowhere"],
        &["frobnicate"],
        &["--nonsense"],
    ] {
        let outcome = home.run(args).unwrap();
        assert_eq!(outcome.code, Some(2), "{args:?}: {outcome:#?}");
        let mut json = vec!["--json"];
        json.extend(args);
        let outcome = home.run(&json).unwrap();
        assert_eq!(outcome.code, Some(2), "{json:?}: {outcome:#?}");
        assert_eq!(outcome.lines().unwrap().pop().unwrap()["type"], "error");
    }
    home.run(&["config", "get", "nosuch"]).unwrap().refused(3);
}

/// The man page carries the one table of exit codes.
#[test]
fn the_man_page_lists_the_exit_codes() {
    let home = Home::new().unwrap();
    let man = home.run(&["man"]).unwrap().success().unwrap();
    for code in [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "130",
    ] {
        assert!(
            man.stdout.lines().any(|line| line.contains(code)),
            "exit code {code}"
        );
    }
    for shell in ["bash", "zsh", "fish"] {
        let outcome = home
            .run(&["completions", shell])
            .unwrap()
            .success()
            .unwrap();
        assert!(outcome.stdout.contains("shoal"));
    }
}

/// Keys lie in files that their owner alone can read, and on no command line.
#[test]
fn secrets_stay_secret() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new().unwrap();
    home.run(&["up", "--detach"]).unwrap().success().unwrap();
    for name in ["device.key", "token"] {
        let mode = fs::metadata(home.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
    }
    let pid = home.json(&["status"]).unwrap()["pid"].as_u64().unwrap();
    let token = fs::read_to_string(home.path().join("token")).unwrap();
    for file in ["cmdline", "environ"] {
        let text = fs::read(format!("/proc/{pid}/{file}")).unwrap();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(!text.contains(token.trim()), "the token is in {file}");
    }
}
