//! Folders that come and go with what is in them, each story found by a seed of netsim.

use super::harness::World;
use crate::path::RelPath;
use crate::sync::{Event, Index, Page, Scan, Scope};

/// Seeds 39 and 57.
#[test]
fn a_folder_goes_also_when_what_is_in_it_went_before_its_removal_was_done() {
    let mut w = World::new(2);
    w.write(0, "d/f", "1");
    w.write(0, "d/g", "2");
    w.write(0, "other", "3");
    w.settle();
    w.remove(0, "d");
    w.remove_unseen(1, "d/f");
    w.remove_unseen(1, "d/g");
    w.settle();
    assert_eq!(w.tree(1), ["other=3"]);
    w.check();
}

/// Seed 13.
#[test]
fn a_file_takes_the_place_of_the_folder_that_it_was_in() {
    let mut w = World::new(2);
    w.write(0, "x/f", "the same");
    w.write(0, "x/y/g", "another");
    w.settle();
    let moved = w.bytes_moved();
    w.remove(0, "x");
    w.write(0, "x", "the same");
    w.write(0, "z", "another");
    w.settle();
    assert_eq!(w.tree(1), ["x=the same", "z=another"]);
    assert_eq!(w.bytes_moved(), moved);
    w.check();
}

/// Seeds 194 and 241: the file that the folder replaced was not said to be gone, and its bytes were sought for ever.
#[test]
fn a_file_that_its_user_made_a_folder_is_gone_though_a_folder_was_wanted_there() {
    let mut w = World::new(2);
    w.write(0, "d", "base");
    w.settle();
    w.part();
    w.write(0, "d", "mine");
    w.remove(1, "d");
    w.write(1, "d/theirs", "1");
    w.settle();
    w.remove_unseen(0, "d");
    w.write_unseen(0, "d/mine", "2");
    w.join();
    w.settle();
    assert_eq!(w.tree(1), ["d/", "d/mine=2", "d/theirs=1"]);
    w.check();
}

/// Seed 1147: the rows of what had been in the folder stayed, and their removal was tried for ever.
#[test]
fn a_folder_that_became_a_file_in_a_crash_leaves_nothing_behind() {
    let mut w = World::new(2);
    w.write(0, "f/e", "1");
    w.settle();
    let before = w.backup(1);
    w.remove(0, "f");
    w.write(0, "f", "file");
    w.settle();
    w.crash(1, &before);
    w.join();
    w.settle();
    assert_eq!(w.tree(1), ["f=file"]);
    w.check();
}

/// Seed 1097: the file was gone when the look came by, and before it ended there was a folder in its place. With the file, that was
/// taken for deleted, and what was in it.
#[test]
fn a_folder_that_came_in_the_place_of_a_deleted_file_while_a_look_went_on_stays() {
    let mut w = World::new(2);
    w.write(0, "x", "base");
    w.write(0, "other", "stays");
    w.settle();
    w.part();
    w.remove(0, "x");
    w.write(0, "x/inside", "new");
    w.settle();
    w.remove_unseen(1, "x");
    w.hold(1);
    w.turn(1, Event::Scan(Scan::Started(Scope::Everything)));
    let page = Page {
        folder: None,
        after: None,
        upto: None,
        found: w.found_in_root(1),
    };
    w.turn(1, Event::Scan(Scan::Page(page)));
    w.join();
    for _ in 0..4 {
        w.settle();
        w.tell_held(1);
    }
    assert_eq!(w.tree(1), ["other=stays", "x/", "x/inside=new"]);
    w.turn(1, Event::Scan(Scan::Finished));
    w.let_go(1);
    w.settle();
    let inside = RelPath::new("x/inside").unwrap();
    let entries = w.replica(0).index.entries(&inside).unwrap();
    assert_eq!(entries[0].author.device, w.replica(0).device);
    w.check();
}
