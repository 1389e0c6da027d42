//! Reads anybody's info dictionary.

use super::build::is_below;
use super::pieces::{PIECE_HASH_BYTES, piece_count};
use super::{FileKind, Info, InfoFile, Layout, Privacy};
use crate::bencode::{BencodeError, Dict, List, Value};
use crate::display::escape;
use crate::limits::{MANIFEST_MAX_ENTRIES, METAINFO_MAX_BYTES, PATH_MAX_DEPTH};
use crate::path::{PathError, RelPath, check_name};

/// Pieces beyond 1 GiB are in nobody's use.
const FOREIGN_PIECE_LENGTH_MAX_BYTES: i64 = 1 << 30;

/// Why bytes are no usable metainfo. Whoever made the torrent has to make it anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// More than [`METAINFO_MAX_BYTES`].
    #[error("the torrent file is larger than {METAINFO_MAX_BYTES} bytes")]
    TooLarge,
    /// Not bencoded.
    #[error("this is no torrent file: {0}")]
    Bencode(#[from] BencodeError),
    /// Bencoded, but something else.
    #[error("this is no torrent file: it is not a dictionary")]
    NoTorrent,
    /// A key is missing or has a value of the wrong kind.
    #[error("the torrent has no usable '{key}': ask for it to be made anew")]
    Key {
        /// The key.
        key: &'static str,
    },
    /// Only BEP 52.
    #[error("this torrent is for BitTorrent v2 alone: ask for one that is v1 or hybrid")]
    V2Only,
    /// The name is unsafe.
    #[error("the torrent's name cannot be used: {0}")]
    Name(PathError),
    /// A path is unsafe.
    #[error("the path of file {index} in the torrent cannot be used: {reason}")]
    Path {
        /// Index of the file, from 0.
        index: usize,
        /// What is wrong with it.
        reason: PathError,
    },
    /// A name is not UTF-8, and there is no `.utf-8` form of it.
    #[error("a name in the torrent is not UTF-8: ask for it to be made anew")]
    NotUtf8,
    /// Two files have one path, or a file is also a folder.
    #[error("the torrent has '{}' twice, or as a file and as a folder", escape(path.as_str()))]
    Twice {
        /// The path.
        path: RelPath,
    },
    /// More files than [`MANIFEST_MAX_ENTRIES`].
    #[error("the torrent has more than {MANIFEST_MAX_ENTRIES} files")]
    TooManyFiles,
    /// Sizes that are negative, overflow, or belong to a symlink.
    #[error("the torrent's file sizes make no sense: ask for it to be made anew")]
    Sizes,
    /// Piece length and pieces do not fit the sizes.
    #[error("the torrent's pieces do not fit the sizes of its files: ask for it to be made anew")]
    Pieces,
}

/// Values of the keys that matter, before they are checked.
#[derive(Default)]
struct Keys<'a> {
    name: Option<Value<'a>>,
    name_utf8: Option<Value<'a>>,
    piece_length: Option<i64>,
    pieces: Option<&'a [u8]>,
    length: Option<i64>,
    files: Option<List<'a>>,
    attr: &'a [u8],
    private: bool,
    version: Option<i64>,
}

impl Info {
    /// Reads the bytes of an info dictionary.
    ///
    /// # Errors
    /// See [`MetainfoError`]: nothing that is unsafe to write, or contradicts itself, gets through.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetainfoError> {
        if bytes.len() > METAINFO_MAX_BYTES {
            return Err(MetainfoError::TooLarge);
        }
        let keys = Keys::read(
            Value::parse(bytes)?
                .as_dict()
                .ok_or(MetainfoError::NoTorrent)?,
        );
        if keys.pieces.is_none() && keys.version == Some(2) {
            return Err(MetainfoError::V2Only);
        }
        let name = utf8(keys.name_utf8, keys.name, "name")?;
        check_name(name).map_err(MetainfoError::Name)?;
        let (layout, files) = match (keys.length, keys.files) {
            (Some(length), None) => (
                Layout::SingleFile,
                vec![single_file(name, length, keys.attr)?],
            ),
            (None, Some(files)) => (Layout::Folder, folder(files)?),
            _ => return Err(MetainfoError::Key { key: "files" }),
        };
        let total_bytes = files
            .last()
            .map_or(0, |file| file.offset_bytes + file.length_bytes);
        let piece_length_bytes = keys
            .piece_length
            .filter(|length| (1..=FOREIGN_PIECE_LENGTH_MAX_BYTES).contains(length))
            .ok_or(MetainfoError::Key {
                key: "piece length",
            })? as u32;
        let pieces = keys.pieces.ok_or(MetainfoError::Key { key: "pieces" })?;
        let hashes_bytes = piece_count(total_bytes, piece_length_bytes)
            .map(|n| n.saturating_mul(PIECE_HASH_BYTES as u64));
        if hashes_bytes != Some(pieces.len() as u64) {
            return Err(MetainfoError::Pieces);
        }
        Ok(Self {
            name: name.to_owned(),
            layout,
            piece_length_bytes,
            pieces: pieces.to_vec(),
            files,
            total_bytes,
            privacy: if keys.private {
                Privacy::Private
            } else {
                Privacy::Public
            },
        })
    }
}

impl<'a> Keys<'a> {
    /// One walk over the dictionary, which may be large; of a doubled key the first counts.
    fn read(dict: Dict<'a>) -> Self {
        let mut keys = Self::default();
        for (key, value) in dict.iter() {
            match key {
                b"name" => keys.name = keys.name.or(Some(value)),
                b"name.utf-8" => keys.name_utf8 = keys.name_utf8.or(Some(value)),
                b"piece length" => keys.piece_length = keys.piece_length.or(value.as_int()),
                b"pieces" => keys.pieces = keys.pieces.or(value.as_bytes()),
                b"length" => keys.length = keys.length.or(value.as_int()),
                b"files" => keys.files = keys.files.or(value.as_list()),
                b"attr" => keys.attr = value.as_bytes().unwrap_or_default(),
                b"private" => keys.private |= value.as_int() == Some(1),
                b"meta version" => keys.version = value.as_int(),
                _ => {}
            }
        }
        keys
    }
}

fn single_file(name: &str, length: i64, attr: &[u8]) -> Result<InfoFile, MetainfoError> {
    let kind = if attr.contains(&b'x') {
        FileKind::Executable
    } else {
        FileKind::Plain
    };
    Ok(InfoFile {
        path: RelPath::new(name).map_err(MetainfoError::Name)?,
        length_bytes: u64::try_from(length).map_err(|_| MetainfoError::Sizes)?,
        offset_bytes: 0,
        kind,
    })
}

fn folder(list: List<'_>) -> Result<Vec<InfoFile>, MetainfoError> {
    let mut files: Vec<InfoFile> = Vec::new();
    let mut offset_bytes = 0u64;
    for (index, value) in list.iter().enumerate() {
        if index >= MANIFEST_MAX_ENTRIES {
            return Err(MetainfoError::TooManyFiles);
        }
        let file = folder_file(value, index, offset_bytes)?;
        offset_bytes = offset_bytes
            .checked_add(file.length_bytes)
            .filter(|total| i64::try_from(*total).is_ok())
            .ok_or(MetainfoError::Sizes)?;
        files.push(file);
    }
    check_twice(&files)?;
    Ok(files)
}

fn folder_file(
    value: Value<'_>,
    index: usize,
    offset_bytes: u64,
) -> Result<InfoFile, MetainfoError> {
    let dict = value.as_dict().ok_or(MetainfoError::Key { key: "files" })?;
    let length = dict
        .get(b"length")
        .and_then(|v| v.as_int())
        .ok_or(MetainfoError::Key { key: "length" })?;
    let length_bytes = u64::try_from(length).map_err(|_| MetainfoError::Sizes)?;
    let parts = dict
        .get(b"path.utf-8")
        .or_else(|| dict.get(b"path"))
        .and_then(|v| v.as_list());
    let path = path(parts.ok_or(MetainfoError::Key { key: "path" })?, index)?;
    let attr = dict
        .get(b"attr")
        .and_then(|v| v.as_bytes())
        .unwrap_or_default();
    let kind = if attr.contains(&b'p') {
        FileKind::Padding
    } else if attr.contains(&b'l') {
        if length_bytes > 0 {
            return Err(MetainfoError::Sizes);
        }
        FileKind::Symlink(symlink_target(dict, &path))
    } else if attr.contains(&b'x') {
        FileKind::Executable
    } else {
        FileKind::Plain
    };
    Ok(InfoFile {
        path,
        length_bytes,
        offset_bytes,
        kind,
    })
}

/// A target that cannot be used is the link itself, which is what libtorrent makes of it.
fn symlink_target(dict: Dict<'_>, at: &RelPath) -> Option<RelPath> {
    match dict.get(b"symlink path").and_then(|v| v.as_list()) {
        Some(parts) if parts.iter().next().is_none() => None,
        Some(parts) => Some(path(parts, 0).unwrap_or_else(|_| at.clone())),
        None => Some(at.clone()),
    }
}

fn path(parts: List<'_>, index: usize) -> Result<RelPath, MetainfoError> {
    let mut texts = Vec::new();
    for part in parts.iter().take(PATH_MAX_DEPTH + 1) {
        texts.push(part.as_str().ok_or(MetainfoError::NotUtf8)?);
    }
    RelPath::from_components(texts).map_err(|reason| MetainfoError::Path { index, reason })
}

fn utf8<'a>(
    preferred: Option<Value<'a>>,
    plain: Option<Value<'a>>,
    key: &'static str,
) -> Result<&'a str, MetainfoError> {
    if let Some(text) = preferred.and_then(|v| v.as_str()) {
        return Ok(text);
    }
    let value = plain
        .and_then(|v| v.as_bytes())
        .ok_or(MetainfoError::Key { key })?;
    std::str::from_utf8(value).map_err(|_| MetainfoError::NotUtf8)
}

/// Padding may repeat its names: nobody stores it. In component order what is below a path comes right after it.
fn check_twice(files: &[InfoFile]) -> Result<(), MetainfoError> {
    let mut paths: Vec<&RelPath> = files
        .iter()
        .filter(|f| f.kind != FileKind::Padding)
        .map(|f| &f.path)
        .collect();
    if !paths.is_sorted() {
        paths.sort_unstable();
    }
    for pair in paths.windows(2) {
        if let [before, path] = pair
            && (before == path || is_below(path, before))
        {
            return Err(MetainfoError::Twice {
                path: (*before).clone(),
            });
        }
    }
    Ok(())
}
