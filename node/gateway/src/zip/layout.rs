//! Where every byte of an archive lies, before the first one is read: the length can be announced,
//! and a download can go on from where it broke off.

use super::records::{Entry, end_records};
use crate::port::{Row, RowKind};
use std::ops::Range;
use std::sync::Arc;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    File,
    Folder,
    Symlink,
}

/// An archive of all of a share's rows, in their order, below a folder with the share's name.
#[derive(Debug)]
pub(crate) struct Layout {
    rows: Arc<[Row]>,
    top: String,
    /// Where each entry begins, then where its record in the directory does, then the end records.
    starts: Vec<u64>,
    /// Bytes of files before each entry.
    payload: Vec<u64>,
    payload_bytes: u64,
    len: u64,
}

/// A part of an archive that has one source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Made of nothing but the list.
    Made(Vec<u8>),
    /// The content of the row at `index`, from `offset` on.
    Content { index: usize, offset: u64 },
    /// The checksum of `index`, then made by [`Layout::checked`].
    Checksum { index: usize },
    /// The directory's record of `index`, then made by [`Layout::listed`].
    Listed { index: usize },
}

impl Layout {
    pub(crate) fn new(top: &str, rows: Arc<[Row]>) -> Self {
        let mut layout = Self {
            rows,
            top: safe_name(top),
            starts: Vec::new(),
            payload: Vec::new(),
            payload_bytes: 0,
            len: 0,
        };
        let rows = layout.rows.clone();
        layout.starts.reserve_exact(rows.len() * 2 + 1);
        layout.payload.reserve_exact(rows.len());
        for row in rows.iter() {
            let entry = layout.entry(row);
            layout.starts.push(layout.len);
            layout.payload.push(layout.payload_bytes);
            layout.len += entry.local(0).len() as u64 + entry.size + entry.descriptor_len();
            if entry.sort == Sort::File {
                layout.payload_bytes += entry.size;
            }
        }
        for (index, row) in rows.iter().enumerate() {
            let central = layout.entry(row).central(0, layout.start(index));
            layout.starts.push(layout.len);
            layout.len += central.len() as u64;
        }
        layout.starts.push(layout.len);
        layout.len += layout.end().len() as u64;
        layout
    }

    /// Bytes of the whole archive.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn row(&self, index: usize) -> Option<&Row> {
        self.rows.get(index)
    }

    /// How many bytes of files lie before `offset`.
    pub(crate) fn payload_before(&self, offset: u64) -> u64 {
        let at = self.starts.partition_point(|start| *start <= offset);
        let Some(index) = at.checked_sub(1).filter(|index| *index < self.rows.len()) else {
            return self.payload_bytes;
        };
        let before = self.payload.get(index).copied().unwrap_or_default();
        match self.content(index) {
            None => before,
            Some(content) => {
                let within = offset.clamp(content.start, content.end) - content.start;
                before + within
            }
        }
    }

    /// Files that lie before `offset`, wholly or so many bytes of them.
    pub(crate) fn files_before(&self, offset: u64) -> impl Iterator<Item = (usize, u64)> {
        (0..self.rows.len())
            .take_while(move |index| self.start(*index) < offset)
            .filter_map(move |index| {
                let content = self.content(index)?;
                Some((
                    index,
                    offset.clamp(content.start, content.end) - content.start,
                ))
            })
    }

    /// What lies at `offset`, up to where something else begins. None behind the end.
    pub(crate) fn piece(&self, offset: u64) -> Option<Piece> {
        if offset >= self.len {
            return None;
        }
        let at = self.starts.partition_point(|start| *start <= offset);
        let at = at.checked_sub(1)?;
        let within = offset - self.start(at);
        let count = self.rows.len();
        if at >= count * 2 {
            return Some(Piece::Made(tail(self.end(), within)));
        }
        if at >= count {
            return Some(Piece::Listed { index: at - count });
        }
        let row = self.rows.get(at)?;
        let entry = self.entry(row);
        let own = own_content(row);
        let local = entry.local(crc32fast::hash(own));
        let behind = match within.checked_sub(local.len() as u64) {
            None => return Some(Piece::Made(tail(local, within))),
            Some(behind) => behind,
        };
        if behind >= entry.size {
            return Some(Piece::Checksum { index: at });
        }
        Some(match entry.sort {
            Sort::File => Piece::Content {
                index: at,
                offset: behind,
            },
            Sort::Folder | Sort::Symlink => Piece::Made(tail(own.to_vec(), behind)),
        })
    }

    /// The record at `offset` that a checksum completes.
    pub(crate) fn checked(&self, index: usize, offset: u64, crc: u32) -> Vec<u8> {
        let Some(row) = self.rows.get(index) else {
            return Vec::new();
        };
        let entry = self.entry(row);
        let end = self.start(index + 1);
        let from = end - entry.descriptor_len();
        tail(entry.descriptor(crc), offset.saturating_sub(from))
    }

    /// The directory's record at `offset`; `crc` counts for files.
    pub(crate) fn listed(&self, index: usize, offset: u64, crc: u32) -> Vec<u8> {
        let Some(row) = self.rows.get(index) else {
            return Vec::new();
        };
        let crc = match row.kind {
            RowKind::File { .. } => crc,
            RowKind::Folder | RowKind::Symlink { .. } => crc32fast::hash(own_content(row)),
        };
        let record = self.entry(row).central(crc, self.start(index));
        let from = self.start(self.rows.len() + index);
        tail(record, offset.saturating_sub(from))
    }

    /// Where the content of a file lies.
    fn content(&self, index: usize) -> Option<Range<u64>> {
        let row = self.rows.get(index)?;
        let RowKind::File { size } = row.kind else {
            return None;
        };
        let end = self.start(index + 1) - self.entry(row).descriptor_len();
        Some(end.checked_sub(size)?..end)
    }

    fn start(&self, at: usize) -> u64 {
        self.starts.get(at).copied().unwrap_or(self.len)
    }

    fn end(&self) -> Vec<u8> {
        let count = self.rows.len();
        end_records(count as u64, self.start(count), self.start(count * 2))
    }

    fn entry(&self, row: &Row) -> Entry {
        let (sort, size) = match &row.kind {
            RowKind::File { size } => (Sort::File, *size),
            RowKind::Folder => (Sort::Folder, 0),
            RowKind::Symlink { target } => (Sort::Symlink, target.len() as u64),
        };
        let mut name = String::with_capacity(self.top.len() + row.path.as_str().len() + 2);
        name.push_str(&self.top);
        for part in row.path.components() {
            name.push('/');
            name.push_str(&safe_name(part));
        }
        if sort == Sort::Folder {
            name.push('/');
        }
        Entry {
            name,
            sort,
            size,
            mtime_s: row.mtime_ns.div_euclid(1_000_000_000),
            mode: match sort {
                Sort::Symlink => 0o777,
                Sort::File | Sort::Folder => row.mode,
            },
        }
    }
}

/// Where an archive is unpacked on Windows a backslash would separate folders, and could lead out of
/// the target.
fn safe_name(name: &str) -> String {
    name.replace('\\', "%5C")
}

fn own_content(row: &Row) -> &[u8] {
    match &row.kind {
        RowKind::Symlink { target } => target.as_bytes(),
        RowKind::File { .. } | RowKind::Folder => &[],
    }
}

fn tail(mut bytes: Vec<u8>, from: u64) -> Vec<u8> {
    let from = usize::try_from(from).map_or(bytes.len(), |from| from.min(bytes.len()));
    bytes.drain(..from);
    bytes
}
