//! The group that this device belongs to: records of its log and contacts of its members, signed as they came.

use crate::{Durability, Store, StoreError, keys};
use shoal_protocol::id::{DeviceId, RecordHash};

/// What is kept of a group. The bytes are verified by whoever reads them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupRows {
    /// Signed records of the log, in no order.
    pub records: Vec<Vec<u8>>,
    /// Signed contacts, one a device.
    pub contacts: Vec<Vec<u8>>,
}

/// The group.
impl Store {
    /// All that is kept of the group; empty where the device belongs to none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Io`].
    pub fn group(&self) -> Result<GroupRows, StoreError> {
        Ok(GroupRows {
            records: self.values(&keys::group_records())?,
            contacts: self.values(&keys::contacts())?,
        })
    }

    /// Adds records and replaces contacts, all or nothing.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn put_group(
        &self,
        records: &[(RecordHash, Vec<u8>)],
        contacts: &[(DeviceId, Vec<u8>)],
        durability: Durability,
    ) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (hash, bytes) in records {
            batch.insert(keys::group_record(hash), bytes.as_slice());
        }
        for (device, bytes) in contacts {
            batch.insert(keys::contact(device), bytes.as_slice());
        }
        self.apply(batch)?;
        self.settle(durability)
    }

    /// Forgets the group, all or nothing.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn forget_group(&self) -> Result<(), StoreError> {
        self.apply(self.without_group()?)?;
        self.settle(Durability::Flushed)
    }

    /// What takes the present group away.
    pub(crate) fn without_group(&self) -> Result<sled::Batch, StoreError> {
        let mut batch = sled::Batch::default();
        for prefix in [keys::group_records(), keys::contacts()] {
            for key in self.0.db.scan_prefix(prefix).keys() {
                batch.remove(key.map_err(|error| self.sled(error))?);
            }
        }
        Ok(batch)
    }

    fn values(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        let rows = self.0.db.scan_prefix(prefix).values();
        rows.map(|row| row.map(|bytes| bytes.to_vec()))
            .collect::<Result<_, _>>()
            .map_err(|error| self.sled(error))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_group_survives_a_restart_and_is_forgotten_whole() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.group().unwrap(), GroupRows::default());
        let records = [
            (RecordHash([1; 32]), vec![1]),
            (RecordHash([2; 32]), vec![2]),
        ];
        let device = DeviceId([3; 32]);
        let contact = |n| [(device, vec![n])];
        store
            .put_group(&records, &contact(3), Durability::Flushed)
            .unwrap();
        store
            .put_group(&[], &contact(4), Durability::Flushed)
            .unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        let kept = GroupRows {
            records: vec![vec![1], vec![2]],
            contacts: vec![vec![4]],
        };
        assert_eq!(store.group().unwrap(), kept);
        store.put_setting("x", b"y", Durability::Lazy).unwrap();
        store.forget_group().unwrap();
        assert_eq!(store.group().unwrap(), GroupRows::default());
        assert_eq!(store.setting("x").unwrap().as_deref(), Some(&b"y"[..]));
    }
}
