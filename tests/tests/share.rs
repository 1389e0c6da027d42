//! `shoal share` from outside: what it prints, what it serves, what it costs.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::Value;
use shoal_tests::swarm::udp_announce_without_token;
use shoal_tests::{Deadline, Home, Random, Tree, http, poll, scratch};

#[test]
fn json_lines_are_as_promised() {
    let mut random = Random::from_env("json_lines_are_as_promised");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "holiday", &mut random).unwrap();
    let mut running = home
        .start(&["share", "--json", tree.path().to_str().unwrap()])
        .unwrap();
    let first = running.line(Deadline::secs(20)).unwrap().unwrap();
    let url: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(url["type"], "url", "the first line is the address");
    assert!(first.starts_with("{\"type\":\"url\",\"id\":"), "{first}");
    assert_eq!(url.as_object().unwrap().len(), 3);
    let id = url["id"].as_str().unwrap();
    assert!(url["url"].as_str().unwrap().ends_with(&format!("/s/{id}")));

    let ready = running.event("ready", Deadline::secs(20)).unwrap();
    assert_eq!(ready["id"], id);
    assert_eq!(ready["url"], url["url"]);
    assert_eq!(ready["name"], "holiday");
    assert_eq!(ready["files"], 5);
    assert_eq!(ready["bytes"], 1000 + 300_000 + 70_001 + 16_384);
    assert_eq!(ready["infohash"].as_str().unwrap().len(), 40);
    assert_eq!(ready["reach"]["scope"], "machine");
    assert!(ready["magnet"].as_str().unwrap().starts_with("magnet:?"));

    let listed = home.json(&["shares"]).unwrap();
    assert_eq!(
        (&listed["type"], &listed["id"]),
        (&"share".into(), &ready["id"])
    );
    let status = home.json(&["status"]).unwrap();
    assert_eq!(status["pid"], running.id());
    running.interrupt().unwrap();
    let ended = running.outcome(Deadline::secs(10)).unwrap();
    assert_eq!(ended.lines().unwrap().last().unwrap()["type"], "resting");
}

/// The issue asks for 0.15 s from the command to the first byte. A loaded machine that runs other tests gets more;
/// `bench` measures the figure itself. Here it is shown that hashing, which takes longer than this, is not awaited.
#[test]
fn the_address_streams_before_hashing_is_done() {
    let mut random = Random::from_env("the_address_streams_before_hashing_is_done");
    let dir = scratch().unwrap();
    let tree = Tree::big_file(dir.path(), "huge.img", 3072, &mut random).unwrap();
    let home = Home::new().unwrap();
    let started = Instant::now();
    let share = home.share(tree.path(), &[]).unwrap();
    let record = http::get(&format!("{}/record", share.url)).unwrap();
    assert_eq!(record.status, 202, "hashing was awaited");
    assert!(record.header("retry-after").is_some());
    let mut answer = http::get(&format!("{}/f/huge.img", share.url)).unwrap();
    assert_eq!(answer.status, 200);
    let mut first = [0; 100_000];
    answer.reader().read_exact(&mut first).unwrap();
    eprintln!("first bytes after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(2));
    let mut expected = [0; 100_000];
    fs::File::open(tree.path())
        .unwrap()
        .read_exact(&mut expected)
        .unwrap();
    assert!(first == expected, "the first bytes are wrong");
}

#[test]
fn http_list_files_and_ranges() {
    let mut random = Random::from_env("http_list_files_and_ranges");
    let home = Home::new().unwrap();
    let tree = Tree::odd_names(home.beside(), &mut random).unwrap();
    tree.file("sub/data.bin", 100_000, &mut random).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(20)).unwrap();

    let page = http::get(&share.url).unwrap();
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    let html = page.text().unwrap();
    assert!(
        !html.contains("<script>alert"),
        "HTML from a name reached the page"
    );

    let list = http::with_headers(&share.url, &[("Accept", "application/json")]).unwrap();
    let list: Value = serde_json::from_str(&list.text().unwrap()).unwrap();
    assert!(list.to_string().contains("data.bin"), "{list}");

    let bytes = fs::read(tree.path().join("sub/data.bin")).unwrap();
    let address = format!("{}/f/sub/data.bin", share.url);
    for (range, expected) in [
        ("bytes=0-0", &bytes[..1]),
        ("bytes=10-99999", &bytes[10..]),
        ("bytes=50000-", &bytes[50_000..]),
        ("bytes=-7", &bytes[99_993..]),
        ("bytes=99999-200000", &bytes[99_999..]),
    ] {
        let answer = http::with_headers(&address, &[("Range", range)]).unwrap();
        assert_eq!(answer.status, 206, "{range}");
        assert!(answer.bytes().unwrap() == expected, "{range}");
    }
    let beyond = http::with_headers(&address, &[("Range", "bytes=100000-")]).unwrap();
    assert_eq!(beyond.status, 416);
    for entry in [
        "with space.txt",
        "percent %20 %.txt",
        "名前/ファイル.txt",
        "<script>alert(1)</script>",
    ] {
        let address = format!("{}/f/{}", share.url, http::encode_path(entry));
        let got = http::get(&address).unwrap().bytes().unwrap();
        assert!(got == fs::read(tree.path().join(entry)).unwrap(), "{entry}");
    }
}

#[test]
fn nothing_outside_the_tree_is_served() {
    let mut random = Random::from_env("nothing_outside_the_tree_is_served");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "jail", &mut random).unwrap();
    let secret = home.beside().join("secret.txt");
    fs::write(&secret, "a secret outside").unwrap();
    std::os::unix::fs::symlink(&secret, tree.path().join("absolute")).unwrap();
    std::os::unix::fs::symlink("../secret.txt", tree.path().join("relative")).unwrap();
    std::os::unix::fs::symlink("..", tree.path().join("up")).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(20)).unwrap();
    for path in [
        "f/absolute",
        "f/relative",
        "f/up/secret.txt",
        "f/../secret.txt",
        "f/%2e%2e/secret.txt",
        "f/..%2fsecret.txt",
        "f//etc/passwd",
        "f/photos/../../secret.txt",
        "w/jail/relative",
        "w/jail/../secret.txt",
        "w/../secret.txt",
    ] {
        let answer = http::get(&format!("{}/{path}", share.url)).unwrap();
        assert!(
            (400..500).contains(&answer.status),
            "{path}: {}",
            answer.status
        );
        let body = answer.text().unwrap();
        assert!(
            !body.contains("a secret outside") && !body.contains("root:"),
            "{path}"
        );
    }
    let problems = home.json(&["shares"]).unwrap()["problems"].clone();
    assert!(
        problems.as_array().is_some_and(|list| list.len() >= 3),
        "{problems}"
    );
}

#[test]
fn ten_thousand_small_files_cost_under_eight_megabytes() {
    let mut random = Random::from_env("ten_thousand_small_files_cost_under_eight_megabytes");
    let dir = scratch().unwrap();
    let tree = Tree::many_files(dir.path(), "many", 10_000, 4096, &mut random).unwrap();
    let home = Home::new().unwrap();
    let before = modified_times(&tree);
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(60)).unwrap();
    let bytes = home.disk_bytes().unwrap();
    eprintln!("the home takes {bytes} bytes");
    assert!(bytes < 8_000_000, "the home takes {bytes} bytes");
    assert!(before == modified_times(&tree), "sharing touched the files");
}

fn modified_times(tree: &Tree) -> Vec<(std::path::PathBuf, std::time::SystemTime)> {
    let mut times = Vec::new();
    for folder in fs::read_dir(tree.path()).unwrap().flatten() {
        for file in fs::read_dir(folder.path()).unwrap().flatten() {
            times.push((file.path(), file.metadata().unwrap().modified().unwrap()));
        }
    }
    times.sort();
    times
}

/// `--notify` is called when somebody has taken everything; `--advertise` names the address in the link.
#[test]
fn notify_and_advertise() {
    let mut random = Random::from_env("notify_and_advertise");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "told", &mut random).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let hook = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
    let (sender, called) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while !bytes.ends_with(b"}") {
            let len = stream.read(&mut buffer).unwrap();
            assert!(len > 0, "the call ended early");
            bytes.extend_from_slice(&buffer[..len]);
        }
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            .unwrap();
        sender
            .send(String::from_utf8_lossy(&bytes).into_owned())
            .unwrap();
    });
    let advertise = ["--notify", &hook, "--advertise", "files.example.org:80"];
    let mut share = home.share(tree.path(), &advertise).unwrap();
    assert!(share.url.contains("//files.example.org"), "{}", share.url);
    share.ready(Deadline::secs(20)).unwrap();
    let status = home.json(&["status"]).unwrap();
    let here = format!("http://127.0.0.1:{}/s/{}", status["ports"]["tcp"], share.id);
    home.get(&here, &home.beside().join("got"), &["--via", "http"])
        .unwrap()
        .success()
        .unwrap();
    let call = called.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(call.starts_with("POST /hook?a=b HTTP/1.1"), "{call}");
    let body: Value = serde_json::from_str(call.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["id"], share.id.as_str(), "{body}");
}

/// Settings by file and by environment: `SHOAL_HOME`, `config`, and ports that the home remembers.
#[test]
fn homes_and_settings() {
    let home = Home::new().unwrap();
    let path = home.run(&["config", "path"]).unwrap().success().unwrap();
    assert_eq!(
        path.stdout.trim(),
        home.path().join("config.toml").to_str().unwrap()
    );
    home.run(&["config", "set", "log-level", "debug"])
        .unwrap()
        .success()
        .unwrap();
    let value = home.json(&["config", "get", "log-level"]).unwrap();
    assert_eq!(value["value"], "debug");
    let mut ports = Vec::new();
    for _ in 0..2 {
        let node = home.up().unwrap();
        ports.push(home.json(&["status"]).unwrap()["ports"].clone());
        node.interrupt().unwrap();
        let mut node = node;
        assert_eq!(node.outcome(Deadline::secs(10)).unwrap().code, Some(0));
    }
    assert_eq!(ports[0], ports[1], "the home remembers its ports");
    let logs = home.run(&["logs"]).unwrap().success().unwrap();
    assert!(!logs.stdout.is_empty(), "{logs:#?}");
}

/// Torrent clients refuse a torrent without a byte: no magnet is offered, and that is said.
#[test]
fn nothing_but_empty_files() {
    let mut random = Random::from_env("nothing_but_empty_files");
    let home = Home::new().unwrap();
    let tree = Tree::folder(home.beside(), "hollow").unwrap();
    tree.file("a", 0, &mut random).unwrap();
    tree.file("b/c", 0, &mut random).unwrap();
    let _node = home.up().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let ready = share.ready(Deadline::secs(20)).unwrap();
    assert!(ready["magnet"].is_null(), "{ready}");
    let note = ready["note"].as_str().unwrap();
    assert!(
        note.contains("empty") && note.contains("web address"),
        "{note}"
    );
    let into = home.beside().join("got");
    home.get(&share.url, &into, &[]).unwrap().success().unwrap();
    assert!(into.join("hollow/b/c").is_file());

    let mut human = home
        .start(&["share", tree.path().to_str().unwrap()])
        .unwrap();
    poll(Deadline::secs(20), "the note for people", || {
        Ok(human.stderr().contains("no magnet").then_some(()))
    })
    .unwrap();
    human.interrupt().unwrap();
    human.outcome(Deadline::secs(10)).unwrap();
}

/// Many clients send no path over UDP (BEP 41), and so no token. The infohash, which no other link has, does.
#[test]
fn the_udp_tracker_takes_the_infohash_for_a_proof() {
    let mut random = Random::from_env("the_udp_tracker_takes_the_infohash_for_a_proof");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "told", &mut random).unwrap();
    let _node = home.up().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let ready = share.ready(Deadline::secs(20)).unwrap();
    let infohash = ready["infohash"].as_str().unwrap();
    let magnet = ready["magnet"].as_str().unwrap();
    let (_, rest) = magnet.split_once("udp%3A%2F%2F").unwrap();
    let address = rest.split_once("%2F").unwrap().0.replace("%3A", ":");
    assert_eq!(udp_announce_without_token(&address, infohash), Some(1));
    assert_eq!(
        udp_announce_without_token(&address, &"0".repeat(40)),
        Some(3)
    );
    home.run(&["stop", &share.id]).unwrap().success().unwrap();
    assert_eq!(udp_announce_without_token(&address, infohash), Some(3));
}
