//! The jail itself: opening, making, renaming and removing single names.

use crate::error::{Escape, JailError, JailErrorKind};
use crate::meta::{Kind, Meta};
use crate::path;
use crate::resolve::{Resolver, THROUGH, step};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// A directory that nothing done through it leaves.
///
/// Methods take `/`-separated relative paths without `.`, `..`, empty parts or NUL. None follows a
/// symlink. Where a method says so, `""` means the directory itself. Cloning shares one descriptor.
#[derive(Debug, Clone)]
pub struct Jail {
    root: Arc<OwnedFd>,
    path: Arc<Path>,
    resolver: Resolver,
}

/// What `create_file` does about a file that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// Fail with `Exists`.
    New,
    /// Open it as it is, without cutting it.
    OrOpen,
}

impl Jail {
    /// Takes a directory as the jail. A symlink *to* it is followed: the path is the user's own.
    pub fn open(dir: &Path) -> Result<Self, JailError> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root =
            match retry_on_intr(|| rustix::fs::open(dir, flags | OFlags::RDONLY, Mode::empty())) {
                // Enough to reach what is below; listing and syncing will say that they may not.
                #[cfg(any(target_os = "linux", target_os = "android"))]
                Err(Errno::ACCESS) => rustix::fs::open(dir, flags | OFlags::PATH, Mode::empty()),
                other => other,
            };
        let root = root.map_err(|errno| JailError::new(dir, "", errno.into()))?;
        let resolver = Resolver::probe(root.as_fd());
        Ok(Self {
            root: Arc::new(root),
            path: dir.into(),
            resolver,
        })
    }

    /// The directory as it was named to `open`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A jail at a folder below this one.
    pub fn below(&self, path: &str) -> Result<Self, JailError> {
        let root = self.open_dir(path)?;
        Ok(Self {
            root: Arc::new(root),
            path: self.path.join(path).into(),
            resolver: self.resolver,
        })
    }

    // Files.

    /// Opens a regular file for reading and writing, making it if it is missing.
    ///
    /// `mode` are permission bits, subject to the umask. The folder must exist. A FIFO, socket or
    /// device in its place is `WrongKind`, and does not make this wait.
    pub fn create_file(&self, path: &str, mode: u32, create: Create) -> Result<File, JailError> {
        let exclusive = match create {
            Create::New => OFlags::EXCL,
            Create::OrOpen => OFlags::empty(),
        };
        self.open_file(
            path,
            OFlags::RDWR | OFlags::CREATE | exclusive,
            mode_bits(mode),
        )
    }

    /// Opens a regular file for reading, without touching its access time where that is allowed.
    pub fn open_read(&self, path: &str) -> Result<File, JailError> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        match self.open_file(path, OFlags::RDONLY | OFlags::NOATIME, Mode::empty()) {
            // Only a file's owner may ask for O_NOATIME.
            Err(JailError {
                kind: JailErrorKind::Permission,
                ..
            }) => {}
            other => return other,
        }
        self.open_file(path, OFlags::RDONLY, Mode::empty())
    }

    /// Opens an existing regular file for reading and writing.
    pub fn open_rw(&self, path: &str) -> Result<File, JailError> {
        self.open_file(path, OFlags::RDWR, Mode::empty())
    }

    /// Size, times and mode, of a symlink its own. `""` is the jail's directory.
    pub fn metadata(&self, path: &str) -> Result<Meta, JailError> {
        if path.is_empty() {
            return rustix::fs::fstat(&self.root)
                .map(|stat| Meta::from(&stat))
                .map_err(|errno| self.error("", errno));
        }
        self.with_parent(path, |at, name| {
            Ok(Meta::from(&rustix::fs::statat(
                at,
                name,
                AtFlags::SYMLINK_NOFOLLOW,
            )?))
        })
    }

    /// Removes a file, symlink, FIFO or socket.
    pub fn remove_file(&self, path: &str) -> Result<(), JailError> {
        self.with_parent(path, |at, name| {
            Ok(rustix::fs::unlinkat(at, name, AtFlags::empty())?)
        })
    }

    /// Makes a symlink at `path`. A target that could lead outside is refused, see `symlink_target_stays`.
    pub fn symlink(&self, target: &str, path: &str) -> Result<(), JailError> {
        path::check(path).map_err(|kind| self.error(path, kind))?;
        if !path::symlink_target_stays(path, target) {
            return Err(self.error(path, JailErrorKind::Escape(Escape::Target)));
        }
        self.with_parent(path, |at, name| {
            Ok(rustix::fs::symlinkat(target, at, name)?)
        })
    }

    /// Makes a symlink at `path` whatever its target says, for a tree that keeps its owner's own links.
    ///
    /// The jail never follows it. Other programs do, so this is for links whose author is trusted.
    pub fn symlink_as_it_is(&self, target: &str, path: &str) -> Result<(), JailError> {
        self.with_parent(path, |at, name| {
            Ok(rustix::fs::symlinkat(target, at, name)?)
        })
    }

    /// The target of a symlink, as bytes.
    pub fn read_link(&self, path: &str) -> Result<Vec<u8>, JailError> {
        self.with_parent(path, |at, name| {
            match rustix::fs::readlinkat(at, name, Vec::new()) {
                Ok(target) => Ok(target.into_bytes()),
                Err(Errno::INVAL) => Err(JailErrorKind::WrongKind.into()),
                Err(errno) => Err(errno.into()),
            }
        })
    }

    // What the methods are made of.

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(crate) fn error(&self, path: &str, kind: impl Into<JailErrorKind>) -> JailError {
        JailError::new(&self.path, path, kind.into())
    }

    /// Opens whatever has this name. `O_NONBLOCK`: a FIFO must not make us wait for its other end.
    pub(crate) fn open_raw(
        &self,
        path: &str,
        flags: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd, JailError> {
        path::check(path)
            .and_then(|()| {
                self.resolver
                    .open(self.root(), path, flags | OFlags::NONBLOCK, mode)
            })
            .map_err(|kind| self.error(path, kind))
    }

    fn open_file(&self, path: &str, flags: OFlags, mode: Mode) -> Result<File, JailError> {
        let fd = self.open_raw(path, flags | OFlags::NOCTTY, mode)?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| self.error(path, errno))?;
        match Meta::from(&stat).kind {
            Kind::File => Ok(File::from(fd)),
            _ => Err(self.error(path, JailErrorKind::WrongKind)),
        }
    }

    pub(crate) fn open_any(&self, path: &str) -> Result<(OwnedFd, Meta), JailError> {
        let fd = self.open_raw(path, OFlags::RDONLY | OFlags::NOCTTY, Mode::empty())?;
        let meta = Meta::from(&rustix::fs::fstat(&fd).map_err(|errno| self.error(path, errno))?);
        match meta.kind {
            Kind::File | Kind::Dir => Ok((fd, meta)),
            _ => Err(self.error(path, JailErrorKind::WrongKind)),
        }
    }

    /// Runs an operation on the last component, with its folder opened.
    pub(crate) fn with_parent<T>(
        &self,
        path: &str,
        run: impl FnOnce(BorrowedFd<'_>, &str) -> Result<T, Failed>,
    ) -> Result<T, JailError> {
        path::check(path).map_err(|kind| self.error(path, kind))?;
        let (parents, name) = path::split(path);
        let done = if parents.is_empty() {
            run(self.root(), name)
        } else {
            let parent = self
                .resolver
                .open(self.root(), parents, THROUGH, Mode::empty());
            let parent = parent.map_err(|kind| self.error(path, kind))?;
            run(parent.as_fd(), name)
        };
        done.map_err(|failed| match failed {
            Failed::Here(kind) => self.error(path, kind),
            Failed::Told(error) => *error,
        })
    }

    #[cfg(test)]
    pub(crate) fn stepwise(mut self) -> Self {
        self.resolver = Resolver::Steps;
        self
    }

    pub(crate) fn walk_through(&self, path: &str) -> Result<OwnedFd, JailErrorKind> {
        self.resolver
            .open(self.root(), path, THROUGH, Mode::empty())
    }
}

/// A failure about the path at hand, or one that names its own path.
pub(crate) enum Failed {
    Here(JailErrorKind),
    Told(Box<JailError>),
}

impl From<Errno> for Failed {
    fn from(errno: Errno) -> Self {
        Self::Here(errno.into())
    }
}

impl From<JailErrorKind> for Failed {
    fn from(kind: JailErrorKind) -> Self {
        Self::Here(kind)
    }
}

/// Permission bits only: no set-user-id, set-group-id or sticky bit ever comes from outside.
pub(crate) fn mode_bits(mode: u32) -> Mode {
    Mode::from_raw_mode((mode & 0o777) as _)
}

/// One component of `create_dir_all`: made or found, then opened.
pub(crate) fn make_and_enter(at: BorrowedFd<'_>, name: &str, mode: Mode) -> Result<OwnedFd, Errno> {
    match rustix::fs::mkdirat(at, name, mode) {
        Ok(()) | Err(Errno::EXIST) => step(at, name, THROUGH, Mode::empty()),
        Err(errno) => Err(errno),
    }
}
