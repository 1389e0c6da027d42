//! Folders of the jail: making, listing and removing them, whole trees too.

use crate::error::{JailError, JailErrorKind};
use crate::meta::Kind;
use crate::open::{Failed, Jail, make_and_enter, mode_bits};
use crate::path;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Folders inside each other that `remove_tree` goes down; each costs a descriptor.
const TREE_MAX_DEPTH: usize = 512;
const LIST: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, of any bytes but `/` and NUL.
    pub name: OsString,
    /// What it is.
    pub kind: Kind,
}

impl Jail {
    /// Makes one folder with permission bits `mode`, subject to the umask. Its parent must exist.
    pub fn create_dir(&self, path: &str, mode: u32) -> Result<(), JailError> {
        self.with_parent(path, |at, name| {
            Ok(rustix::fs::mkdirat(at, name, mode_bits(mode))?)
        })
    }

    /// Makes a folder and those above it that are missing, with mode 0777 less the umask. `""` is fine.
    pub fn create_dir_all(&self, path: &str) -> Result<(), JailError> {
        if path.is_empty() {
            return Ok(());
        }
        path::check(path).map_err(|kind| self.error(path, kind))?;
        // Mostly it is there already, and one call finds it.
        match self.walk_through(path) {
            Err(JailErrorKind::NotFound) => {}
            Ok(_) => return Ok(()),
            Err(kind) => return Err(self.error(path, kind)),
        }
        let mut folder: Option<OwnedFd> = None;
        for part in path.split('/') {
            let at = folder.as_ref().map_or(self.root(), AsFd::as_fd);
            let next = make_and_enter(at, part, mode_bits(0o777))
                .map_err(|errno| self.error(path, errno))?;
            folder = Some(next);
        }
        Ok(())
    }

    /// Opens a folder for reading its names. `""` is the jail's directory.
    pub fn open_dir(&self, path: &str) -> Result<OwnedFd, JailError> {
        if path.is_empty() {
            return rustix::fs::openat(self.root(), ".", LIST, Mode::empty())
                .map_err(|errno| self.error("", errno));
        }
        self.open_raw(path, LIST, Mode::empty())
    }

    /// The names in a folder, in no order. `""` is the jail's directory.
    pub fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>, JailError> {
        let folder = self.open_dir(path)?;
        list(folder.as_fd()).map_err(|errno| self.error(path, errno))
    }

    /// Makes the names in a folder durable (`fsync` of the folder). `""` is the jail's directory.
    pub fn sync_dir(&self, path: &str) -> Result<(), JailError> {
        let folder = self.open_dir(path)?;
        rustix::fs::fsync(&folder).map_err(|errno| self.error(path, errno))
    }

    /// Removes an empty folder.
    pub fn remove_dir(&self, path: &str) -> Result<(), JailError> {
        self.with_parent(path, |at, name| {
            match rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR) {
                // POSIX lets a file system say either.
                Err(Errno::EXIST) => Err(JailErrorKind::NotEmpty.into()),
                other => Ok(other?),
            }
        })
    }

    /// Removes whatever has this name; of a folder everything in it, of a symlink only the link.
    ///
    /// Folders nested deeper than 512 are refused with `NameTooLong`.
    pub fn remove_tree(&self, path: &str) -> Result<(), JailError> {
        self.with_parent(path, |at, name| {
            if unlink_unless_folder(at, name)? == Kind::File {
                return Ok(());
            }
            empty_folder(at, name)?;
            Ok(rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR)?)
        })
    }
}

/// Lists an opened folder.
fn list(folder: BorrowedFd<'_>) -> Result<Vec<DirEntry>, Errno> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let kind = match entry.file_type() {
            rustix::fs::FileType::Unknown => {
                let stat =
                    rustix::fs::statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
                crate::Meta::from(&stat).kind
            }
            known => known.into(),
        };
        entries.push(DirEntry {
            name: OsString::from_vec(name.to_vec()),
            kind,
        });
    }
    Ok(entries)
}

/// Removes the name unless it is a folder: `Kind::Dir` then, and `Kind::File` when it is gone.
fn unlink_unless_folder(
    at: BorrowedFd<'_>,
    name: impl rustix::path::Arg + Copy,
) -> Result<Kind, Errno> {
    match rustix::fs::unlinkat(at, name, AtFlags::empty()) {
        Ok(()) => Ok(Kind::File),
        // Linux says EISDIR, POSIX EPERM.
        Err(Errno::ISDIR) => Ok(Kind::Dir),
        Err(errno @ Errno::PERM) => {
            match rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)
                .map(|stat| crate::Meta::from(&stat).kind)
            {
                Ok(Kind::Dir) => Ok(Kind::Dir),
                _ => Err(errno),
            }
        }
        Err(errno) => Err(errno),
    }
}

/// One opened folder on the way down, what is left of it, and its name in the folder above.
struct Level {
    folder: OwnedFd,
    left: Vec<DirEntry>,
    name: OsString,
}

fn empty_folder(at: BorrowedFd<'_>, name: &str) -> Result<(), Failed> {
    let mut levels = vec![enter(at, name.into())?];
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.left.pop() else {
            let done = levels.pop();
            if let (Some(above), Some(done)) = (levels.last(), done) {
                rustix::fs::unlinkat(&above.folder, &done.name, AtFlags::REMOVEDIR)?;
            }
            continue;
        };
        // The listed kind only decides what is tried; a name that changed since is looked at again.
        if unlink_unless_folder(level.folder.as_fd(), &entry.name)? == Kind::Dir {
            let below = enter(level.folder.as_fd(), entry.name)?;
            if levels.len() >= TREE_MAX_DEPTH {
                return Err(JailErrorKind::NameTooLong.into());
            }
            levels.push(below);
        }
    }
    Ok(())
}

fn enter(at: BorrowedFd<'_>, name: OsString) -> Result<Level, Errno> {
    let folder = match rustix::fs::openat(at, &name, LIST, Mode::empty()) {
        // A folder of ours without permissions for us, as a manifest may ask for.
        Err(Errno::ACCESS) => {
            unlock(at, &name)?;
            rustix::fs::openat(at, &name, LIST, Mode::empty())?
        }
        other => other?,
    };
    let left = list(folder.as_fd())?;
    if !left.is_empty() {
        make_writable(folder.as_fd())?;
    }
    Ok(Level { folder, left, name })
}

/// Gives the owner of a folder all permissions. `chmod` by name would follow a symlink swapped in, and
/// `fchmod` wants the permissions that are missing; the name of an opened descriptor does neither.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn unlock(at: BorrowedFd<'_>, name: &OsString) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    let folder = rustix::fs::openat(at, name, crate::resolve::THROUGH, Mode::empty())?;
    rustix::fs::chmod(format!("/proc/self/fd/{}", folder.as_raw_fd()), Mode::RWXU)
        .map_err(|_| Errno::ACCESS)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn unlock(_at: BorrowedFd<'_>, _name: &OsString) -> Result<(), Errno> {
    Err(Errno::ACCESS)
}

/// Names can only be removed from a folder that its owner may write and search.
fn make_writable(folder: BorrowedFd<'_>) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(rustix::fs::fstat(folder)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        rustix::fs::fchmod(folder, mode | Mode::RWXU)?;
    }
    Ok(())
}
