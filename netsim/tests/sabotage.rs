//! Every checker bites: a driver that does one thing wrong is found out, and by the checker that is meant for it.

use netsim::{Keep, Plan, Sabotage, Violation, World, run};

/// Runs seeds until a checker finds the kind of violation that is looked for.
fn found(sabotage: Sabotage, wanted: impl Fn(&Violation) -> bool) {
    let mut seen = Vec::new();
    for seed in 0..400 {
        let mut world = World::new(Plan::new(seed), sabotage, Keep::Hash);
        match world.run() {
            Err(violation) if wanted(&violation) => return,
            Err(violation) => seen.push(violation.to_string()),
            Ok(()) => {}
        }
    }
    seen.truncate(5);
    panic!("{sabotage:?} is not found out as it should be, but: {seen:?}");
}

#[test]
fn lost_bytes_are_seen_when_the_disk_is_overwritten_unseen() {
    found(Sabotage::ApplyUnseen, |it| {
        matches!(it, Violation::Lost { .. })
    });
}

#[test]
fn different_trees_are_seen_when_entries_get_lost() {
    found(Sabotage::LoseEntries, |it| {
        matches!(it, Violation::Differs { .. })
    });
}

#[test]
fn removals_without_a_cause_are_seen() {
    found(Sabotage::RemoveInstead, |it| {
        matches!(it, Violation::NoCause { .. })
    });
}

#[test]
fn endless_talk_is_seen() {
    found(Sabotage::Chatter, |it| {
        matches!(it, Violation::Restless { .. })
    });
}

#[test]
fn what_is_done_at_rest_is_seen() {
    found(Sabotage::MissFiles, |it| {
        matches!(it, Violation::NotQuiet { .. })
    });
}

#[test]
fn what_comes_back_is_seen_when_deletions_are_not_done() {
    found(Sabotage::KeepDeleted, |it| {
        matches!(it, Violation::CameBack { .. })
    });
}

#[test]
fn numbers_that_were_not_durable_when_told_are_seen() {
    found(Sabotage::PersistedTooEarly, |it| {
        matches!(it, Violation::TooEarly { .. })
    });
}

#[test]
fn what_goes_by_itself_is_seen() {
    found(Sabotage::LoseEmptyFiles, |it| {
        matches!(it, Violation::Went { .. })
    });
}

#[test]
fn modes_that_differ_are_seen() {
    found(
        Sabotage::WrongMode,
        |it| matches!(it, Violation::Differs { here: Some(here), .. } if here.contains("mode")),
    );
}

#[test]
fn honest_machines_that_fall_out_are_seen() {
    found(Sabotage::SendTwice, |it| {
        matches!(it, Violation::Disconnected { .. })
    });
}

#[test]
fn pages_that_are_too_long_are_seen() {
    found(Sabotage::LongPages, |it| {
        matches!(it, Violation::TooMuch { .. })
    });
}

#[test]
fn runs_that_no_seed_decides_are_seen() {
    let found = run(&Plan::new(0), Sabotage::Whim);
    assert_eq!(found, Err(Violation::Indeterminate));
}
