#![allow(clippy::unwrap_used)]

use super::*;
use crate::id::{DeviceId, GroupId};
use crate::invite::InviteSecret;
use crate::signature::device_of;
use ed25519_dalek::SigningKey;
use proptest::prelude::*;

const GUEST: u8 = 1;
const HOST: u8 = 2;
const MIDDLE: u8 = 3;

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn device(n: u8) -> DeviceId {
    device_of(&key(n))
}

fn secret() -> InviteSecret {
    InviteSecret([7; 16])
}

fn ephemeral(n: u8) -> Ephemeral {
    Ephemeral::new([n; 32], [n; 16])
}

/// Both ends, with a hand on every message in between.
fn shake_with(
    guest_secret: InviteSecret,
    mut touch: impl FnMut(usize, Vec<u8>) -> Vec<u8>,
) -> Result<(Session, Session), PairingError> {
    let (guest, hello) = Guest::new(guest_secret, device(GUEST), ephemeral(11));
    let hello = Hello::decode(&touch(0, hello))?;
    let (host, offer) = Host::new(secret(), device(HOST), ephemeral(12), hello)?;
    let (guest, reveal) = guest.offered(&touch(1, offer))?;
    let (host, answer) = host.revealed(&touch(2, reveal))?;
    let guest = guest.revealed(&touch(3, answer))?;
    Ok((guest, host))
}

fn shake() -> (Session, Session) {
    shake_with(secret(), |_, message| message).unwrap()
}

fn introduce(session: &Session, key: &SigningKey) -> Message {
    Message::Introduce {
        name: "laptop".into(),
        group: Some(GroupId([5; 32])),
        proof: session.proof(key),
    }
}

#[test]
fn both_sides_see_the_same_code_and_read_each_other() {
    let (mut guest, mut host) = shake();
    assert_eq!(guest.code(), host.code());
    assert_eq!(guest.code().to_string().len(), 7);
    assert_eq!((guest.other(), host.other()), (device(HOST), device(GUEST)));
    for message in [
        introduce(&guest, &key(GUEST)),
        Message::Agree,
        Message::Joined {
            contact: vec![1; 9],
        },
        Message::Decline(Declined::ByPerson),
    ] {
        let sealed = guest.seal(&message);
        assert_eq!(host.open(&sealed), Ok(message));
    }
    let welcome = Message::Welcome {
        log: vec![vec![1; 3], vec![2; 200]],
        contacts: vec![vec![3; 5]],
    };
    let sealed = host.seal(&welcome);
    assert_eq!(guest.open(&sealed), Ok(welcome));
}

/// The attacker knows the invite: it talks to each side as the other, with ephemerals of its own. Everything opens, and
/// the codes differ.
#[test]
fn a_relay_that_knows_the_secret_is_seen_by_the_code() {
    for n in 20..60 {
        let (guest, hello) = Guest::new(secret(), device(GUEST), ephemeral(11));
        let to_guest = Hello::decode(&hello).unwrap();
        let (fake_host, offer) =
            Host::new(secret(), device(MIDDLE), ephemeral(n), to_guest).unwrap();
        let (fake_guest, hello) = Guest::new(secret(), device(MIDDLE), ephemeral(n + 40));
        let hello = Hello::decode(&hello).unwrap();
        let (host, host_offer) = Host::new(secret(), device(HOST), ephemeral(12), hello).unwrap();

        let (guest, reveal) = guest.offered(&offer).unwrap();
        let (fake_host, answer) = fake_host.revealed(&reveal).unwrap();
        let mut guest = guest.revealed(&answer).unwrap();
        let (fake_guest, reveal) = fake_guest.offered(&host_offer).unwrap();
        let (mut host, answer) = host.revealed(&reveal).unwrap();
        let fake_guest = fake_guest.revealed(&answer).unwrap();

        assert_eq!(guest.code(), fake_host.code(), "it has both keys");
        assert_eq!(host.code(), fake_guest.code());
        assert_ne!(guest.code(), host.code(), "but people see two codes");
        // What one side sealed means nothing to the other, so it cannot pass the real keys' proofs on.
        let sealed = guest.seal(&introduce(&guest, &key(GUEST)));
        assert_eq!(host.open(&sealed), Err(PairingError::Seal));
    }
}

/// It takes the names of the real devices, but cannot sign for them.
#[test]
fn a_relay_cannot_claim_the_keys_of_others() {
    let (guest, hello) = Guest::new(secret(), device(GUEST), ephemeral(11));
    let hello = Hello::decode(&hello).unwrap();
    let (fake, offer) = Host::new(secret(), device(HOST), ephemeral(30), hello).unwrap();
    let (guest, reveal) = guest.offered(&offer).unwrap();
    let (mut fake, answer) = fake.revealed(&reveal).unwrap();
    let mut guest = guest.revealed(&answer).unwrap();
    let sealed = fake.seal(&introduce(&fake, &key(MIDDLE)));
    assert_eq!(guest.open(&sealed), Err(PairingError::Signature));
}

#[test]
fn a_relay_without_the_secret_cannot_seal() {
    // It has seen the tag, and guesses the secret.
    let (guest, hello) = Guest::new(secret(), device(GUEST), ephemeral(11));
    let mut seen = Hello::decode(&hello).unwrap();
    let guessed = InviteSecret([8; 16]);
    let unknown = Host::new(guessed.clone(), device(MIDDLE), ephemeral(30), seen.clone());
    assert!(matches!(
        unknown.err(),
        Some(PairingError::Invite(InviteRefusal::Unknown))
    ));
    // Its own code does not look at the tag.
    seen.tag = guessed.tag();
    let (fake, offer) = Host::new(guessed, device(MIDDLE), ephemeral(30), seen).unwrap();
    let (guest, reveal) = guest.offered(&offer).unwrap();
    let (mut fake, answer) = fake.revealed(&reveal).unwrap();
    let mut guest = guest.revealed(&answer).unwrap();
    let sealed = fake.seal(&introduce(&fake, &key(MIDDLE)));
    assert_eq!(guest.open(&sealed), Err(PairingError::Seal));
    assert_ne!(guest.code(), fake.code());
}

/// It lets all through but swaps an ephemeral for its own: the commitment gives it away.
#[test]
fn a_swapped_ephemeral_breaks_the_commitment() {
    let (own, _) = Guest::new(secret(), device(MIDDLE), ephemeral(40));
    let (_, own_reveal) = own.offered(&offer_of(HOST)).unwrap();
    for at in [2, 3] {
        let swapped = shake_with(
            secret(),
            |n, message| {
                if n == at { own_reveal.clone() } else { message }
            },
        );
        assert_eq!(swapped.err(), Some(PairingError::Commitment), "{at}");
    }
}

fn offer_of(n: u8) -> Vec<u8> {
    let (_, hello) = Guest::new(secret(), device(GUEST), ephemeral(11));
    let hello = Hello::decode(&hello).unwrap();
    Host::new(secret(), device(n), ephemeral(12), hello)
        .unwrap()
        .1
}

#[test]
fn every_changed_bit_is_noticed() {
    let lengths = [81, 66, 49, 49];
    for (message, len) in lengths.into_iter().enumerate() {
        for bit in 0..len * 8 {
            let touched = shake_with(secret(), |n, mut bytes| {
                if n == message {
                    assert_eq!(bytes.len(), len);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                bytes
            });
            if let Ok((mut guest, mut host)) = touched {
                assert_ne!(guest.code(), host.code());
                let sealed = guest.seal(&introduce(&guest, &key(GUEST)));
                assert!(host.open(&sealed).is_err(), "message {message}, bit {bit}");
                let sealed = host.seal(&introduce(&host, &key(HOST)));
                assert!(guest.open(&sealed).is_err(), "message {message}, bit {bit}");
            }
        }
    }
}

#[test]
fn what_was_recorded_opens_nothing_later() {
    let mut recorded = Vec::new();
    let (mut guest, mut host) = shake_with(secret(), |_, message| {
        recorded.push(message.clone());
        message
    })
    .unwrap();
    let introduction = guest.seal(&introduce(&guest, &key(GUEST)));
    let agree = guest.seal(&Message::Agree);
    host.open(&introduction).unwrap();
    assert_eq!(
        host.open(&introduction),
        Err(PairingError::Seal),
        "repeated"
    );
    assert_eq!(host.open(&agree), Err(PairingError::Seal), "after an error");

    // The whole dialogue again, to a host that does not repeat its ephemeral.
    let hello = Hello::decode(&recorded[0]).unwrap();
    let (host, _) = Host::new(secret(), device(HOST), ephemeral(50), hello).unwrap();
    let (mut host, _) = host.revealed(&recorded[2]).unwrap();
    assert_eq!(host.open(&introduction), Err(PairingError::Seal));
}

#[test]
fn a_message_of_one_side_is_none_of_the_other() {
    let (mut guest, mut host) = shake();
    let own = guest.seal(&Message::Agree);
    assert_eq!(guest.open(&own), Err(PairingError::Seal), "sent back");
    let (mut guest, _) = shake();
    // The host's role cannot be taken by the guest's own proof.
    let reflected = host.seal(&introduce(&guest, &key(HOST)));
    assert_eq!(guest.open(&reflected), Err(PairingError::Signature));
}

#[test]
fn keys_of_small_order_are_refused() {
    let mut order_8 = [0; 32];
    order_8[0] = 1;
    for public in [[0; 32], order_8] {
        let reveal = [&[1][..], &[0; 16], &public].concat();
        let (_, hello) = Guest::new(secret(), device(GUEST), ephemeral(11));
        // Committed to properly, so that nothing else is wrong.
        let commitment = blake3::derive_key("shoal 2026 pairing commitment v1", &reveal);
        let hello = [&hello[..hello.len() - 32], &commitment].concat();
        let hello = Hello::decode(&hello).unwrap();
        let (host, _) = Host::new(secret(), device(HOST), ephemeral(12), hello).unwrap();
        let refused = host.revealed(&reveal).map(drop);
        assert_eq!(refused.err(), Some(PairingError::WeakKey));
    }
}

#[test]
fn refusals_arrive() {
    for refusal in [
        InviteRefusal::Unknown,
        InviteRefusal::Expired,
        InviteRefusal::Used,
        InviteRefusal::Busy,
    ] {
        let (guest, _) = Guest::new(secret(), device(GUEST), ephemeral(11));
        let answer = guest.offered(&Offer::refusal(refusal)).map(drop);
        assert_eq!(answer.err(), Some(PairingError::Invite(refusal)));
    }
    let (guest, _) = Guest::new(secret(), device(HOST), ephemeral(11));
    let answer = guest.offered(&offer_of(HOST)).map(drop);
    assert_eq!(answer.err(), Some(PairingError::Oneself));
}

/// The form of the messages and the derivation are on the wire: they never change without a new version.
#[test]
fn the_form_is_pinned() {
    assert_eq!(shake().0.code().to_string(), "044 824");
}

proptest! {
    #[test]
    fn no_bytes_break_the_parsers(bytes: Vec<u8>) {
        let _ = Hello::decode(&bytes);
        let _ = Message::decode(&bytes);
        let (guest, _) = Guest::new(secret(), device(GUEST), ephemeral(11));
        let _ = guest.offered(&bytes).map(drop);
    }
}
