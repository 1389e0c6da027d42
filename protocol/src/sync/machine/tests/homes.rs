//! Homes that were restored from a backup, while whoever they meet was restored too.

use super::harness::World;

/// Device 0 sits between 1 and 2. Then it and 2 forget what 2 wrote, and 2 goes on from the same number.
fn restored_together(lost: (&str, &str), again: (&str, &str)) -> World {
    let mut w = World::new(3);
    w.cut(1, 2);
    w.write(2, "f", "base");
    w.settle();
    let backups = [w.backup(0), w.backup(2)];
    w.write(2, lost.0, lost.1);
    w.settle();
    w.part();
    let [middle, end] = backups;
    w.restore(0, middle);
    w.write_unseen(2, again.0, again.1);
    w.restore(2, end);
    w.connect(0, 2);
    w.settle();
    w.connect(0, 1);
    w.settle();
    assert_eq!(w.tree(0), w.tree(1));
    assert_eq!(w.tree(0), w.tree(2));
    w.check();
    w
}

#[test]
fn numbers_that_were_given_twice_reach_everybody() {
    // The lost number is that of `z`; given again, it is that of `a`.
    let w = restored_together(("z", "lost"), ("a", "again"));
    assert_eq!(w.tree(1), ["a=again", "f=base", "z=lost"]);
}

#[test]
fn two_contents_under_one_number_both_stay() {
    let w = restored_together(("f", "lost"), ("f", "again"));
    let tree = w.tree(1).join(" ");
    assert!(tree.contains("f=again") && tree.contains("=lost"), "{tree}");
}

#[test]
fn a_number_that_a_third_one_holds_with_another_meaning_ends_the_epoch() {
    let w = restored_together(("y/z", "lost"), ("y/a", "again"));
    assert_eq!(w.replica(2).machine.ledger.author().epoch, 1);
}

/// Seed 625: of the paths that one number names, a replica passed on only the last.
#[test]
fn all_that_one_number_names_is_passed_on() {
    let mut w = World::new(4);
    for other in [2, 3] {
        w.cut(1, other);
    }
    w.cut(2, 3);
    w.write(2, "f", "base");
    w.settle();
    let backups = [w.backup(0), w.backup(2)];
    w.cut(0, 3);
    w.write(2, "z", "lost");
    w.settle();
    w.part();
    let [middle, end] = backups;
    w.restore(0, middle);
    w.write_unseen(2, "a", "again");
    w.restore(2, end);
    w.connect(0, 2);
    w.settle();
    w.connect(0, 1);
    w.settle();
    w.connect(0, 3);
    w.settle();
    assert_eq!(w.tree(3), ["a=again", "f=base", "z=lost"]);
    w.check();
}

/// Seed 625 again: what a device had said in its earlier life, and learned anew from others, was refused when it passed it on.
#[test]
fn a_device_that_became_a_new_author_passes_on_what_the_old_one_said() {
    let mut w = World::new(3);
    w.cut(1, 2);
    w.write(0, "f", "base");
    w.settle();
    let backup = w.backup(0);
    w.cut(0, 2);
    w.write(0, "z", "lost");
    w.settle();
    w.part();
    w.remove_unseen(0, "z");
    w.write_unseen(0, "a", "again");
    w.restore(0, backup);
    w.connect(0, 2);
    w.settle();
    w.connect(0, 1);
    w.settle();
    assert_eq!(w.tree(2), ["a=again", "f=base", "z=lost"]);
    w.check();
}
