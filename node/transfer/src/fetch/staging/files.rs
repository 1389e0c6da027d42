//! The files of the tree being built: opened through the jail, and kept open while they are in use.

use super::super::error::GetError;
use super::super::layout::{FileSpec, Layout};
use lru::LruCache;
use rustix::fs::{Timespec, Timestamps, UTIME_OMIT};
use shoal_jail::{Create, Jail};
use shoal_protocol::manifest::Shape;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

/// Files that are kept open.
const OPEN_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// Name of the root inside the staging folder.
pub(crate) const ROOT: &str = "root";

/// Opens files of the tree.
pub(super) struct Files {
    /// Where paths begin: the root folder, or the staging folder of a single file.
    tree: Jail,
    shape: Shape,
    open: Mutex<LruCache<u32, Arc<File>>>,
}

impl Files {
    /// Makes the root and its folders.
    pub(super) fn prepare(stage: &Jail, layout: &Layout) -> Result<Self, GetError> {
        let tree = match layout.shape {
            Shape::SingleFile => stage.clone(),
            Shape::Folder => {
                stage.create_dir_all(ROOT).map_err(GetError::jail)?;
                let tree = stage.below(ROOT).map_err(GetError::jail)?;
                make_folders(&tree, layout)?;
                tree
            }
        };
        Ok(Self {
            tree,
            shape: layout.shape,
            open: Mutex::new(LruCache::new(OPEN_MAX)),
        })
    }

    /// A file for reading and writing, with its final length.
    pub(super) fn open(&self, file: u32, spec: &FileSpec) -> Result<Arc<File>, GetError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = open.get(&file) {
            return Ok(handle.clone());
        }
        let handle = self.create(spec)?;
        // The length is set at once: what nobody writes is a hole, and reads as zeros.
        let length = handle
            .metadata()
            .and_then(|meta| match meta.len() == spec.size {
                true => Ok(()),
                false => handle.set_len(spec.size),
            });
        length.map_err(|error| GetError::io(&self.tree.path().join(spec.path.as_str()), error))?;
        let handle = Arc::new(handle);
        open.put(file, handle.clone());
        Ok(handle)
    }

    /// A file for writing, as it is or made.
    pub(super) fn create(&self, spec: &FileSpec) -> Result<File, GetError> {
        let mode = if spec.exec { 0o777 } else { 0o666 };
        self.tree
            .create_file(self.path(spec), mode, Create::OrOpen)
            .map_err(GetError::jail)
    }

    /// Its length, if it is there.
    pub(super) fn size(&self, spec: &FileSpec) -> Option<u64> {
        let meta = self.tree.metadata(self.path(spec)).ok()?;
        (meta.kind == shoal_jail::Kind::File).then_some(meta.size)
    }

    pub(super) fn close(&self) {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn path<'s>(&self, spec: &'s FileSpec) -> &'s str {
        match self.shape {
            Shape::SingleFile => ROOT,
            Shape::Folder => spec.path.as_str(),
        }
    }
}

fn make_folders(tree: &Jail, layout: &Layout) -> Result<(), GetError> {
    let mut before = None;
    let named = layout
        .folders
        .iter()
        .map(|folder| Some(folder.path.clone()));
    let files = layout.files.iter().map(|file| file.path.parent());
    let links = layout.symlinks.iter().map(|link| link.path.parent());
    for folder in named.chain(files).chain(links) {
        if let Some(path) = &folder
            && folder != before
        {
            tree.create_dir_all(path.as_str()).map_err(GetError::jail)?;
        }
        before = folder;
    }
    Ok(())
}

/// Sets the time of last change.
pub(super) fn stamp(file: &File, spec: &FileSpec) -> io::Result<()> {
    const SECOND_NS: i64 = 1_000_000_000;
    let Some(mtime_ns) = spec.mtime_ns else {
        return Ok(());
    };
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT as _,
        },
        last_modification: Timespec {
            tv_sec: mtime_ns.div_euclid(SECOND_NS) as _,
            tv_nsec: mtime_ns.rem_euclid(SECOND_NS) as _,
        },
    };
    Ok(rustix::fs::futimens(file, &times)?)
}

/// Makes a range a hole, where the file system can; zeros otherwise.
pub(super) fn punch(file: &File, at: u64, zeros: &[u8]) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::fs::FallocateFlags;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if rustix::fs::fallocate(file, flags, at, zeros.len() as u64).is_ok() {
            return Ok(());
        }
    }
    file.write_all_at(zeros, at)
}
