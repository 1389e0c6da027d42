//! Bytes from one file to another: shared where the file system can, and holes stay holes.

use crate::hash::holes;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const BUFFER_BYTES: usize = 256 * 1024;

/// Makes `to`, which is empty, hold what `from` holds.
///
/// # Errors
/// What the system says; `UnexpectedEof` if `from` is shorter than `size_bytes`.
pub(super) fn copy(from: &File, to: &File, size_bytes: u64) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    if !holes::are_known(from, size_bytes) {
        return copy_range(from, to, 0, size_bytes);
    }
    let mut position = 0;
    while position < size_bytes {
        let Some((start, end)) = holes::data_from(from, position)? else {
            break;
        };
        let end = end.min(size_bytes);
        copy_range(from, to, start, end.saturating_sub(start))?;
        position = end.max(start + 1);
    }
    to.set_len(size_bytes)
}

fn copy_range(from: &File, to: &File, start: u64, len: u64) -> io::Result<()> {
    let mut done = 0;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    while done < len {
        let (mut read_at, mut write_at) = (start + done, start + done);
        let most = usize::try_from(len - done)
            .unwrap_or(usize::MAX)
            .min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), most) {
            // Some file systems answer 0 to what they cannot do; reading decides.
            Ok(0) => break,
            Ok(copied) => done += copied as u64,
            Err(error) if done == 0 && is_unsupported(error) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    while done < len {
        let most = (len - done).min(BUFFER_BYTES as u64) as usize;
        let block = buffer.get_mut(..most).unwrap_or_default();
        from.read_exact_at(block, start + done)?;
        to.write_all_at(block, start + done)?;
        done += most as u64;
    }
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_unsupported(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    [
        Errno::XDEV,
        Errno::NOSYS,
        Errno::INVAL,
        Errno::OPNOTSUPP,
        Errno::PERM,
        Errno::BADF,
    ]
    .contains(&error)
}
