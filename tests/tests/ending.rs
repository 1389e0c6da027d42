//! How links end: stop, expiry, and as many downloads as were meant.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read;
use std::time::Duration;

use shoal_tests::swarm::{Leecher, announce, handshake, tracker_address};
use shoal_tests::{
    Attributes, Deadline, Home, Random, Share, Tree, assert_same_tree, http, poll, scratch,
};

/// After `stop` everything refuses within a second, says why, and still does after a restart. A connection that was
/// open is closed.
#[test]
fn stop_refuses_everywhere_within_a_second() {
    let mut random = Random::from_env("stop_refuses_everywhere_within_a_second");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "stopped", &mut random).unwrap();
    let node = home.up().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let ready = share.ready(Deadline::secs(20)).unwrap();
    let magnet = ready["magnet"].as_str().unwrap().to_owned();
    let infohash = ready["infohash"].as_str().unwrap().to_owned();
    let tracker = tracker_address(&magnet);
    let address = share.address().unwrap();
    assert!(announce(&tracker, &infohash).contains("5:peers"));
    let mut open = handshake(&address, &infohash).expect("the seeder answers before the stop");

    home.run(&["stop", &share.id]).unwrap().success().unwrap();
    let within = Deadline::secs(1);
    poll(within, "everything to refuse", || {
        let page = http::get(&share.url)?;
        let file = http::get(&format!("{}/f/readme.txt", share.url))?;
        let announced = announce(&tracker, &infohash);
        Ok((page.status == 410
            && file.status == 410
            && announced.contains("failure reason")
            && handshake(&address, &infohash).is_none())
        .then_some(()))
    })
    .unwrap();
    open.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut rest = Vec::new();
    open.read_to_end(&mut rest)
        .expect("the open connection is closed within a second");
    assert_refused_with_reason(&home, &share, &magnet, "stop");

    drop(node);
    drop(share.running);
    let _again = home.up().unwrap();
    let page = http::get(&share.url).unwrap();
    assert_eq!(page.status, 410, "after a restart");
    assert!(page.text().unwrap().to_lowercase().contains("stop"));
    assert!(announce(&tracker, &infohash).contains("failure reason"));
    assert!(handshake(&address, &infohash).is_none());
}

#[test]
fn expiry_refuses_everywhere() {
    let mut random = Random::from_env("expiry_refuses_everywhere");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "short", &mut random).unwrap();
    let end = std::time::SystemTime::now() + Duration::from_secs(4);
    let end_s = end.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let moment = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{end_s}"), "+%FT%TZ"])
        .output()
        .unwrap();
    let moment = String::from_utf8(moment.stdout).unwrap();
    let node = home.up().unwrap();
    let mut share = home
        .share(tree.path(), &["--expires", moment.trim()])
        .unwrap();
    let ready = share.ready(Deadline::secs(4)).unwrap();
    let magnet = ready["magnet"].as_str().unwrap().to_owned();
    let infohash = ready["infohash"].as_str().unwrap().to_owned();
    assert_eq!(http::get(&share.url).unwrap().status, 200);
    share.running.event("ended", Deadline::secs(10)).unwrap();
    let now_s = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!(now_s <= end_s + 1, "it ended {} s late", now_s - end_s);
    assert_eq!(http::get(&share.url).unwrap().status, 410);
    assert!(announce(&tracker_address(&magnet), &infohash).contains("failure reason"));
    assert!(handshake(&share.address().unwrap(), &infohash).is_none());
    assert_refused_with_reason(&home, &share, &magnet, "expired");
    drop(node);
    let _again = home.up().unwrap();
    assert_eq!(
        http::get(&share.url).unwrap().status,
        410,
        "after a restart"
    );
}

/// `shoal get` of a link that gives nothing any more: exit code 5 on every way, and the reason in words.
fn assert_refused_with_reason(home: &Home, share: &Share, magnet: &str, word: &str) {
    let page = http::get(&share.url).unwrap().text().unwrap();
    assert!(
        page.to_lowercase().contains(word),
        "{word:?} is not in {page}"
    );
    for link in [share.url.as_str(), magnet] {
        for via in [&[][..], &["--via", "http"], &["--via", "iroh"]] {
            let outcome = home.get(link, &home.beside().join("never"), via).unwrap();
            outcome.refused(5);
            assert!(outcome.stdout.contains(word), "{outcome:#?}");
        }
    }
    assert!(!home.beside().join("never/readme.txt").exists());
}

#[test]
fn max_downloads_counts_takers_and_cuts_nobody_off() {
    let mut random = Random::from_env("max_downloads_counts_takers_and_cuts_nobody_off");
    let dir = scratch().unwrap();
    let tree = Tree::single_file(dir.path(), "one.bin", 256 << 20, &mut random).unwrap();
    let home = Home::new().unwrap();
    let node = home.up().unwrap();
    let mut share = home.share(tree.path(), &["--max-downloads", "1"]).unwrap();
    share.ready(Deadline::secs(60)).unwrap();

    // A browser has the first byte, and with it the slot.
    let mut browser = http::get(&format!("{}/f/one.bin", share.url)).unwrap();
    assert_eq!(browser.status, 200);
    let mut first = [0; 1];
    browser.reader().read_exact(&mut first).unwrap();
    home.get(&share.url, &home.beside().join("second"), &[])
        .unwrap()
        .refused(5);

    let log = home.json_lines(&["log", &share.id]).unwrap();
    assert!(log.iter().any(|row| row["what"] == "refused"), "{log:#?}");

    // It is not cut off, and using up the link at its end does not cut off the tail either.
    let mut rest = first.to_vec();
    browser.reader().read_to_end(&mut rest).unwrap();
    assert!(rest == fs::read(tree.path()).unwrap());
    poll(Deadline::secs(5), "the link to be used up", || {
        let view = home.json(&["shares", &share.id])?;
        Ok((view["end"]["type"] == "used_up" && view["completed"] == 1).then_some(()))
    })
    .unwrap();
    let third = home
        .get(&share.url, &home.beside().join("third"), &[])
        .unwrap();
    third.refused(5);
    drop(node);
    drop(share.running);
    let _again = home.up().unwrap();
    assert_eq!(home.json(&["shares"]).unwrap()["end"]["type"], "used_up");
}

/// One `shoal get` is one taker on all ways together, also when it is killed and goes on.
#[test]
fn one_get_is_one_taker_on_all_ways() {
    let mut random = Random::from_env("one_get_is_one_taker_on_all_ways");
    let dir = scratch().unwrap();
    let tree = Tree::single_file(dir.path(), "one.bin", 256 << 20, &mut random).unwrap();
    let home = Home::new().unwrap();
    let _node = home.up().unwrap();
    let mut share = home.share(tree.path(), &["--max-downloads", "2"]).unwrap();
    share.ready(Deadline::secs(60)).unwrap();
    for round in ["first", "second"] {
        let into = home.beside().join(round);
        let mut early = home
            .start(&["get", "--json", &share.url, "-o", into.to_str().unwrap()])
            .unwrap();
        let _ = early.event("progress", Deadline::secs(20));
        early.kill().unwrap();
        let got = home.get(&share.url, &into, &[]).unwrap().success().unwrap();
        assert!(got.stdout.contains("\"done\""));
        assert_same_tree(tree.path(), &into.join("one.bin"), Attributes::All);
    }
    let view = home.json(&["shares", &share.id]).unwrap();
    assert_eq!(view["completed"], 2, "{view:#}");
    home.get(&share.url, &home.beside().join("third"), &[])
        .unwrap()
        .refused(5);
    let log = home.json_lines(&["log", &share.id]).unwrap();
    for row in log.iter().filter(|row| row["what"] == "finished") {
        assert!(row["bytes"].as_u64().unwrap() > 0, "{row}");
        assert!(row["at_ms"].as_u64().unwrap() > 1_600_000_000_000, "{row}");
        assert!(!row["who"].as_str().unwrap().is_empty());
    }
    assert_eq!(
        log.iter().filter(|row| row["what"] == "finished").count(),
        2,
        "{log:#?}"
    );
}

/// A torrent client comes by all addresses that it has, and is one taker. Who copies its peer id shares its slot, and
/// gets no more by that than a second copy.
#[test]
fn one_torrent_client_by_two_addresses_is_one_taker() {
    const BLOCKS: u32 = 64;
    let mut random = Random::from_env("one_torrent_client_by_two_addresses_is_one_taker");
    let dir = scratch().unwrap();
    let bytes = u64::from(BLOCKS) * 16 * 1024;
    let tree = Tree::single_file(dir.path(), "one.bin", bytes, &mut random).unwrap();
    let whole = fs::read(tree.path()).unwrap();
    let home = Home::new().unwrap();
    let _node = home.up().unwrap();
    let mut share = home.share(tree.path(), &["--max-downloads", "1"]).unwrap();
    let ready = share.ready(Deadline::secs(20)).unwrap();
    let infohash = ready["infohash"].as_str().unwrap();
    let address = share.address().unwrap();
    let leecher =
        |host: u8, peer_id| Leecher::connect([127, 0, 0, host], &address, infohash, peer_id);
    let one = b"-XX0001-aaaaaaaaaaaa";

    let mut first = leecher(1, one).unwrap();
    assert_eq!(first.block(0).unwrap(), whole[..16 * 1024]);
    let mut second = leecher(2, one).expect("the same client by another address");
    assert_eq!(second.block(0).unwrap(), whole[..16 * 1024]);
    let other = leecher(3, b"-XX0001-bbbbbbbbbbbb").and_then(|mut other| other.block(0));
    assert!(
        other.is_none(),
        "another client takes the only slot as well"
    );

    let more = (0..10 * BLOCKS).take_while(|_| second.block(0).is_some());
    let more = u32::try_from(more.count()).unwrap();
    assert!((BLOCKS..2 * BLOCKS).contains(&more), "{more} blocks");
    assert!(
        first.block(0).is_some(),
        "who has the slot is never cut off"
    );
    let log = home.json_lines(&["log", &share.id]).unwrap();
    let started = log.iter().filter(|row| row["what"] == "started");
    assert_eq!(started.count(), 1, "{log:#?}");
}
