//! Small named values, such as ports that were picked once.

use crate::{Durability, Store, StoreError, keys};

/// Bytes of a setting's name.
pub const SETTING_NAME_MAX_BYTES: usize = 64;
/// Bytes of a setting's value.
pub const SETTING_MAX_BYTES: usize = 4096;

/// Settings.
impl Store {
    /// A named value.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Io`].
    pub fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self
            .0
            .db
            .get(keys::setting(name))
            .map_err(|error| self.sled(error))?;
        Ok(row.map(|bytes| bytes.to_vec()))
    }

    /// Stores a named value.
    ///
    /// # Errors
    /// [`StoreError::TooBig`] above [`SETTING_MAX_BYTES`] or [`SETTING_NAME_MAX_BYTES`],
    /// [`StoreError::DiskFull`], [`StoreError::Io`].
    pub fn put_setting(
        &self,
        name: &str,
        value: &[u8],
        durability: Durability,
    ) -> Result<(), StoreError> {
        within("a setting's name", name.len(), SETTING_NAME_MAX_BYTES)?;
        within("a setting", value.len(), SETTING_MAX_BYTES)?;
        self.0
            .db
            .insert(keys::setting(name), value)
            .map_err(|error| self.sled(error))?;
        self.settle(durability)
    }

    /// Forgets a named value; one that is not there is no error.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn remove_setting(&self, name: &str, durability: Durability) -> Result<(), StoreError> {
        self.0
            .db
            .remove(keys::setting(name))
            .map_err(|error| self.sled(error))?;
        self.settle(durability)
    }
}

/// Refuses what is over its limit.
pub(crate) fn within(what: &'static str, len: usize, limit_bytes: usize) -> Result<(), StoreError> {
    if len > limit_bytes {
        Err(StoreError::TooBig { what, limit_bytes })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn settings_go_round_and_have_limits() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.setting("port").unwrap(), None);
        store
            .put_setting("port", &[1, 2], Durability::Flushed)
            .unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.setting("port").unwrap(), Some(vec![1, 2]));
        store.remove_setting("port", Durability::Lazy).unwrap();
        assert_eq!(store.setting("port").unwrap(), None);
        let big = vec![0; SETTING_MAX_BYTES + 1];
        assert!(matches!(
            store.put_setting("x", &big, Durability::Lazy),
            Err(StoreError::TooBig { .. })
        ));
    }
}
