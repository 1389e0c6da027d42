//! What was acknowledged survives kill -9 at any moment.

#![allow(clippy::unwrap_used, missing_docs)]

use shoal_protocol::id::{ContentHash, InfoHash, LinkId};
use shoal_store::{
    Artefact, Audience, Durability, LogRow, ShareEnd, ShareRow, ShareState, Store, Way, What, Who,
};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: u64 = 20;
const HOME: &str = "SHOAL_STORE_KILL_TEST_HOME";
const FROM: &str = "SHOAL_STORE_KILL_TEST_FROM";

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        acknowledged = write_until_killed(dir.path(), acknowledged, round);
        let store = Store::open(dir.path()).unwrap();
        for n in 0..acknowledged {
            check(&store, n);
        }
        store.remove_unreferenced().unwrap();
    }
    assert!(
        acknowledged >= ROUNDS,
        "every round acknowledged something: {acknowledged}"
    );
}

/// Not a test of its own: the process that is killed.
#[test]
#[ignore = "started and killed by what_was_acknowledged_survives_kill_9"]
fn writer() {
    let Some(home) = std::env::var_os(HOME) else {
        return;
    };
    let from: u64 = std::env::var(FROM).unwrap().parse().unwrap();
    let store = Store::open(Path::new(&home)).unwrap();
    let mut out = std::io::stdout();
    for n in from.. {
        write(&store, n);
        writeln!(out, "\nacknowledged {n}").unwrap();
        out.flush().unwrap();
    }
}

fn write_until_killed(home: &Path, from: u64, round: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--ignored", "--nocapture"])
        .env(HOME, home)
        .env(FROM, from.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = from;
    let mut killed = false;
    for line in lines {
        let Some(n) = line
            .unwrap()
            .strip_prefix("acknowledged ")
            .map(|n| n.parse::<u64>().unwrap())
        else {
            continue;
        };
        assert_eq!(n, acknowledged);
        acknowledged += 1;
        if !killed && acknowledged >= from + 1 + round {
            // Not a wait for anything: it moves the kill through the middle of the next writes.
            let acknowledged_at = Instant::now();
            while acknowledged_at.elapsed() < Duration::from_micros(round * 173) {
                std::hint::spin_loop();
            }
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the writer ended by itself");
    acknowledged
}

fn write(store: &Store, n: u64) {
    let (snapshot, id) = (snapshot(n), id(n));
    store
        .put_share(&row(n, ShareState::Counting), Durability::Lazy)
        .unwrap();
    store
        .put_artefact(&snapshot, Artefact::Manifest, &n.to_le_bytes().repeat(1000))
        .unwrap();
    let log = LogRow {
        at_ms: n,
        who: Who::Node,
        way: Way::None,
        what: What::Opened,
        bytes: 0,
        detail: String::new(),
    };
    store.append_log(&id, &log, Durability::Lazy).unwrap();
    store
        .update_share(&id, Durability::Flushed, |row| row.state = ready(n))
        .unwrap();
}

fn check(store: &Store, n: u64) {
    assert_eq!(store.share(&id(n)).unwrap(), Some(row(n, ready(n))));
    assert_eq!(
        store
            .share_by_infohash(&infohash(n))
            .unwrap()
            .map(|row| row.id),
        Some(id(n))
    );
    // One that was cut off before it was acknowledged is written again.
    assert!(store.log(&id(n), 0, 10).unwrap().total >= 1);
    let manifest = store
        .artefact_bytes(&snapshot(n), Artefact::Manifest)
        .unwrap();
    assert_eq!(manifest, n.to_le_bytes().repeat(1000));
}

fn row(n: u64, state: ShareState) -> ShareRow {
    ShareRow {
        id: id(n),
        name: format!("share {n}"),
        roots: vec!["/a".into()],
        created_s: n,
        expires_s: None,
        max_downloads: None,
        audience: Audience::Link,
        notify: None,
        state,
        end: ShareEnd::Active,
        capability: vec![0; 200],
        record: vec![0; 150],
        salt: [0; 16],
        announce_token: [0; 16],
        password: None,
    }
}

fn ready(n: u64) -> ShareState {
    ShareState::Ready {
        snapshot: snapshot(n),
        infohash: infohash(n),
        files: 1,
        bytes: n,
    }
}

fn id(n: u64) -> LinkId {
    LinkId(u128::from(n).to_be_bytes())
}

fn snapshot(n: u64) -> ContentHash {
    ContentHash::of(&n.to_le_bytes())
}

fn infohash(n: u64) -> InfoHash {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    InfoHash(bytes)
}
