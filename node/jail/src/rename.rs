//! Moving a name, within a jail or from one to another.

use crate::error::{JailError, JailErrorKind};
use crate::open::{Failed, Jail};
use rustix::fd::BorrowedFd;
use rustix::fs::AtFlags;
use rustix::io::Errno;

/// What `rename` does about something at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Fail with `Exists`.
    Keep,
    /// Replace it atomically: a file by a file, an empty folder by a folder.
    Replace,
    /// Let the two change places, whatever they are (`RENAME_EXCHANGE`); both must exist. Where the file
    /// system cannot, the answer is `Unsupported` and nothing was touched.
    Exchange,
}

impl Jail {
    /// Moves `from` in this jail to `to_path` in `to`, which may be the same jail, atomically.
    ///
    /// With `Existing::Keep` nothing is replaced, even in a race, where the file system can promise
    /// it (`RENAME_NOREPLACE`, or hard links); elsewhere the destination is looked at just before.
    pub fn rename(
        &self,
        from: &str,
        to: &Jail,
        to_path: &str,
        existing: Existing,
    ) -> Result<(), JailError> {
        self.with_parent(from, |old_at, old| {
            let moved = to.with_parent(to_path, |new_at, new| match existing {
                Existing::Replace => Ok(rustix::fs::renameat(old_at, old, new_at, new)),
                Existing::Keep => Ok(rename_keep(old_at, old, new_at, new)),
                Existing::Exchange => exchange(old_at, old, new_at, new),
            });
            match moved {
                Ok(Ok(())) => Ok(()),
                // The destination's folder was found, so it is the source that is missing.
                Ok(Err(Errno::NOENT)) => Err(Errno::NOENT.into()),
                Ok(Err(errno)) => Err(Failed::Told(Box::new(to.error(to_path, errno)))),
                Err(error) => Err(Failed::Told(Box::new(error))),
            }
        })
    }
}

impl Jail {
    /// Gives the file `from` a second name `to_path` in `to` (a hard link). Fails with `Exists` if it is taken.
    pub fn link(&self, from: &str, to: &Jail, to_path: &str) -> Result<(), JailError> {
        self.with_parent(from, |old_at, old| {
            let linked = to.with_parent(to_path, |new_at, new| {
                Ok(rustix::fs::linkat(
                    old_at,
                    old,
                    new_at,
                    new,
                    AtFlags::empty(),
                ))
            });
            match linked {
                Ok(Ok(())) => Ok(()),
                // The destination's folder was found, so it is the source that is missing.
                Ok(Err(Errno::NOENT)) => Err(Errno::NOENT.into()),
                Ok(Err(errno)) => Err(Failed::Told(Box::new(to.error(to_path, errno)))),
                Err(error) => Err(Failed::Told(Box::new(error))),
            }
        })
    }
}

fn exchange(
    old_at: BorrowedFd<'_>,
    old: &str,
    new_at: BorrowedFd<'_>,
    new: &str,
) -> Result<Result<(), Errno>, Failed> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    match rustix::fs::renameat_with(old_at, old, new_at, new, rustix::fs::RenameFlags::EXCHANGE) {
        // EINVAL means either that the flag is unknown, or a folder that was to go into itself.
        Err(Errno::NOSYS | Errno::INVAL | Errno::NOTSUP) => {}
        // Either of the two may be the one that is missing.
        Err(errno @ Errno::NOENT) => return Err(errno.into()),
        other => return Ok(other),
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    let _ = (old_at, old, new_at, new);
    Err(JailErrorKind::Unsupported.into())
}

fn rename_keep(
    old_at: BorrowedFd<'_>,
    old: &str,
    new_at: BorrowedFd<'_>,
    new: &str,
) -> Result<(), Errno> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    match rustix::fs::renameat_with(old_at, old, new_at, new, rustix::fs::RenameFlags::NOREPLACE) {
        // The kernel or this file system does not know the flag.
        Err(Errno::NOSYS | Errno::INVAL | Errno::NOTSUP) => {}
        other => return other,
    }
    match rustix::fs::linkat(old_at, old, new_at, new, AtFlags::empty()) {
        Ok(()) => return rustix::fs::unlinkat(old_at, old, AtFlags::empty()),
        Err(Errno::EXIST) => return Err(Errno::EXIST),
        // A folder, or a file system without hard links.
        Err(_) => {}
    }
    match rustix::fs::statat(new_at, new, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => rustix::fs::renameat(old_at, old, new_at, new),
        Err(errno) => Err(errno),
    }
}
