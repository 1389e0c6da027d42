//! Folders that two devices keep the same: real nodes on loopback, by the commands that people type.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;

use serde_json::Value;
use shoal_tests::{Deadline, Device, Kept, Random, Tree, alike, settle, two};

/// Bytes of the sparse file; it has data at three places.
const SPARSE_BYTES: u64 = 16 << 20;

#[test]
fn everything_that_a_tree_has_arrives() {
    let mut random = Random::from_env("everything_that_a_tree_has_arrives");
    let (one, two) = (Device::new(), Device::new());
    one.pair_with(&two);
    let parent = one.home.beside().to_owned();
    let tree = Tree::mixed(&parent, "Work", &mut random).unwrap();
    let tree = tree.with_attributes(&mut random).unwrap();
    Tree::odd_names(tree.path(), &mut random).unwrap();
    Tree::sparse_file(tree.path(), "sparse", SPARSE_BYTES, &mut random).unwrap();
    fs::hard_link(tree.path().join("sparse"), tree.path().join("same")).unwrap();
    fs::set_permissions(
        tree.path().join("readme.txt"),
        fs::Permissions::from_mode(0o640),
    )
    .unwrap();
    symlink("/nowhere at all", tree.path().join("dangling")).unwrap();
    symlink(&parent, tree.path().join("out of here")).unwrap();
    fs::write(tree.path().join(OsStr::from_bytes(b"caf\xe9")), "x").unwrap();
    let _socket = UnixListener::bind(tree.path().join("socket")).unwrap();
    let fifo = Command::new("mkfifo")
        .arg(tree.path().join("pipe"))
        .status();
    assert!(fifo.unwrap().success());

    let one = Kept::adds(one);
    let mut events = two.home.start(&["events", "--json"]).unwrap();
    let two = Kept::joins(two);
    let all = one.seen();
    assert!(all.len() > 30 && all.contains_key("nothing/in/here"));
    settle(&[&one, &two], &all);
    let event = events.event_where("fileset", Deadline::secs(20), |it| {
        it["state"] == "up_to_date" && it["files"] == all.len()
    });
    assert_eq!(event.unwrap()["missing"], 0);
    let there = fs::metadata(two.at("sparse")).unwrap();
    assert!(there.blocks() * 512 < SPARSE_BYTES / 2, "{there:?}");

    // What does not travel is said, and is not there.
    let view = one.until("all problems", |it| problems(it).len() == 3);
    assert_eq!(problems(&view), ["caf\\xe9", "pipe", "socket"], "{view}");
    for name in [&b"caf\xe9"[..], b"pipe", b"socket"] {
        let at = two.folder.join(OsStr::from_bytes(name));
        assert!(at.symlink_metadata().is_err(), "{}", at.display());
    }
    for (words, part) in [
        (&["sets"][..], "up to date"),
        (&["status"], "fileset  work"),
    ] {
        let said = two.device.home.run(words).unwrap().success().unwrap();
        assert!(said.stdout.contains(part), "{said:#?}");
    }
}

#[test]
fn changes_go_both_ways_as_they_happen() {
    let mut random = Random::from_env("changes_go_both_ways_as_they_happen");
    let (one, two) = two();
    one.write("a.txt", "first");
    for number in 0..20 {
        one.write(&format!("tree/deep/{number}.bin"), random.bytes(5000));
    }
    settle(&[&one, &two], &one.seen());

    // An edit that keeps the size, an atomic save, and new bits, on the other side.
    two.write("a.txt", "FIRST");
    two.write("tree/deep/.new", "saved by an editor");
    fs::rename(two.at("tree/deep/.new"), two.at("tree/deep/1.bin")).unwrap();
    fs::set_permissions(two.at("tree/deep/2.bin"), PermissionsExt::from_mode(0o755)).unwrap();
    settle(&[&one, &two], &two.seen());

    // Names: a tree, a file in it that is edited at once, a swap, and another case.
    let inode = two.at("tree/deep/3.bin").metadata().unwrap().ino();
    fs::rename(one.at("tree"), one.at("Other Place")).unwrap();
    one.write("Other Place/deep/4.bin", "edited on the way");
    fs::rename(one.at("a.txt"), one.at("A.TXT")).unwrap();
    fs::rename(one.at("Other Place/deep/5.bin"), one.at("swap")).unwrap();
    fs::rename(
        one.at("Other Place/deep/6.bin"),
        one.at("Other Place/deep/5.bin"),
    )
    .unwrap();
    fs::rename(one.at("swap"), one.at("Other Place/deep/6.bin")).unwrap();
    settle(&[&one, &two], &one.seen());
    let moved = two.at("Other Place/deep/3.bin").metadata().unwrap();
    assert_eq!(moved.ino(), inode, "a rename makes no new file");

    // A file becomes a folder, a folder a file, a link another; the rest goes.
    fs::remove_file(two.at("A.TXT")).unwrap();
    two.write("A.TXT/inside", "a folder now");
    fs::remove_dir_all(two.at("Other Place")).unwrap();
    two.write("Other Place", "a file now");
    symlink("A.TXT/inside", two.at("link")).unwrap();
    settle(&[&one, &two], &two.seen());
    fs::remove_file(one.at("link")).unwrap();
    symlink("Other Place", one.at("link")).unwrap();
    fs::remove_file(one.at("Other Place")).unwrap();
    settle(&[&one, &two], &one.seen());
    assert_eq!(one.seen().len(), 3);
}

#[test]
fn files_of_one_content_have_their_own_times() {
    let (one, two) = two();
    for round in 0..4 {
        for number in 0..8 {
            one.write(&format!("{round}/{number}"), format!("the same, {round}"));
        }
        settle(&[&one, &two], &one.seen());
    }
}

#[test]
fn joining_a_folder_with_files_unites_and_deletes_nothing() {
    let (one, two) = (Device::new(), Device::new());
    one.pair_with(&two);
    let (one, two) = (Kept::new(one), Kept::new(two));
    for kept in [&one, &two] {
        kept.write("same.txt", "the same on both");
        kept.write("both/of/us.txt", "also the same");
    }
    one.write("ours.txt", "only here");
    two.write("theirs.txt", "only there");
    one.write("differs.txt", "one side");
    two.write("differs.txt", "the other side");
    fs::create_dir(two.at("empty")).unwrap();
    let path = one.folder.to_str().unwrap().to_owned();
    one.shoal(&["add", &path, "--name", "work"])
        .success()
        .unwrap();
    two.join();

    // The seventh file is the conflict copy.
    let all = alike(&[&one, &two], 9);
    let found = two.conflicts();
    assert_eq!((found.len(), one.conflicts().len()), (1, 1));
    let mut contents: Vec<_> = sides(&found[0])
        .iter()
        .map(fs::read_to_string)
        .map(Result::unwrap)
        .collect();
    contents.sort();
    assert_eq!(contents, ["one side", "the other side"], "{found:?}");
    for path in [
        "ours.txt",
        "theirs.txt",
        "differs.txt",
        "empty",
        "both/of/us.txt",
    ] {
        assert!(all.contains_key(path), "{path}");
    }
}

#[test]
fn two_changes_at_one_time_are_both_kept_until_they_are_settled() {
    let (one, two) = two();
    let names = [
        "by number.txt",
        "by device.txt",
        "by path.txt",
        "by hand.txt",
        "gone.txt",
    ];
    names.iter().for_each(|name| one.write(name, "before"));
    settle(&[&one, &two], &one.seen());

    two.shoal(&["pause", "work"]).success().unwrap();
    for name in &names[..4] {
        one.write(name, "by one");
        two.write(name, "by the other");
    }
    fs::remove_file(one.at("gone.txt")).unwrap();
    two.write("gone.txt", "edited");
    two.shoal(&["resume", "work"]).success().unwrap();
    for kept in [&one, &two] {
        let view = kept.until("four conflicts", |it| it["conflicts"] == 4);
        assert!(view["why"].is_null(), "{view}");
    }
    // An edit beats a deletion, and is no conflict.
    alike(&[&one, &two], 9);
    assert_eq!(fs::read_to_string(one.at("gone.txt")).unwrap(), "edited");

    let conflict = |kept: &Kept, name: &str| -> Value {
        let path = kept.at(name).to_str().unwrap().to_owned();
        let mut found = kept
            .conflicts()
            .into_iter()
            .filter(|it| it["path"] == path.as_str());
        found.next().unwrap()
    };
    let keep = |kept: &Kept, name: &str, side: &str| {
        let path = kept.at(name);
        kept.shoal(&["conflicts", "keep", path.to_str().unwrap(), side])
    };
    for name in &names[..4] {
        let (here, there) = (conflict(&one, name), conflict(&two, name));
        assert_eq!(devices(&here), devices(&there));
        assert_eq!(sides(&here).len(), 2);
    }
    for wrong in ["3", "0", "nobody", "/etc/passwd"] {
        keep(&one, names[0], wrong).refused(2);
    }
    keep(&one, "same.txt", "1").refused(3);

    let kept = fs::read_to_string(&sides(&conflict(&one, names[0]))[1]).unwrap();
    keep(&one, names[0], "2").success().unwrap();
    // Pairing gave the second of two that are called the same another name.
    let own = two.device.home.json(&["devices"]).unwrap();
    let name = own["name"].as_str().unwrap();
    keep(&two, names[1], name).success().unwrap();
    let copy = sides(&conflict(&two, names[2]))[1].clone();
    let loser = fs::read_to_string(&copy).unwrap();
    keep(&two, &copy, &copy).success().unwrap();
    fs::remove_file(&sides(&conflict(&one, names[3]))[1]).unwrap();
    for kept in [&one, &two] {
        kept.until("no conflict", |it| it["conflicts"] == 0);
    }
    alike(&[&one, &two], 5);
    for (name, content) in [
        (names[0], &*kept),
        (names[1], "by the other"),
        (names[2], &*loser),
    ] {
        assert_eq!(fs::read_to_string(two.at(name)).unwrap(), content, "{name}");
    }
}

#[test]
fn what_cannot_be_a_fileset_is_refused() {
    let one = Kept::adds(Device::new());
    one.write("inside/file", "x");
    let beside = one.device.home.beside().to_owned();
    fs::create_dir(beside.join("Free")).unwrap();
    File::create(beside.join("file")).unwrap();
    let path = |name: &str| beside.join(name).to_str().unwrap().to_owned();
    for (words, code) in [
        (["add", &path("Work"), "--name", "again"], 9),
        (["add", &path("Work/inside"), "--name", "within"], 9),
        (["add", beside.to_str().unwrap(), "--name", "around"], 9),
        (["add", &path("Free"), "--name", "work"], 9),
        (["add", &path("Free"), "--name", ""], 2),
        (["add", &path("Free"), "--name", "a/b"], 2),
        (["add", &path("file"), "--name", "file"], 2),
        (["add", &path("nothing"), "--name", "nothing"], 3),
    ] {
        let refused = one.shoal(&words);
        eprintln!("{words:?}: {}", refused.stdout);
        refused.refused(code);
    }
    for (words, code) in [
        (&["join", "nobody", &path("Free")][..], 3),
        (&["leave", "nobody"], 3),
        (&["pause", "nobody"], 3),
        (&["sets", "nobody"], 3),
        (&["conflicts", "nobody"], 3),
        (&["resume", "work", "--delete"], 2),
        (&["resume", "work", "--delete", "--restore"], 2),
        (&["conflicts", "keep", &path("Work/inside/file"), "1"], 3),
    ] {
        let refused = one.shoal(words);
        eprintln!("{words:?}: {}", refused.stdout);
        refused.refused(code);
    }
    let lines = one.device.home.json_lines(&["sets"]).unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    // Nothing of ours is left in a folder that was refused.
    assert_eq!(fs::read_dir(beside.join("Free")).unwrap().count(), 0);
}

/// Paths that are left out, sorted.
fn problems(view: &Value) -> Vec<String> {
    let text = |it: &Value| it["path"].as_str().unwrap().to_owned();
    let mut paths: Vec<_> = view["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(text)
        .collect();
    paths.sort();
    paths
}

/// Where the sides of a conflict are seen.
fn sides(conflict: &Value) -> Vec<String> {
    let sides = conflict["sides"].as_array().unwrap();
    sides
        .iter()
        .map(|it| it["path"].as_str().unwrap().to_owned())
        .collect()
}

/// Who wrote the sides of a conflict.
fn devices(conflict: &Value) -> Vec<&Value> {
    let sides = conflict["sides"].as_array().unwrap();
    sides.iter().map(|it| &it["device"]).collect()
}
