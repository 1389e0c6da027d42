//! What the system said, in the words of the sync machine.

use shoal_jail::{JailError, JailErrorKind};
use shoal_protocol::sync::{Failure, Outcome};
use std::io;

/// Of an error of the system.
pub(super) fn failure(error: io::Error) -> Failure {
    match JailErrorKind::from(error) {
        JailErrorKind::NoSpace => Failure::NoSpace,
        JailErrorKind::Permission | JailErrorKind::ReadOnly => Failure::Denied,
        _ => Failure::Io,
    }
}

/// Of an error at the path that an operation is about.
pub(super) fn refusal(error: &JailError) -> Outcome {
    match &error.kind {
        // A folder on the way is gone, or a file or link has its place.
        JailErrorKind::NotFound | JailErrorKind::WrongKind | JailErrorKind::Escape(_) => {
            Outcome::Changed
        }
        JailErrorKind::NotEmpty => Outcome::NotEmpty,
        JailErrorKind::NoSpace => Outcome::Failed(Failure::NoSpace),
        JailErrorKind::Permission | JailErrorKind::ReadOnly => Outcome::Failed(Failure::Denied),
        JailErrorKind::NameTooLong | JailErrorKind::Unsupported => Outcome::Impossible,
        // What vfat and casefold answer to a name that they cannot have.
        JailErrorKind::Io(error)
            if matches!(
                rustix::io::Errno::from_io_error(error),
                Some(rustix::io::Errno::ILSEQ | rustix::io::Errno::INVAL)
            ) =>
        {
            Outcome::Impossible
        }
        _ => Outcome::Failed(Failure::Io),
    }
}
