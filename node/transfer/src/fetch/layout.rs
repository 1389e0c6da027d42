//! What is to be built: files, folders and links, from a manifest or from a torrent's metainfo.

use super::error::GetError;
use shoal_jail::symlink_target_stays;
use shoal_protocol::id::ContentHash;
use shoal_protocol::manifest::{Kind, Manifest, Shape};
use shoal_protocol::metainfo::{self, FileKind, Info, relative_target};
use shoal_protocol::path::RelPath;

/// The tree that a `get` builds.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Name of the root.
    pub(crate) name: String,
    /// File or folder.
    pub(crate) shape: Shape,
    /// Regular files, in snapshot or torrent order.
    pub(crate) files: Vec<FileSpec>,
    /// Folders that are named, parents before what is in them.
    pub(crate) folders: Vec<FolderSpec>,
    /// Symbolic links that stay inside.
    pub(crate) symlinks: Vec<SymlinkSpec>,
    /// Bytes of all files.
    pub(crate) bytes: u64,
}

/// A regular file.
#[derive(Debug)]
pub(crate) struct FileSpec {
    /// Path below the root; of a single file its name.
    pub(crate) path: RelPath,
    /// Length in bytes.
    pub(crate) size: u64,
    /// BLAKE3, where a manifest says it.
    pub(crate) content: Option<ContentHash>,
    /// Whether it may be run.
    pub(crate) exec: bool,
    /// Nanoseconds since 1970, where a manifest says it.
    pub(crate) mtime_ns: Option<i64>,
}

/// A folder.
#[derive(Debug)]
pub(crate) struct FolderSpec {
    /// Path below the root.
    pub(crate) path: RelPath,
    /// Nanoseconds since 1970.
    pub(crate) mtime_ns: i64,
}

/// A symbolic link.
#[derive(Debug)]
pub(crate) struct SymlinkSpec {
    /// Path below the root.
    pub(crate) path: RelPath,
    /// Where it points, relative to its folder.
    pub(crate) target: String,
    /// Nanoseconds since 1970, where a manifest says it.
    pub(crate) mtime_ns: Option<i64>,
}

impl Layout {
    /// From a manifest whose hash was checked.
    pub(crate) fn of_manifest(manifest: &Manifest) -> Result<Self, GetError> {
        let mut layout = Self::empty(manifest.name(), manifest.shape());
        for entry in manifest.entries() {
            let path = entry.path.clone();
            match &entry.kind {
                Kind::File { size, content } => layout.file(FileSpec {
                    path,
                    size: *size,
                    content: Some(*content),
                    exec: entry.mode & 0o100 != 0,
                    mtime_ns: Some(entry.mtime_ns),
                }),
                Kind::Folder => layout.folders.push(FolderSpec {
                    path,
                    mtime_ns: entry.mtime_ns,
                }),
                Kind::Symlink { target } => {
                    layout.symlink(path, target.clone(), Some(entry.mtime_ns))?
                }
            }
        }
        Ok(layout)
    }

    /// From the metainfo of a torrent whose infohash was checked, where no manifest can be had.
    pub(crate) fn of_torrent(info: &Info) -> Result<Self, GetError> {
        let shape = match info.layout {
            metainfo::Layout::SingleFile => Shape::SingleFile,
            metainfo::Layout::Folder => Shape::Folder,
        };
        let mut layout = Self::empty(&info.name, shape);
        for file in &info.files {
            match &file.kind {
                FileKind::Plain | FileKind::Executable => layout.file(FileSpec {
                    path: file.path.clone(),
                    size: file.length_bytes,
                    content: None,
                    exec: file.kind == FileKind::Executable,
                    mtime_ns: None,
                }),
                FileKind::Symlink(target) => {
                    layout.symlink(
                        file.path.clone(),
                        relative_target(&file.path, target.as_ref()),
                        None,
                    )?;
                }
                FileKind::Padding => {}
            }
        }
        Ok(layout)
    }

    /// Which of this layout's files the files of a torrent are; `None` stands for padding and links.
    ///
    /// # Errors
    /// When the torrent has another tree than the layout.
    pub(crate) fn torrent_files(&self, info: &Info) -> Result<Vec<Option<u32>>, GetError> {
        let mut next = 0;
        let mut map = Vec::with_capacity(info.files.len());
        for file in &info.files {
            match file.kind {
                FileKind::Plain | FileKind::Executable => {
                    let same = self.files.get(next).is_some_and(|own| {
                        own.size == file.length_bytes
                            && (self.shape == Shape::SingleFile || own.path == file.path)
                    });
                    if !same {
                        return Err(GetError::Verification(
                            "the torrent has other files than the manifest".into(),
                        ));
                    }
                    map.push(u32::try_from(next).ok());
                    next += 1;
                }
                FileKind::Symlink(_) | FileKind::Padding => map.push(None),
            }
        }
        if next != self.files.len() {
            return Err(GetError::Verification(
                "the torrent has fewer files than the manifest".into(),
            ));
        }
        Ok(map)
    }

    /// The files of a run that begins at an index: those that there are of them.
    pub(crate) fn run(&self, (first, count): (u32, u32)) -> std::ops::Range<u32> {
        let files = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        first.min(files)..first.saturating_add(count).min(files)
    }

    /// A file by its index.
    pub(crate) fn spec(&self, file: u32) -> Option<&FileSpec> {
        self.files.get(file as usize)
    }

    /// A name that librqbit refuses, because it would be a path on Windows.
    pub(crate) fn with_backslash(&self) -> Option<&str> {
        let files = self.files.iter().map(|file| file.path.as_str());
        let links = self.symlinks.iter().map(|link| link.path.as_str());
        files.chain(links).find(|path| path.contains('\\'))
    }

    fn empty(name: &str, shape: Shape) -> Self {
        Self {
            name: name.to_owned(),
            shape,
            files: Vec::new(),
            folders: Vec::new(),
            symlinks: Vec::new(),
            bytes: 0,
        }
    }

    fn file(&mut self, spec: FileSpec) {
        self.bytes = self.bytes.saturating_add(spec.size);
        self.files.push(spec);
    }

    fn symlink(
        &mut self,
        path: RelPath,
        target: String,
        mtime_ns: Option<i64>,
    ) -> Result<(), GetError> {
        if !symlink_target_stays(path.as_str(), &target) {
            return Err(GetError::Verification(format!(
                "the symbolic link {path:?} leads out of the folder"
            )));
        }
        self.symlinks.push(SymlinkSpec {
            path,
            target,
            mtime_ns,
        });
        Ok(())
    }
}
