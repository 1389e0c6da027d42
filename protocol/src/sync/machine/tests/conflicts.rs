//! What nobody has seen yet is never taken into account: bugs that lost bytes, each found by a seed of netsim.

use super::harness::World;

/// The bytes of all files of a replica, in the order of their names.
fn contents(w: &World, at: usize) -> Vec<String> {
    let tree = w.tree(at);
    let bytes = tree.iter().filter_map(|row| row.split_once('='));
    bytes.map(|(_, bytes)| bytes.to_owned()).collect()
}

/// A world at rest in which a file has the contents "mine" (shown as a copy, whose path is given) and "theirs".
fn conflict(path: &str) -> (World, String) {
    let mut w = World::new(2);
    w.part();
    w.write(0, path, "mine");
    w.write(1, path, "theirs");
    w.settle();
    w.join();
    w.settle();
    let tree = w.tree(0);
    let copy = tree.iter().find_map(|row| row.strip_suffix("=mine"));
    (w, copy.unwrap().to_owned())
}

/// Seeds 30 and 211.
#[test]
fn what_others_put_at_the_name_of_a_copy_survives_that_the_copy_is_kept() {
    let (mut w, copy) = conflict("f");
    w.hide(1, true);
    w.write(1, &copy, "theirs at the copy's name");
    w.settle();
    w.write(0, "f", "merged");
    w.settle();
    w.hide(1, false);
    w.part();
    w.join();
    w.settle();
    let all = contents(&w, 0);
    for text in ["merged", "theirs at the copy's name"] {
        assert!(all.iter().any(|it| it == text), "{all:?}");
    }
    w.check();
}

/// Seed 130.
#[test]
fn an_own_file_that_gave_way_survives_a_new_one_before_the_winner_came() {
    let mut w = World::new(2);
    w.part();
    w.write(0, "f", "mine");
    w.write(1, "f", "theirs");
    w.settle();
    w.hide(1, true);
    w.join();
    w.settle();
    w.write(0, "f", "new");
    w.settle();
    w.hide(1, false);
    w.part();
    w.join();
    w.settle();
    let all = contents(&w, 0);
    for text in ["mine", "theirs", "new"] {
        assert!(all.iter().any(|it| it == text), "{all:?}");
    }
    w.check();
}

/// Seed 241.
#[test]
fn a_copy_stays_until_its_original_has_the_bytes_again() {
    let mut w = World::new(3);
    w.part();
    w.write(0, "f", "mine");
    w.write(1, "f", "theirs");
    w.settle();
    w.connect(1, 2);
    w.settle();
    w.cut(1, 2);
    w.remove(1, "f");
    w.settle();
    w.hide(2, true);
    w.connect(0, 2);
    w.settle();
    // What was sought comes, and is being written over "mine", when it turns out to be deleted.
    w.hide(2, false);
    w.hold(0);
    w.cut(0, 2);
    w.connect(0, 2);
    w.settle();
    w.hide(2, true);
    w.connect(0, 1);
    w.settle();
    w.let_go(0);
    w.settle();
    assert_eq!(w.tree(0), ["f=mine"]);
}

/// Seed 421: the copy was settled by a tombstone that the file, by its number, dominated; what the tombstone had taken into
/// account came back elsewhere.
#[test]
fn a_new_number_takes_into_account_what_the_one_before_did() {
    let mut w = World::new(2);
    w.write(0, "d/x", "1");
    w.settle();
    w.part();
    w.remove(1, "d");
    w.write(1, "d", "theirs");
    w.write(0, "d/y", "2");
    w.settle();
    w.join();
    w.settle();
    let tree = w.tree(0);
    let copy = tree.iter().find_map(|row| row.strip_suffix("=theirs"));
    w.part();
    w.write(0, copy.unwrap(), "edited");
    w.remove(0, "d");
    w.write(0, "d", "mine");
    w.settle();
    w.join();
    w.settle();
    assert_eq!(contents(&w, 1), ["mine", "edited"]);
    w.check();
}

/// Seed 2879: the machine had the same in mind, and took the copy that was gone for a deletion.
#[test]
fn a_copy_that_its_user_puts_back_in_its_place_stays() {
    let mut w = World::new(2);
    w.part();
    w.write(0, "d", "mine");
    w.write(1, "d/x", "theirs");
    w.settle();
    w.join();
    w.settle();
    let tree = w.tree(0);
    let copy = tree.iter().find_map(|row| row.strip_suffix("=mine"));
    w.remove(0, "d");
    w.look(0);
    w.rename(0, copy.unwrap(), "d");
    w.settle();
    assert_eq!(w.tree(0), ["d=mine"]);
    w.check();
}

/// Seed 4605: the program ended after the copy was made and the file had made way, before the folder took its place. The look that
/// followed took the file for deleted, and the copy went with it.
#[test]
fn a_file_that_made_way_for_what_is_below_it_survives_a_crash() {
    let mut w = World::new(2);
    w.write(0, "d/f", "base");
    w.settle();
    w.part();
    w.remove(0, "d");
    w.settle();
    w.write(0, "d", "mine");
    w.write(1, "d/theirs", "theirs");
    w.settle();
    let before = w.backup(0);
    w.join();
    w.settle();
    w.remove_unseen(0, "d");
    w.crash(0, &before);
    w.join();
    w.settle();
    let all = contents(&w, 0);
    for text in ["mine", "theirs"] {
        assert!(all.iter().any(|it| it == text), "{all:?}");
    }
    w.check();
}

/// Seed 9185: a home was restored in which the copy was not written down yet. What had come in its original's place was taken for
/// an edit of it, and the copy for one that nobody needs. The look finds the one before the other, or after it, by their names.
#[test]
fn a_copy_that_a_restored_home_does_not_know_stays() {
    for path in ["f", "f.txt"] {
        let mut w = World::new(3);
        w.part();
        for (at, text) in ["mine", "theirs", "third"].into_iter().enumerate() {
            w.write(at, path, text);
        }
        w.settle();
        w.hold(0);
        w.connect(0, 1);
        w.settle();
        let backup = w.backup(0);
        w.let_go(0);
        w.settle();
        w.join();
        w.settle();
        w.part();
        w.restore(0, backup);
        w.settle();
        w.join();
        w.settle();
        let all = contents(&w, 0);
        for text in ["mine", "theirs", "third"] {
            assert!(all.iter().any(|it| it == text), "{path}: {all:?}");
        }
        w.check();
    }
}

/// No seed: users of netsim type short names. The loser of a conflict was shown nowhere when its copy's name had to be cut, and
/// its bytes were written over.
#[test]
fn both_sides_of_a_conflict_stay_however_long_the_name_is() {
    for (letter, count) in [("n", 200), ("n", 214), ("n", 215), ("n", 230), ("é", 127)] {
        for extension in ["", ".txt"] {
            let stem = letter.repeat(count - extension.len());
            let (mut w, copy) = conflict(&format!("d/{stem}{extension}"));
            assert_eq!(contents(&w, 0).len(), 2, "{count}{extension}");
            w.check();
            w.write(1, &copy, "mine, edited");
            w.settle();
            let all = contents(&w, 0);
            assert_eq!(all.len(), 2, "{count}{extension}: {all:?}");
            assert!(all.contains(&"mine, edited".to_owned()), "{all:?}");
            w.check();
        }
    }
}
