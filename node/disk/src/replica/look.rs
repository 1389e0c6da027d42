//! What the file system says of one name, in the words of the sync machine.

use shoal_jail::{Kind, Meta};
use shoal_protocol::sync::Stamp;
use std::fs::File;
use std::io;

/// The stamp of what `meta` describes. Only a file has a length.
pub(crate) fn stamp(meta: &Meta) -> Stamp {
    Stamp {
        size_bytes: if meta.kind == Kind::File {
            meta.size
        } else {
            0
        },
        mtime_ns: meta.mtime_ns,
        ctime_ns: meta.ctime_ns,
        inode: meta.ino,
        mode: meta.mode & 0o777,
    }
}

/// The stamp of an open file.
pub(crate) fn stamp_of(file: &File) -> io::Result<Stamp> {
    Ok(stamp(&Meta::from(&rustix::fs::fstat(file)?)))
}

/// Whether it is the same file after only its name or the number of its names changed, which changes the ctime.
pub(crate) fn is_same_renamed(was: &Stamp, now: &Stamp) -> bool {
    was == &Stamp {
        ctime_ns: was.ctime_ns,
        ..*now
    }
}
