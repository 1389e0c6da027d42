//! A process that dies at any step of `apply` loses nothing, leaves no temporary file, and the next start goes on.

#![allow(clippy::unwrap_used, missing_docs)]

use shoal_disk::replica::{ApplyOptions, Faults, Look, Replica, ScanOptions, Step, Told};
use shoal_protocol::id::{ContentHash, FilesetId};
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{
    Applied, Attributes, AuthorId, Entry, Expect, Folded, FoundKind, Index, Knowledge, Meta, Op,
    OpId, OpKind, Outcome, Read, Source, Span, Stamp,
};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const ROOT: &str = "SHOAL_APPLY_CRASH_TEST_ROOT";
const DIE_AT: &str = "SHOAL_APPLY_CRASH_TEST_STEP";
const FILESET: FilesetId = FilesetId([3; 32]);
const ATTRIBUTES: Attributes = Attributes {
    mode: 0o644,
    mtime_ns: 1_600_000_000_123_456_789,
};

/// What is there at first, by path; a folder has no bytes.
const BEFORE: [(&str, Option<&str>); 12] = [
    ("empty", None),
    ("file-to-folder", Some("was a file")),
    ("old", None),
    ("old/1", Some("one")),
    ("old/2", Some("two")),
    ("over", Some("is overwritten by a move")),
    ("remove", Some("is removed")),
    ("replace", Some("is replaced")),
    ("stays", Some("is nobody's business")),
    ("swap-a", Some("A")),
    ("swap-b", Some("B")),
    ("to-move", Some("moves over")),
];

/// What is to be there.
const AFTER: [(&str, Option<&str>); 10] = [
    ("file-to-folder", None),
    ("file-to-folder/in", Some("in it")),
    ("new", None),
    ("new/1", Some("one")),
    ("new/2", Some("two")),
    ("over", Some("moves over")),
    ("replace", Some("the new text")),
    ("stays", Some("is nobody's business")),
    ("swap-a", Some("B")),
    ("swap-b", Some("A")),
];

type Tree = BTreeMap<String, Option<String>>;

#[test]
fn a_crash_at_any_step_loses_nothing() {
    let mut crashes = 0;
    loop {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().join("root");
        make(&root);
        let died = run_child(&root, crashes);
        check_after_crash(&root, crashes);
        let replica = Replica::open(&root, &FILESET, None).unwrap();
        replica.sweep(&|_| false).unwrap();
        let staging = root.join(".shoal/staging");
        assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0);
        go_on(&replica);
        assert_eq!(tree(&replica), owned(&AFTER), "after step {crashes}");
        assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0);
        if !died {
            break;
        }
        crashes += 1;
    }
    assert!(crashes > 30, "only {crashes} steps were seen");
    println!("{crashes} crashes survived");
}

/// Not a test of its own: the process that dies.
#[test]
#[ignore = "started by a_crash_at_any_step_loses_nothing"]
fn child() {
    let Some(root) = std::env::var_os(ROOT) else {
        return;
    };
    let left: usize = std::env::var(DIE_AT).unwrap().parse().unwrap();
    let replica = Replica::open(Path::new(&root), &FILESET, None).unwrap();
    apply(&replica, &plan(&replica), &DieAt(AtomicUsize::new(left)));
}

struct DieAt(AtomicUsize);

impl Faults for DieAt {
    fn before(&self, _step: Step) -> io::Result<()> {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 0 {
            // Neither destructors nor buffers: as kill -9 would.
            std::process::abort();
        }
        Ok(())
    }
}

/// Whether the child died at its step.
fn run_child(root: &Path, step: usize) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored"])
        .env(ROOT, root)
        .env(DIE_AT, step.to_string())
        .output()
        .unwrap();
    !output.status.success()
}

/// Every byte of the user's is there, and no name is missing or half-written.
fn check_after_crash(root: &Path, step: usize) {
    let replica = Replica::open(root, &FILESET, None).unwrap();
    let now = tree(&replica);
    let (before, after) = (owned(&BEFORE), owned(&AFTER));
    for (path, found) in &now {
        let known = before
            .values()
            .chain(after.values())
            .any(|text| text == found);
        assert!(known, "step {step}: {path} has {found:?}");
    }
    // Whatever is to stay has a name all the time; so has what is replaced.
    for path in ["file-to-folder", "over", "replace", "stays", "swap-a"] {
        assert!(
            now.contains_key(path),
            "step {step}: {path} is missing: {now:?}"
        );
    }
    for text in ["one", "two", "moves over", "is nobody's business"] {
        let text = Some(text.to_owned());
        assert!(
            now.values().any(|found| *found == text),
            "step {step}: {text:?} is lost"
        );
    }
    // What swaps is in the tree or staged.
    for text in ["A", "B"] {
        let staged = replica
            .staged_bytes(&ContentHash::of(text.as_bytes()))
            .is_some();
        let named = now.values().any(|found| found.as_deref() == Some(text));
        assert!(staged || named, "step {step}: {text} is lost: {now:?}");
    }
}

fn make(root: &Path) {
    Replica::create(root, &FILESET, None).unwrap();
    for (path, text) in BEFORE {
        match text {
            None => std::fs::create_dir(root.join(path)).unwrap(),
            Some(text) => std::fs::write(root.join(path), text).unwrap(),
        }
    }
}

fn stage(replica: &Replica, text: &str) -> ContentHash {
    let content = ContentHash::of(text.as_bytes());
    let mut file = replica.incoming(&content).unwrap();
    file.set_len(0).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    content
}

/// The operations of a machine: moves for what is known, a swap through staging, removals last.
fn plan(replica: &Replica) -> Vec<Op> {
    let mut ops = Vec::new();
    let seen = stamps(replica);
    let file = |path: &str| Expect::File(seen[path]);
    let mut add = |path: &str, expect, kind| {
        let id = OpId(ops.len() as u64);
        let path = RelPath::new(path).unwrap();
        ops.push(Op {
            id,
            path,
            expect,
            kind,
        });
    };
    let moved = |from: &str| OpKind::Move {
        from: RelPath::new(from).unwrap(),
        from_expect: file(from),
        attributes: ATTRIBUTES,
    };
    let staged = |text: &str| write(stage(replica, text), text);
    add("new", Expect::Absent, OpKind::Folder { mode: 0o755 });
    add("new/1", Expect::Absent, moved("old/1"));
    add("new/2", Expect::Absent, moved("old/2"));
    add("old", Expect::Folder, OpKind::Remove);
    add("over", file("over"), moved("to-move"));
    add("replace", file("replace"), staged("the new text"));
    let folder = OpKind::Folder { mode: 0o755 };
    add("file-to-folder", file("file-to-folder"), folder);
    add("file-to-folder/in", Expect::Absent, staged("in it"));
    add("swap-b", file("swap-b"), staged("A"));
    add("swap-a", file("swap-a"), staged("B"));
    add("remove", file("remove"), OpKind::Remove);
    add("empty", Expect::Folder, OpKind::Remove);
    ops
}

fn write(content: ContentHash, text: &str) -> OpKind {
    OpKind::Write {
        content,
        size_bytes: text.len() as u64,
        source: Source::Staged,
        attributes: ATTRIBUTES,
    }
}

/// What a machine would do after a start: from what is there to what is to be there.
fn go_on(replica: &Replica) {
    let (now, seen) = (tree(replica), stamps(replica));
    let after = owned(&AFTER);
    let mut ops = Vec::new();
    let expect = |path: &str| match now.get(path) {
        None => Expect::Absent,
        Some(None) => Expect::Folder,
        Some(Some(_)) => Expect::File(seen[path]),
    };
    let mut add = |path: &str, kind| {
        ops.push(Op {
            id: OpId(0),
            path: RelPath::new(path).unwrap(),
            expect: expect(path),
            kind,
        });
    };
    for path in now.keys().rev().filter(|path| !after.contains_key(*path)) {
        add(path, OpKind::Remove);
    }
    for (path, text) in after
        .iter()
        .filter(|(path, text)| now.get(*path) != Some(*text))
    {
        match text {
            None => add(path, OpKind::Folder { mode: 0o755 }),
            Some(text) => add(path, write(stage(replica, text), text)),
        }
    }
    for (op, outcome) in ops.iter().zip(apply(replica, &ops, &())) {
        assert!(matches!(outcome, Outcome::Done(_)), "{op:?}: {outcome:?}");
    }
}

fn apply(replica: &Replica, ops: &[Op], faults: &dyn Faults) -> Vec<Outcome> {
    let options = ApplyOptions {
        floor_bytes: 0,
        faults,
        report: &|path, what| panic!("{path}: {what}"),
    };
    let outcomes = replica.apply(ops, &options).unwrap();
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn owned(tree: &[(&str, Option<&str>)]) -> Tree {
    tree.iter()
        .map(|(path, text)| (path.to_string(), text.map(str::to_owned)))
        .collect()
}

fn tree(replica: &Replica) -> Tree {
    let mut tree = Tree::new();
    for (path, (kind, _)) in scan(replica) {
        let text = match kind {
            FoundKind::File { .. } => {
                Some(std::fs::read_to_string(replica.path().join(&path)).unwrap())
            }
            _ => None,
        };
        tree.insert(path, text);
    }
    tree
}

fn stamps(replica: &Replica) -> BTreeMap<String, Stamp> {
    let found = scan(replica).into_iter();
    found.map(|(path, (_, stamp))| (path, stamp)).collect()
}

fn scan(replica: &Replica) -> BTreeMap<String, (FoundKind, Stamp)> {
    let mut all = BTreeMap::new();
    let cancel = AtomicBool::new(false);
    let options = ScanOptions {
        threads: 1,
        progress: &(),
        cancel: &cancel,
    };
    let mut tell = |told| {
        let Told::Page(page) = told else {
            panic!("{told:?}");
        };
        for found in page.found {
            let path = match &page.folder {
                Some(folder) => format!("{}/{}", folder.as_str(), found.name),
                None => found.name,
            };
            all.insert(path, (found.kind, found.stamp));
        }
    };
    replica
        .scan(Look::Everything, &Nothing, &options, &mut tell)
        .unwrap();
    all
}

/// An index in which nothing was ever applied.
struct Nothing;

impl Index for Nothing {
    fn entries(&self, _: &RelPath) -> Read<Vec<Entry>> {
        Ok(Vec::new())
    }
    fn entries_in(&self, _: Span<'_>, _: usize) -> Read<Vec<Entry>> {
        Ok(Vec::new())
    }
    fn authored(&self, _: AuthorId, _: u64, _: usize) -> Read<Vec<Entry>> {
        Ok(Vec::new())
    }
    fn heads(&self) -> Read<Vec<(AuthorId, u64)>> {
        Ok(Vec::new())
    }
    fn applied(&self, _: &RelPath) -> Read<Option<Applied>> {
        Ok(None)
    }
    fn applied_in(&self, _: Span<'_>, _: usize) -> Read<Vec<(RelPath, Applied)>> {
        Ok(Vec::new())
    }
    fn applied_children(
        &self,
        _: Option<&RelPath>,
        _: Option<&str>,
        _: usize,
    ) -> Read<Vec<(RelPath, Applied)>> {
        Ok(Vec::new())
    }
    fn applied_content(&self, _: &ContentHash, _: usize) -> Read<Vec<RelPath>> {
        Ok(Vec::new())
    }
    fn applied_inode(&self, _: u64, _: usize) -> Read<Vec<RelPath>> {
        Ok(Vec::new())
    }
    fn applied_folded(&self, _: &Folded, _: usize) -> Read<Vec<RelPath>> {
        Ok(Vec::new())
    }
    fn applied_count(&self) -> Read<u64> {
        Ok(0)
    }
    fn knowledge(&self) -> Read<Knowledge> {
        Ok(Knowledge::new())
    }
    fn meta(&self) -> Read<Option<Meta>> {
        Ok(None)
    }
}
