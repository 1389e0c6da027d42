//! Devices that pair: real nodes on loopback, by the commands that people type.

#![allow(clippy::unwrap_used)]

use serde_json::Value;
use shoal_tests::{Deadline, Home, Running, poll};

/// A home whose node runs, and what it is called.
struct Device {
    home: Home,
    node: Option<Running>,
    name: String,
}

impl Device {
    fn new() -> Device {
        let home = Home::new().unwrap();
        let node = Some(home.up().unwrap());
        let own = home.json(&["devices"]).unwrap();
        Device {
            name: own["name"].as_str().unwrap().to_owned(),
            home,
            node,
        }
    }

    fn key(&self) -> String {
        let own = self.home.json(&["devices"]).unwrap();
        assert_eq!(own["state"], "this");
        own["device"].as_str().unwrap().to_owned()
    }

    /// `shoal pair --json EXTRA...`, up to its invite.
    fn invite(&self, extra: &[&str]) -> (Running, Value) {
        let args = [&["pair", "--json"], extra].concat();
        let mut running = self.home.start(&args).unwrap();
        let invite = running.event("invite", Deadline::secs(20)).unwrap();
        (running, invite)
    }

    /// `shoal pair INVITE --yes --json EXTRA...`, to its end.
    fn join(&self, invite: &str, extra: &[&str]) -> shoal_tests::Outcome {
        let args = [&["pair", "--json", "--yes", invite], extra].concat();
        self.home.run(&args).unwrap()
    }

    /// Names and states of the other devices, sorted.
    fn others(&self) -> Vec<(String, String)> {
        let lines = self.home.json_lines(&["devices"]).unwrap();
        let others = lines.iter().filter(|line| line["state"] != "this");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut others: Vec<_> = others
            .map(|line| (text(&line["device"]), text(&line["state"])))
            .collect();
        others.sort();
        others
    }

    fn waits_for(&self, what: &str, wanted: impl Fn(&[(String, String)]) -> bool) {
        poll(Deadline::secs(20), what, || {
            Ok(wanted(&self.others()).then_some(()))
        })
        .unwrap();
    }

    /// Waits until exactly these are members and connected.
    fn is_connected_to(&self, others: &[&Device]) {
        let mut keys: Vec<_> = others.iter().map(|it| it.key()).collect();
        keys.sort();
        self.waits_for("the other devices", |found| {
            found.iter().map(|(key, _)| key).eq(&keys)
                && found.iter().all(|(_, state)| state == "connected")
        });
    }

    fn stop(&mut self) {
        self.home.run(&["down"]).unwrap().success().unwrap();
        let mut node = self.node.take().unwrap();
        node.outcome(Deadline::secs(20)).unwrap().success().unwrap();
    }

    fn start(&mut self) {
        self.node = Some(self.home.up().unwrap());
    }
}

/// Two devices, paired by a script.
fn pair() -> (Device, Device) {
    let (one, two) = (Device::new(), Device::new());
    add(&one, &two);
    (one, two)
}

fn add(inviter: &Device, guest: &Device) {
    let (mut inviting, invite) = inviter.invite(&["--yes"]);
    let joined = guest.join(invite["invite"].as_str().unwrap(), &[]);
    let lines = joined.success().unwrap().lines().unwrap();
    assert_eq!(lines.last().unwrap()["type"], "paired", "{lines:?}");
    let paired = inviting.event("paired", Deadline::secs(20)).unwrap();
    assert_eq!(paired["device"], guest.key());
    let ended = inviting.outcome(Deadline::secs(20)).unwrap();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
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
    two.join(words, &[]).refused(2);
    let mut list: Vec<_> = words.split(' ').collect();
    let wrong = format!("{}x", list[3]);
    list[3] = &wrong;
    let at = text(&invite["at"][0]);
    let typo = two.join(&list.join(" "), &["--at", at]);
    typo.refused(2);
    assert!(typo.stdout.contains("did you mean"), "{typo:#?}");
    two.join(words, &["--at", "127.0.0.1:9"]).refused(6);
    two.join(words, &["--at", at]).success().unwrap();
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
    three.join("hello", &[]).refused(2);
    three.join("shoal://pair/AAAA", &[]).refused(2);

    let (mut inviting, invite) = one.invite(&["--expires", &soon()]);
    inviting.outcome(Deadline::secs(20)).unwrap().refused(5);
    let late = two.join(text(&invite["invite"]), &[]);
    late.refused(5);
    assert!(late.stdout.contains("expired"), "{late:#?}");
    let at = text(&invite["at"][0]);
    two.join(text(&invite["words"]), &["--at", at]).refused(5);

    // Used by one device that is not confirmed yet: nobody else gets in by it.
    let (_inviting, invite) = one.invite(&[]);
    let link = text(&invite["invite"]);
    let mut first = two.home.start(&["pair", "--json", link]).unwrap();
    first.event("pair_waiting", Deadline::secs(20)).unwrap();
    let second = three.join(link, &[]);
    second.refused(5);
    assert!(second.stdout.contains("used"), "{second:#?}");

    // The inviting device itself; and one whose node is gone.
    one.join(link, &[]).refused(2);
    let mut gone = one;
    gone.stop();
    three.join(link, &[]).refused(6);
}

#[test]
fn a_device_of_another_group_is_refused_with_a_hint_until_it_leaves() {
    let (one, two) = pair();
    let (three, four) = pair();
    let (mut inviting, invite) = one.invite(&["--yes"]);
    let refused = three.join(text(&invite["invite"]), &[]);
    refused.refused(5);
    assert!(refused.stdout.contains("devices remove"), "{refused:#?}");
    inviting.outcome(Deadline::secs(20)).unwrap().refused(5);

    // Whoever is in a group brings nobody else's invite, but may make one.
    let name = three.home.json(&["devices"]).unwrap();
    let left = three.home.run(&["devices", "remove", text(&name["name"])]);
    left.unwrap().success().unwrap();
    assert_eq!(three.home.json(&["status"]).unwrap()["group"], Value::Null);
    four.waits_for("the other to be gone", <[_]>::is_empty);
    add(&one, &three);
    one.is_connected_to(&[&two, &three]);

    // Bringing an invite to one's own group again changes nothing.
    let (_inviting, invite) = two.invite(&[]);
    let again = three.join(text(&invite["invite"]), &[]);
    let lines = again.success().unwrap().lines().unwrap();
    assert_eq!(lines.last().unwrap()["type"], "paired");
    assert_eq!(one.others().len(), 2);
}

#[test]
fn a_removed_device_is_cut_off_at_once_and_learns_it() {
    let (one, two) = pair();
    let mut three = Device::new();
    add(&two, &three);
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
    let removed = one.home.json(&["devices", "remove", &three.key_of(&one)]);
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
    add(&one, &three);
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

impl Device {
    /// The key of this device, while its node is down, as its one fellow knows it.
    fn key_of(&self, fellow: &Device) -> String {
        assert!(self.node.is_none());
        fellow.others()[0].0.clone()
    }
}
