//! Which filesets this home takes part in.

use super::keys;
use crate::keys as group_keys;
use crate::{Durability, Store, StoreError, settings};
use serde::{Deserialize, Serialize};
use shoal_protocol::id::{FilesetId, RecordHash};
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
    /// The fileset as which its folder was kept in a group that this device left, until the folder is taken over.
    pub formerly: Option<FilesetId>,
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
    V2 {
        name: String,
        root: Vec<u8>,
        genesis: Vec<u8>,
        running: Running,
        formerly: Option<[u8; 32]>,
    },
}

/// Filesets.
impl Store {
    /// Stores a fileset; one with the same id is replaced.
    ///
    /// # Errors
    /// [`StoreError::TooBig`], [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn put_fileset(&self, row: &FilesetRow, durability: Durability) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        batch.insert(keys::tree(&row.id), encode(row)?);
        self.apply(batch)?;
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

    /// Puts another group in the place of the present one, and filesets in the places of others, all or nothing and
    /// durably. The index of a fileset that has made place stays until [`Store::remove_fileset`].
    ///
    /// # Errors
    /// As [`Store::put_fileset`].
    pub fn change_group(
        &self,
        records: &[(RecordHash, Vec<u8>)],
        moved: &[(FilesetId, FilesetRow)],
    ) -> Result<(), StoreError> {
        let mut batch = self.without_group()?;
        for (hash, bytes) in records {
            batch.insert(group_keys::group_record(hash), bytes.as_slice());
        }
        for (former, row) in moved {
            batch.remove(keys::tree(former));
            batch.insert(keys::tree(&row.id), encode(row)?);
        }
        self.apply(batch)?;
        self.settle(Durability::Flushed)
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

fn encode(row: &FilesetRow) -> Result<Vec<u8>, StoreError> {
    let name_limit = settings::SETTING_MAX_BYTES;
    settings::within("the name of a fileset", row.name.len(), name_limit)?;
    settings::within("a genesis record", row.genesis.len(), GENESIS_MAX_BYTES)?;
    let value = Value::V2 {
        name: row.name.clone(),
        root: row.root.as_os_str().as_bytes().to_vec(),
        genesis: row.genesis.clone(),
        running: row.running,
        formerly: row.formerly.map(|id| *id.as_bytes()),
    };
    // Fails for maps and sequences of unknown length only; there are none.
    Ok(postcard::to_allocvec(&value).unwrap_or_default())
}

fn decode(key: &[u8], value: &[u8]) -> Option<FilesetRow> {
    let id = FilesetId(key.get(1..)?.try_into().ok()?);
    let (name, root, genesis, running, formerly) = match postcard::from_bytes(value).ok()? {
        Value::V1 {
            name,
            root,
            genesis,
            running,
        } => (name, root, genesis, running, None),
        Value::V2 {
            name,
            root,
            genesis,
            running,
            formerly,
        } => (name, root, genesis, running, formerly),
    };
    Some(FilesetRow {
        id,
        name,
        root: PathBuf::from(std::ffi::OsString::from_vec(root)),
        genesis,
        running,
        formerly: formerly.map(FilesetId),
    })
}
