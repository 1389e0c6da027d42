//! `.shoal/staging`: what is on its way into the tree, and what a crash leaves of it.

use super::OWN_FOLDER;
use super::content::hash;
use super::root::{Replica, RootProblem};
use shoal_jail::{Create, Existing, JailError};
use shoal_protocol::id::ContentHash;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Content that is being fetched, or was, by its hash.
const INCOMING: &str = "in-";
/// Behind the name of a content: how much of it is durable.
const NOTE: &str = ".have";
const NOTE_BYTES: usize = 24;
const NOTE_DOMAIN: &str = "shoal 2026 staging checkpoint v1";
/// Anything else: ours alone.
const TEMP: &str = "t-";
const RESCUED: &str = ".shoal/rescued";

/// The name in staging of fetched content.
pub(crate) fn incoming_name(content: &ContentHash) -> String {
    format!("{INCOMING}{content}")
}

fn checkpoint_name(content: &ContentHash) -> String {
    format!("{INCOMING}{content}{NOTE}")
}

/// The content of a name that [`incoming_name`] made.
fn content_of(name: Option<&str>) -> Option<ContentHash> {
    ContentHash::from_hex(name?.strip_prefix(INCOMING)?).ok()
}

/// How much of a content is durable, so that a torn or foreign note is none.
fn note_of(content: &ContentHash, bytes: u64) -> [u8; NOTE_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key(NOTE_DOMAIN);
    hasher.update(content.as_bytes());
    hasher.update(&bytes.to_le_bytes());
    let mut note = [0; NOTE_BYTES];
    let (head, tail) = note.split_at_mut(8);
    head.copy_from_slice(&bytes.to_le_bytes());
    hasher.finalize_xof().fill(tail);
    note
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

    /// Makes the staged bytes of a content durable, and then writes down that the first `bytes` of them are. They were
    /// verified before.
    ///
    /// # Errors
    /// What the system says; the checkpoint before stays good.
    pub fn make_checkpoint(&self, content: &ContentHash, bytes: u64) -> io::Result<()> {
        let staged = self.staging().open_read(&incoming_name(content))?;
        staged.sync_data()?;
        let name = checkpoint_name(content);
        let note = self.staging().create_file(&name, 0o600, Create::OrOpen)?;
        note.write_all_at(&note_of(content, bytes), 0)
    }

    /// Bytes of a content that are in staging from its start on, durable and verified; 0 where nobody wrote that down.
    pub fn checkpoint(&self, content: &ContentHash) -> u64 {
        let read = || -> Option<u64> {
            let file = self.staging().open_read(&checkpoint_name(content)).ok()?;
            let mut note = [0; NOTE_BYTES];
            file.read_exact_at(&mut note, 0).ok()?;
            let (bytes, _) = note.split_first_chunk::<8>()?;
            let bytes = u64::from_le_bytes(*bytes);
            (note == note_of(content, bytes)).then_some(bytes)
        };
        let noted = read().unwrap_or(0);
        let there = self.staged_bytes(content).unwrap_or(0);
        if noted <= there { noted } else { 0 }
    }

    /// Cuts a content in staging back to what is durable and verified of it, for a start: what stands behind that may be
    /// anything after a power cut, and a file of the full length is taken for the whole content.
    ///
    /// # Errors
    /// What the system says.
    pub fn cut_to_checkpoint(&self, content: &ContentHash) -> io::Result<()> {
        let bytes = self.checkpoint(content);
        let staged = self.staging().open_rw(&incoming_name(content))?;
        staged.set_len(bytes)
    }

    /// Removes a content from staging; one that is not there is no error.
    ///
    /// # Errors
    /// What the system says.
    pub fn unstage(&self, content: &ContentHash) -> Result<(), JailError> {
        self.forget_checkpoint(content)?;
        match self.staging().remove_file(&incoming_name(content)) {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what is written down of a content in staging.
    ///
    /// # Errors
    /// What the system says; nothing written down is no error.
    pub fn forget_checkpoint(&self, content: &ContentHash) -> Result<(), JailError> {
        match self.staging().remove_file(&checkpoint_name(content)) {
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
        let (mut swept, mut notes) = (Swept::default(), Vec::new());
        for entry in self.staging().read_dir("")? {
            let Some(name) = entry.name.to_str() else {
                continue;
            };
            if let Some(content) = content_of(name.strip_suffix(NOTE)) {
                notes.push(content);
                continue;
            }
            let content = content_of(Some(name));
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
        for content in notes {
            if !swept.kept.contains(&content) {
                self.forget_checkpoint(&content)?;
                swept.removed += 1;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use shoal_protocol::id::FilesetId;

    #[test]
    fn a_checkpoint_holds_over_a_restart_until_its_content_goes() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Replica::create(dir.path(), &FilesetId([1; 32]), None).unwrap();
        let replica = open();
        let (content, other) = (ContentHash([2; 32]), ContentHash([3; 32]));
        assert_eq!(replica.checkpoint(&content), 0);
        for content in [&content, &other] {
            let file = replica.incoming(content).unwrap();
            file.write_all_at(b"verified, and more", 0).unwrap();
            replica.make_checkpoint(content, 4).unwrap();
            replica.make_checkpoint(content, 8).unwrap();
        }
        let replica = open();
        let kept = replica.sweep(&|it| replica.checkpoint(it) == 8 && *it == content);
        assert_eq!(kept.unwrap().kept, [content]);
        assert_eq!(
            (replica.checkpoint(&content), replica.checkpoint(&other)),
            (8, 0)
        );

        replica.cut_to_checkpoint(&content).unwrap();
        assert_eq!(replica.staged_bytes(&content), Some(8));

        // One that is torn, or says more than is there, is none.
        replica.make_checkpoint(&content, 100).unwrap();
        assert_eq!(replica.checkpoint(&content), 0);
        replica.make_checkpoint(&content, 8).unwrap();
        let name = checkpoint_name(&content);
        let note = replica.staging().open_rw(&name).unwrap();
        note.write_all_at(&[9], 0).unwrap();
        assert_eq!(replica.checkpoint(&content), 0);

        assert!(replica.staging().metadata(&name).is_ok());
        replica.unstage(&content).unwrap();
        assert_eq!(replica.staging().read_dir("").unwrap().len(), 0);
    }
}
