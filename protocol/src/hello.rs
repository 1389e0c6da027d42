//! The greeting of the ALPN `shoal/share/1`: who asks for which link, and the answer.

use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{LinkId, TakerToken};
use crate::limits::{CAPABILITY_MAX_BYTES, RECORD_MAX_BYTES};
use crate::password::Proof;

/// The ALPN of links over iroh.
pub const ALPN: &[u8] = b"shoal/share/1";

/// Bytes of a greeting or its answer, at most.
pub const GREETING_MAX_BYTES: usize = CAPABILITY_MAX_BYTES + RECORD_MAX_BYTES + 1024;

/// First message of a taker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The link that is to be read.
    pub link: LinkId,
    /// By which the taker counts once.
    pub taker: TakerToken,
    /// That the password is known, for [`crate::password::Challenge::IROH`]; only links with a password ask for it.
    pub proof: Option<Proof>,
}

/// First message of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Welcome {
    /// The link is served.
    Ready {
        /// Signed capability.
        capability: Vec<u8>,
        /// Signed content record.
        record: Vec<u8>,
    },
    /// Hashing goes on: ask again.
    Counting {
        /// Signed capability.
        capability: Vec<u8>,
    },
    /// Nothing is given.
    Refused(Refusal),
}

/// Why a link gives nothing. The numbers are on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum Refusal {
    /// No such link here.
    #[error("this link is not known here: ask for a new one")]
    Unknown = 1,
    /// Its owner ended it.
    #[error("this link was stopped by its owner: ask for a new one")]
    Stopped = 2,
    /// Its time is over.
    #[error("this link has expired: ask for a new one")]
    Expired = 3,
    /// All downloads were taken.
    #[error(
        "this link was made for a number of downloads, and all of them are taken: ask for a new one"
    )]
    UsedUp = 4,
    /// The files are not there at the moment.
    #[error("this link rests: its files cannot be read at the moment, try later")]
    Resting = 5,
    /// A password is needed first.
    #[error("this link needs a password")]
    Password = 6,
    /// The password that was given is not the right one.
    #[error("that is not the password of this link: try again, or ask whoever gave you the link")]
    WrongPassword = 7,
    /// Too many wrong passwords, from this address or for this link.
    #[error("too many wrong passwords were tried: wait a minute, then try again")]
    TooManyTries = 8,
}

impl Refusal {
    fn from_code(code: u8) -> Option<Self> {
        [
            Self::Unknown,
            Self::Stopped,
            Self::Expired,
            Self::UsedUp,
            Self::Resting,
            Self::Password,
            Self::WrongPassword,
            Self::TooManyTries,
        ]
        .into_iter()
        .find(|refusal| *refusal as u8 == code)
    }
}

impl Hello {
    /// Canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        // Without a proof the bytes are those that nodes of any version know.
        w.u8(if self.proof.is_some() { 2 } else { 1 });
        w.raw(self.link.as_bytes());
        w.raw(self.taker.as_bytes());
        if let Some(proof) = &self.proof {
            w.raw(&proof.0);
        }
        w.finish()
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let version = r.u8()?;
        if !matches!(version, 1 | 2) {
            return Err(DecodeError::Newer);
        }
        let hello = Self {
            link: LinkId(r.array()?),
            taker: TakerToken(r.array()?),
            proof: match version {
                1 => None,
                _ => Some(Proof(r.array()?)),
            },
        };
        r.finish()?;
        Ok(hello)
    }
}

impl Welcome {
    /// Canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Welcome::Ready { capability, record } => {
                w.u8(1);
                w.bytes(capability);
                w.bytes(record);
            }
            Welcome::Counting { capability } => {
                w.u8(2);
                w.bytes(capability);
            }
            Welcome::Refused(why) => {
                w.u8(3);
                w.u8(*why as u8);
            }
        }
        w.finish()
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let welcome = match r.u8()? {
            1 => Welcome::Ready {
                capability: r.bytes("capability", CAPABILITY_MAX_BYTES)?.to_vec(),
                record: r.bytes("content record", RECORD_MAX_BYTES)?.to_vec(),
            },
            2 => Welcome::Counting {
                capability: r.bytes("capability", CAPABILITY_MAX_BYTES)?.to_vec(),
            },
            3 => Welcome::Refused(Refusal::from_code(r.u8()?).ok_or(DecodeError::Newer)?),
            _ => return Err(DecodeError::Newer),
        };
        r.finish()?;
        Ok(welcome)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn greetings_go_round() {
        for proof in [None, Some(Proof([3; 32]))] {
            let hello = Hello {
                link: LinkId([1; 16]),
                taker: TakerToken([2; 16]),
                proof,
            };
            assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
        }
        for welcome in [
            Welcome::Ready {
                capability: vec![1, 2],
                record: vec![3],
            },
            Welcome::Counting { capability: vec![] },
            Welcome::Refused(Refusal::UsedUp),
            Welcome::Refused(Refusal::TooManyTries),
        ] {
            assert_eq!(Welcome::decode(&welcome.encode()), Ok(welcome));
        }
    }

    proptest! {
        #[test]
        fn what_decodes_has_one_encoding(bytes: Vec<u8>) {
            if let Ok(hello) = Hello::decode(&bytes) {
                prop_assert_eq!(hello.encode(), &bytes[..]);
            }
            if let Ok(welcome) = Welcome::decode(&bytes) {
                prop_assert_eq!(welcome.encode(), bytes);
            }
        }
    }
}
