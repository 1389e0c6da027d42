//! What members tell each other on the ALPN `shoal/group/1`: what the other side may not know yet.

use crate::codec::{DecodeError, Reader, Writer};
use crate::group::check_device_name;
use crate::id::DeviceId;
use crate::limits::{DEVICE_NAME_MAX_BYTES, GROUP_MAX_MEMBERS, GROUP_NEWS_MAX_BYTES};
use crate::pairing::{decode_contacts, decode_records, encode_list};

/// The ALPN of members' news over iroh.
pub const ALPN: &[u8] = b"shoal/group/1";

const VERSION: u8 = 1;
const CODE_MAX_BYTES: usize = 16;

/// One message; each is about what changed since the last one of the same connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct News {
    /// Signed records of the log.
    pub records: Vec<Vec<u8>>,
    /// Signed contacts of members.
    pub contacts: Vec<Vec<u8>>,
    /// The devices that wait at the sender for a member to confirm them; none if that did not change.
    pub waiting: Option<Vec<WaitingDevice>>,
}

/// A device that brought an invite and waits to be confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingDevice {
    /// Its key.
    pub device: DeviceId,
    /// What it calls itself.
    pub name: String,
    /// The digits that it shows.
    pub code: String,
}

impl News {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.contacts.is_empty() && self.waiting.is_none()
    }

    /// Canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION);
        encode_list(&mut w, &self.records);
        encode_list(&mut w, &self.contacts);
        match &self.waiting {
            None => w.u8(0),
            Some(waiting) => {
                w.u8(1);
                w.uint(waiting.len() as u64);
                for one in waiting {
                    w.raw(one.device.as_bytes());
                    w.bytes(one.name.as_bytes());
                    w.bytes(one.code.as_bytes());
                }
            }
        }
        w.finish()
    }

    /// Reads canonical bytes; what is signed in them is not verified yet.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > GROUP_NEWS_MAX_BYTES {
            return Err(DecodeError::Limit {
                what: "a message of a member",
                limit: GROUP_NEWS_MAX_BYTES,
            });
        }
        let mut r = Reader::new(bytes);
        if r.u8()? != VERSION {
            return Err(DecodeError::Newer);
        }
        let records = decode_records(&mut r)?;
        let contacts = decode_contacts(&mut r)?;
        let waiting = match r.u8()? {
            0 => None,
            1 => {
                let count = r.count("the number of waiting devices", GROUP_MAX_MEMBERS)?;
                let waiting = (0..count).map(|_| decode_waiting(&mut r));
                Some(waiting.collect::<Result<_, _>>()?)
            }
            _ => return Err(DecodeError::Newer),
        };
        r.finish()?;
        Ok(Self {
            records,
            contacts,
            waiting,
        })
    }
}

fn decode_waiting(r: &mut Reader<'_>) -> Result<WaitingDevice, DecodeError> {
    let device = DeviceId(r.array()?);
    let name = r.text("a device's name", DEVICE_NAME_MAX_BYTES)?.to_owned();
    check_device_name(&name).map_err(|_| DecodeError::Invalid("a device's name is not allowed"))?;
    let code = r.text("a code", CODE_MAX_BYTES)?.to_owned();
    if !code.bytes().all(|b| b.is_ascii_digit() || b == b' ') {
        return Err(DecodeError::Invalid("a code has six digits"));
    }
    Ok(WaitingDevice { device, name, code })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_go_round() {
        let waiting = WaitingDevice {
            device: DeviceId([1; 32]),
            name: "phone".into(),
            code: "012 345".into(),
        };
        let news = News {
            records: vec![vec![1, 2], vec![3]],
            contacts: vec![vec![4; 9]],
            waiting: Some(vec![waiting]),
        };
        let bytes = news.encode();
        assert_eq!(News::decode(&bytes), Ok(news));
        for len in 0..bytes.len() {
            assert!(News::decode(&bytes[..len]).is_err(), "cut to {len}");
        }
        assert!(News::default().is_empty());
        assert_eq!(News::decode(&News::default().encode()), Ok(News::default()));
        let mut hidden = bytes;
        let at = hidden.len() - 1;
        hidden[at] = 0x1b;
        assert!(News::decode(&hidden).is_err(), "no escape in a code");
    }
}
