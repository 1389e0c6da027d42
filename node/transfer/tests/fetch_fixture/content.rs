//! What a link contains: files on disk, with manifest, outboards and metainfo.

use bao_tree::io::outboard::PostOrderMemOutboard;
use iroh_blobs::store::IROH_BLOCK_SIZE;
use sha1::{Digest, Sha1};
use shoal_protocol::id::ContentHash;
use shoal_protocol::manifest::{Entry, Kind, Manifest, Shape};
use shoal_protocol::metainfo::{InfoBuilder, InfoBytes, InfoEntry, Privacy, piece_length};
use shoal_protocol::path::RelPath;
use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

pub const MTIME_NS: i64 = 1_600_000_000_123_456_789;

/// One thing to share.
#[derive(Clone)]
pub enum Item {
    File {
        path: String,
        bytes: Vec<u8>,
        exec: bool,
    },
    Folder(String),
    Link(String, String),
}

impl Item {
    pub fn file(path: &str, bytes: Vec<u8>) -> Self {
        Self::File {
            path: path.into(),
            bytes,
            exec: path.ends_with(".sh"),
        }
    }

    pub fn path(&self) -> &str {
        match self {
            Self::File { path, .. } | Self::Folder(path) | Self::Link(path, _) => path,
        }
    }
}

/// A file with its outboard.
pub struct Stored {
    pub file: File,
    pub size: u64,
    pub hash: ContentHash,
    pub outboard: Vec<u8>,
}

/// What a link contains.
pub struct Content {
    pub name: String,
    pub single: bool,
    pub items: Vec<Item>,
    pub manifest: Vec<u8>,
    pub info: InfoBytes,
    pub piece_length: u32,
    /// In snapshot order.
    pub files: Vec<(String, Arc<Stored>)>,
    pub by_hash: HashMap<ContentHash, Arc<Stored>>,
    _dir: tempfile::TempDir,
}

/// Bytes that do not repeat, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let key = blake3::hash(&seed.to_le_bytes());
    blake3::Hasher::new_keyed(key.as_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

impl Content {
    pub fn new(name: &str, items: Vec<Item>) -> Self {
        Self::build(name, items, false)
    }

    pub fn single(name: &str, bytes: Vec<u8>) -> Self {
        Self::build(name, vec![Item::file(name, bytes)], true)
    }

    fn build(name: &str, mut items: Vec<Item>, single: bool) -> Self {
        items.sort_by_key(|item| RelPath::new(item.path()).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for (at, item) in items.iter().enumerate() {
            if let Item::File { path, bytes, .. } = item {
                let stored = Arc::new(stored(&dir.path().join(at.to_string()), bytes));
                files.push((path.clone(), stored));
            }
        }
        let by_hash = files
            .iter()
            .map(|(_, stored)| (stored.hash, stored.clone()))
            .collect();
        let total = files.iter().map(|(_, stored)| stored.size).sum();
        let piece_length = piece_length(total);
        let info = info(name, &items, single, piece_length);
        let manifest = manifest(name, &items, &files, single);
        Self {
            name: name.into(),
            single,
            items,
            manifest,
            info,
            piece_length,
            files,
            by_hash,
            _dir: dir,
        }
    }

    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|(_, stored)| stored.size).sum()
    }
}

fn stored(path: &std::path::Path, bytes: &[u8]) -> Stored {
    std::fs::write(path, bytes).unwrap();
    let outboard = PostOrderMemOutboard::create(bytes, IROH_BLOCK_SIZE);
    Stored {
        file: File::open(path).unwrap(),
        size: bytes.len() as u64,
        hash: ContentHash(*outboard.root.as_bytes()),
        outboard: outboard.data,
    }
}

fn info(name: &str, items: &[Item], single: bool, piece_length: u32) -> InfoBytes {
    let files = items.iter().filter_map(|item| match item {
        Item::File { bytes, .. } => Some(bytes.as_slice()),
        _ => None,
    });
    let all: Vec<u8> = files.collect::<Vec<_>>().concat();
    let pieces: Vec<u8> = all
        .chunks(piece_length as usize)
        .flat_map(Sha1::digest)
        .collect();
    let builder = InfoBuilder {
        name,
        piece_length_bytes: piece_length,
        pieces: &pieces,
        salt: [5; 16],
        privacy: Privacy::Public,
    };
    if let (true, [Item::File { bytes, exec, .. }]) = (single, items) {
        return builder.single_file(bytes.len() as u64, *exec).unwrap();
    }
    let paths: Vec<RelPath> = items
        .iter()
        .map(|item| RelPath::new(item.path()).unwrap())
        .collect();
    let entries = items
        .iter()
        .zip(&paths)
        .filter_map(|(item, path)| match item {
            Item::File { bytes, exec, .. } => Some(InfoEntry::File {
                path,
                size_bytes: bytes.len() as u64,
                executable: *exec,
            }),
            Item::Link(_, target) => Some(InfoEntry::Symlink { path, target }),
            Item::Folder(_) => None,
        });
    builder.folder(entries).unwrap()
}

fn manifest(name: &str, items: &[Item], files: &[(String, Arc<Stored>)], single: bool) -> Vec<u8> {
    let mut stored = files.iter();
    let entries = items.iter().map(|item| {
        let (kind, mode) = match item {
            Item::File { exec, .. } => {
                let (_, stored) = stored.next().unwrap();
                let mode = if *exec { 0o755 } else { 0o644 };
                (
                    Kind::File {
                        size: stored.size,
                        content: stored.hash,
                    },
                    mode,
                )
            }
            Item::Folder(_) => (Kind::Folder, 0o755),
            Item::Link(_, target) => (
                Kind::Symlink {
                    target: target.clone(),
                },
                0o777,
            ),
        };
        Entry {
            path: RelPath::new(item.path()).unwrap(),
            kind,
            mtime_ns: MTIME_NS,
            mode,
        }
    });
    let shape = if single {
        Shape::SingleFile
    } else {
        Shape::Folder
    };
    Manifest::new(name.into(), shape, entries.collect())
        .unwrap()
        .encode()
}
