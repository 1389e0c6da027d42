//! Whether the target is there already.

use super::error::GetError;
use super::layout::Layout;
use sha1::{Digest, Sha1};
use shoal_jail::{Jail, Kind, Meta};
use shoal_protocol::id::ContentHash;
use shoal_protocol::manifest::Shape;
use shoal_protocol::metainfo::{Info, PIECE_HASH_BYTES};
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const BUFFER_BYTES: usize = 1 << 20;

/// What stands under the target's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Nothing.
    Free,
    /// The same content, and nothing else.
    Same,
    /// Something else.
    Other,
}

/// Looks at the target, without touching it. Hashes it only when names, kinds and sizes agree.
pub(crate) fn look(into: &Path, layout: &Layout, info: Option<&Info>) -> Result<Target, GetError> {
    let jail = match Jail::open(into) {
        Err(error) if error.is_not_found() => return Ok(Target::Free),
        other => other.map_err(GetError::jail)?,
    };
    let root = match jail.metadata(&layout.name) {
        Err(error) if error.is_not_found() => return Ok(Target::Free),
        other => other.map_err(GetError::jail)?,
    };
    let same = match (layout.shape, root.kind) {
        (Shape::SingleFile, Kind::File) => same_files(&jail, layout, info)?,
        (Shape::Folder, Kind::Dir) => {
            let tree = jail.below(&layout.name).map_err(GetError::jail)?;
            same_names(&tree, layout)? && same_files(&tree, layout, info)?
        }
        _ => false,
    };
    Ok(if same { Target::Same } else { Target::Other })
}

/// Whether a folder has exactly the names of the layout, of the same kinds and sizes.
fn same_names(tree: &Jail, layout: &Layout) -> Result<bool, GetError> {
    let mut expected = HashSet::with_capacity(layout.files.len() + layout.folders.len());
    let files = layout.files.iter().map(|file| &file.path);
    let links = layout.symlinks.iter().map(|link| &link.path);
    for path in files
        .chain(links)
        .chain(layout.folders.iter().map(|folder| &folder.path))
    {
        let mut path = path.as_str();
        while expected.insert(path) {
            let Some((parent, _)) = path.rsplit_once('/') else {
                break;
            };
            path = parent;
        }
    }
    for file in &layout.files {
        if !has(tree, file.path.as_str(), |meta| {
            meta.kind == Kind::File && meta.size == file.size
        }) {
            return Ok(false);
        }
    }
    for link in &layout.symlinks {
        if !tree
            .read_link(link.path.as_str())
            .is_ok_and(|target| target == link.target.as_bytes())
        {
            return Ok(false);
        }
    }
    if !layout
        .folders
        .iter()
        .all(|folder| has(tree, folder.path.as_str(), |meta| meta.kind == Kind::Dir))
    {
        return Ok(false);
    }
    Ok(count(tree)? == expected.len())
}

fn has(tree: &Jail, path: &str, right: impl FnOnce(&Meta) -> bool) -> bool {
    tree.metadata(path).is_ok_and(|meta| right(&meta))
}

/// How many names there are below a folder.
fn count(tree: &Jail) -> Result<usize, GetError> {
    let (mut count, mut folders) = (0, vec![String::new()]);
    while let Some(folder) = folders.pop() {
        for entry in tree.read_dir(&folder).map_err(GetError::jail)? {
            count += 1;
            if entry.kind == Kind::Dir {
                let Some(name) = entry.name.to_str() else {
                    continue;
                };
                folders.push(if folder.is_empty() {
                    name.to_owned()
                } else {
                    format!("{folder}/{name}")
                });
            }
        }
    }
    Ok(count)
}

/// Whether all files have the bytes that the manifest, or the torrent, says.
fn same_files(tree: &Jail, layout: &Layout, info: Option<&Info>) -> Result<bool, GetError> {
    if let Some(info) = info {
        return same_pieces(tree, layout, info);
    }
    for spec in &layout.files {
        let path = path(layout, spec);
        let file = tree.open_read(path).map_err(GetError::jail)?;
        let sized = file.metadata().is_ok_and(|meta| meta.len() == spec.size);
        let same = sized
            && hash(&file).map_err(|error| GetError::io(&tree.path().join(path), error))?
                == spec.content;
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

fn path<'l>(layout: &'l Layout, spec: &'l super::layout::FileSpec) -> &'l str {
    match layout.shape {
        Shape::SingleFile => &layout.name,
        Shape::Folder => spec.path.as_str(),
    }
}

fn hash(file: &File) -> io::Result<Option<ContentHash>> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut buffer, at)?;
        if read == 0 {
            return Ok(Some(ContentHash(*hasher.finalize().as_bytes())));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        at += read as u64;
    }
}

fn same_pieces(tree: &Jail, layout: &Layout, info: &Info) -> Result<bool, GetError> {
    let map = layout.torrent_files(info)?;
    let mut open: Option<(usize, File)> = None;
    let mut buffer = Vec::new();
    for index in 0..info.piece_count() {
        let mut hasher = Sha1::new();
        let start = index as u64 * u64::from(info.piece_length_bytes);
        for slice in info.slices(start, u64::from(info.piece_size(index))) {
            buffer.clear();
            buffer.resize(usize::try_from(slice.len_bytes).unwrap_or(0), 0);
            let spec = map
                .get(slice.file_index)
                .copied()
                .flatten()
                .and_then(|file| layout.spec(file));
            if let Some(spec) = spec {
                let path = path(layout, spec);
                if open
                    .as_ref()
                    .is_none_or(|(file, _)| *file != slice.file_index)
                {
                    open = Some((
                        slice.file_index,
                        tree.open_read(path).map_err(GetError::jail)?,
                    ));
                }
                let read = open
                    .as_ref()
                    .map(|(_, file)| file.read_exact_at(&mut buffer, slice.offset_bytes));
                if !matches!(read, Some(Ok(()))) {
                    return Ok(false);
                }
            }
            hasher.update(&buffer);
        }
        let found: [u8; PIECE_HASH_BYTES] = hasher.finalize().into();
        if info.piece_hash(index) != Some(&found) {
            return Ok(false);
        }
    }
    // A file that is longer than the pieces was found by its size, but for a single one.
    Ok(layout
        .files
        .iter()
        .all(|spec| has(tree, path(layout, spec), |meta| meta.size == spec.size)))
}
