//! What a link serves once it is hashed: blobs, metainfo and manifest over the user's own files.

use super::listing::{Listing, stamp};
use bytes::Bytes;
use shoal_disk::{EntryKind, Hashed, SourceError, outboard_len_bytes};
use shoal_protocol::codec::DecodeError;
use shoal_protocol::id::{ContentHash, InfoHash};
use shoal_protocol::manifest::{Entry, Kind, Manifest, Shape};
use shoal_protocol::metainfo::{BuildError, InfoBuilder, InfoBytes, InfoEntry, Privacy};
use shoal_transfer::serve::MemoryBlob;
use shoal_transfer::serve::port::{Blob, Torrent};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Told when a file turns out not to be what was hashed.
pub(crate) type OnTrouble = Arc<dyn Fn(&str, &SourceError) + Send + Sync>;

/// A snapshot that can be served.
pub(crate) struct Content {
    pub(crate) listing: Arc<Listing>,
    pub(crate) manifest: Arc<MemoryBlob>,
    pub(crate) info: Bytes,
    pub(crate) infohash: InfoHash,
    pub(crate) privacy: Privacy,
    piece_length: u32,
    files: Vec<ReadyFile>,
    /// Indices into `files`, sorted by content.
    by_content: Vec<u32>,
    outboards: File,
    trouble: OnTrouble,
}

/// One regular file of a snapshot.
struct ReadyFile {
    entry: usize,
    size: u64,
    content: ContentHash,
    torrent_offset: u64,
    outboard_offset: u64,
}

/// What makes a [`Content`].
pub(crate) struct Parts {
    pub(crate) listing: Arc<Listing>,
    pub(crate) manifest: Vec<u8>,
    pub(crate) contents: Vec<ContentHash>,
    pub(crate) info: InfoBytes,
    pub(crate) piece_length: u32,
    pub(crate) privacy: Privacy,
    pub(crate) outboards: File,
    pub(crate) trouble: OnTrouble,
}

impl Content {
    /// Offsets follow from the sizes: torrent and outboards have the files in snapshot order.
    pub(crate) fn new(parts: Parts) -> Self {
        let mut files = Vec::with_capacity(parts.contents.len());
        let (mut torrent_offset, mut outboard_offset) = (0, 0);
        let stamped = parts
            .listing
            .entries
            .iter()
            .enumerate()
            .filter_map(|(i, entry)| stamp(entry).map(|s| (i, s.size)));
        for ((entry, size), content) in stamped.zip(parts.contents) {
            files.push(ReadyFile {
                entry,
                size,
                content,
                torrent_offset,
                outboard_offset,
            });
            torrent_offset += size;
            outboard_offset += outboard_len_bytes(size);
        }
        let mut by_content: Vec<u32> = (0..files.len() as u32).collect();
        by_content.sort_by_key(|index| files.get(*index as usize).map(|file| file.content));
        Self {
            manifest: Arc::new(MemoryBlob::new(parts.manifest.into())),
            infohash: parts.info.infohash(),
            info: parts.info.into_bytes().into(),
            piece_length: parts.piece_length,
            privacy: parts.privacy,
            listing: parts.listing,
            files,
            by_content,
            outboards: parts.outboards,
            trouble: parts.trouble,
        }
    }

    /// The blob with this hash: the manifest, or one of the files that have it.
    pub(crate) fn blob(self: &Arc<Self>, hash: &ContentHash) -> Option<Arc<dyn Blob>> {
        if *hash == self.manifest.hash() {
            return Some(self.manifest.clone());
        }
        let at = |index: &u32| self.files.get(*index as usize).map(|file| file.content);
        let first = self
            .by_content
            .partition_point(|index| at(index) < Some(*hash));
        let index = *self
            .by_content
            .get(first)
            .filter(|index| at(index) == Some(*hash))? as usize;
        Some(Arc::new(FileBlob {
            content: self.clone(),
            index,
        }))
    }

    fn read_file(&self, file: &ReadyFile, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let read = self
            .listing
            .open(file.entry)
            .and_then(|source| source.read_exact_at(offset, buf));
        read.map_err(|error| {
            if let Some(entry) = self.listing.entry(file.entry) {
                (self.trouble)(entry.path.as_str(), &error);
            }
            io::Error::other(error)
        })
    }
}

struct FileBlob {
    content: Arc<Content>,
    index: usize,
}

impl FileBlob {
    fn file(&self) -> io::Result<&ReadyFile> {
        self.content
            .files
            .get(self.index)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Blob for FileBlob {
    fn hash(&self) -> ContentHash {
        self.file()
            .map_or(ContentHash([0; 32]), |file| file.content)
    }

    fn size(&self) -> u64 {
        self.file().map_or(0, |file| file.size)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.content.read_file(self.file()?, offset, buf)
    }

    fn read_outboard_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.content
            .outboards
            .read_exact_at(buf, self.file()?.outboard_offset + offset)
    }
}

/// The content as BitTorrent sees it.
pub(crate) struct ContentTorrent(pub(crate) Arc<Content>);

impl Torrent for ContentTorrent {
    fn info(&self) -> Bytes {
        self.0.info.clone()
    }

    fn piece_length(&self) -> u32 {
        self.0.piece_length
    }

    fn privacy(&self) -> Privacy {
        self.0.privacy
    }

    fn total_bytes(&self) -> u64 {
        self.0.listing.total_bytes
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let files = &self.0.files;
        let mut next = files.partition_point(|file| file.torrent_offset + file.size <= offset);
        let (mut offset, mut left) = (offset, buf);
        while !left.is_empty() {
            let file = files.get(next).ok_or(io::ErrorKind::UnexpectedEof)?;
            let inside = offset - file.torrent_offset;
            let len = usize::try_from(file.size - inside)
                .unwrap_or(usize::MAX)
                .min(left.len());
            let (now, rest) = left.split_at_mut(len);
            if len > 0 {
                self.0.read_file(file, inside, now)?;
            }
            (left, offset, next) = (rest, offset + len as u64, next + 1);
        }
        Ok(())
    }
}

/// The manifest of a tree that was hashed.
pub(crate) fn manifest(listing: &Listing, hashed: &Hashed) -> Result<Manifest, DecodeError> {
    let mut contents = hashed.files.iter().map(|file| file.content);
    let entries = listing.entries.iter().map(|entry| {
        let kind = match &entry.kind {
            EntryKind::File(stamp) => {
                let content = contents
                    .next()
                    .ok_or(DecodeError::Invalid("a file was not hashed"))?;
                Kind::File {
                    size: stamp.size,
                    content,
                }
            }
            EntryKind::Folder => Kind::Folder,
            EntryKind::Symlink { target } => Kind::Symlink {
                target: target.clone(),
            },
        };
        Ok(Entry {
            path: entry.path.clone(),
            kind,
            mtime_ns: entry.mtime_ns,
            mode: entry.mode & 0o777,
        })
    });
    Manifest::new(
        listing.name.clone(),
        listing.shape,
        entries.collect::<Result<_, _>>()?,
    )
}

/// The info dictionary of a link: the same for the same tree and salt, on every machine.
pub(crate) fn info(
    listing: &Listing,
    pieces: &[u8],
    piece_length: u32,
    salt: [u8; 16],
    privacy: Privacy,
) -> Result<InfoBytes, BuildError> {
    let builder = InfoBuilder {
        name: &listing.name,
        piece_length_bytes: piece_length,
        pieces,
        salt,
        privacy,
    };
    match (listing.shape, listing.entries.first()) {
        (Shape::SingleFile, Some(entry)) => {
            builder.single_file(listing.total_bytes, entry.mode & 0o100 != 0)
        }
        _ => builder.folder(
            listing
                .entries
                .iter()
                .filter_map(|entry| match &entry.kind {
                    EntryKind::File(stamp) => Some(InfoEntry::File {
                        path: &entry.path,
                        size_bytes: stamp.size,
                        executable: entry.mode & 0o100 != 0,
                    }),
                    EntryKind::Folder => None,
                    EntryKind::Symlink { target } => Some(InfoEntry::Symlink {
                        path: &entry.path,
                        target,
                    }),
                }),
        ),
    }
}
