//! Times, modes and what concerns the whole file system.

use crate::error::{JailError, JailErrorKind};
use crate::meta::Kind;
use crate::open::{Jail, mode_bits};
use rustix::fs::{AtFlags, Timespec, Timestamps};

/// Whether a file may be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exec {
    /// Whoever may read it may run it.
    Yes,
    /// Nobody may run it.
    No,
}

impl Jail {
    /// Sets the time of last change, nanoseconds since 1970, of a symlink its own.
    pub fn set_mtime(&self, path: &str, mtime_ns: i64) -> Result<(), JailError> {
        const SECOND_NS: i64 = 1_000_000_000;
        let omit = Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_OMIT as _,
        };
        let last_modification = Timespec {
            tv_sec: mtime_ns.div_euclid(SECOND_NS) as _,
            tv_nsec: mtime_ns.rem_euclid(SECOND_NS) as _,
        };
        let times = Timestamps {
            last_access: omit,
            last_modification,
        };
        self.with_parent(path, |at, name| {
            Ok(rustix::fs::utimensat(
                at,
                name,
                &times,
                AtFlags::SYMLINK_NOFOLLOW,
            )?)
        })
    }

    /// Sets the permission bits (`0o777` of them) of a file or folder that this process may read.
    pub fn set_mode(&self, path: &str, mode: u32) -> Result<(), JailError> {
        let (fd, _) = self.open_any(path)?;
        rustix::fs::fchmod(&fd, mode_bits(mode)).map_err(|errno| self.error(path, errno))
    }

    /// Sets or clears the execute bits of a file; where set, for those who may read it.
    pub fn set_exec(&self, path: &str, exec: Exec) -> Result<(), JailError> {
        let (fd, meta) = self.open_any(path)?;
        if meta.kind != Kind::File {
            return Err(self.error(path, JailErrorKind::WrongKind));
        }
        let mode = match exec {
            Exec::Yes => meta.mode | (meta.mode & 0o444) >> 2,
            Exec::No => meta.mode & !0o111,
        };
        if mode == meta.mode {
            return Ok(());
        }
        rustix::fs::fchmod(&fd, mode_bits(mode)).map_err(|errno| self.error(path, errno))
    }

    /// Makes everything on the jail's file system durable (`syncfs`; elsewhere `sync`).
    pub fn sync(&self) -> Result<(), JailError> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return rustix::fs::syncfs(self.root()).map_err(|errno| self.error("", errno));
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        {
            rustix::fs::sync();
            Ok(())
        }
    }

    /// Bytes that this process may still write on the jail's file system.
    pub fn free_space(&self) -> Result<u64, JailError> {
        let stat = rustix::fs::fstatvfs(self.root()).map_err(|errno| self.error("", errno))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
