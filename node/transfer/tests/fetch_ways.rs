//! Every way, alone and together, brings exactly what the link says.

#![allow(clippy::unwrap_used)]

mod fetch_fixture;

use fetch_fixture::{Content, Item, Node, Times, assert_same, fetch, noise};
use shoal_transfer::fetch::{Outcome, Way, Ways};
use std::sync::atomic::Ordering;

fn tree() -> Content {
    let mut items = vec![
        Item::Folder("empty".into()),
        Item::Folder("deep".into()),
        Item::Folder("deep/er".into()),
        Item::Link("deep/link".into(), "../größe € ☃.txt".into()),
        Item::file("größe € ☃.txt", noise(1, 5_000)),
        Item::file("deep/run.sh", noise(2, 100)),
        Item::file("deep/er/nothing", vec![]),
        Item::file("deep/er/ a?b#c%d", noise(3, 16_384)),
        Item::file("large", noise(4, 3_500_001)),
        Item::file("twin of large", noise(4, 3_500_001)),
        Item::file("zeros", vec![0; 2_000_000]),
    ];
    items.extend((0..300).map(|n| Item::file(&format!("many/{n}"), noise(n, n as usize * 7))));
    items.push(Item::Folder("many".into()));
    Content::new("a tree", items)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_alone_brings_the_whole_tree() {
    let node = Node::start(tree()).await;
    let bytes = node.link.content.total_bytes();
    for way in Way::ALL {
        for link in [node.url(), node.magnet()] {
            let dir = tempfile::tempdir().unwrap();
            let done = node.link.complete.load(Ordering::Relaxed);
            let fetched = fetch(&link, dir.path(), Ways::only(way)).await.unwrap();
            assert_same(&node.link.content, dir.path(), Times::Manifest);
            assert_eq!((fetched.files, fetched.bytes), (307, bytes), "{way}");
            assert_eq!(fetched.outcome, Outcome::Fetched);
            assert!(
                fetched.ways.iter().all(|(by, _)| *by == way),
                "{:?}",
                fetched.ways
            );
            if way != Way::Torrent {
                assert_eq!(
                    node.link.complete.load(Ordering::Relaxed),
                    done + 1,
                    "{way}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_magnet_brings_what_a_torrent_can_say() {
    let node = Node::start(tree()).await;
    let dir = tempfile::tempdir().unwrap();
    let fetched = fetch(&node.bare_magnet(), dir.path(), Ways::all())
        .await
        .unwrap();
    assert_same(&node.link.content, dir.path(), Times::Unknown);
    assert_eq!(
        fetched.ways,
        [(Way::Torrent, node.link.content.total_bytes())]
    );
    let again = fetch(&node.bare_magnet(), dir.path(), Ways::all())
        .await
        .unwrap();
    assert_eq!(again.outcome, Outcome::AlreadyThere);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_file_of_any_length() {
    for len in [1, 16_384, 262_144, 40 << 20] {
        let node = Node::start(Content::single("one.bin", noise(7, len))).await;
        for way in Way::ALL {
            let dir = tempfile::tempdir().unwrap();
            fetch(&node.url(), dir.path(), Ways::only(way))
                .await
                .unwrap();
            assert_same(&node.link.content, dir.path(), Times::Manifest);
        }
    }
    let node = Node::start(Content::single("none", vec![])).await;
    let dir = tempfile::tempdir().unwrap();
    fetch(&node.url(), dir.path(), Ways::all()).await.unwrap();
    assert_same(&node.link.content, dir.path(), Times::Manifest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_blobs_gives_plain_files_that_are_verified_whole() {
    let node = Node::start(tree()).await;
    node.link.plain_only.store(true, Ordering::Relaxed);
    let dir = tempfile::tempdir().unwrap();
    fetch(&node.url(), dir.path(), Ways::only(Way::Http))
        .await
        .unwrap();
    assert_same(&node.link.content, dir.path(), Times::Manifest);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_ways_at_once_bring_a_large_file_nearly_once() {
    let node = Node::start(Content::single("big", noise(9, 150 << 20))).await;
    let dir = tempfile::tempdir().unwrap();
    let fetched = fetch(&node.magnet(), dir.path(), Ways::all())
        .await
        .unwrap();
    assert_same(&node.link.content, dir.path(), Times::Manifest);
    let by: u64 = fetched.ways.iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(by, 150 << 20);
    assert!(fetched.ways.len() >= 2, "{:?}", fetched.ways);
    assert!(node.link.sent.load(Ordering::Relaxed) < 220 << 20);
}
