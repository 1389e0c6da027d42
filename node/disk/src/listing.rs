//! One folder of the user's, listed and looked at.

use crate::entry::{EntryKind, ProblemKind};
use crate::stamp::Stamp;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Access, AtFlags, Dir, FileType};
use rustix::io::Errno;
use shoal_jail::{Kind, Meta};
use std::ffi::CStr;

/// A name in a folder, and what it is or why it cannot be shared.
pub(crate) struct Named {
    pub(crate) name: Vec<u8>,
    pub(crate) found: Result<Found, ProblemKind>,
}

/// What a name stands for.
pub(crate) struct Found {
    pub(crate) mtime_ns: i64,
    pub(crate) mode: u32,
    pub(crate) kind: EntryKind,
}

/// Lists a folder, sorted by the bytes of the names.
///
/// # Errors
/// When the listing itself breaks off; what is wrong with single names is in them.
pub(crate) fn list(folder: &OwnedFd) -> Result<Vec<Named>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        // What is gone again is not in the tree.
        if let Some(found) = look(folder.as_fd(), name, entry.file_type())? {
            names.push(Named {
                name: name.to_bytes().to_vec(),
                found,
            });
        }
    }
    names.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(names)
}

fn look(
    folder: BorrowedFd<'_>,
    name: &CStr,
    listed: FileType,
) -> Result<Option<Result<Found, ProblemKind>>, Errno> {
    if let Some(problem) = special(listed) {
        return Ok(Some(Err(problem)));
    }
    if name.to_str().is_err() {
        return Ok(Some(Err(ProblemKind::NotUtf8)));
    }
    let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::ACCESS | Errno::PERM) => return Ok(Some(Err(ProblemKind::Unreadable))),
        Err(errno @ (Errno::NOMEM | Errno::BADF)) => return Err(errno),
        Err(errno) => return Ok(Some(Err(ProblemKind::Io(errno.to_string())))),
    };
    let meta = Meta::from(&stat);
    let kind = match meta.kind {
        Kind::File if readable(folder, name, &meta) => Ok(EntryKind::File(Stamp::from(&meta))),
        Kind::File => Err(ProblemKind::Unreadable),
        Kind::Dir => Ok(EntryKind::Folder),
        Kind::Symlink => link(folder, name),
        Kind::Special => {
            Err(special(FileType::from_raw_mode(stat.st_mode)).unwrap_or(ProblemKind::Device))
        }
    };
    Ok(Some(kind.map(|kind| Found {
        mtime_ns: meta.mtime_ns,
        mode: meta.mode & 0o777,
        kind,
    })))
}

fn link(folder: BorrowedFd<'_>, name: &CStr) -> Result<EntryKind, ProblemKind> {
    let target = match rustix::fs::readlinkat(folder, name, Vec::new()) {
        Ok(target) => target,
        Err(Errno::INVAL | Errno::NOENT) => return Err(ProblemKind::Changing),
        Err(errno) => return Err(ProblemKind::Io(errno.to_string())),
    };
    let target = target
        .into_string()
        .map_err(|_| ProblemKind::SymlinkNotUtf8)?;
    Ok(EntryKind::Symlink { target })
}

pub(crate) fn special(kind: FileType) -> Option<ProblemKind> {
    match kind {
        FileType::Fifo => Some(ProblemKind::Fifo),
        FileType::Socket => Some(ProblemKind::Socket),
        FileType::CharacterDevice | FileType::BlockDevice => Some(ProblemKind::Device),
        _ => None,
    }
}

/// The owner's bit decides for the owner, also under ACLs; for anybody else the system is asked.
fn readable(folder: BorrowedFd<'_>, name: &CStr, meta: &Meta) -> bool {
    if meta.mode & 0o400 != 0 && meta.uid == rustix::process::geteuid().as_raw() {
        return true;
    }
    // Where the system cannot tell, hashing will.
    !matches!(
        rustix::fs::accessat(folder, name, Access::READ_OK, AtFlags::EACCESS),
        Err(Errno::ACCESS | Errno::PERM)
    )
}
