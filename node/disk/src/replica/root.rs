//! The root of a replica: made, opened, and checked to be still the one that it was.

use super::probe::{self, Capabilities};
use super::{OWN_FOLDER, STAGING, marker};
use shoal_jail::{Jail, JailError, JailErrorKind};
use shoal_protocol::id::FilesetId;
use shoal_protocol::sync;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a folder is not, or no longer, the root of a fileset. Nothing in it was touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootProblem {
    /// Nothing is at the path.
    #[error("the folder does not exist; is its disk connected and mounted?")]
    Missing,
    /// A file, FIFO or device is at the path.
    #[error("it is not a folder; choose a folder")]
    NotAFolder,
    /// There is no marker: the disk is not mounted, or everything was removed.
    #[error(
        "the folder is not the one that was kept the same: its .shoal/marker is gone. If its disk is not mounted, mount it; if the folder was emptied, join it again"
    )]
    MarkerMissing,
    /// The marker cannot be understood.
    #[error("its .shoal/marker is damaged; remove the file and join the folder again")]
    MarkerDamaged,
    /// The marker names another fileset.
    #[error("the folder belongs to another fileset; choose another folder")]
    OtherFileset {
        /// Which.
        found: FilesetId,
    },
    /// Another folder or file system has come to the path since it was opened.
    #[error(
        "another folder or disk is at this path now; put the old one back, or resume to use this one"
    )]
    Replaced,
    /// The folder lies in, or around, the root of another fileset.
    #[error("it overlaps with {0:?}, which belongs to another fileset; choose another folder")]
    Overlaps(PathBuf),
    /// The folder is the home of the node, or in it.
    #[error("it is in Shoal's own home, with this device's key; choose another folder")]
    OwnHome,
    /// It may not be read or written.
    #[error("the folder may not be read and written; check its owner and mode")]
    Permission,
    /// The disk is full.
    #[error("the disk is full; free some space and try again")]
    NoSpace,
    /// Anything else that the system said.
    #[error("the folder cannot be used: {0}")]
    Io(#[source] io::Error),
}

impl RootProblem {
    /// What the machine is told of it.
    pub fn kind(&self) -> sync::RootProblem {
        match self {
            Self::MarkerMissing
            | Self::MarkerDamaged
            | Self::OtherFileset { .. }
            | Self::Replaced => sync::RootProblem::Unmarked,
            _ => sync::RootProblem::Missing,
        }
    }
}

/// An opened root. Clones share it.
#[derive(Debug, Clone)]
pub struct Replica(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    jail: Jail,
    path: PathBuf,
    fileset: FilesetId,
    /// Device and inode of the root when it was opened.
    identity: (u64, u64),
    /// The home of the node, if it lies below the root.
    keep_out: Option<String>,
    capabilities: Capabilities,
    staging: Jail,
    /// Inode of the own folder.
    own_inode: u64,
    next_temp: AtomicU64,
}

impl Replica {
    /// Makes a folder, which may have files in it, the root of a fileset, and opens it. The folder is
    /// created if it is missing; its parent is not. What is in it stays as it is.
    ///
    /// `home` is the home of the node: it may lie below the root, where no scan shows it.
    ///
    /// # Errors
    /// `Overlaps`, `OtherFileset`, `OwnHome`; see [`RootProblem`].
    pub fn create(
        dir: &Path,
        fileset: &FilesetId,
        home: Option<&Path>,
    ) -> Result<Self, RootProblem> {
        match std::fs::create_dir(dir) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        let path = dir.canonicalize()?;
        if let Some(above) = path.ancestors().skip(1).find(|above| is_root(above)) {
            return Err(RootProblem::Overlaps(above.to_path_buf()));
        }
        keep_out(&path, home)?;
        let jail = Jail::open(&path)?;
        match marker::read(&jail)? {
            Some(found) if found != *fileset => return Err(RootProblem::OtherFileset { found }),
            Some(_) => {}
            None => {
                make_own_folder(&jail, OWN_FOLDER)?;
                marker::write(&jail, fileset)?;
            }
        }
        Self::open(&path, fileset, home)
    }

    /// Opens a root that was created before. [`Replica::sweep`] then clears what a crash left.
    ///
    /// # Errors
    /// See [`RootProblem`]: `MarkerMissing` most likely means that a disk is not mounted.
    pub fn open(dir: &Path, fileset: &FilesetId, home: Option<&Path>) -> Result<Self, RootProblem> {
        let path = dir.canonicalize()?;
        let jail = Jail::open(&path)?;
        match marker::read(&jail)? {
            None => return Err(RootProblem::MarkerMissing),
            Some(found) if found != *fileset => return Err(RootProblem::OtherFileset { found }),
            Some(_) => {}
        }
        make_own_folder(&jail, STAGING)?;
        let meta = jail.metadata("")?;
        let capabilities = probe::probe(&jail)?;
        let inner = Inner {
            staging: jail.below(STAGING)?,
            own_inode: jail.metadata(OWN_FOLDER)?.ino,
            next_temp: AtomicU64::new(0),
            keep_out: keep_out(&path, home)?,
            identity: (meta.dev, meta.ino),
            fileset: *fileset,
            capabilities,
            path,
            jail,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Makes the root of the fileset `former` the root of another one, durably. A root that is not `former`'s stays as it
    /// is: what it is then, says [`Replica::open`].
    ///
    /// # Errors
    /// See [`RootProblem`].
    pub fn hand_over(
        dir: &Path,
        former: &FilesetId,
        fileset: &FilesetId,
    ) -> Result<(), RootProblem> {
        let jail = Jail::open(&dir.canonicalize()?)?;
        match marker::read(&jail)? {
            Some(found) if found == *former => marker::write(&jail, fileset),
            _ => Ok(()),
        }
    }

    /// The root, without symlinks.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The fileset that the root belongs to.
    pub fn fileset(&self) -> &FilesetId {
        &self.0.fileset
    }

    /// What the file system of the root can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    /// Whether the root is still there, the same folder of the same disk, and marked.
    ///
    /// # Errors
    /// What is wrong with it; see [`RootProblem`].
    pub fn check(&self) -> Result<(), RootProblem> {
        let named = Jail::open(&self.0.path)?.metadata("")?;
        if (named.dev, named.ino) != self.0.identity {
            // A bare mount point has no marker; that tells more than "replaced".
            marker::read(&Jail::open(&self.0.path)?)?.ok_or(RootProblem::MarkerMissing)?;
            return Err(RootProblem::Replaced);
        }
        match marker::read(&self.0.jail)? {
            None => Err(RootProblem::MarkerMissing),
            Some(found) if found != self.0.fileset => Err(RootProblem::OtherFileset { found }),
            Some(_) => Ok(()),
        }
    }

    /// Makes it a plain folder again: the marker and staging go. What was rescued into `.shoal` stays there.
    ///
    /// # Errors
    /// What the system says; a root that is half retired can be retired again.
    pub fn retire(self) -> Result<(), RootProblem> {
        marker::remove(&self.0.jail)?;
        self.0.jail.remove_tree(STAGING)?;
        match self.0.jail.remove_dir(OWN_FOLDER) {
            Err(error) if !matches!(error.kind, JailErrorKind::NotEmpty) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Bytes free to this user on the disk; none where the system does not tell.
    pub fn free_bytes(&self) -> Option<u64> {
        self.0.jail.free_space().ok()
    }

    pub(crate) fn jail(&self) -> &Jail {
        &self.0.jail
    }

    pub(crate) fn staging(&self) -> &Jail {
        &self.0.staging
    }

    pub(crate) fn is_own_inode(&self, inode: u64) -> bool {
        self.0.own_inode == inode
    }

    pub(crate) fn next_temp(&self) -> u64 {
        self.0.next_temp.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn dev(&self) -> u64 {
        self.0.identity.0
    }

    pub(crate) fn keep_out(&self) -> Option<&str> {
        self.0.keep_out.as_deref()
    }
}

/// The first of some roots that lies in or around `dir`, comparing paths without symlinks.
pub fn overlaps<'a>(dir: &Path, roots: impl IntoIterator<Item = &'a Path>) -> Option<&'a Path> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let dir = real(dir);
    roots.into_iter().find(|root| {
        let root = real(root);
        root.starts_with(&dir) || dir.starts_with(&root)
    })
}

fn is_root(dir: &Path) -> bool {
    dir.join(OWN_FOLDER).join("marker").is_file()
}

/// Where the home lies below the root; a root in the home is refused.
fn keep_out(root: &Path, home: Option<&Path>) -> Result<Option<String>, RootProblem> {
    let Some(home) = home.and_then(|home| home.canonicalize().ok()) else {
        return Ok(None);
    };
    if root.starts_with(&home) {
        return Err(RootProblem::OwnHome);
    }
    let below = home.strip_prefix(root).ok().and_then(Path::to_str);
    Ok(below.map(str::to_owned))
}

fn make_own_folder(jail: &Jail, path: &str) -> Result<(), RootProblem> {
    match jail.create_dir(path, 0o700) {
        Err(error) if !error.is_exists() => Err(error.into()),
        _ => Ok(()),
    }
}

impl From<JailError> for RootProblem {
    fn from(error: JailError) -> Self {
        match error.kind {
            JailErrorKind::NotFound => Self::Missing,
            JailErrorKind::WrongKind => Self::NotAFolder,
            JailErrorKind::Permission | JailErrorKind::ReadOnly => Self::Permission,
            JailErrorKind::NoSpace => Self::NoSpace,
            _ => Self::Io(error.into()),
        }
    }
}

impl From<io::Error> for RootProblem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::NotADirectory => Self::NotAFolder,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Permission,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::Io(error),
        }
    }
}
