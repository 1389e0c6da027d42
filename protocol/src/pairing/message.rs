//! What two devices tell each other once nobody else can read it.

use crate::codec::{DecodeError, Reader, Writer};
use crate::group::check_device_name;
use crate::id::GroupId;
use crate::limits::{
    CONTACT_MAX_BYTES, DEVICE_NAME_MAX_BYTES, GROUP_MAX_MEMBERS, GROUP_MAX_RECORDS,
    GROUP_RECORD_MAX_BYTES,
};

const INTRODUCE: u8 = 0;
const AGREE: u8 = 1;
const WELCOME: u8 = 2;
const JOINED: u8 = 3;
const DECLINE: u8 = 4;

/// A sealed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The first of each side.
    Introduce {
        /// What the device is called.
        name: String,
        /// The group that it belongs to already.
        group: Option<GroupId>,
        /// See [`super::Session::proof`].
        proof: [u8; 64],
    },
    /// The person at the guest has seen the same digits on both.
    Agree,
    /// A member has confirmed the guest.
    Welcome {
        /// Signed records of the group's log.
        log: Vec<Vec<u8>>,
        /// Signed contacts of its members.
        contacts: Vec<Vec<u8>>,
    },
    /// The guest has kept the log.
    Joined {
        /// Its signed contact.
        contact: Vec<u8>,
    },
    /// It ends here.
    Decline(Declined),
}

/// Why a device does not pair. The numbers are on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum Declined {
    /// A person said no.
    #[error(
        "somebody refused it on the other device; if that was a mistake, make a new invite with `shoal pair`"
    )]
    ByPerson = 1,
    /// The guest belongs to another group.
    #[error(
        "the two devices belong to different groups already; one has to leave its group first: `shoal devices remove` with its own name"
    )]
    OtherGroup = 2,
    /// Nobody confirmed in time.
    #[error("nobody confirmed it in time; make a new invite with `shoal pair`")]
    TooLate = 3,
    /// The group cannot take it.
    #[error("the group on the other device cannot take it; see `shoal logs` there")]
    Failed = 4,
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Self::Introduce { name, group, proof } => {
                w.u8(INTRODUCE);
                w.bytes(name.as_bytes());
                match group {
                    None => w.u8(0),
                    Some(group) => {
                        w.u8(1);
                        w.raw(group.as_bytes());
                    }
                }
                w.raw(proof);
            }
            Self::Agree => w.u8(AGREE),
            Self::Welcome { log, contacts } => {
                w.u8(WELCOME);
                encode_list(&mut w, log);
                encode_list(&mut w, contacts);
            }
            Self::Joined { contact } => {
                w.u8(JOINED);
                w.bytes(contact);
            }
            Self::Decline(why) => {
                w.u8(DECLINE);
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
        let message = match r.u8()? {
            INTRODUCE => decode_introduction(&mut r)?,
            AGREE => Self::Agree,
            WELCOME => Self::Welcome {
                log: decode_records(&mut r)?,
                contacts: decode_contacts(&mut r)?,
            },
            JOINED => Self::Joined {
                contact: r.bytes("a contact", CONTACT_MAX_BYTES)?.to_vec(),
            },
            DECLINE => Self::Decline(match r.u8()? {
                1 => Declined::ByPerson,
                2 => Declined::OtherGroup,
                3 => Declined::TooLate,
                4 => Declined::Failed,
                _ => return Err(DecodeError::Newer),
            }),
            _ => return Err(DecodeError::Newer),
        };
        r.finish()?;
        Ok(message)
    }
}

fn decode_introduction(r: &mut Reader<'_>) -> Result<Message, DecodeError> {
    let name = r.text("a device's name", DEVICE_NAME_MAX_BYTES)?.to_owned();
    check_device_name(&name).map_err(|_| DecodeError::Invalid("a device's name is not allowed"))?;
    let group = match r.u8()? {
        0 => None,
        1 => Some(GroupId(r.array()?)),
        _ => return Err(DecodeError::Newer),
    };
    let proof = r.array()?;
    Ok(Message::Introduce { name, group, proof })
}

/// Count, then each with its length.
pub(crate) fn encode_list(w: &mut Writer, items: &[Vec<u8>]) {
    w.uint(items.len() as u64);
    items.iter().for_each(|item| w.bytes(item));
}

pub(crate) fn decode_records(r: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, DecodeError> {
    let what = "a record of the group";
    decode_list(r, GROUP_MAX_RECORDS, what, GROUP_RECORD_MAX_BYTES)
}

pub(crate) fn decode_contacts(r: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, DecodeError> {
    decode_list(r, GROUP_MAX_MEMBERS, "a contact", CONTACT_MAX_BYTES)
}

fn decode_list(
    r: &mut Reader<'_>,
    limit: usize,
    what: &'static str,
    limit_bytes: usize,
) -> Result<Vec<Vec<u8>>, DecodeError> {
    let count = r.count(what, limit)?;
    (0..count)
        .map(|_| r.bytes(what, limit_bytes).map(<[u8]>::to_vec))
        .collect()
}
