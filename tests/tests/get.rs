//! `shoal get`, from outside: every way, resuming, refusing, and never a wrong byte.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use serde_json::Value;
use shoal_tests::clients::{Fetch, Libtorrent, free_port};
use shoal_tests::{
    Attributes, Deadline, Home, Liar, Outcome, Random, Tree, assert_same_tree, poll, scratch,
};

/// A tree with everything that a manifest can say.
fn rich_tree(parent: &Path, random: &mut Random) -> Tree {
    let tree = Tree::odd_names(parent, random).unwrap();
    tree.file("big.bin", 3_000_000, random).unwrap();
    tree.file("zero", 0, random).unwrap();
    tree.with_attributes(random).unwrap()
}

fn done(outcome: &Outcome) -> Value {
    outcome
        .lines()
        .unwrap()
        .into_iter()
        .find(|line| line["type"] == "done")
        .unwrap_or_else(|| panic!("no done line: {outcome:#?}"))
}

#[test]
fn every_way_alone_and_all_at_once() {
    let mut random = Random::from_env("every_way_alone_and_all_at_once");
    let home = Home::new().unwrap();
    let tree = rich_tree(home.beside(), &mut random);
    let mut share = home.share(tree.path(), &[]).unwrap();
    let magnet = share.magnet(Deadline::secs(30)).unwrap();
    for link in [share.url.as_str(), magnet.as_str()] {
        for ways in [
            &["iroh"][..],
            &["torrent"],
            &["http"],
            &["iroh", "http"],
            &["iroh", "torrent", "http"],
            &[],
        ] {
            let into = home
                .beside()
                .join(format!("{}-{}", ways.join("+"), &link[..6]));
            let via: Vec<&str> = ways.iter().flat_map(|way| ["--via", way]).collect();
            let got = home.get(link, &into, &via).unwrap().success().unwrap();
            let done = done(&got);
            let target = into.join(tree.name());
            assert_eq!(done["path"], target.to_str().unwrap());
            for (way, bytes) in done["ways"].as_object().unwrap() {
                let allowed = ways.is_empty() || ways.contains(&way.as_str());
                assert!(allowed || bytes == 0, "{way} was not asked for: {done}");
            }
            assert_same_tree(tree.path(), &target, Attributes::All);
        }
    }
}

/// Names that other programs change or refuse. Over BitTorrent alone librqbit refuses a backslash.
#[test]
fn names_that_only_shoal_keeps() {
    let mut random = Random::from_env("names_that_only_shoal_keeps");
    let home = Home::new().unwrap();
    let tree = rich_tree(home.beside(), &mut random)
        .with_names_of_our_own(&mut random)
        .unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(30)).unwrap();
    for via in [&[][..], &["--via", "iroh"], &["--via", "http"]] {
        let into = home.beside().join(format!("got{}", via.concat()));
        home.get(&share.url, &into, via).unwrap().success().unwrap();
        assert_same_tree(tree.path(), &into.join(tree.name()), Attributes::All);
    }
    let into = home.beside().join("torrent");
    let outcome = home.get(&share.url, &into, &["--via", "torrent"]).unwrap();
    assert!(outcome.stdout.contains("backslash"), "{outcome:#?}");
    outcome.refused(2);
}

/// `--fsync` waits for the disk, and gives the same.
#[test]
fn on_the_disk_before_it_has_its_name() {
    let mut random = Random::from_env("on_the_disk_before_it_has_its_name");
    let home = Home::new().unwrap();
    let tree = rich_tree(home.beside(), &mut random);
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(30)).unwrap();
    let into = home.beside().join("got");
    home.get(&share.url, &into, &["--fsync"])
        .unwrap()
        .success()
        .unwrap();
    assert_same_tree(tree.path(), &into.join(tree.name()), Attributes::All);
}

#[test]
fn single_file_empty_file_and_empty_folder() {
    let mut random = Random::from_env("single_file_empty_file_and_empty_folder");
    let home = Home::new().unwrap();
    let _node = home.up().unwrap();
    let one = Tree::single_file(home.beside(), "one", 70_000, &mut random).unwrap();
    let empty = Tree::single_file(home.beside(), "nothing", 0, &mut random).unwrap();
    let folder = Tree::folder(home.beside(), "folder").unwrap();
    for tree in [one, empty, folder] {
        let mut share = home.share(tree.path(), &[]).unwrap();
        share.ready(Deadline::secs(20)).unwrap();
        let into = home.beside().join("got");
        home.get(&share.url, &into, &[]).unwrap().success().unwrap();
        assert_same_tree(tree.path(), &into.join(tree.name()), Attributes::All);
    }
}

#[test]
fn ten_thousand_small_files() {
    let mut random = Random::from_env("ten_thousand_small_files");
    let dir = scratch().unwrap();
    let tree = Tree::many_files(dir.path(), "many", 10_000, 4096, &mut random).unwrap();
    let home = Home::new().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(60)).unwrap();
    let into = scratch().unwrap();
    home.get(&share.url, into.path(), &[])
        .unwrap()
        .success()
        .unwrap();
    assert_same_tree(tree.path(), &into.path().join("many"), Attributes::All);
}

/// `get` waits while the other side hashes, and then has all.
#[test]
fn taking_while_the_other_side_hashes() {
    let mut random = Random::from_env("taking_while_the_other_side_hashes");
    let dir = scratch().unwrap();
    let tree = Tree::big_file(dir.path(), "late.img", 1024, &mut random).unwrap();
    let home = Home::new().unwrap();
    let share = home.share(tree.path(), &[]).unwrap();
    let into = scratch().unwrap();
    home.get(&share.url, into.path(), &[])
        .unwrap()
        .success()
        .unwrap();
    assert_same_tree(tree.path(), &into.path().join("late.img"), Attributes::All);
}

#[test]
fn several_paths_under_one_link_and_a_name() {
    let mut random = Random::from_env("several_paths_under_one_link_and_a_name");
    let home = Home::new().unwrap();
    let one = Tree::mixed(home.beside(), "one", &mut random).unwrap();
    let two = Tree::single_file(home.beside(), "two.bin", 5000, &mut random).unwrap();
    let mut share = home
        .start(&[
            "share",
            "--json",
            "--name",
            "both of them",
            one.path().to_str().unwrap(),
            two.path().to_str().unwrap(),
        ])
        .unwrap();
    let ready = share.event("ready", Deadline::secs(20)).unwrap();
    assert_eq!(ready["name"], "both of them");
    let into = home.beside().join("got");
    home.get(ready["url"].as_str().unwrap(), &into, &[])
        .unwrap()
        .success()
        .unwrap();
    for tree in [one, two] {
        let got = into.join("both of them").join(tree.name());
        assert_same_tree(tree.path(), &got, Attributes::All);
    }
}

#[test]
fn what_is_there_already_is_left_alone() {
    let mut random = Random::from_env("what_is_there_already_is_left_alone");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "there", &mut random).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(20)).unwrap();
    let into = home.beside().join("got");

    home.get(&share.url, &into, &[]).unwrap().success().unwrap();
    let again = home.get(&share.url, &into, &[]).unwrap().success().unwrap();
    assert_eq!(done(&again)["already_there"], true);

    let mine = into.join("there/readme.txt");
    fs::write(&mine, "my own text").unwrap();
    home.get(&share.url, &into, &[]).unwrap().refused(9);
    assert_eq!(fs::read_to_string(&mine).unwrap(), "my own text");

    let other = home.beside().join("other");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("there"), "a file where a folder should go").unwrap();
    home.get(&share.url, &other, &[]).unwrap().refused(9);
    assert_eq!(
        fs::read_to_string(other.join("there")).unwrap(),
        "a file where a folder should go"
    );
}

/// A symlink in the target's way leads nobody out of it.
#[test]
fn a_link_in_the_target_is_not_followed() {
    let mut random = Random::from_env("a_link_in_the_target_is_not_followed");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "trap", &mut random).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(20)).unwrap();
    for via in ["iroh", "torrent", "http"] {
        let into = home.beside().join(format!("got-{via}"));
        let outside = home.beside().join(format!("outside-{via}"));
        fs::create_dir_all(into.join("trap")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, into.join("trap/photos")).unwrap();
        let outcome = home.get(&share.url, &into, &["--via", via]).unwrap();
        assert_ne!(outcome.code, Some(0), "{outcome:#?}");
        assert_eq!(
            fs::read_dir(&outside).unwrap().count(),
            0,
            "{via} wrote outside"
        );
    }
}

/// Whatever byte a liar in between changes, `get` refuses it and keeps nothing of it. The link names no other way.
#[test]
fn a_changed_byte_is_refused() {
    let mut random = Random::from_env("a_changed_byte_is_refused");
    let home = Home::new().unwrap();
    home.settings(&[("bittorrent", "false"), ("iroh", "false")])
        .unwrap();
    let tree = Tree::mixed(home.beside(), "true", &mut random).unwrap();
    tree.file("more.bin", 1_000_000, &mut random).unwrap();
    let nowhere = format!("127.0.0.1:{}", free_port().unwrap());
    let mut share = home.share(tree.path(), &["--advertise", &nowhere]).unwrap();
    share.ready(Deadline::secs(20)).unwrap();
    let ports = home.json(&["status"]).unwrap()["ports"].clone();
    let upstream = format!("127.0.0.1:{}", ports["tcp"]);
    for wanted in ["/capability", "/record", "/manifest", "/blobs"] {
        // The first bytes of what is sent in chunks are the length of one.
        for offset in [0, 1, random.below(180) as usize, random.below(180) as usize] {
            let liar = Liar::new(&upstream, wanted, offset).unwrap();
            let into = home.beside().join(format!("got{}-{offset}", &wanted[1..]));
            let soon = Deadline::secs(45);
            let outcome = home
                .get(&liar.url(&share.url), &into, &["--via", "http"])
                .unwrap();
            let context = format!("{wanted} changed at {offset}: {outcome:#?}");
            assert!(!soon.passed(), "it went on for too long. {context}");
            // A manifest travels as a blob, too: what is not asked for cannot be changed.
            if liar.lies() == 0 && wanted == "/manifest" {
                assert_eq!(outcome.code, Some(0), "{context}");
                continue;
            }
            assert!(liar.lies() > 0, "nothing was changed. {context}");
            assert!(matches!(outcome.code, Some(2 | 6 | 7)), "{context}");
            assert!(!into.join("true").exists(), "{context}");
        }
    }
}

/// The capability in the magnet is checked too: any changed character is refused before anything is fetched.
#[test]
fn a_changed_capability_in_the_magnet_is_refused() {
    let mut random = Random::from_env("a_changed_capability_in_the_magnet_is_refused");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "signed", &mut random).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let magnet = share.magnet(Deadline::secs(20)).unwrap();
    let start = magnet.find("x.shoal=").unwrap() + "x.shoal=".len();
    let len = magnet[start..].find('&').unwrap_or(magnet.len() - start);
    for round in 0..12 {
        let at = start + random.below(len as u64) as usize;
        let old = magnet.as_bytes()[at];
        let new = if old == b'b' { "c" } else { "b" };
        let changed = format!("{}{new}{}", &magnet[..at], &magnet[at + 1..]);
        let into = home.beside().join(format!("got-{round}"));
        let outcome = home.get(&changed, &into, &[]).unwrap();
        assert!(
            matches!(outcome.code, Some(2 | 7)),
            "character {} changed: {outcome:#?}",
            at - start
        );
        assert!(!into.join("signed").exists());
    }
}

/// The magnet without Shoal's part is an ordinary magnet, and `get` is an ordinary client.
#[test]
fn an_ordinary_magnet() {
    let mut random = Random::from_env("an_ordinary_magnet");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "plain", &mut random).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let magnet = share.magnet(Deadline::secs(20)).unwrap();
    let plain: Vec<&str> = magnet
        .split('&')
        .filter(|part| !part.starts_with("x.shoal="))
        .collect();
    let into = home.beside().join("got");
    home.get(&plain.join("&"), &into, &[])
        .unwrap()
        .success()
        .unwrap();
    assert_same_tree(tree.path(), &into.join("plain"), Attributes::BytesOnly);
}

/// `get` takes from other torrent clients as well: the sharer itself seeds nothing here.
#[test]
fn a_foreign_client_is_a_source() {
    let mut random = Random::from_env("a_foreign_client_is_a_source");
    let dir = scratch().unwrap();
    let tree = Tree::single_file(dir.path(), "from-others.bin", 20 << 20, &mut random).unwrap();
    let home = Home::new().unwrap();
    home.settings(&[("bittorrent", "false")]).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(60)).unwrap();
    let seeder_dir = scratch().unwrap();
    let torrent = format!("{}/from-others.bin.torrent", share.url);
    let mut seeder = Libtorrent::default()
        .begin(&torrent, seeder_dir.path())
        .unwrap();
    seeder.complete(Deadline::secs(60)).unwrap();
    let into = scratch().unwrap();
    home.get(&share.url, into.path(), &["--via", "torrent"])
        .unwrap()
        .success()
        .unwrap();
    assert_same_tree(
        tree.path(),
        &into.path().join("from-others.bin"),
        Attributes::All,
    );
    let uploaded = poll(Deadline::secs(20), "libtorrent to count its upload", || {
        Ok(Some(seeder.uploaded_bytes()?).filter(|bytes| *bytes >= 20 << 20))
    })
    .unwrap();
    eprintln!("libtorrent gave {uploaded} bytes");
    Box::new(seeder).close().unwrap();
}
