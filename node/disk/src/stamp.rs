//! What tells that a file is still the one that was hashed.

use shoal_jail::Meta;
use std::fs::File;
use std::io;

/// Size, times and identity of a file. Two equal stamps mean that nobody changed the file in between.
///
/// ctime is in it because programs set mtime back; the inode, because a file can be replaced by an
/// older one. What a stamp does not see: writes through a shared memory mapping until the kernel
/// writes them back, and changes within one tick of a coarse file system clock (FAT: 2 s). Whoever
/// receives such bytes finds them out by their hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Length in bytes.
    pub size: u64,
    /// Last change of the contents, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Last change of contents or attributes, nanoseconds since 1970.
    pub ctime_ns: i64,
    /// Inode number.
    pub ino: u64,
    /// Device number.
    pub dev: u64,
}

impl Stamp {
    /// The stamp of an open file.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from(&Meta::from(&rustix::fs::fstat(file)?)))
    }
}

impl From<&Meta> for Stamp {
    fn from(meta: &Meta) -> Self {
        Self {
            size: meta.size,
            mtime_ns: meta.mtime_ns,
            ctime_ns: meta.ctime_ns,
            ino: meta.ino,
            dev: meta.dev,
        }
    }
}
