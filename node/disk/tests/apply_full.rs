//! File systems that are too small, or fold names. They need root, to be mounted.

#![allow(clippy::unwrap_used, missing_docs)]

use shoal_disk::replica::{ApplyOptions, Names, Replica};
use shoal_protocol::id::{ContentHash, FilesetId};
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{Attributes, Expect, Failure, Op, OpId, OpKind, Outcome, Source, Stamp};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

const FILESET: FilesetId = FilesetId([4; 32]);

/// A mounted file system that is unmounted when dropped.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(arguments: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let done = Command::new("mount")
            .args(arguments)
            .arg(dir.path())
            .output();
        done.unwrap().status.success().then_some(Self(dir))
    }

    fn root(&self) -> std::path::PathBuf {
        self.0.path().join("root")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

fn op(path: &str, expect: Expect, kind: OpKind) -> Op {
    Op {
        id: OpId(0),
        path: RelPath::new(path).unwrap(),
        expect,
        kind,
    }
}

const ATTRIBUTES: Attributes = Attributes {
    mode: 0o644,
    mtime_ns: 1_600_000_000_000_000_000,
};

fn write(content: ContentHash, size_bytes: u64, source: Source) -> OpKind {
    OpKind::Write {
        content,
        size_bytes,
        source,
        attributes: ATTRIBUTES,
    }
}

fn apply(replica: &Replica, op: Op) -> Outcome {
    let options = ApplyOptions {
        floor_bytes: 0,
        faults: &(),
        report: &|_, _| {},
    };
    replica.apply(&[op], &options).unwrap()[0].1
}

fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::symlink_metadata(path).unwrap();
    Stamp {
        size_bytes: meta.len(),
        mtime_ns: meta.mtime() * 1_000_000_000 + meta.mtime_nsec(),
        ctime_ns: meta.ctime() * 1_000_000_000 + meta.ctime_nsec(),
        inode: meta.ino(),
        mode: meta.mode() & 0o777,
    }
}

#[test]
#[ignore = "needs root, to mount a file system"]
fn a_full_disk_keeps_the_old_file_and_no_temporary_one() {
    let mounted = Mounted::new(&["-t", "tmpfs", "-o", "size=1m", "none"]).unwrap();
    let replica = Replica::create(&mounted.root(), &FILESET, None).unwrap();
    let path = mounted.root().join("file");
    let text = vec![7; 400_000];
    std::fs::write(&path, &text).unwrap();
    std::fs::write(mounted.root().join("filler"), vec![1; 400_000]).unwrap();
    let source = Source::Local {
        path: RelPath::new("file").unwrap(),
        stamp: stamp(&path),
    };
    let copy = write(ContentHash::of(&text), 400_000, source);
    let outcome = apply(&replica, op("copy", Expect::Absent, copy));
    assert_eq!(outcome, Outcome::Failed(Failure::NoSpace));
    assert_eq!(replica.sweep(&|_| true).unwrap().removed, 0);
    assert_eq!(std::fs::read(&path).unwrap(), text);
    assert!(!mounted.root().join("copy").exists());
    std::fs::remove_file(mounted.root().join("filler")).unwrap();
    let remove = op("file", Expect::File(stamp(&path)), OpKind::Remove);
    assert_eq!(apply(&replica, remove), Outcome::Done(None));
}

#[test]
#[ignore = "needs root, and a kernel with ext4 casefold"]
fn names_that_fold_are_told_and_a_change_of_case_is_a_rename() {
    let images = tempfile::tempdir().unwrap();
    let image = images.path().join("image");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(32 << 20)
        .unwrap();
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-O", "casefold", "-E", "encoding=utf8"])
        .arg(&image)
        .output();
    let made = made.is_ok_and(|output| output.status.success());
    let mounted = Mounted::new(&["-o", "loop", image.to_str().unwrap()]);
    let (true, Some(mounted)) = (made, mounted) else {
        println!("NOT RUN: this machine has no ext4 with casefold");
        return;
    };
    std::fs::create_dir(mounted.root()).unwrap();
    let folds = Command::new("chattr")
        .arg("+F")
        .arg(mounted.root())
        .status();
    assert!(folds.unwrap().success());
    let replica = Replica::create(&mounted.root(), &FILESET, None).unwrap();
    assert_eq!(replica.capabilities().names, Names::Folding);
    let path = mounted.root().join("readme");
    std::fs::write(&path, "x").unwrap();
    let content = ContentHash::of(b"y");
    let mut file = replica.incoming(&content).unwrap();
    file.write_all(b"y").unwrap();
    let put = |path| op(path, Expect::Absent, write(content, 1, Source::Staged));
    assert_eq!(apply(&replica, put("README")), Outcome::Taken);
    assert_eq!(apply(&replica, put(".SHOAL/marker")), Outcome::Impossible);
    assert_eq!(
        apply(&replica, put(".\u{17f}hoal/marker")),
        Outcome::Impossible
    );
    let rename = OpKind::Move {
        from: RelPath::new("readme").unwrap(),
        from_expect: Expect::File(stamp(&path)),
        attributes: ATTRIBUTES,
    };
    let outcome = apply(&replica, op("README", Expect::Absent, rename));
    assert!(matches!(outcome, Outcome::Done(Some(_))), "{outcome:?}");
    let names: Vec<_> = std::fs::read_dir(mounted.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(names.iter().any(|name| name == "README"), "{names:?}");
}
