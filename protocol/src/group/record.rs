//! One record of a group's log: its canonical bytes and its signature.

use super::GroupError;
use crate::codec::{DecodeError, Reader, Writer};
use crate::display::escape;
use crate::id::{DeviceId, FilesetId, RecordHash};
use crate::limits::{
    DEVICE_NAME_MAX_BYTES, GROUP_MAX_ACCEPTED, GROUP_MAX_PARENTS, GROUP_RECORD_MAX_BYTES,
};
use crate::signature;
use ed25519_dalek::SigningKey;

const DOMAIN: &[u8] = b"shoal group record v1\0";
const HASH_DOMAIN: &str = "shoal 2026 group record hash v1";
const VERSION: u8 = 1;

const FOUND: u8 = 0;
const ADMIT: u8 = 1;
const REMOVE: u8 = 2;
const RENAME: u8 = 3;

/// What a member said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The member that signed it.
    pub author: DeviceId,
    /// The newest records that the author knew, sorted; none for the first record alone.
    pub parents: Vec<RecordHash>,
    /// What it says.
    pub statement: Statement,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// The first record: its author is the first member.
    Found {
        /// Random bytes, so that a device can found more than one group in its life.
        nonce: [u8; 16],
        /// The author's name.
        name: String,
    },
    /// A device becomes a member.
    Admit {
        /// Which.
        device: DeviceId,
        /// Its name.
        name: String,
    },
    /// A device is a member no more.
    Remove {
        /// Which; the author itself if it leaves.
        device: DeviceId,
        /// What the author had accepted from it, sorted by fileset and epoch.
        accepted: Vec<Accepted>,
    },
    /// A member gets another name.
    Rename {
        /// Which.
        device: DeviceId,
        /// Its name from now on.
        name: String,
    },
}

/// Up to where changes of a removed device are accepted, in one fileset and index epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Accepted {
    /// The fileset.
    pub fileset: FilesetId,
    /// The index epoch of the removed device.
    pub epoch: u32,
    /// The last accepted counter.
    pub counter: u64,
}

impl Record {
    /// Canonical bytes with the signature of `key` at the end; `author` becomes its device.
    pub fn sign(mut self, key: &SigningKey) -> Vec<u8> {
        self.author = signature::device_of(key);
        signature::sign(DOMAIN, self.encode(), key)
    }

    /// Reads signed bytes and checks their signature, but not whether the author may say that.
    ///
    /// # Errors
    /// [`GroupError::Bytes`] or [`GroupError::Signature`].
    pub fn verify(bytes: &[u8]) -> Result<(Self, RecordHash), GroupError> {
        if bytes.len() > GROUP_RECORD_MAX_BYTES {
            return Err(DecodeError::Limit {
                what: "a record of the group",
                limit: GROUP_RECORD_MAX_BYTES,
            }
            .into());
        }
        let (body, signed) = signature::split(bytes)?;
        let record = Self::decode(body)?;
        signature::check(DOMAIN, body, signed, &record.author)
            .map_err(|_| GroupError::Signature)?;
        Ok((record, hash_of(body)))
    }

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION);
        w.raw(self.author.as_bytes());
        w.uint(self.parents.len() as u64);
        for parent in &self.parents {
            w.raw(parent.as_bytes());
        }
        match &self.statement {
            Statement::Found { nonce, name } => {
                w.u8(FOUND);
                w.raw(nonce);
                w.bytes(name.as_bytes());
            }
            Statement::Admit { device, name } => {
                w.u8(ADMIT);
                w.raw(device.as_bytes());
                w.bytes(name.as_bytes());
            }
            Statement::Remove { device, accepted } => {
                w.u8(REMOVE);
                w.raw(device.as_bytes());
                w.uint(accepted.len() as u64);
                for one in accepted {
                    w.raw(one.fileset.as_bytes());
                    w.uint(one.epoch.into());
                    w.uint(one.counter);
                }
            }
            Statement::Rename { device, name } => {
                w.u8(RENAME);
                w.raw(device.as_bytes());
                w.bytes(name.as_bytes());
            }
        }
        w.finish()
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(body);
        if r.u8()? != VERSION {
            return Err(DecodeError::Newer);
        }
        let author = DeviceId(r.array()?);
        let count = r.count("the number of parents", GROUP_MAX_PARENTS)?;
        let parents = (0..count)
            .map(|_| r.array().map(RecordHash))
            .collect::<Result<Vec<_>, _>>()?;
        if !parents.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::NotCanonical);
        }
        let statement = decode_statement(&mut r)?;
        r.finish()?;
        if parents.is_empty() != matches!(statement, Statement::Found { .. }) {
            return Err(DecodeError::Invalid(
                "the first record of a group alone has no parents",
            ));
        }
        Ok(Self {
            author,
            parents,
            statement,
        })
    }
}

/// A name that a device may have: 1 to 64 bytes, no spaces around it, nothing invisible in it.
///
/// # Errors
/// [`GroupError::Name`].
pub fn check_device_name(name: &str) -> Result<(), GroupError> {
    let good = !name.is_empty()
        && name.len() <= DEVICE_NAME_MAX_BYTES
        && name.trim() == name
        && escape(name) == name;
    good.then_some(()).ok_or(GroupError::Name)
}

/// The hash of a signed record, whether it is a good one or not; none if it is too short for a signature.
pub fn hash(signed: &[u8]) -> Option<RecordHash> {
    signature::split(signed).ok().map(|(body, _)| hash_of(body))
}

/// By its bytes without the signature.
fn hash_of(body: &[u8]) -> RecordHash {
    RecordHash(blake3::derive_key(HASH_DOMAIN, body))
}

fn decode_statement(r: &mut Reader<'_>) -> Result<Statement, DecodeError> {
    Ok(match r.u8()? {
        FOUND => Statement::Found {
            nonce: r.array()?,
            name: decode_name(r)?,
        },
        ADMIT => Statement::Admit {
            device: decode_device(r)?,
            name: decode_name(r)?,
        },
        REMOVE => {
            let device = decode_device(r)?;
            let count = r.count("the number of counters", GROUP_MAX_ACCEPTED)?;
            let accepted = (0..count)
                .map(|_| {
                    Ok(Accepted {
                        fileset: FilesetId(r.array()?),
                        epoch: u32::try_from(r.uint()?)
                            .map_err(|_| DecodeError::Invalid("an epoch is too high"))?,
                        counter: r.uint()?,
                    })
                })
                .collect::<Result<Vec<_>, DecodeError>>()?;
            let key = |one: &Accepted| (one.fileset, one.epoch);
            if !accepted.is_sorted_by(|a, b| key(a) < key(b)) {
                return Err(DecodeError::NotCanonical);
            }
            Statement::Remove { device, accepted }
        }
        RENAME => Statement::Rename {
            device: decode_device(r)?,
            name: decode_name(r)?,
        },
        _ => return Err(DecodeError::Newer),
    })
}

fn decode_device(r: &mut Reader<'_>) -> Result<DeviceId, DecodeError> {
    let device = DeviceId(r.array()?);
    if !signature::is_sound(&device) {
        return Err(DecodeError::Invalid("a device has a key that is none"));
    }
    Ok(device)
}

fn decode_name(r: &mut Reader<'_>) -> Result<String, DecodeError> {
    let name = r.text("a device's name", DEVICE_NAME_MAX_BYTES)?;
    check_device_name(name).map_err(|_| DecodeError::Invalid("a device's name is not allowed"))?;
    Ok(name.to_owned())
}
