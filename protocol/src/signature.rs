//! Signed bytes: a body, and behind it an Ed25519 signature (RFC 8032) over a domain and the body.

use crate::codec::DecodeError;
use crate::id::DeviceId;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

/// Bytes of a signature.
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// The signature is not that device's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WrongSignature;

/// The body with the key's signature at the end.
pub(crate) fn sign(domain: &[u8], mut body: Vec<u8>, key: &SigningKey) -> Vec<u8> {
    let signature = key.sign(&[domain, &body].concat());
    body.extend_from_slice(&signature.to_bytes());
    body
}

/// Body and signature.
pub(crate) fn split(signed: &[u8]) -> Result<(&[u8], &[u8; SIGNATURE_BYTES]), DecodeError> {
    signed.split_last_chunk().ok_or(DecodeError::Short)
}

/// Whether `device` signed `body` in this domain.
pub(crate) fn check(
    domain: &[u8],
    body: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
    device: &DeviceId,
) -> Result<(), WrongSignature> {
    let key = VerifyingKey::from_bytes(device.as_bytes()).map_err(|_| WrongSignature)?;
    key.verify_strict(&[domain, body].concat(), &Signature::from_bytes(signature))
        .map_err(|_| WrongSignature)
}

/// Whether signatures of this key can prove anything: it is a point, and none of small order.
pub(crate) fn is_sound(device: &DeviceId) -> bool {
    VerifyingKey::from_bytes(device.as_bytes()).is_ok_and(|key| !key.is_weak())
}

/// The device that has this key.
pub(crate) fn device_of(key: &SigningKey) -> DeviceId {
    DeviceId(key.verifying_key().to_bytes())
}
