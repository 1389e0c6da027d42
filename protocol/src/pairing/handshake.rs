//! From the first message to common keys: commitments, then ephemerals.

use super::PairingError;
use super::session::{Role, Session};
use crate::codec::{DecodeError, Reader, Writer};
use crate::id::DeviceId;
use crate::invite::{InviteRefusal, InviteSecret, InviteTag};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

const COMMIT_DOMAIN: &str = "shoal 2026 pairing commitment v1";
const TRANSCRIPT_DOMAIN: &str = "shoal 2026 pairing transcript v1";
const MASTER_DOMAIN: &str = "shoal 2026 pairing master v1";
const VERSION: u8 = 1;
const OFFER: u8 = 0;
const REFUSED: u8 = 1;
const REVEAL_BYTES: usize = 1 + 16 + 32;

/// A key pair for one pairing, and what blinds its commitment.
pub struct Ephemeral {
    secret: StaticSecret,
    blinding: [u8; 16],
}

/// The guest's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Which invite it brings.
    pub tag: InviteTag,
    /// Its key.
    pub device: DeviceId,
    commitment: [u8; 32],
}

/// The host's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its key.
    pub device: DeviceId,
    commitment: [u8; 32],
}

/// The device that brings an invite, after its hello.
pub struct Guest {
    secret: InviteSecret,
    ephemeral: Ephemeral,
    hello: Vec<u8>,
    device: DeviceId,
}

/// The guest, after its ephemeral key went out.
pub struct GuestRevealed {
    guest: Guest,
    offer: Offer,
    transcript: blake3::Hasher,
}

/// The device that made the invite, after its offer.
pub struct Host {
    secret: InviteSecret,
    ephemeral: Ephemeral,
    hello: Hello,
    device: DeviceId,
    transcript: blake3::Hasher,
}

impl Ephemeral {
    /// From random bytes that are used for nothing else.
    pub fn new(key: [u8; 32], blinding: [u8; 16]) -> Self {
        Self {
            secret: StaticSecret::from(key),
            blinding,
        }
    }

    fn reveal(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION);
        w.raw(&self.blinding);
        w.raw(PublicKey::from(&self.secret).as_bytes());
        w.finish()
    }

    fn commitment(&self) -> [u8; 32] {
        blake3::derive_key(COMMIT_DOMAIN, &self.reveal())
    }
}

impl Hello {
    /// Reads canonical bytes.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        if r.u8()? != VERSION {
            return Err(DecodeError::Newer);
        }
        let hello = Self {
            tag: InviteTag(r.array()?),
            device: DeviceId(r.array()?),
            commitment: r.array()?,
        };
        r.finish()?;
        Ok(hello)
    }

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION);
        w.raw(&self.tag.0);
        w.raw(self.device.as_bytes());
        w.raw(&self.commitment);
        w.finish()
    }
}

impl Offer {
    /// The bytes that tell a guest that its invite opens nothing.
    pub fn refusal(refusal: InviteRefusal) -> Vec<u8> {
        vec![VERSION, REFUSED, refusal as u8]
    }

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION);
        w.u8(OFFER);
        w.raw(self.device.as_bytes());
        w.raw(&self.commitment);
        w.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, PairingError> {
        let mut r = Reader::new(bytes);
        if r.u8()? != VERSION {
            return Err(DecodeError::Newer.into());
        }
        match r.u8()? {
            OFFER => {
                let offer = Self {
                    device: DeviceId(r.array()?),
                    commitment: r.array()?,
                };
                r.finish()?;
                Ok(offer)
            }
            REFUSED => {
                let refusal = InviteRefusal::from_code(r.u8()?).ok_or(DecodeError::Newer)?;
                Err(refusal.into())
            }
            _ => Err(DecodeError::Newer.into()),
        }
    }
}

impl Guest {
    /// Begins, and returns the hello to send.
    pub fn new(secret: InviteSecret, device: DeviceId, ephemeral: Ephemeral) -> (Self, Vec<u8>) {
        let hello = Hello {
            tag: secret.tag(),
            device,
            commitment: ephemeral.commitment(),
        };
        let hello = hello.encode();
        let guest = Self {
            secret,
            ephemeral,
            hello: hello.clone(),
            device,
        };
        (guest, hello)
    }

    /// Takes the host's answer, and returns what reveals the ephemeral key.
    ///
    /// # Errors
    /// [`PairingError::Invite`] if the host refuses, [`PairingError::Oneself`], [`PairingError::Bytes`].
    pub fn offered(self, bytes: &[u8]) -> Result<(GuestRevealed, Vec<u8>), PairingError> {
        let offer = Offer::decode(bytes)?;
        if offer.device == self.device {
            return Err(PairingError::Oneself);
        }
        let mut transcript = blake3::Hasher::new_derive_key(TRANSCRIPT_DOMAIN);
        add(&mut transcript, &self.hello);
        add(&mut transcript, bytes);
        let reveal = self.ephemeral.reveal();
        add(&mut transcript, &reveal);
        let revealed = GuestRevealed {
            guest: self,
            offer,
            transcript,
        };
        Ok((revealed, reveal))
    }
}

impl GuestRevealed {
    /// Takes the host's ephemeral key: from here on messages are sealed.
    ///
    /// # Errors
    /// [`PairingError::Commitment`], [`PairingError::WeakKey`], [`PairingError::Bytes`].
    pub fn revealed(mut self, bytes: &[u8]) -> Result<Session, PairingError> {
        let public = opened(bytes, &self.offer.commitment)?;
        add(&mut self.transcript, bytes);
        let Guest {
            secret,
            ephemeral,
            device,
            ..
        } = self.guest;
        let keys = Keys::new(&ephemeral, &public, &secret, &self.transcript)?;
        Ok(keys.session(Role::Guest, device, self.offer.device))
    }
}

impl Host {
    /// Answers a hello for an invite with this secret, and returns the offer to send.
    ///
    /// # Errors
    /// [`PairingError::Oneself`]; [`PairingError::Invite`] if the secret is of another invite.
    pub fn new(
        secret: InviteSecret,
        device: DeviceId,
        ephemeral: Ephemeral,
        hello: Hello,
    ) -> Result<(Self, Vec<u8>), PairingError> {
        if hello.device == device {
            return Err(PairingError::Oneself);
        }
        if hello.tag != secret.tag() {
            return Err(InviteRefusal::Unknown.into());
        }
        let offer = Offer {
            device,
            commitment: ephemeral.commitment(),
        };
        let offer = offer.encode();
        let mut transcript = blake3::Hasher::new_derive_key(TRANSCRIPT_DOMAIN);
        add(&mut transcript, &hello.encode());
        add(&mut transcript, &offer);
        let host = Self {
            secret,
            ephemeral,
            hello,
            device,
            transcript,
        };
        Ok((host, offer))
    }

    /// Takes the guest's ephemeral key, and returns what reveals the own one: from here on messages are sealed.
    ///
    /// # Errors
    /// [`PairingError::Commitment`], [`PairingError::WeakKey`], [`PairingError::Bytes`].
    pub fn revealed(mut self, bytes: &[u8]) -> Result<(Session, Vec<u8>), PairingError> {
        let public = opened(bytes, &self.hello.commitment)?;
        let reveal = self.ephemeral.reveal();
        add(&mut self.transcript, bytes);
        add(&mut self.transcript, &reveal);
        let keys = Keys::new(&self.ephemeral, &public, &self.secret, &self.transcript)?;
        let session = keys.session(Role::Host, self.device, self.hello.device);
        Ok((session, reveal))
    }
}

/// What both sides have in common after the reveals.
struct Keys {
    master: Zeroizing<[u8; 32]>,
    transcript: [u8; 32],
}

impl Keys {
    fn new(
        ephemeral: &Ephemeral,
        public: &PublicKey,
        secret: &InviteSecret,
        transcript: &blake3::Hasher,
    ) -> Result<Self, PairingError> {
        let shared = ephemeral.secret.diffie_hellman(public);
        if !shared.was_contributory() {
            return Err(PairingError::WeakKey);
        }
        let transcript = *transcript.finalize().as_bytes();
        let mut hasher = blake3::Hasher::new_derive_key(MASTER_DOMAIN);
        hasher.update(shared.as_bytes());
        hasher.update(&secret.0);
        hasher.update(&transcript);
        let master = Zeroizing::new(*hasher.finalize().as_bytes());
        Ok(Self { master, transcript })
    }

    fn session(self, role: Role, own: DeviceId, other: DeviceId) -> Session {
        Session::new(role, own, other, &self.master, self.transcript)
    }
}

/// Length and bytes, so that no two rows of messages are hashed alike.
fn add(transcript: &mut blake3::Hasher, message: &[u8]) {
    transcript.update(&(message.len() as u64).to_le_bytes());
    transcript.update(message);
}

/// The public key that a reveal opens, if it is the one that was committed to.
fn opened(reveal: &[u8], commitment: &[u8; 32]) -> Result<PublicKey, PairingError> {
    if reveal.len() != REVEAL_BYTES {
        return Err(DecodeError::Short.into());
    }
    if blake3::derive_key(COMMIT_DOMAIN, reveal) != *commitment {
        return Err(PairingError::Commitment);
    }
    let (_, public) = reveal
        .split_last_chunk::<32>()
        .ok_or(PairingError::Commitment)?;
    Ok(PublicKey::from(*public))
}
