//! Paths of which there are several versions, as people see them.

use super::keeper::Kept;
use shoal_api::{ApiError, ConflictSide, ConflictView};
use shoal_protocol::id::DeviceId;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{Index, IndexError, Kind, Policy};
use shoal_protocol::sync::{conflict, project};
use shoal_store::FilesetIndex;
use std::path::Path;

/// Conflicts that are listed.
const LISTED_MAX: usize = 1_000;

/// The versions of a path, and where each is seen.
pub(super) struct Conflict {
    pub(super) path: RelPath,
    pub(super) sides: Vec<Side>,
}

/// One version.
pub(super) struct Side {
    pub(super) path: RelPath,
    kind: Kind,
    mtime_ns: i64,
    pub(super) device: DeviceId,
}

/// All conflicts of a fileset, up to a thousand.
pub(super) fn all(index: &FilesetIndex) -> Result<Vec<Conflict>, IndexError> {
    let mut found = Vec::new();
    for path in index.conflicts(LISTED_MAX)? {
        found.extend(at(index, &path)?);
    }
    Ok(found)
}

/// The conflict of a path, or of the path whose copy this is.
pub(super) fn at_or_copy(
    index: &FilesetIndex,
    path: &RelPath,
) -> Result<Option<Conflict>, IndexError> {
    if let Some(found) = at(index, path)? {
        return Ok(Some(found));
    }
    match index.applied(path)?.map(|row| row.role) {
        Some(shoal_protocol::sync::Role::Copy { of }) => at(index, &of),
        _ => Ok(None),
    }
}

fn at(index: &FilesetIndex, path: &RelPath) -> Result<Option<Conflict>, IndexError> {
    let set = index.entries(path)?;
    let view = conflict::View::new(&set, Policy::Newer);
    if !view.is_conflict() {
        return Ok(None);
    }
    let shown = project::project_set(index, path, &set, Policy::Newer)?;
    let mut sides = Vec::new();
    for side in view.sides {
        let dot = Some(side.entry.dot());
        let at = match &shown.main {
            Some(main) if main.dot == dot => Some(path.clone()),
            _ => shown
                .copies
                .iter()
                .find(|(_, copy)| copy.dot == dot)
                .map(|(at, _)| at.clone()),
        };
        if let Some(path) = at {
            sides.push(Side {
                path,
                kind: side.entry.kind.clone(),
                mtime_ns: side.entry.mtime_ns,
                device: side.entry.author.device,
            });
        }
    }
    let path = path.clone();
    Ok(Some(Conflict { path, sides }))
}

impl Conflict {
    /// As it is told.
    pub(super) fn view(&self, kept: &Kept, name_of: impl Fn(&DeviceId) -> String) -> ConflictView {
        let absolute = |path: &RelPath| shown(&kept.row().root, path);
        ConflictView {
            id: kept.id().to_hex(),
            name: kept.row().name.clone(),
            path: absolute(&self.path),
            sides: (1..)
                .zip(&self.sides)
                .map(|(number, side)| ConflictSide {
                    number,
                    path: absolute(&side.path),
                    kind: kind(&side.kind).to_owned(),
                    bytes: match side.kind {
                        Kind::File { size_bytes, .. } => size_bytes,
                        _ => 0,
                    },
                    changed_s: side.mtime_ns.div_euclid(1_000_000_000),
                    device: name_of(&side.device),
                })
                .collect(),
        }
    }

    /// The side that a person means: by number, by where it is seen, or by device.
    ///
    /// # Errors
    /// `Usage` if none fits, or several do.
    pub(super) fn side(
        &self,
        text: &str,
        root: &Path,
        name_of: impl Fn(&DeviceId) -> String,
    ) -> Result<&Side, ApiError> {
        if let Ok(number) = text.parse::<usize>()
            && let Some(side) = self.sides.get(number.wrapping_sub(1))
        {
            return Ok(side);
        }
        let at = |side: &&Side| shown(root, &side.path) == text || side.path.name() == text;
        let by = |side: &&Side| name_of(&side.device) == text;
        let mut found: Vec<_> = self.sides.iter().filter(at).collect();
        if found.is_empty() {
            found = self.sides.iter().filter(by).collect();
        }
        match found.as_slice() {
            [one] => Ok(one),
            _ => Err(ApiError::new(
                shoal_api::ErrorCode::Usage,
                "that is not one of the versions",
            )
            .hint("say its number: `shoal conflicts` lists them")),
        }
    }
}

fn shown(root: &Path, path: &RelPath) -> String {
    root.join(path.as_str()).to_string_lossy().into_owned()
}

fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::File { .. } => "file",
        Kind::Folder => "folder",
        Kind::Symlink { .. } => "symlink",
        Kind::Tombstone(_) => "nothing",
    }
}
