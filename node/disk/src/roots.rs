//! Where the entries of a share are on disk.

use crate::source::{SourceError, SourceFile};
use crate::stamp::Stamp;
use shoal_jail::Jail;
use shoal_protocol::path::RelPath;
use std::path::PathBuf;

/// One of the paths that were given to share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRoot {
    /// The first component of this root's entries, if the share has several roots.
    pub prefix: Option<String>,
    /// Absolute, without symlinks: the folder itself, or the one that the file is in.
    pub dir: PathBuf,
    /// The file's name in `dir`, if this root is one file.
    pub file: Option<String>,
}

/// The opened roots of a share. Files are opened below them, read-only, and never outside.
#[derive(Debug, Clone)]
pub struct Sources {
    roots: Vec<(SourceRoot, Jail)>,
}

impl Sources {
    /// Opens the roots, which are as `walk` found them or as they were kept since.
    ///
    /// # Errors
    /// `Gone` when a root does not exist any more (or is not mounted), `Permission`, `Io`.
    pub fn open(roots: &[SourceRoot]) -> Result<Self, SourceError> {
        let mut opened = Vec::with_capacity(roots.len());
        for root in roots {
            let jail = Jail::open(&root.dir).map_err(SourceError::from)?;
            opened.push((root.clone(), jail));
        }
        // `locate` searches by prefix.
        opened.sort_by(|a, b| a.0.prefix.cmp(&b.0.prefix));
        Ok(Self { roots: opened })
    }

    /// The jail that an entry is in, and its path there; nothing if no root has such a path.
    pub fn locate<'a>(&'a self, path: &'a RelPath) -> Option<(&'a Jail, &'a str)> {
        let (first, rest) = path.as_str().split_once('/').unwrap_or((path.as_str(), ""));
        if let [(root, jail)] = self.roots.as_slice()
            && root.prefix.is_none()
        {
            return match &root.file {
                Some(name) => rest.is_empty().then_some((jail, name.as_str())),
                None => Some((jail, path.as_str())),
            };
        }
        let index = self
            .roots
            .binary_search_by(|(root, _)| root.prefix.as_deref().cmp(&Some(first)))
            .ok()?;
        let (root, jail) = self.roots.get(index)?;
        match (&root.file, rest) {
            (Some(name), "") => Some((jail, name.as_str())),
            (Some(_), _) | (None, "") => None,
            (None, rest) => Some((jail, rest)),
        }
    }

    /// Opens a file of the share for reading, if it is still the one with this stamp.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub fn file(&self, path: &RelPath, stamp: &Stamp) -> Result<SourceFile, SourceError> {
        let (jail, below) = self.locate(path).ok_or(SourceError::Gone)?;
        SourceFile::open(jail, below, stamp)
    }
}
