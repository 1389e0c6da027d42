//! Folders that are kept the same when things go wrong: emptied folders, devices that come, go and come back.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};
use shoal_tests::{Deadline, Device, Kept, alike, poll, settle, two};

/// Files of a fileset that is large enough for the brake against mass deletion.
const MANY: usize = 80;

#[test]
fn a_pause_holds_over_a_restart() {
    let (one, mut two) = two();
    one.write("first", "1");
    settle(&[&one, &two], &one.seen());
    two.shoal(&["pause", "work"]).success().unwrap();
    let quiet = two.until("nobody that it talks to", |it| it["connected"].is_null());
    assert_eq!(quiet["state"], "paused");
    two.device.stop();
    one.write("second", "2");
    two.device.start();
    two.write("third", "3");
    two.device.is_connected_to(&[&one.device]);
    assert_eq!(two.view()["state"], "paused");
    assert!(!two.at("second").exists() && !one.at("third").exists());
    two.shoal(&["resume", "work"]).success().unwrap();
    two.until("what it missed", |_| {
        two.at("second").exists() && one.at("third").exists()
    });
    settle(&[&one, &two], &two.seen());
}

#[test]
fn an_emptied_folder_halts_and_the_answer_decides() {
    let (one, two) = two();
    for number in 0..MANY {
        one.write(&format!("{}/{number}", number % 5), number.to_string());
    }
    let all = one.seen();
    settle(&[&one, &two], &all);

    empty(&two);
    let halted = two.until("the halt", |it| it["state"] == "halted");
    assert!(
        halted["why"].is_string() && halted["hint"].is_string(),
        "{halted}"
    );
    let told = two.device.home.run(&["sets"]).unwrap();
    assert!(
        told.stdout.contains("work halted: ") && told.stdout.contains("next: "),
        "{told:#?}"
    );
    two.shoal(&["resume", "work"]).refused(2);
    assert_eq!(one.seen(), all);
    two.shoal(&["resume", "work", "--restore"])
        .success()
        .unwrap();
    settle(&[&one, &two], &all);

    // More than half of it, and this time it is meant: the other device does not ask again.
    for number in 0..MANY - 10 {
        fs::remove_file(one.at(&format!("{}/{number}", number % 5))).unwrap();
    }
    let rest = one.seen();
    one.until("the halt", |it| it["state"] == "halted");
    assert_eq!(two.seen(), all);
    one.shoal(&["resume", "work", "--delete"])
        .success()
        .unwrap();
    settle(&[&one, &two], &rest);
}

#[test]
fn a_folder_that_is_not_there_is_no_deletion() {
    let (one, mut two) = two();
    one.write("a/b", "x");
    let all = one.seen();
    settle(&[&one, &two], &all);
    let away = two.folder.with_file_name("away");
    fs::rename(&two.folder, &away).unwrap();
    two.device.stop();
    two.device.start();
    let stands = two.until("a reason", |it| it["why"].is_string());
    assert!(
        ["halted", "failed"].contains(&stands["state"].as_str().unwrap()),
        "{stands}"
    );
    // A bare mount point: there, and empty.
    fs::create_dir(&two.folder).unwrap();
    two.device.stop();
    two.device.start();
    two.until("a reason", |it| it["why"].is_string());
    assert_eq!(one.seen(), all);
    fs::remove_dir(&two.folder).unwrap();
    fs::rename(&away, &two.folder).unwrap();
    two.shoal(&["resume", "work"]).success().unwrap();
    settle(&[&one, &two], &all);
}

#[test]
fn a_third_device_hears_what_two_missed_and_a_removed_one_nothing() {
    let (mut one, two) = two();
    one.write("before", "there when the third comes");
    settle(&[&one, &two], &one.seen());
    let three = Device::new();
    two.device.pair_with(&three);
    let three = Kept::joins(three);
    one.write("a", "by the first");
    settle(&[&one, &two, &three], &one.seen());

    // What the first misses it hears from whoever is there, not from who wrote it alone.
    one.device.stop();
    two.write("b", "while the first is away");
    settle(&[&two, &three], &two.seen());
    one.device.start();
    settle(&[&one, &two, &three], &two.seen());

    let key = three.device.key();
    one.device.home.json(&["devices", "remove", &key]).unwrap();
    poll(
        Deadline::secs(20),
        "the removed device to hear of it",
        || {
            let status = three.device.home.json(&["status"])?;
            Ok(status["group"].is_null().then_some(()))
        },
    )
    .unwrap();
    two.device.is_connected_to(&[&one.device]);
    let before = three.seen();
    one.write("c", "not for the third");
    settle(&[&one, &two], &one.seen());
    assert_eq!(three.seen(), before);

    // Leaving keeps the files, and nothing comes any more.
    two.shoal(&["leave", "work"]).success().unwrap();
    two.until("the offer", |it| it["state"] == "offered");
    let left = two.seen();
    one.write("a", "written after it left");
    one.write("d", "written after it left");
    one.until("nobody else", |it| {
        it["kept_by"].as_array().is_none_or(Vec::is_empty)
    });
    assert_eq!(two.seen(), left);
    assert_eq!(left.len(), 4);
}

#[test]
fn a_device_that_is_alone_brings_its_filesets_along() {
    // Both people began with `shoal add`, which is what most do.
    let (one, mut two) = (Kept::adds(Device::new()), Kept::adds(Device::new()));
    one.write("same", "on both");
    one.write("ours", "only here");
    two.write("same", "on both");
    two.write("theirs/deep", "only there");
    let photos = two.device.home.beside().join("Photos");
    fs::create_dir(&photos).unwrap();
    fs::write(photos.join("1.jpg"), "a photo").unwrap();
    let add = ["add", photos.to_str().unwrap()];
    two.shoal(&add).success().unwrap();
    two.shoal(&["pause", "Photos"]).success().unwrap();
    let (before, inode) = (two.seen(), fs::metadata(two.at("same")).unwrap().ino());

    let (mut inviting, invite) = one.device.invite(&["--yes"]);
    let joined = two.device.bring(invite["invite"].as_str().unwrap(), &[]);
    let lines = joined.success().unwrap().lines().unwrap();
    assert_eq!(lines[0]["brings"], json!(["Photos", "work"]), "{lines:?}");
    inviting.event("paired", Deadline::secs(20)).unwrap();
    // What is not written down by now comes never.
    two.device.kill();
    two.device.start();
    one.device.is_connected_to(&[&two.device]);
    let clash = |it: &Value| it["why"].as_str().is_some_and(|why| why.contains("also"));
    for kept in [&one, &two] {
        kept.until("the other one of that name", clash);
    }
    assert_eq!(two.seen(), before);
    assert_eq!(fs::metadata(two.at("same")).unwrap().ino(), inode);

    // What was paused is paused, and can be joined when it is not.
    two.shoal(&["resume", "Photos"]).success().unwrap();
    let into = one.device.home.beside().join("Photos");
    poll(Deadline::secs(20), "the photos", || {
        let joined = one.shoal(&["join", "Photos", into.to_str().unwrap()]);
        Ok((joined.code == Some(0)).then_some(()))
    })
    .unwrap();
    poll(Deadline::secs(20), "a photo", || {
        Ok(into.join("1.jpg").exists().then_some(()))
    })
    .unwrap();

    // The hint of the clash makes the two one.
    let hint = two.view()["hint"].as_str().unwrap().to_owned();
    let id = hint.split("join ").nth(1).unwrap().split(' ').next();
    two.shoal(&["leave", "work"]).success().unwrap();
    let folder = two.folder.to_str().unwrap();
    two.shoal(&["join", id.unwrap(), folder]).success().unwrap();
    let all = alike(&[&one, &two], 4);
    assert!(all.contains_key("theirs/deep") && all.contains_key("ours"));
}

#[test]
fn a_folder_that_is_away_moves_when_it_comes_back() {
    let (one, mut two) = (Device::new(), Kept::adds(Device::new()));
    two.write("a/b", "x");
    two.until("the first look", |it| it["files"] == 2);
    let away = two.folder.with_file_name("away");
    fs::rename(&two.folder, &away).unwrap();
    one.pair_with(&two.device);
    two.until("a reason", |it| it["why"].is_string());
    two.device.kill();
    two.device.start();
    fs::rename(&away, &two.folder).unwrap();
    two.shoal(&["resume", "work"]).success().unwrap();
    let one = Kept::joins(one);
    settle(&[&one, &two], &two.seen());
    assert_eq!(one.seen().len(), 2);
}

#[test]
fn a_removed_device_keeps_its_files_and_may_come_back() {
    let (one, two) = two();
    one.write("a", "1");
    settle(&[&one, &two], &one.seen());
    let key = two.device.key();
    one.device.home.json(&["devices", "remove", &key]).unwrap();
    let out = two.until("a reason", |it| it["why"].is_string());
    assert!(
        out["hint"].as_str().unwrap().contains("shoal leave"),
        "{out}"
    );
    two.write("mine", "written outside");
    one.write("b", "2");
    two.until("the look", |it| it["files"] == 2);
    assert!(!one.at("mine").exists() && !two.at("b").exists());

    one.device.pair_with(&two.device);
    let all = alike(&[&one, &two], 3);
    assert!(all.contains_key("mine") && all.contains_key("b"));
}

/// Deletes what a person sees in a folder.
fn empty(kept: &Kept) {
    for entry in fs::read_dir(&kept.folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name != ".shoal") {
            fs::remove_dir_all(path).unwrap();
        }
    }
}
