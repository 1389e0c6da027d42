//! An invite into a group: 128 random bits, and where the device is that made it.
//!
//! It has three text forms: a link (`shoal://pair/...`), the QR code of that link, and twelve words for reading out
//! loud. The words carry the secret alone, so whoever types them also has to say where the inviting device is.

mod open;
mod whereabouts;
mod words;

pub use open::{InviteRefusal, OpenInvites};
pub use whereabouts::{SEALED_MAX_BYTES, Whereabouts, WhereaboutsError};
pub use words::WordsError;

use crate::codec::{DecodeError, Reader, Writer};
use crate::limits::INVITE_MAX_CHARS;
use std::fmt;
use zeroize::Zeroize;

const SCHEME: &str = "shoal://pair/";
const VERSION: u8 = 2;
const CHECK_DOMAIN: &str = "shoal 2026 invite check v1";
const CHECK_BYTES: usize = 4;
const TAG_DOMAIN: &str = "shoal 2026 invite tag v1";

/// The 128 random bits of an invite: who knows them may ask to join.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteSecret(pub [u8; 16]);

/// By what an invite is named without giving it away: a hash of its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InviteTag(pub [u8; 16]);

/// What a person passes from one device to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// The secret.
    pub secret: InviteSecret,
    /// Which device made it, and where it is; not in the words.
    pub inviter: Option<Whereabouts>,
}

/// Why a text is no invite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// Neither a link nor words.
    #[error(
        "this is no invite, which is twelve words, or a link that begins with shoal://pair/; `shoal pair` on the other device prints both"
    )]
    Form,
    /// A link that was cut off or changed.
    #[error("this invite is cut off or was changed; copy the whole link again")]
    Damaged,
    /// A link of a newer version.
    #[error("this invite was made by a newer version of shoal; upgrade this one")]
    Newer,
    /// The words do not fit.
    #[error(transparent)]
    Words(#[from] WordsError),
}

impl Invite {
    /// Reads any text form; white space around it is ignored, and words may be cut to their first four letters.
    ///
    /// # Errors
    /// See [`InviteError`]; each says what to do.
    pub fn parse(text: &str) -> Result<Self, InviteError> {
        let text = text.trim();
        if text.len() > INVITE_MAX_CHARS {
            return Err(InviteError::Form);
        }
        let scheme = text.get(..SCHEME.len());
        match scheme.filter(|it| it.eq_ignore_ascii_case(SCHEME)) {
            Some(_) => Self::from_code(text.get(SCHEME.len()..).unwrap_or_default()),
            None if text.contains("://") => Err(InviteError::Form),
            None => Ok(Self {
                secret: words::read(text)?,
                inviter: None,
            }),
        }
    }

    /// The link; none without the inviter's whereabouts.
    pub fn link(&self) -> Option<String> {
        let inviter = self.inviter.as_ref()?;
        let mut w = Writer::new();
        w.u8(VERSION);
        w.raw(&self.secret.0);
        inviter.encode(&mut w);
        let mut bytes = w.finish();
        let check = blake3::derive_key(CHECK_DOMAIN, &bytes);
        bytes.extend_from_slice(check.get(..CHECK_BYTES)?);
        Some(SCHEME.to_owned() + &data_encoding::BASE64URL_NOPAD.encode(&bytes))
    }

    /// The twelve words (BIP-39, English), separated by spaces.
    pub fn words(&self) -> String {
        words::write(&self.secret)
    }

    fn from_code(code: &str) -> Result<Self, InviteError> {
        let bytes = data_encoding::BASE64URL_NOPAD
            .decode(code.trim_end_matches('/').as_bytes())
            .map_err(|_| InviteError::Damaged)?;
        let (body, check) = bytes
            .split_last_chunk::<CHECK_BYTES>()
            .ok_or(InviteError::Damaged)?;
        if !blake3::derive_key(CHECK_DOMAIN, body).starts_with(check) {
            return Err(InviteError::Damaged);
        }
        Self::decode(body).map_err(|error| match error {
            DecodeError::Newer => InviteError::Newer,
            _ => InviteError::Damaged,
        })
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(body);
        if r.u8()? != VERSION {
            return Err(DecodeError::Newer);
        }
        let invite = Self {
            secret: InviteSecret(r.array()?),
            inviter: Some(Whereabouts::decode(&mut r)?),
        };
        r.finish()?;
        Ok(invite)
    }
}

impl InviteSecret {
    /// The name of this invite, which may be shown to anybody.
    pub fn tag(&self) -> InviteTag {
        let hash = blake3::derive_key(TAG_DOMAIN, &self.0);
        let mut tag = [0; 16];
        tag.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        InviteTag(tag)
    }
}

impl Drop for InviteSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Without the secret.
impl fmt::Debug for InviteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteSecret")
    }
}

impl InviteTag {
    /// Hexadecimal digits.
    pub fn to_hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }

    /// From hexadecimal digits; none if there are not 32 of them.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE
            .decode(text.as_bytes())
            .ok()?;
        Some(Self(bytes.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::id::DeviceId;
    use proptest::prelude::*;

    fn invite() -> Invite {
        Invite {
            secret: InviteSecret([0x7f; 16]),
            inviter: Some(Whereabouts {
                device: DeviceId([3; 32]),
                addresses: vec![
                    "192.0.2.7:7462".parse().unwrap(),
                    "[2001:db8::1]:7462".parse().unwrap(),
                ],
                relays: vec!["192.0.2.7:443".parse().unwrap()],
            }),
        }
    }

    #[test]
    fn all_forms_go_round() {
        let invite = invite();
        let link = invite.link().unwrap();
        assert_eq!(Invite::parse(&format!(" {link}/\n")), Ok(invite.clone()));
        let shouted = link.replace("shoal://pair", "SHOAL://Pair");
        assert_eq!(Invite::parse(&shouted), Ok(invite.clone()));
        // A test vector of BIP-39.
        let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
        assert_eq!(invite.words(), words);
        let read = Invite::parse(words).unwrap();
        assert_eq!(read.secret, invite.secret);
        assert_eq!((read.inviter.clone(), read.link()), (None, None));
    }

    #[test]
    fn a_changed_or_cut_link_is_no_invite() {
        let link = invite().link().unwrap();
        for at in SCHEME.len()..link.len() {
            let mut changed = link.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(Invite::parse(&changed), Err(InviteError::Damaged));
            assert_eq!(Invite::parse(&link[..at]), Err(InviteError::Damaged));
        }
        assert_eq!(
            Invite::parse("http://a/s/b"),
            Err(InviteError::Form),
            "a share link"
        );
        assert_eq!(Invite::parse(&"x".repeat(5000)), Err(InviteError::Form));
    }

    #[test]
    fn nothing_shows_the_secret_by_accident() {
        assert_eq!(format!("{:?}", InviteSecret([5; 16])), "InviteSecret");
        let tag = InviteSecret([5; 16]).tag();
        assert_ne!(tag.0, [5; 16]);
        assert_eq!(InviteTag::from_hex(&tag.to_hex()), Some(tag));
        assert_eq!(InviteTag::from_hex("00"), None);
    }

    proptest! {
        #[test]
        fn every_secret_goes_round(secret: [u8; 16]) {
            let invite = Invite { secret: InviteSecret(secret), inviter: None };
            prop_assert_eq!(Invite::parse(&invite.words()), Ok(invite));
        }

        #[test]
        fn no_text_breaks_the_parser(text: String) {
            let _ = Invite::parse(&text);
            let _ = Invite::parse(&format!("{SCHEME}{text}"));
        }
    }
}
