//! Bugs of Syncthing, by the numbers of its issues.

use super::{MAC, has, has_copy, linux_and, path, settled, world};
use netsim::disk::{Mount, Node};
use shoal_protocol::sync::Halt;

/// A person made the marker of a lost disk anew, as the message seemed to ask for, and all was deleted everywhere.
#[test]
fn issue_5207_a_folder_that_comes_back_empty_deletes_nothing_unasked() {
    let mut world = world(2, &[("d/f", "[00000001]"), ("g", "[00000002]")]);
    let before = world.tree(1);
    world.hosts[0].disk.mount = Mount::Unmarked;
    world.wait(60_000).unwrap();
    world.hosts[0].disk.mount = Mount::There;
    for lost in ["d", "g"] {
        world.delete(0, &path(lost));
    }
    for _ in 0..2_000 {
        world.wait(u64::from(world.halted(0).is_none())).unwrap();
    }
    assert_eq!(world.halted(0), Some(Halt::Emptied));
    assert_eq!(world.tree(1), before);
}

/// Of two names that are one on Windows, one was deleted on Linux after a restart on Windows.
#[test]
fn issue_439_twins_stay_where_both_have_room() {
    let files = [("TESTFILE", "[00000001]"), ("testfile", "[00000002]")];
    let mut world = linux_and(MAC, &files);
    for _ in 0..2 {
        world.crash(1);
        world.settle().unwrap();
    }
    let tree = world.tree(0);
    assert_eq!(tree.len(), 2, "{tree:?}");
    assert_eq!(world.tree(1).len(), 1);
}

/// A change of upper and lower case in a name was a deletion elsewhere.
#[test]
fn issue_1787_case_only_renames_arrive() {
    for host in [0, 1] {
        let mut world = linux_and(MAC, &[("notes/one", "[00000001]"), ("two", "[00000002]")]);
        world.rename(host, &path("notes"), &path("Notes"));
        world.rename(host, &path("two"), &path("TWO"));
        let tree = settled(world);
        assert_eq!(
            tree,
            [
                "Notes folder",
                "Notes/one file \"[00000001]\"",
                "TWO file \"[00000002]\""
            ]
        );
    }
}

/// A new file that no look had found yet was overwritten by another new one of that name.
#[test]
fn issue_3742_a_new_file_that_nobody_saw_is_not_overwritten() {
    let mut world = world(2, &[("g", "[00000001]")]);
    world.unseen(|world| world.write(1, &path("x"), b"unseen"));
    world.write(0, &path("x"), b"[00000002]");
    let tree = settled(world);
    assert!(has(&tree, "x file \"[00000002]\""), "{tree:?}");
    assert!(has_copy(&tree, "unseen"), "{tree:?}");
}

/// An edit that no look had found yet was lost when the file was deleted, or replaced by a rename, elsewhere.
#[test]
fn issue_5194_an_edit_that_nobody_saw_outlives_deletions_and_renames() {
    let files = [
        ("a", "[00000001]"),
        ("b", "[00000002]"),
        ("c", "[00000003]"),
    ];
    let mut world = world(2, &files);
    for name in ["a", "b"] {
        let bytes = format!("{name} unseen").into_bytes();
        world.unseen(|world| world.write(1, &path(name), &bytes));
    }
    world.delete(0, &path("a"));
    world.rename(0, &path("c"), &path("b"));
    let tree = settled(world);
    assert!(has(&tree, "a file \"a unseen\""), "{tree:?}");
    let both = tree.join(" ");
    assert!(both.contains("b unseen") && both.contains("[00000003]"));
}

/// Lines that were appended in turn on two machines dropped out without a conflict.
#[test]
fn issue_2416_appending_in_turn_drops_no_line() {
    let mut world = world(2, &[("g", "[00000099]")]);
    for round in 0..4 {
        for host in [0, 1] {
            let at = path("test");
            let old = match world.hosts[host].disk.node(&at) {
                Some(Node::File(bytes)) => bytes.clone(),
                _ => Vec::new(),
            };
            let line = format!("[{:08}]", 2 * round + host);
            world.write(host, &at, &[old, line.into_bytes()].concat());
            world.wait(20).unwrap();
        }
    }
    let all = settled(world).join(" ");
    for line in 0..8 {
        assert!(all.contains(&format!("[{line:08}]")), "{line}: {all}");
    }
}

/// A file that was changed without another size or time was offered by a hash that it had no more, for ever.
#[test]
fn issue_2414_an_edit_that_keeps_size_and_time_arrives() {
    let mut world = world(2, &[("f", "[00000001]")]);
    let before = world.hosts[0].disk.stamp(&path("f")).unwrap();
    world.unseen(|world| world.write(0, &path("f"), b"same size!"));
    let disk = &mut world.hosts[0].disk;
    disk.touch(&path("f"), Some(before.mtime_ns), None, 6);
    let now = disk.stamp(&path("f")).unwrap();
    assert_eq!((now.size_bytes, now.mtime_ns), (10, before.mtime_ns));
    assert_eq!(settled(world), ["f file \"same size!\""]);
}

/// A file that was moved into a new folder and renamed there, all within seconds, was deleted.
#[test]
fn issue_7032_a_file_is_moved_into_a_new_folder_and_renamed_at_once() {
    for pause_ms in [0, 30, 100, 1_000] {
        let mut world = world(3, &[("f", "[00000001]")]);
        world.mkdir(0, &path("new"));
        world.wait(pause_ms).unwrap();
        world.rename(0, &path("f"), &path("new/f"));
        world.wait(pause_ms).unwrap();
        world.rename(0, &path("new/f"), &path("new/g"));
        let tree = settled(world);
        assert_eq!(tree, ["new folder", "new/g file \"[00000001]\""]);
    }
}

/// A file that was replaced by a folder of its name, or the other way round, was made before the old one was gone.
#[test]
fn issue_952_files_and_folders_take_each_others_names() {
    let mut world = world(2, &[("f", "[00000001]"), ("d/in", "[00000002]")]);
    world.delete(0, &path("f"));
    world.mkdir(0, &path("f"));
    world.write(0, &path("f/in"), b"[00000003]");
    world.delete(0, &path("d"));
    world.write(0, &path("d"), b"[00000004]");
    assert_eq!(
        settled(world),
        [
            "d file \"[00000004]\"",
            "f folder",
            "f/in file \"[00000003]\""
        ]
    );
}

/// What was to be deleted in a folder was looked for behind the link that had taken the folder's place.
#[test]
fn issue_6090_a_deletion_does_not_reach_behind_a_link() {
    let mut world = world(2, &[("d/f", "[00000001]"), ("other/f", "[00000002]")]);
    world.unseen(|world| {
        world.delete(1, &path("d"));
        world.symlink(1, &path("d"), "other");
    });
    world.delete(0, &path("d/f"));
    let tree = settled(world);
    assert!(has(&tree, "other/f file \"[00000002]\""), "{tree:?}");
    assert!(has(&tree, "d link \"other\""), "{tree:?}");
}
