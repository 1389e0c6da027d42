//! What goes wrong is said with its reason, and what was fetched is not lost.

#![allow(clippy::unwrap_used)]

mod fetch_fixture;

use fetch_fixture::{Content, Item, Node, Times, Told, assert_same, fetch, noise, request};
use shoal_protocol::capability::Hint;
use shoal_protocol::hello::Refusal;
use shoal_transfer::fetch::{Event, GetError, Outcome, Phase, Way, WayState, Ways, get};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const LARGE: usize = 48 << 20;

fn content() -> Content {
    let small = (0..50).map(|n| Item::file(&format!("small/{n}"), noise(n, 4096)));
    let mut items: Vec<Item> = small.collect();
    items.push(Item::Folder("small".into()));
    items.push(Item::file("large", noise(99, LARGE)));
    Content::new("share", items)
}

/// Cancels as soon as something is there.
async fn begin(link: &str, into: &Path, ways: Ways, bytes: u64) -> Result<(), GetError> {
    struct Until(u64, CancellationToken);
    impl shoal_transfer::fetch::Progress for Until {
        fn event(&self, event: Event) {
            if matches!(event, Event::Done { bytes, .. } if bytes >= self.0) {
                self.1.cancel();
            }
        }
    }
    let cancel = CancellationToken::new();
    let until = Arc::new(Until(bytes, cancel.clone()));
    get(request(link, into, ways), until, cancel)
        .await
        .map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_get_goes_on_where_it_stopped() {
    for way in Way::ALL {
        let node = Node::start(content()).await;
        node.link.delay_ms.store(10, Ordering::Relaxed);
        let dir = tempfile::tempdir().unwrap();
        let cut = begin(&node.url(), dir.path(), Ways::only(way), 4 << 20).await;
        assert!(matches!(cut, Err(GetError::Cancelled)), "{cut:?}");
        node.link.delay_ms.store(0, Ordering::Relaxed);
        let before = node.link.sent.load(Ordering::Relaxed);
        let fetched = fetch(&node.url(), dir.path(), Ways::only(way))
            .await
            .unwrap();
        assert!(
            fetched.resumed_bytes >= 4 << 20,
            "{way}: {}",
            fetched.resumed_bytes
        );
        assert_same(&node.link.content, dir.path(), Times::Manifest);
        let sent = node.link.sent.load(Ordering::Relaxed) - before;
        assert!(
            sent < node.link.content.total_bytes() - (2 << 20),
            "{way}: {sent} bytes again"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_source_is_dropped_and_others_go_on() {
    let liar = Node::start(content()).await;
    let honest = liar.replica().await;
    liar.link.lying.store(true, Ordering::Relaxed);
    liar.set_hints(vec![Hint::Web(format!("http://{}", honest.web))]);
    honest.link.delay_ms.store(1, Ordering::Relaxed);
    let dir = tempfile::tempdir().unwrap();
    let told = Arc::new(Told::default());
    let wanted = request(&liar.url(), dir.path(), Ways::only(Way::Http));
    let fetched = get(wanted, told.clone(), CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(fetched.outcome, Outcome::Fetched);
    assert_same(&liar.link.content, dir.path(), Times::Manifest);
    let dropped = |event: &Event| {
        matches!(
            event,
            Event::Way {
                state: WayState::Dropped { .. },
                ..
            }
        )
    };
    assert!(told.has(dropped), "{:?}", told.events());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_lies_are_no_files() {
    let node = Node::start(content()).await;
    node.link.lying.store(true, Ordering::Relaxed);
    for way in [Way::Iroh, Way::Http] {
        let dir = tempfile::tempdir().unwrap();
        let error = fetch(&node.url(), dir.path(), Ways::only(way))
            .await
            .unwrap_err();
        assert!(matches!(error, GetError::Verification(_)), "{way}: {error}");
        assert!(!dir.path().join("share").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_passed_on_at_once() {
    let node = Node::start(content()).await;
    for refusal in [
        Refusal::Unknown,
        Refusal::Stopped,
        Refusal::Expired,
        Refusal::UsedUp,
        Refusal::Password,
    ] {
        *node.link.refusal.lock().unwrap() = Some(refusal);
        for link in [node.url(), node.magnet()] {
            let dir = tempfile::tempdir().unwrap();
            let error = fetch(&link, dir.path(), Ways::all()).await.unwrap_err();
            assert!(
                matches!(error, GetError::Refused(why) if why == refusal),
                "{error}"
            );
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
    // Over iroh alone.
    *node.link.refusal.lock().unwrap() = Some(Refusal::Stopped);
    node.set_hints(vec![Hint::Iroh(node.iroh)]);
    let dir = tempfile::tempdir().unwrap();
    let error = fetch(&node.magnet(), dir.path(), Ways::only(Way::Iroh))
        .await
        .unwrap_err();
    assert!(
        matches!(error, GetError::Refused(Refusal::Stopped)),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_said_soon_and_by_address() {
    let node = Node::start(content()).await;
    let (url, web) = (node.url(), node.web.to_string());
    node.kill().await;
    let dir = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let error = fetch(&url, dir.path(), Ways::all()).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5));
    let GetError::Unreachable { tried } = &error else {
        panic!("{error}")
    };
    assert!(
        tried.iter().any(|tried| tried.address.contains(&web)),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_there_is_left_alone() {
    let node = Node::start(content()).await;
    let dir = tempfile::tempdir().unwrap();
    fetch(&node.url(), dir.path(), Ways::all()).await.unwrap();
    let sent = node.link.sent.load(Ordering::Relaxed);
    let again = fetch(&node.url(), dir.path(), Ways::all()).await.unwrap();
    assert_eq!(again.outcome, Outcome::AlreadyThere);
    assert_eq!(node.link.sent.load(Ordering::Relaxed), sent);
    let changed = dir.path().join("share/small/7");
    std::fs::write(&changed, noise(1, 4096)).unwrap();
    let error = fetch(&node.url(), dir.path(), Ways::all())
        .await
        .unwrap_err();
    assert!(matches!(error, GetError::TargetExists { .. }), "{error}");
    assert_eq!(std::fs::read(&changed).unwrap(), noise(1, 4096));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn hashing_is_waited_for() {
    let node = Node::start(content()).await;
    node.link.counting.store(true, Ordering::Relaxed);
    struct Waiting(Arc<dyn Fn() + Send + Sync>);
    impl shoal_transfer::fetch::Progress for Waiting {
        fn event(&self, event: Event) {
            if event == Event::Phase(Phase::WaitingForHashing) {
                (self.0)();
            }
        }
    }
    for (link, way) in [(node.url(), Way::Http), (node.magnet(), Way::Iroh)] {
        node.link.counting.store(true, Ordering::Relaxed);
        let hashed = node.link.clone();
        let told = Arc::new(Waiting(Arc::new(move || {
            hashed.counting.store(false, Ordering::Relaxed)
        })));
        let dir = tempfile::tempdir().unwrap();
        let wanted = request(&link, dir.path(), Ways::only(way));
        get(wanted, told, CancellationToken::new()).await.unwrap();
        assert_same(&node.link.content, dir.path(), Times::Manifest);
    }
}

/// A node that is started anew hashes again, at whatever moment that is for its takers.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hashes_again_is_waited_for() {
    let node = Node::start(content()).await;
    let all = ["/capability", "/record", "/manifest", "/blobs"];
    *node.link.later.lock().unwrap() = [all, all].concat();
    let dir = tempfile::tempdir().unwrap();
    fetch(&node.url(), dir.path(), Ways::only(Way::Http))
        .await
        .unwrap();
    assert!(node.link.later.lock().unwrap().is_empty());
    assert_same(&node.link.content, dir.path(), Times::Manifest);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lies_is_named() {
    let node = Node::start(content()).await;
    node.link.lying.store(true, Ordering::Relaxed);
    let dir = tempfile::tempdir().unwrap();
    let error = fetch(&node.url(), dir.path(), Ways::only(Way::Http))
        .await
        .unwrap_err();
    assert!(error.to_string().contains(&node.web.to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_bittorrent_refuses_is_told() {
    let node = Node::start(Content::new(
        "share",
        vec![Item::file("a\\b", noise(1, 40_000))],
    ))
    .await;
    let dir = tempfile::tempdir().unwrap();
    let error = fetch(&node.url(), dir.path(), Ways::only(Way::Torrent))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, GetError::TorrentName { path } if path == "a\\b"),
        "{error}"
    );
    fetch(&node.url(), dir.path(), Ways::all()).await.unwrap();
    assert_same(&node.link.content, dir.path(), Times::Manifest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_magnet_of_another_torrent_is_no_link() {
    let node = Node::start(content()).await;
    let digits = node.link.content.info.infohash().to_hex();
    let forged = node.magnet().replace(&digits, &"ab".repeat(20));
    let dir = tempfile::tempdir().unwrap();
    let error = fetch(&forged, dir.path(), Ways::all()).await.unwrap_err();
    assert!(matches!(error, GetError::BadLink(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_breaks_off_is_replaced_by_the_others() {
    let node = Node::start(content()).await;
    let other = node.replica().await;
    node.set_hints(vec![
        Hint::Web(format!("http://{}", node.web)),
        Hint::Web(format!("http://{}", other.web)),
    ]);
    node.link.delay_ms.store(20, Ordering::Relaxed);
    other.link.delay_ms.store(5, Ordering::Relaxed);
    let dir = tempfile::tempdir().unwrap();
    let wanted = request(&node.url(), dir.path(), Ways::only(Way::Http));
    let told = Arc::new(Told::default());
    let running = tokio::spawn(get(wanted, told.clone(), CancellationToken::new()));
    let link = node.link.clone();
    while !told.has(|event| matches!(event, Event::Done { bytes, .. } if *bytes > 0)) {
        tokio::task::yield_now().await;
    }
    node.kill().await;
    running.await.unwrap().unwrap();
    assert_same(&link.content, dir.path(), Times::Manifest);
}
