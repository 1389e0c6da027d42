#![allow(clippy::unwrap_used)]

use super::fixture_tests::{Fixture, rel};
use super::*;
use shoal_protocol::path::RelPath;
use std::collections::BTreeSet;
use std::fs;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// Longer than any event takes; nothing waits so long when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

fn watch(f: &Fixture) -> (Watch, Receiver<Noticed>) {
    let (tell, told) = mpsc::channel();
    let watch = f.replica.watch(move |noticed| drop(tell.send(noticed)));
    (watch.unwrap(), told)
}

/// Gathers folders until all of these were told.
fn wait_for(told: &Receiver<Noticed>, folders: &[&str]) -> BTreeSet<Option<RelPath>> {
    let wanted: Vec<_> = folders
        .iter()
        .map(|path| (!path.is_empty()).then(|| rel(path)))
        .collect();
    let mut seen = BTreeSet::new();
    while !wanted.iter().all(|folder| seen.contains(folder)) {
        match told.recv_timeout(PATIENCE) {
            Ok(Noticed::Folders(more)) => seen.extend(more),
            other => panic!("{other:?} instead of {folders:?}, after {seen:?}"),
        }
    }
    seen
}

#[test]
fn changes_are_told_by_folder() {
    let f = Fixture::new();
    f.write("a/b/file", "x");
    f.write("top", "x");
    let (_watch, told) = watch(&f);
    f.write("a/b/file", "changed");
    let seen = wait_for(&told, &["a/b"]);
    assert_eq!(seen.len(), 1, "{seen:?}");
    fs::remove_file(f.at("top")).unwrap();
    let seen = wait_for(&told, &[""]);
    assert_eq!(seen.len(), 1, "{seen:?}");
    // Shoal's own folder is not the person's work.
    fs::write(f.at(".shoal/staging/x"), "x").unwrap();
    f.write("a/b/file", "again");
    assert_eq!(wait_for(&told, &["a/b"]).len(), 1);
}

#[test]
fn an_editors_save_by_rename_is_one_look() {
    let f = Fixture::new();
    f.write("d/file", "old");
    let (_watch, told) = watch(&f);
    f.write("d/.file.swp", "new");
    fs::rename(f.at("d/file"), f.at("d/file~")).unwrap();
    fs::rename(f.at("d/.file.swp"), f.at("d/file")).unwrap();
    fs::remove_file(f.at("d/file~")).unwrap();
    let seen = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(seen, Noticed::Folders(vec![Some(rel("d"))]));
}

#[test]
fn new_and_moved_folders_are_watched_where_they_are() {
    let f = Fixture::new();
    f.write("old/in/file", "x");
    fs::create_dir(f.top.path().join("outside")).unwrap();
    fs::create_dir(f.top.path().join("outside/deep")).unwrap();
    let (_watch, told) = watch(&f);
    f.write("new/deep/er/file", "x");
    wait_for(&told, &["", "new", "new/deep", "new/deep/er"]);
    f.write("new/deep/er/file", "changed");
    wait_for(&told, &["new/deep/er"]);
    fs::rename(f.at("old"), f.at("new/moved")).unwrap();
    wait_for(&told, &["", "new"]);
    f.write("new/moved/in/file", "changed");
    let seen = wait_for(&told, &["new/moved/in"]);
    assert!(!seen.contains(&Some(rel("old/in"))), "{seen:?}");
    fs::rename(f.top.path().join("outside"), f.at("inside")).unwrap();
    wait_for(&told, &["", "inside", "inside/deep"]);
    f.write("inside/deep/file", "x");
    wait_for(&told, &["inside/deep"]);
    // What left the tree is nobody's business any more.
    let away = f.top.path().join("away");
    fs::rename(f.at("inside"), &away).unwrap();
    wait_for(&told, &[""]);
    fs::write(away.join("deep/file"), "changed").unwrap();
    f.write("new/last", "x");
    let seen = wait_for(&told, &["new"]);
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[test]
fn a_root_that_goes_is_told() {
    let f = Fixture::new();
    let (_watch, told) = watch(&f);
    fs::rename(f.replica.path(), f.top.path().join("elsewhere")).unwrap();
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), Noticed::Root);
}

#[test]
fn a_watch_ends_when_it_is_dropped() {
    let f = Fixture::new();
    let (watch, told) = watch(&f);
    drop(watch);
    let end = told.recv_timeout(PATIENCE);
    assert_eq!(end, Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn more_than_the_kernel_keeps_is_a_look_at_everything() {
    let f = Fixture::new();
    let (hold, held) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    // The one who is told holds the thread, while events gather in the kernel.
    let watch = f.replica.watch(move |noticed| {
        drop(tell.send(noticed));
        let _ = held.recv();
    });
    let _watch = watch.unwrap();
    f.write("first", "x");
    told.recv_timeout(PATIENCE).unwrap();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
    let limit: usize = limit.unwrap().trim().parse().unwrap();
    if limit > 100_000 {
        println!("NOT RUN: the kernel queues {limit} events");
        return;
    }
    // Two names in turn, so that the kernel does not join the events.
    for n in 0..limit {
        fs::write(f.at(["a", "b"][n % 2]), "x").unwrap();
    }
    drop(hold);
    loop {
        match told.recv_timeout(PATIENCE).unwrap() {
            Noticed::Everything => break,
            Noticed::Folders(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
