//! One folder looked at, part by part: what is there, beside what was applied there.

use super::listing::Names;
use super::look::stamp;
use super::root::Replica;
use super::scan::is_own;
use super::{OWN_FOLDER, pages::problem};
use crate::entry::{Problem, ProblemKind};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use shoal_jail::{JailError, JailErrorKind, Kind, Meta};
use shoal_protocol::path::{PathError, RelPath};
use shoal_protocol::sync::{
    Applied, Found, FoundKind, Index, IndexError, Kind as EntryKind, Stamp, known_content,
};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};

/// Names of one page at most.
const PAGE_MAX_NAMES: usize = 1024;

/// A folder that is being looked at.
pub(super) struct FolderLook<'a> {
    path: Option<&'a RelPath>,
    fd: OwnedFd,
    names: Names,
}

/// What a page will be made of.
pub(super) struct Part {
    pub(super) names: Vec<Named>,
    pub(super) problems: Vec<Problem>,
    /// The last name of the page; none for the last page.
    pub(super) upto: Option<String>,
}

/// One name. Without `found` and without `to_hash` it is not there any more.
pub(super) struct Named {
    pub(super) found: Option<Found>,
    pub(super) to_hash: Option<(RelPath, u64)>,
    /// Its path, if it is a folder that may be entered.
    pub(super) folder: Option<RelPath>,
    /// Whether nothing, or no folder, was applied there.
    pub(super) is_new: bool,
}

impl<'a> FolderLook<'a> {
    pub(super) fn open(replica: &Replica, path: Option<&'a RelPath>) -> Result<Self, JailError> {
        let text = path.map_or("", RelPath::as_str);
        let fd = replica.jail().open_dir(text)?;
        let names = Names::list(&fd).map_err(|errno| JailError {
            path: replica.path().join(text),
            kind: errno.into(),
        })?;
        Ok(Self { path, fd, names })
    }
}

fn join(folder: Option<&RelPath>, name: &str) -> Result<RelPath, PathError> {
    match folder {
        Some(folder) => folder.join(name),
        None => RelPath::new(name),
    }
}

/// Looks at the next names of a folder: up to a thousand that are there.
pub(super) fn look_into(
    look: &mut FolderLook<'_>,
    replica: &Replica,
    index: &impl Index,
    after: Option<&str>,
) -> Result<Part, IndexError> {
    let mut part = Part {
        names: Vec::new(),
        problems: Vec::new(),
        upto: None,
    };
    let mut listed: Vec<String> = Vec::new();
    while listed.len() < PAGE_MAX_NAMES {
        let Some(name) = look.names.next() else {
            break;
        };
        let Ok(text) = name.to_str() else {
            let above = look.path.map_or("", RelPath::as_str);
            let path = [above.as_bytes(), b"/", name.to_bytes()].concat();
            let path = path.strip_prefix(b"/").unwrap_or(&path).to_vec();
            let kind = ProblemKind::NotUtf8;
            part.problems.push(Problem { path, kind });
            continue;
        };
        if is_own(text) {
            if (look.path, text) != (None, OWN_FOLDER)
                && let Ok(path) = join(look.path, text)
            {
                part.problems.push(problem(&path, ProblemKind::Reserved));
            }
            continue;
        }
        listed.push(text.to_owned());
    }
    if !look.names.is_empty() {
        part.upto = listed.last().cloned();
    }
    let mut rows = rows(look.path, index, after, part.upto.as_deref())?;
    for name in listed {
        let row = rows.remove(&name);
        one(look, replica, index, name, row, &mut part)?;
    }
    for (name, row) in rows {
        // A name that came into its place by a rename while its folder was listed can be missed by the
        // listing. Where names have twins the other one would answer; the next look puts a mistake right.
        if !replica.capabilities().has_twins() {
            one(look, replica, index, name, Some(row), &mut part)?;
        }
    }
    Ok(part)
}

/// What was applied in the part of the folder, by name.
fn rows(
    folder: Option<&RelPath>,
    index: &impl Index,
    after: Option<&str>,
    upto: Option<&str>,
) -> Result<BTreeMap<String, Applied>, IndexError> {
    let mut rows = BTreeMap::new();
    let mut after = after.map(str::to_owned);
    loop {
        let more = index.applied_children(folder, after.as_deref(), PAGE_MAX_NAMES)?;
        let full = more.len() >= PAGE_MAX_NAMES;
        for (path, row) in more {
            let name = path.name().to_owned();
            if upto.is_some_and(|upto| name.as_str() > upto) {
                return Ok(rows);
            }
            after = Some(name.clone());
            rows.insert(name, row);
        }
        if !full {
            return Ok(rows);
        }
    }
}

/// Looks at one name.
fn one(
    look: &FolderLook<'_>,
    replica: &Replica,
    index: &impl Index,
    name: String,
    row: Option<Applied>,
    part: &mut Part,
) -> Result<(), IndexError> {
    let Ok(cname) = CString::new(name.as_str()) else {
        return Ok(());
    };
    let path = match join(look.path, &name) {
        Ok(path) => path,
        Err(error) => {
            let above = look.path.map_or("", RelPath::as_str);
            part.problems.push(Problem {
                path: format!("{above}/{name}").into_bytes(),
                kind: ProblemKind::Path(error),
            });
            return Ok(());
        }
    };
    let meta = match rustix::fs::statat(&look.fd, &cname, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => (Meta::from(&stat), FileType::from_raw_mode(stat.st_mode)),
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => {
            let kind = problem_of(&errno.into());
            part.unknown(name, &path, kind);
            return Ok(());
        }
    };
    let (meta, file_type) = meta;
    let stamp = stamp(&meta);
    let told = match meta.kind {
        Kind::File => match known(index, &path, row.as_ref(), &stamp)? {
            Some(content) => Ok(FoundKind::File { content }),
            None => {
                part.names.push(Named {
                    found: None,
                    to_hash: Some((path, meta.size)),
                    folder: None,
                    is_new: true,
                });
                return Ok(());
            }
        },
        Kind::Dir => enterable(look, replica, &cname, &meta, path.as_str()),
        Kind::Symlink => target(look, &cname),
        Kind::Special => Err(crate::listing::special(file_type).unwrap_or(ProblemKind::Device)),
    };
    match told {
        Ok(kind) => {
            let was_folder = row.is_some_and(|row| row.kind == EntryKind::Folder);
            part.names.push(Named {
                folder: (kind == FoundKind::Folder).then_some(path),
                found: Some(Found { name, kind, stamp }),
                to_hash: None,
                is_new: !was_folder,
            });
        }
        Err(kind) => part.unknown(name, &path, kind),
    }
    Ok(())
}

impl Part {
    fn unknown(&mut self, name: String, path: &RelPath, kind: ProblemKind) {
        self.problems.push(problem(path, kind));
        self.names.push(Named {
            found: Some(Found {
                name,
                kind: FoundKind::Unknown,
                stamp: Stamp::default(),
            }),
            to_hash: None,
            folder: None,
            is_new: true,
        });
    }
}

/// The hash of a file that need not be read.
fn known(
    index: &impl Index,
    path: &RelPath,
    row: Option<&Applied>,
    stamp: &Stamp,
) -> Result<Option<shoal_protocol::id::ContentHash>, IndexError> {
    match row {
        Some(row) if row.stamp.same_bytes(stamp) && row.kind.content().is_some() => {
            Ok(row.kind.content())
        }
        // Mostly a new file; or one in a folder that was renamed.
        _ => known_content(index, path, stamp),
    }
}

/// Whether a folder belongs to this fileset and may be listed.
fn enterable(
    look: &FolderLook<'_>,
    replica: &Replica,
    name: &CStr,
    meta: &Meta,
    path: &str,
) -> Result<FoundKind, ProblemKind> {
    if replica.keep_out() == Some(path) {
        return Err(ProblemKind::OwnHome);
    }
    if meta.dev != replica.dev() {
        return Err(ProblemKind::OtherFileSystem);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(look.fd.as_fd(), name, flags, Mode::empty())
        .map_err(|errno| problem_of(&errno.into()))?;
    let marker = format!("{OWN_FOLDER}/marker");
    match rustix::fs::statat(&folder, marker, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(ProblemKind::NestedRoot),
        Err(_) => Ok(FoundKind::Folder),
    }
}

fn target(look: &FolderLook<'_>, name: &CStr) -> Result<FoundKind, ProblemKind> {
    match rustix::fs::readlinkat(&look.fd, name, Vec::new()).map(CString::into_string) {
        Ok(Ok(target)) => Ok(FoundKind::Symlink { target }),
        Ok(Err(_)) => Err(ProblemKind::SymlinkNotUtf8),
        // It turned into something else since.
        Err(_) => Err(ProblemKind::Changing),
    }
}

pub(super) fn problem_of(kind: &JailErrorKind) -> ProblemKind {
    match kind {
        JailErrorKind::Permission => ProblemKind::Unreadable,
        JailErrorKind::Escape(_) | JailErrorKind::WrongKind | JailErrorKind::NotFound => {
            ProblemKind::Changing
        }
        JailErrorKind::NameTooLong => ProblemKind::Path(PathError::LongPath),
        other => ProblemKind::Io(other.to_string()),
    }
}
