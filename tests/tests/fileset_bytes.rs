//! How many bytes move between devices, and how fast: renames, saves of editors, restarts, limits, and old homes.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use shoal_tests::{Deadline, Kept, Random, alike, poll, settle, two};

/// Replacements of a file that somebody reads meanwhile.
const REPLACEMENTS: u32 = 200;
/// Bytes that may move for what is in fact an edit of one small file.
const HARDLY_ANY: u64 = 64 * 1024;
/// What a restart may fetch again at most, beside what was not there.
const CHECKPOINT_BYTES: u64 = 64 << 20;

#[test]
fn renames_move_hardly_any_bytes() {
    let mut random = Random::from_env("renames_move_hardly_any_bytes");
    let (one, two) = two();
    for number in 0..200 {
        let path = format!("tree/{}/{number}", number % 5);
        one.write(&path, random.bytes(4096));
    }
    for name in ["a", "b", "c", "d", "e", "Case.bin"] {
        one.write(name, random.bytes(3 << 20));
    }
    settle(&[&one, &two], &one.seen());
    let (came, gone) = (bytes(&two, "received_bytes"), bytes(&one, "sent_bytes"));
    assert!(came > 18 << 20 && gone > 18 << 20, "{came} {gone}");

    let rename = |from: &str, to: &str| fs::rename(one.at(from), one.at(to)).unwrap();
    rename("tree", "another tree");
    one.write("another tree/3/3", random.bytes(4096));
    rename("Case.bin", "case.BIN");
    for (first, second) in [("a", "b"), ("c", "d"), ("d", "e")] {
        rename(first, "in hand");
        rename(second, first);
        rename("in hand", second);
    }
    settle(&[&one, &two], &one.seen());

    // The same with the other side at work, and a file that goes into a folder that is new.
    let rename = |from: &str, to: &str| fs::rename(two.at(from), two.at(to)).unwrap();
    fs::create_dir(two.at("new")).unwrap();
    rename("a", "new/a");
    rename("another tree/0", "new/0");
    rename("another tree", "tree");
    settle(&[&one, &two], &two.seen());
    for (kept, before) in [(&two, came), (&one, 0)] {
        let moved = bytes(kept, "received_bytes") - before;
        assert!(moved <= HARDLY_ANY, "{moved} bytes for renames");
    }
    assert!(bytes(&one, "sent_bytes") - gone <= HARDLY_ANY);
}

#[test]
fn a_file_that_is_replaced_is_never_missing() {
    let (one, two) = two();
    one.write("file.txt", "0");
    settle(&[&one, &two], &one.seen());
    let (told, seen) = mpsc::channel();
    let (ended, path) = (AtomicBool::new(false), two.at("file.txt"));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = 0;
            while !ended.load(Ordering::Relaxed) {
                let text = fs::read_to_string(&path);
                let Ok(number) = text.map(|text| text.parse::<u32>().unwrap()) else {
                    // Dropping it ends the test.
                    return drop(told);
                };
                if number != last {
                    last = number;
                    told.send(number).unwrap();
                }
            }
        });
        for number in 1..=REPLACEMENTS {
            // As editors save.
            one.write(".file.txt.new", number.to_string());
            fs::rename(one.at(".file.txt.new"), one.at("file.txt")).unwrap();
            let arrived = loop {
                match seen.recv_timeout(Duration::from_secs(40)) {
                    Ok(arrived) if arrived < number => {}
                    other => break other,
                }
            };
            ended.store(
                arrived.is_err() || number == REPLACEMENTS,
                Ordering::Relaxed,
            );
            assert_eq!(arrived, Ok(number), "it was missing, or did not come");
        }
    });
    settle(&[&one, &two], &one.seen());
    assert_eq!(one.seen().len(), 1);
}

#[test]
fn a_large_file_goes_on_where_a_killed_node_stopped() {
    let mut random = Random::from_env("a_large_file_goes_on_where_a_killed_node_stopped");
    let (one, mut two) = two();
    let other = one.device.key();
    let limit = |kept: &Kept, args: &[&str]| {
        let args = [&["devices", "limit", &other], args].concat();
        kept.shoal(&args).success().unwrap();
    };
    limit(&two, &["--down", "60M"]);
    let total: usize = 300 << 20;
    one.write("large", random.bytes(total));
    let has_note = |kept: &Kept| kept.staged().iter().any(|name| name.ends_with(".have"));
    poll(Deadline::secs(60), "a part of it", || {
        Ok(has_note(&two).then_some(()))
    })
    .unwrap();
    two.device.kill();
    assert!(has_note(&two) && !two.at("large").exists());
    two.device.start();
    limit(&two, &[]);
    settle(&[&one, &two], &one.seen());
    let again = bytes(&two, "received_bytes");
    assert!(again <= total as u64 - CHECKPOINT_BYTES, "{again} bytes");
    assert_eq!(two.staged(), [""; 0]);
}

#[test]
fn limits_hold_both_ways_and_over_restarts() {
    let mut random = Random::from_env("limits_hold_both_ways_and_over_restarts");
    let (mut one, two) = two();
    let (first, second) = (one.device.key(), two.device.key());
    one.shoal(&["devices", "limit", &second, "--up", "2M"])
        .success()
        .unwrap();
    one.shoal(&["devices", "limit", &second, "--up", "1K"])
        .refused(2);
    one.device.stop();
    one.device.start();
    let lines = one.device.home.json_lines(&["devices"]).unwrap();
    assert_eq!(lines[1]["up_limit_bytes_per_s"], 2 << 20, "{lines:?}");
    for name in ["up", "down", "none"] {
        let begun = Instant::now();
        one.write(name, random.bytes(8 << 20));
        settle(&[&one, &two], &one.seen());
        let took = begun.elapsed();
        assert!(
            name == "none" || took > Duration::from_secs(3),
            "{name}: {took:?}"
        );
        one.shoal(&["devices", "limit", &second]).success().unwrap();
        let down: &[&str] = if name == "up" { &["--down", "2M"] } else { &[] };
        let args = [&["devices", "limit", &first], down].concat();
        two.shoal(&args).success().unwrap();
    }
}

#[test]
fn an_old_home_goes_on_as_somebody_new_and_harms_nobody() {
    let (mut one, two) = two();
    one.write("edited later", "old");
    one.write("deleted later", "x");
    settle(&[&one, &two], &one.seen());
    let home = one.device.home.path().to_owned();
    let backup = home.with_file_name("backup");
    one.device.stop();
    copy(&home, &backup);
    one.device.start();
    one.write("edited later", "new");
    fs::remove_file(one.at("deleted later")).unwrap();
    one.write("made later", "y");
    settle(&[&one, &two], &one.seen());

    one.device.kill();
    fs::remove_dir_all(&home).unwrap();
    fs::rename(&backup, &home).unwrap();
    two.write("meanwhile", "z");
    one.device.start();
    one.write("after the restore", "w");
    let all = alike(&[&one, &two], 4);
    assert!(!all.contains_key("deleted later"));
    for kept in [&one, &two] {
        assert_eq!(fs::read_to_string(kept.at("edited later")).unwrap(), "new");
        assert_eq!(kept.conflicts(), [] as [Value; 0]);
    }
    // And what it does from now on arrives.
    one.write("edited later", "newest");
    fs::remove_file(one.at("made later")).unwrap();
    settle(&[&one, &two], &one.seen());
    assert_eq!(one.seen().len(), 3);
}

fn bytes(kept: &Kept, which: &str) -> u64 {
    kept.view()[which].as_u64().unwrap()
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.unwrap().success());
}
