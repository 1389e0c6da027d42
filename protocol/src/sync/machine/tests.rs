//! Two and three replicas over trees in memory.
#![allow(clippy::unwrap_used)]

mod conflicts;
mod folders;
mod harness;
mod homes;
mod twins;

use super::*;
use crate::sync::action::Problem;
use crate::sync::event::{Page, Scan};
use harness::World;

#[test]
fn a_file_is_created_edited_and_deleted_on_the_other_side() {
    let mut w = World::new(2);
    w.write(0, "a/b.txt", "one");
    w.write(0, "empty", "");
    w.mkdir(0, "hollow");
    w.settle();
    assert_eq!(w.tree(1), ["a/", "a/b.txt=one", "empty=", "hollow/"]);
    w.write(1, "a/b.txt", "two");
    w.settle();
    assert_eq!(w.tree(0), ["a/", "a/b.txt=two", "empty=", "hollow/"]);
    w.remove(0, "a");
    w.settle();
    assert_eq!(w.tree(1), ["empty=", "hollow/"]);
    w.check();
}

#[test]
fn files_of_one_content_are_fetched_once() {
    let mut w = World::new(2);
    for n in 0..5 {
        w.write(0, &format!("f{n}"), "the same");
    }
    w.settle();
    assert_eq!(w.tree(0), w.tree(1));
    assert_eq!(w.tree(1).len(), 5);
    assert_eq!(w.bytes_moved(), "the same".len());
    w.check();
}

#[test]
fn a_renamed_tree_moves_no_bytes() {
    let mut w = World::new(2);
    for n in 0..20 {
        w.write(0, &format!("old/sub/f{n}"), &format!("content {n}"));
    }
    w.settle();
    let moved = w.bytes_moved();
    w.rename(0, "old", "new");
    w.settle();
    assert_eq!(w.tree(0), w.tree(1));
    assert_eq!(w.tree(1).len(), 22);
    assert_eq!(w.bytes_moved(), moved, "fetched");
    assert_eq!(w.replica(1).copied, 0, "copied on the disk");
}

#[test]
fn swaps_and_cycles_move_no_bytes() {
    let mut w = World::new(2);
    for name in ["a", "b", "c"] {
        w.write(0, name, &format!("content of {name}"));
    }
    w.settle();
    let moved = w.bytes_moved();
    w.rename(0, "a", "t");
    w.rename(0, "c", "a");
    w.rename(0, "b", "c");
    w.rename(0, "t", "b");
    w.settle();
    assert_eq!(
        w.tree(1),
        ["a=content of c", "b=content of a", "c=content of b"]
    );
    assert_eq!((w.bytes_moved(), w.replica(1).copied), (moved, 0));
    w.check();
}

#[test]
fn concurrent_edits_keep_both_and_deleting_the_copy_settles() {
    let mut w = World::new(2);
    w.write(0, "doc.txt", "base");
    w.settle();
    w.part();
    w.write(0, "doc.txt", "mine");
    w.write(1, "doc.txt", "theirs");
    w.settle();
    w.join();
    w.settle();
    assert_eq!(w.tree(0), w.tree(1));
    let tree = w.tree(0);
    assert_eq!(tree.len(), 2, "{tree:?}");
    assert_eq!(tree[1], "doc.txt=theirs");
    assert!(tree[0].starts_with("doc.conflict-00000000-") && tree[0].ends_with(".txt=mine"));
    let copy = tree[0].split('=').next().unwrap().to_owned();
    w.remove(1, &copy);
    w.settle();
    assert_eq!(w.tree(0), ["doc.txt=theirs"]);
    assert_eq!(w.siblings("doc.txt"), 1);
    w.check();
}

#[test]
fn editing_the_winner_settles_and_the_copy_stays_as_a_file() {
    let mut w = World::new(2);
    w.part();
    w.write(0, "doc", "mine");
    w.write(1, "doc", "theirs");
    w.settle();
    w.join();
    w.settle();
    w.write(0, "doc", "merged");
    w.settle();
    let tree = w.tree(1);
    assert_eq!(tree.len(), 2, "{tree:?}");
    assert_eq!(tree[0], "doc=merged");
    assert!(tree[1].ends_with("=mine"));
    assert_eq!(w.siblings("doc"), 1);
    w.check();
}

#[test]
fn an_edit_survives_a_concurrent_delete_and_a_concurrent_rename() {
    let mut w = World::new(2);
    w.write(0, "f", "base");
    w.write(0, "g", "gbase");
    w.settle();
    w.part();
    w.remove(0, "f");
    w.write(1, "f", "edited");
    w.rename(0, "g", "h");
    w.write(1, "g", "gedited");
    w.settle();
    w.join();
    w.settle();
    assert_eq!(w.tree(0), ["f=edited", "g=gedited", "h=gbase"]);
    w.check();
}

#[test]
fn joining_folders_unites_them() {
    let mut w = World::new(2);
    w.part();
    w.write(0, "same", "same");
    w.write(1, "same", "same");
    w.write(0, "only-a", "a");
    w.write(1, "dir/only-b", "b");
    w.settle();
    w.join();
    w.settle();
    assert_eq!(w.tree(0), ["dir/", "dir/only-b=b", "only-a=a", "same=same"]);
    w.check();
}

#[test]
fn a_file_and_a_folder_of_one_name_are_both_kept() {
    let mut w = World::new(2);
    w.part();
    w.write(0, "x", "a file");
    w.write(1, "x/inside", "in the folder");
    w.settle();
    w.join();
    w.settle();
    let tree = w.tree(0);
    assert_eq!(tree[..2], ["x/", "x/inside=in the folder"]);
    assert!(tree[2].starts_with("x.conflict-") && tree[2].ends_with("=a file"));
    w.check();
}

#[test]
fn types_swap() {
    let mut w = World::new(2);
    w.write(0, "x", "a file");
    w.write(0, "d/e/f", "deep");
    w.settle();
    w.remove(0, "x");
    w.write(0, "x/y", "in a folder");
    w.remove(0, "d");
    w.write(0, "d", "a file now");
    w.settle();
    assert_eq!(w.tree(1), ["d=a file now", "x/", "x/y=in a folder"]);
    w.check();
}

#[test]
fn a_mass_deletion_halts_and_the_confirmation_travels() {
    let mut w = World::new(2);
    for n in 0..60 {
        w.write(0, &format!("d/f{n}"), &format!("{n}"));
    }
    w.write(0, "other", "o");
    w.settle();
    w.remove(0, "d");
    w.settle();
    assert!(matches!(
        w.halted(0),
        Some(Halt::MassDeletion { gone: 61, of: 62 })
    ));
    assert_eq!(w.tree(1).len(), 62);
    w.command(0, crate::sync::Command::ConfirmDeletion);
    w.settle();
    assert_eq!((w.halted(0), w.halted(1)), (None, None));
    assert_eq!(w.tree(1), ["other=o"]);
    w.check();
}

/// Found by the story of Syncthing's issue 5207: what a watcher sees is no look at everything.
#[test]
fn a_root_that_is_seen_empty_halts_and_one_that_is_not_does_not() {
    for (left, halted) in [(0, Some(Halt::Emptied)), (1, None)] {
        let mut w = World::new(2);
        for name in ["a", "b", "c"] {
            w.write(0, name, name);
        }
        w.settle();
        let folder = None;
        let (after, upto) = (None, None);
        for name in ["a", "b", "c"].iter().skip(left) {
            w.remove_unseen(0, name);
        }
        let found = w.found_in_root(0);
        w.turn(0, Event::Scan(Scan::Started(Scope::Folders)));
        let page = Page {
            folder,
            after,
            upto,
            found,
        };
        w.turn(0, Event::Scan(Scan::Page(page)));
        w.turn(0, Event::Scan(Scan::Finished));
        assert_eq!(w.halted(0), halted);
    }
}

#[test]
fn files_that_go_one_after_the_other_are_one_deletion() {
    let mut w = World::new(2);
    for n in 0..100 {
        w.write(0, &format!("f{n}"), &format!("{n}"));
    }
    w.write(0, "other", "o");
    w.settle();
    for part in 0..4 {
        for n in 0..22 {
            w.remove(0, &format!("f{}", part * 22 + n));
        }
        w.look(0);
    }
    w.settle();
    let halted = Some(Halt::MassDeletion { gone: 88, of: 101 });
    assert_eq!((w.halted(0), w.tree(1).len()), (halted, 101));
    w.command(0, crate::sync::Command::RestoreDeleted);
    w.settle();
    assert_eq!(w.tree(0).len(), 101);
    w.check();
}

#[test]
fn what_a_mass_deletion_took_can_be_brought_back() {
    let mut w = World::new(2);
    for n in 0..60 {
        w.write(0, &format!("f{n}"), &format!("{n}"));
    }
    w.settle();
    for n in 0..60 {
        w.remove(0, &format!("f{n}"));
    }
    w.settle();
    assert_eq!(w.halted(0), Some(Halt::Emptied));
    w.command(0, crate::sync::Command::RestoreDeleted);
    w.settle();
    assert_eq!(w.tree(0).len(), 60);
    w.check();
}

#[test]
fn many_small_deletions_that_arrive_at_once_halt_the_receiver() {
    let mut w = World::new(2);
    for n in 0..100 {
        w.write(0, &format!("f{n}"), &format!("{n}"));
    }
    w.settle();
    w.part();
    for part in [0..30, 30..60] {
        for n in part {
            w.remove(0, &format!("f{n}"));
        }
        w.settle();
    }
    w.join();
    w.settle();
    assert_eq!(
        w.halted(1),
        Some(Halt::RemoteDeletion { gone: 60, of: 100 })
    );
    w.command(1, crate::sync::Command::RestoreDeleted);
    w.settle();
    assert_eq!((w.tree(0).len(), w.tree(1).len()), (100, 100));
    w.check();
}

#[test]
fn a_restored_home_becomes_a_new_author_and_loses_nothing() {
    let mut w = World::new(2);
    w.write(0, "a", "1");
    w.settle();
    let backup = w.backup(0);
    w.write(0, "b", "after the backup");
    w.settle();
    w.part();
    w.restore(0, backup);
    w.write(0, "c", "after the restore");
    w.write(0, "a", "edited after the restore");
    w.settle();
    w.join();
    w.settle();
    assert_eq!(
        w.tree(0),
        [
            "a=edited after the restore",
            "b=after the backup",
            "c=after the restore"
        ]
    );
    assert_eq!(w.tree(0), w.tree(1));
    assert_eq!(w.replica(0).machine.ledger.author().epoch, 1);
    w.check();
}

#[test]
fn three_replicas_agree_though_two_never_meet() {
    let mut w = World::new(3);
    w.cut(0, 2);
    w.write(0, "from-0", "0");
    w.write(2, "from-2", "2");
    w.settle();
    assert_eq!(w.tree(0), ["from-0=0", "from-2=2"]);
    assert_eq!(w.tree(0), w.tree(2));
    w.check();
}

#[test]
fn entries_of_a_removed_device_are_refused_above_its_last_number() {
    let mut w = World::new(2);
    w.write(1, "before", "1");
    w.settle();
    let device = w.replica(1).device;
    let author = w.replica(1).machine.ledger.author();
    let accepted = vec![(author, 1)];
    w.command(0, crate::sync::Command::Removed { device, accepted });
    w.write(1, "after", "2");
    w.settle();
    assert_eq!(w.tree(0), ["before=1"]);

    // Admitted again, it brings what it wrote meanwhile.
    w.cut(0, 1);
    w.command(0, crate::sync::Command::Readmitted(device));
    w.connect(0, 1);
    w.settle();
    assert_eq!(w.tree(0), ["after=2", "before=1"]);
    w.check();
}

#[test]
fn content_that_nobody_has_is_reported_and_comes_later() {
    let mut w = World::new(3);
    w.cut(0, 2);
    w.hide(0, true);
    w.write(0, "f", "content");
    w.settle();
    assert!(w.problems(1).contains(&Problem::NoContent));
    w.hide(0, false);
    w.cut(0, 1);
    w.connect(0, 1);
    w.settle();
    assert_eq!(w.tree(2), ["f=content"]);
    w.check();
}

#[test]
fn what_changes_between_look_and_operation_is_kept() {
    let mut w = World::new(2);
    w.write(0, "f", "base");
    w.settle();
    w.write(1, "f", "remote edit");
    w.look(1);
    w.write_unseen(0, "f", "local edit");
    w.settle();
    assert_eq!(w.tree(0), w.tree(1));
    let tree = w.tree(0).join(" ");
    assert!(
        tree.contains("remote edit") && tree.contains("local edit"),
        "{tree}"
    );
    w.check();
}
