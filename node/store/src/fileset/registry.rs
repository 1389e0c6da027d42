//! Which filesets this home takes part in.

use super::keys;
use crate::{Durability, Store, StoreError, settings};
use serde::{Deserialize, Serialize};
use shoal_protocol::id::FilesetId;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Bytes of a genesis record at most.
const GENESIS_MAX_BYTES: usize = 64 * 1024;

/// A fileset of this home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesetRow {
    /// Which.
    pub id: FilesetId,
    /// What its owner calls it here.
    pub name: String,
    /// The folder that is kept the same.
    pub root: PathBuf,
    /// Its genesis record, whose hash is the id.
    pub genesis: Vec<u8>,
    /// Whether it is kept the same.
    pub running: Running,
}

/// Whether a fileset is kept the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Running {
    /// It is.
    Yes,
    /// Somebody paused it.
    Paused,
}

/// A row; variants are only ever added at the end.
#[derive(Serialize, Deserialize)]
enum Value {
    V1 {
        name: String,
        root: Vec<u8>,
        genesis: Vec<u8>,
        running: Running,
    },
}

/// Filesets.
impl Store {
    /// Stores a fileset; one with the same id is replaced.
    ///
    /// # Errors
    /// [`StoreError::TooBig`], [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn put_fileset(&self, row: &FilesetRow, durability: Durability) -> Result<(), StoreError> {
        let name_limit = settings::SETTING_MAX_BYTES;
        settings::within("the name of a fileset", row.name.len(), name_limit)?;
        settings::within("a genesis record", row.genesis.len(), GENESIS_MAX_BYTES)?;
        let value = Value::V1 {
            name: row.name.clone(),
            root: row.root.as_os_str().as_bytes().to_vec(),
            genesis: row.genesis.clone(),
            running: row.running,
        };
        // Fails for maps and sequences of unknown length only; there are none.
        let value = postcard::to_allocvec(&value).unwrap_or_default();
        self.0
            .db
            .insert(keys::tree(&row.id), value)
            .map_err(|error| self.sled(error))?;
        self.settle(durability)
    }

    /// All filesets, in no order that means anything.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Io`].
    pub fn filesets(&self) -> Result<Vec<FilesetRow>, StoreError> {
        let mut rows = Vec::new();
        for row in self.0.db.scan_prefix(b"f") {
            let (key, value) = row.map_err(|error| self.sled(error))?;
            let row = decode(&key, &value);
            rows.push(row.ok_or_else(|| self.corrupt("the row of a fileset is broken"))?);
        }
        Ok(rows)
    }

    /// Forgets a fileset and its index; one that is not there is no error. Its folder stays as it is. No
    /// [`super::FilesetIndex`] of it may be in use.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn remove_fileset(&self, id: &FilesetId, durability: Durability) -> Result<(), StoreError> {
        let key = keys::tree(id);
        let removed = self
            .0
            .db
            .remove(&key)
            .and_then(|_| self.0.db.drop_tree(key));
        removed.map_err(|error| self.sled(error))?;
        self.settle(durability)
    }
}

fn decode(key: &[u8], value: &[u8]) -> Option<FilesetRow> {
    let id = FilesetId(key.get(1..)?.try_into().ok()?);
    let Value::V1 {
        name,
        root,
        genesis,
        running,
    } = postcard::from_bytes(value).ok()?;
    Some(FilesetRow {
        id,
        name,
        root: PathBuf::from(std::ffi::OsString::from_vec(root)),
        genesis,
        running,
    })
}
