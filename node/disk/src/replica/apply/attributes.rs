//! Mode and times, of what is staged and of what is in its place.

use super::Tried;
use super::faults::Step;
use super::place::Placing;
use crate::replica::look::{stamp, stamp_of};
use rustix::fs::{Mode, Timespec, Timestamps};
use rustix::io::Errno;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{Attributes, Expect, Op, Outcome, Stamp};
use std::fs::File;
use std::io;

/// Sets mode and modification time of a file that is not in the tree yet.
pub(super) fn dress(file: &File, attributes: &Attributes) -> io::Result<()> {
    set_mode(file, attributes.mode)?;
    set_mtime(file, attributes.mtime_ns)
}

fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    match rustix::fs::fchmod(file, Mode::from_raw_mode((mode & 0o777) as _)) {
        // vfat, which has no modes to set.
        Err(Errno::PERM | Errno::OPNOTSUPP) => Ok(()),
        other => Ok(other?),
    }
}

fn set_mtime(file: &File, mtime_ns: i64) -> io::Result<()> {
    const SECOND_NS: i64 = 1_000_000_000;
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_OMIT as _,
        },
        last_modification: Timespec {
            tv_sec: mtime_ns.div_euclid(SECOND_NS) as _,
            tv_nsec: mtime_ns.rem_euclid(SECOND_NS) as _,
        },
    };
    Ok(rustix::fs::futimens(file, &times)?)
}

impl Placing<'_> {
    /// Sets mode and times of what is at a path in the tree, which was looked at before.
    ///
    /// The stamp of a file whose mtime was set has no ctime: a change between the look and the setting
    /// would be hidden by it, so the next look reads the file.
    pub(super) fn set_attributes(
        &mut self,
        op: &Op,
        path: &RelPath,
        expect: &Expect,
        attributes: &Attributes,
    ) -> Tried<Stamp> {
        self.step(Step::SetAttributes)
            .map_err(|error| self.failed(op, error))?;
        match expect {
            Expect::Absent => Err(Outcome::Changed),
            Expect::Symlink(_) => {
                self.jail()
                    .set_mtime(path.as_str(), attributes.mtime_ns)
                    .map_err(|error| self.refused(op, &error))?;
                self.stamp_at(op, path)
            }
            Expect::Folder => {
                self.jail()
                    .set_mode(path.as_str(), attributes.mode)
                    .map_err(|error| self.refused(op, &error))?;
                self.stamp_at(op, path)
            }
            Expect::File(was) => {
                let set = || -> io::Result<Option<Stamp>> {
                    let file = self.jail().open_read(path.as_str())?;
                    let now = stamp_of(&file)?;
                    if !was.same_bytes(&now) {
                        return Ok(None);
                    }
                    set_mode(&file, attributes.mode)?;
                    if now.mtime_ns != attributes.mtime_ns {
                        set_mtime(&file, attributes.mtime_ns)?;
                    }
                    file.sync_all()?;
                    let after = stamp_of(&file)?;
                    let ctime_ns = match now.mtime_ns == attributes.mtime_ns {
                        true => after.ctime_ns,
                        false => 0,
                    };
                    Ok(Some(Stamp { ctime_ns, ..after }))
                };
                set()
                    .map_err(|error| self.failed(op, error))?
                    .ok_or(Outcome::Changed)
            }
        }
    }

    pub(super) fn stamp_at(&self, op: &Op, path: &RelPath) -> Tried<Stamp> {
        let meta = self
            .jail()
            .metadata(path.as_str())
            .map_err(|error| self.refused(op, &error))?;
        Ok(stamp(&meta))
    }
}
