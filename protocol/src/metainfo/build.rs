//! Writes info dictionaries: same entries, same salt, same bytes, on every machine.

use super::pieces::{PIECE_HASH_BYTES, piece_count};
use super::{InfoBytes, Privacy};
use crate::bencode::{DictEncoder, Encoder};
use crate::path::{PathError, RelPath, check_name};

/// What every info dictionary has, whatever its layout.
///
/// Keys written: `attr`, `files` or `length`, `name`, `piece length`, `pieces`, `private` and `salt`. The salt
/// gives each link an infohash of its own, so that stopping one link does not touch another.
#[derive(Debug, Clone, Copy)]
pub struct InfoBuilder<'a> {
    /// Name of the file or folder: one path component.
    pub name: &'a str,
    /// Bytes of a piece, see [`piece_length`](super::piece_length).
    pub piece_length_bytes: u32,
    /// SHA-1 hashes over the bytes of the regular files, one after the other in snapshot order.
    pub pieces: &'a [u8],
    /// 16 random bytes, the same for as long as the link lives.
    pub salt: [u8; 16],
    /// BEP 27.
    pub privacy: Privacy,
}

/// One entry of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InfoEntry<'a> {
    /// A regular file.
    File {
        /// Path below the torrent's folder.
        path: &'a RelPath,
        /// Size in bytes.
        size_bytes: u64,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A symlink.
    Symlink {
        /// Path below the torrent's folder.
        path: &'a RelPath,
        /// Its text, relative to the folder it is in.
        target: &'a str,
    },
}

/// Why no info dictionary can be written. All of these are mistakes of the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The name is no path component.
    #[error("the torrent's name cannot be used: {0}")]
    Name(#[from] PathError),
    /// Entries do not come in snapshot order, or one is there twice.
    #[error("entry {index} is out of order, there twice, or below a file")]
    Order {
        /// Index of the entry.
        index: usize,
    },
    /// A symlink leaves the tree.
    #[error("entry {index} is a symlink that leaves the tree")]
    SymlinkLeaves {
        /// Index of the entry.
        index: usize,
    },
    /// Sizes add up to more than 2^63 - 1.
    #[error("the files are too large for a torrent")]
    TooLarge,
    /// Pieces and sizes do not agree.
    #[error(
        "{found_bytes} bytes of piece hashes do not fit {total_bytes} bytes in pieces of {piece_length_bytes}"
    )]
    Pieces {
        /// Bytes of hashes given.
        found_bytes: usize,
        /// Bytes of all files.
        total_bytes: u64,
        /// Bytes of a piece.
        piece_length_bytes: u32,
    },
}

impl InfoBuilder<'_> {
    /// The info dictionary of one file.
    ///
    /// # Errors
    /// A name that is no component, or pieces that do not fit.
    pub fn single_file(&self, size_bytes: u64, executable: bool) -> Result<InfoBytes, BuildError> {
        self.check(size_bytes)?;
        Ok(InfoBytes::of_dict(Encoder::dict(|d| {
            d.entry_if(b"attr", executable.then_some("x"), |e, attr| e.str(attr));
            d.entry(b"length", |e| e.int(size_bytes as i64));
            self.write_rest(d);
        })))
    }

    /// The info dictionary of a folder. Entries come in snapshot order: ascending by components.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn folder<'e>(
        &self,
        entries: impl IntoIterator<Item = InfoEntry<'e>>,
    ) -> Result<InfoBytes, BuildError> {
        let mut outcome = Ok(());
        let mut total_bytes = 0u64;
        let bytes = Encoder::dict(|d| {
            d.entry(b"files", |e| {
                e.list(|list| {
                    let mut before = None;
                    for (index, entry) in entries.into_iter().enumerate() {
                        outcome = check_order(before, entry.path(), index)
                            .and_then(|()| entry.link_target(index))
                            .map(|target| {
                                list.value(|e| e.nested_dict(|d| entry.write(d, target.as_deref())))
                            });
                        total_bytes = total_bytes.saturating_add(entry.size_bytes());
                        before = Some(entry.path());
                        if outcome.is_err() {
                            break;
                        }
                    }
                })
            });
            self.write_rest(d);
        });
        outcome?;
        self.check(total_bytes)?;
        Ok(InfoBytes::of_dict(bytes))
    }

    fn check(&self, total_bytes: u64) -> Result<(), BuildError> {
        check_name(self.name)?;
        if i64::try_from(total_bytes).is_err() {
            return Err(BuildError::TooLarge);
        }
        let hashes_bytes =
            piece_count(total_bytes, self.piece_length_bytes).map(|n| n * PIECE_HASH_BYTES as u64);
        if hashes_bytes != Some(self.pieces.len() as u64) {
            return Err(BuildError::Pieces {
                found_bytes: self.pieces.len(),
                total_bytes,
                piece_length_bytes: self.piece_length_bytes,
            });
        }
        Ok(())
    }

    fn write_rest(&self, d: &mut DictEncoder<'_>) {
        d.entry(b"name", |e| e.str(self.name));
        d.entry(b"piece length", |e| {
            e.int(i64::from(self.piece_length_bytes))
        });
        d.entry(b"pieces", |e| e.bytes(self.pieces));
        if self.privacy == Privacy::Private {
            d.entry(b"private", |e| e.int(1));
        }
        d.entry(b"salt", |e| e.bytes(&self.salt));
    }
}

impl<'a> InfoEntry<'a> {
    /// Path below the torrent's folder.
    pub fn path(&self) -> &'a RelPath {
        match self {
            Self::File { path, .. } | Self::Symlink { path, .. } => path,
        }
    }

    fn size_bytes(&self) -> u64 {
        match self {
            Self::File { size_bytes, .. } => *size_bytes,
            Self::Symlink { .. } => 0,
        }
    }

    fn link_target(&self, index: usize) -> Result<Option<Vec<&'a str>>, BuildError> {
        match self {
            Self::File { .. } => Ok(None),
            Self::Symlink { path, target } => symlink_from_root(path, target)
                .map(Some)
                .ok_or(BuildError::SymlinkLeaves { index }),
        }
    }

    fn write(&self, d: &mut DictEncoder<'_>, target: Option<&[&str]>) {
        let attr = match self {
            Self::File { executable, .. } => executable.then_some("x"),
            Self::Symlink { .. } => Some("l"),
        };
        d.entry_if(b"attr", attr, |e, attr| e.str(attr));
        d.entry(b"length", |e| {
            e.int(i64::try_from(self.size_bytes()).unwrap_or(i64::MAX))
        });
        d.entry(b"path", |e| {
            e.list(|l| {
                self.path()
                    .components()
                    .for_each(|part| l.value(|e| e.str(part)))
            })
        });
        d.entry_if(b"symlink path", target, |e, parts| {
            e.list(|l| parts.iter().for_each(|part| l.value(|e| e.str(part))))
        });
    }
}

/// Where a symlink points, as components below the torrent's folder (BEP 47), by its text alone. Empty if it
/// points to that folder itself; None if it leaves it.
pub fn symlink_from_root<'a>(at: &'a RelPath, target: &'a str) -> Option<Vec<&'a str>> {
    if target.is_empty() || target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = at.components().collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts)
}

/// The text of a symlink at `at` that points to a path below the same folder, or to that folder itself.
pub fn relative_target(at: &RelPath, target: Option<&RelPath>) -> String {
    let mut from: Vec<&str> = at.components().collect();
    from.pop();
    let to: Vec<&str> = target
        .into_iter()
        .flat_map(|target| target.components())
        .collect();
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", from.len() - shared);
    let parts: Vec<&str> = up.chain(to.into_iter().skip(shared)).collect();
    if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    }
}

/// Snapshot order puts what is below a path right after it, so that looking at the one before is enough.
fn check_order(before: Option<&RelPath>, path: &RelPath, index: usize) -> Result<(), BuildError> {
    match before {
        Some(before) if before >= path || is_below(path, before) => {
            Err(BuildError::Order { index })
        }
        _ => Ok(()),
    }
}

/// Whether a path lies below another.
pub(super) fn is_below(path: &RelPath, other: &RelPath) -> bool {
    path.as_str()
        .strip_prefix(other.as_str())
        .is_some_and(|rest| rest.starts_with('/'))
}
