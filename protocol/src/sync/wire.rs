//! Canonical bytes of entries and knowledge, for messages. One value has one form.
//!
//! A list of entries begins with the table of its authors, sorted; paths are prefix-coded against the one before (those of
//! tombstones and of what is there apart), and so are the paths that content moved from. Of a rename, the tombstone that
//! follows says neither path nor content.

use super::entry::{Entry, Kind, Removal};
use super::version::{AuthorId, Knowledge, Seen, VersionVector};
use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{ContentHash, DeviceId};
use crate::limits::{PATH_MAX_BYTES, SYNC_AUTHORS_MAX, SYNC_PAGE_MAX_ENTRIES};
use crate::path::RelPath;
use std::collections::BTreeSet;

const HAS_PARENT: u8 = 0x10;
const HAS_SOURCE: u8 = 0x20;
/// A tombstone where the content of the entry before was: path and content are not said again.
const IS_LEFT: u8 = 0x40;

/// Writes what a replica has seen.
pub(super) fn write_knowledge(w: &mut Writer, knowledge: &Knowledge) {
    w.uint(knowledge.len() as u64);
    for (author, seen) in knowledge {
        write_author(w, *author);
        w.uint(seen.seq);
        w.raw(&seen.incarnation.to_le_bytes());
    }
}

/// Reads what a replica has seen.
pub(super) fn read_knowledge(r: &mut Reader<'_>) -> Result<Knowledge, DecodeError> {
    let mut knowledge = Knowledge::new();
    for _ in 0..r.count("number of authors", SYNC_AUTHORS_MAX)? {
        let author = read_author(r)?;
        let seen = Seen {
            seq: r.uint()?,
            incarnation: u64::from_le_bytes(r.array()?),
        };
        let last = knowledge.last_key_value().map(|(last, _)| *last);
        if last.is_some_and(|last| last >= author) {
            return Err(DecodeError::NotCanonical);
        }
        knowledge.insert(author, seen);
    }
    Ok(knowledge)
}

/// Writes entries, of any paths and in any order.
pub(super) fn write_entries(w: &mut Writer, entries: &[Entry]) {
    let authors: BTreeSet<_> = entries
        .iter()
        .flat_map(|entry| entry.version.pairs().iter().map(|pair| pair.0))
        .collect();
    let authors: Vec<_> = authors.into_iter().collect();
    write_authors(w, &authors);
    w.uint(entries.len() as u64);
    let mut before = Before::default();
    for entry in entries {
        write_entry(w, entry, &authors, &mut before);
    }
}

fn write_entry(w: &mut Writer, entry: &Entry, authors: &[AuthorId], before: &mut Before) {
    let is_left = before.is_left(entry);
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    w.u8(kind_code(&entry.kind)
        | flag(entry.parent.is_some(), HAS_PARENT)
        | flag(entry.moved_from.is_some(), HAS_SOURCE)
        | flag(is_left, IS_LEFT));
    let last = before.of(entry.is_live());
    if !is_left {
        write_prefixed(w, &mut last.path, entry.path.as_str());
    }
    write_kind(w, &entry.kind);
    w.uint(u64::from(entry.mode));
    w.int(entry.mtime_ns.wrapping_sub(last.mtime_ns));
    last.mtime_ns = entry.mtime_ns;
    if let Some(parent) = entry.parent.filter(|_| !is_left) {
        w.raw(parent.as_bytes());
    }
    if let Some(from) = &entry.moved_from {
        write_prefixed(w, &mut before.source, from.as_str());
    }
    w.uint(place(authors, entry.author));
    write_version(w, &entry.version, authors);
    before.go_on(entry);
}

/// Reads entries.
pub(super) fn read_entries(r: &mut Reader<'_>) -> Result<Vec<Entry>, DecodeError> {
    let authors = read_authors(r)?;
    let count = r.count("number of entries", SYNC_PAGE_MAX_ENTRIES)?;
    // An entry takes eight bytes or more.
    let mut entries = Vec::with_capacity(count.min(r.left() / 8));
    let mut before = Before::default();
    let mut used = BTreeSet::new();
    for _ in 0..count {
        let entry = read_entry(r, &authors, &mut before)?;
        used.extend(entry.version.pairs().iter().map(|pair| pair.0));
        entries.push(entry);
    }
    if used.len() != authors.len() {
        return Err(DecodeError::NotCanonical);
    }
    Ok(entries)
}

/// What the entries before had, against which the next is coded.
#[derive(Default)]
struct Before {
    /// The last one that is there.
    live: Last,
    /// The last one that is gone.
    gone: Last,
    source: String,
    /// Of the last one, when it was renamed: where it was, and its content.
    moved: Option<(RelPath, ContentHash)>,
}

#[derive(Default)]
struct Last {
    path: String,
    mtime_ns: i64,
}

impl Before {
    fn of(&mut self, is_live: bool) -> &mut Last {
        match is_live {
            true => &mut self.live,
            false => &mut self.gone,
        }
    }

    /// Whether it says that nothing is any more where the content of the entry before was.
    fn is_left(&self, entry: &Entry) -> bool {
        let moved = self.moved.as_ref();
        let has_left = |(from, content): &(RelPath, ContentHash)| {
            (from, Some(content)) == (&entry.path, entry.parent.as_ref())
        };
        !entry.is_live() && moved.is_some_and(has_left)
    }

    fn go_on(&mut self, entry: &Entry) {
        let content = entry.kind.content();
        self.moved = entry.moved_from.clone().zip(content);
    }
}

fn read_entry(
    r: &mut Reader<'_>,
    authors: &[AuthorId],
    before: &mut Before,
) -> Result<Entry, DecodeError> {
    let flags = r.u8()?;
    let code = flags & !(HAS_PARENT | HAS_SOURCE | IS_LEFT);
    let left = match flags & IS_LEFT {
        0 => None,
        _ => Some(before.moved.clone().ok_or(DecodeError::NotCanonical)?),
    };
    if left.is_some() && (flags & HAS_PARENT == 0 || !is_gone(code)) {
        return Err(DecodeError::NotCanonical);
    }
    let last = before.of(!is_gone(code));
    let path = match &left {
        Some((from, _)) => from.clone(),
        None => read_prefixed(r, &mut last.path)?,
    };
    let kind = read_kind(r, code)?;
    let mode = read_mode(r)?;
    let mtime_ns = last.mtime_ns.wrapping_add(r.int()?);
    last.mtime_ns = mtime_ns;
    let parent = match (&left, flags & HAS_PARENT) {
        (_, 0) => None,
        (Some((_, content)), _) => Some(*content),
        (None, _) => Some(ContentHash(r.array()?)),
    };
    let moved_from = match flags & HAS_SOURCE {
        0 => None,
        _ => Some(read_prefixed(r, &mut before.source)?),
    };
    let author = author_at(r, authors)?;
    let version = read_version(r, authors)?;
    if version.of(author) == 0 {
        return Err(DecodeError::Invalid(
            "an entry does not count its own author",
        ));
    }
    let entry = Entry {
        path,
        kind,
        mode,
        mtime_ns,
        parent,
        moved_from,
        version,
        author,
    };
    if left.is_none() && before.is_left(&entry) {
        return Err(DecodeError::NotCanonical);
    }
    before.go_on(&entry);
    Ok(entry)
}

fn is_gone(code: u8) -> bool {
    (3..=5).contains(&code)
}

fn kind_code(kind: &Kind) -> u8 {
    match kind {
        Kind::File { .. } => 0,
        Kind::Folder => 1,
        Kind::Symlink { .. } => 2,
        Kind::Tombstone(Removal::Deleted) => 3,
        Kind::Tombstone(Removal::Moved) => 4,
        Kind::Tombstone(Removal::Confirmed) => 5,
    }
}

fn write_kind(w: &mut Writer, kind: &Kind) {
    match kind {
        Kind::File {
            content,
            size_bytes,
        } => {
            w.raw(content.as_bytes());
            w.uint(*size_bytes);
        }
        Kind::Symlink { target } => w.bytes(target.as_bytes()),
        Kind::Folder | Kind::Tombstone(_) => {}
    }
}

fn read_kind(r: &mut Reader<'_>, code: u8) -> Result<Kind, DecodeError> {
    Ok(match code {
        0 => Kind::File {
            content: ContentHash(r.array()?),
            size_bytes: r.uint()?,
        },
        1 => Kind::Folder,
        2 => Kind::Symlink {
            target: r.text("symlink target", PATH_MAX_BYTES)?.to_owned(),
        },
        3 => Kind::Tombstone(Removal::Deleted),
        4 => Kind::Tombstone(Removal::Moved),
        5 => Kind::Tombstone(Removal::Confirmed),
        _ => return Err(DecodeError::Newer),
    })
}

fn read_mode(r: &mut Reader<'_>) -> Result<u32, DecodeError> {
    u32::try_from(r.uint()?)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or(DecodeError::Invalid("a mode is no mode"))
}

fn write_version(w: &mut Writer, version: &VersionVector, authors: &[AuthorId]) {
    w.uint(version.pairs().len() as u64);
    for (author, seq) in version.pairs() {
        w.uint(place(authors, *author));
        w.uint(*seq);
    }
}

fn read_version(r: &mut Reader<'_>, authors: &[AuthorId]) -> Result<VersionVector, DecodeError> {
    let mut pairs: Vec<(AuthorId, u64)> = Vec::new();
    for _ in 0..r.count("length of a version", authors.len())? {
        let author = author_at(r, authors)?;
        let seq = r.uint()?;
        if seq == 0 || pairs.last().is_some_and(|last| last.0 >= author) {
            return Err(DecodeError::NotCanonical);
        }
        pairs.push((author, seq));
    }
    Ok(VersionVector::from_pairs(pairs))
}

fn write_authors(w: &mut Writer, authors: &[AuthorId]) {
    w.uint(authors.len() as u64);
    for author in authors {
        write_author(w, *author);
    }
}

fn read_authors(r: &mut Reader<'_>) -> Result<Vec<AuthorId>, DecodeError> {
    let mut authors: Vec<AuthorId> = Vec::new();
    for _ in 0..r.count("number of authors", SYNC_AUTHORS_MAX)? {
        let author = read_author(r)?;
        if authors.last().is_some_and(|last| *last >= author) {
            return Err(DecodeError::NotCanonical);
        }
        authors.push(author);
    }
    Ok(authors)
}

fn write_author(w: &mut Writer, author: AuthorId) {
    w.raw(author.device.as_bytes());
    w.uint(u64::from(author.epoch));
}

fn read_author(r: &mut Reader<'_>) -> Result<AuthorId, DecodeError> {
    Ok(AuthorId {
        device: DeviceId(r.array()?),
        epoch: u32::try_from(r.uint()?)
            .map_err(|_| DecodeError::Invalid("an epoch is too high"))?,
    })
}

fn place(authors: &[AuthorId], author: AuthorId) -> u64 {
    authors.partition_point(|other| *other < author) as u64
}

fn author_at(r: &mut Reader<'_>, authors: &[AuthorId]) -> Result<AuthorId, DecodeError> {
    let place = r.count("place of an author", authors.len())?;
    authors.get(place).copied().ok_or(DecodeError::Invalid(
        "an author is not in the table of authors",
    ))
}

fn write_prefixed(w: &mut Writer, before: &mut String, text: &str) {
    let shared = shared_prefix(before, text);
    w.uint(shared as u64);
    w.bytes(text.as_bytes().get(shared..).unwrap_or_default());
    before.clear();
    before.push_str(text);
}

fn read_prefixed(r: &mut Reader<'_>, before: &mut String) -> Result<RelPath, DecodeError> {
    let shared = r.count("shared prefix", before.len())?;
    let rest = r.text("path", PATH_MAX_BYTES)?;
    let head = before.get(..shared).ok_or(DecodeError::NotCanonical)?;
    let text = format!("{head}{rest}");
    if shared_prefix(before, &text) != shared {
        return Err(DecodeError::NotCanonical);
    }
    let path = read_path(&text)?;
    *before = text;
    Ok(path)
}

fn read_path(text: &str) -> Result<RelPath, DecodeError> {
    RelPath::new(text).map_err(|_| DecodeError::Invalid("a path leaves the tree or is too long"))
}

/// Bytes at the start that both have, cut back to a character's boundary of the first.
fn shared_prefix(a: &str, b: &str) -> usize {
    let mut shared = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    while !a.is_char_boundary(shared) || !b.is_char_boundary(shared) {
        shared -= 1;
    }
    shared
}
