//! Devices that pair: real nodes on loopback, by the commands that people type.

#![allow(clippy::unwrap_used)]

use serde_json::Value;
use shoal_tests::{Deadline, Device, poll};

/// Two devices, paired by a script.
fn pair() -> (Device, Device) {
    let (one, two) = (Device::new(), Device::new());
    one.pair_with(&two);
    (one, two)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn two_devices_pair_by_link_and_stay_together_over_restarts() {
    let (mut one, mut two) = pair();
    one.is_connected_to(&[&two]);
    two.is_connected_to(&[&one]);
    let (left, right) = (
        one.home.json(&["status"]).unwrap(),
        two.home.json(&["status"]).unwrap(),
    );
    assert_eq!(left["group"]["id"], right["group"]["id"]);
    assert_eq!(left["group"]["devices"], 2);

    // A name is for all devices; two of one host name differ.
    let names = two.home.json_lines(&["devices"]).unwrap();
    assert_ne!(names[0]["name"], names[1]["name"]);
    let key = two.key();
    one.home
        .run(&["devices", "rename", &key, "phone"])
        .unwrap()
        .success()
        .unwrap();
    poll(Deadline::secs(10), "the new name", || {
        let own = two.home.json(&["devices"])?;
        Ok((own["name"] == "phone").then_some(()))
    })
    .unwrap();

    // The ports stay, so either side finds the other.
    two.stop();
    one.waits_for("the other to be away", |found| found[0].1 == "away");
    one.stop();
    two.start();
    one.start();
    one.is_connected_to(&[&two]);
    two.is_connected_to(&[&one]);
}

#[test]
fn both_compare_the_code_and_confirm_by_command() {
    let (one, two) = (Device::new(), Device::new());
    let (mut inviting, invite) = one.invite(&[]);
    let link = text(&invite["invite"]);
    let mut joining = two.home.start(&["pair", "--json", link]).unwrap();
    let at_guest = joining.event("pair_waiting", Deadline::secs(20)).unwrap();
    let at_host = inviting.event("pair_waiting", Deadline::secs(20)).unwrap();
    assert_eq!(at_guest["code"], at_host["code"]);
    assert_eq!(text(&at_guest["code"]).len(), 7);
    assert_eq!(at_host["device"], two.key());
    assert_eq!(one.others()[0].1, "waiting");
    // The host may be first; nothing happens before the guest has agreed.
    let confirmed = one.home.run(&["devices", "confirm", &two.key()]).unwrap();
    confirmed.success().unwrap();
    assert_eq!(one.home.json(&["status"]).unwrap()["group"], Value::Null);
    let confirmed = two.home.run(&["devices", "confirm", &one.key()]).unwrap();
    confirmed.success().unwrap();
    joining.event("paired", Deadline::secs(20)).unwrap();
    inviting.event("paired", Deadline::secs(20)).unwrap();
    one.is_connected_to(&[&two]);
}

#[test]
fn a_person_can_say_no_on_either_side() {
    let (one, two) = (Device::new(), Device::new());
    for who in [&one, &two] {
        let other = if std::ptr::eq(who, &one) { &two } else { &one };
        let (mut inviting, invite) = one.invite(&[]);
        let link = text(&invite["invite"]);
        let mut joining = two.home.start(&["pair", "--json", link]).unwrap();
        joining.event("pair_waiting", Deadline::secs(20)).unwrap();
        inviting.event("pair_waiting", Deadline::secs(20)).unwrap();
        if std::ptr::eq(who, &one) {
            let key = one.key();
            two.home.run(&["devices", "confirm", &key]).unwrap();
        }
        let no = who.home.run(&["devices", "remove", &other.key()]).unwrap();
        no.success().unwrap();
        joining.outcome(Deadline::secs(20)).unwrap().refused(5);
        inviting.outcome(Deadline::secs(20)).unwrap().refused(5);
        assert_eq!(one.others(), []);
        assert_eq!(two.home.json(&["status"]).unwrap()["group"], Value::Null);
    }
}

#[test]
fn words_need_an_address_and_then_do_what_the_link_does() {
    let (one, two) = (Device::new(), Device::new());
    let (mut inviting, invite) = one.invite(&["--yes"]);
    let words = text(&invite["words"]);
    assert_eq!(words.split(' ').count(), 12);
    two.bring(words, &[]).refused(2);
    let mut list: Vec<_> = words.split(' ').collect();
    let wrong = format!("{}x", list[3]);
    list[3] = &wrong;
    let at = text(&invite["at"][0]);
    let typo = two.bring(&list.join(" "), &["--at", at]);
    typo.refused(2);
    assert!(typo.stdout.contains("did you mean"), "{typo:#?}");
    two.bring(words, &["--at", "127.0.0.1:9"]).refused(6);
    two.bring(words, &["--at", at]).success().unwrap();
    inviting.event("paired", Deadline::secs(20)).unwrap();
    one.is_connected_to(&[&two]);
}

#[test]
fn a_third_device_is_confirmed_by_another_member_and_all_learn_of_it() {
    let (one, two) = pair();
    two.is_connected_to(&[&one]);
    let three = Device::new();
    let (mut inviting, invite) = one.invite(&[]);
    let link = text(&invite["invite"]);
    let mut joining = three
        .home
        .start(&["pair", "--json", "--yes", link])
        .unwrap();
    let shown = joining.event("pair_waiting", Deadline::secs(20)).unwrap();
    // The inviter says nothing; the other member sees the same code, and confirms.
    two.waits_for("the device that waits", |found| {
        found.iter().any(|(_, state)| state == "waiting")
    });
    let lines = two.home.json_lines(&["devices"]).unwrap();
    let waiting = lines.iter().find(|it| it["state"] == "waiting").unwrap();
    assert_eq!(waiting["code"], shown["code"]);
    let confirmed = two.home.run(&["devices", "confirm", &three.key()]).unwrap();
    confirmed.success().unwrap();
    joining.event("paired", Deadline::secs(20)).unwrap();
    inviting.event("paired", Deadline::secs(20)).unwrap();
    one.is_connected_to(&[&two, &three]);
    two.is_connected_to(&[&one, &three]);
    three.is_connected_to(&[&one, &two]);
}

#[test]
fn an_invite_that_is_wrong_over_or_used_opens_nothing() {
    let (one, two) = (Device::new(), Device::new());
    let three = Device::new();
    three.bring("hello", &[]).refused(2);
    three.bring("shoal://pair/AAAA", &[]).refused(2);

    let (mut inviting, invite) = one.invite(&["--expires", &soon()]);
    inviting.outcome(Deadline::secs(20)).unwrap().refused(5);
    let late = two.bring(text(&invite["invite"]), &[]);
    late.refused(5);
    assert!(late.stdout.contains("expired"), "{late:#?}");
    let at = text(&invite["at"][0]);
    two.bring(text(&invite["words"]), &["--at", at]).refused(5);

    // Used by one device that is not confirmed yet: nobody else gets in by it.
    let (_inviting, invite) = one.invite(&[]);
    let link = text(&invite["invite"]);
    let mut first = two.home.start(&["pair", "--json", link]).unwrap();
    first.event("pair_waiting", Deadline::secs(20)).unwrap();
    let second = three.bring(link, &[]);
    second.refused(5);
    assert!(second.stdout.contains("used"), "{second:#?}");

    // The inviting device itself; and one whose node is gone.
    one.bring(link, &[]).refused(2);
    let mut gone = one;
    gone.stop();
    three.bring(link, &[]).refused(6);
}

#[test]
fn a_device_of_another_group_is_refused_with_a_hint_until_it_leaves() {
    let (one, two) = pair();
    let (three, four) = pair();
    let (mut inviting, invite) = one.invite(&["--yes"]);
    let refused = three.bring(text(&invite["invite"]), &[]);
    refused.refused(5);
    assert!(refused.stdout.contains("devices remove"), "{refused:#?}");
    inviting.outcome(Deadline::secs(20)).unwrap().refused(5);

    // Whoever is in a group brings nobody else's invite, but may make one.
    let name = three.home.json(&["devices"]).unwrap();
    let left = three.home.run(&["devices", "remove", text(&name["name"])]);
    left.unwrap().success().unwrap();
    assert_eq!(three.home.json(&["status"]).unwrap()["group"], Value::Null);
    four.waits_for("the other to be gone", <[_]>::is_empty);
    one.pair_with(&three);
    one.is_connected_to(&[&two, &three]);

    // Bringing an invite to one's own group again changes nothing.
    let (_inviting, invite) = two.invite(&[]);
    let again = three.bring(text(&invite["invite"]), &[]);
    let lines = again.success().unwrap().lines().unwrap();
    assert_eq!(lines.last().unwrap()["type"], "paired");
    assert_eq!(one.others().len(), 2);
}

#[test]
fn a_removed_device_is_cut_off_at_once_and_learns_it() {
    let (one, two) = pair();
    let mut three = Device::new();
    two.pair_with(&three);
    one.is_connected_to(&[&two, &three]);
    three.is_connected_to(&[&one, &two]);
    let removed = one.home.json(&["devices", "remove", &two.key()]).unwrap();
    assert_eq!(removed["told"], 1, "{removed}");
    one.is_connected_to(&[&three]);
    three.is_connected_to(&[&one]);
    poll(
        Deadline::secs(10),
        "the removed device to hear of it",
        || Ok(two.home.json(&["status"])?["group"].is_null().then_some(())),
    )
    .unwrap();
    assert_eq!(two.others(), []);

    // One that was away hears of it when it comes back, though it asks for nothing.
    three.stop();
    let removed = one
        .home
        .json(&["devices", "remove", &key_of_the_other(&one)]);
    assert!(removed.unwrap()["untold"].as_array().is_none());
    three.start();
    poll(
        Deadline::secs(20),
        "the removed device to hear of it",
        || {
            Ok(three.home.json(&["status"])?["group"]
                .is_null()
                .then_some(()))
        },
    )
    .unwrap();
    // And may come again.
    one.pair_with(&three);
    one.is_connected_to(&[&three]);
    assert_eq!(one.name, one.home.json(&["devices"]).unwrap()["name"]);
}

/// A moment that is over in two seconds, as `--expires` takes it.
fn soon() -> String {
    let mut date = std::process::Command::new("date");
    date.args(["-u", "-d", "+2 seconds", "+%Y-%m-%dT%H:%M:%SZ"]);
    let printed = date.output().unwrap().stdout;
    String::from_utf8(printed).unwrap().trim().to_owned()
}

/// The key of the one fellow of a device, also while the fellow's node is down.
fn key_of_the_other(device: &Device) -> String {
    device.others()[0].0.clone()
}
