// Length: everything that can happen to an operation, with one fixture.
#![allow(clippy::unwrap_used)]

use super::fixture_tests::{Fixture, rel};
use super::look::stamp;
use super::*;
use shoal_protocol::id::ContentHash;
use shoal_protocol::sync::{Attributes, Expect, Failure, Op, OpId, OpKind, Outcome, Source, Stamp};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Mutex;

const MTIME_NS: i64 = 1_600_000_000_123_456_789;

/// Fails at the nth step of a kind.
struct FailAt {
    step: Step,
    errno: rustix::io::Errno,
    left: Mutex<usize>,
}

impl Faults for FailAt {
    fn before(&self, step: Step) -> io::Result<()> {
        let mut left = self.left.lock().unwrap();
        if step == self.step {
            if *left == 0 {
                return Err(self.errno.into());
            }
            *left -= 1;
        }
        Ok(())
    }
}

impl Fixture {
    fn stamp(&self, path: &str) -> Stamp {
        stamp(&self.replica.jail().metadata(path).unwrap())
    }

    fn file(&self, path: &str) -> Expect {
        Expect::File(self.stamp(path))
    }

    fn stage(&self, bytes: &[u8]) -> ContentHash {
        let content = ContentHash::of(bytes);
        let mut file = self.replica.incoming(&content).unwrap();
        file.write_all(bytes).unwrap();
        content
    }

    /// A write of bytes that are staged first.
    fn put(&self, path: &str, expect: Expect, bytes: &[u8]) -> Op {
        let content = self.stage(bytes);
        write_op(path, expect, content, bytes.len(), Source::Staged)
    }

    fn apply_with(&self, ops: &[Op], faults: &dyn Faults, floor_bytes: u64) -> Vec<Outcome> {
        let said = RefCell::new(Vec::new());
        let options = ApplyOptions {
            floor_bytes,
            faults,
            report: &|path, what| said.borrow_mut().push(format!("{path}: {what}")),
        };
        let outcomes = self.replica.apply(ops, &options).unwrap();
        let ids: Vec<_> = outcomes.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, ops.iter().map(|op| op.id).collect::<Vec<_>>());
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    fn apply(&self, ops: &[Op]) -> Vec<Outcome> {
        self.apply_with(ops, &(), 0)
    }

    /// Every operation must succeed, and its stamp be what is there.
    fn done(&self, ops: &[Op]) {
        for (op, outcome) in ops.iter().zip(self.apply(ops)) {
            assert!(matches!(outcome, Outcome::Done(_)), "{op:?}: {outcome:?}");
        }
        assert_eq!(self.staged(), 0, "staging is empty again");
    }

    fn staged(&self) -> usize {
        fs::read_dir(self.at(".shoal/staging")).unwrap().count()
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }
}

fn op(path: &str, expect: Expect, kind: OpKind) -> Op {
    Op {
        id: OpId(u64::from(path.as_bytes()[0])),
        path: rel(path),
        expect,
        kind,
    }
}

fn write_op(path: &str, expect: Expect, content: ContentHash, len: usize, source: Source) -> Op {
    let kind = OpKind::Write {
        content,
        size_bytes: len as u64,
        source,
        attributes: attributes(0o640),
    };
    op(path, expect, kind)
}

fn attributes(mode: u32) -> Attributes {
    Attributes {
        mode,
        mtime_ns: MTIME_NS,
    }
}

fn move_op(path: &str, expect: Expect, from: &str, from_expect: Expect) -> Op {
    let kind = OpKind::Move {
        from: rel(from),
        from_expect,
        attributes: attributes(0o640),
    };
    op(path, expect, kind)
}

#[test]
fn everything_that_a_tree_has_is_made_changed_and_removed() {
    let f = Fixture::new();
    let folder = OpKind::Folder { mode: 0o750 };
    let link = OpKind::Symlink {
        target: "/elsewhere/../x".into(),
    };
    f.done(&[
        op("d", Expect::Absent, folder.clone()),
        f.put("d/new", Expect::Absent, b"new"),
        f.put("other", Expect::Absent, b"other"),
        op("link", Expect::Absent, link.clone()),
    ]);
    let meta = fs::metadata(f.at("d/new")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o7777, 0o640);
    assert_eq!(f.stamp("d/new").mtime_ns, MTIME_NS);
    assert_eq!(fs::metadata(f.at("d")).unwrap().mode() & 0o777, 0o750);
    assert_eq!(
        fs::read_link(f.at("link")).unwrap(),
        Path::new("/elsewhere/../x")
    );
    let target = Expect::Symlink("/elsewhere/../x".into());
    f.done(&[
        f.put("d/new", f.file("d/new"), b"newer"),
        move_op("moved", Expect::Absent, "other", f.file("other")),
        f.put("link", target, b"no link any more"),
        op("d", Expect::Folder, OpKind::Attributes(attributes(0o700))),
    ]);
    assert_eq!(f.text("d/new"), "newer");
    assert_eq!(f.text("moved"), "other");
    assert_eq!(f.text("link"), "no link any more");
    f.done(&[
        op("moved", f.file("moved"), folder),
        op("link", f.file("link"), link),
        op(
            "d/new",
            f.file("d/new"),
            OpKind::Attributes(attributes(0o755)),
        ),
    ]);
    assert_eq!(f.stamp("d/new").mode, 0o755);
    f.done(&[
        op("d/new", f.file("d/new"), OpKind::Remove),
        op("d", Expect::Folder, OpKind::Remove),
        op("moved", Expect::Folder, OpKind::Remove),
    ]);
    let left: Vec<_> = fs::read_dir(f.replica.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "the own folder and the link");
}

#[test]
fn what_changed_since_it_was_seen_is_not_touched() {
    let f = Fixture::new();
    for path in ["edit", "move", "remove", "set", "keep", "folder"] {
        f.write(path, path);
    }
    let before: BTreeMap<_, _> = ["edit", "move", "remove", "set", "keep", "folder"]
        .map(|path| (path, f.file(path)))
        .into();
    for path in before.keys() {
        f.write(path, "the user's own words");
    }
    f.write("appeared", "the user's own words");
    let content = ContentHash::of(b"keep");
    let was = |path: &str| before[path].clone();
    let ops = [
        f.put("edit", was("edit"), b"1"),
        f.put("appeared", Expect::Absent, b"2"),
        move_op("target", Expect::Absent, "move", was("move")),
        op("remove", was("remove"), OpKind::Remove),
        op("set", was("set"), OpKind::Attributes(attributes(0o600))),
        op("keep", was("keep"), OpKind::Stage { content }),
        op("folder", was("folder"), OpKind::Folder { mode: 0o755 }),
        f.put("no/parent", Expect::Absent, b"3"),
        op("edit", Expect::Folder, OpKind::Remove),
    ];
    for (op, outcome) in ops.iter().zip(f.apply(&ops)) {
        assert_eq!(outcome, Outcome::Changed, "{op:?}");
    }
    for path in before.keys().chain([&"appeared"]) {
        assert_eq!(f.text(path), "the user's own words");
    }
    // Fetched content stays for another attempt; nothing else does.
    let kept = f.replica.sweep(&|_| true).unwrap();
    assert_eq!((kept.kept.len(), kept.removed), (3, 0));
    let gone = op("gone", Expect::File(Stamp::default()), OpKind::Remove);
    assert_eq!(f.apply(&[gone]), [Outcome::Done(None)]);
}

#[test]
fn a_folder_with_something_unknown_stays() {
    let f = Fixture::new();
    f.write("d/unknown", "x");
    let remove = op("d", Expect::Folder, OpKind::Remove);
    assert_eq!(f.apply(&[remove]), [Outcome::NotEmpty]);
    assert_eq!(f.text("d/unknown"), "x");
}

#[test]
fn two_files_swap_through_staging() {
    let f = Fixture::new();
    f.write("a", "A");
    f.write("b", "B");
    let (a, b) = (f.stamp("a"), f.stamp("b"));
    let content = ContentHash::of(b"A");
    let stage = op("a", Expect::File(a), OpKind::Stage { content });
    let Outcome::Done(Some(a)) = f.apply(&[stage])[0] else {
        panic!("not staged");
    };
    f.done(&[
        move_op("a", Expect::File(a), "b", Expect::File(b)),
        write_op("b", Expect::Absent, content, 1, Source::Staged),
    ]);
    assert_eq!((f.text("a").as_str(), f.text("b").as_str()), ("B", "A"));
    assert_eq!(fs::metadata(f.at("b")).unwrap().nlink(), 1);
}

/// Each file is the inode of a staged content that the operation before uses up.
#[test]
fn a_cycle_of_staged_files_goes_round_in_one_batch() {
    let f = Fixture::new();
    let names = ["a", "b", "c"];
    let stage = |name: &&str| {
        f.write(name, name);
        let content = ContentHash::of(name.as_bytes());
        let stage = op(name, f.file(name), OpKind::Stage { content });
        let Outcome::Done(Some(stamp)) = f.apply(&[stage])[0] else {
            panic!("not staged");
        };
        Expect::File(stamp)
    };
    let expects: Vec<_> = names.iter().map(stage).collect();
    let next = |at: usize| ContentHash::of(names[(at + 1) % 3].as_bytes());
    let writes = expects.into_iter().enumerate();
    let writes =
        writes.map(|(at, expect)| write_op(names[at], expect, next(at), 1, Source::Staged));
    f.done(&writes.collect::<Vec<_>>());
    assert_eq!(names.map(|name| f.text(name)), ["b", "c", "a"]);
    assert_eq!(f.replica.staged_bytes(&next(0)), None);
}

/// What has no place is not used up: it may be the only copy.
#[test]
fn a_staged_file_that_is_refused_stays_in_staging() {
    let f = Fixture::new();
    f.write("a", "A");
    let content = ContentHash::of(b"A");
    f.apply(&[op("a", f.file("a"), OpKind::Stage { content })]);
    f.write("b", "theirs");
    let refused = write_op("b", Expect::Absent, content, 1, Source::Staged);
    assert_eq!(f.apply(&[refused]), [Outcome::Changed]);
    assert_eq!(f.replica.staged_bytes(&content), Some(1));
    f.done(&[write_op("c", Expect::Absent, content, 1, Source::Staged)]);
    assert_eq!(
        (f.text("b").as_str(), f.text("c").as_str()),
        ("theirs", "A")
    );
}

/// A swap that a crash cut in half: the only copy of a file is in staging, and a start leaves it there.
#[test]
fn what_is_whole_in_staging_outlives_a_start() {
    let f = Fixture::new();
    f.write("a", "A");
    f.write("b", "B");
    let content = ContentHash::of(b"A");
    let stage = op("a", f.file("a"), OpKind::Stage { content });
    let Outcome::Done(Some(a)) = f.apply(&[stage])[0] else {
        panic!("not staged");
    };
    let over = move_op("a", Expect::File(a), "b", f.file("b"));
    assert!(matches!(f.apply(&[over])[0], Outcome::Done(_)));
    let part = ContentHash::of(b"all of it");
    f.replica
        .incoming(&part)
        .unwrap()
        .write_all(b"all")
        .unwrap();
    let swept = f.replica.sweep(&|content| f.replica.is_whole(content));
    let swept = swept.unwrap();
    assert_eq!((swept.kept, swept.removed), (vec![content], 1));
    f.done(&[write_op("b", Expect::Absent, content, 1, Source::Staged)]);
    assert_eq!((f.text("a").as_str(), f.text("b").as_str()), ("B", "A"));
}

#[test]
fn staged_by_a_hard_link_a_file_keeps_its_own_times() {
    let f = Fixture::new();
    f.write("a", "A");
    let content = ContentHash::of(b"A");
    let mtime_ns = f.stamp("a").mtime_ns;
    f.done(&[
        op("a", f.file("a"), OpKind::Stage { content }),
        write_op("b", Expect::Absent, content, 1, Source::Staged),
    ]);
    assert_eq!(f.stamp("a").mtime_ns, mtime_ns);
    assert_eq!(f.stamp("b").mtime_ns, MTIME_NS);
    assert_ne!(f.stamp("a").inode, f.stamp("b").inode);
}

#[test]
fn an_empty_file_needs_no_staged_bytes() {
    let f = Fixture::new();
    let empty = ContentHash::of(b"");
    f.write("full", "of text");
    f.done(&[
        write_op("new", Expect::Absent, empty, 0, Source::Staged),
        write_op("full", f.file("full"), empty, 0, Source::Staged),
    ]);
    assert_eq!((f.text("new").as_str(), f.text("full").as_str()), ("", ""));
}

#[test]
fn a_content_goes_to_several_paths_and_copies_keep_holes() {
    let f = Fixture::new();
    let content = f.stage(b"shared");
    let at = |path| write_op(path, Expect::Absent, content, 6, Source::Staged);
    f.done(&[at("x"), at("y"), at("z")]);
    for path in ["x", "y", "z"] {
        assert_eq!(
            (f.text(path).as_str(), f.stamp(path).mode),
            ("shared", 0o640)
        );
    }
    let sparse = fs::File::create(f.at("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"in the middle", 30 << 20).unwrap();
    let bytes = fs::read(f.at("sparse")).unwrap();
    let source = |stamp| Source::Local {
        path: rel("sparse"),
        stamp,
    };
    let copy = |path, stamp| {
        let content = ContentHash::of(&bytes);
        write_op(path, Expect::Absent, content, bytes.len(), source(stamp))
    };
    f.done(&[copy("copy", f.stamp("sparse"))]);
    assert_eq!(fs::read(f.at("copy")).unwrap(), bytes);
    let blocks = |path| fs::metadata(f.at(path)).unwrap().blocks();
    assert!(blocks("copy") <= blocks("sparse") + 16, "holes are kept");
    let old = f.stamp("sparse");
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"!", 0).unwrap();
    assert_eq!(f.apply(&[copy("late", old)]), [Outcome::NoContent]);
    assert_eq!(f.staged(), 0);
}

#[test]
fn no_path_leads_out_or_into_what_is_not_the_filesets() {
    let f = Fixture::new();
    let outside = f.top.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "secret").unwrap();
    symlink(&outside, f.at("way-out")).unwrap();
    fs::create_dir_all(f.at("nested/.shoal")).unwrap();
    fs::write(f.at("nested/.shoal/marker"), "x").unwrap();
    f.write("mine", "mine");
    let ops = [
        f.put("way-out/new", Expect::Absent, b"1"),
        move_op("way-out/moved", Expect::Absent, "mine", f.file("mine")),
        op(
            "way-out/file",
            Expect::File(Stamp::default()),
            OpKind::Remove,
        ),
    ];
    assert_eq!(f.apply(&ops[..2]), [Outcome::Changed, Outcome::Changed]);
    assert_eq!(
        f.apply(&ops[2..]),
        [Outcome::Done(None)],
        "nothing of ours is there"
    );
    let ops = [
        f.put(".shoal/marker", Expect::Absent, b"2"),
        f.put("a/.SHOAL/x", Expect::Absent, b"3"),
        f.put("nested/new", Expect::Absent, b"4"),
        move_op("stolen", Expect::Absent, ".shoal/marker", Expect::Folder),
    ];
    assert_eq!(f.apply(&ops), [Outcome::Impossible; 4]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(f.text("mine"), "mine");
}

#[test]
fn a_full_or_failing_disk_is_told_and_leaves_nothing() {
    let steps = [
        Step::Stage,
        Step::Fill,
        Step::Dress,
        Step::SyncStaged,
        Step::Name,
        Step::Exchange,
        Step::Move,
        Step::Displace,
        Step::MakeFolder,
        Step::RemoveFolder,
        Step::SetAttributes,
    ];
    for step in steps {
        for (errno, failure) in [
            (rustix::io::Errno::NOSPC, Failure::NoSpace),
            (rustix::io::Errno::IO, Failure::Io),
        ] {
            let f = Fixture::new();
            for path in ["edit", "from", "gone", "source", "set"] {
                f.write(path, path);
            }
            fs::create_dir(f.at("empty")).unwrap();
            let local = Source::Local {
                path: rel("source"),
                stamp: f.stamp("source"),
            };
            let content = ContentHash::of(b"source");
            let ops = [
                f.put("edit", f.file("edit"), b"edited"),
                write_op("copy", Expect::Absent, content, 6, local),
                move_op("to", Expect::Absent, "from", f.file("from")),
                op("gone", f.file("gone"), OpKind::Remove),
                op("empty", Expect::Folder, OpKind::Remove),
                op("made", Expect::Absent, OpKind::Folder { mode: 0o755 }),
                op("set", f.file("set"), OpKind::Attributes(attributes(0o600))),
            ];
            let left = Mutex::new(0);
            let outcomes = f.apply_with(&ops, &FailAt { step, errno, left }, 0);
            assert!(
                outcomes.contains(&Outcome::Failed(failure)),
                "{step:?}: {outcomes:?}"
            );
            for (op, outcome) in ops.iter().zip(&outcomes) {
                let untouched = f.replica.jail().metadata(op.path.as_str()).is_ok()
                    == (op.expect != Expect::Absent);
                let done = matches!(outcome, Outcome::Done(_));
                assert!(done || untouched, "{step:?} {op:?}: {outcome:?}");
            }
            let kept = f.replica.sweep(&|_| true).unwrap();
            assert_eq!(kept.removed, 0, "{step:?} {errno:?}");
        }
    }
}

#[test]
fn what_is_not_durable_is_not_done() {
    let f = Fixture::new();
    let left = Mutex::new(0);
    let faults = FailAt {
        step: Step::SyncParents,
        errno: rustix::io::Errno::IO,
        left,
    };
    let ops = [f.put("a", Expect::Absent, b"a")];
    let outcomes = f.apply_with(&ops, &faults, 0);
    assert_eq!(outcomes, [Outcome::Failed(Failure::Io)]);
}

#[test]
fn the_floor_is_kept() {
    let f = Fixture::new();
    f.write("source", "source");
    let local = Source::Local {
        path: rel("source"),
        stamp: f.stamp("source"),
    };
    let copy = write_op("copy", Expect::Absent, ContentHash::of(b"source"), 6, local);
    let outcomes = f.apply_with(&[copy], &(), u64::MAX);
    assert_eq!(outcomes, [Outcome::Failed(Failure::NoSpace)]);
    assert_eq!(f.staged(), 0);
}

/// Changes the file in the very moment of being replaced or removed.
struct Meddler<'a> {
    f: &'a Fixture,
    at: Step,
}

impl Faults for Meddler<'_> {
    fn before(&self, step: Step) -> io::Result<()> {
        if step == self.at {
            for path in ["edit", "gone", "over"] {
                self.f.write(path, "written in the last moment");
            }
        }
        Ok(())
    }
}

#[test]
fn a_change_in_the_last_moment_is_put_back() {
    for at in [Step::Exchange, Step::Displace] {
        let f = Fixture::new();
        for path in ["edit", "gone", "over", "from"] {
            f.write(path, path);
        }
        let ops = [
            f.put("edit", f.file("edit"), b"edited"),
            op("gone", f.file("gone"), OpKind::Remove),
            move_op("over", f.file("over"), "from", f.file("from")),
        ];
        let outcomes = f.apply_with(&ops, &Meddler { f: &f, at }, 0);
        assert!(outcomes.contains(&Outcome::Changed), "{outcomes:?}");
        for (path, outcome) in ["edit", "gone", "over"].into_iter().zip(&outcomes) {
            if *outcome == Outcome::Changed {
                assert_eq!(f.text(path), "written in the last moment", "{at:?}");
            }
        }
        if outcomes[2] == Outcome::Changed {
            assert_eq!(f.text("from"), "from");
        }
        assert_eq!(f.replica.sweep(&|_| true).unwrap().removed, 0);
    }
}

#[test]
fn a_batch_of_a_thousand_is_one_sync() {
    let f = Fixture::new();
    let mut ops = vec![op("many", Expect::Absent, OpKind::Folder { mode: 0o755 })];
    for n in 0..1000 {
        ops.push(f.put(
            &format!("many/{n}"),
            Expect::Absent,
            format!("content {n}").as_bytes(),
        ));
    }
    let start = std::time::Instant::now();
    f.done(&ops);
    println!("1,000 files in {:?}", start.elapsed());
    assert_eq!(f.text("many/999"), "content 999");
}
