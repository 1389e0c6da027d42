//! Where the inviting device is: in the link, or asked for by whoever knows the secret.
//!
//! Words carry no key. Whoever has them and an address asks there by the invite's tag, and gets this, sealed
//! under the secret: nobody else learns which device it is, or can answer in its place.

use super::{InviteSecret, InviteTag};
use crate::codec::{DecodeError, Reader, Writer};
use crate::group::{decode_addresses, decode_relays, encode_addresses, encode_relays};
use crate::id::DeviceId;
use crate::limits::INVITE_MAX_ADDRESSES;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use std::net::SocketAddr;

const KEY_DOMAIN: &str = "shoal 2026 invite whereabouts v1";
const NONCE_BYTES: usize = 12;
/// Bytes of sealed whereabouts, at most.
pub const SEALED_MAX_BYTES: usize = 640;

/// Where the inviting device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// Its key.
    pub device: DeviceId,
    /// Of its iroh endpoint, best first, at most 8.
    pub addresses: Vec<SocketAddr>,
    /// TCP ports at which its relay answers, best first, at most 8.
    pub relays: Vec<SocketAddr>,
}

/// Why an answer gives no whereabouts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhereaboutsError {
    /// Not sealed under this secret.
    #[error("what answers there does not know this invite")]
    Seal,
    /// Sealed rightly, and no whereabouts.
    #[error("the other device answers with something else: {0}")]
    Bytes(#[from] DecodeError),
}

impl Whereabouts {
    /// Seals them for whoever knows the secret. `nonce` is random and never used twice.
    pub fn seal(&self, secret: &InviteSecret, nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        let mut w = Writer::new();
        self.encode(&mut w);
        let body = w.finish();
        let payload = Payload {
            msg: &body,
            aad: &secret.tag().0,
        };
        let sealed = cipher(secret).encrypt(&Nonce::from(nonce), payload);
        // Fails above 256 GiB only.
        [nonce.as_slice(), &sealed.unwrap_or_default()].concat()
    }

    /// Opens what was sealed under this secret.
    ///
    /// # Errors
    /// See [`WhereaboutsError`].
    pub fn open(secret: &InviteSecret, sealed: &[u8]) -> Result<Self, WhereaboutsError> {
        let (nonce, sealed) = sealed
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(WhereaboutsError::Seal)?;
        let InviteTag(tag) = secret.tag();
        let payload = Payload {
            msg: sealed,
            aad: &tag,
        };
        let body = cipher(secret)
            .decrypt(&Nonce::from(*nonce), payload)
            .map_err(|_| WhereaboutsError::Seal)?;
        let mut r = Reader::new(&body);
        let found = Self::decode(&mut r)?;
        r.finish()?;
        Ok(found)
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.raw(self.device.as_bytes());
        let addresses = fitting(&self.addresses);
        encode_addresses(w, addresses);
        encode_relays(w, fitting(&self.relays), addresses);
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let device = DeviceId(r.array()?);
        let addresses = decode_addresses(r, INVITE_MAX_ADDRESSES)?;
        let relays = decode_relays(r, &addresses, INVITE_MAX_ADDRESSES)?;
        Ok(Self {
            device,
            addresses,
            relays,
        })
    }
}

fn fitting(addresses: &[SocketAddr]) -> &[SocketAddr] {
    addresses.get(..INVITE_MAX_ADDRESSES).unwrap_or(addresses)
}

fn cipher(secret: &InviteSecret) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&blake3::derive_key(KEY_DOMAIN, &secret.0).into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_secret_opens_them() {
        let here = Whereabouts {
            device: DeviceId([9; 32]),
            addresses: vec!["[2001:db8::1]:7462".parse().unwrap(); 20],
            relays: vec!["[2001:db8::1]:7463".parse().unwrap(); 20],
        };
        let secret = InviteSecret([1; 16]);
        let sealed = here.seal(&secret, [2; 12]);
        assert!(sealed.len() <= SEALED_MAX_BYTES);
        let opened = Whereabouts::open(&secret, &sealed).unwrap();
        assert_eq!(opened.addresses.len(), INVITE_MAX_ADDRESSES);
        assert_eq!(opened.device, here.device);
        let other = InviteSecret([2; 16]);
        assert_eq!(
            Whereabouts::open(&other, &sealed),
            Err(WhereaboutsError::Seal)
        );
        for at in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert!(Whereabouts::open(&secret, &changed).is_err(), "bit {at}");
        }
        assert!(Whereabouts::open(&secret, &[]).is_err());
    }
}
