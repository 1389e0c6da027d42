//! What the file system knows of one name, without following it.

use rustix::fs::{FileType, Stat};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A FIFO, socket or device.
    Special,
}

/// Size, times, mode and identity of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Bytes of a regular file; of other kinds what the file system says.
    pub size: u64,
    /// Last change of the contents, nanoseconds since 1970, clamped to what fits (1677 to 2262).
    pub mtime_ns: i64,
    /// Last change of contents or attributes, nanoseconds since 1970, clamped likewise.
    pub ctime_ns: i64,
    /// Permission bits, `0o7777` at most.
    pub mode: u32,
    /// The owner's user id.
    pub uid: u32,
    /// Number of names of this inode.
    pub nlink: u64,
    /// Inode number.
    pub ino: u64,
    /// Device number.
    pub dev: u64,
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Dir,
            FileType::Symlink => Self::Symlink,
            _ => Self::Special,
        }
    }
}

impl From<&Stat> for Meta {
    // The fields' types differ between systems; on each of them the values fit.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    fn from(stat: &Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode as _).into(),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime_ns: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime_ns: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            mode: stat.st_mode as u32 & 0o7777,
            uid: stat.st_uid as u32,
            nlink: stat.st_nlink as u64,
            ino: stat.st_ino as u64,
            dev: stat.st_dev as u64,
        }
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}
