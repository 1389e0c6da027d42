//! Devices that cannot meet as they like.

use shoal_tests::namespace::Pair;
use shoal_tests::{Deadline, Device, Home, Kept, Random, alike, poll};

fn devices(pair: &Pair) -> (Device, Device) {
    let device = |side| Device::on(Home::in_namespace(side).unwrap());
    (device(&pair.left), device(&pair.right))
}

fn two_in(pair: &Pair) -> (Kept, Kept) {
    let (one, two) = devices(pair);
    one.pair_with(&two);
    let one = Kept::adds(one);
    (one, Kept::joins(two))
}

/// Waits until a device reaches the one other that it knows like this.
#[track_caller]
fn reaches(kept: &Kept, via: &str, secs: u64) {
    let waited = poll(Deadline::secs(secs), via, || {
        let all = kept.device.home.json_lines(&["devices"])?;
        Ok(all.iter().any(|it| it["via"] == via).then_some(()))
    });
    waited.unwrap_or_else(|error| {
        let all = kept.device.home.json_lines(&["devices"]);
        panic!("{error}: {all:#?}")
    });
}

#[test]
#[ignore = "needs root: scripts/test-privileged"]
fn devices_pair_and_sync_where_udp_is_blocked() {
    let mut random = Random::from_env("devices_pair_and_sync_where_udp_is_blocked");
    let pair = Pair::new().unwrap();
    pair.left.block_udp().unwrap();
    pair.right.block_udp().unwrap();
    let (one, two) = two_in(&pair);
    one.write("from one/a.txt", "over TCP");
    one.write("large.bin", random.bytes(8 << 20));
    two.write("from two/b.txt", "and back");
    alike(&[&one, &two], 5);
    reaches(&one, "relay", 20);
    reaches(&two, "relay", 20);
    let said = one
        .device
        .home
        .run(&["devices"])
        .unwrap()
        .success()
        .unwrap();
    assert!(said.stdout.contains("connected by relay"), "{said:#?}");

    // A node that starts anew finds the other one by the addresses that it keeps.
    let (mut one, two) = (one, two);
    one.device.stop();
    two.write("from two/c.txt", "while you were away");
    one.device.start();
    alike(&[&one, &two], 6);
}
