//! Bugs of the clients of ownCloud and Nextcloud, of Unison and of rclone, by the numbers of their issues.

use super::{MAC, has, linux_and, path, settled, world};
use netsim::disk::Manners;
use netsim::{Keep, Plan, Sabotage, World};

/// A folder was deleted before the file that was moved out of it had been renamed.
#[test]
fn owncloud_client_7441_a_file_leaves_a_folder_that_is_deleted() {
    let mut world = world(2, &[("old/deep/f", "[00000001]"), ("old/g", "[00000002]")]);
    world.rename(0, &path("old/deep/f"), &path("f"));
    world.delete(0, &path("old"));
    assert_eq!(settled(world), ["f file \"[00000001]\""]);
}

/// Folders that were renamed again and again while they were synced came back under their old names.
#[test]
fn owncloud_client_2170_folders_are_renamed_while_they_are_synced() {
    let files: Vec<_> = (1..=20)
        .map(|n| (format!("a/{n}"), format!("[{n:08}]")))
        .collect();
    let files: Vec<_> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_str()))
        .collect();
    let mut world = world(3, &files);
    let names = ["a", "b", "c", "d", "e", "f"];
    for (turn, pair) in names.windows(2).enumerate() {
        world.rename(0, &path(pair[0]), &path(pair[1]));
        world.wait(turn as u64 * 40).unwrap();
    }
    let tree = settled(world);
    assert_eq!(tree.len(), 21, "{tree:?}");
    assert!(tree.iter().all(|row| row.starts_with('f')), "{tree:?}");
}

/// A folder with files was joined to an empty one, and was emptied.
#[test]
fn nextcloud_desktop_9259_joining_with_files_deletes_nothing() {
    let mut world = World::new(Plan::scenario(2), Sabotage::None, Keep::Hash);
    world.part(0, 1);
    world.write(0, &path("here"), b"[00000001]");
    world.write(0, &path("both"), b"same");
    world.write(1, &path("there"), b"[00000002]");
    world.write(1, &path("both"), b"same");
    world.wait(60_000).unwrap();
    assert_eq!(
        settled(world),
        [
            "both file \"same\"",
            "here file \"[00000001]\"",
            "there file \"[00000002]\""
        ]
    );
}

/// A file that was written here and deleted there was no conflict, when both happened within one tick of the clock.
#[test]
fn unison_664_what_is_written_outlives_what_is_deleted() {
    let mut world = world(2, &[("file.txt", "[00000001]")]);
    world.delete(0, &path("file.txt"));
    world.write(1, &path("file.txt"), b"[00000002]");
    assert_eq!(settled(world), ["file.txt file \"[00000002]\""]);
}

/// A new time that could not be brought over was forgotten at the next look.
#[test]
fn unison_769_a_new_time_that_did_not_arrive_is_not_forgotten() {
    let mut world = world(2, &[("f", "[00000001]")]);
    world.part(0, 1);
    world.touch(0, &path("f"), 0o600);
    world.wait(10_000).unwrap();
    world.crash(0);
    world.settle().unwrap();
    let stamp = |host: usize| world.hosts[host].disk.stamp(&path("f")).unwrap();
    assert_eq!(stamp(0).mtime_ns, stamp(1).mtime_ns);
    assert_eq!((stamp(0).mode, stamp(1).mode), (0o600, 0o600));
}

/// Files that another system had written to an exFAT disk were not found, because the times of their folder were the same.
#[test]
fn unison_1122_new_files_are_found_whatever_the_time_of_their_folder() {
    let manners = Manners {
        mtime_step_ns: 2_000_000_000,
        ..Manners::LINUX
    };
    let mut world = linux_and(manners, &[("music/old", "[00000001]")]);
    world.unseen(|world| world.write(1, &path("music/new"), b"from another system"));
    let tree = settled(world);
    assert!(
        has(&tree, "music/new file \"from another system\""),
        "{tree:?}"
    );
}

/// Composed and decomposed names were taken for different files now and then, and deleted and copied in turn.
#[test]
fn rclone_7270_composed_and_decomposed_names_are_one() {
    let mut world = linux_and(MAC, &[("caf\u{e9}/menu", "[00000001]")]);
    world.write(1, &path("cafe\u{301}/menu"), b"[00000001][00000002]");
    world.settle().unwrap();
    assert_eq!(
        world.tree(0),
        [
            "caf\u{e9} folder",
            "caf\u{e9}/menu file \"[00000001][00000002]\""
        ]
    );
}
