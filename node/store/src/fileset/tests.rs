// Length: one table of rows, seen from each side of the index.
#![allow(clippy::unwrap_used)]

use crate::{Durability, FilesetIndex, FilesetRow, Running, Store};
use proptest::prelude::*;
use shoal_protocol::id::{ContentHash, DeviceId, FilesetId, RecordHash};
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{
    Applied, AppliedChange, AuthorId, Batch, BatchId, Case, Dot, Entry, EntrySet, Forms,
    Incarnation, Index, Kind, Meta, Names, Removal, Role, Seen, Span, Stamp, VersionVector,
};
use std::collections::BTreeMap;

const ID: FilesetId = FilesetId([5; 32]);

fn rel(path: &str) -> RelPath {
    RelPath::new(path).unwrap()
}

fn author(n: u8) -> AuthorId {
    AuthorId {
        device: DeviceId([n; 32]),
        epoch: u32::from(n) % 2,
    }
}

fn content(n: u64) -> ContentHash {
    ContentHash::of(&n.to_le_bytes())
}

fn file(n: u64) -> Kind {
    Kind::File {
        content: content(n),
        size_bytes: n,
    }
}

fn entry(path: &str, n: u8, seq: u64, kind: Kind) -> Entry {
    let author = author(n);
    Entry {
        path: rel(path),
        kind,
        mode: 0o644,
        mtime_ns: 1_600_000_000_123_456_789,
        parent: None,
        moved_from: None,
        version: VersionVector::from_pairs([(author, seq)]),
        author,
    }
}

fn applied(kind: Kind, inode: u64) -> Applied {
    Applied {
        kind,
        mode: 0o644,
        mtime_ns: 1_600_000_000_123_456_789,
        stamp: Stamp {
            size_bytes: 7,
            mtime_ns: 1_600_000_000_123_456_700,
            ctime_ns: 1_795_416_102_516_961_329,
            inode,
            mode: 0o600,
        },
        version: VersionVector::from_pairs([(author(1), 3), (author(2), 9)]),
        role: Role::Main,
    }
}

/// The names of macOS.
const FOLDING: Names = Names {
    case: Case::Folded,
    forms: Forms::Folded,
};

fn batch(entries: Vec<EntrySet>, rows: Vec<(&str, Option<Applied>)>) -> Batch {
    Batch {
        id: BatchId(1),
        entries,
        applied: rows
            .into_iter()
            .map(|(path, row)| AppliedChange {
                path: rel(path),
                folded: FOLDING.folded(&rel(path)),
                row,
            })
            .collect(),
        knowledge: Vec::new(),
        meta: None,
    }
}

fn set(path: &str, maximal: Vec<Entry>) -> EntrySet {
    EntrySet {
        path: rel(path),
        maximal,
    }
}

fn paths(rows: Vec<(RelPath, Applied)>) -> Vec<String> {
    rows.into_iter()
        .map(|(path, _)| path.as_str().to_owned())
        .collect()
}

#[test]
fn everything_goes_round_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut odd = entry("a/b", 2, 9, Kind::Tombstone(Removal::Confirmed));
    odd.parent = Some(content(4));
    odd.moved_from = Some(rel("from/here"));
    odd.version.raise(Dot {
        author: author(3),
        seq: 77,
    });
    let link = Kind::Symlink {
        target: "../x".into(),
    };
    let sets = vec![
        set("a", vec![entry("a", 1, 1, Kind::Folder)]),
        set("a/b", vec![entry("a/b", 1, 2, file(8)), odd.clone()]),
        set("a/l", vec![entry("a/l", 1, 3, link.clone())]),
    ];
    let mut copy = applied(file(8), 12);
    copy.role = Role::Copy { of: rel("a/b") };
    let mut implied = applied(Kind::Folder, 0);
    implied.role = Role::Implied;
    let rows = vec![
        ("a", Some(implied.clone())),
        ("a/b.conflict", Some(copy.clone())),
        ("a/l", Some(applied(link, 13))),
    ];
    let mut batch = batch(sets.clone(), rows);
    let seen = Seen {
        seq: 9,
        incarnation: u64::MAX,
    };
    batch.knowledge = vec![(author(2), seen), (author(9), seen)];
    let meta = Meta {
        author: author(2),
        last_seq: 9,
        incarnations: vec![Incarnation {
            first_seq: 1,
            nonce: 5,
        }],
        confirmed_seq: 4,
    };
    batch.meta = Some(meta.clone());
    let store = Store::open(dir.path()).unwrap();
    store.fileset_index(&ID).unwrap().apply(&batch).unwrap();
    store.flush().unwrap();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    let index = store.fileset_index(&ID).unwrap();
    for set in &sets {
        assert_eq!(index.entries(&set.path).unwrap(), set.maximal);
    }
    assert_eq!(index.applied(&rel("a")).unwrap(), Some(implied));
    assert_eq!(index.applied(&rel("a/b.conflict")).unwrap(), Some(copy));
    assert_eq!(index.applied_count().unwrap(), 3);
    assert_eq!(index.meta().unwrap(), Some(meta));
    assert_eq!(
        index.knowledge().unwrap(),
        BTreeMap::from([(author(2), seen), (author(9), seen)])
    );
    assert_eq!(
        index.heads().unwrap(),
        [(author(1), 3), (author(2), 9)],
        "authors of maximal entries alone"
    );
    assert_eq!(index.authored(author(2), 0, 9).unwrap(), [odd]);
    assert_eq!(index.authored(author(2), 9, 9).unwrap(), []);
    assert_eq!(index.authored(author(1), 1, 1).unwrap()[0].path, rel("a/b"));
    assert_eq!(index.authored(author(8), 0, 9).unwrap(), []);
}

#[test]
fn a_number_that_was_given_to_two_paths_names_both() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let index = store.fileset_index(&ID).unwrap();
    let all = [
        entry("a", 1, 1, file(1)),
        entry("b", 1, 2, file(2)),
        entry("c/d", 1, 2, file(3)),
        entry("e", 1, u64::MAX, file(4)),
    ];
    let sets = all.iter().map(|it| set(it.path.as_str(), vec![it.clone()]));
    index.apply(&batch(sets.collect(), Vec::new())).unwrap();
    for (after, limit, expected) in [
        (0, 1, &all[..1]),
        (0, 2, &all[..3]),
        (1, 1, &all[1..3]),
        (2, 9, &all[3..]),
        (u64::MAX, 9, &[]),
    ] {
        let found = index.authored(author(1), after, limit).unwrap();
        assert_eq!(found, expected, "{after} {limit}");
    }
    let gone = batch(vec![set("c/d", Vec::new())], Vec::new());
    index.apply(&gone).unwrap();
    assert_eq!(index.authored(author(1), 1, 1).unwrap(), all[1..2]);
}

#[test]
fn an_index_of_version_1_is_brought_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let index = store.fileset_index(&ID).unwrap();
    let all = [entry("a", 1, 1, file(1)), entry("c/d", 1, 2, file(3))];
    let sets = all.iter().map(|it| set(it.path.as_str(), vec![it.clone()]));
    index.apply(&batch(sets.collect(), Vec::new())).unwrap();
    let tree = &index.0.tree;
    for row in tree.scan_prefix(b"s").keys() {
        let key = row.unwrap();
        tree.remove(&key).unwrap();
        tree.insert(&key[..11], &key[11..]).unwrap();
    }
    tree.insert(b"v", &1_u32.to_be_bytes()).unwrap();
    drop(index);
    let index = store.fileset_index(&ID).unwrap();
    assert_eq!(index.authored(author(1), 0, 9).unwrap(), all);
    let version = index.0.tree.get(b"v").unwrap();
    assert_eq!(version.as_deref(), Some(&2_u32.to_be_bytes()[..]));
}

#[test]
fn old_rows_by_author_content_and_inode_go_with_their_path() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let index = store.fileset_index(&ID).unwrap();
    let both = vec![entry("p", 1, 1, file(1)), entry("p", 2, 1, file(2))];
    index
        .apply(&batch(
            vec![set("p", both.clone())],
            vec![
                ("p", Some(applied(file(1), 10))),
                ("q", Some(applied(file(1), 10))),
            ],
        ))
        .unwrap();
    assert_eq!(
        index.applied_content(&content(1), 9).unwrap(),
        [rel("p"), rel("q")]
    );
    assert_eq!(index.applied_inode(10, 1).unwrap(), [rel("p")]);
    let merged = entry("p", 2, 2, file(3));
    index
        .apply(&batch(
            vec![
                set("p", vec![both[0].clone()]),
                set("p", vec![merged.clone()]),
            ],
            vec![
                ("p", None),
                ("p", Some(applied(file(3), 11))),
                ("q", None),
                ("none", None),
            ],
        ))
        .unwrap();
    assert_eq!(
        index.entries(&rel("p")).unwrap(),
        std::slice::from_ref(&merged)
    );
    assert_eq!(index.authored(author(1), 0, 9).unwrap(), []);
    assert_eq!(index.authored(author(2), 0, 9).unwrap(), [merged]);
    assert_eq!(index.heads().unwrap(), [(author(2), 2)]);
    assert_eq!(index.applied_content(&content(1), 9).unwrap(), []);
    assert_eq!(index.applied_inode(10, 9).unwrap(), []);
    assert_eq!(index.applied_inode(11, 9).unwrap(), [rel("p")]);
    assert_eq!(index.applied_count().unwrap(), 1);
    index
        .apply(&batch(vec![set("p", Vec::new())], vec![("p", None)]))
        .unwrap();
    assert_eq!(index.entries(&rel("p")).unwrap(), []);
    assert_eq!(index.heads().unwrap(), []);
    assert_eq!(index.applied_count().unwrap(), 0);
}

#[test]
fn twins_are_found_by_what_they_have_in_common() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let index = store.fileset_index(&ID).unwrap();
    let some = || Some(applied(file(1), 10));
    let rows = vec![("d/\u{c9}", some()), ("d/\u{c9}a", some()), ("d", some())];
    index.apply(&batch(Vec::new(), rows)).unwrap();
    let twins = |path: &str| {
        let folded = FOLDING.folded(&rel(path)).unwrap();
        index.applied_folded(&folded, 9).unwrap()
    };
    assert_eq!(twins("D/e\u{301}"), [rel("d/\u{c9}")]);
    assert_eq!(twins("D"), [rel("d")]);
    let rows = vec![("d/\u{c9}", None), ("D/\u{e9}", some())];
    index.apply(&batch(Vec::new(), rows)).unwrap();
    assert_eq!(twins("d/\u{c9}"), [rel("D/\u{e9}")]);
}

#[test]
fn spans_and_children_are_in_the_order_of_paths() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let index = store.fileset_index(&ID).unwrap();
    let all = [
        "a",
        "a/x",
        "a/x/1",
        "a/x/2",
        "a/y",
        "a-",
        "a.b",
        "é",
        "\u{10ffff}",
    ];
    let folders = ["a", "a/x"];
    let rows = all.map(|path| {
        let kind = match folders.contains(&path) {
            true => Kind::Folder,
            false => file(1),
        };
        (path, Some(applied(kind, 1)))
    });
    let sets = all.map(|path| set(path, vec![entry(path, 1, 1, file(1))]));
    index.apply(&batch(sets.into(), rows.into())).unwrap();
    let span = |below: Option<&str>, after: Option<&str>, limit| {
        let (below, after) = (below.map(rel), after.map(rel));
        let span = Span {
            below: below.as_ref(),
            after: after.as_ref(),
        };
        let applied = paths(index.applied_in(span, limit).unwrap());
        let entries = index.entries_in(span, limit).unwrap();
        let entries: Vec<_> = entries.iter().map(|e| e.path.as_str().to_owned()).collect();
        assert_eq!(applied, entries);
        applied
    };
    assert_eq!(span(None, None, 99), all);
    assert_eq!(span(None, Some("a/x/2"), 2), ["a/y", "a-"]);
    assert_eq!(span(Some("a"), None, 99), ["a/x", "a/x/1", "a/x/2", "a/y"]);
    assert_eq!(span(Some("a"), Some("a/x"), 1), ["a/x/1"]);
    assert_eq!(span(Some("a"), Some("z"), 9), [""; 0]);
    assert_eq!(span(Some("a/x"), Some("a"), 9), ["a/x/1", "a/x/2"]);
    let children = |folder: Option<&str>, after: Option<&str>, limit| {
        let folder = folder.map(rel);
        paths(
            index
                .applied_children(folder.as_ref(), after, limit)
                .unwrap(),
        )
    };
    assert_eq!(
        children(None, None, 99),
        ["a", "a-", "a.b", "é", "\u{10ffff}"]
    );
    assert_eq!(children(None, Some("a"), 2), ["a-", "a.b"]);
    assert_eq!(children(Some("a"), None, 9), ["a/x", "a/y"]);
    assert_eq!(children(Some("a"), Some("x"), 9), ["a/y"]);
    assert_eq!(children(Some("a/x"), Some("1"), 9), ["a/x/2"]);
    assert_eq!(children(Some("a/y"), None, 9), [""; 0]);
}

#[test]
fn children_below_something_unknown_are_jumped_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let index = store.fileset_index(&ID).unwrap();
    // A folder without a row of its own.
    let rows = vec![
        ("d/e/1", Some(applied(file(1), 1))),
        ("d/e/2", Some(applied(file(1), 1))),
        ("d/f", Some(applied(file(1), 1))),
    ];
    index.apply(&batch(Vec::new(), rows)).unwrap();
    let children = index.applied_children(Some(&rel("d")), None, 9).unwrap();
    assert_eq!(paths(children), ["d/f"]);
}

#[test]
fn batches_are_told_durable_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let index = store.fileset_index(&ID).unwrap();
    let (told, tells) = std::sync::mpsc::channel();
    for n in 0..50 {
        let path = format!("p{n}");
        let mut batch = batch(
            vec![set(&path, vec![entry(&path, 1, n + 1, file(n))])],
            vec![],
        );
        batch.id = BatchId(n);
        let told = told.clone();
        index
            .persist(&batch, move |id| told.send(id.unwrap()).unwrap())
            .unwrap();
        assert_eq!(
            index.entries(&rel(&path)).unwrap().len(),
            1,
            "visible at once"
        );
    }
    drop(told);
    // A store that is closed can be opened at once, and nobody was forgotten.
    drop((index, store));
    Store::open(dir.path()).unwrap();
    let order: Vec<_> = tells.iter().map(|id| id.0).collect();
    assert_eq!(order, (0..50).collect::<Vec<_>>());
}

#[test]
fn filesets_are_listed_and_forgotten_with_their_index() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let row = |n: u8| FilesetRow {
        id: FilesetId([n; 32]),
        name: format!("set {n}"),
        root: "/home/me/Work".into(),
        genesis: vec![n; 100],
        running: Running::Yes,
        formerly: None,
    };
    for n in [1, 2] {
        store.put_fileset(&row(n), Durability::Lazy).unwrap();
    }
    let paused = FilesetRow {
        running: Running::Paused,
        ..row(2)
    };
    store.put_fileset(&paused, Durability::Flushed).unwrap();
    let index = store.fileset_index(&row(1).id).unwrap();
    index
        .apply(&batch(
            vec![set("p", vec![entry("p", 1, 1, file(1))])],
            vec![],
        ))
        .unwrap();
    drop(index);
    assert_eq!(store.filesets().unwrap(), [row(1), paused.clone()]);
    store
        .remove_fileset(&row(1).id, Durability::Flushed)
        .unwrap();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.filesets().unwrap(), [paused]);
    let index = store.fileset_index(&row(1).id).unwrap();
    assert_eq!(index.entries(&rel("p")).unwrap(), []);
}

#[test]
fn another_group_comes_with_its_filesets_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let row = |n: u8, formerly| FilesetRow {
        id: FilesetId([n; 32]),
        name: "work".into(),
        root: "/home/me/Work".into(),
        genesis: vec![n],
        running: Running::Paused,
        formerly,
    };
    let record = |n: u8| (RecordHash([n; 32]), vec![n]);
    store
        .put_group(&[record(1)], &[], Durability::Lazy)
        .unwrap();
    store.put_fileset(&row(1, None), Durability::Lazy).unwrap();
    store.put_fileset(&row(9, None), Durability::Lazy).unwrap();
    let (former, moved) = (row(1, None), row(2, Some(FilesetId([1; 32]))));
    let too_big = FilesetRow {
        genesis: vec![0; 1 << 20],
        ..moved.clone()
    };
    store
        .change_group(&[record(2)], &[(former.id, too_big)])
        .unwrap_err();
    assert_eq!(store.filesets().unwrap(), [former.clone(), row(9, None)]);
    assert_eq!(store.group().unwrap().records, [vec![1]]);
    store
        .change_group(&[record(2)], &[(former.id, moved.clone())])
        .unwrap();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.filesets().unwrap(), [moved, row(9, None)]);
    assert_eq!(store.group().unwrap().records, [vec![2]]);
}

proptest! {
    #[test]
    fn any_bytes_are_rows_or_an_error(bytes: Vec<u8>) {
        let authors = super::Authors::default();
        let _ = super::codec::decode_applied(&bytes, &authors);
        let _ = super::codec::decode_entries(&rel("p"), &bytes, &authors);
        let _ = super::codec::decode_meta(&bytes, &authors);
        let _ = super::codec::decode_seen(&bytes);
        let _ = super::keys::path_of(&bytes);
    }
}

/// A figure for people: `cargo test --release -p shoal-store index_of_many -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn index_of_many() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let index = store.fileset_index(&ID).unwrap();
    let start = std::time::Instant::now();
    for part in 0..200_u64 {
        fill(&index, part);
        store.flush().unwrap();
    }
    println!("200,000 entries and applied rows in {:?}", start.elapsed());
    let start = std::time::Instant::now();
    for n in (0..200_000_u64).step_by(7) {
        let path = rel(&format!("folder-{:03}/file-{n:06}.txt", n / 1000));
        assert!(index.applied(&path).unwrap().is_some());
    }
    println!("28,572 reads in {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let folder = rel("folder-100");
    assert_eq!(
        index
            .applied_children(Some(&folder), None, 5000)
            .unwrap()
            .len(),
        1000
    );
    println!("1,000 children in {:?}", start.elapsed());
    drop((index, store));
    let size = |path: std::path::PathBuf| -> u64 {
        std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum()
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = status.lines().filter(|line| line.starts_with("Vm"));
    println!(
        "{} MB on disk",
        (size(dir.path().join("store")) + size(dir.path().join("store/blobs"))) / 1_000_000
    );
    memory.for_each(|line| println!("{line}"));
}

fn fill(index: &FilesetIndex, part: u64) {
    let mut sets = Vec::new();
    let mut rows = Vec::new();
    for n in part * 1000..part * 1000 + 1000 {
        let path = rel(&format!("folder-{part:03}/file-{n:06}.txt"));
        let mut entry = entry(path.as_str(), 1, n + 1, file(n));
        entry.mtime_ns += n as i64 * 1_234_567;
        let mut row = applied(file(n), 10_000_000 + n);
        row.version = entry.version.clone();
        row.mtime_ns = entry.mtime_ns;
        row.stamp.mtime_ns = entry.mtime_ns;
        row.stamp.ctime_ns += n as i64 * 54_321;
        rows.push(AppliedChange {
            path: path.clone(),
            folded: None,
            row: Some(row),
        });
        sets.push(EntrySet {
            path,
            maximal: vec![entry],
        });
    }
    let batch = Batch {
        id: BatchId(part),
        entries: sets,
        applied: rows,
        knowledge: Vec::new(),
        meta: None,
    };
    index.apply(&batch).unwrap();
}

#[test]
fn what_is_live_is_counted_and_conflicts_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let index = store.fileset_index(&ID).unwrap();
    let set = |path: &str, maximal: Vec<Entry>| EntrySet {
        path: rel(path),
        maximal,
    };
    let put = |sets| index.apply(&batch(sets, Vec::new())).unwrap();
    let counts = || (index.live_count().unwrap(), index.conflicts(9).unwrap());
    let twice = vec![entry("a", 1, 1, file(1)), entry("a", 2, 1, file(2))];
    put(vec![
        set("a", twice),
        set("b", vec![entry("b", 1, 2, file(3))]),
    ]);
    assert_eq!(counts(), (3, vec![rel("a")]));
    // The same content twice is one.
    put(vec![set(
        "a",
        vec![entry("a", 1, 1, file(1)), entry("a", 2, 2, file(1))],
    )]);
    assert_eq!(counts(), (2, Vec::new()));
    let gone = entry("b", 1, 3, Kind::Tombstone(Removal::Deleted));
    put(vec![set("b", vec![gone]), set("a", Vec::new())]);
    assert_eq!(counts(), (0, Vec::new()));
}
