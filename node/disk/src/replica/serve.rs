//! Reading a file of the tree for others.

use super::look::stamp_of;
use super::root::Replica;
use shoal_jail::JailError;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::Stamp;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A file of the tree, opened while it was what it was when it was hashed.
#[derive(Debug)]
pub struct ContentFile {
    file: File,
    size_bytes: u64,
}

impl Replica {
    /// Opens a file for reading, if it is what the stamp says; none if it is something else by now. What changes
    /// while it is read shows in its hash, which whoever takes it verifies.
    ///
    /// # Errors
    /// What the system says.
    pub fn open_content(
        &self,
        path: &RelPath,
        stamp: &Stamp,
    ) -> Result<Option<ContentFile>, JailError> {
        let file = self.jail().open_read(path.as_str())?;
        let now = stamp_of(&file).map_err(|error| JailError {
            path: self.path().join(path.as_str()),
            kind: error.into(),
        })?;
        let size_bytes = now.size_bytes;
        Ok(stamp
            .same_bytes(&now)
            .then_some(ContentFile { file, size_bytes }))
    }
}

impl ContentFile {
    /// Its length in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Reads at an offset.
    ///
    /// # Errors
    /// What the system says; `UnexpectedEof` if the file became shorter.
    pub fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}
