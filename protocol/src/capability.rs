//! Capability and content record: what a link is, and what it grants, both signed by the issuer.
//!
//! The capability is signed the moment a link is made. The content record follows when hashing
//! is done. Signatures are Ed25519 (RFC 8032) over a domain and the canonical bytes.

use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{ContentHash, DeviceId, InfoHash, LinkId};
use crate::limits::{CAPABILITY_MAX_BYTES, CAPABILITY_MAX_HINTS, NAME_MAX_BYTES, RECORD_MAX_BYTES};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

const LINK_ID_DOMAIN: &str = "shoal 2026 link id v1";
const CAPABILITY_DOMAIN: &[u8] = b"shoal capability v1\0";
const RECORD_DOMAIN: &[u8] = b"shoal content record v1\0";
const VERSION: u8 = 1;
const HINT_MAX_BYTES: usize = 300;

/// Why a capability or record is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// The text is not base64url.
    #[error("it is cut off or has a wrong character")]
    Text,
    /// The bytes are no capability.
    #[error(transparent)]
    Bytes(#[from] DecodeError),
    /// The signature is not the issuer's.
    #[error("its signature is wrong: it was changed on the way")]
    Signature,
    /// The link id does not commit to the issuer.
    #[error("its link id belongs to another issuer")]
    Issuer,
}

/// What the bearer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Read a snapshot.
    Read,
}

/// Whether the node asks for a password before it gives anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Password {
    /// No password.
    None,
    /// A password is needed.
    Needed,
}

/// Where the issuer may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// `http://host:port` or `https://host[:port]`, no path.
    Web(String),
    /// `address:port` of the issuer's iroh endpoint.
    Iroh(std::net::SocketAddr),
}

/// A signed statement: *issuer lets the bearer read link id until T*.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// The device that issued it.
    pub issuer: DeviceId,
    /// Random bytes that, with the issuer, make the link id.
    pub nonce: [u8; 16],
    /// What the bearer may do.
    pub rights: Rights,
    /// Seconds since 1970 UTC after which nothing is given any more.
    pub not_after_s: Option<u64>,
    /// Whether a password is needed.
    pub password: Password,
    /// Where the issuer may be reached; unordered, at most 16.
    pub hints: Vec<Hint>,
}

impl Capability {
    /// The link id: BLAKE3 over issuer and nonce in its own domain, 128 bits of it.
    pub fn link_id(&self) -> LinkId {
        link_id(&self.issuer, &self.nonce)
    }

    /// Canonical bytes with the issuer's signature at the end.
    ///
    /// # Panics
    /// Never; a key other than the issuer's gives a capability that nobody accepts.
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        signed(CAPABILITY_DOMAIN, self.encode(), key)
    }

    /// Reads and verifies signed bytes.
    ///
    /// # Errors
    /// See [`CapabilityError`]. Time is not checked here: see [`Capability::expired`].
    pub fn verify(bytes: &[u8]) -> Result<Self, CapabilityError> {
        if bytes.len() > CAPABILITY_MAX_BYTES {
            return Err(DecodeError::Limit {
                what: "capability",
                limit: CAPABILITY_MAX_BYTES,
            }
            .into());
        }
        let (body, signature) = split_signature(bytes)?;
        let capability = Self::decode(body)?;
        check(CAPABILITY_DOMAIN, body, signature, &capability.issuer)?;
        Ok(capability)
    }

    /// Whether its time is over.
    pub fn expired(&self, now_s: u64) -> bool {
        self.not_after_s.is_some_and(|end| now_s >= end)
    }

    /// The text that stands in `x.shoal=`: base64url of the signed bytes.
    pub fn to_text(signed: &[u8]) -> String {
        data_encoding::BASE64URL_NOPAD.encode(signed)
    }

    /// Signed bytes from the text that stands in `x.shoal=`.
    ///
    /// # Errors
    /// [`CapabilityError::Text`].
    pub fn from_text(text: &str) -> Result<Vec<u8>, CapabilityError> {
        if text.len() > CAPABILITY_MAX_BYTES * 2 {
            return Err(CapabilityError::Text);
        }
        data_encoding::BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map_err(|_| CapabilityError::Text)
    }

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION);
        w.raw(self.issuer.as_bytes());
        w.raw(&self.nonce);
        w.u8(match self.rights {
            Rights::Read => 1,
        });
        w.u8(match self.password {
            Password::None => 0,
            Password::Needed => 1,
        });
        // Zero stands for "never": a link that ended in 1970 is of no use to anybody.
        w.uint(self.not_after_s.unwrap_or(0));
        w.uint(self.hints.len() as u64);
        for hint in &self.hints {
            match hint {
                Hint::Web(origin) => {
                    w.u8(0);
                    w.bytes(origin.as_bytes());
                }
                Hint::Iroh(address) => {
                    w.u8(1);
                    w.bytes(address.to_string().as_bytes());
                }
            }
        }
        w.finish()
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(body);
        if r.u8()? != VERSION {
            return Err(DecodeError::Newer);
        }
        let issuer = DeviceId(r.array()?);
        let nonce = r.array()?;
        let rights = match r.u8()? {
            1 => Rights::Read,
            _ => return Err(DecodeError::Newer),
        };
        let password = match r.u8()? {
            0 => Password::None,
            1 => Password::Needed,
            _ => return Err(DecodeError::Newer),
        };
        let not_after_s = Some(r.uint()?).filter(|end| *end != 0);
        let count = r.count("number of addresses", CAPABILITY_MAX_HINTS)?;
        let hints = (0..count)
            .map(|_| decode_hint(&mut r))
            .collect::<Result<_, _>>()?;
        r.finish()?;
        Ok(Self {
            issuer,
            nonce,
            rights,
            not_after_s,
            password,
            hints,
        })
    }
}

/// What a capability grants, known once hashing is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentRecord {
    /// The link it belongs to.
    pub link: LinkId,
    /// BLAKE3 of the manifest's bytes.
    pub snapshot: ContentHash,
    /// Length of the manifest in bytes.
    pub manifest_bytes: u64,
    /// The infohash of this link, where there is a magnet.
    pub infohash: Option<InfoHash>,
    /// Name of the root.
    pub name: String,
    /// Regular files.
    pub files: u64,
    /// Bytes of all regular files.
    pub bytes: u64,
}

impl ContentRecord {
    /// Canonical bytes with the issuer's signature at the end.
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION);
        w.raw(self.link.as_bytes());
        w.raw(self.snapshot.as_bytes());
        w.uint(self.manifest_bytes);
        match &self.infohash {
            None => w.u8(0),
            Some(infohash) => {
                w.u8(1);
                w.raw(infohash.as_bytes());
            }
        }
        w.bytes(self.name.as_bytes());
        w.uint(self.files);
        w.uint(self.bytes);
        signed(RECORD_DOMAIN, w.finish(), key)
    }

    /// Reads signed bytes and verifies them against the capability of the same link.
    ///
    /// # Errors
    /// See [`CapabilityError`].
    pub fn verify(bytes: &[u8], capability: &Capability) -> Result<Self, CapabilityError> {
        if bytes.len() > RECORD_MAX_BYTES {
            return Err(DecodeError::Limit {
                what: "content record",
                limit: RECORD_MAX_BYTES,
            }
            .into());
        }
        let (body, signature) = split_signature(bytes)?;
        check(RECORD_DOMAIN, body, signature, &capability.issuer)?;
        let record = Self::decode(body)?;
        if record.link != capability.link_id() {
            return Err(CapabilityError::Issuer);
        }
        Ok(record)
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(body);
        if r.u8()? != VERSION {
            return Err(DecodeError::Newer);
        }
        let link = LinkId(r.array()?);
        let snapshot = ContentHash(r.array()?);
        let manifest_bytes = r.uint()?;
        let infohash = match r.u8()? {
            0 => None,
            1 => Some(InfoHash(r.array()?)),
            _ => return Err(DecodeError::Newer),
        };
        let name = r.text("name", NAME_MAX_BYTES)?.to_owned();
        crate::path::check_name(&name)
            .map_err(|_| DecodeError::Invalid("the name of the share is no file name"))?;
        let record = Self {
            link,
            snapshot,
            manifest_bytes,
            infohash,
            name,
            files: r.uint()?,
            bytes: r.uint()?,
        };
        r.finish()?;
        Ok(record)
    }
}

/// 128 bits of BLAKE3 over issuer and nonce, in a domain of its own.
pub fn link_id(issuer: &DeviceId, nonce: &[u8; 16]) -> LinkId {
    let mut hasher = blake3::Hasher::new_derive_key(LINK_ID_DOMAIN);
    hasher.update(issuer.as_bytes());
    hasher.update(nonce);
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    LinkId(id)
}

fn decode_hint(r: &mut Reader<'_>) -> Result<Hint, DecodeError> {
    let kind = r.u8()?;
    let text = r.text("address", HINT_MAX_BYTES)?;
    match kind {
        0 if is_origin(text) => Ok(Hint::Web(text.to_owned())),
        0 => Err(DecodeError::Invalid(
            "a web address in it is no http or https address",
        )),
        1 => {
            let address: std::net::SocketAddr = text.parse().map_err(|_| {
                DecodeError::Invalid("an iroh address in it is no address and port")
            })?;
            if address.to_string() == text {
                Ok(Hint::Iroh(address))
            } else {
                Err(DecodeError::NotCanonical)
            }
        }
        _ => Err(DecodeError::Newer),
    }
}

/// `http://host[:port]` or `https://host[:port]` without path, user or odd characters.
fn is_origin(text: &str) -> bool {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|host| {
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-:[]_".contains(&b))
    })
}

fn signed(domain: &[u8], mut body: Vec<u8>, key: &SigningKey) -> Vec<u8> {
    let signature = key.sign(&[domain, &body].concat());
    body.extend_from_slice(&signature.to_bytes());
    body
}

fn split_signature(bytes: &[u8]) -> Result<(&[u8], Signature), DecodeError> {
    let (body, signature) = bytes.split_last_chunk::<64>().ok_or(DecodeError::Short)?;
    Ok((body, Signature::from_bytes(signature)))
}

fn check(
    domain: &[u8],
    body: &[u8],
    signature: Signature,
    issuer: &DeviceId,
) -> Result<(), CapabilityError> {
    let key =
        VerifyingKey::from_bytes(issuer.as_bytes()).map_err(|_| CapabilityError::Signature)?;
    key.verify_strict(&[domain, body].concat(), &signature)
        .map_err(|_| CapabilityError::Signature)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[3; 32])
    }

    fn capability() -> Capability {
        Capability {
            issuer: DeviceId(key().verifying_key().to_bytes()),
            nonce: [9; 16],
            rights: Rights::Read,
            not_after_s: Some(2_000_000_000),
            password: Password::None,
            hints: vec![
                Hint::Web("http://192.0.2.7:7462".into()),
                Hint::Iroh("[2001:db8::1]:7462".parse().unwrap()),
            ],
        }
    }

    fn record() -> ContentRecord {
        ContentRecord {
            link: capability().link_id(),
            snapshot: ContentHash([1; 32]),
            manifest_bytes: 77,
            infohash: Some(InfoHash([2; 20])),
            name: "holiday".into(),
            files: 3,
            bytes: 1 << 33,
        }
    }

    #[test]
    fn both_go_round() {
        let bytes = capability().sign(&key());
        assert_eq!(Capability::verify(&bytes), Ok(capability()));
        assert_eq!(
            Capability::from_text(&Capability::to_text(&bytes)),
            Ok(bytes)
        );
        let bytes = record().sign(&key());
        assert_eq!(ContentRecord::verify(&bytes, &capability()), Ok(record()));
    }

    #[test]
    fn every_changed_bit_is_refused() {
        let (first, second) = (capability().sign(&key()), record().sign(&key()));
        for at in 0..first.len() * 8 {
            let mut changed = first.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert!(Capability::verify(&changed).is_err(), "bit {at}");
        }
        for at in 0..second.len() * 8 {
            let mut changed = second.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert!(
                ContentRecord::verify(&changed, &capability()).is_err(),
                "bit {at}"
            );
        }
    }

    #[test]
    fn a_record_of_another_link_or_key_is_refused() {
        let other = ContentRecord {
            link: LinkId([0; 16]),
            ..record()
        };
        assert_eq!(
            ContentRecord::verify(&other.sign(&key()), &capability()),
            Err(CapabilityError::Issuer)
        );
        let stranger = SigningKey::from_bytes(&[4; 32]);
        assert_eq!(
            ContentRecord::verify(&record().sign(&stranger), &capability()),
            Err(CapabilityError::Signature)
        );
        // A capability's bytes are no record's: the domains differ.
        assert!(ContentRecord::verify(&capability().sign(&key()), &capability()).is_err());
    }

    #[test]
    fn the_form_is_pinned() {
        let bytes = capability().sign(&key());
        assert_eq!(capability().link_id().to_string().len(), 26);
        assert_eq!(
            bytes.len(),
            1 + 32 + 16 + 1 + 1 + 5 + 1 + (2 + 21) + (2 + 18) + 64
        );
        assert!(!capability().expired(1_999_999_999));
        assert!(capability().expired(2_000_000_000));
    }

    #[test]
    fn web_hints_are_origins() {
        for (text, good) in [
            ("http://a.example:1", true),
            ("https://[2001:db8::1]:443", true),
            ("http://", false),
            ("ftp://a", false),
            ("http://a/b", false),
            ("http://u@a", false),
            ("http://a b", false),
        ] {
            assert_eq!(is_origin(text), good, "{text}");
        }
    }
}
