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
