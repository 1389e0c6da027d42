//! Batches of a fileset that were told durable survive kill -9 at any moment, and none is ever there in part.

#![allow(clippy::unwrap_used, missing_docs)]

use shoal_protocol::id::{ContentHash, DeviceId, FilesetId};
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{
    Applied, AppliedChange, AuthorId, Batch, BatchId, Entry, EntrySet, Incarnation, Index, Kind,
    Meta, Role, Stamp, VersionVector,
};
use shoal_store::{FilesetIndex, Store};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: u64 = 10;
/// Paths of one batch.
const PATHS: u64 = 20;
const HOME: &str = "SHOAL_FILESET_KILL_TEST_HOME";
const ID: FilesetId = FilesetId([6; 32]);
const AUTHOR: AuthorId = AuthorId {
    device: DeviceId([1; 32]),
    epoch: 0,
};

#[test]
fn what_was_told_durable_survives_kill_9_and_batches_stay_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut durable = 0;
    for round in 0..ROUNDS {
        durable = write_until_killed(dir.path(), durable, round);
        let index = open(dir.path());
        let batches = index.meta().unwrap().unwrap().last_seq / PATHS;
        assert!(batches >= durable, "{batches} of {durable} are there");
        for n in 0..batches {
            check(&index, n);
        }
        // A batch that is not there has left nothing.
        assert_eq!(index.applied_count().unwrap(), batches * PATHS);
        assert_eq!(index.heads().unwrap(), [(AUTHOR, batches * PATHS)]);
    }
    assert!(durable >= ROUNDS);
}

/// Not a test of its own: the process that is killed.
#[test]
#[ignore = "started and killed by what_was_told_durable_survives_kill_9_and_batches_stay_whole"]
fn writer() {
    let Some(home) = std::env::var_os(HOME) else {
        return;
    };
    let index = open(Path::new(&home));
    let from = index
        .meta()
        .unwrap()
        .map_or(0, |meta| meta.last_seq / PATHS);
    for n in from.. {
        let told = index.persist(&batch(n), |id| {
            let mut out = std::io::stdout();
            writeln!(out, "\ndurable {}", id.unwrap().0).unwrap();
            out.flush().unwrap();
        });
        told.unwrap();
    }
}

fn open(home: &Path) -> FilesetIndex {
    Store::open(home).unwrap().fileset_index(&ID).unwrap()
}

fn write_until_killed(home: &Path, from: u64, round: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--ignored", "--nocapture"])
        .env(HOME, home)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut durable = from;
    let mut killed = false;
    for line in lines {
        let line = line.unwrap();
        let Some(n) = line.strip_prefix("durable ") else {
            continue;
        };
        durable = n.parse::<u64>().unwrap() + 1;
        if !killed && durable > from {
            // Not a wait for anything: it moves the kill through the middle of the next writes.
            let told = Instant::now();
            while told.elapsed() < Duration::from_micros(round * 371) {
                std::hint::spin_loop();
            }
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the writer ended by itself");
    durable
}

fn path(n: u64, k: u64) -> RelPath {
    RelPath::new(&format!("batch {n}/{k}")).unwrap()
}

fn seq(n: u64, k: u64) -> u64 {
    n * PATHS + k + 1
}

fn entry(n: u64, k: u64) -> Entry {
    Entry {
        path: path(n, k),
        kind: Kind::File {
            content: ContentHash::of(&seq(n, k).to_le_bytes()),
            size_bytes: seq(n, k),
        },
        mode: 0o644,
        mtime_ns: 1,
        parent: None,
        moved_from: None,
        version: VersionVector::from_pairs([(AUTHOR, seq(n, k))]),
        author: AUTHOR,
    }
}

fn row(n: u64, k: u64) -> Applied {
    let entry = entry(n, k);
    Applied {
        kind: entry.kind,
        mode: entry.mode,
        mtime_ns: entry.mtime_ns,
        stamp: Stamp {
            inode: seq(n, k),
            ..Stamp::default()
        },
        version: entry.version,
        role: Role::Main,
    }
}

fn batch(n: u64) -> Batch {
    let set = |k| EntrySet {
        path: path(n, k),
        maximal: vec![entry(n, k)],
    };
    let change = |k| AppliedChange {
        path: path(n, k),
        folded: None,
        row: Some(row(n, k)),
    };
    Batch {
        id: BatchId(n),
        entries: (0..PATHS).map(set).collect(),
        applied: (0..PATHS).map(change).collect(),
        knowledge: Vec::new(),
        meta: Some(Meta {
            author: AUTHOR,
            last_seq: (n + 1) * PATHS,
            incarnations: vec![Incarnation {
                first_seq: 1,
                nonce: 1,
            }],
            confirmed_seq: 0,
        }),
    }
}

fn check(index: &FilesetIndex, n: u64) {
    for k in 0..PATHS {
        assert_eq!(index.entries(&path(n, k)).unwrap(), [entry(n, k)]);
        assert_eq!(index.applied(&path(n, k)).unwrap(), Some(row(n, k)));
        assert_eq!(index.applied_inode(seq(n, k), 9).unwrap(), [path(n, k)]);
    }
    let authored = index.authored(AUTHOR, n * PATHS, PATHS as usize).unwrap();
    assert_eq!(authored.len(), PATHS as usize);
}
