#![allow(clippy::unwrap_used)]

use super::fixture_tests::{FILESET, Fixture, rel};
use super::*;
use rustix::fs::{CWD, FileType, Mode};
use shoal_protocol::id::{ContentHash, FilesetId};
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{self, Kind, Page};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

const NONE: [&str; 0] = [];

fn set_mtime(path: &Path, mtime: SystemTime) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(mtime).unwrap();
}

fn pages(f: &Fixture) -> Vec<Page> {
    let told = f.try_scan(Look::Everything).unwrap().1;
    told.into_iter()
        .filter_map(|told| match told {
            Told::Page(page) => Some(page),
            Told::Problem(_) => None,
        })
        .collect()
}

#[test]
fn everything_is_new_once_and_then_unchanged() {
    let mut f = Fixture::new();
    f.write("a/b/file", "text");
    f.write("a.b", "");
    fs::create_dir(f.at("empty")).unwrap();
    symlink("/etc/passwd", f.at("out")).unwrap();
    fs::hard_link(f.at("a/b/file"), f.at("a/hard")).unwrap();
    let told = f.differences(Look::Everything);
    let all = [
        "d a",
        "d a/b",
        "d empty",
        "f a.b",
        "f a/b/file",
        "f a/hard",
        "l out",
    ];
    assert_eq!(told, all);
    f.settle();
    let content = ContentHash::of(b"text");
    let size_bytes = 4;
    for path in ["a/b/file", "a/hard"] {
        let kind = Kind::File {
            content,
            size_bytes,
        };
        assert_eq!(f.index.0[&rel(path)].kind, kind);
    }
    assert_eq!(f.differences(Look::Everything), NONE);
    let summary = f.try_scan(Look::Everything).unwrap().0;
    assert_eq!((summary.present, summary.hashed), (7, 0));
}

#[test]
fn every_kind_of_change_is_seen() {
    let mut f = Fixture::new();
    for name in ["edit", "sneaky", "mode", "touch", "gone", "type", "same"] {
        f.write(name, name);
    }
    f.write("dir/in", "x");
    symlink("a", f.at("link")).unwrap();
    f.settle();
    f.write("edit", "other");
    // Same size, and the mtime set back: only ctime tells.
    let mtime = fs::metadata(f.at("sneaky")).unwrap().modified().unwrap();
    f.write("sneaky", "SNEAKY");
    set_mtime(&f.at("sneaky"), mtime);
    fs::set_permissions(f.at("mode"), fs::Permissions::from_mode(0o751)).unwrap();
    set_mtime(&f.at("touch"), SystemTime::UNIX_EPOCH);
    fs::remove_file(f.at("gone")).unwrap();
    fs::remove_file(f.at("type")).unwrap();
    fs::create_dir(f.at("type")).unwrap();
    fs::rename(f.at("dir"), f.at("moved")).unwrap();
    // The same bytes and times in another inode.
    let mtime = fs::metadata(f.at("same")).unwrap().modified().unwrap();
    f.write("same.new", "same");
    set_mtime(&f.at("same.new"), mtime);
    fs::rename(f.at("same.new"), f.at("same")).unwrap();
    fs::remove_file(f.at("link")).unwrap();
    symlink("b", f.at("link")).unwrap();
    assert_eq!(
        f.differences(Look::Everything),
        [
            "d moved",
            "d type",
            "f edit",
            "f moved/in",
            "f sneaky",
            "l link",
            "m mode",
            "t touch",
            "v dir",
            "v gone"
        ]
    );
    // What is in the renamed folder was not read: its stamps are known from the old place.
    let summary = f.try_scan(Look::Everything).unwrap().0;
    assert_eq!(summary.hashed, 5, "edit, sneaky, mode, touch, same");
    f.settle();
    assert_eq!(f.differences(Look::Everything), NONE);
}

#[test]
fn problems_are_told_and_nothing_is_concluded_there() {
    let mut f = Fixture::new();
    for path in ["a/1", "c", "nest/1"] {
        f.write(path, path);
    }
    f.settle();
    fs::remove_file(f.at("c")).unwrap();
    rustix::fs::mknodat(
        CWD,
        f.at("c"),
        FileType::Fifo,
        Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    fs::create_dir(f.at("nest/.shoal")).unwrap();
    fs::write(f.at("nest/.shoal/marker"), "x").unwrap();
    fs::create_dir(f.at("a/.Shoal")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(f.at("d")).unwrap();
    fs::write(f.at("").join(OsStr::from_bytes(b"\xff")), "x").unwrap();
    symlink(OsStr::from_bytes(b"\xfe"), f.at("latin")).unwrap();
    let mut told = f.differences(Look::Everything);
    // In a fixture without a machine, what is Unknown still has its row.
    told.retain(|line| !line.starts_with('v'));
    assert_eq!(
        told,
        [
            "! \\xff NotUtf8",
            "! a/.Shoal Reserved",
            "! c Fifo",
            "! d Socket",
            "! latin SymlinkNotUtf8",
            "! nest NestedRoot"
        ]
    );
    let pages = pages(&f);
    assert!(!pages.iter().any(|page| page.folder == Some(rel("nest"))));
}

#[test]
fn some_folders_are_looked_at_alone_and_new_ones_whole() {
    let mut f = Fixture::new();
    for path in ["a/1", "a/sub/2", "a/deep/er/3", "a-", "b/4"] {
        f.write(path, path);
    }
    f.settle();
    fs::remove_dir_all(f.at("a/sub")).unwrap();
    f.write("a/new/er/3", "3");
    f.write("a/deep/er/3", "changed, but not asked for");
    f.write("b/4", "changed");
    let part = |paths: &[&str]| {
        let folders: Vec<_> = paths
            .iter()
            .map(|path| (!path.is_empty()).then(|| rel(path)))
            .collect();
        f.differences(Look::Folders(&folders))
    };
    let of_a = ["d a/new", "d a/new/er", "f a/new/er/3", "v a/sub"];
    assert_eq!(part(&["a"]), of_a);
    assert_eq!(part(&["a/sub", "a", "a/new"]), of_a);
    assert_eq!(part(&["b"]), ["f b/4"]);
    assert_eq!(part(&["none/at/all"]), NONE);
    assert_eq!(part(&["", ".shoal/staging"]), NONE);
}

#[test]
fn a_folder_of_thousands_comes_in_parts_that_cover_it() {
    let mut f = Fixture::new();
    for n in 0..2500 {
        f.write(&format!("many/{n:05}"), n.to_string());
    }
    let parts: Vec<_> = pages(&f)
        .into_iter()
        .filter(|page| page.folder == Some(rel("many")))
        .collect();
    assert_eq!(parts.len(), 3);
    assert_eq!((&parts[0].after, &parts[2].upto), (&None, &None));
    assert!(parts.windows(2).all(|pair| pair[0].upto == pair[1].after));
    assert_eq!(
        parts.iter().map(|page| page.found.len()).sum::<usize>(),
        2500
    );
    f.settle();
    fs::remove_file(f.at("many/01023")).unwrap();
    fs::remove_file(f.at("many/01024")).unwrap();
    assert_eq!(
        f.differences(Look::Everything),
        ["v many/01023", "v many/01024"]
    );
}

#[test]
fn a_folder_is_told_before_what_is_in_it_whatever_its_files_cost() {
    let f = Fixture::new();
    f.write("a/big", vec![1; 8 << 20]);
    f.write("a/b/c/small", "x");
    f.write("z/small", "x");
    let mut told: Vec<Option<RelPath>> = Vec::new();
    for page in pages(&f) {
        if let Some(folder) = &page.folder {
            assert!(told.contains(&folder.parent()), "{folder:?}");
        }
        told.push(page.folder);
    }
    assert_eq!(told.len(), 5);
}

#[test]
fn a_root_that_is_not_the_one_is_told_apart() {
    let mut f = Fixture::new();
    f.write("a", "a");
    f.settle();
    let told = |f: &Fixture| match f.try_scan(Look::Everything) {
        Err(ScanError::Root(problem)) => problem,
        other => panic!("{other:?}"),
    };
    let root = f.replica.path().to_path_buf();
    fs::rename(&root, root.with_extension("away")).unwrap();
    assert!(matches!(told(&f), RootProblem::Missing));
    fs::create_dir(&root).unwrap();
    assert!(matches!(told(&f), RootProblem::MarkerMissing));
    assert_eq!(told(&f).kind(), sync::RootProblem::Unmarked);
    assert!(matches!(
        Replica::open(&root, &FILESET, None),
        Err(RootProblem::MarkerMissing)
    ));
    Replica::create(&root, &FILESET, None).unwrap();
    assert!(matches!(told(&f), RootProblem::Replaced));
    assert!(matches!(
        Replica::create(&root, &FilesetId([8; 32]), None),
        Err(RootProblem::OtherFileset { found: FILESET })
    ));
    fs::write(root.join(".shoal/marker"), "shoal fileset 1\nxyz").unwrap();
    assert!(matches!(
        Replica::open(&root, &FILESET, None),
        Err(RootProblem::MarkerDamaged)
    ));
    let file = f.top.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(
        Replica::create(&file, &FILESET, None),
        Err(RootProblem::NotAFolder)
    ));
}

#[test]
fn roots_do_not_overlap_and_the_home_stays_out() {
    let f = Fixture::new();
    fs::create_dir_all(f.at("in/home")).unwrap();
    assert!(matches!(
        Replica::create(&f.at("in"), &FilesetId([8; 32]), None),
        Err(RootProblem::Overlaps(above)) if above == f.replica.path()
    ));
    let inside = f.at("in");
    let root = f.replica.path();
    assert_eq!(overlaps(root, [inside.as_path()]), Some(inside.as_path()));
    assert_eq!(overlaps(&inside, [root]), Some(root));
    let other = f.top.path().join("x");
    assert_eq!(overlaps(&other, [inside.as_path()]), None);
    let home = f.at("in/home");
    let in_home = Replica::create(&home.join("x"), &FilesetId([8; 32]), Some(&home));
    assert!(matches!(
        in_home,
        Err(RootProblem::Overlaps(_) | RootProblem::OwnHome)
    ));
    fs::remove_dir(home.join("x")).unwrap();
    fs::write(home.join("device.key"), "secret").unwrap();
    let replica = Replica::open(f.replica.path(), &FILESET, Some(&home)).unwrap();
    let f = Fixture { replica, ..f };
    assert_eq!(
        f.differences(Look::Everything),
        ["! in/home OwnHome", "d in"]
    );
}

#[test]
fn many_files_are_hashed_by_threads_with_the_same_result() {
    let mut f = Fixture::new();
    for n in 0..300 {
        f.write(&format!("d{}/{n}", n % 7), vec![n as u8; n * 31]);
    }
    f.write("big", vec![9; 3 << 20]);
    let sparse = fs::File::create(f.at("sparse")).unwrap();
    sparse.set_len(5 << 20).unwrap();
    f.settle();
    assert_eq!(f.index.0.len(), 300 + 7 + 2);
    for (path, row) in &f.index.0 {
        if let Some(content) = row.kind.content() {
            let bytes = fs::read(f.at(path.as_str())).unwrap();
            assert_eq!(content, ContentHash::of(&bytes), "{path:?}");
        }
    }
    assert_eq!(f.differences(Look::Everything), NONE);
}

/// Writes to a file whenever some of it was read.
struct Restless(std::path::PathBuf);

impl crate::Progress for Restless {
    fn advance(&self, _bytes: u64, _files: u64) {
        use std::io::Write;
        let mut file = fs::File::options().append(true).open(&self.0).unwrap();
        file.write_all(b"x").unwrap();
    }
}

#[test]
fn a_file_that_never_rests_is_left_for_later() {
    let f = Fixture::new();
    f.write("busy", vec![1; 1000]);
    let cancel = AtomicBool::new(false);
    let options = ScanOptions {
        threads: 2,
        progress: &Restless(f.at("busy")),
        cancel: &cancel,
    };
    let mut told = Vec::new();
    f.replica
        .scan(Look::Everything, &f.index, &options, &mut |one| {
            told.push(one);
        })
        .unwrap();
    let problem = Problem {
        path: b"busy".to_vec(),
        kind: ProblemKind::Changing,
    };
    assert_eq!(told[0], Told::Problem(problem));
    assert!(matches!(&told[1], Told::Page(page) if page.found[0].kind == sync::FoundKind::Unknown));
    assert_eq!(f.differences(Look::Everything), ["f busy"]);
}

#[test]
fn a_scan_can_be_ended() {
    let f = Fixture::new();
    f.write("a/b", "c");
    let cancel = AtomicBool::new(true);
    let options = ScanOptions {
        threads: 2,
        progress: &(),
        cancel: &cancel,
    };
    let error = f
        .replica
        .scan(Look::Everything, &f.index, &options, &mut |_| {})
        .unwrap_err();
    assert!(matches!(error, ScanError::Cancelled), "{error}");
}

#[test]
fn the_probe_leaves_nothing_and_knows_this_file_system() {
    let f = Fixture::new();
    let found = *f.replica.capabilities();
    assert_eq!(fs::read_dir(f.at(".shoal/staging")).unwrap().count(), 0);
    if cfg!(target_os = "linux") {
        assert_eq!((found.symlinks, found.exec), (Support::Yes, Support::Yes));
        assert!(!found.has_twins());
    }
}

/// A figure for people: `cargo test --release -p shoal-disk rescan_of_many -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn rescan_of_many() {
    let f = Fixture::new();
    for n in 0..50_000 {
        f.write(&format!("d{}/file-{n}", n % 500), n.to_string().repeat(40));
    }
    for round in ["first", "second"] {
        let start = std::time::Instant::now();
        let (summary, _) = f.try_scan(Look::Everything).unwrap();
        println!("{round}: {summary:?} in {:?}", start.elapsed());
    }
}
