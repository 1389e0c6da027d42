//! Names that the file system of one replica takes for one.

use super::harness::World;
use crate::path::RelPath;
use crate::sync::action::Problem;
use crate::sync::names::{Case, Forms, Names};
use crate::sync::{Applied, AppliedChange, Batch, BatchId, EntrySet, Index, VersionVector};

const MAC: Names = Names {
    case: Case::Folded,
    forms: Forms::Folded,
};

/// Replica 0 keeps all names apart, replica 1 takes twins for one.
fn world() -> World {
    World::with_names(&[Names::default(), MAC])
}

#[test]
fn a_twin_without_a_place_is_reported_and_neither_fetched_nor_tried_again() {
    let mut w = world();
    w.write(0, "readme", "lower");
    w.settle();
    let fetches = w.fetches(1);
    w.write(0, "README", "upper");
    w.settle();
    assert_eq!(w.tree(1), ["readme=lower"]);
    assert_eq!(w.problems(1), [Problem::Twin]);
    assert_eq!(w.fetches(1), fetches);
    assert_eq!(w.replica(1).machine.next_tick(), None);
    assert_eq!(w.tree(0), ["README=upper", "readme=lower"]);
}

#[test]
fn of_twins_that_come_together_one_gets_the_place() {
    let mut w = world();
    w.part();
    w.write(0, "caf\u{e9}", "composed");
    w.write(0, "cafe\u{301}", "decomposed");
    w.settle();
    w.join();
    w.settle();
    assert_eq!(w.tree(1), ["cafe\u{301}=decomposed"]);
    assert_eq!(w.fetches(1), 1);
    assert_eq!(w.problems(1), [Problem::Twin]);
}

#[test]
fn a_twin_takes_the_place_that_the_other_leaves_here_or_elsewhere() {
    for at in [0, 1] {
        let mut w = world();
        w.write(0, "a", "lower");
        w.settle();
        w.write(0, "A", "upper");
        w.settle();
        w.remove(at, "a");
        w.settle();
        assert_eq!(w.tree(1), ["A=upper"]);
        w.check();
    }
}

#[test]
fn a_new_file_at_the_name_of_a_waiting_twin_takes_nothing_from_it() {
    let mut w = world();
    w.write(0, "a", "lower");
    w.settle();
    w.write(0, "A", "upper");
    w.settle();
    w.remove(1, "a");
    w.write(1, "A", "mine");
    w.settle();
    let tree = w.tree(0).join(" ");
    assert!(tree.contains("=upper") && tree.contains("=mine"), "{tree}");
    w.check();
}

#[test]
fn what_is_in_a_folder_without_a_place_comes_with_it() {
    let mut w = world();
    w.write(0, "docs/one", "1");
    w.write(0, "other", "o");
    w.settle();
    w.write(0, "Docs/sub/two", "2");
    w.settle();
    assert_eq!(w.tree(1), ["docs/", "docs/one=1", "other=o"]);
    assert_eq!(w.problems(1), [Problem::Twin]);
    assert_eq!(w.replica(1).machine.next_tick(), None);
    w.remove(1, "docs");
    w.settle();
    assert_eq!(
        w.tree(1),
        ["Docs/", "Docs/sub/", "Docs/sub/two=2", "other=o"]
    );
    w.check();
}

#[test]
fn a_rename_of_case_alone_moves_no_bytes() {
    let mut w = world();
    w.write(0, "a/readme", "1");
    w.write(0, "a/sub/other", "2");
    w.settle();
    let moved = w.bytes_moved();
    w.rename(0, "a/readme", "a/README");
    w.settle();
    assert_eq!(w.tree(1)[..2], ["a/", "a/README=1"]);
    w.rename(0, "a", "A");
    w.settle();
    assert_eq!(w.tree(1), ["A/", "A/README=1", "A/sub/", "A/sub/other=2"]);
    w.rename(1, "A", "a");
    w.settle();
    assert_eq!(w.tree(0), w.tree(1));
    assert_eq!((w.bytes_moved(), w.replica(1).copied), (moved, 0));
    assert_eq!(w.problems(1), []);
    w.check();
}

#[test]
fn a_folder_renamed_by_case_with_edits_on_top_arrives() {
    let mut w = world();
    for name in ["kept", "edited", "deleted", "moved"] {
        w.write(0, &format!("docs/{name}"), name);
    }
    w.settle();
    w.part();
    w.rename(0, "docs", "Docs");
    w.write(0, "Docs/edited", "anew");
    w.remove(0, "Docs/deleted");
    w.rename(0, "Docs/moved", "elsewhere");
    w.settle();
    w.join();
    w.settle();
    let tree = [
        "Docs/",
        "Docs/edited=anew",
        "Docs/kept=kept",
        "elsewhere=moved",
    ];
    assert_eq!(w.tree(1), tree);
    w.check();
}

#[test]
fn an_edit_here_of_what_is_renamed_by_case_elsewhere_is_kept() {
    let mut w = world();
    w.write(0, "docs/f", "base");
    w.settle();
    w.part();
    w.rename(0, "docs", "Docs");
    w.settle();
    w.write(1, "docs/f", "edited");
    w.settle();
    w.join();
    w.settle();
    assert_eq!(
        w.tree(0),
        ["Docs/", "Docs/f=base", "docs/", "docs/f=edited"]
    );
    assert_eq!(w.tree(1), ["docs/", "docs/f=edited"]);
    assert_eq!(w.problems(1), [Problem::Twin]);
}

/// Found by seed 1893: a file system that rewrites names showed a new file in the form of its twin, because nobody could tell yet
/// that it is the one that was asked for.
#[test]
fn a_name_that_is_just_being_written_is_not_concluded_from() {
    let mut w = world();
    w.hold(1);
    w.write(0, "cafe\u{301}", "text");
    w.settle();
    w.remove_unseen(1, "cafe\u{301}");
    w.write(1, "caf\u{e9}", "text");
    w.look(1);
    w.remove_unseen(1, "caf\u{e9}");
    w.write_unseen(1, "cafe\u{301}", "text");
    w.let_go(1);
    w.settle();
    assert_eq!(w.siblings("caf\u{e9}"), 0);
    assert_eq!(w.tree(0), ["cafe\u{301}=text"]);
}

/// Seed 8443: the program ended when the folder had its new name, before what had been deleted in it was taken away.
#[test]
fn what_came_along_with_a_folder_and_is_not_wanted_goes_also_after_a_restart() {
    let mut w = World::new(1);
    w.write(0, "d/f", "deleted");
    w.settle();
    let mut index = w.backup(0);
    let path = RelPath::new("d/f").unwrap();
    let row = Applied {
        version: VersionVector::new(),
        ..index.applied(&path).unwrap().unwrap()
    };
    index.write(&Batch {
        id: BatchId(0),
        entries: vec![EntrySet {
            path: path.clone(),
            maximal: Vec::new(),
        }],
        applied: vec![AppliedChange {
            path,
            folded: None,
            row: Some(row),
        }],
        knowledge: Vec::new(),
        meta: None,
    });
    w.restore(0, index);
    w.settle();
    assert_eq!(w.tree(0), ["d/"]);
}
