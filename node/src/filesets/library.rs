//! What this device gives to the others of its group: the content of its filesets, from the files themselves.

use super::state::State;
use crate::group::Paces;
use shoal_disk::GROUP_BYTES;
use shoal_disk::replica::{ContentFile, Replica};
use shoal_protocol::id::{ContentHash, FilesetId};
use shoal_protocol::sync::{Index, Kind};
use shoal_store::FilesetIndex;
use shoal_transfer::carry::{FILESET_ID_BYTES, Library, hash_tree};
use shoal_transfer::serve::port::Blob;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// Bytes of hash trees that are kept in memory, each 0.4 % of its file.
const TREES_MAX_BYTES: usize = 32 << 20;
/// Paths with the same content that are tried.
const TWINS_TRIED: usize = 8;

/// The filesets that are served at the moment.
#[derive(Default)]
pub(super) struct Shelves {
    filesets: RwLock<HashMap<FilesetId, Shelf>>,
    trees: Mutex<Trees>,
}

/// One fileset.
#[derive(Clone)]
pub(super) struct Shelf {
    pub(super) replica: Replica,
    pub(super) index: FilesetIndex,
    pub(super) state: Arc<State>,
}

/// Hash trees of files that were asked for lately, the newest last.
#[derive(Default)]
struct Trees {
    known: VecDeque<(ContentHash, Arc<[u8]>)>,
    bytes: usize,
}

impl Shelves {
    pub(super) fn put(&self, fileset: FilesetId, shelf: Shelf) {
        self.filesets
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(fileset, shelf);
    }

    pub(super) fn remove(&self, fileset: &FilesetId) {
        self.filesets
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(fileset);
    }

    fn shelf(&self, fileset: &[u8; FILESET_ID_BYTES]) -> Option<Shelf> {
        let filesets = self.filesets.read().unwrap_or_else(PoisonError::into_inner);
        filesets.get(&FilesetId(*fileset)).cloned()
    }

    fn open(&self, shelf: &Shelf, content: &ContentHash) -> Option<ContentBlob> {
        // An index that cannot be read stops the ring, which says so.
        let paths = shelf.index.applied_content(content, TWINS_TRIED).ok()?;
        for path in paths {
            let Ok(Some(row)) = shelf.index.applied(&path) else {
                continue;
            };
            let Kind::File { size_bytes, .. } = row.kind else {
                continue;
            };
            let Ok(Some(file)) = shelf.replica.open_content(&path, &row.stamp) else {
                continue;
            };
            // One chunk group has no hash tree.
            let tree = if size_bytes > GROUP_BYTES {
                self.tree(content, &file)
            } else {
                Some(Arc::from([]))
            };
            if let Some(tree) = tree.filter(|_| file.size_bytes() == size_bytes) {
                return Some(ContentBlob {
                    content: *content,
                    file,
                    tree,
                });
            }
        }
        None
    }

    /// The hash tree of a file, from memory or by reading it once.
    fn tree(&self, content: &ContentHash, file: &ContentFile) -> Option<Arc<[u8]>> {
        let trees = || self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tree) = trees().get(content) {
            return Some(tree);
        }
        let reading = Reading { file, at: 0 };
        let (hash, tree) = hash_tree(reading, file.size_bytes()).ok()?;
        if hash != *content {
            // Its stamp is the same and its bytes are not: the next look at the folder finds it.
            return None;
        }
        let tree: Arc<[u8]> = tree.into();
        trees().put(*content, tree.clone());
        Some(tree)
    }
}

/// What one device is given.
pub(super) struct Counter {
    pub(super) shelves: Arc<Shelves>,
    pub(super) paces: Arc<Paces>,
}

impl Library for Counter {
    fn blob(&self, fileset: &[u8; FILESET_ID_BYTES], hash: &ContentHash) -> Option<Arc<dyn Blob>> {
        let shelf = self.shelves.shelf(fileset)?;
        Some(Arc::new(self.shelves.open(&shelf, hash)?))
    }

    fn pace(&self, bytes: u64) -> Option<Duration> {
        self.paces.up.take(bytes)
    }

    fn sent(&self, fileset: &[u8; FILESET_ID_BYTES], bytes: u64) {
        if let Some(shelf) = self.shelves.shelf(fileset) {
            shelf.state.sent(bytes);
        }
    }
}

impl Trees {
    fn get(&mut self, content: &ContentHash) -> Option<Arc<[u8]>> {
        let at = self.known.iter().position(|(hash, _)| hash == content)?;
        let found = self.known.remove(at)?;
        let tree = found.1.clone();
        self.known.push_back(found);
        Some(tree)
    }

    /// One that is larger than all that may be kept is kept alone.
    fn put(&mut self, content: ContentHash, tree: Arc<[u8]>) {
        self.bytes += tree.len();
        self.known.push_back((content, tree));
        while self.bytes > TREES_MAX_BYTES && self.known.len() > 1 {
            if let Some((_, oldest)) = self.known.pop_front() {
                self.bytes -= oldest.len();
            }
        }
    }
}

struct ContentBlob {
    content: ContentHash,
    file: ContentFile,
    tree: Arc<[u8]>,
}

impl Blob for ContentBlob {
    fn hash(&self) -> ContentHash {
        self.content
    }

    fn size(&self) -> u64 {
        self.file.size_bytes()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(offset, buf)
    }

    fn read_outboard_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(buf.len());
        let part = end.and_then(|end| self.tree.get(start..end));
        buf.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Reads a file from its start.
struct Reading<'a> {
    file: &'a ContentFile,
    at: u64,
}

impl io::Read for Reading<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.file.size_bytes().saturating_sub(self.at);
        let part = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let (part, _) = buf.split_at_mut(part);
        self.file.read_exact_at(self.at, part)?;
        self.at += part.len() as u64;
        Ok(part.len())
    }
}
