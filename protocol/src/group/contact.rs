//! Where a device can be reached, as it says itself: signed, so that any member may pass it on.

use crate::codec::{DecodeError, Reader, Writer};
use crate::id::DeviceId;
use crate::limits::{CONTACT_MAX_ADDRESSES, CONTACT_MAX_BYTES};
use crate::signature;
use ed25519_dalek::SigningKey;
use std::net::SocketAddr;

const DOMAIN: &[u8] = b"shoal contact v1\0";
const VERSION: u8 = 2;
/// Told no relays.
const VERSION_WITHOUT_RELAYS: u8 = 1;
const SAME: u8 = 0;
const OTHERS: u8 = 1;
const V4: u8 = 4;
const V6: u8 = 6;

/// Why bytes are no contact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContactError {
    /// The bytes are malformed.
    #[error("the addresses of a device are damaged: {0}")]
    Bytes(#[from] DecodeError),
    /// The signature is not the device's.
    #[error("the addresses of a device were changed on the way: their signature is wrong")]
    Signature,
}

/// Where a device's iroh endpoint answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Whose they are.
    pub device: DeviceId,
    /// When the device said so, milliseconds since 1970 by its own clock: the highest holds.
    pub said_ms: u64,
    /// Over UDP, best first.
    pub addresses: Vec<SocketAddr>,
    /// TCP ports at which its relay answers, best first.
    pub relays: Vec<SocketAddr>,
}

impl Contact {
    /// Canonical bytes with the signature of `key` at the end; `device` becomes that of the key, and addresses over the
    /// limit are left out.
    pub fn sign(mut self, key: &SigningKey) -> Vec<u8> {
        self.device = signature::device_of(key);
        self.addresses.truncate(CONTACT_MAX_ADDRESSES);
        self.relays.truncate(CONTACT_MAX_ADDRESSES);
        let mut w = Writer::new();
        w.u8(VERSION);
        w.raw(self.device.as_bytes());
        w.uint(self.said_ms);
        encode_addresses(&mut w, &self.addresses);
        encode_relays(&mut w, &self.relays, &self.addresses);
        signature::sign(DOMAIN, w.finish(), key)
    }

    /// Reads and verifies signed bytes.
    ///
    /// # Errors
    /// See [`ContactError`].
    pub fn verify(bytes: &[u8]) -> Result<Self, ContactError> {
        if bytes.len() > CONTACT_MAX_BYTES {
            return Err(DecodeError::Limit {
                what: "the addresses of a device",
                limit: CONTACT_MAX_BYTES,
            }
            .into());
        }
        let (body, signed) = signature::split(bytes)?;
        let mut r = Reader::new(body);
        let version = r.u8()?;
        if version != VERSION && version != VERSION_WITHOUT_RELAYS {
            return Err(DecodeError::Newer.into());
        }
        let mut contact = Self {
            device: DeviceId(r.array()?),
            said_ms: r.uint()?,
            addresses: decode_addresses(&mut r, CONTACT_MAX_ADDRESSES)?,
            relays: Vec::new(),
        };
        if version == VERSION {
            contact.relays = decode_relays(&mut r, &contact.addresses, CONTACT_MAX_ADDRESSES)?;
        }
        r.finish()?;
        signature::check(DOMAIN, body, signed, &contact.device)
            .map_err(|_| ContactError::Signature)?;
        Ok(contact)
    }
}

/// Count, then each as its family, bytes and port.
pub(crate) fn encode_addresses(w: &mut Writer, addresses: &[SocketAddr]) {
    w.uint(addresses.len() as u64);
    for address in addresses {
        match address {
            SocketAddr::V4(v4) => {
                w.u8(V4);
                w.raw(&v4.ip().octets());
            }
            SocketAddr::V6(v6) => {
                w.u8(V6);
                w.raw(&v6.ip().octets());
            }
        }
        w.raw(&address.port().to_be_bytes());
    }
}

pub(crate) fn decode_addresses(
    r: &mut Reader<'_>,
    limit: usize,
) -> Result<Vec<SocketAddr>, DecodeError> {
    let count = r.count("the number of addresses", limit)?;
    let mut addresses = Vec::with_capacity(count);
    for _ in 0..count {
        let ip = match r.u8()? {
            V4 => std::net::IpAddr::from(r.array::<4>()?),
            V6 => std::net::IpAddr::from(r.array::<16>()?),
            _ => return Err(DecodeError::Newer),
        };
        let port = u16::from_be_bytes(r.array()?);
        if port == 0 {
            return Err(DecodeError::Invalid("an address has no port"));
        }
        addresses.push(SocketAddr::new(ip, port));
    }
    Ok(addresses)
}

/// Most devices have the same numbers for TCP and UDP; then that is all that is said.
pub(crate) fn encode_relays(w: &mut Writer, relays: &[SocketAddr], addresses: &[SocketAddr]) {
    if relays == addresses {
        w.u8(SAME);
    } else {
        w.u8(OTHERS);
        encode_addresses(w, relays);
    }
}

pub(crate) fn decode_relays(
    r: &mut Reader<'_>,
    addresses: &[SocketAddr],
    limit: usize,
) -> Result<Vec<SocketAddr>, DecodeError> {
    match r.u8()? {
        SAME => Ok(addresses.to_vec()),
        OTHERS => {
            let relays = decode_addresses(r, limit)?;
            if relays == addresses {
                return Err(DecodeError::Invalid("addresses are said twice"));
            }
            Ok(relays)
        }
        _ => Err(DecodeError::Newer),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_goes_round_and_every_changed_bit_is_refused() {
        let key = SigningKey::from_bytes(&[4; 32]);
        let contact = Contact {
            device: signature::device_of(&key),
            said_ms: 1 << 40,
            addresses: vec![
                "192.0.2.1:7462".parse().unwrap(),
                "[2001:db8::1]:1".parse().unwrap(),
            ],
            relays: vec!["192.0.2.1:443".parse().unwrap()],
        };
        let bytes = contact.clone().sign(&key);
        assert_eq!(Contact::verify(&bytes), Ok(contact.clone()));
        for at in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert!(Contact::verify(&changed).is_err(), "bit {at}");
        }
        let many = Contact {
            addresses: vec!["[2001:db8::1]:1".parse().unwrap(); 99],
            relays: vec!["[2001:db8::2]:1".parse().unwrap(); 99],
            ..contact
        };
        let bytes = many.sign(&key);
        let read = Contact::verify(&bytes).unwrap();
        assert_eq!(read.addresses.len(), CONTACT_MAX_ADDRESSES);
        assert_eq!(read.relays.len(), CONTACT_MAX_ADDRESSES);
    }

    #[test]
    fn one_number_for_tcp_and_udp_is_said_once() {
        let key = SigningKey::from_bytes(&[4; 32]);
        let addresses = vec!["192.0.2.1:7462".parse().unwrap()];
        let contact = Contact {
            device: signature::device_of(&key),
            said_ms: 7,
            relays: addresses.clone(),
            addresses,
        };
        let same = contact.clone().sign(&key);
        let none = Contact {
            relays: Vec::new(),
            ..contact.clone()
        };
        let without = none.clone().sign(&key);
        assert_eq!(same.len() + 1, without.len(), "a count of none");
        assert_eq!(Contact::verify(&same), Ok(contact));
        assert_eq!(Contact::verify(&without), Ok(none));
    }

    #[test]
    fn a_contact_of_the_first_version_has_no_relays() {
        let key = SigningKey::from_bytes(&[4; 32]);
        let addresses = vec!["192.0.2.1:7462".parse().unwrap()];
        let mut w = Writer::new();
        w.u8(VERSION_WITHOUT_RELAYS);
        w.raw(signature::device_of(&key).as_bytes());
        w.uint(7);
        encode_addresses(&mut w, &addresses);
        let read = Contact::verify(&signature::sign(DOMAIN, w.finish(), &key)).unwrap();
        assert_eq!((read.addresses, read.relays), (addresses, Vec::new()));
    }
}
