//! After the handshake: six digits for people, and messages that only the two sides can read or write.

use super::PairingError;
use super::message::Message;
use crate::id::DeviceId;
use crate::signature;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use ed25519_dalek::SigningKey;
use std::fmt;

const GUEST_KEY_DOMAIN: &str = "shoal 2026 pairing guest key v1";
const HOST_KEY_DOMAIN: &str = "shoal 2026 pairing host key v1";
const CODE_DOMAIN: &str = "shoal 2026 pairing code v1";
const GUEST_PROOF_DOMAIN: &[u8] = b"shoal pairing guest v1\0";
const HOST_PROOF_DOMAIN: &[u8] = b"shoal pairing host v1\0";
const CODES: u64 = 1_000_000;

/// Six digits that both people see; equal only if nobody sits in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(u32);

/// Which side this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Guest,
    Host,
}

/// A pairing with common keys. Messages are sealed under a number each, so one that is repeated, left out or put in
/// another place does not open.
pub struct Session {
    role: Role,
    own: DeviceId,
    other: DeviceId,
    transcript: [u8; 32],
    code: Code,
    sending: Direction,
    receiving: Direction,
}

struct Direction {
    cipher: ChaCha20Poly1305,
    number: u64,
}

impl Session {
    pub(super) fn new(
        role: Role,
        own: DeviceId,
        other: DeviceId,
        master: &[u8; 32],
        transcript: [u8; 32],
    ) -> Self {
        let code = blake3::derive_key(CODE_DOMAIN, master);
        let code = code.first_chunk::<8>().copied().unwrap_or_default();
        let (guest, host) = (
            Direction::new(GUEST_KEY_DOMAIN, master),
            Direction::new(HOST_KEY_DOMAIN, master),
        );
        let (sending, receiving) = match role {
            Role::Guest => (guest, host),
            Role::Host => (host, guest),
        };
        Self {
            role,
            own,
            other,
            transcript,
            code: Code((u64::from_be_bytes(code) % CODES) as u32),
            sending,
            receiving,
        }
    }

    /// What people compare.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The device on the other side; proven once its introduction has been opened.
    pub fn other(&self) -> DeviceId {
        self.other
    }

    /// Proves to the other side that the key of this device is its own; part of the introduction.
    pub fn proof(&self, key: &SigningKey) -> [u8; 64] {
        let signed = signature::sign(self.role.proof_domain(), self.transcript.to_vec(), key);
        signed.last_chunk().copied().unwrap_or([0; 64])
    }

    /// Seals the next message.
    pub fn seal(&mut self, message: &Message) -> Vec<u8> {
        self.sending.seal(&message.encode())
    }

    /// Opens the next message; an introduction is checked against the other device's key.
    ///
    /// # Errors
    /// [`PairingError::Seal`], [`PairingError::Signature`], [`PairingError::Bytes`]. After an error nothing opens any
    /// more.
    pub fn open(&mut self, sealed: &[u8]) -> Result<Message, PairingError> {
        let message = Message::decode(&self.receiving.open(sealed)?)?;
        if let Message::Introduce { proof, .. } = &message {
            let domain = self.role.other().proof_domain();
            signature::check(domain, &self.transcript, proof, &self.other)
                .map_err(|_| PairingError::Signature)?;
        }
        Ok(message)
    }
}

/// Without its keys.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("role", &self.role)
            .field("own", &self.own)
            .field("other", &self.other)
            .finish_non_exhaustive()
    }
}

impl Role {
    fn other(self) -> Self {
        match self {
            Self::Guest => Self::Host,
            Self::Host => Self::Guest,
        }
    }

    fn proof_domain(self) -> &'static [u8] {
        match self {
            Self::Guest => GUEST_PROOF_DOMAIN,
            Self::Host => HOST_PROOF_DOMAIN,
        }
    }
}

impl Direction {
    fn new(domain: &str, master: &[u8; 32]) -> Self {
        Self {
            cipher: ChaCha20Poly1305::new(&blake3::derive_key(domain, master).into()),
            number: 0,
        }
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = [0; 12];
        let number = self.number.to_le_bytes();
        nonce
            .iter_mut()
            .zip(number)
            .for_each(|(to, from)| *to = from);
        self.number += 1;
        Nonce::from(nonce)
    }

    fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let nonce = self.nonce();
        // Fails above 256 GiB only.
        self.cipher.encrypt(&nonce, plain).unwrap_or_default()
    }

    fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, PairingError> {
        let nonce = self.nonce();
        self.cipher
            .decrypt(&nonce, sealed)
            .map_err(|_| PairingError::Seal)
    }
}

/// As people read it: `012 345`.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {:03}", self.0 / 1000, self.0 % 1000)
    }
}
