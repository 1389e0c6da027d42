//! A home as a whole: untouched when it is newer, an error when it is damaged, and small.

#![allow(clippy::unwrap_used, missing_docs)]

use shoal_protocol::id::{ContentHash, InfoHash, LinkId};
use shoal_store::{
    Artefact, Audience, Durability, LogRow, ShareEnd, ShareRow, ShareState, StampRow, Store,
    StoreError, Way, What, Who,
};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

const FILES: u64 = 10_000;
const HOME_MAX_BYTES: u64 = 8_000_000;

#[test]
fn a_home_of_a_newer_version_is_refused_with_every_byte_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    std::fs::write(dir.path().join("format"), "shoal home format 2\n").unwrap();
    let before = everything(dir.path());
    let error = Store::open(dir.path()).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Newer {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("newer version of shoal"),
        "{error}"
    );
    assert_eq!(everything(dir.path()), before);
}

#[test]
fn a_damaged_database_is_an_error_and_never_an_empty_home() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("no database", |store| {
            std::fs::remove_dir_all(store).unwrap()
        }),
        ("no log", |store| {
            std::fs::remove_file(store.join("db")).unwrap()
        }),
        ("an empty log", |store| {
            std::fs::write(store.join("db"), "").unwrap()
        }),
        ("a log of zeros", |store| {
            let len = store.join("db").metadata().unwrap().len();
            std::fs::write(store.join("db"), vec![0; len as usize]).unwrap()
        }),
        ("a changed log", |store| {
            let mut bytes = std::fs::read(store.join("db")).unwrap();
            bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
            std::fs::write(store.join("db"), bytes).unwrap()
        }),
    ];
    for (name, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        drop(filled(dir.path()));
        damage(&dir.path().join("store"));
        let error = Store::open(dir.path()).expect_err(name);
        assert!(
            matches!(error, StoreError::Corrupt { .. }),
            "{name}: {error}"
        );
        assert!(error.to_string().contains("backup"), "{name}: {error}");
    }
}

#[test]
fn a_first_start_that_was_cut_off_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    std::fs::remove_file(dir.path().join("format")).unwrap();
    drop(filled(dir.path()));
    std::fs::remove_file(dir.path().join("format")).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(
        error.to_string().contains("missing beside a store"),
        "{error}"
    );
}

#[test]
fn a_home_of_10_000_small_files_is_small_and_its_stamps_load_fast() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    for n in 0..2_000 {
        let row = LogRow {
            at_ms: n,
            who: Who::Address("192.0.2.1".parse().unwrap()),
            way: Way::Http,
            what: What::File,
            bytes: 4096,
            detail: format!("folder/file-{n}"),
        };
        store.append_log(&id(), &row, Durability::Lazy).unwrap();
    }
    for n in 0..200 {
        store
            .put_setting("port", &[n], Durability::Flushed)
            .unwrap();
    }
    let start = Instant::now();
    let stamps = store.stamps(&snapshot(), &id()).unwrap();
    let took = start.elapsed();
    assert_eq!(stamps.len() as u64, FILES);
    assert!(
        took < Duration::from_millis(100),
        "an unoptimised build may take this long: {took:?}"
    );
    drop(store);
    let (apparent, allocated) = sizes(dir.path());
    println!(
        "home of {FILES} files: {apparent} bytes, {allocated} bytes on disk, stamps in {took:?}"
    );
    assert!(apparent < HOME_MAX_BYTES, "{apparent} bytes");
    assert!(allocated < HOME_MAX_BYTES, "{allocated} bytes on disk");
}

/// A home with one share of 10,000 files of 4 KiB, as the real formats make it.
fn filled(home: &Path) -> Store {
    let store = Store::open(home).unwrap();
    let mut row = ShareRow {
        id: id(),
        name: "folder".to_owned(),
        roots: vec!["/home/somebody/folder".into()],
        created_s: 1,
        expires_s: None,
        max_downloads: None,
        audience: Audience::Link,
        notify: None,
        state: ShareState::Counting,
        end: ShareEnd::Active,
        capability: vec![1; 300],
        record: Vec::new(),
        salt: [1; 16],
        announce_token: [1; 16],
        password: None,
    };
    store.put_share(&row, Durability::Flushed).unwrap();
    // Path 30 bytes, hash 32, numbers 12; and for the metainfo 60 bytes a file and 20 a piece.
    store
        .put_artefact(
            &snapshot(),
            Artefact::Manifest,
            &vec![1; FILES as usize * 80],
        )
        .unwrap();
    store
        .put_artefact(
            &snapshot(),
            Artefact::Metainfo(id()),
            &vec![1; FILES as usize * 80 + 640 * 20],
        )
        .unwrap();
    let stamps: Vec<_> = (0..FILES).map(stamp).collect();
    store.put_stamps(&snapshot(), &id(), &stamps).unwrap();
    row.state = ShareState::Ready {
        snapshot: snapshot(),
        infohash: InfoHash([3; 20]),
        files: FILES,
        bytes: 4096 * FILES,
    };
    row.record = vec![1; 200];
    store.put_share(&row, Durability::Flushed).unwrap();
    store
}

fn stamp(n: u64) -> StampRow {
    StampRow {
        size_bytes: 4096,
        mtime_ns: 1_790_000_000_000_000_000 + n as i64 * 1_234_567,
        ctime_ns: 1_790_000_000_000_000_000 + n as i64 * 7_654_321,
        ino: 5_000_000 + n * 7919 % 100_000,
        dev: 65_024,
    }
}

fn id() -> LinkId {
    LinkId([1; 16])
}

fn snapshot() -> ContentHash {
    ContentHash([2; 32])
}

/// Path, modification time and bytes of everything below `dir`.
fn everything(dir: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    walk(dir)
        .into_iter()
        .map(|path| {
            let meta = path.symlink_metadata().unwrap();
            let bytes = if meta.is_file() {
                std::fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            (path, (meta.modified().unwrap(), bytes))
        })
        .collect()
}

/// What `du -s --apparent-size` and `du -s` count.
fn sizes(dir: &Path) -> (u64, u64) {
    let metas = walk(dir)
        .into_iter()
        .map(|path| path.symlink_metadata().unwrap());
    metas.fold((0, 0), |(apparent, blocks), meta| {
        (apparent + meta.len(), blocks + meta.blocks() * 512)
    })
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_path_buf()];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path))
        } else {
            found.push(path)
        }
    }
    found
}
