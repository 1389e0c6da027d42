#![allow(clippy::unwrap_used)]

use super::*;
use crate::signature::device_of;
use proptest::prelude::*;

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn device(n: u8) -> DeviceId {
    device_of(&key(n))
}

/// Device 1 founded, and admitted the others one after the other.
fn group_of(devices: u8) -> Group {
    let mut group = Group::found(&key(1), "d1", [0; 16]).unwrap();
    for n in 2..=devices {
        group.admit(&key(1), device(n), &format!("d{n}")).unwrap();
    }
    group
}

fn all(group: &Group) -> Vec<Vec<u8>> {
    group.records().map(|(_, bytes)| bytes.to_vec()).collect()
}

fn names(group: &Group) -> Vec<&str> {
    group.members().iter().map(|it| it.name.as_str()).collect()
}

/// What `one` and `two` know together.
fn united(one: &Group, two: &Group) -> Group {
    let (mut left, mut right) = (one.clone(), two.clone());
    assert_eq!(left.merge(&all(two)).refused, []);
    assert_eq!(right.merge(&all(one)).refused, []);
    assert_eq!(left, right);
    assert_eq!(left.members(), right.members());
    left
}

fn refusal(group: &Group, record: Vec<u8>) -> GroupError {
    let mut group = group.clone();
    let before = group.members().to_vec();
    let mut merged = group.merge(&[record]);
    assert_eq!(merged.added, [[0u8; 0]; 0]);
    assert_eq!(group.members(), before);
    merged.refused.pop().unwrap()
}

fn record(group: &Group, statement: Statement) -> Record {
    Record {
        author: device(1),
        parents: group.graph.heads(),
        statement,
    }
}

fn admit(n: u8) -> Statement {
    Statement::Admit {
        device: device(n),
        name: format!("d{n}"),
    }
}

fn remove(n: u8) -> Statement {
    Statement::Remove {
        device: device(n),
        accepted: Vec::new(),
    }
}

#[test]
fn members_are_named_in_the_order_of_their_admission() {
    let mut group = group_of(3);
    group.rename(&key(3), device(2), "phone").unwrap();
    assert_eq!(names(&group), ["d1", "phone", "d3"]);
    group.remove(&key(2), device(1), Vec::new()).unwrap();
    assert_eq!(names(&group), ["phone", "d3"]);
    assert_eq!(group.standing(&device(1)), Standing::Removed);
    assert_eq!(group.standing(&device(9)), Standing::Stranger);
    let read = Group::read(&all(&group)).unwrap();
    assert_eq!(read, group);
    assert_eq!(read.members(), group.members());
    assert_eq!(read.id(), group.id());
}

#[test]
fn what_may_not_be_said_is_refused() {
    let mut group = group_of(3);
    group.remove(&key(1), device(3), Vec::new()).unwrap();
    let other = Group::found(&key(1), "d1", [1; 16]).unwrap();
    let of_other = record(&other, admit(5));
    for (what, record, signer, expected) in [
        (
            "self-admission",
            record(&group, admit(9)),
            9,
            GroupError::NotAMember,
        ),
        (
            "a removed member signs",
            record(&group, admit(5)),
            3,
            GroupError::NotAMember,
        ),
        (
            "a removed member admits itself",
            record(&group, admit(3)),
            3,
            GroupError::NotAMember,
        ),
        (
            "a stranger removes",
            record(&group, remove(1)),
            9,
            GroupError::NotAMember,
        ),
        (
            "twice admitted",
            record(&group, admit(2)),
            1,
            GroupError::AlreadyMember,
        ),
        (
            "twice removed",
            record(&group, remove(3)),
            1,
            GroupError::NoSuchMember,
        ),
        ("of another group", of_other, 1, GroupError::MissingParents),
    ] {
        assert_eq!(
            refusal(&group, record.sign(&key(signer))),
            expected,
            "{what}"
        );
    }
    let second = all(&other).remove(0);
    assert_eq!(refusal(&group, second), GroupError::OtherGroup);
}

#[test]
fn forged_and_damaged_records_are_refused() {
    let group = group_of(2);
    let good = record(&group, admit(3)).sign(&key(1));
    for at in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[at / 8] ^= 1 << (at % 8);
        let mut group = group.clone();
        assert_eq!(group.merge(&[changed]).added, [[0u8; 0]; 0], "bit {at}");
    }
    for len in 0..good.len() {
        assert!(Record::verify(&good[..len]).is_err(), "cut to {len}");
    }
    // Signed by another than it names: `sign` would correct the author, so two signatures are swapped.
    let mut forged = good.clone();
    let other = record(&group, admit(3)).sign(&key(2));
    let signature = other.len() - 64..;
    let at = forged.len() - 64..;
    forged[at].copy_from_slice(&other[signature]);
    assert_eq!(refusal(&group, forged), GroupError::Signature);
    assert!(matches!(
        refusal(&group, vec![0; 20_000]),
        GroupError::Bytes(DecodeError::Limit { .. })
    ));
}

#[test]
fn parents_must_be_there_and_sorted() {
    let group = group_of(3);
    let records = all(&group);
    assert_eq!(Group::read(&records[1..]), Err(GroupError::NoBeginning));
    assert_eq!(Group::read(&[]), Err(GroupError::NoBeginning));
    let gap = [records[0].clone(), records[2].clone()];
    assert_eq!(Group::read(&gap), Err(GroupError::MissingParents));
    let mut unsorted = record(&group, admit(5));
    unsorted.parents = vec![RecordHash([2; 32]), RecordHash([1; 32])];
    assert!(matches!(
        refusal(&group, unsorted.sign(&key(1))),
        GroupError::Bytes(DecodeError::NotCanonical)
    ));
    let mut orphan = record(&group, admit(5));
    orphan.parents.clear();
    assert!(matches!(
        refusal(&group, orphan.sign(&key(1))),
        GroupError::Bytes(DecodeError::Invalid(_))
    ));
}

#[test]
fn in_mutual_removals_the_earlier_admitted_wins() {
    let (mut one, mut two) = (group_of(3), group_of(3));
    one.remove(&key(2), device(3), Vec::new()).unwrap();
    two.remove(&key(3), device(2), Vec::new()).unwrap();
    assert_eq!(names(&united(&one, &two)), ["d1", "d2"]);
}

#[test]
fn a_circle_of_removals_ends_with_the_earliest_ones() {
    let start = group_of(3);
    let mut sides = Vec::new();
    for (author, subject) in [(1, 2), (2, 3), (3, 1)] {
        let mut side = start.clone();
        side.remove(&key(author), device(subject), Vec::new())
            .unwrap();
        sides.push(side);
    }
    let group = united(&united(&sides[0], &sides[1]), &sides[2]);
    // d1 puts d2 out, so what d2 said beside that is void; d3 had not heard of it and puts d1 out.
    assert_eq!(names(&group), ["d3"]);
}

#[test]
fn what_a_removed_device_dates_back_is_void() {
    let start = group_of(3);
    let mut honest = start.clone();
    honest.remove(&key(1), device(3), Vec::new()).unwrap();
    let mut thief = start.clone();
    thief.admit(&key(3), device(4), "puppet").unwrap();
    thief.remove(&key(4), device(2), Vec::new()).unwrap();
    let group = united(&honest, &thief);
    assert_eq!(names(&group), ["d1", "d2"]);
    assert_eq!(group.standing(&device(4)), Standing::Stranger);
}

#[test]
fn what_a_device_said_before_its_removal_stays() {
    let mut group = group_of(2);
    group.admit(&key(2), device(3), "d3").unwrap();
    group.remove(&key(1), device(2), Vec::new()).unwrap();
    assert_eq!(names(&group), ["d1", "d3"]);
}

#[test]
fn a_removed_device_can_come_back() {
    let start = group_of(3);
    let mut group = start.clone();
    group.remove(&key(1), device(3), Vec::new()).unwrap();
    group.admit(&key(2), device(3), "again").unwrap();
    assert_eq!(names(&group), ["d1", "d2", "again"]);
    // A second removal that has not seen the return wins over it.
    let mut other = start;
    other.remove(&key(2), device(3), Vec::new()).unwrap();
    assert_eq!(names(&united(&group, &other)), ["d1", "d2"]);
}

#[test]
fn two_members_may_admit_the_same_device() {
    let (mut one, mut two) = (group_of(2), group_of(2));
    one.admit(&key(1), device(3), "left").unwrap();
    two.admit(&key(2), device(3), "right").unwrap();
    let group = united(&one, &two);
    assert_eq!(group.members().len(), 3);
    let mut group = group;
    group.remove(&key(3), device(3), Vec::new()).unwrap();
    assert_eq!(group.members().len(), 2, "leaving ends both admissions");
}

#[test]
fn concurrent_removals_accept_the_most_that_either_names() {
    let fileset = FilesetId([1; 32]);
    let at = |epoch, counter| Accepted {
        fileset,
        epoch,
        counter,
    };
    let (mut one, mut two) = (group_of(3), group_of(3));
    one.remove(&key(1), device(3), vec![at(2, 7), at(1, 5), at(1, 4)])
        .unwrap();
    two.remove(&key(2), device(3), vec![at(1, 9)]).unwrap();
    let group = united(&one, &two);
    let last = |epoch| group.last_accepted(&device(3), &fileset, epoch);
    assert_eq!((last(1), last(2), last(3)), (Some(9), Some(7), None));
}

#[test]
fn limits_hold() {
    let mut group = Group::found(&key(1), "d1", [0; 16]).unwrap();
    for n in 2..=GROUP_MAX_MEMBERS as u8 {
        group.admit(&key(1), device(n), "x").unwrap();
    }
    assert_eq!(
        group.admit(&key(1), device(200), "x"),
        Err(GroupError::Full)
    );
    while group.graph.len() < GROUP_MAX_RECORDS {
        group.rename(&key(1), device(1), "y").unwrap();
    }
    assert_eq!(group.rename(&key(1), device(1), "z"), Err(GroupError::Full));
    for name in ["", " a", "a\n", "a\u{202e}b", &"x".repeat(65)] {
        assert_eq!(check_device_name(name), Err(GroupError::Name), "{name:?}");
    }
}

#[test]
fn the_form_is_pinned() {
    let group = Group::found(&key(1), "laptop", [7; 16]).unwrap();
    assert_eq!(all(&group)[0].len(), 1 + 32 + 1 + 1 + 16 + 7 + 64);
    assert_eq!(
        group.id().to_hex(),
        "f185d9d3c9f295b1f5c992fdf2ab88a3b7f339ddcbb2bfa33fb3fb13d70adea8"
    );
}

/// What devices do on their own replicas: (who, what, whom), or a device hears of all that another knows.
fn history() -> impl Strategy<Value = Vec<(u8, u8, u8)>> {
    prop::collection::vec((1u8..6, 0u8..5, 1u8..7), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_order_of_merging_does_not_matter(history in history(), seed: u64) {
        let start = group_of(5);
        let mut replicas = vec![start; 6];
        for (who, what, whom) in history {
            let at = usize::from(who);
            match what {
                0 => drop(replicas[at].admit(&key(who), device(whom), "n")),
                1 | 2 => drop(replicas[at].remove(&key(who), device(whom), Vec::new())),
                3 => drop(replicas[at].rename(&key(who), device(whom), &format!("by{who}"))),
                _ => {
                    let from = all(&replicas[usize::from(whom) % 6]);
                    prop_assert_eq!(replicas[at].merge(&from).refused, vec![]);
                }
            }
        }
        let mut records: Vec<Vec<u8>> = replicas.iter().flat_map(all).collect();
        let whole = Group::read(&{
            let mut once = records.clone();
            once.sort();
            once.dedup();
            once
        }).unwrap();
        // Any order, one after the other, until all have found their parents.
        let mut random = seed | 1;
        for at in (1..records.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            records.swap(at, (random >> 33) as usize % (at + 1));
        }
        let mut other = group_of(1);
        while other != whole {
            let before = other.graph.len();
            for record in &records {
                other.merge(std::slice::from_ref(record));
            }
            prop_assert!(other.graph.len() > before);
        }
        prop_assert_eq!(other.members(), whole.members());
        prop_assert_eq!(&other.view, &whole.view);
    }
}
