#![allow(clippy::unwrap_used)]

use super::*;
use crate::walk;
use bao_tree::io::outboard::PostOrderOutboard;
use bao_tree::io::sync::{decode_ranges, encode_ranges_validated, outboard_post_order};
use bao_tree::{BaoTree, BlockSize, ByteRanges, ChunkRanges};
use proptest::prelude::*;
use sha1::{Digest, Sha1};
use std::fs;
use std::path::Path;

const KIB: usize = 1024;
const BLOCK: BlockSize = BlockSize::from_chunk_log(4);

/// Bytes that repeat nowhere near.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut reader = blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof();
    let mut bytes = vec![0; len];
    reader.fill(&mut bytes);
    bytes
}

fn hash(root: &Path, piece_length: u64, threads: usize) -> (Tree, Hashed, Vec<u8>) {
    let tree = walk(&[root.to_path_buf()], None, None).unwrap();
    let mut outboards = Vec::new();
    let options = HashOptions {
        piece_length,
        threads,
    };
    let hashed = hash_tree(
        &tree,
        &options,
        &mut outboards,
        &(),
        &AtomicBool::new(false),
    )
    .unwrap();
    (tree, hashed, outboards)
}

/// Compares with the plain definitions: SHA-1 of the concatenation, BLAKE3, and bao-tree's own outboard.
fn check(root: &Path, piece_length: u64, threads: usize) {
    let (tree, hashed, outboards) = hash(root, piece_length, threads);
    let mut stream = Vec::new();
    let mut offset = 0;
    assert_eq!(hashed.files.len(), tree.files().count());
    for ((index, entry, stamp), file) in tree.files().zip(&hashed.files) {
        let bytes = fs::read(root.join(entry.path.as_str())).unwrap();
        assert_eq!((file.entry, stamp.size), (index, bytes.len() as u64));
        assert_eq!(file.content, ContentHash::of(&bytes), "{:?}", entry.path);
        let mut expected = Vec::new();
        let bao = BaoTree::new(bytes.len() as u64, BLOCK);
        outboard_post_order(bytes.as_slice(), bao, &mut expected).unwrap();
        match file.outboard {
            None => assert!(bytes.len() as u64 <= GROUP_BYTES && expected.is_empty()),
            Some(at) => {
                assert_eq!(
                    (at.offset, at.len_bytes),
                    (offset, outboard_len_bytes(stamp.size))
                );
                offset += at.len_bytes;
                assert_eq!(
                    outboards[at.offset as usize..][..at.len_bytes as usize],
                    expected,
                    "{:?}",
                    entry.path
                );
            }
        }
        stream.extend_from_slice(&bytes);
    }
    let pieces: Vec<u8> = stream
        .chunks(piece_length as usize)
        .flat_map(|piece| Sha1::digest(piece).to_vec())
        .collect();
    assert_eq!(hashed.pieces, pieces);
    assert_eq!(
        (hashed.total_bytes, hashed.outboard_bytes),
        (stream.len() as u64, offset)
    );
    assert_eq!(outboards.len() as u64, offset);
}

fn folder_of(sizes: &[usize]) -> tempfile::TempDir {
    let top = tempfile::tempdir().unwrap();
    for (number, size) in sizes.iter().enumerate() {
        fs::write(
            top.path().join(format!("{number:04}")),
            noise(number as u64, *size),
        )
        .unwrap();
    }
    top
}

#[test]
fn sizes_around_groups_pieces_and_units_hash_as_defined() {
    let mut sizes = vec![0, 1, 1023, 1024, 1025, 0, 0];
    for edge in [
        16 * KIB,
        32 * KIB,
        48 * KIB,
        256 * KIB,
        1024 * KIB,
        3 * 1024 * KIB,
    ] {
        sizes.extend([edge - 1, edge, edge + 1]);
    }
    sizes.push(0);
    let top = folder_of(&sizes);
    for (piece_length, threads) in [
        (16 * KIB, 1),
        (16 * KIB, 3),
        (64 * KIB, 2),
        (1024 * KIB, 2),
        (4096 * KIB, 2),
    ] {
        check(top.path(), piece_length as u64, threads);
    }
}

#[test]
fn exact_multiples_of_the_piece_length_and_empty_files_at_the_ends() {
    for sizes in [
        vec![],
        vec![0],
        vec![0, 0],
        vec![64 * KIB],
        vec![0, 64 * KIB, 0],
        vec![32 * KIB, 32 * KIB],
        vec![1, 64 * KIB - 1, 64 * KIB, 0],
        vec![4096 * KIB, 0],
        vec![100, 8192 * KIB - 100, 0, 0],
    ] {
        let top = folder_of(&sizes);
        for piece_length in [16 * KIB, 64 * KIB, 2048 * KIB] {
            check(top.path(), piece_length as u64, 2);
        }
    }
}

#[test]
fn many_tiny_files_hash_as_defined() {
    let sizes: Vec<usize> = (0..3000).map(|n| n * 7 % 61).collect();
    let top = folder_of(&sizes);
    check(top.path(), 16 * KIB as u64, 4);
}

#[test]
fn outboards_serve_random_ranges_that_verify() {
    let size = 777_777;
    let top = folder_of(&[size]);
    let (_, hashed, outboards) = hash(top.path(), 16384, 2);
    let bytes = noise(0, size);
    let root = blake3::Hash::from(hashed.files[0].content.0);
    let tree = BaoTree::new(size as u64, BLOCK);
    let ours = PostOrderOutboard {
        root,
        tree,
        data: outboards,
    };
    let all = ChunkRanges::all();
    let some = bao_tree::io::round_up_to_chunks(&ByteRanges::from(300_000..300_100));
    for ranges in [&all, &some] {
        let mut encoded = Vec::new();
        encode_ranges_validated(bytes.as_slice(), &ours, ranges, &mut encoded).unwrap();
        let empty = bao_tree::io::outboard::EmptyOutboard { tree, root };
        let mut decoded = vec![0; size];
        decode_ranges(encoded.as_slice(), ranges, &mut decoded, empty).unwrap();
        assert_eq!(decoded[300_000..300_100], bytes[300_000..300_100]);
    }
}

#[test]
fn a_sparse_file_hashes_like_its_zeros() {
    let top = tempfile::tempdir().unwrap();
    let file = fs::File::create(top.path().join("b-sparse")).unwrap();
    file.set_len(5_000_001).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"island", 3_000_000).unwrap();
    let known = holes::are_known(&file, 5_000_001);
    assert_eq!(
        known,
        holes::covers(&file, 0..262_144) && known,
        "a hole that is known is seen"
    );
    assert!(!holes::covers(&file, 2_900_000..3_100_000));
    // A neighbour before it, so that pieces and groups begin at different places.
    for before in [0, 12_345] {
        fs::write(top.path().join("a-neighbour"), noise(1, before)).unwrap();
        check(top.path(), 65536, 2);
        check(top.path(), 2 << 20, 2);
    }
}

#[test]
fn one_file_and_several_roots_are_read_from_where_they_are() {
    let top = tempfile::tempdir().unwrap();
    fs::create_dir(top.path().join("b")).unwrap();
    fs::write(top.path().join("b/x"), "bx").unwrap();
    fs::write(top.path().join("a"), "a").unwrap();
    std::os::unix::fs::symlink("a", top.path().join("c")).unwrap();
    let roots = ["b", "c", "a"].map(|name| top.path().join(name));
    let tree = walk(&roots, Some("three"), None).unwrap();
    let hashed = hash_tree(
        &tree,
        &HashOptions::new(16384),
        &mut Vec::new(),
        &(),
        &AtomicBool::new(false),
    )
    .unwrap();
    let contents: Vec<_> = hashed.files.iter().map(|file| file.content).collect();
    assert_eq!(
        contents,
        [b"a".as_slice(), b"bx", b"a"].map(ContentHash::of)
    );
    let tree = walk(&[top.path().join("c")], None, None).unwrap();
    assert_eq!(
        (tree.name.as_str(), tree.entries[0].path.as_str()),
        ("c", "c")
    );
    let hashed = hash_tree(
        &tree,
        &HashOptions::new(16384),
        &mut Vec::new(),
        &(),
        &AtomicBool::new(false),
    )
    .unwrap();
    assert_eq!(hashed.files[0].content, ContentHash::of(b"a"));
}

/// Runs `change` after the walk and tells what hashing says, and of which file.
fn after(change: impl FnOnce(&Path)) -> (String, SourceError) {
    let top = folder_of(&[0, 100, 40 * KIB, 2048 * KIB]);
    let tree = walk(&[top.path().to_path_buf()], None, None).unwrap();
    change(top.path());
    let options = HashOptions {
        piece_length: 16384,
        threads: 2,
    };
    match hash_tree(
        &tree,
        &options,
        &mut Vec::new(),
        &(),
        &AtomicBool::new(false),
    ) {
        Err(HashError::Source { path, source }) => (path.as_str().to_owned(), source),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_changed_since_the_walk_is_named() {
    for name in ["0000", "0001", "0002", "0003"] {
        let (path, error) = after(|top| fs::write(top.join(name), "other").unwrap());
        assert_eq!(path, name);
        assert!(matches!(error, SourceError::Changed), "{error:?}");
        let (path, error) = after(|top| fs::remove_file(top.join(name)).unwrap());
        assert_eq!(path, name);
        assert!(matches!(error, SourceError::Gone), "{error:?}");
        let (path, error) = after(|top| {
            fs::rename(top.join(name), top.join("away")).unwrap();
            std::os::unix::fs::symlink("away", top.join(name)).unwrap();
        });
        assert_eq!(path, name);
        assert!(matches!(error, SourceError::Changed), "{error:?}");
    }
}

/// Changes a file when hashing is under way, from the thread that reports the first bytes.
struct Meddler<F: Fn() + Sync>(F, AtomicBool);

impl<F: Fn() + Sync> Progress for Meddler<F> {
    fn advance(&self, bytes: u64, _files: u64) {
        if bytes > 0 && !self.1.swap(true, Ordering::SeqCst) {
            (self.0)();
        }
    }
}

#[test]
fn a_file_that_grows_shrinks_or_is_rewritten_while_it_is_hashed_is_named() {
    type Meddle = fn(&fs::File);
    let grow: Meddle = |file| file.set_len(5000 * KIB as u64).unwrap();
    let shrink: Meddle = |file| file.set_len(3000).unwrap();
    let rewrite: Meddle =
        |file| std::os::unix::fs::FileExt::write_all_at(file, b"x", 1_500_000).unwrap();
    for meddle in [grow, shrink, rewrite] {
        let top = folder_of(&[2048 * KIB]);
        let tree = walk(&[top.path().to_path_buf()], None, None).unwrap();
        let file = fs::File::options()
            .write(true)
            .open(top.path().join("0000"))
            .unwrap();
        let meddler = Meddler(|| meddle(&file), AtomicBool::new(false));
        let options = HashOptions {
            piece_length: 16384,
            threads: 2,
        };
        let result = hash_tree(
            &tree,
            &options,
            &mut Vec::new(),
            &meddler,
            &AtomicBool::new(false),
        );
        assert!(
            matches!(&result, Err(HashError::Source { path, source: SourceError::Changed }) if path.as_str() == "0000"),
            "{result:?}"
        );
    }
}

#[test]
fn a_rewrite_right_after_the_walk_does_not_keep_its_stamp() {
    // Same length, mtime set back: only ctime and the wait for the clock's tick tell.
    let top = folder_of(&[100]);
    let path = top.path().join("0000");
    for round in 0..20u8 {
        fs::write(&path, [round; 100]).unwrap();
        let mtime = fs::metadata(&path).unwrap().modified().unwrap();
        let tree = walk(&[top.path().to_path_buf()], None, None).unwrap();
        let hash = |tree| {
            hash_tree(
                tree,
                &HashOptions::new(16384),
                &mut Vec::new(),
                &(),
                &AtomicBool::new(false),
            )
        };
        hash(&tree).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[255 - round; 100], 0).unwrap();
        file.set_modified(mtime).unwrap();
        assert!(hash(&tree).is_err(), "round {round}");
    }
}

#[test]
fn progress_adds_up_and_cancelling_stops() {
    let sizes = [0, 5, 16384, 3_000_000, 70_000];
    let top = folder_of(&sizes);
    let tree = walk(&[top.path().to_path_buf()], None, None).unwrap();
    let counters = Counters::default();
    let cancel = AtomicBool::new(false);
    hash_tree(
        &tree,
        &HashOptions::new(32768),
        &mut Vec::new(),
        &counters,
        &cancel,
    )
    .unwrap();
    assert_eq!(
        counters.bytes.into_inner(),
        sizes.iter().sum::<usize>() as u64
    );
    assert_eq!(counters.files.into_inner(), sizes.len() as u64);

    let cancel = AtomicBool::new(false);
    let canceller = Meddler(
        || cancel.store(true, Ordering::Relaxed),
        AtomicBool::new(false),
    );
    let result = hash_tree(
        &tree,
        &HashOptions::new(32768),
        &mut Vec::new(),
        &canceller,
        &cancel,
    );
    assert!(matches!(result, Err(HashError::Cancelled)), "{result:?}");
}

#[test]
fn a_writer_that_is_full_and_a_bad_piece_length_are_told() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let top = folder_of(&[8192 * KIB]);
    let tree = walk(&[top.path().to_path_buf()], None, None).unwrap();
    let cancel = AtomicBool::new(false);
    let result = hash_tree(&tree, &HashOptions::new(16384), &mut Full, &(), &cancel);
    assert!(
        matches!(&result, Err(HashError::Outboards(error)) if error.kind() == io::ErrorKind::StorageFull)
    );
    for piece_length in [0, 1, 8192, 16385, 512 << 20, u64::MAX] {
        let result = hash_tree(
            &tree,
            &HashOptions::new(piece_length),
            &mut Vec::new(),
            &(),
            &cancel,
        );
        assert!(matches!(result, Err(HashError::PieceLength(_))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// proptest prints the shrunk input and keeps its seed beside this file.
    #[test]
    fn random_trees_hash_as_defined(
        sizes in prop::collection::vec(prop_oneof![0usize..3, 0usize..70_000, 1_000_000usize..2_200_000], 0..9),
        piece_log in 14u32..22,
        threads in 1usize..5,
    ) {
        let top = folder_of(&sizes);
        check(top.path(), 1 << piece_log, threads);
    }
}
