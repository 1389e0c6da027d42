//! What a node keeps over restarts, and what it does when the files under it change.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use shoal_tests::{
    Attributes, Deadline, Home, Random, Tree, assert_same_tree, differences, http, poll, scratch,
};

/// 1 GiB is served again within a second of a restart after kill -9, under the same link, and is not read again.
#[test]
fn a_gibibyte_is_served_again_within_a_second() {
    let mut random = Random::from_env("a_gibibyte_is_served_again_within_a_second");
    let dir = scratch().unwrap();
    let tree = Tree::big_file(dir.path(), "gib.bin", 1024, &mut random).unwrap();
    let home = Home::new().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let magnet = share.magnet(Deadline::secs(120)).unwrap();
    share.running.kill().unwrap();

    let started = Instant::now();
    let node = home.up().unwrap();
    poll(Deadline::secs(1), "the content record", || {
        let record = http::get(&format!("{}/record", share.url))?;
        Ok((record.status == 200).then_some(()))
    })
    .unwrap();
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

/// A node that is asked to end in the middle of hashing lets go of its home before `down` returns, and the next one
/// begins the link's count anew.
#[test]
fn a_node_that_hashes_ends_when_it_is_asked() {
    let home = Home::new().unwrap();
    let path = home.beside().join("disk.img");
    fs::File::create(&path).unwrap().set_len(8 << 30).unwrap();
    home.run(&["up", "--detach"]).unwrap().success().unwrap();
    let mut share = home.share(&path, &[]).unwrap();
    share.running.kill().unwrap();
    for _ in 0..3 {
        let view = home.json(&["shares"]).unwrap();
        assert_eq!(view["state"]["type"], "counting", "{view:#}");
        home.run(&["down"]).unwrap().success().unwrap();
        home.run(&["up", "--detach"]).unwrap().success().unwrap();
    }
    home.run(&["down"]).unwrap().success().unwrap();
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

/// A file that never comes to rest cannot be shared: a sentence names it and says what to do. When it rests, the tree
/// is shared as it is then.
#[test]
fn a_file_that_grows_while_hashed_is_reported() {
    let mut random = Random::from_env("a_file_that_grows_while_hashed_is_reported");
    let dir = scratch().unwrap();
    let tree = Tree::folder(dir.path(), "growing").unwrap();
    tree.file("quiet.txt", 1000, &mut random).unwrap();
    Tree::big_file(tree.path(), "grows.log", 64, &mut random).unwrap();
    let path = tree.path().join("grows.log");
    let grows = Arc::new(AtomicBool::new(true));
    let (writer_path, still) = (path.clone(), Arc::clone(&grows));
    let writer = thread::spawn(move || {
        let mut file = fs::File::options().append(true).open(writer_path).unwrap();
        while still.load(Ordering::Relaxed) {
            file.write_all(b"one more line\n").unwrap();
            thread::yield_now();
        }
    });
    let home = Home::new().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let refused = share.running.outcome(Deadline::secs(120)).unwrap();
    grows.store(false, Ordering::Relaxed);
    writer.join().unwrap();
    refused.refused(7);
    let error = refused.lines().unwrap().pop().unwrap();
    assert!(
        error["message"].as_str().unwrap().contains("grows.log"),
        "{error}"
    );
    assert!(error["hint"].as_str().is_some(), "{error}");

    let mut again = home.share(tree.path(), &[]).unwrap();
    assert_eq!(again.ready(Deadline::secs(60)).unwrap()["files"], 2);
    let into = scratch().unwrap();
    home.get(&again.url, into.path(), &[])
        .unwrap()
        .success()
        .unwrap();
    assert_same_tree(tree.path(), &into.path().join("growing"), Attributes::All);
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

/// A home that a newer version wrote is refused, and not one byte of it changes.
#[test]
fn a_newer_home_is_left_untouched() {
    let home = Home::new().unwrap();
    home.run(&["up", "--detach"]).unwrap().success().unwrap();
    home.run(&["down"]).unwrap().success().unwrap();
    fs::write(home.path().join("format"), "shoal home format 4000000\n").unwrap();
    let before = contents(&home.path());
    let outcome = home.run(&["up"]).unwrap();
    outcome.refused(13);
    assert!(outcome.stderr.contains("newer"), "{outcome:#?}");
    assert!(before == contents(&home.path()), "the home was touched");
}

/// Paths and bytes of a home, without its log.
fn contents(home: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![home.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.ends_with("logs") {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else {
                let bytes = fs::read(&path).unwrap_or_default();
                found.insert(path, bytes);
            }
        }
    }
    found
}
