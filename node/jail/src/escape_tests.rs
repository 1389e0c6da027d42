#![allow(clippy::unwrap_used)]
//! Whoever tries to lead the jail outside fails, also in a race.

use super::tests::{read, scenes, write};
use super::*;
use rustix::fs::CWD;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

/// Every operation on `path`, with its name.
fn attempts(jail: &Jail, path: &str) -> Vec<(&'static str, Result<(), JailError>)> {
    vec![
        (
            "create_file",
            jail.create_file(path, 0o644, Create::OrOpen).map(drop),
        ),
        (
            "create_file new",
            jail.create_file(path, 0o644, Create::New).map(drop),
        ),
        ("open_read", jail.open_read(path).map(drop)),
        ("open_rw", jail.open_rw(path).map(drop)),
        ("open_dir", jail.open_dir(path).map(drop)),
        ("read_dir", jail.read_dir(path).map(drop)),
        ("below", jail.below(path).map(drop)),
        ("metadata", jail.metadata(path).map(drop)),
        ("create_dir", jail.create_dir(path, 0o755)),
        ("create_dir_all", jail.create_dir_all(path)),
        (
            "rename to",
            jail.rename("own", jail, path, Existing::Replace),
        ),
        (
            "rename from",
            jail.rename(path, jail, "own", Existing::Replace),
        ),
        ("symlink", jail.symlink("x", path)),
        ("read_link", jail.read_link(path).map(drop)),
        ("set_mtime", jail.set_mtime(path, 1)),
        ("set_mode", jail.set_mode(path, 0o777)),
        ("set_exec", jail.set_exec(path, Exec::Yes)),
        ("sync_dir", jail.sync_dir(path)),
        ("remove_dir", jail.remove_dir(path)),
        ("remove_file", jail.remove_file(path)),
        ("remove_tree", jail.remove_tree(path)),
    ]
}

fn assert_untouched(top: &TempDir, before: &fs::Metadata) {
    let after = fs::metadata(top.path().join("outside/secret")).unwrap();
    assert_eq!(
        fs::read(top.path().join("outside/secret")).unwrap(),
        b"secret"
    );
    assert_eq!(
        (after.mtime(), after.mode(), after.ino()),
        (before.mtime(), before.mode(), before.ino())
    );
    assert_eq!(fs::read_dir(top.path().join("outside")).unwrap().count(), 1);
}

#[test]
fn texts_that_leave_are_refused_by_every_operation() {
    for (top, jail) in scenes() {
        let before = fs::metadata(top.path().join("outside/secret")).unwrap();
        write(&jail, "own", "own");
        let absolute = top.path().join("outside/secret");
        for path in [
            "../outside/secret",
            "a/../../outside/secret",
            absolute.to_str().unwrap(),
            "..",
            ".",
            "own\0",
            "/",
        ] {
            for (name, result) in attempts(&jail, path) {
                let error = result.expect_err(name);
                assert!(
                    matches!(error.kind, JailErrorKind::Escape(Escape::Text)),
                    "{name} {path:?}: {error}"
                );
            }
        }
        assert_untouched(&top, &before);
        assert_eq!(read(&jail, "own"), "own");
    }
}

#[test]
fn a_symlinked_folder_on_the_way_is_an_escape_for_every_operation() {
    for (top, jail) in scenes() {
        let before = fs::metadata(top.path().join("outside/secret")).unwrap();
        write(&jail, "own", "own");
        jail.create_dir_all("deep/er").unwrap();
        symlink("../outside", jail.path().join("way")).unwrap();
        symlink(top.path().join("outside"), jail.path().join("deep/er/way")).unwrap();
        for path in [
            "way/secret",
            "way/new",
            "deep/er/way/secret",
            "way/new/newer",
        ] {
            for (name, result) in attempts(&jail, path) {
                let error = result.expect_err(name);
                assert!(error.is_escape(), "{name} {path}: {error:?}");
            }
        }
        assert_untouched(&top, &before);
    }
}

#[test]
fn a_symlink_in_place_of_a_file_is_never_opened() {
    for (top, jail) in scenes() {
        let before = fs::metadata(top.path().join("outside/secret")).unwrap();
        symlink("../outside/secret", jail.path().join("file")).unwrap();
        symlink("../outside", jail.path().join("folder")).unwrap();
        symlink("../outside/new", jail.path().join("dangling")).unwrap();
        for path in ["file", "dangling"] {
            assert!(jail.open_read(path).unwrap_err().is_escape());
            assert!(jail.open_rw(path).unwrap_err().is_escape());
            assert!(
                jail.create_file(path, 0o644, Create::OrOpen)
                    .unwrap_err()
                    .is_escape()
            );
            assert!(
                jail.create_file(path, 0o644, Create::New)
                    .unwrap_err()
                    .is_exists()
            );
            assert!(jail.set_mode(path, 0o777).unwrap_err().is_escape());
            assert!(jail.set_exec(path, Exec::Yes).unwrap_err().is_escape());
            assert_eq!(jail.metadata(path).unwrap().kind, Kind::Symlink);
            jail.set_mtime(path, 5).unwrap();
        }
        assert!(jail.open_dir("folder").unwrap_err().is_escape());
        assert!(jail.below("folder").unwrap_err().is_escape());
        assert!(jail.create_dir_all("folder").unwrap_err().is_escape());
        assert!(jail.create_dir_all("folder/x").unwrap_err().is_escape());
        jail.remove_tree("folder").unwrap();
        jail.remove_tree("file").unwrap();
        assert_untouched(&top, &before);
    }
}

#[test]
fn a_folder_swapped_with_a_symlink_in_a_race_never_leads_outside() {
    for (top, jail) in scenes() {
        let before = fs::metadata(top.path().join("outside/secret")).unwrap();
        let root = jail.path().to_path_buf();
        fs::create_dir(root.join("a")).unwrap();
        symlink("../outside", root.join("b")).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..200_000 {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    rustix::fs::renameat_with(CWD, root.join("a"), CWD, root.join("b"), flags)
                        .unwrap();
                }
            });
            for round in 0..3000 {
                for (name, result) in attempts(&jail, "a/x") {
                    if let Err(error) = result {
                        let odd =
                            matches!(error.kind, JailErrorKind::Io(_) | JailErrorKind::Permission);
                        assert!(!odd, "round {round} {name}: {error:?}");
                    }
                }
                // The tree itself: made again after it was removed, whichever of the two it was.
                if let Ok(file) = jail.create_file("a/secret", 0o644, Create::OrOpen) {
                    assert_eq!(
                        file.metadata().unwrap().len(),
                        0,
                        "round {round}: opened the secret"
                    );
                }
                let _ = jail.remove_file("a/secret");
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_untouched(&top, &before);
    }
}

#[test]
fn remove_tree_does_not_follow_a_folder_swapped_under_it() {
    for (top, jail) in scenes() {
        let before = fs::metadata(top.path().join("outside/secret")).unwrap();
        let root = jail.path().to_path_buf();
        for _ in 0..150 {
            jail.create_dir_all("tree/in/er").unwrap();
            fs::write(root.join("tree/in/secret"), "mine").unwrap();
            symlink("../../outside", root.join("tree/swap")).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let flags = rustix::fs::RenameFlags::EXCHANGE;
                        let _ = rustix::fs::renameat_with(
                            CWD,
                            root.join("tree/in"),
                            CWD,
                            root.join("tree/swap"),
                            flags,
                        );
                    }
                });
                let _ = jail.remove_tree("tree");
            });
            let _ = jail.remove_tree("tree");
            assert_untouched(&top, &before);
        }
    }
}
