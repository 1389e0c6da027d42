//! Other people's torrent clients fetch from `shoal share`: qBittorrent, libtorrent and aria2. Transmission is in
//! `privileged.rs`, because it needs a network namespace.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use shoal_tests::clients::{Aria2, Client, Fetch, Libtorrent, QBittorrent, free_port};
use shoal_tests::swarm::{lists_peer, tracker_address};
use shoal_tests::{
    Attributes, Deadline, Home, Random, Running, Share, Tree, assert_same_tree, http, needs, poll,
    release_binary, scratch, tidy,
};

/// All clients that run on loopback, with what they understand of BEP 47.
fn clients() -> Vec<(Box<dyn Client>, Attributes)> {
    vec![
        (Box::new(QBittorrent), Attributes::Bep47),
        (Box::<Libtorrent>::default(), Attributes::Bep47),
        (Box::new(Aria2), Attributes::BytesOnly),
    ]
}

/// Each client in turn fetches `link` and gets exactly `tree`.
fn all_fetch(link: &str, tree: &Tree, deadline_secs: u64) {
    for (client, attributes) in clients() {
        let target = scratch().unwrap();
        client
            .fetch(link, target.path(), Deadline::secs(deadline_secs))
            .unwrap();
        eprintln!("{} has it", client.name());
        assert_same_tree(tree.path(), &target.path().join(tree.name()), attributes);
    }
}

/// Shares a tree and gives its magnet alone to each client. Without the web seed in it, or the clients would take
/// most bytes over HTTP.
fn magnet_into_all(tree: &Tree, deadline_secs: u64) {
    let home = Home::new().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let magnet = share.magnet(Deadline::secs(120)).unwrap();
    let peers_only: Vec<&str> = magnet
        .split('&')
        .filter(|part| !part.starts_with("ws="))
        .collect();
    all_fetch(&peers_only.join("&"), tree, deadline_secs);
    somebody_finished(&home, &share, &["torrent"]);
}

/// All clients come from one address here, and one taker counts once.
fn somebody_finished(home: &Home, share: &Share, ways: &[&str]) {
    let log = home.json_lines(&["log", &share.id]).unwrap();
    let finished = log.iter().any(|row| {
        row["what"] == "finished" && ways.contains(&row["via"].as_str().unwrap_or_default())
    });
    assert!(finished, "nobody finished: {log:#?}");
}

/// The magnet as it is: peers and web seed together.
#[test]
fn whole_magnet() {
    let mut random = Random::from_env("whole_magnet");
    let dir = scratch().unwrap();
    let tree = Tree::mixed(dir.path(), "as it is", &mut random).unwrap();
    let home = Home::new().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let magnet = share.magnet(Deadline::secs(60)).unwrap();
    all_fetch(&magnet, &tree, 60);
    somebody_finished(&home, &share, &["torrent", "http"]);
}

/// In a DHT of its own, on loopback.
#[test]
fn a_public_link_is_found_by_its_infohash_alone() {
    let mut random = Random::from_env("a_public_link_is_found_by_its_infohash_alone");
    let dir = scratch().unwrap();
    let tree = Tree::mixed(dir.path(), "public", &mut random).unwrap();
    let (home, port) = (Home::new().unwrap(), free_port().unwrap());
    let entrance = format!("\"127.0.0.1:{port}\"");
    home.settings(&[("dht-bootstrap", &entrance)]).unwrap();
    let mut share = home.share(tree.path(), &["--public"]).unwrap();
    let ready = share.ready(Deadline::secs(60)).unwrap();
    let target = scratch().unwrap();
    let mut command = Command::new(needs("python").unwrap());
    command
        .arg("-u")
        .arg(tidy::workspace_root().join("tests/py/lt_dht.py"))
        .args(["--infohash", ready["infohash"].as_str().unwrap()])
        .args(["--port", &port.to_string()])
        .arg("--into")
        .arg(target.path());
    let mut dht = Running::start(command).unwrap();
    dht.event("complete", Deadline::secs(180)).unwrap();
    dht.outcome(Deadline::secs(60)).unwrap().success().unwrap();
    let got = target.path().join(tree.name());
    assert_same_tree(tree.path(), &got, Attributes::Bep47);
    somebody_finished(&home, &share, &["torrent"]);
}

#[test]
fn bare_magnet_single_file() {
    let mut random = Random::from_env("bare_magnet_single_file");
    let dir = scratch().unwrap();
    let tree = Tree::single_file(dir.path(), "film.mkv", 5_000_001, &mut random).unwrap();
    magnet_into_all(&tree, 60);
}

#[test]
fn bare_magnet_odd_names_links_and_programs() {
    let mut random = Random::from_env("bare_magnet_odd_names_links_and_programs");
    let dir = scratch().unwrap();
    let tree = Tree::odd_names(dir.path(), &mut random)
        .unwrap()
        .with_attributes(&mut random)
        .unwrap();
    magnet_into_all(&tree, 60);
}

#[test]
fn bare_magnet_empty_files() {
    let mut random = Random::from_env("bare_magnet_empty_files");
    let dir = scratch().unwrap();
    let tree = Tree::empty_files(dir.path(), &mut random).unwrap();
    magnet_into_all(&tree, 60);
}

#[test]
fn bare_magnet_piece_multiples() {
    let mut random = Random::from_env("bare_magnet_piece_multiples");
    let dir = scratch().unwrap();
    let tree = Tree::piece_multiples(dir.path(), &mut random).unwrap();
    magnet_into_all(&tree, 60);
    let one = Tree::single_file(dir.path(), "one.bin", 4 << 20, &mut random).unwrap();
    magnet_into_all(&one, 60);
}

#[test]
fn bare_magnet_ten_thousand_files() {
    let mut random = Random::from_env("bare_magnet_ten_thousand_files");
    let dir = scratch().unwrap();
    let tree = Tree::many_files(dir.path(), "many", 10_000, 4096, &mut random).unwrap();
    magnet_into_all(&tree, 180);
}

/// One client is enough for so many bytes: what can go wrong is ours, sizes above 32 bits.
#[test]
fn bare_magnet_five_gib_sparse() {
    let mut random = Random::from_env("bare_magnet_five_gib_sparse");
    let dir = scratch().unwrap();
    let tree = Tree::sparse_file(dir.path(), "disk.img", 5 << 30, &mut random).unwrap();
    let home = Home::new().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let magnet = share.magnet(Deadline::secs(180)).unwrap();
    let target = scratch().unwrap();
    Libtorrent::default()
        .fetch(&magnet, target.path(), Deadline::secs(300))
        .unwrap();
    assert_same_tree(
        tree.path(),
        &target.path().join("disk.img"),
        Attributes::BytesOnly,
    );
}

#[test]
fn torrent_from_the_web_address() {
    let mut random = Random::from_env("torrent_from_the_web_address");
    let dir = scratch().unwrap();
    let tree = Tree::mixed(dir.path(), "holiday 2026", &mut random).unwrap();
    let home = Home::new().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(60)).unwrap();
    all_fetch(&torrent_address(&share, &tree), &tree, 60);
}

#[test]
fn web_seed_only_tree() {
    let mut random = Random::from_env("web_seed_only_tree");
    let dir = scratch().unwrap();
    let tree = Tree::odd_names(dir.path(), &mut random).unwrap();
    web_seed_into_all(&tree);
}

#[test]
fn web_seed_only_single_file() {
    let mut random = Random::from_env("web_seed_only_single_file");
    let dir = scratch().unwrap();
    let tree = Tree::single_file(dir.path(), "one & only.bin", 3_000_000, &mut random).unwrap();
    web_seed_into_all(&tree);
}

fn web_seed_into_all(tree: &Tree) {
    let home = Home::new().unwrap();
    home.settings(&[("bittorrent", "false")]).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(60)).unwrap();
    all_fetch(&torrent_address(&share, tree), tree, 90);
}

/// The sharer dies early; the rest comes from the client that had finished before, whom the tracker alone made known.
#[test]
fn two_foreign_clients_swarm_with_each_other() {
    let mut random = Random::from_env("two_foreign_clients_swarm_with_each_other");
    let dir = scratch().unwrap();
    let bytes: u64 = 48 << 20;
    let tree = Tree::single_file(dir.path(), "big.bin", bytes, &mut random).unwrap();
    let home = Home::new().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let ready = share.ready(Deadline::secs(60)).unwrap();
    let magnet = ready["magnet"].as_str().unwrap();
    let infohash = ready["infohash"].as_str().unwrap();

    let (first_dir, second_dir) = (scratch().unwrap(), scratch().unwrap());
    let mut first = QBittorrent.begin(magnet, first_dir.path()).unwrap();
    first.complete(Deadline::secs(120)).unwrap();
    // It announces on its own time. A client that comes later hears of it with its first announce.
    first.announced(Deadline::secs(60)).unwrap();
    assert!(lists_peer(&tracker_address(magnet), infohash, first.port()));

    // So slow that the sharer can have given a third at most when the deadline ends the test.
    let meeting_secs = 60;
    let slow = Libtorrent {
        download_limit_bytes: Some(bytes / 3 / meeting_secs),
    };
    let by_tracker: Vec<&str> = magnet
        .split('&')
        .filter(|part| !part.starts_with("ws=") && !part.starts_with("x.pe="))
        .collect();
    let mut second = slow
        .begin(&by_tracker.join("&"), second_dir.path())
        .unwrap();
    second
        .peer(first.port(), Deadline::secs(meeting_secs))
        .unwrap();
    share.running.kill().unwrap();
    second.lift_limit().unwrap();
    second.complete(Deadline::secs(120)).unwrap();
    let uploaded = poll(
        Deadline::secs(30),
        "qBittorrent to count its upload",
        || Ok(Some(first.uploaded_bytes()?).filter(|uploaded| *uploaded > bytes / 2)),
    )
    .unwrap();
    eprintln!("qBittorrent gave {uploaded} bytes to libtorrent");
    Box::new(second).close().unwrap();
    Box::new(first).close().unwrap();
    for target in [&first_dir, &second_dir] {
        let got = target.path().join("big.bin");
        assert_same_tree(tree.path(), &got, Attributes::BytesOnly);
    }
}

/// The tracker as a program of its own, over HTTP and UDP: without the sharer, clients find each other by it alone.
#[test]
fn clients_find_each_other_by_tracker_lite() {
    let mut random = Random::from_env("clients_find_each_other_by_tracker_lite");
    let dir = scratch().unwrap();
    let tree = Tree::single_file(dir.path(), "tracked.bin", 3_000_000, &mut random).unwrap();
    let home = Home::new().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let ready = share.ready(Deadline::secs(60)).unwrap();
    let infohash = ready["infohash"].as_str().unwrap();
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let mut command = Command::new(release_binary("tracker-lite"));
    command.args(["--open", "--listen", &address]);
    let _tracker = Running::start(command).unwrap();
    let trackers = ["http", "udp"].map(|scheme| format!("{scheme}://{address}/announce"));
    poll(Deadline::secs(10), "tracker-lite to answer", || {
        Ok(http::get(&trackers[0]).ok().map(drop))
    })
    .unwrap();

    let seeder_dir = scratch().unwrap();
    // The sharer is known by its address alone here: libtorrent announces to the first tracker that answers.
    let by_address = format!(
        "magnet:?xt=urn:btih:{infohash}&tr={}&x.pe={}",
        http::encode_query(&trackers[0]),
        share.address().unwrap()
    );
    let mut seeder = Libtorrent::default()
        .begin(&by_address, seeder_dir.path())
        .unwrap();
    seeder.complete(Deadline::secs(60)).unwrap();
    share.running.kill().unwrap();
    for tracker in &trackers {
        let alone = format!(
            "magnet:?xt=urn:btih:{infohash}&tr={}",
            http::encode_query(tracker)
        );
        // aria2 speaks to UDP trackers through its DHT alone, which is off.
        let other: Box<dyn Client> = match tracker.starts_with("http") {
            true => Box::new(Aria2),
            false => Box::new(QBittorrent),
        };
        for client in [Box::<Libtorrent>::default(), other] {
            let target = scratch().unwrap();
            client
                .fetch(&alone, target.path(), Deadline::secs(60))
                .unwrap();
            let got = target.path().join("tracked.bin");
            assert_same_tree(tree.path(), &got, Attributes::BytesOnly);
        }
    }
    Box::new(seeder).close().unwrap();
}

fn torrent_address(share: &Share, tree: &Tree) -> String {
    let name = http::encode_path(&tree.name());
    let address = format!("{}/{name}.torrent", share.url);
    let answer = http::get(&address).unwrap();
    assert_eq!(answer.status, 200, "{address}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-bittorrent")
    );
    address
}

/// Infohash and tracker of a magnet are as other programs read them: a client that has no tracker support gets the
/// same from the `.torrent`.
#[test]
fn magnet_and_torrent_agree() {
    let mut random = Random::from_env("magnet_and_torrent_agree");
    let dir = scratch().unwrap();
    let tree = Tree::mixed(dir.path(), "agree", &mut random).unwrap();
    let home = Home::new().unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let ready = share.ready(Deadline::secs(60)).unwrap();
    let magnet = ready["magnet"].as_str().unwrap();
    let infohash = ready["infohash"].as_str().unwrap();
    assert!(
        magnet.contains(&format!("xt=urn:btih:{infohash}")),
        "{magnet}"
    );
    for part in [
        "dn=agree",
        "tr=http",
        "ws=http",
        "x.pe=127.0.0.1:",
        "x.shoal=",
    ] {
        assert!(magnet.contains(part), "{part} in {magnet}");
    }
    let torrent = http::get(&torrent_address(&share, &tree))
        .unwrap()
        .bytes()
        .unwrap();
    let path = dir.path().join("agree.torrent");
    std::fs::write(&path, torrent).unwrap();
    assert_eq!(libtorrent_infohash(&path), infohash);
}

/// What libtorrent makes of a `.torrent`.
fn libtorrent_infohash(path: &Path) -> String {
    let python = shoal_tests::needs("python").unwrap();
    let code =
        "import sys, libtorrent as lt; print(lt.load_torrent_file(sys.argv[1]).info_hashes.v1)";
    let output = Command::new(python)
        .arg("-c")
        .arg(code)
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
