//! The genesis record of a fileset: who owns it, what it was called at first, and so its id.
//!
//! The record is signed by a device of the owner's group. Its id commits to every byte of it but the
//! signature, so that nobody can give the fileset to another owner.

use crate::codec::{DecodeError, Reader, Writer};
use crate::group::Group;
use crate::id::{DeviceId, FilesetId, GroupId};
use crate::limits::{GENESIS_MAX_BYTES, NAME_MAX_BYTES};
use crate::signature;
use ed25519_dalek::SigningKey;

const DOMAIN: &[u8] = b"shoal fileset genesis v1\0";
const ID_DOMAIN: &str = "shoal 2026 fileset id v1";
const VERSION: u8 = 1;

/// Why bytes are no genesis record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// The bytes are malformed.
    #[error("the record of this fileset is damaged: {0}")]
    Bytes(#[from] DecodeError),
    /// The signature is not the device's that it names.
    #[error("the record of this fileset was changed on the way: its signature is wrong")]
    Signature,
    /// The device that signed it never belonged to the owner's group.
    #[error("the record of this fileset was signed by a device that its owner does not have")]
    Stranger,
}

/// What a fileset begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// The person whose fileset it is.
    pub owner: GroupId,
    /// Its first name: one path component.
    pub name: String,
    /// Random bytes, so that two filesets of one name and owner differ.
    pub nonce: [u8; 16],
    /// The device that made it.
    pub signer: DeviceId,
}

impl Genesis {
    /// Canonical bytes with the signature of `key` at the end; `signer` becomes its device.
    pub fn sign(mut self, key: &SigningKey) -> Vec<u8> {
        self.signer = signature::device_of(key);
        signature::sign(DOMAIN, self.encode(), key)
    }

    /// Reads signed bytes. Whether the signer belongs to the owner says [`Genesis::check_owner`].
    ///
    /// # Errors
    /// See [`GenesisError`].
    pub fn verify(bytes: &[u8]) -> Result<Self, GenesisError> {
        if bytes.len() > GENESIS_MAX_BYTES {
            return Err(DecodeError::Limit {
                what: "the record of a fileset",
                limit: GENESIS_MAX_BYTES,
            }
            .into());
        }
        let (body, signed) = signature::split(bytes)?;
        let genesis = Self::decode(body)?;
        signature::check(DOMAIN, body, signed, &genesis.signer)
            .map_err(|_| GenesisError::Signature)?;
        Ok(genesis)
    }

    /// Whether the signer is, or was, a device of the owner.
    ///
    /// # Errors
    /// [`GenesisError::Stranger`].
    pub fn check_owner(&self, owner: &Group) -> Result<(), GenesisError> {
        if self.owner == owner.id() && owner.knows(&self.signer) {
            Ok(())
        } else {
            Err(GenesisError::Stranger)
        }
    }

    /// The fileset's id.
    pub fn id(&self) -> FilesetId {
        FilesetId(blake3::derive_key(ID_DOMAIN, &self.encode()))
    }

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION);
        w.raw(self.owner.as_bytes());
        w.bytes(self.name.as_bytes());
        w.raw(&self.nonce);
        w.raw(self.signer.as_bytes());
        w.finish()
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(body);
        if r.u8()? != VERSION {
            return Err(DecodeError::Newer);
        }
        let owner = GroupId(r.array()?);
        let name = r.text("the name of a fileset", NAME_MAX_BYTES)?.to_owned();
        crate::path::check_name(&name)
            .map_err(|_| DecodeError::Invalid("the name of the fileset is no file name"))?;
        let genesis = Self {
            owner,
            name,
            nonce: r.array()?,
            signer: DeviceId(r.array()?),
        };
        r.finish()?;
        Ok(genesis)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key(n: u8) -> SigningKey {
        SigningKey::from_bytes(&[n; 32])
    }

    fn genesis(owner: GroupId) -> Genesis {
        Genesis {
            owner,
            name: "work".into(),
            nonce: [7; 16],
            signer: signature::device_of(&key(1)),
        }
    }

    #[test]
    fn it_goes_round_and_every_changed_bit_is_refused() {
        let genesis = genesis(GroupId([2; 32]));
        let bytes = genesis.clone().sign(&key(1));
        assert_eq!(Genesis::verify(&bytes), Ok(genesis));
        for at in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert!(Genesis::verify(&changed).is_err(), "bit {at}");
        }
    }

    #[test]
    fn the_id_is_pinned() {
        assert_eq!(
            genesis(GroupId([2; 32])).id().to_hex(),
            "02c01103dc9d41db1e90f03821580c5836a59fb0a12a97ad64f055c0874bc498"
        );
    }

    #[test]
    fn only_a_device_of_the_owner_can_sign() {
        let group = Group::found(&key(1), "laptop", [0; 16]).unwrap();
        let good = genesis(group.id());
        assert_eq!(good.check_owner(&group), Ok(()));
        let bytes = good.clone().sign(&key(2));
        let forged = Genesis::verify(&bytes).unwrap();
        assert_eq!(forged.check_owner(&group), Err(GenesisError::Stranger));
        let elsewhere = genesis(GroupId([3; 32]));
        assert_eq!(elsewhere.check_owner(&group), Err(GenesisError::Stranger));
    }
}
