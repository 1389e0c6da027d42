//! Holes of sparse files: not read, so that gigabytes of nothing do not push the user's files out of memory.

use std::fs::File;
use std::ops::Range;

/// Whether a file has holes, and its file system can be believed about them.
///
/// Only the file systems that keep `SEEK_DATA` and their page cache in step are asked: others have
/// called data that was just written a hole (openzfs#15526), or pass on what a server thinks.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn are_known(file: &File, size: u64) -> bool {
    /// Smaller files are read as they are.
    const WORTHWHILE_BYTES: u64 = 1 << 20;
    const EXT4: u64 = 0xEF53;
    const XFS: u64 = 0x5846_5342;
    const BTRFS: u64 = 0x9123_683E;
    const TMPFS: u64 = 0x0102_1994;
    if size < WORTHWHILE_BYTES {
        return false;
    }
    let allocated = rustix::fs::fstat(file)
        .map_or(u64::MAX, |stat| (stat.st_blocks as u64).saturating_mul(512));
    allocated < size
        && rustix::fs::fstatfs(file)
            .is_ok_and(|system| [EXT4, XFS, BTRFS, TMPFS].contains(&(system.f_type as u64)))
}

/// Whether these bytes are all in a hole.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn covers(file: &File, bytes: Range<u64>) -> bool {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(bytes.start)) {
        Ok(data) => data >= bytes.end,
        // No data from here to the end.
        Err(errno) => errno == rustix::io::Errno::NXIO,
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn are_known(_file: &File, _size: u64) -> bool {
    false
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn covers(_file: &File, _bytes: Range<u64>) -> bool {
    false
}

/// The first bytes from `position` on that are no hole; none up to the end.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn data_from(file: &File, position: u64) -> std::io::Result<Option<(u64, u64)>> {
    use rustix::fs::{SeekFrom, seek};
    let start = match seek(file, SeekFrom::Data(position)) {
        Ok(start) => start,
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    Ok(Some((start, seek(file, SeekFrom::Hole(start))?)))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn data_from(_file: &File, position: u64) -> std::io::Result<Option<(u64, u64)>> {
    Ok(Some((position, u64::MAX)))
}
