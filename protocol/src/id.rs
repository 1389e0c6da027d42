//! Identifiers: fixed-size byte strings with one text form each.

use std::fmt;

/// Why a text is no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Wrong number of characters.
    #[error("it has {found} characters, {expected} are expected")]
    Length {
        /// Characters found.
        found: usize,
        /// Characters expected.
        expected: usize,
    },
    /// A character outside the alphabet.
    #[error("it has a character that does not belong there")]
    Alphabet,
}

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Lower-case hexadecimal digits.
            pub fn to_hex(&self) -> String {
                data_encoding::HEXLOWER.encode(&self.0)
            }

            /// Parses hexadecimal digits of either case.
            pub fn from_hex(text: &str) -> Result<Self, IdError> {
                if text.len() != 2 * $len {
                    return Err(IdError::Length { found: text.chars().count(), expected: 2 * $len });
                }
                let mut bytes = [0; $len];
                data_encoding::HEXLOWER_PERMISSIVE
                    .decode_mut(text.as_bytes(), &mut bytes)
                    .map_err(|_| IdError::Alphabet)?;
                Ok(Self(bytes))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.to_hex())
            }
        }
    };
}

bytes_id!(
    /// BLAKE3 hash of a blob.
    ContentHash,
    32
);
bytes_id!(
    /// SHA-1 of a metainfo's info dictionary (BEP 3).
    InfoHash,
    20
);
bytes_id!(
    /// A device's Ed25519 public key; also its iroh endpoint id.
    DeviceId,
    32
);
bytes_id!(
    /// A person: the hash of the first record of their group's log.
    GroupId,
    32
);
bytes_id!(
    /// BLAKE3 of one record of a group's log, its signature left out.
    RecordHash,
    32
);
bytes_id!(
    /// BLAKE3 of a fileset's genesis record, its signature left out.
    FilesetId,
    32
);
bytes_id!(
    /// 16 random bytes by which one `shoal get` counts once on all ways.
    TakerToken,
    16
);
bytes_id!(
    /// 128 bits of BLAKE3 over issuer and random bytes: a bearer secret and a commitment to the issuer.
    LinkId,
    16
);

impl LinkId {
    /// Its first six characters: enough to tell links apart in a log, too few to open one.
    pub fn brief(&self) -> String {
        let mut text = self.to_string();
        text.truncate(6);
        text
    }
}

impl ContentHash {
    /// Hashes bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// Characters of a link id's text: base32 without padding, lower case.
pub const LINK_ID_TEXT_LEN: usize = 26;

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Display for FilesetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            &data_encoding::BASE32_NOPAD
                .encode(&self.0)
                .to_ascii_lowercase(),
        )
    }
}

impl std::str::FromStr for LinkId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != LINK_ID_TEXT_LEN {
            return Err(IdError::Length {
                found: text.chars().count(),
                expected: LINK_ID_TEXT_LEN,
            });
        }
        let bytes = data_encoding::BASE32_NOPAD
            .decode(text.to_ascii_uppercase().as_bytes())
            .map_err(|_| IdError::Alphabet)?;
        Ok(Self(bytes.try_into().map_err(|_| IdError::Alphabet)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn link_id_text_goes_round() {
        let id = LinkId([7; 16]);
        assert_eq!(id.to_string().len(), LINK_ID_TEXT_LEN);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(
            "short".parse::<LinkId>(),
            Err(IdError::Length {
                found: 5,
                expected: 26
            })
        );
        assert_eq!("1".repeat(26).parse::<LinkId>(), Err(IdError::Alphabet));
        assert!("é".repeat(13).parse::<LinkId>().is_err());
    }

    #[test]
    fn hex_is_read_in_either_case() {
        let hash = InfoHash([0xab; 20]);
        assert_eq!(InfoHash::from_hex(&"AB".repeat(20)), Ok(hash));
        assert_eq!(InfoHash::from_hex(&hash.to_hex()), Ok(hash));
        assert_eq!(
            InfoHash::from_hex("zz"),
            Err(IdError::Length {
                found: 2,
                expected: 40
            })
        );
        assert_eq!(InfoHash::from_hex(&"zz".repeat(20)), Err(IdError::Alphabet));
    }
}
