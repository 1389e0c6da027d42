//! Values of an index. Small numbers, and no byte that the key already has.

use super::authors::Authors;
use crate::StoreError;
use shoal_protocol::codec::{DecodeError, Reader, Writer};
use shoal_protocol::id::ContentHash;
use shoal_protocol::limits::{PATH_MAX_BYTES, SYNC_AUTHORS_MAX, SYNC_SIBLINGS_MAX};
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{
    Applied, Entry, Incarnation, Kind, Meta, Removal, Role, Seen, Stamp, VersionVector,
};

/// Numbers of an author's incarnations that are kept at most.
const INCARNATIONS_MAX: usize = 1 << 20;

/// A value that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

impl From<DecodeError> for Broken {
    fn from(_: DecodeError) -> Self {
        Broken
    }
}

type Decoded<T> = Result<T, Broken>;

/// Gives the number of an author, which may be a new one.
pub(super) trait Number {
    fn number(&mut self, author: &shoal_protocol::sync::AuthorId) -> Result<u16, StoreError>;
}

pub(super) fn encode_entries(
    entries: &[Entry],
    numbers: &mut impl Number,
) -> Result<Vec<u8>, StoreError> {
    let mut w = Writer::new();
    w.uint(entries.len() as u64);
    for entry in entries {
        write_kind(&mut w, &entry.kind);
        w.uint(u64::from(entry.mode));
        w.int(entry.mtime_ns);
        let flags = u8::from(entry.parent.is_some()) | u8::from(entry.moved_from.is_some()) << 1;
        w.u8(flags);
        if let Some(parent) = &entry.parent {
            w.raw(parent.as_bytes());
        }
        if let Some(from) = &entry.moved_from {
            w.bytes(from.as_str().as_bytes());
        }
        write_version(&mut w, &entry.version, numbers)?;
        w.uint(u64::from(numbers.number(&entry.author)?));
    }
    Ok(w.finish())
}

pub(super) fn decode_entries(
    path: &RelPath,
    value: &[u8],
    authors: &Authors,
) -> Decoded<Vec<Entry>> {
    let mut r = Reader::new(value);
    let count = r.count("entries of a path", SYNC_SIBLINGS_MAX * 2)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let kind = read_kind(&mut r)?;
        let mode = read_mode(&mut r)?;
        let mtime_ns = r.int()?;
        let flags = r.u8()?;
        let parent = match flags & 1 {
            0 => None,
            _ => Some(ContentHash(r.array()?)),
        };
        let moved_from = match flags & 2 {
            0 => None,
            _ => Some(read_path(&mut r)?),
        };
        let version = read_version(&mut r, authors)?;
        let author = authors.author(r.uint()?).ok_or(Broken)?;
        entries.push(Entry {
            path: path.clone(),
            kind,
            mode,
            mtime_ns,
            parent,
            moved_from,
            version,
            author,
        });
    }
    r.finish()?;
    Ok(entries)
}

pub(super) fn encode_applied(
    row: &Applied,
    numbers: &mut impl Number,
) -> Result<Vec<u8>, StoreError> {
    let mut w = Writer::new();
    write_kind(&mut w, &row.kind);
    w.uint(u64::from(row.mode));
    w.int(row.mtime_ns);
    // Mostly what was asked for is what there is, and the inode changed when the file was named.
    let stamp = &row.stamp;
    w.uint(stamp.size_bytes);
    w.int(stamp.mtime_ns.wrapping_sub(row.mtime_ns));
    w.int(stamp.ctime_ns);
    w.uint(stamp.inode);
    w.uint(u64::from(stamp.mode ^ row.mode));
    write_version(&mut w, &row.version, numbers)?;
    match &row.role {
        Role::Main => w.u8(0),
        Role::Copy { of } => {
            w.u8(1);
            w.bytes(of.as_str().as_bytes());
        }
        Role::Implied => w.u8(2),
    }
    Ok(w.finish())
}

pub(super) fn decode_applied(value: &[u8], authors: &Authors) -> Decoded<Applied> {
    let mut r = Reader::new(value);
    let kind = read_kind(&mut r)?;
    let mode = read_mode(&mut r)?;
    let mtime_ns = r.int()?;
    let stamp = Stamp {
        size_bytes: r.uint()?,
        mtime_ns: r.int()?.wrapping_add(mtime_ns),
        ctime_ns: r.int()?,
        inode: r.uint()?,
        mode: read_mode(&mut r)? ^ mode,
    };
    let version = read_version(&mut r, authors)?;
    let role = match r.u8()? {
        0 => Role::Main,
        1 => Role::Copy {
            of: read_path(&mut r)?,
        },
        2 => Role::Implied,
        _ => return Err(Broken),
    };
    r.finish()?;
    Ok(Applied {
        kind,
        mode,
        mtime_ns,
        stamp,
        version,
        role,
    })
}

pub(super) fn encode_seen(seen: &Seen) -> Vec<u8> {
    let mut w = Writer::new();
    w.uint(seen.seq);
    w.uint(seen.incarnation);
    w.finish()
}

pub(super) fn decode_seen(value: &[u8]) -> Decoded<Seen> {
    let mut r = Reader::new(value);
    let seen = Seen {
        seq: r.uint()?,
        incarnation: r.uint()?,
    };
    r.finish()?;
    Ok(seen)
}

pub(super) fn encode_meta(meta: &Meta, numbers: &mut impl Number) -> Result<Vec<u8>, StoreError> {
    let mut w = Writer::new();
    w.uint(u64::from(numbers.number(&meta.author)?));
    w.uint(meta.last_seq);
    w.uint(meta.confirmed_seq);
    w.uint(meta.incarnations.len() as u64);
    for incarnation in &meta.incarnations {
        w.uint(incarnation.first_seq);
        w.uint(incarnation.nonce);
    }
    Ok(w.finish())
}

pub(super) fn decode_meta(value: &[u8], authors: &Authors) -> Decoded<Meta> {
    let mut r = Reader::new(value);
    let author = authors.author(r.uint()?).ok_or(Broken)?;
    let (last_seq, confirmed_seq) = (r.uint()?, r.uint()?);
    let count = r.count("incarnations", INCARNATIONS_MAX)?;
    let mut incarnations = Vec::new();
    for _ in 0..count {
        incarnations.push(Incarnation {
            first_seq: r.uint()?,
            nonce: r.uint()?,
        });
    }
    r.finish()?;
    Ok(Meta {
        author,
        last_seq,
        incarnations,
        confirmed_seq,
    })
}

fn write_kind(w: &mut Writer, kind: &Kind) {
    match kind {
        Kind::File {
            content,
            size_bytes,
        } => {
            w.u8(0);
            w.raw(content.as_bytes());
            w.uint(*size_bytes);
        }
        Kind::Folder => w.u8(1),
        Kind::Symlink { target } => {
            w.u8(2);
            w.bytes(target.as_bytes());
        }
        Kind::Tombstone(Removal::Deleted) => w.u8(3),
        Kind::Tombstone(Removal::Moved) => w.u8(4),
        Kind::Tombstone(Removal::Confirmed) => w.u8(5),
    }
}

fn read_kind(r: &mut Reader<'_>) -> Decoded<Kind> {
    Ok(match r.u8()? {
        0 => Kind::File {
            content: ContentHash(r.array()?),
            size_bytes: r.uint()?,
        },
        1 => Kind::Folder,
        2 => Kind::Symlink {
            target: r.text("target of a link", PATH_MAX_BYTES)?.to_owned(),
        },
        3 => Kind::Tombstone(Removal::Deleted),
        4 => Kind::Tombstone(Removal::Moved),
        5 => Kind::Tombstone(Removal::Confirmed),
        _ => return Err(Broken),
    })
}

fn write_version(
    w: &mut Writer,
    version: &VersionVector,
    numbers: &mut impl Number,
) -> Result<(), StoreError> {
    w.uint(version.pairs().len() as u64);
    for (author, seq) in version.pairs() {
        w.uint(u64::from(numbers.number(author)?));
        w.uint(*seq);
    }
    Ok(())
}

fn read_version(r: &mut Reader<'_>, authors: &Authors) -> Decoded<VersionVector> {
    let count = r.count("authors of a version", SYNC_AUTHORS_MAX * 2)?;
    let mut pairs = Vec::with_capacity(count.min(r.left()));
    for _ in 0..count {
        let author = authors.author(r.uint()?).ok_or(Broken)?;
        pairs.push((author, r.uint()?));
    }
    Ok(VersionVector::from_pairs(pairs))
}

fn read_mode(r: &mut Reader<'_>) -> Decoded<u32> {
    u32::try_from(r.uint()?).map_err(|_| Broken)
}

fn read_path(r: &mut Reader<'_>) -> Decoded<RelPath> {
    RelPath::new(r.text("path", PATH_MAX_BYTES)?).map_err(|_| Broken)
}
