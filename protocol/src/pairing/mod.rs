//! How two devices that share an invite's secret come to trust each other's keys.
//!
//! ```text
//! guest                                       host (it made the invite)
//!   Hello: tag of the invite, key, commitment ->
//!                                           <- Offer: key, commitment
//!   Reveal: ephemeral key, blinding         ->
//!                                           <- Reveal: ephemeral key, blinding
//! from here on sealed:
//!   Introduce: name, group, signature       ->
//!                                           <- Introduce
//! both show the same six digits
//!   Agree: its person has compared them     ->
//!                                           <- Welcome: the group's log, once a member confirmed
//!   Joined: where it can be reached         ->
//! ```
//!
//! The keys come from X25519 of both ephemerals, the secret, and all that was said. A stranger in the middle who does not
//! know the secret cannot seal anything. One who does know it has other ephemerals on its two sides, and both sides
//! committed to theirs before they saw the other's, so it has one try in a million that the digits agree.
//! Signatures over the transcript bind the long-lived keys of both devices, whatever carries the messages.
//!
//! Each step consumes the one before it, so nothing can be said twice. Randomness is passed in.

mod handshake;
mod message;
mod session;
#[cfg(test)]
mod tests;

pub use handshake::{Ephemeral, Guest, GuestRevealed, Hello, Host, Offer};
pub use message::{Declined, Message};
pub(crate) use message::{decode_contacts, decode_records, encode_list};
pub use session::{Code, Session};

use crate::codec::DecodeError;
use crate::invite::InviteRefusal;

/// The ALPN of pairing over iroh.
pub const ALPN: &[u8] = b"shoal/pair/1";

/// Why two devices do not pair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairingError {
    /// The bytes are malformed.
    #[error("the other device said something that makes no sense: {0}")]
    Bytes(#[from] DecodeError),
    /// The invite opens nothing there.
    #[error(transparent)]
    Invite(#[from] InviteRefusal),
    /// The other side is this device itself.
    #[error("this invite was made by this very device; bring it to another one")]
    Oneself,
    /// What was revealed is not what was committed to.
    #[error(
        "the other device did not keep to what it had committed to, so somebody may sit in between; make a new invite"
    )]
    Commitment,
    /// The key exchange gives nothing secret.
    #[error(
        "the other device sent a key that hides nothing, so somebody may sit in between; make a new invite"
    )]
    WeakKey,
    /// A message was not sealed under the common key.
    #[error(
        "the other device does not know this invite's secret, or somebody sits in between; make a new invite"
    )]
    Seal,
    /// The long-lived key is not the other device's.
    #[error("the other device could not prove that its key is its own; make a new invite")]
    Signature,
    /// A message that has no place here.
    #[error("the other device spoke out of turn; check that both run the same version of shoal")]
    Turn,
}
