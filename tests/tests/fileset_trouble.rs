//! Folders that are kept the same when things go wrong: killed nodes, emptied folders, devices that go.

#![allow(clippy::unwrap_used)]

use std::fs;

use serde_json::Value;
use shoal_tests::{Deadline, Device, Kept, Random, Seen, poll, seen, settle, two};

/// Files of a fileset that is large enough for the brake against mass deletion.
const MANY: usize = 80;

#[test]
fn killed_nodes_lose_nothing_and_leave_nothing_behind() {
    let mut random = Random::from_env("killed_nodes_lose_nothing_and_leave_nothing_behind");
    let (mut one, mut two) = two();
    for round in 0..4_u64 {
        for number in 0..150 {
            let bytes = 1 + random.below(20_000) as usize;
            one.write(
                &format!("{round}/{}/{number}", number % 7),
                random.bytes(bytes),
            );
        }
        one.write(&format!("{round}/big"), random.bytes(6 << 20));
        two.write(&format!("back/{round}"), random.bytes(3 << 20));
        let so_far = 20 + random.below(100) as usize;
        let at = two.at(&round.to_string());
        poll(Deadline::secs(40), "some of it", || {
            let there = fs::read_dir(&at).into_iter().flatten();
            let folders = there
                .flatten()
                .filter_map(|it| fs::read_dir(it.path()).ok());
            Ok((folders.flatten().count() >= so_far).then_some(()))
        })
        .unwrap();
        let victim = if round % 2 == 0 { &mut two } else { &mut one };
        victim.device.kill();
        // What happens while it is away counts, too.
        victim.write(&format!("meanwhile/{round}"), round.to_string());
        victim.device.start();
    }
    let complete = |it: &Kept| {
        let found = seen(&it.folder).unwrap_or_default();
        let files = found.values().filter(|it| matches!(it, Seen::File { .. }));
        files.count() == 4 * (150 + 3)
    };
    poll(Deadline::secs(40), "all files on both", || {
        Ok((complete(&one) && complete(&two)).then_some(()))
    })
    .unwrap();
    let expected = one.seen();
    settle(&[&one, &two], &expected);
    for kept in [&one, &two] {
        assert_eq!(kept.conflicts(), [] as [Value; 0]);
        assert_eq!(kept.staged(), [""; 0]);
    }
}

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
    assert_eq!(left.len(), 3);
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
