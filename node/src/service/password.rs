//! The password of a link: who knows it, for how long that is believed, and how often it may be tried.
//!
//! What is given out (challenges, sessions, announce tokens) carries its own proof: a keyed hash with a key of
//! this device. Nothing is kept for it, so that strangers cannot fill a table, and it outlives a restart.

use super::clock::{now_ms, now_s};
use super::takers::Guest;
use super::{Context, Service, share::LiveShare};
use crate::identity::{Identity, fill_random};
use shoal_gateway::port::{Knows, Unlocked};
use shoal_protocol::attempts::{Attempts, Rule};
use shoal_protocol::hello::Refusal;
use shoal_protocol::id::LinkId;
use shoal_protocol::password::{Challenge, Key, Proof, Verifier};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// How long a session opens its link.
pub(crate) const SESSION_S: u64 = 4 * 3600;
/// How long a challenge may be answered.
const CHALLENGE_S: u64 = 60;
/// Argon2id at a time: each takes a processor for tens of milliseconds, and 19 MiB.
const HASHING_MAX: usize = 2;
/// Wrong passwords of one address: people mistype, programs guess.
const OF_ADDRESS: Rule = Rule {
    burst: 10,
    every_ms: 30_000,
};
/// Wrong passwords of one link, from wherever.
const OF_LINK: Rule = Rule {
    burst: 100,
    every_ms: 6_000,
};
/// Addresses and links that are remembered.
const REMEMBERED_MAX: usize = 10_000;
/// How long after its last announce an address may connect: three times the interval that the tracker asks for.
const ANNOUNCED_MS: u64 = 15 * 60 * 1000;

const SECRET_DOMAIN: &str = "shoal 2026 password sessions v1";
const MAC_BYTES: usize = 16;

/// What keeps links with a password shut.
pub(crate) struct Gate {
    secret: [u8; 32],
    hashing: Semaphore,
    of_address: Mutex<Attempts<IpAddr>>,
    of_link: Mutex<Attempts<LinkId>>,
    /// When who last announced with a token of this link.
    announced: Mutex<HashMap<(LinkId, IpAddr), u64>>,
}

/// What a keyed hash is for: one does not stand for another.
#[derive(Clone, Copy)]
enum Purpose {
    Challenge = 1,
    Session = 2,
    Announce = 3,
}

/// Somebody who knew the password, and until when that is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    nonce: [u8; 8],
}

impl Gate {
    pub(crate) fn new(identity: &Identity) -> Self {
        Self {
            secret: blake3::derive_key(SECRET_DOMAIN, &identity.key.to_bytes()),
            hashing: Semaphore::new(HASHING_MAX),
            of_address: Mutex::new(Attempts::new(OF_ADDRESS, REMEMBERED_MAX)),
            of_link: Mutex::new(Attempts::new(OF_LINK, REMEMBERED_MAX)),
            announced: Mutex::default(),
        }
    }

    /// Something to prove the password for.
    pub(crate) fn challenge(&self, link: &LinkId) -> Result<Vec<u8>, Refusal> {
        self.stamped(Purpose::Challenge, link, now_s() + CHALLENGE_S)
            .ok_or(Refusal::Resting)
    }

    /// The session that a text stands for, while it lasts.
    pub(crate) fn session(&self, link: &LinkId, text: &str) -> Option<Session> {
        let bytes = from_hex(text)?;
        let nonce = self.fresh(Purpose::Session, link, &bytes)?;
        Some(Session { nonce })
    }

    /// The tracker token of a session: whoever announces with it may take over BitTorrent, until the link ends.
    pub(crate) fn announce_token(&self, link: &LinkId, session: &Session) -> String {
        let mac = self.mac(Purpose::Announce, link, &session.nonce);
        to_hex(&[&session.nonce[..], &mac].concat())
    }

    /// Whether a tracker token is of this link.
    pub(crate) fn is_announce_token(&self, link: &LinkId, text: &str) -> bool {
        let bytes = from_hex(text).unwrap_or_default();
        let Some((nonce, mac)) = bytes.split_first_chunk::<8>() else {
            return false;
        };
        same(mac, &self.mac(Purpose::Announce, link, nonce))
    }

    /// Somebody announced with a token of this link.
    pub(crate) fn announces(&self, link: LinkId, address: IpAddr) {
        let now = now_ms();
        let mut announced = lock(&self.announced);
        if announced.len() >= REMEMBERED_MAX {
            announced.retain(|_, at| now.saturating_sub(*at) < ANNOUNCED_MS);
        }
        if announced.len() < REMEMBERED_MAX {
            announced.insert((link, address.to_canonical()), now);
        }
    }

    /// Whether somebody at this address announced lately.
    pub(crate) fn has_announced(&self, link: LinkId, address: IpAddr) -> bool {
        lock(&self.announced)
            .get(&(link, address.to_canonical()))
            .is_some_and(|at| now_ms().saturating_sub(*at) < ANNOUNCED_MS)
    }

    /// Whether a proof is good; a wrong one counts as a try.
    pub(crate) fn check(
        &self,
        link: &LinkId,
        address: IpAddr,
        is_right: impl FnOnce() -> bool,
    ) -> Result<(), Refusal> {
        self.take(link, address)?;
        if !is_right() {
            return Err(Refusal::WrongPassword);
        }
        self.give_back(link, address);
        Ok(())
    }

    fn take(&self, link: &LinkId, address: IpAddr) -> Result<(), Refusal> {
        let (now, network) = (now_ms(), network(address));
        // The address first: one that has used up its tries costs the link nothing.
        let of_address = lock(&self.of_address).take(now, &network);
        of_address.map_err(|_| Refusal::TooManyTries)?;
        lock(&self.of_link).take(now, link).map_err(|_| {
            lock(&self.of_address).give_back(&network);
            Refusal::TooManyTries
        })
    }

    fn give_back(&self, link: &LinkId, address: IpAddr) {
        lock(&self.of_address).give_back(&network(address));
        lock(&self.of_link).give_back(link);
    }

    /// Until when, eight random bytes, and that this node says so.
    fn stamped(&self, purpose: Purpose, link: &LinkId, until_s: u64) -> Option<Vec<u8>> {
        let mut bytes = until_s.to_be_bytes().to_vec();
        let mut nonce = [0; 8];
        fill_random(&mut nonce)
            .inspect_err(|error| tracing::error!(%error, "no link with a password can be opened"))
            .ok()?;
        bytes.extend(nonce);
        let mac = self.mac(purpose, link, &bytes);
        bytes.extend(mac);
        Some(bytes)
    }

    /// The random bytes of something that this node gave out and that is still good.
    fn fresh(&self, purpose: Purpose, link: &LinkId, bytes: &[u8]) -> Option<[u8; 8]> {
        let (said, mac) = bytes.split_at_checked(16)?;
        let (until_s, nonce) = said.split_first_chunk::<8>()?;
        let good =
            same(mac, &self.mac(purpose, link, said)) && now_s() < u64::from_be_bytes(*until_s);
        nonce.try_into().ok().filter(|_| good)
    }

    fn mac(&self, purpose: Purpose, link: &LinkId, bytes: &[u8]) -> [u8; MAC_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(&[purpose as u8]);
        hasher.update(link.as_bytes());
        hasher.update(bytes);
        let mut mac = [0; MAC_BYTES];
        hasher.finalize_xof().fill(&mut mac);
        mac
    }
}

impl Context {
    /// Why somebody gets nothing of a link with a password, if so.
    pub(crate) fn shut(
        &self,
        share: &LiveShare,
        guest: &Guest,
        proof: Option<&Proof>,
    ) -> Option<Refusal> {
        let verifier = Verifier(share.row().password?);
        let Some(proof) = proof else {
            return Some(Refusal::Password);
        };
        let is_right = || verifier.accepts(proof, &share.id, Challenge::IROH);
        let refusal = self.gate.check(&share.id, guest.address, is_right).err();
        if refusal == Some(Refusal::WrongPassword) {
            share.takers.guessed(guest);
        }
        refusal
    }
}

impl Service {
    /// Whether somebody knows a link's password; if so, a session.
    pub(crate) async fn let_in(
        &self,
        link: &LinkId,
        guest: &Guest,
        knows: Knows,
    ) -> Result<Unlocked, Refusal> {
        let share = self.find(link).ok_or(Refusal::Unknown)?;
        share.refusal().map_or(Ok(()), Err)?;
        let known = self.knows(&share, guest.address, knows).await;
        if known == Err(Refusal::WrongPassword) {
            share.takers.guessed(guest);
        }
        known?;
        let session = self
            .context
            .gate
            .stamped(Purpose::Session, link, now_s() + SESSION_S)
            .ok_or(Refusal::Resting)?;
        Ok(Unlocked {
            session: to_hex(&session),
            lasts_s: SESSION_S,
        })
    }

    async fn knows(&self, share: &LiveShare, address: IpAddr, knows: Knows) -> Result<(), Refusal> {
        let (gate, link) = (&self.context.gate, &share.id);
        let verifier = share.row().password.map(Verifier);
        match (verifier, knows) {
            (None, _) => {}
            (Some(verifier), Knows::Proof { challenge, proof }) => {
                // One that is too old is no guess.
                gate.fresh(Purpose::Challenge, link, &challenge)
                    .ok_or(Refusal::Password)?;
                let is_right = || verifier.accepts(&proof, link, Challenge(&challenge));
                gate.check(link, address, is_right)?;
            }
            (Some(verifier), Knows::Password(password)) => {
                // Taken before the waiting, or many could wait at once.
                gate.take(link, address)?;
                let _place = gate.hashing.acquire().await.map_err(|_| Refusal::Resting)?;
                let id = *link;
                let right = tokio::task::spawn_blocking(move || {
                    Key::derive(&password, &id).is_ok_and(|key| key.verifier() == verifier)
                });
                match right.await {
                    Ok(true) => gate.give_back(link, address),
                    Ok(false) => return Err(Refusal::WrongPassword),
                    Err(_) => return Err(Refusal::Resting),
                }
            }
        }
        Ok(())
    }
}

/// Whoever has one address of IPv6 has all of its /64.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

/// In time that does not tell where the difference is.
fn same(given: &[u8], expected: &[u8; MAC_BYTES]) -> bool {
    given.len() == MAC_BYTES
        && given
            .iter()
            .zip(expected)
            .fold(0, |different, (a, b)| different | (a ^ b))
            == 0
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || text.len() > 128 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    pairs
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// A panic elsewhere leaves counts, which stay usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ed25519_dalek::SigningKey;

    const LINK: LinkId = LinkId([1; 16]);
    const OTHER: LinkId = LinkId([2; 16]);

    fn gate(seed: u8) -> Gate {
        Gate::new(&Identity {
            key: SigningKey::from_bytes(&[seed; 32]),
        })
    }

    #[test]
    fn a_session_opens_its_link_here_and_while_it_lasts() {
        let gate = gate(1);
        let made = gate.stamped(Purpose::Session, &LINK, now_s() + 10).unwrap();
        let text = to_hex(&made);
        assert!(gate.session(&LINK, &text).is_some());
        assert!(gate.session(&OTHER, &text).is_none());
        assert!(self::gate(2).session(&LINK, &text).is_none());
        let over = gate.stamped(Purpose::Session, &LINK, now_s()).unwrap();
        assert!(gate.session(&LINK, &to_hex(&over)).is_none());
        let challenge = gate.challenge(&LINK).unwrap();
        assert!(gate.session(&LINK, &to_hex(&challenge)).is_none());
        for wrong in ["", "zz", "é", &text[2..], &format!("{text}00")] {
            assert!(gate.session(&LINK, wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn each_session_announces_with_a_token_of_its_own() {
        let gate = gate(1);
        let (a, b) = (Session { nonce: [1; 8] }, Session { nonce: [2; 8] });
        let token = gate.announce_token(&LINK, &a);
        assert_ne!(token, gate.announce_token(&LINK, &b));
        assert!(gate.is_announce_token(&LINK, &token));
        assert!(!gate.is_announce_token(&OTHER, &token));
        assert!(!gate.is_announce_token(&LINK, &token[2..]));
        assert!(!gate.is_announce_token(&LINK, ""));
    }

    #[test]
    fn guessing_ends_for_an_address_and_then_for_all() {
        let gate = gate(1);
        let at = |n: u8| IpAddr::from([10, 0, 0, n]);
        let tries = |address| {
            (0..1000)
                .take_while(|_| gate.check(&LINK, address, || false) == Err(Refusal::WrongPassword))
                .count() as u64
        };
        assert_eq!(tries(at(1)), OF_ADDRESS.burst);
        assert_eq!(
            gate.check(&LINK, at(1), || true),
            Err(Refusal::TooManyTries)
        );
        assert_eq!(
            gate.check(&LINK, at(2), || true),
            Ok(()),
            "others are let in"
        );
        let all: u64 = (2..30).map(|n| tries(at(n))).sum();
        assert_eq!(all, OF_LINK.burst - OF_ADDRESS.burst);
        assert_eq!(
            gate.check(&LINK, at(99), || true),
            Err(Refusal::TooManyTries)
        );
        assert_eq!(gate.check(&OTHER, at(99), || true), Ok(()), "another link");
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let network = |text: &str| super::network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
    }
}
