//! Problems of single files of a share: few are kept whole, of the rest how many.

use crate::{Durability, Store, StoreError, keys};
use serde::{Deserialize, Serialize};
use shoal_protocol::id::LinkId;

/// What a home knows of the files of a share that are not given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptProblems {
    /// Path and sentence of each.
    pub rows: Vec<(String, String)>,
    /// How many there are beside.
    pub more: u64,
}

/// The row on the disk; variants are only ever added at the end.
#[derive(Serialize, Deserialize)]
enum ProblemsValue {
    V1 {
        rows: Vec<(String, String)>,
        more: u64,
    },
}

/// Problems of single files.
impl Store {
    /// Stores what is known of a share's problems, in place of what was.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn put_problems(
        &self,
        id: &LinkId,
        problems: KeptProblems,
        durability: Durability,
    ) -> Result<(), StoreError> {
        self.0
            .db
            .insert(keys::problems(id), encode(problems))
            .map_err(|error| self.sled(error))?;
        self.settle(durability)
    }

    /// What is known of a share's problems.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Io`].
    pub fn problems(&self, id: &LinkId) -> Result<KeptProblems, StoreError> {
        let value = self.0.db.get(keys::problems(id));
        let Some(value) = value.map_err(|error| self.sled(error))? else {
            return Ok(KeptProblems::default());
        };
        decode(&value).ok_or_else(|| self.corrupt("the row of a share's problems is broken"))
    }
}

fn encode(problems: KeptProblems) -> Vec<u8> {
    let KeptProblems { rows, more } = problems;
    // Fails for maps and sequences of unknown length only; there are none.
    postcard::to_allocvec(&ProblemsValue::V1 { rows, more }).unwrap_or_default()
}

fn decode(value: &[u8]) -> Option<KeptProblems> {
    let ProblemsValue::V1 { rows, more } = postcard::from_bytes(value).ok()?;
    Some(KeptProblems { rows, more })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_row_is_stable_and_goes_with_its_share() {
        let problems = KeptProblems {
            rows: vec![("a".to_owned(), "no".to_owned())],
            more: 300,
        };
        let bytes = [0, 1, 1, b'a', 2, b'n', b'o', 0xac, 2];
        assert_eq!(encode(problems.clone()), bytes);
        assert_eq!(decode(&bytes), Some(problems.clone()));
        assert_eq!(decode(&bytes[..4]), None);

        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let id = LinkId([1; 16]);
        store
            .put_problems(&id, problems.clone(), Durability::Lazy)
            .unwrap();
        assert_eq!(store.problems(&id).unwrap(), problems);
        store.remove_share(&id, Durability::Lazy).unwrap();
        assert_eq!(store.problems(&id).unwrap(), KeptProblems::default());
    }
}
