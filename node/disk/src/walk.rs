//! From the paths that a person names to a tree in snapshot order.

use crate::entry::{Entry, EntryKind, Problem, ProblemKind, Tree};
use crate::listing::{Found, Named, list};
use crate::named::{Root, RootKind, WalkError, resolve, told};
use crate::roots::SourceRoot;
use rustix::io::Errno;
use shoal_jail::{Jail, JailError, JailErrorKind, symlink_target_stays};
use shoal_protocol::limits::{MANIFEST_MAX_ENTRIES, PATH_MAX_DEPTH};
use shoal_protocol::manifest::Shape;
use shoal_protocol::path::{PathError, RelPath, check_name, symlink_stays_inside};
use std::io;
use std::path::{Path, PathBuf};

/// Lists what the named paths hold, in snapshot order.
///
/// One folder: its contents. One file: that file. Several: a folder of them all, each under its own
/// name. A symlink among `roots` is followed, symlinks below are taken as they are. The share has
/// `name`, or that of the folder or file, or "FIRST and N more".
///
/// # Errors
/// See [`WalkError`]. What is wrong with single entries below a root is in [`Tree::problems`].
///
/// `keep_out` is a folder that is never shared, whatever is named: the home, with the device's key.
pub fn walk(
    roots: &[PathBuf],
    name: Option<&str>,
    keep_out: Option<&Path>,
) -> Result<Tree, WalkError> {
    let keep_out = keep_out.and_then(|dir| dir.canonicalize().ok());
    let (name, mut named) = resolve_all(roots, name, keep_out.as_deref())?;
    let mut walker = Walker {
        keep_out,
        ..Walker::default()
    };
    let mut shape = Shape::Folder;
    let mut roots = Vec::with_capacity(named.len());
    if let [only] = named.as_mut_slice() {
        if let RootKind::File(stamp, mode) = only.kind {
            shape = Shape::SingleFile;
            let found = Found {
                mtime_ns: stamp.mtime_ns,
                mode,
                kind: EntryKind::File(stamp),
            };
            walker.take(name.as_bytes(), found)?;
        } else {
            walker.folder(&only.jail, "")?;
        }
        roots.push(only.source(None));
    } else {
        for root in &named {
            roots.push(walker.one_of_several(root)?);
        }
    }
    let Walker {
        entries,
        mut problems,
        total_bytes,
        ..
    } = walker;
    problems.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Tree {
        name,
        shape,
        roots,
        entries,
        total_bytes,
        problems,
    })
}

/// The name of a share of these paths, and where they are, without looking below them.
///
/// A link that was walked before is found again with this.
///
/// # Errors
/// See [`WalkError`].
pub fn locate_roots(
    roots: &[PathBuf],
    name: Option<&str>,
    keep_out: Option<&Path>,
) -> Result<(String, Vec<SourceRoot>), WalkError> {
    let keep_out = keep_out.and_then(|dir| dir.canonicalize().ok());
    let (name, named) = resolve_all(roots, name, keep_out.as_deref())?;
    let several = named.len() > 1;
    let sources = named
        .iter()
        .map(|root| root.source(root.name.clone().filter(|_| several)));
    Ok((name, sources.collect()))
}

/// The share's name, and its roots: sorted by their own names, each of which is there once.
fn resolve_all(
    roots: &[PathBuf],
    name: Option<&str>,
    keep_out: Option<&Path>,
) -> Result<(String, Vec<Root>), WalkError> {
    let mut named = roots
        .iter()
        .map(|root| resolve(root))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(root) = named
        .iter()
        .find(|root| keep_out.is_some_and(|dir| root.is_in(dir)))
    {
        return Err(WalkError::OwnHome(root.given.clone()));
    }
    let first = named.first().ok_or(WalkError::NoRoots)?;
    let name = match (name, &first.name, named.len()) {
        (Some(name), ..) => name.to_owned(),
        (None, Some(own), 1) => own.clone(),
        (None, Some(own), count) => format!("{own} and {} more", count - 1),
        (None, None, _) => return Err(WalkError::NoName(first.given.clone())),
    };
    check_name(&name).map_err(|reason| WalkError::BadName {
        name: name.clone(),
        reason,
    })?;
    if named.len() > 1 {
        named.sort_by(|a, b| a.name.cmp(&b.name));
        for pair in named.windows(2) {
            if let [a, b] = pair
                && a.name == b.name
            {
                return Err(WalkError::Duplicate(b.name.clone().unwrap_or_default()));
            }
        }
    }
    Ok((name, named))
}

/// What was collected so far.
#[derive(Default)]
struct Walker {
    entries: Vec<Entry>,
    problems: Vec<Problem>,
    total_bytes: u64,
    keep_out: Option<PathBuf>,
}

impl Walker {
    fn one_of_several(&mut self, root: &Root) -> Result<SourceRoot, WalkError> {
        let Some(prefix) = &root.name else {
            return Err(WalkError::NoName(root.given.clone()));
        };
        match root.kind {
            RootKind::File(stamp, mode) => {
                let found = Found {
                    mtime_ns: stamp.mtime_ns,
                    mode,
                    kind: EntryKind::File(stamp),
                };
                self.take(prefix.as_bytes(), found)?;
            }
            RootKind::Folder { mtime_ns, mode } => {
                self.take(
                    prefix.as_bytes(),
                    Found {
                        mtime_ns,
                        mode,
                        kind: EntryKind::Folder,
                    },
                )?;
                self.folder(&root.jail, prefix)?;
            }
        }
        Ok(root.source(Some(prefix.clone())))
    }

    /// Everything below a root. Names are sorted in each folder, so that going down at once, folder
    /// before contents, is snapshot order. One folder is open at a time, however deep it goes.
    fn folder(&mut self, jail: &Jail, prefix: &str) -> Result<(), WalkError> {
        let first = listed(jail, "").map_err(|failed| root_failed(jail, failed))?;
        let keep_out = self.keep_out.as_ref().and_then(|dir| {
            let below = dir.strip_prefix(jail.path()).ok()?;
            below.to_str().map(str::to_owned)
        });
        let mut levels = vec![(String::new(), first.into_iter())];
        while let Some((above, names)) = levels.last_mut() {
            let Some(Named { name, found }) = names.next() else {
                levels.pop();
                continue;
            };
            let below = join(above.as_bytes(), &name);
            let path = join(prefix.as_bytes(), &below);
            let found = match found {
                Ok(found) => found,
                Err(kind) => {
                    self.problems.push(Problem { path, kind });
                    continue;
                }
            };
            let is_folder = found.kind == EntryKind::Folder;
            if !is_folder {
                self.take(&path, found)?;
                continue;
            }
            // Listed before it is taken: a folder that cannot be listed must not look empty to others.
            let Ok(below) = String::from_utf8(below) else {
                continue;
            };
            if keep_out.as_ref() == Some(&below) {
                let kind = ProblemKind::OwnHome;
                self.problems.push(Problem { path, kind });
                continue;
            }
            if below.split('/').count() > PATH_MAX_DEPTH {
                self.problems.push(Problem {
                    path,
                    kind: ProblemKind::Path(PathError::LongPath),
                });
                continue;
            }
            match listed(jail, &below) {
                Ok(names) => {
                    if self.take(&path, found)? {
                        levels.push((below, names.into_iter()));
                    }
                }
                Err(Failed::Gone) => {}
                Err(Failed::Problem(kind)) => self.problems.push(Problem { path, kind }),
                Err(Failed::Fatal(source)) => return Err(told(&jail.path().join(below), source)),
            }
        }
        Ok(())
    }

    /// Keeps an entry, unless its path or target is none for a manifest. Says whether it did.
    fn take(&mut self, path: &[u8], found: Found) -> Result<bool, WalkError> {
        let checked = std::str::from_utf8(path)
            .map_err(|_| ProblemKind::NotUtf8)
            .and_then(|text| RelPath::new(text).map_err(ProblemKind::Path))
            .and_then(|path| check_target(path, &found.kind));
        let path = match checked {
            Ok(path) => path,
            Err(kind) => {
                self.problems.push(Problem {
                    path: path.to_vec(),
                    kind,
                });
                return Ok(false);
            }
        };
        if let EntryKind::File(stamp) = &found.kind {
            let total = self
                .total_bytes
                .checked_add(stamp.size)
                .filter(|total| *total <= i64::MAX as u64);
            self.total_bytes = total.ok_or(WalkError::TooLarge)?;
        }
        if self.entries.len() >= MANIFEST_MAX_ENTRIES {
            return Err(WalkError::TooMany);
        }
        self.entries.push(Entry {
            path,
            mtime_ns: found.mtime_ns,
            mode: found.mode,
            kind: found.kind,
        });
        Ok(true)
    }
}

fn listed(jail: &Jail, below: &str) -> Result<Vec<Named>, Failed> {
    let folder = jail.open_dir(below)?;
    Ok(list(&folder)?)
}

fn root_failed(jail: &Jail, failed: Failed) -> WalkError {
    let path = jail.path().to_owned();
    match failed {
        Failed::Gone => WalkError::NotFound(path),
        Failed::Problem(ProblemKind::Unreadable) => WalkError::Permission(path),
        Failed::Problem(kind) => WalkError::NotAFile { path, kind },
        Failed::Fatal(source) => WalkError::Io { path, source },
    }
}

/// A symlink must be one that a manifest may hold and that a taker's jail will make.
fn check_target(path: RelPath, kind: &EntryKind) -> Result<RelPath, ProblemKind> {
    match kind {
        EntryKind::Symlink { target }
            if !symlink_stays_inside(&path, target)
                || !symlink_target_stays(path.as_str(), target) =>
        {
            Err(ProblemKind::SymlinkLeaves)
        }
        _ => Ok(path),
    }
}

/// Why a folder was not listed.
enum Failed {
    Gone,
    Problem(ProblemKind),
    Fatal(io::Error),
}

impl From<JailError> for Failed {
    fn from(error: JailError) -> Self {
        match error.kind {
            JailErrorKind::NotFound => Self::Gone,
            JailErrorKind::Permission => Self::Problem(ProblemKind::Unreadable),
            JailErrorKind::Escape(_) | JailErrorKind::WrongKind => {
                Self::Problem(ProblemKind::Changing)
            }
            JailErrorKind::NameTooLong => Self::Problem(ProblemKind::Path(PathError::LongPath)),
            // Of what is ours, not the folder's, the person must hear at once.
            JailErrorKind::TooManyOpen => Self::Fatal(error.into()),
            other => Self::Problem(ProblemKind::Io(other.to_string())),
        }
    }
}

impl From<Errno> for Failed {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::Gone,
            Errno::ACCESS | Errno::PERM => Self::Problem(ProblemKind::Unreadable),
            Errno::NOMEM | Errno::BADF | Errno::MFILE | Errno::NFILE => Self::Fatal(errno.into()),
            other => Self::Problem(ProblemKind::Io(other.to_string())),
        }
    }
}

fn join(above: &[u8], name: &[u8]) -> Vec<u8> {
    if above.is_empty() {
        name.to_vec()
    } else {
        [above, b"/", name].concat()
    }
}
