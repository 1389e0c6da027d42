#![allow(clippy::unwrap_used)]

use crate::{Entry, EntryKind, ProblemKind, Sources, Tree, WalkError, walk};
use rustix::fs::{CWD, FileType, Mode};
use shoal_protocol::manifest::{self, Manifest, Shape};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

fn walk_one(root: &Path) -> Tree {
    walk(&[root.to_path_buf()], None, None).unwrap()
}

fn paths(tree: &Tree) -> Vec<&str> {
    tree.entries
        .iter()
        .map(|entry| entry.path.as_str())
        .collect()
}

fn make_fifo(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
}

/// A manifest takes what a walk found, so that order and limits agree.
fn as_manifest(tree: &Tree) -> Manifest {
    let entry = |entry: &Entry| manifest::Entry {
        path: entry.path.clone(),
        kind: match &entry.kind {
            EntryKind::File(stamp) => manifest::Kind::File {
                size: stamp.size,
                content: shoal_protocol::id::ContentHash([0; 32]),
            },
            EntryKind::Folder => manifest::Kind::Folder,
            EntryKind::Symlink { target } => manifest::Kind::Symlink {
                target: target.clone(),
            },
        },
        mtime_ns: entry.mtime_ns,
        mode: entry.mode,
    };
    Manifest::new(
        tree.name.clone(),
        tree.shape,
        tree.entries.iter().map(entry).collect(),
    )
    .unwrap()
}

#[test]
fn a_folder_is_its_contents_in_snapshot_order() {
    let top = tempfile::tempdir().unwrap();
    let root = top.path().join("holiday");
    fs::create_dir_all(root.join("a/a")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    for file in [
        "a.b",
        "a/b",
        "a/a/c",
        "a-",
        "Z",
        "é",
        "\u{202e}odd\n",
        "back\\slash",
    ] {
        fs::write(root.join(file), file).unwrap();
    }
    symlink("../Z", root.join("a/link")).unwrap();
    let tree = walk_one(&root);
    assert_eq!((tree.name.as_str(), tree.shape), ("holiday", Shape::Folder));
    assert_eq!(
        paths(&tree),
        [
            "Z",
            "a",
            "a/a",
            "a/a/c",
            "a/b",
            "a/link",
            "a-",
            "a.b",
            "back\\slash",
            "empty",
            "é",
            "\u{202e}odd\n"
        ]
    );
    assert!(tree.problems.is_empty(), "{:?}", tree.problems);
    assert_eq!(
        tree.total_bytes,
        tree.files().map(|(_, _, stamp)| stamp.size).sum::<u64>()
    );
    assert_eq!(as_manifest(&tree).total_bytes(), tree.total_bytes);
}

#[test]
fn one_file_takes_its_own_or_the_given_name() {
    let top = tempfile::tempdir().unwrap();
    let path = top.path().join("one.iso");
    fs::write(&path, "12345").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
    let tree = walk_one(&path);
    assert_eq!(
        (tree.name.as_str(), tree.shape, paths(&tree)),
        ("one.iso", Shape::SingleFile, vec!["one.iso"])
    );
    assert_eq!((tree.total_bytes, tree.entries[0].mode), (5, 0o751));
    as_manifest(&tree);
    let tree = walk(&[path], Some("other"), None).unwrap();
    assert_eq!(paths(&tree), ["other"]);
    as_manifest(&tree);
    let (entry, stamp) = tree
        .files()
        .map(|(_, entry, stamp)| (entry, stamp))
        .next()
        .unwrap();
    let mut bytes = [0; 5];
    Sources::open(&tree.roots)
        .unwrap()
        .file(&entry.path, stamp)
        .unwrap()
        .read_exact_at(0, &mut bytes)
        .unwrap();
    assert_eq!(&bytes, b"12345");
}

#[test]
fn several_roots_are_a_folder_of_them_all() {
    let top = tempfile::tempdir().unwrap();
    fs::create_dir_all(top.path().join("x/pics/in")).unwrap();
    fs::create_dir_all(top.path().join("y/pics")).unwrap();
    fs::write(top.path().join("x/pics/in/p"), "p").unwrap();
    fs::write(top.path().join("file"), "f").unwrap();
    symlink("x/pics", top.path().join("link")).unwrap();
    let at = |name: &str| top.path().join(name);
    let tree = walk(&[at("x/pics"), at("file"), at("link")], None, None).unwrap();
    assert_eq!(tree.name, "pics and 2 more");
    assert_eq!(
        paths(&tree),
        [
            "file",
            "link",
            "link/in",
            "link/in/p",
            "pics",
            "pics/in",
            "pics/in/p"
        ]
    );
    as_manifest(&tree);
    let sources = Sources::open(&tree.roots).unwrap();
    for (_, entry, stamp) in tree.files() {
        sources.file(&entry.path, stamp).unwrap();
    }
    let error = walk(&[at("x/pics"), at("y/pics")], None, None).unwrap_err();
    assert!(
        matches!(&error, WalkError::Duplicate(name) if name == "pics"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_shared_is_told_and_the_rest_is_shared() {
    let top = tempfile::tempdir().unwrap();
    let at = |name: &str| top.path().join(name);
    fs::create_dir(at("sub")).unwrap();
    fs::write(at("sub/good"), "good").unwrap();
    make_fifo(&at("sub/fifo"));
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    fs::write(top.path().join(OsStr::from_bytes(b"bad\xff")), "x").unwrap();
    fs::create_dir(top.path().join(OsStr::from_bytes(b"dir\xff"))).unwrap();
    for (name, target) in [
        ("up", "../x"),
        ("abs", "/etc/passwd"),
        ("sub/tricky", "good/../../sub/good"),
        ("ok", "sub/good"),
    ] {
        symlink(target, at(name)).unwrap();
    }
    symlink(OsStr::from_bytes(b"t\xff"), at("latin")).unwrap();
    let tree = walk_one(top.path());
    assert_eq!(paths(&tree), ["ok", "sub", "sub/good"]);
    let problems: Vec<_> = tree
        .problems
        .iter()
        .map(|p| (p.path.as_slice(), p.kind.clone()))
        .collect();
    let expected: [(&[u8], ProblemKind); 8] = [
        (b"abs", ProblemKind::SymlinkLeaves),
        (b"bad\xff", ProblemKind::NotUtf8),
        (b"dir\xff", ProblemKind::NotUtf8),
        (b"latin", ProblemKind::SymlinkNotUtf8),
        (b"socket", ProblemKind::Socket),
        (b"sub/fifo", ProblemKind::Fifo),
        (b"sub/tricky", ProblemKind::SymlinkLeaves),
        (b"up", ProblemKind::SymlinkLeaves),
    ];
    assert_eq!(problems, expected);
    as_manifest(&tree);
}

#[test]
fn too_deep_folders_are_a_problem_and_no_crash() {
    let top = tempfile::tempdir().unwrap();
    let mut jail = shoal_jail::Jail::open(top.path()).unwrap();
    for _ in 0..300 {
        jail.create_dir("d", 0o755).unwrap();
        jail = jail.below("d").unwrap();
    }
    let tree = walk_one(top.path());
    assert_eq!(tree.entries.len(), 256);
    assert_eq!(tree.problems.len(), 1);
    assert!(matches!(tree.problems[0].kind, ProblemKind::Path(_)));
    as_manifest(&tree);
}

#[test]
fn roots_that_cannot_be_shared_are_told_apart() {
    let top = tempfile::tempdir().unwrap();
    let at = |name: &str| top.path().join(name);
    make_fifo(&at("fifo"));
    fs::write(at("file"), "x").unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    let latin = top.path().join(OsStr::from_bytes(b"\xff"));
    fs::write(&latin, "x").unwrap();
    let told = |path: PathBuf| walk(&[path], None, None).unwrap_err();
    assert!(matches!(walk(&[], None, None), Err(WalkError::NoRoots)));
    for missing in ["none", "dangling", "file/x", "none/x"] {
        assert!(
            matches!(told(at(missing)), WalkError::NotFound(_)),
            "{missing}"
        );
    }
    assert!(matches!(
        told(at("fifo")),
        WalkError::NotAFile {
            kind: ProblemKind::Fifo,
            ..
        }
    ));
    assert!(matches!(
        told("/dev/null".into()),
        WalkError::NotAFile {
            kind: ProblemKind::Device,
            ..
        }
    ));
    assert!(matches!(told(latin), WalkError::NotUtf8(_)));
    assert!(matches!(told("/".into()), WalkError::NoName(_)));
    assert!(matches!(
        walk(&[at("file")], Some("a/b"), None),
        Err(WalkError::BadName { .. })
    ));
    assert!(matches!(
        walk(&[at("file")], Some(""), None),
        Err(WalkError::BadName { .. })
    ));
    let shown = told(at("\u{1b}[31mred")).to_string();
    assert!(!shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn a_root_named_by_dots_or_a_slash_at_its_end_has_a_name() {
    let top = tempfile::tempdir().unwrap();
    let root = top.path().join("named");
    fs::create_dir(&root).unwrap();
    assert_eq!(walk_one(&root.join(".")).name, "named");
    assert_eq!(walk_one(&root.join("")).name, "named");
    fs::create_dir(root.join("in")).unwrap();
    assert_eq!(walk_one(&root.join("in/..")).name, "named");
}

#[test]
fn the_home_with_the_key_is_never_shared() {
    let top = tempfile::tempdir().unwrap();
    let home = top.path().join("a/home");
    std::fs::create_dir_all(home.join("store")).unwrap();
    std::fs::write(home.join("device.key"), "secret").unwrap();
    std::fs::write(top.path().join("a/file"), "x").unwrap();
    let tree = walk(&[top.path().to_path_buf()], None, Some(&home)).unwrap();
    let paths: Vec<_> = tree.entries.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(paths, ["a", "a/file"]);
    assert_eq!(tree.problems[0].kind, ProblemKind::OwnHome);
    let link = top.path().join("link");
    std::os::unix::fs::symlink(&home, &link).unwrap();
    for inside in [
        home.clone(),
        home.join("store"),
        home.join("device.key"),
        link,
    ] {
        let error = walk(std::slice::from_ref(&inside), None, Some(&home)).unwrap_err();
        assert!(
            matches!(error, WalkError::OwnHome(_)),
            "{inside:?}: {error}"
        );
    }
}
