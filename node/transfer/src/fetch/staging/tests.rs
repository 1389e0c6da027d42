#![allow(clippy::unwrap_used)]
use super::*;
use crate::fetch::Durability;
use crate::fetch::finish::finish;
use crate::fetch::target::{Target, look};
use shoal_protocol::manifest::{Entry, Kind, Manifest, Shape};
use shoal_protocol::path::RelPath;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

const MTIME_NS: i64 = 1_600_000_000_123_456_789;

struct Fixture {
    dir: tempfile::TempDir,
    layout: Arc<Layout>,
    contents: Vec<Vec<u8>>,
    rechecked: AtomicBool,
}

impl Fixture {
    fn new(sizes: &[(&str, usize)]) -> Self {
        let entry = |path: &str, kind, mode| Entry {
            path: RelPath::new(path).unwrap(),
            kind,
            mtime_ns: MTIME_NS,
            mode,
        };
        let mut entries = vec![
            entry("dir", Kind::Folder, 0o755),
            entry("dir/empty", Kind::Folder, 0o755),
            entry(
                "dir/link",
                Kind::Symlink {
                    target: "../a".into(),
                },
                0o777,
            ),
        ];
        for (path, size) in sizes {
            let content = ContentHash::of(&bytes_of(path, *size));
            let size = *size as u64;
            let mode = if path.ends_with(".sh") { 0o755 } else { 0o644 };
            entries.push(entry(path, Kind::File { size, content }, mode));
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let manifest = Manifest::new("t".into(), Shape::Folder, entries).unwrap();
        let layout = Arc::new(Layout::of_manifest(&manifest).unwrap());
        let contents = layout.files.iter();
        let contents = contents
            .map(|spec| bytes_of(spec.path.as_str(), spec.size as usize))
            .collect();
        Self {
            dir: tempfile::tempdir().unwrap(),
            layout,
            contents,
            rechecked: AtomicBool::new(false),
        }
    }

    fn enter_as(&self, layout_id: [u8; 32], taker: u8) -> Result<Staging, GetError> {
        let (layout, taker) = (self.layout.clone(), TakerToken([taker; 16]));
        Enter {
            into: self.dir.path(),
            folder: ".shoal-get-x",
            layout,
            layout_id,
            taker,
            cancel: &CancellationToken::new(),
            rechecking: &|| self.rechecked.store(true, Ordering::Relaxed),
        }
        .enter()
    }

    fn enter(&self) -> Staging {
        self.enter_as([7; 32], 1).unwrap()
    }

    fn file(&self, path: &str) -> u32 {
        let at = self
            .layout
            .files
            .iter()
            .position(|spec| spec.path.as_str() == path);
        at.unwrap() as u32
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("t")
    }
}

/// Bytes that differ from file to file, without a group of zeros.
fn bytes_of(path: &str, size: usize) -> Vec<u8> {
    let seed = path.bytes().map(u32::from).sum::<u32>();
    (0..size as u32)
        .map(|at| (at.wrapping_mul(31).wrapping_add(seed) >> 3) as u8 | 1)
        .collect()
}

/// As a decoder does it.
fn put(staging: &Staging, file: u32, at: u64, bytes: &[u8]) -> Added {
    let size = staging.layout.spec(file).unwrap().size;
    let read = |from: u64, into: &mut [u8]| {
        into.copy_from_slice(&bytes[(from - at) as usize..][..into.len()]);
        Ok(())
    };
    let imprint = Imprint::of(size, (at, at + bytes.len() as u64), read).unwrap();
    staging.put(file, at, bytes, imprint, Way::Iroh).unwrap()
}

fn put_all(staging: &Staging, fixture: &Fixture, file: u32) {
    let bytes = &fixture.contents[file as usize];
    assert_eq!(
        staging.put_whole(file, bytes, Way::Http).unwrap(),
        Added::Completed
    );
    staging.wrote_whole(vec![file]).unwrap();
}

#[test]
fn what_is_not_needed_is_removed_unless_somebody_is_in_it() {
    let fixture = Fixture::new(&[("a", 10)]);
    let folder = fixture.dir.path().join(".shoal-get-x");
    let staging = fixture.enter();
    discard(fixture.dir.path(), ".shoal-get-x").unwrap();
    assert!(folder.join("state").exists());
    staging.close();
    discard(fixture.dir.path(), ".shoal-get-x").unwrap();
    assert!(!folder.exists());
    discard(fixture.dir.path(), ".shoal-get-x").unwrap();
    assert!(!folder.exists());
}

#[test]
fn a_tree_gets_its_name_times_modes_and_links() {
    let fixture = Fixture::new(&[("a", 10), ("dir/run.sh", 70_000), ("dir/none", 0)]);
    let staging = fixture.enter();
    put_all(&staging, &fixture, fixture.file("a"));
    let big = fixture.file("dir/run.sh");
    let bytes = &fixture.contents[big as usize];
    assert_eq!(put(&staging, big, 32_768, &bytes[32_768..]), Added::Some);
    assert_eq!(put(&staging, big, 0, &bytes[..32_768]), Added::Completed);
    assert_eq!(staging.marks.incomplete(), 0);
    assert_eq!(
        finish(&staging, Durability::Synced).unwrap(),
        fixture.root()
    );
    let root = fixture.root();
    assert_eq!(&std::fs::read(root.join("dir/run.sh")).unwrap(), bytes);
    assert_eq!(
        std::fs::read_link(root.join("dir/link")).unwrap(),
        PathBuf::from("../a")
    );
    for path in [
        "a",
        "dir",
        "dir/empty",
        "dir/none",
        "dir/run.sh",
        "dir/link",
    ] {
        let meta = std::fs::symlink_metadata(root.join(path)).unwrap();
        let expected = UNIX_EPOCH + Duration::from_nanos(MTIME_NS as u64);
        assert_eq!(meta.modified().unwrap(), expected, "{path}");
    }
    let mode = |path| root.join(path).metadata().unwrap().permissions().mode();
    assert_eq!(mode("dir/run.sh") & 0o100, 0o100);
    assert_eq!(mode("a") & 0o111, 0);
    assert_eq!(std::fs::read_dir(fixture.dir.path()).unwrap().count(), 1);
    assert_eq!(
        look(fixture.dir.path(), &fixture.layout, None).unwrap(),
        Target::Same
    );
    std::fs::write(root.join("more"), "x").unwrap();
    assert_eq!(
        look(fixture.dir.path(), &fixture.layout, None).unwrap(),
        Target::Other
    );
}

#[test]
fn a_killed_run_is_resumed_with_its_token() {
    let fixture = Fixture::new(&[("a", 10), ("b", 300_000)]);
    let staging = fixture.enter();
    put_all(&staging, &fixture, 0);
    put(&staging, 1, 16_384, &fixture.contents[1][16_384..49_152]);
    drop(staging);
    assert_eq!(
        known_taker(fixture.dir.path(), ".shoal-get-x"),
        Some(TakerToken([1; 16]))
    );
    let staging = fixture.enter_as([7; 32], 9).unwrap();
    assert_eq!(staging.taker, TakerToken([1; 16]));
    assert_eq!(staging.resumed_bytes, 10 + 32_768);
    assert_eq!(
        staging.marks.missing(1, 0, 300_000),
        [(0, 16_384), (49_152, 300_000)]
    );
}

#[test]
fn another_snapshot_begins_anew() {
    let fixture = Fixture::new(&[("a", 10)]);
    put_all(&fixture.enter(), &fixture, 0);
    let staging = fixture.enter_as([8; 32], 2).unwrap();
    assert_eq!(staging.resumed_bytes, 0);
    assert_eq!(staging.taker, TakerToken([2; 16]));
}

#[test]
fn two_at_once_are_refused() {
    let fixture = Fixture::new(&[("a", 10)]);
    let first = fixture.enter();
    assert!(matches!(
        fixture.enter_as([7; 32], 1),
        Err(GetError::InUse { .. })
    ));
    drop(first);
    fixture.enter();
}

#[test]
fn a_file_that_vanished_is_fetched_again() {
    let fixture = Fixture::new(&[("a", 10), ("b", 20)]);
    let staging = fixture.enter();
    put_all(&staging, &fixture, 0);
    put_all(&staging, &fixture, 1);
    drop(staging);
    std::fs::remove_file(fixture.dir.path().join(".shoal-get-x/root/a")).unwrap();
    let staging = fixture.enter();
    assert_eq!(staging.marks.missing(0, 0, 10), [(0, 10)]);
    assert!(staging.marks.is_complete(1));
}

/// Makes the journal one of another run of the machine: the same frames behind another header.
fn restart(fixture: &Fixture) {
    let path = fixture.dir.path().join(".shoal-get-x/state");
    let read = journal::replay(&std::fs::read(&path).unwrap()).unwrap();
    let mut other = Vec::new();
    let header = journal::Header {
        run: [0xee; 16],
        ..read.header
    };
    journal::append_header(&mut other, &header);
    // Headers are of one length, so that checkpoints speak of the same records.
    for record in &read.records {
        append_record(&mut other, 0, record);
    }
    std::fs::write(&path, other).unwrap();
}

/// Writes zeros over a range, as a power cut leaves what was not on the disk.
fn lose(fixture: &Fixture, path: &str, at: u64, len: usize) {
    let path = fixture.dir.path().join(".shoal-get-x/root").join(path);
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&vec![0; len], at).unwrap();
}

#[test]
fn after_a_power_cut_a_checkpoint_is_trusted_and_the_rest_read_again() {
    let fixture = Fixture::new(&[("a", 40_000), ("b", 40_000), ("c", 40_000)]);
    let staging = fixture.enter();
    put(&staging, 0, 0, &fixture.contents[0][..16_384]);
    staging.checkpoint().unwrap();
    put(&staging, 1, 0, &fixture.contents[1][..16_384]);
    put(&staging, 1, 16_384, &fixture.contents[1][16_384..]);
    put_all(&staging, &fixture, 2);
    drop(staging);
    restart(&fixture);
    let staging = fixture.enter();
    assert!(fixture.rechecked.load(Ordering::Relaxed));
    assert_eq!(staging.resumed_bytes, 16_384 + 40_000 + 40_000);
    assert!(staging.tainted.load(Ordering::Relaxed));
    assert!(staging.marks.unproven().is_empty());
    drop(staging);
    // What was read again is known to be there.
    fixture.rechecked.store(false, Ordering::Relaxed);
    restart(&fixture);
    assert_eq!(fixture.enter().resumed_bytes, 16_384 + 40_000 + 40_000);
    assert!(!fixture.rechecked.load(Ordering::Relaxed));
}

#[test]
fn after_a_power_cut_what_was_lost_is_missing() {
    let fixture = Fixture::new(&[("a", 10), ("b", 80_000), ("c", 40_000), ("d", 20_000)]);
    let staging = fixture.enter();
    put(&staging, 1, 0, &fixture.contents[1][..32_768]);
    put(&staging, 1, 32_768, &fixture.contents[1][32_768..65_536]);
    put_all(&staging, &fixture, 2);
    staging.taint().unwrap();
    staging.put_unproven(3, 0, &fixture.contents[3]).unwrap();
    staging
        .piece_done(&[(3, 0, 5_000), (3, 5_000, 20_000)], Way::Torrent)
        .unwrap();
    drop(staging);
    restart(&fixture);
    lose(&fixture, "b", 40_000, 1);
    lose(&fixture, "c", 0, 40_000);
    lose(&fixture, "d", 4_999, 1);
    let staging = fixture.enter();
    assert_eq!(staging.marks.missing(1, 0, 80_000), [(32_768, 80_000)]);
    assert_eq!(staging.marks.missing(2, 0, 40_000), [(0, 40_000)]);
    assert_eq!(staging.marks.missing(3, 0, 20_000), [(0, 5_000)]);
    // Nothing of it was proven by the manifest yet.
    assert_eq!(staging.marks.ranges(3).1, Proof::Piece);
}

#[test]
fn reading_again_can_be_cancelled() {
    let fixture = Fixture::new(&[("a", 40_000)]);
    put_all(&fixture.enter(), &fixture, 0);
    restart(&fixture);
    let cancel = CancellationToken::new();
    let entered = Enter {
        into: fixture.dir.path(),
        folder: ".shoal-get-x",
        layout: fixture.layout.clone(),
        layout_id: [7; 32],
        taker: TakerToken([1; 16]),
        cancel: &cancel,
        rechecking: &|| cancel.cancel(),
    }
    .enter();
    assert!(matches!(entered, Err(GetError::Cancelled)));
    assert_eq!(fixture.enter().resumed_bytes, 40_000);
}

#[test]
fn zeros_stay_holes_and_replace_what_was_unproven() {
    let fixture = Fixture::new(&[("a", 10), ("z", 1 << 22)]);
    let staging = fixture.enter();
    put(&staging, 1, 0, &vec![0; 1 << 22]);
    let path = fixture.dir.path().join(".shoal-get-x/root/z");
    let meta = std::fs::metadata(&path).unwrap();
    assert_eq!(meta.len(), 1 << 22);
    assert!(meta.blocks() < 64, "{} blocks", meta.blocks());
    drop(staging);

    let fixture = Fixture::new(&[("a", 10), ("z", 1 << 22)]);
    let staging = fixture.enter();
    staging.taint().unwrap();
    staging.put_unproven(1, 0, &vec![0xaa; 1 << 20]).unwrap();
    put(&staging, 1, 0, &vec![0; 1 << 22]);
    let path = fixture.dir.path().join(".shoal-get-x/root/z");
    assert!(std::fs::read(&path).unwrap().iter().all(|byte| *byte == 0));
}

#[test]
fn unproven_bytes_never_replace_proven_ones() {
    let fixture = Fixture::new(&[("a", 10), ("b", 65_536)]);
    let staging = fixture.enter();
    staging.taint().unwrap();
    let bytes = &fixture.contents[1];
    put(&staging, 1, 16_384, &bytes[16_384..32_768]);
    let claim = staging.claim(1, 32_768, 49_152);
    staging.put_unproven(1, 0, &vec![0xaa; 65_536]).unwrap();
    staging.unclaim(claim);
    let mut found = vec![0; 65_536];
    staging.read(1, 0, &mut found).unwrap();
    assert_eq!(&found[16_384..32_768], &bytes[16_384..32_768]);
    assert_eq!(&found[32_768..49_152], &[0; 16_384]);
    assert!(
        found[..16_384]
            .iter()
            .chain(&found[49_152..])
            .all(|byte| *byte == 0xaa)
    );
}

#[test]
fn a_file_of_checked_pieces_is_hashed_before_it_counts() {
    let fixture = Fixture::new(&[("a", 10), ("b", 65_536)]);
    let staging = fixture.enter();
    staging.taint().unwrap();
    for sound in [false, true] {
        let mut bytes = fixture.contents[1].clone();
        bytes[5] ^= u8::from(!sound);
        staging.put_unproven(1, 0, &bytes).unwrap();
        let done = staging.piece_done(&[(1, 0, 65_536)], Way::Torrent).unwrap();
        assert_eq!(done, [(1, Added::CompletedUnproven)]);
        assert_eq!(staging.marks.incomplete(), 2);
        assert_eq!(staging.prove(1).unwrap(), sound);
        assert_eq!(staging.marks.is_complete(1), sound);
    }
    assert_eq!(staging.marks.incomplete(), 1);
}
