//! `shoal share` and its neighbours, from outside: what they print, what they serve, what they keep.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use shoal_tests::{
    Attributes, Deadline, Home, Random, Share, Tree, assert_same_tree, differences, http, poll,
    scratch,
};

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
    let tree = Tree::sparse_file(dir.path(), "huge.img", 6 << 30, &mut random).unwrap();
    let home = Home::new().unwrap();
    let started = Instant::now();
    let share = home.share(tree.path(), &[]).unwrap();
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
    let state = home.json(&["shares"]).unwrap();
    assert_eq!(state["state"]["type"], "counting", "hashing was awaited");
    let record = http::get(&format!("{}/record", share.url)).unwrap();
    assert_eq!(record.status, 202);
    assert!(record.header("retry-after").is_some());
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

    let list = http::get_with(&share.url, &[("Accept", "application/json")]).unwrap();
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
        let answer = http::get_with(&address, &[("Range", range)]).unwrap();
        assert_eq!(answer.status, 206, "{range}");
        assert!(answer.bytes().unwrap() == expected, "{range}");
    }
    let beyond = http::get_with(&address, &[("Range", "bytes=100000-")]).unwrap();
    assert_eq!(beyond.status, 416);
    for entry in [
        "with space.txt",
        "percent %20 %.txt",
        "名前/ファイル.txt",
        "...",
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

/// After `stop` everything refuses within a second, says why, and still does after a restart. A connection that was
/// open is closed.
#[test]
fn stop_refuses_everywhere_within_a_second() {
    let mut random = Random::from_env("stop_refuses_everywhere_within_a_second");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "stopped", &mut random).unwrap();
    let node = home.up().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let ready = share.ready(Deadline::secs(20)).unwrap();
    let magnet = ready["magnet"].as_str().unwrap().to_owned();
    let infohash = ready["infohash"].as_str().unwrap().to_owned();
    let tracker = tracker_address(&magnet);
    let address = share.address().unwrap();
    assert!(announce(&tracker, &infohash).contains("5:peers"));
    let mut open = handshake(&address, &infohash).expect("the seeder answers before the stop");

    home.run(&["stop", &share.id]).unwrap().success().unwrap();
    let within = Deadline::secs(1);
    poll(within, "everything to refuse", || {
        let page = http::get(&share.url)?;
        let file = http::get(&format!("{}/f/readme.txt", share.url))?;
        let announced = announce(&tracker, &infohash);
        Ok((page.status == 410
            && file.status == 410
            && announced.contains("failure reason")
            && handshake(&address, &infohash).is_none())
        .then_some(()))
    })
    .unwrap();
    open.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut rest = Vec::new();
    open.read_to_end(&mut rest)
        .expect("the open connection is closed within a second");
    assert_refused_with_reason(&home, &share, &magnet, "stop");

    drop(node);
    drop(share.running);
    let _again = home.up().unwrap();
    let page = http::get(&share.url).unwrap();
    assert_eq!(page.status, 410, "after a restart");
    assert!(page.text().unwrap().to_lowercase().contains("stop"));
    assert!(announce(&tracker, &infohash).contains("failure reason"));
    assert!(handshake(&address, &infohash).is_none());
}

#[test]
fn expiry_refuses_everywhere() {
    let mut random = Random::from_env("expiry_refuses_everywhere");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "short", &mut random).unwrap();
    let end = std::time::SystemTime::now() + Duration::from_secs(4);
    let end_s = end.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let moment = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{end_s}"), "+%FT%TZ"])
        .output()
        .unwrap();
    let moment = String::from_utf8(moment.stdout).unwrap();
    let node = home.up().unwrap();
    let mut share = home
        .share(tree.path(), &["--expires", moment.trim()])
        .unwrap();
    let ready = share.ready(Deadline::secs(4)).unwrap();
    let magnet = ready["magnet"].as_str().unwrap().to_owned();
    let infohash = ready["infohash"].as_str().unwrap().to_owned();
    assert_eq!(http::get(&share.url).unwrap().status, 200);
    share.running.event("ended", Deadline::secs(10)).unwrap();
    let now_s = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!(now_s <= end_s + 1, "it ended {} s late", now_s - end_s);
    assert_eq!(http::get(&share.url).unwrap().status, 410);
    assert!(announce(&tracker_address(&magnet), &infohash).contains("failure reason"));
    assert!(handshake(&share.address().unwrap(), &infohash).is_none());
    assert_refused_with_reason(&home, &share, &magnet, "expired");
    drop(node);
    let _again = home.up().unwrap();
    assert_eq!(
        http::get(&share.url).unwrap().status,
        410,
        "after a restart"
    );
}

/// `shoal get` of a link that gives nothing any more: exit code 5 on every way, and the reason in words.
fn assert_refused_with_reason(home: &Home, share: &Share, magnet: &str, word: &str) {
    let page = http::get(&share.url).unwrap().text().unwrap();
    assert!(
        page.to_lowercase().contains(word),
        "{word:?} is not in {page}"
    );
    for link in [share.url.as_str(), magnet] {
        for via in [&[][..], &["--via", "http"], &["--via", "iroh"]] {
            let outcome = home.get(link, &home.beside().join("never"), via).unwrap();
            outcome.refused(5);
            assert!(outcome.stdout.contains(word), "{outcome:#?}");
        }
    }
    assert!(!home.beside().join("never/readme.txt").exists());
}

#[test]
fn max_downloads_counts_takers_and_cuts_nobody_off() {
    let mut random = Random::from_env("max_downloads_counts_takers_and_cuts_nobody_off");
    let dir = scratch().unwrap();
    let tree = Tree::single_file(dir.path(), "one.bin", 64 << 20, &mut random).unwrap();
    let home = Home::new().unwrap();
    let node = home.up().unwrap();
    let mut share = home.share(tree.path(), &["--max-downloads", "1"]).unwrap();
    share.ready(Deadline::secs(60)).unwrap();

    // A browser has the first byte, and with it the slot.
    let mut browser = http::get(&format!("{}/f/one.bin", share.url)).unwrap();
    assert_eq!(browser.status, 200);
    let mut first = [0; 1];
    browser.reader().read_exact(&mut first).unwrap();
    home.get(&share.url, &home.beside().join("second"), &[])
        .unwrap()
        .refused(5);

    // It is not cut off, and using up the link at its end does not cut off the tail either.
    let mut rest = first.to_vec();
    browser.reader().read_to_end(&mut rest).unwrap();
    assert!(rest == fs::read(tree.path()).unwrap());
    poll(Deadline::secs(5), "the link to be used up", || {
        let view = home.json(&["shares", &share.id])?;
        Ok((view["end"]["type"] == "used_up" && view["completed"] == 1).then_some(()))
    })
    .unwrap();
    let third = home
        .get(&share.url, &home.beside().join("third"), &[])
        .unwrap();
    third.refused(5);
    drop(node);
    drop(share.running);
    let _again = home.up().unwrap();
    assert_eq!(home.json(&["shares"]).unwrap()["end"]["type"], "used_up");
}

/// One `shoal get` is one taker on all ways together, also when it is killed and goes on.
#[test]
fn one_get_is_one_taker_on_all_ways() {
    let mut random = Random::from_env("one_get_is_one_taker_on_all_ways");
    let dir = scratch().unwrap();
    let tree = Tree::single_file(dir.path(), "one.bin", 64 << 20, &mut random).unwrap();
    let home = Home::new().unwrap();
    let _node = home.up().unwrap();
    let mut share = home.share(tree.path(), &["--max-downloads", "2"]).unwrap();
    share.ready(Deadline::secs(60)).unwrap();
    for round in ["first", "second"] {
        let into = home.beside().join(round);
        let mut early = home
            .start(&["get", "--json", &share.url, "-o", into.to_str().unwrap()])
            .unwrap();
        let _ = early.event("progress", Deadline::secs(20));
        early.kill().unwrap();
        let got = home.get(&share.url, &into, &[]).unwrap().success().unwrap();
        assert!(got.stdout.contains("\"done\""));
        assert_same_tree(tree.path(), &into.join("one.bin"), Attributes::All);
    }
    let view = home.json(&["shares", &share.id]).unwrap();
    assert_eq!(view["completed"], 2, "{view:#}");
    home.get(&share.url, &home.beside().join("third"), &[])
        .unwrap()
        .refused(5);
    let log = home.json_lines(&["log", &share.id]).unwrap();
    for row in log.iter().filter(|row| row["what"] == "finished") {
        assert!(row["bytes"].as_u64().unwrap() > 0, "{row}");
        assert!(row["at_ms"].as_u64().unwrap() > 1_600_000_000_000, "{row}");
        assert!(!row["who"].as_str().unwrap().is_empty());
    }
    assert_eq!(
        log.iter().filter(|row| row["what"] == "finished").count(),
        2,
        "{log:#?}"
    );
    assert!(log.iter().any(|row| row["what"] == "refused"), "{log:#?}");
}

/// 1 GiB is served again within a second of a restart after kill -9, under the same link, and is not read again.
#[test]
fn a_gibibyte_is_served_again_within_a_second() {
    let mut random = Random::from_env("a_gibibyte_is_served_again_within_a_second");
    let dir = scratch().unwrap();
    let tree = Tree::single_file(dir.path(), "gib.bin", 1 << 30, &mut random).unwrap();
    let home = Home::new().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let magnet = share.magnet(Deadline::secs(120)).unwrap();
    share.running.kill().unwrap();

    let started = Instant::now();
    let node = home.up().unwrap();
    let record = http::get(&format!("{}/record", share.url)).unwrap();
    assert_eq!(record.status, 200);
    let mut answer = http::get(&format!("{}/f/gib.bin", share.url)).unwrap();
    let mut first = [0; 1];
    answer.reader().read_exact(&mut first).unwrap();
    let elapsed = started.elapsed();
    eprintln!("served again after {elapsed:?}");
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
    drop(answer);
    let view = home.json(&["shares"]).unwrap();
    assert_eq!(view["magnet"], magnet.as_str());
    assert_eq!(view["state"]["type"], "ready");
    let io = fs::read_to_string(format!("/proc/{}/io", node.id())).unwrap();
    let read: u64 = io
        .lines()
        .find_map(|line| line.strip_prefix("rchar: "))
        .unwrap()
        .parse()
        .unwrap();
    assert!(read < 100 << 20, "{read} bytes were read at the restart");
    let into = scratch().unwrap();
    home.get(&share.url, into.path(), &[])
        .unwrap()
        .success()
        .unwrap();
    assert_same_tree(tree.path(), &into.path().join("gib.bin"), Attributes::All);
}

/// When the foreground command that is the node ends, a waiting one takes over within a second.
#[test]
fn a_waiting_share_takes_over() {
    let mut random = Random::from_env("a_waiting_share_takes_over");
    let home = Home::new().unwrap();
    let one = Tree::single_file(home.beside(), "one.bin", 10_000, &mut random).unwrap();
    let two = Tree::single_file(home.beside(), "two.bin", 10_000, &mut random).unwrap();
    let mut first = home.share(one.path(), &[]).unwrap();
    first.ready(Deadline::secs(20)).unwrap();
    let mut second = home.share(two.path(), &[]).unwrap();
    second.ready(Deadline::secs(20)).unwrap();
    assert_eq!(http::get(&second.url).unwrap().status, 200);
    first.running.kill().unwrap();
    poll(Deadline::secs(1), "the second command to take over", || {
        Ok(http::get(&second.url)
            .ok()
            .filter(|answer| answer.status == 200)
            .map(drop))
    })
    .unwrap();
    assert_eq!(
        http::get(&first.url).unwrap().status,
        200,
        "all links of the home"
    );
    assert_eq!(home.json(&["status"]).unwrap()["pid"], second.running.id());
}

#[test]
fn a_changed_file_is_reported_and_never_served_wrong() {
    let mut random = Random::from_env("a_changed_file_is_reported_and_never_served_wrong");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "changing", &mut random).unwrap();
    let file = tree.path().join("photos/one.jpg");
    let original = fs::read(&file).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(20)).unwrap();
    fs::write(&file, random.bytes(original.len())).unwrap();

    let answer = http::get(&format!("{}/f/photos/one.jpg", share.url)).unwrap();
    assert_ne!(answer.status, 200, "a changed file is not served");
    for via in ["iroh", "torrent", "http"] {
        let into = home.beside().join(via);
        let mut running = home
            .start(&[
                "get",
                "--json",
                &share.url,
                "-o",
                into.to_str().unwrap(),
                "--via",
                via,
            ])
            .unwrap();
        // BitTorrent has no word for it: `get` may wait for somebody who has the piece.
        let outcome = running.outcome(Deadline::secs(15));
        if let Ok(outcome) = outcome {
            assert_ne!(outcome.code, Some(0), "{via}: {outcome:#?}");
        }
        let got = into.join("changing/photos/one.jpg");
        assert!(
            !got.exists() || fs::read(&got).unwrap() == original,
            "{via}: wrong bytes"
        );
    }
    let view = home.json(&["shares"]).unwrap();
    assert!(view["problems"].to_string().contains("one.jpg"), "{view:#}");
}

#[test]
fn a_file_that_grows_while_hashed_is_reported() {
    let mut random = Random::from_env("a_file_that_grows_while_hashed_is_reported");
    let dir = scratch().unwrap();
    let tree = Tree::folder(dir.path(), "growing").unwrap();
    tree.file("quiet.txt", 1000, &mut random).unwrap();
    Tree::sparse_file(tree.path(), "grows.log", 4 << 30, &mut random).unwrap();
    let home = Home::new().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share
        .running
        .event_where("progress", Deadline::secs(20), |event| {
            event["phase"] == "hash" && event["bytes"].as_u64().is_some_and(|bytes| bytes > 2000)
        })
        .unwrap();
    let mut file = fs::File::options()
        .append(true)
        .open(tree.path().join("grows.log"))
        .unwrap();
    file.write_all(b"one more line\n").unwrap();
    let problem = share.running.event("problem", Deadline::secs(60)).unwrap();
    assert_eq!(problem["path"], "grows.log");
    let ready = share.ready(Deadline::secs(60)).unwrap();
    assert_eq!(ready["files"], 1, "the other file is shared: {ready}");
}

/// What the node served before it ended by Ctrl-C it serves again with `up`, under the same addresses.
#[test]
fn the_link_survives_ctrl_c_and_up() {
    let mut random = Random::from_env("the_link_survives_ctrl_c_and_up");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "rest", &mut random).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(20)).unwrap();
    share.running.interrupt().unwrap();
    let ended = share.running.outcome(Deadline::secs(10)).unwrap();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(http::get(&share.url).is_err(), "it rests");
    home.run(&["up", "--detach"]).unwrap().success().unwrap();
    assert_eq!(http::get(&share.url).unwrap().status, 200);
    let into = home.beside().join("got");
    home.get(&share.url, &into, &[]).unwrap().success().unwrap();
    assert_eq!(
        differences(tree.path(), &into.join("rest"), Attributes::All).unwrap(),
        [""; 0]
    );
    home.run(&["down"]).unwrap().success().unwrap();
    home.run(&["--no-start", "status"]).unwrap().refused(10);
}

fn tracker_address(magnet: &str) -> String {
    let escaped = magnet
        .split(['?', '&'])
        .find_map(|part| part.strip_prefix("tr="))
        .filter(|text| text.starts_with("http"))
        .unwrap_or_else(|| panic!("no http tracker in {magnet}"));
    escaped
        .replace("%3A", ":")
        .replace("%2F", "/")
        .replace("%3a", ":")
        .replace("%2f", "/")
}

fn announce(tracker: &str, infohash: &str) -> String {
    let escaped: String = infohash
        .as_bytes()
        .chunks(2)
        .map(|pair| format!("%{}", String::from_utf8_lossy(pair)))
        .collect();
    let url = format!(
        "{tracker}?info_hash={escaped}&peer_id=-XX0001-abcdefghijkl&port=1&uploaded=0&downloaded=0&left=1&compact=1&event=started"
    );
    http::get(&url).unwrap().text().unwrap()
}

/// A BitTorrent handshake; none if the other side closes without an answer.
fn handshake(address: &str, infohash: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut hello = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\0".to_vec();
    for pair in infohash.as_bytes().chunks(2) {
        let digits = std::str::from_utf8(pair).unwrap();
        hello.push(u8::from_str_radix(digits, 16).unwrap());
    }
    hello.extend_from_slice(b"-XX0001-mnopqrstuvwx");
    stream.write_all(&hello).ok()?;
    let mut answer = [0; 68];
    stream.read_exact(&mut answer).ok()?;
    assert_eq!(&answer[28..48], &hello[28..48], "another infohash");
    Some(stream)
}
