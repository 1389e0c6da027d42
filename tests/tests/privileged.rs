//! What needs root: network namespaces, a tiny file system, another user. Run by `scripts/test-privileged`.

#![allow(clippy::unwrap_used)]

#[path = "privileged/ways.rs"]
mod ways;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use shoal_tests::clients::{Client, Transmission};
use shoal_tests::namespace::Pair;
use shoal_tests::{
    Attributes, Deadline, Device, Home, Kept, Random, Running, Tree, assert_same_tree, differences,
    http, needs, scratch, settle, shoal_binary, two,
};

/// Shares a tree in one namespace, and Transmission fetches its magnet in the other.
fn magnet_into_transmission(tree: &Tree, deadline_secs: u64) {
    magnet_into_transmission_as(tree, tree.path(), deadline_secs);
}

/// The same where Transmission gives names of its own.
fn magnet_into_transmission_as(tree: &Tree, expected: &Path, deadline_secs: u64) {
    let pair = Pair::new().unwrap();
    let home = Home::in_namespace(&pair.left).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let magnet = share.magnet(Deadline::secs(120)).unwrap();
    let peers_only: Vec<&str> = magnet
        .split('&')
        .filter(|part| !part.starts_with("ws="))
        .collect();
    let magnet = peers_only.join("&");
    let target = scratch().unwrap();
    Transmission {
        namespace: &pair.right,
    }
    .fetch(&magnet, target.path(), Deadline::secs(deadline_secs))
    .unwrap();
    same_but_for_empty_files(expected, &target.path().join(tree.name()));
    let log = home.json_lines(&["log", &share.id]).unwrap();
    let row = log
        .iter()
        .find(|row| row["what"] == "finished")
        .unwrap_or_else(|| panic!("not in the log: {log:#?}"));
    assert_eq!(row["via"], "torrent");
    assert!(row["who"].as_str().unwrap().contains("10.99.0.2"), "{row}");
}

#[test]
#[ignore = "needs root: scripts/test-privileged"]
fn transmission_single_file() {
    let mut random = Random::from_env("transmission_single_file");
    let dir = scratch().unwrap();
    let tree = Tree::single_file(dir.path(), "film.mkv", 5_000_001, &mut random).unwrap();
    magnet_into_transmission(&tree, 120);
}

#[test]
#[ignore = "needs root: scripts/test-privileged"]
fn transmission_odd_names() {
    let mut random = Random::from_env("transmission_odd_names");
    let dir = scratch().unwrap();
    let tree = Tree::odd_names(dir.path(), &mut random).unwrap();
    let renamed = scratch().unwrap();
    let expected = renamed_by_transmission(tree.path(), renamed.path());
    magnet_into_transmission_as(&tree, &expected, 120);
}

/// Transmission 3.00 makes no empty files, also not from its own torrents.
fn same_but_for_empty_files(expected: &Path, got: &Path) {
    let mut found = differences(expected, got, Attributes::BytesOnly).unwrap();
    found.retain(|what| {
        let name = what.strip_suffix(": missing");
        name.is_none_or(|name| fs::metadata(expected.join(name)).unwrap().len() != 0)
    });
    assert!(found.is_empty(), "{}:\n{}", got.display(), found.join("\n"));
}

/// Transmission 3.00 changes names that Windows does not know. Copies the tree under the names that it gives.
fn renamed_by_transmission(from: &Path, into: &Path) -> PathBuf {
    let name = from.file_name().unwrap().to_string_lossy().into_owned();
    let name: String = name
        .trim_start_matches(' ')
        .trim_end_matches([' ', '.'])
        .chars()
        .map(|char| match char {
            '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*' => '_',
            char if char.is_ascii_control() => '_',
            char => char,
        })
        .collect();
    let target = into.join(name);
    if from.is_dir() {
        fs::create_dir(&target).unwrap();
        for entry in fs::read_dir(from).unwrap().flatten() {
            renamed_by_transmission(&entry.path(), &target);
        }
    } else {
        fs::copy(from, &target).unwrap();
    }
    target
}

#[test]
#[ignore = "needs root: scripts/test-privileged"]
fn transmission_empty_files_and_piece_multiples() {
    let mut random = Random::from_env("transmission_empty_files_and_piece_multiples");
    let dir = scratch().unwrap();
    let empty = Tree::empty_files(dir.path(), &mut random).unwrap();
    magnet_into_transmission(&empty, 120);
    let multiples = Tree::piece_multiples(dir.path(), &mut random).unwrap();
    magnet_into_transmission(&multiples, 120);
}

#[test]
#[ignore = "needs root: scripts/test-privileged"]
fn transmission_ten_thousand_files() {
    let mut random = Random::from_env("transmission_ten_thousand_files");
    let dir = scratch().unwrap();
    let tree = Tree::many_files(dir.path(), "many", 10_000, 4096, &mut random).unwrap();
    magnet_into_transmission(&tree, 300);
}

#[test]
#[ignore = "needs root: scripts/test-privileged"]
fn transmission_torrent_from_the_web_and_web_seed_only() {
    let mut random = Random::from_env("transmission_torrent_from_the_web_and_web_seed_only");
    for bittorrent in ["true", "false"] {
        let dir = scratch().unwrap();
        let tree = Tree::mixed(dir.path(), "from the web", &mut random).unwrap();
        let pair = Pair::new().unwrap();
        let home = Home::in_namespace(&pair.left).unwrap();
        home.settings(&[("bittorrent", bittorrent)]).unwrap();
        let mut share = home.share(tree.path(), &[]).unwrap();
        share.ready(Deadline::secs(60)).unwrap();
        let address = format!("{}/{}.torrent", share.url, http::encode_path(&tree.name()));
        let target = scratch().unwrap();
        Transmission {
            namespace: &pair.right,
        }
        .fetch(&address, target.path(), Deadline::secs(120))
        .unwrap();
        same_but_for_empty_files(tree.path(), &target.path().join(tree.name()));
    }
}

/// `get` in another network than the node's, on every way.
#[test]
#[ignore = "needs root: scripts/test-privileged"]
fn taking_across_a_network() {
    let mut random = Random::from_env("taking_across_a_network");
    let pair = Pair::new().unwrap();
    let home = Home::in_namespace(&pair.left).unwrap();
    let taker = Home::in_namespace(&pair.right).unwrap();
    let tree = Tree::mixed(home.beside(), "across", &mut random).unwrap();
    let mut share = home.share(tree.path(), &[]).unwrap();
    let ready = share.ready(Deadline::secs(60)).unwrap();
    assert_eq!(ready["reach"]["scope"], "network", "{ready:#}");
    assert!(ready["reach"]["help"].as_str().is_some(), "{ready:#}");
    for via in ["iroh", "torrent", "http"] {
        let into = taker.beside().join(via);
        taker
            .get(&share.url, &into, &["--via", via])
            .unwrap()
            .success()
            .unwrap();
        assert_same_tree(tree.path(), &into.join("across"), Attributes::All);
    }
}

/// `get` onto a file system of 8 MiB: says so, exits with 8, and goes on when there is room.
#[test]
#[ignore = "needs root: scripts/test-privileged"]
fn taking_onto_a_full_disk() {
    let mut random = Random::from_env("taking_onto_a_full_disk");
    let home = Home::new().unwrap();
    let tree = Tree::folder(home.beside(), "large").unwrap();
    for number in 0..12 {
        tree.file(&format!("{number}.bin"), 1 << 20, &mut random)
            .unwrap();
    }
    let mut share = home.share(tree.path(), &[]).unwrap();
    share.ready(Deadline::secs(20)).unwrap();
    for via in [
        &[][..],
        &["--via", "iroh"],
        &["--via", "http"],
        &["--via", "torrent"],
    ] {
        let disk = Disk::mount("8m");
        let outcome = home.get(&share.url, &disk.0, via).unwrap();
        outcome.refused(8);
        disk.resize("40m");
        home.get(&share.url, &disk.0, via)
            .unwrap()
            .success()
            .unwrap();
        assert_same_tree(tree.path(), &disk.0.join("large"), Attributes::All);
    }
}

/// A folder on a file system of 96 MiB, of which 64 stay free: says so, and goes on by itself when there is room.
#[test]
#[ignore = "needs root: scripts/test-privileged"]
fn keeping_a_folder_on_a_full_disk() {
    let mut random = Random::from_env("keeping_a_folder_on_a_full_disk");
    let (one, guest) = (Device::new(), Device::new());
    one.pair_with(&guest);
    let disk = Disk::mount("96m");
    let one = Kept::adds(one);
    let mut two = Kept::new(guest);
    two.folder = disk.0.join("Work");
    two.join();
    for number in 0..6 {
        one.write(&format!("{number}.bin"), random.bytes(10 << 20));
    }
    one.write("small", "comes all the same");
    let full = two.until("the reason", |view| {
        let problems = view["problems"].as_array();
        problems.is_some_and(|all| {
            let full = |it: &serde_json::Value| it["what"].as_str().unwrap().contains("full");
            all.iter().any(full)
        })
    });
    assert!(full["missing"].as_u64() > Some(0), "{full}");
    two.until("what fits", |_| two.at("small").exists());
    disk.resize("400m");
    settle(&[&one, &two], &one.seen());
    assert_eq!(two.staged(), [""; 0]);
}

/// The system's queue of changes overflows: what it forgot is found by a look at everything.
#[test]
#[ignore = "needs root: scripts/test-privileged"]
fn changes_that_the_system_forgot_are_found() {
    const LIMIT: &str = "/proc/sys/fs/inotify/max_queued_events";
    let before = fs::read_to_string(LIMIT).unwrap();
    let (mut one, two) = two();
    one.device.stop();
    fs::write(LIMIT, "4").unwrap();
    one.device.start();
    one.until("its watch", Kept::is_quiet);
    fs::write(LIMIT, before.trim()).unwrap();
    for number in 0..2_000 {
        one.write(&format!("{}/{number}", number % 40), number.to_string());
    }
    settle(&[&one, &two], &one.seen());
    assert_eq!(one.seen().len(), 2_040);
}

/// Root reads everything, so this one runs as nobody.
#[test]
#[ignore = "needs root: scripts/test-privileged"]
fn a_file_that_may_not_be_read_is_reported() {
    let mut random = Random::from_env("a_file_that_may_not_be_read_is_reported");
    let home = tempfile::Builder::new().prefix("shoal-").tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let tree = Tree::mixed(home.path(), "partly", &mut random).unwrap();
    let closed = tree.path().join("photos/two.jpg");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let nobody = |args: &[&str]| {
        // A copy, because the build folder may lie where nobody else can go.
        let binary = home.path().join("shoal");
        if !binary.exists() {
            fs::copy(shoal_binary(), &binary).unwrap();
        }
        let mut command = Command::new(needs("setpriv").unwrap());
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(binary)
            .arg("--home")
            .arg(home.path().join("home"))
            .args(args)
            .env("HOME", home.path());
        command
    };
    for path in [tree.path(), closed.as_path()] {
        let path = path.to_str().unwrap();
        let share = &["share", "--json", "--listen", "127.0.0.1:0", path];
        let mut running = Running::start(nobody(share)).unwrap();
        let outcome = running.outcome(Deadline::secs(20)).unwrap();
        outcome.refused(4);
        let error = outcome.lines().unwrap().pop().unwrap();
        assert!(
            error["message"].as_str().unwrap().contains("two.jpg"),
            "{error}"
        );
    }
}

/// A tmpfs that goes when dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(size: &str) -> Disk {
        let path = tempfile::tempdir().unwrap().keep();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "shoal-test"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(status.success(), "mount");
        Disk(path)
    }

    fn resize(&self, size: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(&self.0)
            .status()
            .unwrap();
        assert!(status.success(), "remount");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}
