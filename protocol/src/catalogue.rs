//! What a device keeps: told to the other members of its group, so that they can join it and talk about it.

use crate::codec::{DecodeError, Reader, Writer};
use crate::limits::{CATALOGUE_MAX_FILESETS, GENESIS_MAX_BYTES};
use std::collections::BTreeSet;

const VERSION: u8 = 1;

/// Signed genesis records ([`crate::fileset::Genesis`]) of the filesets that a device keeps, not verified yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalogue(pub BTreeSet<Vec<u8>>);

impl Catalogue {
    /// Canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION);
        w.uint(self.0.len() as u64);
        for genesis in &self.0 {
            w.bytes(genesis);
        }
        w.finish()
    }

    /// Reads what another device tells.
    ///
    /// # Errors
    /// [`DecodeError`]; more than 1,024 filesets are over the limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        if r.u8()? != VERSION {
            return Err(DecodeError::Newer);
        }
        let count = r.count("the number of filesets", CATALOGUE_MAX_FILESETS)?;
        let mut all = BTreeSet::new();
        for _ in 0..count {
            let length = r.count("the record of a fileset", GENESIS_MAX_BYTES)?;
            let genesis = r.raw(length)?.to_vec();
            if all.last().is_some_and(|last| *last >= genesis) {
                return Err(DecodeError::NotCanonical);
            }
            all.insert(genesis);
        }
        r.finish()?;
        Ok(Self(all))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn more_than_the_limit_is_refused() {
        let mut w = Writer::new();
        w.u8(VERSION);
        w.uint(CATALOGUE_MAX_FILESETS as u64 + 1);
        let limit = Catalogue::decode(&w.finish());
        assert!(matches!(limit, Err(DecodeError::Limit { .. })), "{limit:?}");
    }

    proptest! {
        #[test]
        fn it_goes_round(records: BTreeSet<Vec<u8>>) {
            let catalogue = Catalogue(records);
            prop_assert_eq!(Catalogue::decode(&catalogue.encode()), Ok(catalogue));
        }

        #[test]
        fn what_decodes_has_one_encoding(bytes: Vec<u8>) {
            let bytes = [&[VERSION], &bytes[..]].concat();
            if let Ok(catalogue) = Catalogue::decode(&bytes) {
                prop_assert_eq!(catalogue.encode(), bytes);
            }
        }
    }
}
