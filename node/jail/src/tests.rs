#![allow(clippy::unwrap_used)]
//! Every test runs with the kernel's resolver and with the stepwise one.

use super::*;
use rustix::fs::{CWD, FileType, Mode};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A jail in `top/jail`, with `top/outside/secret` beside it.
pub(crate) fn scenes() -> Vec<(TempDir, Jail)> {
    let make = || {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir(top.path().join("jail")).unwrap();
        fs::create_dir(top.path().join("outside")).unwrap();
        fs::write(top.path().join("outside/secret"), "secret").unwrap();
        let jail = Jail::open(&top.path().join("jail")).unwrap();
        (top, jail)
    };
    let (top, jail) = make();
    vec![make(), (top, jail.stepwise())]
}

pub(crate) fn write(jail: &Jail, path: &str, text: &str) {
    jail.create_file(path, 0o644, Create::OrOpen)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

pub(crate) fn read(jail: &Jail, path: &str) -> String {
    let mut text = String::new();
    jail.open_read(path)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text
}

fn make_fifo(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
}

#[test]
fn special_files_in_place_of_a_file_neither_hang_nor_open() {
    for (_top, jail) in scenes() {
        make_fifo(&jail.path().join("fifo"));
        let _socket = std::os::unix::net::UnixListener::bind(jail.path().join("socket")).unwrap();
        let start = Instant::now();
        for path in ["fifo", "socket"] {
            let wrong = |error: JailError| matches!(error.kind, JailErrorKind::WrongKind);
            assert!(wrong(jail.open_read(path).unwrap_err()));
            assert!(wrong(jail.open_rw(path).unwrap_err()));
            assert!(wrong(
                jail.create_file(path, 0o644, Create::OrOpen).unwrap_err()
            ));
            assert!(wrong(jail.set_exec(path, Exec::Yes).unwrap_err()));
            assert!(wrong(jail.open_dir(path).unwrap_err()));
            assert_eq!(jail.metadata(path).unwrap().kind, Kind::Special);
            jail.remove_tree(path).unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn files_folders_and_links_are_made_listed_and_removed() {
    for (_top, jail) in scenes() {
        jail.create_dir_all("a/b/c").unwrap();
        jail.create_dir_all("a/b/c").unwrap();
        jail.create_dir("a/d", 0o700).unwrap();
        write(&jail, "a/b/file", "text");
        assert_eq!(read(&jail, "a/b/file"), "text");
        assert!(
            jail.create_file("a/b/file", 0o644, Create::New)
                .unwrap_err()
                .is_exists()
        );
        assert!(
            jail.create_file("no/file", 0o644, Create::New)
                .unwrap_err()
                .is_not_found()
        );
        assert!(jail.open_read("a/none").unwrap_err().is_not_found());
        assert!(matches!(
            jail.open_read("a/b").unwrap_err().kind,
            JailErrorKind::WrongKind
        ));
        assert!(matches!(
            jail.open_read("a/b/file/x").unwrap_err().kind,
            JailErrorKind::WrongKind
        ));
        assert!(matches!(
            jail.create_dir_all("a/b/file/x").unwrap_err().kind,
            JailErrorKind::WrongKind
        ));
        jail.symlink("../d", "a/b/link").unwrap();
        assert_eq!(jail.read_link("a/b/link").unwrap(), b"../d");
        assert!(matches!(
            jail.symlink("../../../x", "a/b/out").unwrap_err().kind,
            JailErrorKind::Escape(Escape::Target)
        ));
        let mut names: Vec<_> = jail
            .read_dir("a/b")
            .unwrap()
            .into_iter()
            .map(|e| (e.name, e.kind))
            .collect();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(
            names,
            [
                ("c".into(), Kind::Dir),
                ("file".into(), Kind::File),
                ("link".into(), Kind::Symlink)
            ]
        );
        assert!(matches!(
            jail.remove_dir("a").unwrap_err().kind,
            JailErrorKind::NotEmpty
        ));
        jail.sync_dir("a/b").unwrap();
        jail.sync().unwrap();
        assert!(jail.free_space().unwrap() > 0);
        jail.set_mode("a/b", 0).unwrap();
        jail.remove_tree("a").unwrap();
        assert!(jail.read_dir("").unwrap().is_empty());
        assert_eq!(jail.metadata("").unwrap().kind, Kind::Dir);
    }
}

#[test]
fn times_and_modes_are_set_to_the_nanosecond_and_without_setuid() {
    for (_top, jail) in scenes() {
        write(&jail, "file", "x");
        for mtime_ns in [1_700_000_000_123_456_789, 0, -1_500_000_000] {
            jail.set_mtime("file", mtime_ns).unwrap();
            assert_eq!(jail.metadata("file").unwrap().mtime_ns, mtime_ns);
        }
        jail.set_mode("file", 0o6640).unwrap();
        assert_eq!(jail.metadata("file").unwrap().mode, 0o640);
        jail.set_exec("file", Exec::Yes).unwrap();
        assert_eq!(jail.metadata("file").unwrap().mode, 0o750);
        jail.set_exec("file", Exec::No).unwrap();
        assert_eq!(jail.metadata("file").unwrap().mode, 0o640);
        let file = jail.create_file("odd", 0o7777, Create::New).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7000, 0);
    }
}

#[test]
fn renames_replace_only_when_asked_and_go_between_jails() {
    for (_top, jail) in scenes() {
        jail.create_dir_all("stage").unwrap();
        jail.create_dir_all("full/x").unwrap();
        let stage = jail.below("stage").unwrap();
        write(&stage, "new", "new");
        write(&jail, "old", "old");
        let error = stage
            .rename("new", &jail, "old", Existing::Keep)
            .unwrap_err();
        assert!(
            error.is_exists() && error.path.ends_with("jail/old"),
            "{error}"
        );
        let error = stage
            .rename("missing", &jail, "free", Existing::Keep)
            .unwrap_err();
        assert!(
            error.is_not_found() && error.path.ends_with("stage/missing"),
            "{error}"
        );
        let error = stage
            .rename("new", &jail, "no/where", Existing::Keep)
            .unwrap_err();
        assert!(
            error.is_not_found() && error.path.ends_with("jail/no/where"),
            "{error}"
        );
        assert!(matches!(
            stage
                .rename("new", &jail, "full", Existing::Replace)
                .unwrap_err()
                .kind,
            JailErrorKind::WrongKind
        ));
        stage
            .rename("new", &jail, "old", Existing::Replace)
            .unwrap();
        assert_eq!(read(&jail, "old"), "new");
        jail.rename("old", &jail, "fresh", Existing::Keep).unwrap();
        jail.create_dir_all("empty").unwrap();
        assert!(
            jail.rename("empty", &jail, "full", Existing::Keep)
                .unwrap_err()
                .is_exists()
        );
        assert!(matches!(
            jail.rename("empty", &jail, "full", Existing::Replace)
                .unwrap_err()
                .kind,
            JailErrorKind::NotEmpty | JailErrorKind::Exists
        ));
        jail.rename("full", &jail, "empty", Existing::Replace)
            .unwrap();
        assert_eq!(jail.metadata("empty/x").unwrap().kind, Kind::Dir);
    }
}

#[test]
fn limits_of_names_and_depth_are_told() {
    for (_top, jail) in scenes() {
        let long = "n".repeat(256);
        assert!(matches!(
            jail.create_dir(&long, 0o755).unwrap_err().kind,
            JailErrorKind::NameTooLong
        ));
        // 16 names of 255 bytes with their slashes: one byte more than the kernel takes at once.
        let deepest = vec!["n".repeat(255); 16].join("/") + "/";
        let deepest = &deepest[..deepest.len() - 1];
        jail.create_dir_all(deepest).unwrap();
        let path = format!("{}/f", &deepest[..4094]);
        assert_eq!(path.len(), 4096);
        let parent = format!("{}/{}", &deepest[..3839], "n".repeat(254));
        jail.create_dir_all(&parent).unwrap();
        write(&jail, &path, "deep");
        assert_eq!(read(&jail, &path), "deep");
        jail.remove_tree(&"n".repeat(255)).unwrap();

        let mut folder = jail.clone();
        for _ in 0..600 {
            folder.create_dir("d", 0o755).unwrap();
            folder = folder.below("d").unwrap();
        }
        let raised = rustix::process::getrlimit(rustix::process::Resource::Nofile)
            .current
            .unwrap_or(u64::MAX);
        if raised > 600 {
            assert!(matches!(
                jail.remove_tree("d").unwrap_err().kind,
                JailErrorKind::NameTooLong
            ));
        }
    }
}

#[test]
fn a_jail_that_is_no_folder_says_so() {
    let top = tempfile::tempdir().unwrap();
    fs::write(top.path().join("file"), "x").unwrap();
    assert!(
        Jail::open(&top.path().join("none"))
            .unwrap_err()
            .is_not_found()
    );
    assert!(matches!(
        Jail::open(&top.path().join("file")).unwrap_err().kind,
        JailErrorKind::WrongKind
    ));
    symlink(top.path(), top.path().join("link")).unwrap();
    assert_eq!(
        read(&Jail::open(&top.path().join("link")).unwrap(), "file"),
        "x"
    );
    let shown = Jail::open(&top.path().join("a\u{1b}[31m"))
        .unwrap_err()
        .to_string();
    assert!(!shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn the_kernel_resolver_is_used_where_the_kernel_has_it() {
    let top = tempfile::tempdir().unwrap();
    let jail = Jail::open(top.path()).unwrap();
    let stepwise = format!("{jail:?}").contains("Steps");
    let kernel = rustix::fs::openat2(
        CWD,
        ".",
        rustix::fs::OFlags::PATH,
        Mode::empty(),
        rustix::fs::ResolveFlags::BENEATH,
    );
    assert_eq!(stepwise, kernel.is_err());
}

#[test]
fn what_the_system_says_is_told_apart() {
    use rustix::io::Errno;
    for (errno, wanted) in [
        (Errno::NOSPC, "disk is full"),
        (Errno::DQUOT, "disk is full"),
        (Errno::ACCESS, "permission"),
        (Errno::ROFS, "read-only"),
        (Errno::NAMETOOLONG, "too long"),
        (Errno::MFILE, "too many files"),
        (Errno::IO, "input/output error"),
    ] {
        let shown = JailErrorKind::from(errno).to_string();
        assert!(
            shown.to_lowercase().contains(&wanted.to_lowercase()),
            "{errno:?}: {shown}"
        );
    }
}
