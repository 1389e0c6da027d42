//! Passwords of links: what is kept of one, and how a taker shows that it knows one without sending it.
//!
//! Argon2id (RFC 9106) makes a [`Key`] of a password and a link id; the rest is SCRAM (RFC 5802) with BLAKE3
//! instead of HMAC: the node keeps a [`Verifier`], from which neither password nor key follows, and a [`Proof`]
//! holds for one [`Challenge`] alone. Whoever listens in may still try passwords against what was heard, each
//! at the price of one Argon2id.

use crate::id::LinkId;
use argon2::{Algorithm, Argon2, Params, Version};
use std::fmt;

/// Bytes of a password.
pub const PASSWORD_MAX_BYTES: usize = 1024;
/// Memory of one derivation, in KiB: what OWASP advises for Argon2id with two passes and one lane.
pub const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

const SALT_DOMAIN: &str = "shoal 2026 password salt v1";
const KEY_DOMAIN: &str = "shoal 2026 password key v1";
const VERIFIER_DOMAIN: &str = "shoal 2026 password verifier v1";
const PROOF_DOMAIN: &[u8] = b"shoal password proof v1\0";

/// Why a text is no password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Nothing.
    #[error("a password has at least one character")]
    Empty,
    /// Too much.
    #[error("a password has at most {PASSWORD_MAX_BYTES} bytes")]
    Long,
}

/// What a password becomes for one link. Whoever has it can open the link.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

/// What a node keeps of a password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Verifier(pub [u8; 32]);

/// What a proof is made for. Over HTTP the node picks it, so that what was heard cannot be used again.
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a>(pub &'a [u8]);

/// Shows that its maker knows the password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Proof(pub [u8; 32]);

impl Challenge<'static> {
    /// Of the greeting over iroh: nobody but the issuer of the link can read what is sent there.
    pub const IROH: Self = Self(b"iroh");
}

impl Key {
    /// Takes tens of milliseconds and [`MEMORY_KIB`]. The salt is the link id's, so that the other side cannot
    /// choose one for which it has prepared.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub fn derive(password: &str, link: &LinkId) -> Result<Self, PasswordError> {
        if password.is_empty() {
            return Err(PasswordError::Empty);
        }
        if password.len() > PASSWORD_MAX_BYTES {
            return Err(PasswordError::Long);
        }
        let salt = blake3::derive_key(SALT_DOMAIN, link.as_bytes());
        let mut key = [0; 32];
        // The parameters are constants within Argon2's bounds, and the lengths were looked at above.
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(key.len()))
            .map_err(|_| PasswordError::Long)?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.as_bytes(), &salt, &mut key)
            .map_err(|_| PasswordError::Long)?;
        Ok(Self(blake3::derive_key(KEY_DOMAIN, &key)))
    }

    /// What the node keeps.
    pub fn verifier(&self) -> Verifier {
        Verifier(blake3::derive_key(VERIFIER_DOMAIN, &self.0))
    }

    /// Shows for this link and challenge that the password is known.
    pub fn prove(&self, link: &LinkId, challenge: Challenge<'_>) -> Proof {
        Proof(xor(self.0, mask(&self.verifier(), link, challenge)))
    }
}

impl Verifier {
    /// Whether a proof is of this password, in time that does not tell where it differs.
    pub fn accepts(&self, proof: &Proof, link: &LinkId, challenge: Challenge<'_>) -> bool {
        let key = Key(xor(proof.0, mask(self, link, challenge)));
        blake3::Hash::from_bytes(key.verifier().0) == blake3::Hash::from_bytes(self.0)
    }
}

fn mask(verifier: &Verifier, link: &LinkId, challenge: Challenge<'_>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(&verifier.0);
    hasher.update(PROOF_DOMAIN);
    hasher.update(link.as_bytes());
    hasher.update(challenge.0);
    *hasher.finalize().as_bytes()
}

fn xor(mut a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
    for (a, b) in a.iter_mut().zip(b) {
        *a ^= b;
    }
    a
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(..)")
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(..)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LINK: LinkId = LinkId([7; 16]);
    const OTHER: LinkId = LinkId([8; 16]);

    #[test]
    fn a_proof_holds_for_its_password_link_and_challenge_alone() {
        let key = Key::derive("correct horse", &LINK).unwrap();
        let verifier = key.verifier();
        let proof = key.prove(&LINK, Challenge(b"a"));
        assert!(verifier.accepts(&proof, &LINK, Challenge(b"a")));
        assert!(!verifier.accepts(&proof, &LINK, Challenge(b"b")));
        assert!(!verifier.accepts(&proof, &OTHER, Challenge(b"a")));
        let wrong = Key::derive("correct horsf", &LINK).unwrap();
        assert!(!verifier.accepts(&wrong.prove(&LINK, Challenge(b"a")), &LINK, Challenge(b"a")));
        for bit in 0..256 {
            let mut bent = proof;
            bent.0[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !verifier.accepts(&bent, &LINK, Challenge(b"a")),
                "bit {bit}"
            );
        }
    }

    /// Who reads the store cannot open the link with what is there.
    #[test]
    fn the_verifier_is_no_key() {
        let verifier = Key::derive("x", &LINK).unwrap().verifier();
        let stolen = Key(verifier.0).prove(&LINK, Challenge::IROH);
        assert!(!verifier.accepts(&stolen, &LINK, Challenge::IROH));
        let mask = mask(&verifier, &LINK, Challenge::IROH);
        assert!(!verifier.accepts(&Proof(mask), &LINK, Challenge::IROH));
    }

    #[test]
    fn the_same_password_is_another_key_for_another_link() {
        let a = Key::derive("x", &LINK).unwrap();
        assert_eq!(a, Key::derive("x", &LINK).unwrap());
        assert_ne!(a, Key::derive("x", &OTHER).unwrap());
        // Links out there depend on it: every step is part of the format.
        assert_eq!(
            data_encoding::HEXLOWER.encode(&a.verifier().0),
            "b163079483d842ff361440ce681527d6d1c1e84b6b0f431ae9050e500b393334"
        );
    }

    #[test]
    fn not_every_text_is_a_password() {
        assert_eq!(Key::derive("", &LINK), Err(PasswordError::Empty));
        let long = "x".repeat(PASSWORD_MAX_BYTES + 1);
        assert_eq!(Key::derive(&long, &LINK), Err(PasswordError::Long));
        assert!(Key::derive(&long[1..], &LINK).is_ok());
        assert_eq!(format!("{:?}", Key::derive("x", &LINK)), "Ok(Key(..))");
    }
}
