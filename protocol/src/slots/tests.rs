#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

fn token(n: u8) -> Taker {
    Taker::Token(TakerToken([n; 16]))
}

#[test]
fn one_taker_counts_once() {
    let mut slots = Slots::new(Some(1));
    assert_eq!(slots.admit(0, token(1)), Admission::Fresh);
    assert_eq!(slots.admit(1, token(1)), Admission::Again);
    assert_eq!(slots.admit(1, token(2)), Admission::Full);
    assert!(slots.complete(2, token(1)));
    assert!(!slots.complete(3, token(1)));
    assert!(slots.used_up());
    assert_eq!(slots.completed(), 1);
}

#[test]
fn an_idle_reservation_is_freed_and_a_completed_one_is_not() {
    let mut slots = Slots::new(Some(2));
    slots.admit(0, token(1));
    slots.admit(0, token(2));
    slots.complete(0, token(1));
    assert_eq!(slots.admit(IDLE_MS, token(3)), Admission::Full);
    assert_eq!(slots.admit(IDLE_MS + 1, token(3)), Admission::Fresh);
    assert_eq!(slots.admit(IDLE_MS + 1, token(2)), Admission::Full);
    let progress = slots.progress(&token(2)).unwrap();
    assert_eq!(progress.stage, Stage::Idle);
}

/// What an idle taker with five bytes meets when it asks for more.
#[test]
fn a_freed_slot_is_used_on_only_where_there_is_room() {
    let later = IDLE_MS + 1;
    for (name, max, other_comes, expected, taken) in [
        ("nobody came", 1, false, Admission::Back, 1),
        ("another has its slot", 1, true, Admission::Full, 1),
        ("there are two", 2, true, Admission::Back, 2),
    ] {
        let mut slots = Slots::new(Some(max));
        slots.admit(0, token(1));
        slots.sent(0, token(1), 5);
        if other_comes {
            assert_eq!(slots.admit(later, token(2)), Admission::Fresh, "{name}");
        }
        assert_eq!(slots.would_admit(later, &token(1)), expected, "{name}");
        assert_eq!(slots.admit(later, token(1)), expected, "{name}");
        assert_eq!(slots.taken(), taken, "{name}");
        assert_eq!(slots.progress(&token(1)).unwrap().bytes, 5, "{name}");
    }
}

/// Bytes that were under way when the slot was freed, and the word that everything is there.
#[test]
fn late_bytes_and_words_take_no_slot_from_others() {
    for (other_comes, stage) in [(false, Stage::Taking), (true, Stage::Idle)] {
        let mut slots = Slots::new(Some(1));
        slots.admit(0, token(1));
        slots.free_idle(IDLE_MS + 1);
        assert_eq!(slots.taken(), 0);
        if other_comes {
            slots.admit(IDLE_MS + 1, token(2));
        }
        slots.sent(IDLE_MS + 2, token(1), 7);
        assert_eq!(slots.progress(&token(1)).unwrap().stage, stage);
        assert_eq!(slots.progress(&token(1)).unwrap().bytes, 7);
        assert_eq!(slots.complete(IDLE_MS + 2, token(1)), !other_comes);
        assert_eq!(slots.taken(), 1);
    }
}

#[test]
fn who_was_sent_everything_and_says_nothing_has_used_its_slot() {
    let mut slots = Slots::new(Some(1));
    slots.know_whole(10);
    slots.admit(0, token(1));
    slots.sent(0, token(1), 10);
    assert_eq!(slots.completed(), 0);
    assert_eq!(slots.would_admit(IDLE_MS + 1, &token(2)), Admission::Full);
    assert_eq!(slots.admit(IDLE_MS + 1, token(2)), Admission::Full);
    assert_eq!(slots.completed(), 1);
}

#[test]
fn bytes_keep_a_slot() {
    let mut slots = Slots::new(Some(1));
    slots.admit(0, token(1));
    slots.sent(IDLE_MS, token(1), 5);
    assert_eq!(slots.admit(IDLE_MS + 1, token(2)), Admission::Full);
    assert_eq!(slots.progress(&token(1)).map(|p| p.bytes), Some(5));
}

#[test]
fn a_completed_taker_may_finish_its_last_requests_but_not_come_back_for_another_copy() {
    let mut slots = Slots::new(Some(1));
    slots.admit(0, token(1));
    slots.complete(0, token(1));
    assert_eq!(slots.admit(1000, token(1)), Admission::Again);
    assert_eq!(slots.admit(1000 + IDLE_MS + 1, token(1)), Admission::Full);
}

#[test]
fn memory_is_bounded_and_the_count_stays_right() {
    let mut slots = Slots::new(None);
    for n in 0..REMEMBERED_MAX as u32 + 50 {
        let taker = Taker::Address(IpAddr::from(n.to_be_bytes()));
        assert_eq!(slots.admit(u64::from(n), taker), Admission::Fresh);
        slots.complete(u64::from(n), taker);
    }
    assert_eq!(slots.takers().count(), REMEMBERED_MAX);
    assert_eq!(slots.completed(), REMEMBERED_MAX as u64 + 50);
    assert_eq!(slots.take_forgotten().len(), 50);
    assert!(slots.take_forgotten().is_empty());
}

#[test]
fn who_takes_from_a_link_with_a_maximum_is_never_forgotten() {
    let mut slots = Slots::new(Some(u32::MAX));
    let taker = |n: u32| Taker::Address(IpAddr::from(n.to_be_bytes()));
    for n in 0..REMEMBERED_MAX as u32 {
        assert_eq!(slots.admit(0, taker(n)), Admission::Fresh);
    }
    assert_eq!(slots.admit(0, taker(u32::MAX)), Admission::Full);
    slots.complete(0, taker(3));
    assert_eq!(slots.admit(0, taker(u32::MAX)), Admission::Fresh);
    assert_eq!(slots.take_forgotten(), [taker(3)]);
    assert_eq!(slots.taken(), REMEMBERED_MAX as u64 + 1);
}

fn ip(n: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, n])
}

#[test]
fn one_client_with_two_addresses_is_one_taker() {
    let mut slots = Slots::new(Some(1));
    slots.know_whole(100);
    let six = "2001:db8::7".parse().unwrap();
    let first = slots.taker_of(0, ip(1), Some([7; 20]));
    assert_eq!(slots.admit(0, first), Admission::Fresh);
    let second = slots.taker_of(0, six, Some([7; 20]));
    assert_eq!((second, slots.admit(0, second)), (first, Admission::Again));
    // Its web seed requests carry no peer id.
    assert_eq!(slots.taker_of(0, six, None), first);
    // Somebody else.
    let other = slots.taker_of(0, ip(2), Some([8; 20]));
    assert_eq!(slots.admit(0, other), Admission::Full);
}

#[test]
fn an_address_that_has_a_slot_keeps_counting_for_itself() {
    let mut slots = Slots::new(Some(2));
    for n in [1, 2] {
        let taker = slots.taker_of(0, ip(n), None);
        slots.admit(0, taker);
    }
    slots.taker_of(0, ip(1), Some([7; 20]));
    let second = slots.taker_of(0, ip(2), Some([7; 20]));
    assert_eq!(second, Taker::Address(ip(2)));
    assert_eq!(slots.taken(), 2);
}

#[test]
fn a_copied_peer_id_gets_no_third_copy() {
    let mut slots = Slots::new(Some(1));
    slots.know_whole(100);
    let victim = slots.taker_of(0, ip(1), Some([7; 20]));
    slots.admit(0, victim);
    slots.sent(0, victim, 100);
    let mut got = 0;
    loop {
        let copier = slots.taker_of(0, ip(2), Some([7; 20]));
        if slots.admit(0, copier) == Admission::Full {
            break;
        }
        slots.sent(0, copier, 10);
        got += 10;
    }
    assert_eq!(got, 100);
    assert_eq!(slots.admit(0, victim), Admission::Again);
}

proptest! {
    /// Whoever asks before each request: never more than the maximum get bytes, with whatever pauses, peer ids,
    /// words of completion and restarts.
    #[test]
    fn never_more_than_the_maximum_get_bytes(
        max in 1..4u32,
        steps in prop::collection::vec((0..8u8, 0..4u8, 0..IDLE_MS / 2, 0..8u8), 1..200),
    ) {
        const WHOLE: u64 = 50;
        let mut slots = Slots::new(Some(max));
        slots.know_whole(WHOLE);
        let mut now = 0;
        for (who, peer_id, pause, what) in steps {
            now += pause;
            let address = ip(who);
            let taker = slots.taker_of(now, address, Some([peer_id; 20]));
            let foretold = slots.would_admit(now, &taker);
            let admission = slots.admit(now, taker);
            prop_assert_eq!(foretold, admission);
            if admission != Admission::Full {
                let bytes = slots.progress(&taker).unwrap().bytes;
                if taker != Taker::Address(address) {
                    prop_assert!(bytes < 2 * WHOLE, "a shared slot gives two copies at most");
                }
                slots.sent(now, taker, 10);
                prop_assert_eq!(slots.progress(&taker).unwrap().bytes, bytes + 10);
                prop_assert_ne!(slots.progress(&taker).unwrap().stage, Stage::Idle);
            }
            match what {
                0 => drop(slots.complete(now, taker)),
                1 => slots.sent(now, taker, 1),
                2 => {
                    let mut again = Slots::new(Some(max));
                    again.know_whole(WHOLE);
                    again.restore_forgotten(slots.forgotten_complete());
                    slots.takers().for_each(|(taker, progress)| again.restore(*taker, *progress));
                    slots = again;
                }
                _ => {}
            }
            prop_assert!(slots.taken() <= u64::from(max), "{} of {max}", slots.taken());
        }
    }
}
