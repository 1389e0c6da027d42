//! How fast each way is on this machine, with both ends in one process. Run by hand:
//! `cargo test --release -p shoal-transfer --test fetch_speed -- --ignored --nocapture`

#![allow(clippy::unwrap_used)]

mod fetch_fixture;

use fetch_fixture::{Content, Item, Node, Told, noise, request};
use shoal_transfer::fetch::{Durability, Event, Phase, Progress, Way, Ways, get};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Bytes of the large file.
const LARGE_BYTES: usize = 1 << 30;
const SMALL_FILES: u64 = 10_000;

struct Clock(Instant, Mutex<Vec<(Phase, f64)>>);

impl Progress for Clock {
    fn event(&self, event: Event) {
        if let Event::Phase(phase) = event {
            let at = self.0.elapsed().as_secs_f64();
            self.1.lock().unwrap().push((phase, at));
        }
    }
}

async fn measure(node: &Node, what: &str, ways: Ways, durability: Durability) {
    let dir = tempfile::tempdir_in(std::env::var("SPEED_DIR").unwrap_or("/tmp".into())).unwrap();
    let mut request = request(&node.magnet(), dir.path(), ways);
    request.options.durability = durability;
    let clock = Arc::new(Clock(Instant::now(), Mutex::default()));
    let fetched = get(request, clock.clone(), CancellationToken::new()).await;
    let fetched = fetched.unwrap();
    let took = clock.0.elapsed().as_secs_f64();
    let phases = clock.1.lock().unwrap();
    println!(
        "{what:6} {durability:?}: {took:.2} s, {phases:.2?} {:?}",
        fetched.ways
    );
}

async fn measure_all(node: &Node) {
    if let Ok(only) = std::env::var("SPEED_WAY") {
        let way = Way::ALL.into_iter().find(|way| way.to_string() == only);
        let ways = way.map_or(Ways::all(), Ways::only);
        for _ in 0..3 {
            measure(node, &only, ways, Durability::Written).await;
        }
        return;
    }
    for durability in [Durability::Written, Durability::Synced] {
        for way in [Way::Iroh, Way::Http, Way::Torrent] {
            measure(node, &way.to_string(), Ways::only(way), durability).await;
        }
        measure(node, "all", Ways::all(), durability).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn one_large_file() {
    let node = Node::start(Content::single("large", noise(1, LARGE_BYTES))).await;
    measure_all(&node).await;
    let _ = Told::default();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn many_small_files() {
    let files = (0..SMALL_FILES).map(|n| Item::file(&format!("{}/{n}", n % 100), noise(n, 4096)));
    let node = Node::start(Content::new("small", files.collect())).await;
    measure_all(&node).await;
}
