//! Metainfo: what BEP 3 calls the contents of a `.torrent`, with BEP 12 trackers, BEP 19 web
//! seeds, BEP 27 private torrents and BEP 47 attributes.
//!
//! [`InfoBuilder`] writes the info dictionary, deterministically; [`Info`] reads anybody's;
//! [`Torrent`] is the file around it.
//!
//! A torrent without a single byte in it is read by aria2 only: libtorrent and qBittorrent say `invalid length of
//! torrent`, Transmission `Invalid metadata entry "files"`. Such a share goes over iroh and HTTP, which need no
//! pieces. Symlinks: libtorrent makes them if their target is a path of the torrent, and points them to
//! themselves otherwise; Transmission 3.00 and aria2 make empty files of them.

mod build;
mod parse;
mod pieces;
#[cfg(test)]
mod tests;
mod torrent;

pub use build::{BuildError, InfoBuilder, InfoEntry, relative_target, symlink_from_root};
pub use parse::MetainfoError;
pub use pieces::{
    PIECE_HASH_BYTES, PIECE_LENGTH_MAX_BYTES, PIECE_LENGTH_MIN_BYTES, Slice, piece_count,
    piece_length,
};
pub use torrent::{InfoBytes, Torrent};

use crate::path::RelPath;

/// Whether peers may be found outside of the trackers named (BEP 27).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Privacy {
    /// Any way of finding peers.
    #[default]
    Public,
    /// Only the trackers; clients then do not give the metadata to a bare magnet.
    Private,
}

/// Whether a torrent is one file or a folder of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `length`: one file, named like the torrent.
    SingleFile,
    /// `files`: a folder, named like the torrent.
    Folder,
}

/// An info dictionary, checked: names stay inside of the tree, lengths add up and agree with the
/// pieces, no path is there twice, and no file is also a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Name of the file or folder: one path component.
    pub name: String,
    /// One file or a folder.
    pub layout: Layout,
    /// Bytes of every piece but the last.
    pub piece_length_bytes: u32,
    /// SHA-1 hashes of the pieces, one after the other.
    pub pieces: Vec<u8>,
    /// Files in the order of their bytes.
    pub files: Vec<InfoFile>,
    /// Bytes of all files together, padding included.
    pub total_bytes: u64,
    /// BEP 27.
    pub privacy: Privacy,
}

/// A file of a torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfoFile {
    /// Path below the torrent's folder; of a single file its name.
    pub path: RelPath,
    /// Size in bytes.
    pub length_bytes: u64,
    /// Where its first byte is among the bytes of all files.
    pub offset_bytes: u64,
    /// What it is.
    pub kind: FileKind,
}

/// What a file of a torrent is (BEP 47 `attr`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// An ordinary file.
    Plain,
    /// `x`
    Executable,
    /// `l`: points to this path below the torrent's folder, or to that folder itself.
    /// A target that would leave it, or is too long, was replaced by the link's own path.
    /// See [`relative_target`] for the text of the link.
    Symlink(Option<RelPath>),
    /// `p`: zeros that nobody stores.
    Padding,
}

impl Info {
    /// The file that has the byte at an offset, and the offset in that file.
    pub fn file_at(&self, offset_bytes: u64) -> Option<(usize, u64)> {
        self.slices(offset_bytes, 1)
            .next()
            .map(|slice| (slice.file_index, slice.offset_bytes))
    }

    /// The parts of files that a range of the torrent's bytes consists of, in order. What is beyond the
    /// end is left out; files without bytes never appear, padding does.
    pub fn slices(&self, offset_bytes: u64, len_bytes: u64) -> impl Iterator<Item = Slice> + '_ {
        pieces::slices(&self.files, offset_bytes, len_bytes)
    }

    /// How many pieces there are.
    pub fn piece_count(&self) -> usize {
        self.pieces.len() / PIECE_HASH_BYTES
    }

    /// The SHA-1 of a piece.
    pub fn piece_hash(&self, index: usize) -> Option<&[u8; PIECE_HASH_BYTES]> {
        self.pieces.as_chunks().0.get(index)
    }

    /// Bytes of a piece: the last one may be shorter. 0 where there is none.
    pub fn piece_size(&self, index: usize) -> u32 {
        let length = u64::from(self.piece_length_bytes);
        let start = (index as u64).saturating_mul(length);
        self.total_bytes.saturating_sub(start).min(length) as u32
    }
}
