//! From a checked path to a file descriptor, without following a symlink on the way.

use crate::error::JailErrorKind;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

/// Who keeps the path inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolver {
    /// `openat2` (Linux 5.6).
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Kernel,
    /// `openat` with `O_NOFOLLOW`, one component at a time.
    Steps,
}

/// Flags for a folder that is only walked through: needs no read permission where there is `O_PATH`.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) const THROUGH: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// Flags for a folder that is only walked through.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) const THROUGH: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The longest path given to the kernel at once (`PATH_MAX` without its NUL).
#[cfg(any(target_os = "linux", target_os = "android"))]
const KERNEL_PATH_MAX_BYTES: usize = 4095;

impl Resolver {
    /// Asks the kernel once: an old one says ENOSYS, a sandbox EPERM or anything else.
    pub(crate) fn probe(root: BorrowedFd<'_>) -> Self {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if kernel(root, ".", THROUGH, Mode::empty()).is_ok() {
            return Self::Kernel;
        }
        let _ = root;
        Self::Steps
    }

    /// Opens a checked path below `root`.
    pub(crate) fn open(
        self,
        root: BorrowedFd<'_>,
        path: &str,
        flags: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd, JailErrorKind> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Kernel if path.len() <= KERNEL_PATH_MAX_BYTES => kernel(root, path, flags, mode)
                .map_err(|errno| match errno {
                    Errno::XDEV => JailErrorKind::Escape(crate::Escape::Beneath),
                    other => other.into(),
                }),
            _ => Ok(steps(root, path, flags, mode)?),
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn kernel(root: BorrowedFd<'_>, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    use rustix::fs::{ResolveFlags, openat2};
    // EAGAIN means that the kernel could not exclude a race with a rename; it asks to try again.
    const TRIES: usize = 64;
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    // With O_NOFOLLOW, a symlink at the end would answer ENOTDIR to O_DIRECTORY; without, ELOOP.
    let flags = flags - OFlags::NOFOLLOW;
    for _ in 0..TRIES {
        match retry_on_intr(|| openat2(root, path, flags, mode, inside)) {
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

fn steps(root: BorrowedFd<'_>, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let (parents, name) = crate::path::split(path);
    let mut folder: Option<OwnedFd> = None;
    for part in parents.split('/').filter(|part| !part.is_empty()) {
        let at = folder.as_ref().map_or(root, AsFd::as_fd);
        folder = Some(step(at, part, THROUGH, Mode::empty())?);
    }
    step(folder.as_ref().map_or(root, AsFd::as_fd), name, flags, mode)
}

/// One component. `O_DIRECTORY | O_NOFOLLOW` on a symlink says ENOTDIR, as for a file: told apart here.
pub(crate) fn step(
    at: BorrowedFd<'_>,
    name: &str,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    retry_on_intr(|| rustix::fs::openat(at, name, flags, mode)).map_err(|errno| match errno {
        Errno::NOTDIR if is_symlink(at, name) => Errno::LOOP,
        other => other,
    })
}

fn is_symlink(at: BorrowedFd<'_>, name: &str) -> bool {
    rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}
