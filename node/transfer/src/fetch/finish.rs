//! The end of a `get`: times, links, durability, and the one rename that gives the tree its name.

use super::Durability;
use super::error::GetError;
use super::staging::{ROOT, Staging};
use shoal_jail::{Existing, Jail};
use shoal_protocol::manifest::Shape;
use std::path::PathBuf;

/// Settles everything and gives the tree its name. All files must be complete.
pub(crate) fn finish(staging: &Staging, durability: Durability) -> Result<PathBuf, GetError> {
    let layout = &staging.layout;
    staging.close_files();
    if layout.shape == Shape::Folder {
        let tree = staging.stage.below(ROOT).map_err(GetError::jail)?;
        settle_files(staging, &tree, |path| path).map_err(|error| staging.full(error))?;
        make_symlinks(staging, &tree).map_err(|error| staging.full(error))?;
        // What is made in a folder changes its time, so that folders come last, the deepest first.
        for folder in layout.folders.iter().rev() {
            tree.set_mtime(folder.path.as_str(), folder.mtime_ns)
                .map_err(GetError::jail)?;
        }
    } else {
        settle_files(staging, &staging.stage, |_| ROOT)?;
    }
    if durability == Durability::Synced {
        // Folders, links, empty files and times too, which no single file's sync covers.
        staging.checkpoint_tree()?;
    }
    name(staging)?;
    if durability == Durability::Synced {
        staging.into.sync_dir("").map_err(GetError::jail)?;
    }
    Ok(staging.into.path().join(&layout.name))
}

fn settle_files<'l>(
    staging: &'l Staging,
    tree: &Jail,
    path: impl Fn(&'l str) -> &'l str,
) -> Result<(), GetError> {
    for (file, spec) in (0u32..).zip(&staging.layout.files) {
        if let Some(mtime_ns) = spec.mtime_ns
            && !staging.marks.is_stamped(file)
        {
            tree.set_mtime(path(spec.path.as_str()), mtime_ns)
                .map_err(GetError::jail)?;
        }
    }
    Ok(())
}

/// Links come when no more file is opened by its path, so that none leads anybody astray.
fn make_symlinks(staging: &Staging, tree: &Jail) -> Result<(), GetError> {
    for link in &staging.layout.symlinks {
        let path = link.path.as_str();
        match tree.symlink(&link.target, path) {
            // An earlier run made it, and was killed before the rename.
            Err(error) if error.is_exists() => {
                tree.remove_file(path).map_err(GetError::jail)?;
                tree.symlink(&link.target, path).map_err(GetError::jail)?;
            }
            other => other.map_err(GetError::jail)?,
        }
        if let Some(mtime_ns) = link.mtime_ns {
            tree.set_mtime(path, mtime_ns).map_err(GetError::jail)?;
        }
    }
    Ok(())
}

fn name(staging: &Staging) -> Result<(), GetError> {
    let layout = &staging.layout;
    match staging
        .stage
        .rename(ROOT, &staging.into, &layout.name, Existing::Keep)
    {
        Err(error) if error.is_exists() => {
            return Err(GetError::TargetExists {
                path: staging.into.path().join(&layout.name),
            });
        }
        other => other.map_err(GetError::jail)?,
    }
    // The files are there; a staging folder that cannot be removed is not worth an error.
    if let Err(error) = staging.into.remove_tree(&staging.folder) {
        tracing::warn!(%error, "staging folder could not be removed");
    }
    Ok(())
}
