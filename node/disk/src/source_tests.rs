#![allow(clippy::unwrap_used)]

use crate::{SOURCE_CACHE_MAX_FILES, SourceCache, SourceError, Sources, Tree, walk};
use shoal_protocol::path::RelPath;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

fn shared(files: &[&str]) -> (TempDir, Tree, Sources) {
    let top = tempfile::tempdir().unwrap();
    for file in files {
        let path = top.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "0123456789").unwrap();
    }
    let tree = walk(&[top.path().to_path_buf()], None, None).unwrap();
    crate::hash::outlast_the_tick(&tree);
    let sources = Sources::open(&tree.roots).unwrap();
    (top, tree, sources)
}

fn read(tree: &Tree, sources: &Sources, path: &str) -> Result<[u8; 4], SourceError> {
    let path = RelPath::new(path).unwrap();
    let (_, _, stamp) = tree
        .files()
        .find(|(_, entry, _)| entry.path == path)
        .unwrap();
    let mut bytes = [0; 4];
    sources.file(&path, stamp)?.read_exact_at(3, &mut bytes)?;
    Ok(bytes)
}

#[test]
fn ranges_are_read_and_nothing_of_the_file_changes() {
    let (top, tree, sources) = shared(&["in/file"]);
    let before = fs::metadata(top.path().join("in/file")).unwrap();
    assert_eq!(&read(&tree, &sources, "in/file").unwrap(), b"3456");
    let after = fs::metadata(top.path().join("in/file")).unwrap();
    let times = |meta: &fs::Metadata| {
        (
            meta.atime(),
            meta.atime_nsec(),
            meta.mtime_nsec(),
            meta.ctime_nsec(),
            meta.len(),
        )
    };
    assert_eq!(times(&before), times(&after));
    let (_, entry, stamp) = tree.files().next().unwrap();
    let file = sources.file(&entry.path, stamp).unwrap();
    assert_eq!(file.size(), 10);
    for offset in [7, 11, u64::MAX] {
        let error = file.read_exact_at(offset, &mut [0; 4]).unwrap_err();
        assert!(
            matches!(&error, SourceError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof)
        );
    }
    file.read_exact_at(10, &mut []).unwrap();
}

#[test]
fn an_open_file_that_changes_is_not_read_any_more() {
    type Change = fn(&std::path::Path);
    let grow: Change = |path| {
        fs::File::options()
            .append(true)
            .open(path)
            .unwrap()
            .write_all_at(b"x", 10)
            .unwrap()
    };
    let shrink: Change = |path| {
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(2)
            .unwrap()
    };
    let rewrite: Change = |path| {
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .write_all_at(b"x", 0)
            .unwrap()
    };
    let remove: Change = |path| fs::remove_file(path).unwrap();
    let replace: Change = |path| {
        fs::write(path.with_extension("new"), "0123456789").unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    };
    for (change, name) in [
        (grow, "grow"),
        (shrink, "shrink"),
        (rewrite, "rewrite"),
        (remove, "remove"),
        (replace, "replace"),
    ] {
        let (top, tree, sources) = shared(&["file"]);
        let (_, entry, stamp) = tree.files().next().unwrap();
        let file = sources.file(&entry.path, stamp).unwrap();
        change(&top.path().join("file"));
        let error = file.read_exact_at(0, &mut [0; 4]).unwrap_err();
        match name {
            "remove" | "replace" => {
                assert!(matches!(error, SourceError::Gone), "{name}: {error:?}")
            }
            _ => assert!(matches!(error, SourceError::Changed), "{name}: {error:?}"),
        }
        let again = sources.file(&entry.path, stamp).unwrap_err();
        match name {
            "remove" => assert!(matches!(again, SourceError::Gone), "{name}: {again:?}"),
            _ => assert!(matches!(again, SourceError::Changed), "{name}: {again:?}"),
        }
    }
}

#[test]
fn links_and_fifos_swapped_in_are_changes_and_do_not_hang() {
    let (top, tree, sources) = shared(&["in/file", "fifo"]);
    fs::rename(top.path().join("in"), top.path().join("away")).unwrap();
    symlink("away", top.path().join("in")).unwrap();
    assert!(matches!(
        read(&tree, &sources, "in/file"),
        Err(SourceError::Changed)
    ));
    fs::remove_file(top.path().join("fifo")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        top.path().join("fifo"),
        rustix::fs::FileType::Fifo,
        mode,
        0,
    )
    .unwrap();
    assert!(matches!(
        read(&tree, &sources, "fifo"),
        Err(SourceError::Changed)
    ));
}

#[test]
fn roots_that_went_away_are_gone_and_other_paths_are_nowhere() {
    let (top, tree, sources) = shared(&["in/file"]);
    let roots = tree.roots.clone();
    for path in ["other", "in", "in/file/deeper"] {
        let path = RelPath::new(path).unwrap();
        let (_, _, stamp) = tree.files().next().unwrap();
        assert!(sources.file(&path, stamp).is_err(), "{path:?}");
    }
    drop(top);
    assert!(matches!(Sources::open(&roots), Err(SourceError::Gone)));
}

#[test]
fn the_cache_opens_once_keeps_the_last_and_forgets() {
    let (_top, tree, sources) = shared(&["a"]);
    let (_, entry, stamp) = tree.files().next().unwrap();
    let opened = AtomicUsize::new(0);
    let cache = SourceCache::default();
    let file = |key: usize| {
        let open = || {
            opened.fetch_add(1, Ordering::Relaxed);
            sources.file(&entry.path, stamp)
        };
        cache.file(&key, open).unwrap();
        opened.load(Ordering::Relaxed)
    };
    assert_eq!((file(0), file(0)), (1, 1));
    cache.forget(&0);
    assert_eq!(file(0), 2);
    for key in 1..=SOURCE_CACHE_MAX_FILES {
        file(key);
    }
    let before = opened.load(Ordering::Relaxed);
    assert_eq!(file(SOURCE_CACHE_MAX_FILES), before);
    assert_eq!(file(0), before + 1);
    cache.retain(|key| *key == 0);
    assert_eq!(file(0), before + 1);
    assert_eq!(file(5), before + 2);
}
