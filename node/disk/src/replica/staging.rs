//! `.shoal/staging`: what is on its way into the tree, and what a crash leaves of it.

use super::OWN_FOLDER;
use super::content::hash;
use super::root::{Replica, RootProblem};
use shoal_jail::{Create, Existing, JailError};
use shoal_protocol::id::ContentHash;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// Content that is being fetched, or was, by its hash.
const INCOMING: &str = "in-";
/// Anything else: ours alone.
const TEMP: &str = "t-";
const RESCUED: &str = ".shoal/rescued";

/// The name in staging of fetched content.
pub(crate) fn incoming_name(content: &ContentHash) -> String {
    format!("{INCOMING}{content}")
}

/// What [`Replica::sweep`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Content whose fetching may go on: some of it, or all, is there under this hash; [`Replica::is_staged`] tells.
    pub kept: Vec<ContentHash>,
    /// How many things were removed.
    pub removed: usize,
}

/// Staging.
impl Replica {
    /// Opens the staging file of a content for reading and writing, new or as it was left. It is used up by a
    /// `Write` with `Source::Staged`, which takes for granted that its bytes were verified; durable it makes it itself.
    ///
    /// # Errors
    /// What the system says.
    pub fn incoming(&self, content: &ContentHash) -> Result<File, JailError> {
        self.staging()
            .create_file(&incoming_name(content), 0o600, Create::OrOpen)
    }

    /// Whether a content is in staging, whole or in part, and how long it is in bytes.
    pub fn staged_bytes(&self, content: &ContentHash) -> Option<u64> {
        let meta = self.staging().metadata(&incoming_name(content)).ok()?;
        Some(meta.size)
    }

    /// Whether a content is in staging as a whole: reads and hashes it. For what a start finds there.
    ///
    /// # Errors
    /// What the system says.
    pub fn is_staged(&self, content: &ContentHash, size_bytes: u64) -> io::Result<bool> {
        if self.staged_bytes(content) != Some(size_bytes) {
            return Ok(false);
        }
        let file = self.staging().open_read(&incoming_name(content))?;
        Ok(hash(&file, size_bytes)? == *content)
    }

    /// Whether a content is in staging as a whole, whatever its length: reads and hashes it.
    pub fn is_whole(&self, content: &ContentHash) -> bool {
        // What cannot be read is of no use.
        self.staged_bytes(content)
            .is_some_and(|bytes| self.is_staged(content, bytes).unwrap_or(false))
    }

    /// Removes a content from staging; one that is not there is no error.
    ///
    /// # Errors
    /// What the system says.
    pub fn unstage(&self, content: &ContentHash) -> Result<(), JailError> {
        match self.staging().remove_file(&incoming_name(content)) {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes from staging what a crash left, and every fetched content that `keep` does not want. To be
    /// called while nothing is fetched or applied: at the start, and for `Action::ClearStaging`.
    ///
    /// # Errors
    /// What the system says.
    pub fn sweep(&self, keep: &dyn Fn(&ContentHash) -> bool) -> Result<Swept, RootProblem> {
        let mut swept = Swept::default();
        for entry in self.staging().read_dir("")? {
            let Some(name) = entry.name.to_str() else {
                continue;
            };
            let content = name
                .strip_prefix(INCOMING)
                .and_then(|hex| ContentHash::from_hex(hex).ok());
            // A file with another name is in the tree as well, where anybody may have written to it.
            let alone = |_: &ContentHash| {
                self.staging()
                    .metadata(name)
                    .is_ok_and(|meta| meta.nlink == 1)
            };
            match content.filter(alone).filter(|content| keep(content)) {
                Some(content) => swept.kept.push(content),
                None => {
                    self.staging().remove_tree(name)?;
                    swept.removed += 1;
                }
            }
        }
        Ok(swept)
    }

    /// A new name in staging. Unique in this process; what an older one left is swept at the start.
    pub(crate) fn temp_name(&self) -> String {
        format!("{TEMP}{:x}", self.next_temp())
    }

    /// Moves something out of staging to where no sweep comes.
    pub(crate) fn rescue(&self, name: &str) -> Result<PathBuf, JailError> {
        self.jail().create_dir_all(RESCUED)?;
        let mut number = 0_u32;
        loop {
            let to = format!("{RESCUED}/{number}");
            match self
                .staging()
                .rename(name, self.jail(), &to, Existing::Keep)
            {
                Err(error) if error.is_exists() => number = number.saturating_add(1),
                Err(error) => return Err(error),
                Ok(()) => {
                    self.jail().sync_dir(OWN_FOLDER)?;
                    return Ok(self.path().join(to));
                }
            }
        }
    }
}
