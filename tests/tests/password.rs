//! Links with a password: nothing before it, everything after it, and no end of guessing.

// Length: each way to a link with a password, and the servers that they need.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use shoal_tests::clients::{Aria2, Client};
use shoal_tests::http::{self, Response};
use shoal_tests::{
    Attributes, Deadline, Home, Outcome, Random, Running, Share, Tree, assert_same_tree, needs,
    scratch,
};

const PASSWORD: &str = "Fische & Ünïcode + 1";

struct Locked {
    home: Home,
    tree: Tree,
    share: Share,
    file: PathBuf,
}

fn password_file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("{text}\nanother line\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn locked(test: &str, extra: &[&str]) -> Locked {
    let mut random = Random::from_env(test);
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "top-secret-name", &mut random).unwrap();
    let file = password_file(home.beside(), "password", PASSWORD);
    let mut options = vec!["--password-file", file.to_str().unwrap()];
    options.extend(extra);
    let mut share = home.share(tree.path(), &options).unwrap();
    let ready = share.ready(Deadline::secs(20)).unwrap();
    assert!(
        ready["magnet"].is_null() && ready["infohash"].is_null(),
        "{ready}"
    );
    Locked {
        home,
        tree,
        share,
        file,
    }
}

fn form(url: &str, password: &str) -> Response {
    let body = format!("password={}", http::encode_query(password));
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    let headers = [kind, ("Accept", "text/html")];
    http::request("POST", &format!("{url}/unlock"), &headers, body.as_bytes()).unwrap()
}

/// The cookie of a session, as a browser sends it back.
fn session(url: &str) -> String {
    let response = form(url, PASSWORD);
    assert_eq!(response.status, 303);
    let cookie = response.header("set-cookie").unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

fn with_cookie(url: &str, cookie: &str) -> Response {
    http::with_headers(url, &[("Cookie", cookie), ("Accept", "application/json")]).unwrap()
}

fn infohash(url: &str, cookie: &str) -> Vec<u8> {
    let list: Value = serde_json::from_str(&with_cookie(url, cookie).text().unwrap()).unwrap();
    let hex = list["infohash"].as_str().unwrap();
    (0..20)
        .map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap())
        .collect()
}

/// Types into a terminal: argv is a command after pairs of what to wait for and what to type then.
const TERMINAL: &str = r#"
import os, pty, sys
count = int(sys.argv[1])
pairs, command = sys.argv[2:2 + 2 * count], sys.argv[2 + 2 * count:]
pid, fd = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
seen = b""
for wait, text in zip(pairs[::2], pairs[1::2]):
    while wait.encode() not in seen:
        seen += os.read(fd, 4096)
    os.write(fd, text.encode() + b"\n")
    sys.stdout.buffer.write(seen)
    seen = b""
try:
    while part := os.read(fd, 4096):
        sys.stdout.buffer.write(part)
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// Runs a command on a terminal and answers what it asks.
fn on_a_terminal(command: &Command, answers: &[(&str, &str)]) -> Outcome {
    let mut python = Command::new(needs("python3").unwrap());
    python.args(["-c", TERMINAL, &answers.len().to_string()]);
    for (wait, text) in answers {
        python.args([wait, text]);
    }
    python.arg(command.get_program()).args(command.get_args());
    let mut running = Running::start(python).unwrap();
    running.outcome(Deadline::secs(60)).unwrap()
}

#[test]
fn nothing_is_given_before_the_password() {
    let locked = locked("nothing_is_given_before_the_password", &[]);
    let url = &locked.share.url;
    for path in [
        "",
        "/",
        "?page=1",
        "/f/readme.txt",
        "/f/no-such-file",
        "/w/top-secret-name/readme.txt",
        "/top-secret-name.torrent",
        "/x.torrent",
        "/capability",
        "/record",
        "/manifest",
        "/zip",
        "/all.zip",
        "/top-secret-name.zip",
        "/qr.svg",
    ] {
        for accept in ["text/html", "application/json", "*/*"] {
            let headers = [
                ("Accept", accept),
                ("Cookie", "shoal=00ff"),
                ("Range", "bytes=0-1"),
            ];
            let response = http::with_headers(&format!("{url}{path}"), &headers).unwrap();
            let refusal = response.header("shoal-refusal").map(str::to_owned);
            assert!(
                response.status == 404
                    || (response.status, refusal.as_deref()) == (403, Some("password")),
                "{path}: {} {refusal:?}",
                response.status
            );
            assert!(response.header("content-disposition").is_none(), "{path}");
            let body = response.text().unwrap();
            for secret in [
                "top-secret",
                "readme",
                "photos",
                "magnet:",
                "1000",
                "300000",
            ] {
                assert!(!body.contains(secret), "{path} tells {secret}: {body}");
            }
        }
    }
    for path in ["/blobs", "/done"] {
        let headers = [("Content-Type", "application/octet-stream")];
        let response = http::request("POST", &format!("{url}{path}"), &headers, b"x").unwrap();
        assert_eq!(response.status, 403, "{path}");
    }
    let into = locked.home.beside().join("never");
    for via in [
        &[][..],
        &["--via", "iroh"],
        &["--via", "http"],
        &["--via", "torrent"],
    ] {
        let outcome = locked.home.get(url, &into, via).unwrap();
        outcome.refused(5);
    }
    assert!(!into.join("top-secret-name").exists());
}

#[test]
fn the_form_opens_the_link_and_no_other() {
    let first = locked("the_form_opens_the_link_and_no_other", &[]);
    let url = &first.share.url;
    let page = http::with_headers(url, &[("Accept", "text/html")]).unwrap();
    let policy = page.header("content-security-policy").unwrap().to_owned();
    assert!(policy.contains("form-action 'self'") && policy.contains("default-src 'none'"));
    let page = page.text().unwrap();
    assert!(page.contains("<form method=\"post\""), "{page}");
    let wrong = form(url, "Fische");
    assert_eq!(wrong.status, 403);
    assert!(wrong.header("set-cookie").is_none());
    assert!(wrong.text().unwrap().contains("not the password"));

    let right = form(url, PASSWORD);
    assert_eq!(right.status, 303);
    let path = &url[url.find("/s/").unwrap()..];
    assert_eq!(right.header("location"), Some(path));
    let cookie = right.header("set-cookie").unwrap().to_owned();
    for part in [
        "HttpOnly",
        "SameSite=Lax",
        "Max-Age=",
        &format!("Path={path};"),
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap();
    let list = with_cookie(url, cookie).text().unwrap();
    assert!(
        list.contains("\"top-secret-name\"") && list.contains("\"magnet\":null"),
        "{list}"
    );
    let file = with_cookie(&format!("{url}/f/readme.txt"), cookie);
    let on_disk = fs::read(first.tree.path().join("readme.txt")).unwrap();
    assert_eq!(file.bytes().unwrap(), on_disk);

    let mut second = first
        .home
        .start(&[
            "share",
            "--json",
            "--password-file",
            first.file.to_str().unwrap(),
            first.tree.path().to_str().unwrap(),
        ])
        .unwrap();
    let other = second.event("url", Deadline::secs(20)).unwrap();
    let other = other["url"].as_str().unwrap();
    assert_eq!(
        with_cookie(other, cookie).status,
        403,
        "a session is of one link"
    );
    let bent = format!(
        "{}{}",
        &cookie[..cookie.len() - 1],
        if cookie.ends_with('0') { '1' } else { '0' }
    );
    assert_eq!(with_cookie(url, &bent).status, 403);
}

#[test]
fn guessing_is_slowed_down_where_it_comes_from() {
    let locked = locked("guessing_is_slowed_down_where_it_comes_from", &[]);
    let url = &locked.share.url;
    let guesses = (0..40)
        .take_while(|n| form(url, &format!("guess {n}")).status == 403)
        .count();
    assert_eq!(guesses, 10);
    let late = form(url, PASSWORD);
    assert_eq!(
        (late.status, late.header("shoal-refusal")),
        (429, Some("too-many-tries"))
    );
    assert!(late.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    // Somebody else is let in meanwhile.
    let elsewhere = Command::new(needs("curl").unwrap())
        .args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--interface",
            "127.0.0.2",
        ])
        .args([
            "--data-urlencode",
            &format!("password={PASSWORD}"),
            &format!("{url}/unlock"),
        ])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&elsewhere.stdout), "303");
    // `shoal get` is told the same.
    let into = locked.home.beside().join("never");
    let options = ["--password-file", locked.file.to_str().unwrap()];
    let outcome = locked.home.get(url, &into, &options).unwrap();
    assert!(
        outcome.stdout.contains("too many wrong passwords"),
        "{outcome:#?}"
    );
    outcome.refused(5);
}

/// Who guesses is seen in the log, and how often, but not with a row for each try.
#[test]
fn the_log_shows_who_guesses() {
    let mut locked = locked("the_log_shows_who_guesses", &[]);
    let url = &locked.share.url;
    let wrong = password_file(locked.home.beside(), "wrong", "Fische");
    let into = locked.home.beside().join("never");
    let options = ["--password-file", wrong.to_str().unwrap()];
    locked.home.get(url, &into, &options).unwrap().refused(5);
    let guesses = (0..40).take_while(|n| form(url, &format!("guess {n}")).status == 403);
    assert!((5..10).contains(&guesses.count()));

    let id = &locked.share.id;
    let rows = locked.home.run(&["log", "--json", id]).unwrap();
    let rows = rows.success().unwrap().lines().unwrap();
    let is_guess = |row: &&Value| row["what"] == "wrong_password";
    let guesses: Vec<&Value> = rows.iter().filter(is_guess).collect();
    assert_eq!(guesses.len(), 4, "of tries 1, 2, 4 and 8: {rows:#?}");
    let program = guesses[0]["detail"].as_str().unwrap();
    assert!(program.starts_with("shoal get "), "{program}");
    for row in guesses {
        assert_eq!(row["via"], "http", "{row}");
        assert_eq!(row["who"], "127.0.0.1", "{row}");
        assert!(row["at_ms"].as_u64().unwrap() > 1_700_000_000_000, "{row}");
        let text = row.to_string();
        assert!(!text.contains("guess") && !text.contains("Fische"), "{row}");
    }
    let people = locked.home.run(&["log", id]).unwrap();
    let people = people.success().unwrap();
    let last = "wrong password 8 in a row";
    assert!(people.stdout.contains(last), "{people:#?}");
    let running = &mut locked.share.running;
    let told = running.event("wrong_password", Deadline::secs(20)).unwrap();
    assert_eq!(
        (&told["who"], &told["tries"]),
        (&"127.0.0.1".into(), &1.into())
    );
}

#[test]
fn a_taker_shows_that_it_knows_the_password() {
    let locked = locked("a_taker_shows_that_it_knows_the_password", &[]);
    let url = &locked.share.url;
    let wrong = password_file(locked.home.beside(), "wrong", "Fische");
    for via in ["iroh", "http"] {
        let into = locked.home.beside().join(via);
        let options = ["--via", via, "--password-file", wrong.to_str().unwrap()];
        locked.home.get(url, &into, &options).unwrap().refused(5);
        let options = [
            "--via",
            via,
            "--password-file",
            locked.file.to_str().unwrap(),
        ];
        locked
            .home
            .get(url, &into, &options)
            .unwrap()
            .success()
            .unwrap();
        assert_same_tree(
            locked.tree.path(),
            &into.join(locked.tree.name()),
            Attributes::All,
        );
    }
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o644)).unwrap();
    let into = locked.home.beside().join("never");
    let loose = ["--password-file", wrong.to_str().unwrap()];
    let outcome = locked.home.get(url, &into, &loose).unwrap();
    assert!(outcome.stderr.contains("chmod 600"), "{outcome:#?}");
}

/// On a terminal both sides ask; nothing of what is typed is shown.
#[test]
fn the_terminal_is_asked() {
    let locked = locked("the_terminal_is_asked", &[]);
    let into = locked.home.beside().join("asked");
    let get = locked
        .home
        .command(&["get", &locked.share.url, "-o", into.to_str().unwrap()]);
    let answers = [
        ("Password of the link:", "wrong"),
        // What is typed before it asks again is thrown away, as at every such prompt.
        ("Password of the link:", PASSWORD),
    ];
    let outcome = on_a_terminal(&get, &answers);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert!(outcome.stdout.contains("not the password"), "{outcome:#?}");
    assert!(
        !outcome.stdout.contains(PASSWORD) && !outcome.stdout.contains("wrong"),
        "{outcome:#?}"
    );
    assert_same_tree(
        locked.tree.path(),
        &into.join(locked.tree.name()),
        Attributes::All,
    );

    let share = locked
        .home
        .command(&["share", "--password", locked.tree.path().to_str().unwrap()]);
    let differ = [("Password for the link:", "one"), ("again:", "two")];
    let outcome = on_a_terminal(&share, &differ);
    assert_eq!(outcome.code, Some(2), "{outcome:#?}");
}

/// The `.torrent` of a session is private and announces with a token of its own; whoever has not announced gets nothing.
#[test]
fn the_torrent_is_private_and_its_own() {
    let locked = locked("the_torrent_is_private_and_its_own", &[]);
    let url = &locked.share.url;
    let torrent_url = format!("{url}/top-secret-name.torrent");
    let (first, second) = (session(url), session(url));
    let torrent = with_cookie(&torrent_url, &first).bytes().unwrap();
    let other = with_cookie(&torrent_url, &second).bytes().unwrap();
    let text = String::from_utf8_lossy(&torrent).into_owned();
    assert!(
        text.contains("7:privatei1e") && !text.contains("url-list"),
        "{text}"
    );
    assert_ne!(torrent, other, "each session has its own token");

    // A handshake with the right infohash, from somebody who did not announce.
    let address = locked.share.address().unwrap();
    let hash = infohash(url, &first);
    let mut peer = TcpStream::connect(&address).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut hello = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04".to_vec();
    hello.extend(&hash);
    hello.extend(b"-XX0000-000000000000");
    peer.write_all(&hello).unwrap();
    let mut heard = Vec::new();
    let _ = peer.read_to_end(&mut heard);
    assert!(
        heard.len() <= 68,
        "a stranger was told {} bytes",
        heard.len()
    );

    // The token of the link itself, or none, announces nothing.
    for token in ["", "/00112233445566778899aabbccddeeff"] {
        let query: String = hash.iter().map(|byte| format!("%{byte:02x}")).collect();
        let announce = format!(
            "http://{address}/announce{token}?info_hash={query}&peer_id=-XX0000-000000000000&port=1&left=1&uploaded=0&downloaded=0"
        );
        let answer = http::get(&announce).unwrap().text().unwrap();
        assert!(answer.contains("failure reason"), "{answer}");
    }
    let dir = scratch().unwrap();
    let file = dir.path().join("x.torrent");
    fs::write(&file, &torrent).unwrap();
    let into = dir.path().join("into");
    Aria2
        .fetch(file.to_str().unwrap(), &into, Deadline::secs(60))
        .unwrap();
    assert_same_tree(
        locked.tree.path(),
        &into.join(locked.tree.name()),
        Attributes::BytesOnly,
    );
}

/// Not in the home, not in the log, not in what other programs see of the process.
#[test]
fn the_password_is_kept_nowhere() {
    let locked = locked("the_password_is_kept_nowhere", &["-vv"]);
    session(&locked.share.url);
    let pid = locked.share.running.id();
    for name in ["cmdline", "environ"] {
        let text = fs::read(format!("/proc/{pid}/{name}")).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(PASSWORD));
    }
    let kept = Command::new("grep")
        .args(["-rlaF", "-e", PASSWORD, "-e", &http::encode_query(PASSWORD)])
        .arg(locked.home.path())
        .output()
        .unwrap();
    assert!(
        kept.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&kept.stdout)
    );
    for wrong in [
        &["--password=x"][..],
        &["--password", "--public"],
        &["--password-file", "/nowhere"],
    ] {
        let mut args = vec!["share", locked.tree.path().to_str().unwrap()];
        args.extend(wrong);
        let outcome = locked.home.run(&args).unwrap();
        assert!(matches!(outcome.code, Some(2 | 3)), "{outcome:#?}");
    }
}

/// The link outlives a restart with its password, and so does a session.
#[test]
fn a_restart_forgets_neither_password_nor_session() {
    let mut locked = locked("a_restart_forgets_neither_password_nor_session", &[]);
    let url = locked.share.url.clone();
    let cookie = session(&url);
    locked.share.running.interrupt().unwrap();
    locked.share.running.outcome(Deadline::secs(10)).unwrap();
    let _node = locked.home.up().unwrap();
    assert_eq!(http::get(&url).unwrap().status, 403);
    assert_eq!(with_cookie(&url, &cookie).status, 200);
    assert_eq!(form(&url, PASSWORD).status, 303);
}
