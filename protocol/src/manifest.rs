//! Manifest: the list of a snapshot's entries. The BLAKE3 hash of its bytes is the snapshot's id.
//!
//! Form: version byte, count of entries, then each entry in snapshot order with its path
//! prefix-coded against the one before. One tree has one encoding.

use crate::codec::{DecodeError, Reader, Writer};
use crate::id::ContentHash;
use crate::limits::{MANIFEST_MAX_ENTRIES, MANIFEST_PATHS_MAX_BYTES, PATH_MAX_BYTES};
use crate::path::{RelPath, symlink_stays_inside};
use std::collections::HashSet;

const VERSION: u8 = 1;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Its length in bytes.
        size: u64,
        /// BLAKE3 of its bytes.
        content: ContentHash,
    },
    /// A folder.
    Folder,
    /// A symbolic link that stays inside the tree.
    Symlink {
        /// Where it points, relative to the folder it is in.
        target: String,
    },
}

/// One path of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is, relative to the root.
    pub path: RelPath,
    /// What it is.
    pub kind: Kind,
    /// Modification time, nanoseconds since 1970 UTC.
    pub mtime_ns: i64,
    /// Permission bits, as in `stat`: only the lowest nine count.
    pub mode: u32,
}

/// Whether the root is a single file or a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The snapshot is one file; its one entry's path is the file's name.
    SingleFile,
    /// The snapshot is a folder; paths are relative to it.
    Folder,
}

/// An immutable tree of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    name: String,
    shape: Shape,
    entries: Vec<Entry>,
}

impl Manifest {
    /// Checks and keeps entries in snapshot order.
    ///
    /// # Errors
    /// When they are not sorted, not unique, over the limits, inside something that is no
    /// folder, or when a symlink leaves the tree.
    pub fn new(name: String, shape: Shape, entries: Vec<Entry>) -> Result<Self, DecodeError> {
        crate::path::check_name(&name)
            .map_err(|_| DecodeError::Invalid("the name of the share is no file name"))?;
        if entries.len() > MANIFEST_MAX_ENTRIES {
            return Err(DecodeError::Limit {
                what: "number of entries",
                limit: MANIFEST_MAX_ENTRIES,
            });
        }
        if entries.windows(2).any(|pair| pair[0].path >= pair[1].path) {
            return Err(DecodeError::NotCanonical);
        }
        match (shape, entries.as_slice()) {
            (
                Shape::SingleFile,
                [
                    Entry {
                        path,
                        kind: Kind::File { .. },
                        ..
                    },
                ],
            ) if path.as_str() == name => {}
            (Shape::SingleFile, _) => {
                return Err(DecodeError::Invalid(
                    "a single-file snapshot has other entries",
                ));
            }
            (Shape::Folder, _) => check_tree(&entries)?,
        }
        let manifest = Self {
            name,
            shape,
            entries,
        };
        manifest.checked_total()?;
        Ok(manifest)
    }

    /// The name of the root.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the root is a file or a folder.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The entries in snapshot order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Regular files: entry, size and content, in snapshot order.
    pub fn files(&self) -> impl Iterator<Item = (&Entry, u64, ContentHash)> {
        self.entries.iter().filter_map(|entry| match entry.kind {
            Kind::File { size, content } => Some((entry, size, content)),
            _ => None,
        })
    }

    /// Bytes of all regular files.
    pub fn total_bytes(&self) -> u64 {
        self.files().map(|(_, size, _)| size).sum()
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION);
        w.u8(match self.shape {
            Shape::SingleFile => 0,
            Shape::Folder => 1,
        });
        w.bytes(self.name.as_bytes());
        w.uint(self.entries.len() as u64);
        let mut before = "";
        let mut mtime_before = 0i64;
        for entry in &self.entries {
            let path = entry.path.as_str();
            let shared = shared_prefix(before, path);
            w.uint(shared as u64);
            w.bytes(&path.as_bytes()[shared..]);
            w.int(entry.mtime_ns.wrapping_sub(mtime_before));
            w.uint(u64::from(entry.mode & 0o777));
            match &entry.kind {
                Kind::File { size, content } => {
                    w.u8(0);
                    w.uint(*size);
                    w.raw(content.as_bytes());
                }
                Kind::Folder => w.u8(1),
                Kind::Symlink { target } => {
                    w.u8(2);
                    w.bytes(target.as_bytes());
                }
            }
            before = path;
            mtime_before = entry.mtime_ns;
        }
        w.finish()
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// See [`DecodeError`]; anything that [`Manifest::new`] refuses is refused here too.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        if r.u8()? != VERSION {
            return Err(DecodeError::Newer);
        }
        let shape = match r.u8()? {
            0 => Shape::SingleFile,
            1 => Shape::Folder,
            _ => return Err(DecodeError::Newer),
        };
        let name = r.text("name", crate::limits::NAME_MAX_BYTES)?.to_owned();
        let count = r.count("number of entries", MANIFEST_MAX_ENTRIES)?;
        let mut paths_bytes = 0;
        // An entry takes five bytes or more: a count that the bytes cannot hold reserves nothing.
        let mut entries: Vec<Entry> = Vec::with_capacity(count.min(r.left() / 5));
        for _ in 0..count {
            let before = entries
                .last()
                .map(|e: &Entry| (e.path.as_str(), e.mtime_ns))
                .unwrap_or(("", 0));
            let entry = decode_entry(&mut r, before)?;
            paths_bytes += entry.path.as_str().len();
            if paths_bytes > MANIFEST_PATHS_MAX_BYTES {
                return Err(DecodeError::Limit {
                    what: "length of all paths",
                    limit: MANIFEST_PATHS_MAX_BYTES,
                });
            }
            entries.push(entry);
        }
        r.finish()?;
        Self::new(name, shape, entries)
    }

    fn checked_total(&self) -> Result<u64, DecodeError> {
        self.files()
            .try_fold(0u64, |sum, (_, size, _)| {
                sum.checked_add(size).filter(|sum| *sum <= i64::MAX as u64)
            })
            .ok_or(DecodeError::Invalid(
                "the sizes add up to more than a file system can hold",
            ))
    }
}

fn decode_entry(
    r: &mut Reader<'_>,
    (before, mtime_before): (&str, i64),
) -> Result<Entry, DecodeError> {
    let shared = r.count("shared prefix", before.len())?;
    let rest = r.text("path", PATH_MAX_BYTES)?;
    let head = before.get(..shared).ok_or(DecodeError::NotCanonical)?;
    let text = format!("{head}{rest}");
    if shared_prefix(before, &text) != shared {
        return Err(DecodeError::NotCanonical);
    }
    let path = RelPath::new(&text)
        .map_err(|_| DecodeError::Invalid("a path leaves the tree or is too long"))?;
    let mtime_ns = mtime_before.wrapping_add(r.int()?);
    let mode = u32::try_from(r.uint()?)
        .ok()
        .filter(|m| *m <= 0o777)
        .ok_or(DecodeError::Invalid("a mode is no mode"))?;
    let kind = match r.u8()? {
        0 => Kind::File {
            size: r.uint()?,
            content: ContentHash(r.array()?),
        },
        1 => Kind::Folder,
        2 => Kind::Symlink {
            target: r.text("symlink target", PATH_MAX_BYTES)?.to_owned(),
        },
        _ => return Err(DecodeError::Newer),
    };
    Ok(Entry {
        path,
        kind,
        mtime_ns,
        mode,
    })
}

/// Bytes at the start that both have, cut back to a character's boundary.
fn shared_prefix(a: &str, b: &str) -> usize {
    let mut shared = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    while !b.is_char_boundary(shared) {
        shared -= 1;
    }
    shared
}

/// What is inside something must be inside a folder, and links must stay inside.
fn check_tree(entries: &[Entry]) -> Result<(), DecodeError> {
    let mut not_folders = HashSet::new();
    for entry in entries {
        if let Kind::Symlink { target } = &entry.kind
            && !symlink_stays_inside(&entry.path, target)
        {
            return Err(DecodeError::Invalid("a symlink leaves the tree"));
        }
        let path = entry.path.as_str();
        let inside_other = path
            .match_indices('/')
            .any(|(at, _)| not_folders.contains(&path[..at]));
        if inside_other {
            return Err(DecodeError::Invalid(
                "a path goes through something that is no folder",
            ));
        }
        if entry.kind != Kind::Folder {
            not_folders.insert(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn file(path: &str, size: u64) -> Entry {
        Entry {
            path: RelPath::new(path).unwrap(),
            kind: Kind::File {
                size,
                content: ContentHash([size as u8; 32]),
            },
            mtime_ns: 1_700_000_000_000_000_000,
            mode: 0o644,
        }
    }

    #[test]
    fn a_tree_goes_round() {
        let folder = Entry {
            kind: Kind::Folder,
            mode: 0o755,
            ..file("ordner/é", 0)
        };
        let link = Entry {
            kind: Kind::Symlink {
                target: "../a".into(),
            },
            ..file("ordner/è", 0)
        };
        let mut entries = vec![
            file("a", 1),
            Entry {
                kind: Kind::Folder,
                ..file("ordner", 0)
            },
            folder,
            link,
        ];
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let manifest = Manifest::new("holiday".into(), Shape::Folder, entries).unwrap();
        assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
    }

    #[test]
    fn refuses_trees_that_cannot_be() {
        let new = |entries| Manifest::new("t".into(), Shape::Folder, entries);
        assert!(new(vec![file("b", 1), file("a", 1)]).is_err());
        assert!(new(vec![file("a", 1), file("a", 1)]).is_err());
        assert!(new(vec![file("a", 1), file("a/b", 1)]).is_err());
        assert!(new(vec![file("a", i64::MAX as u64), file("b", 1)]).is_err());
        let out = Entry {
            kind: Kind::Symlink {
                target: "../../etc".into(),
            },
            ..file("a", 0)
        };
        assert!(new(vec![out]).is_err());
        assert!(Manifest::new("..".into(), Shape::Folder, vec![]).is_err());
        assert!(Manifest::new("a".into(), Shape::SingleFile, vec![file("b", 1)]).is_err());
    }

    proptest! {
        #[test]
        fn what_decodes_has_one_encoding(bytes: Vec<u8>) {
            if let Ok(manifest) = Manifest::decode(&bytes) {
                prop_assert_eq!(manifest.encode(), bytes);
            }
        }

        #[test]
        fn flipped_bytes_never_panic(names in prop::collection::btree_set("[a-zé]{1,4}(/[a-z]{1,3})?", 0..20), at: usize, bit in 0..8u8) {
            let mut entries: Vec<_> = names.iter().map(|n| file(n, 5)).collect();
            entries.sort_by(|a, b| a.path.cmp(&b.path));
            if let Ok(manifest) = Manifest::new("n".into(), Shape::Folder, entries) {
                let mut bytes = manifest.encode();
                prop_assert_eq!(&Manifest::decode(&bytes).unwrap(), &manifest);
                let at = at % bytes.len();
                bytes[at] ^= 1u8 << bit;
                if let Ok(other) = Manifest::decode(&bytes) {
                    prop_assert_eq!(other.encode(), bytes);
                }
            }
        }
    }
}
