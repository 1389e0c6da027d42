//! The request target of an HTTP announce, which is also what BEP 41 calls URL data: `/announce/<token>?<query>`.

/// Bytes of a link's token in the path. Tokens of links are far shorter.
pub const TOKEN_MAX_BYTES: usize = 128;

/// What a request target asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// `/announce` or `/announce/<token>`.
    Announce {
        /// The token in the path.
        token: Option<&'a str>,
        /// What follows `?`.
        query: &'a [u8],
    },
    /// `/scrape` or `/scrape/<token>`.
    Scrape {
        /// The token in the path.
        token: Option<&'a str>,
        /// What follows `?`.
        query: &'a [u8],
    },
}

/// Why a target is not for a tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither `/announce` nor `/scrape`.
    #[error("there is nothing here; a tracker answers /announce and /scrape")]
    Unknown,
    /// The token is empty, too long, or has a character outside `A-Z a-z 0-9 - . _ ~`.
    #[error(
        "the token after /announce/ or /scrape/ is not well formed; use the link's tracker address as it is"
    )]
    Token,
}

impl<'a> Target<'a> {
    /// Reads a request target in origin form, or in absolute form (`http://host/path`), as proxies send it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TargetError> {
        let bytes = origin_form(bytes);
        let (path, query) = match bytes.iter().position(|byte| *byte == b'?') {
            Some(at) => (
                bytes.get(..at).unwrap_or_default(),
                bytes.get(at + 1..).unwrap_or_default(),
            ),
            None => (bytes, &[][..]),
        };
        if let Some(rest) = path.strip_prefix(b"/announce") {
            Ok(Self::Announce {
                token: token(rest)?,
                query,
            })
        } else if let Some(rest) = path.strip_prefix(b"/scrape") {
            Ok(Self::Scrape {
                token: token(rest)?,
                query,
            })
        } else {
            Err(TargetError::Unknown)
        }
    }
}

/// Whether `text` can be a token in a path.
pub fn is_token(text: &[u8]) -> bool {
    (1..=TOKEN_MAX_BYTES).contains(&text.len())
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte))
}

fn origin_form(bytes: &[u8]) -> &[u8] {
    let Some(rest) = bytes
        .strip_prefix(b"http://")
        .or_else(|| bytes.strip_prefix(b"https://"))
    else {
        return bytes;
    };
    let path = rest.iter().position(|byte| *byte == b'/');
    path.and_then(|at| rest.get(at..)).unwrap_or_default()
}

fn token(rest: &[u8]) -> Result<Option<&str>, TargetError> {
    match rest.split_first() {
        None | Some((b'/', [])) => Ok(None),
        Some((b'/', text)) if is_token(text) => std::str::from_utf8(text)
            .map(Some)
            .map_err(|_| TargetError::Token),
        Some((b'/', _)) => Err(TargetError::Token),
        Some(_) => Err(TargetError::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths() {
        let announce = |token, query| Ok(Target::Announce { token, query });
        let table: &[(&[u8], Result<Target<'_>, TargetError>)] = &[
            (b"/announce", announce(None, b"")),
            (b"/announce/", announce(None, b"")),
            (b"/announce?a=b?c", announce(None, b"a=b?c")),
            (b"/announce/t-1.x_~?q", announce(Some("t-1.x_~"), b"q")),
            (b"http://host:1/announce/t?q", announce(Some("t"), b"q")),
            (
                b"/scrape/t",
                Ok(Target::Scrape {
                    token: Some("t"),
                    query: b"",
                }),
            ),
            (b"/announcer", Err(TargetError::Unknown)),
            (b"/", Err(TargetError::Unknown)),
            (b"", Err(TargetError::Unknown)),
            (b"http://host", Err(TargetError::Unknown)),
            (b"/announce/a/b", Err(TargetError::Token)),
            (b"/announce/%41", Err(TargetError::Token)),
        ];
        for (target, expected) in table {
            assert_eq!(Target::parse(target), *expected, "{target:?}");
        }
        let long = format!("/announce/{}", "a".repeat(TOKEN_MAX_BYTES + 1));
        assert_eq!(Target::parse(long.as_bytes()), Err(TargetError::Token));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = Target::parse(&bytes);
            let _ = Target::parse(&[b"/announce/", &bytes[..]].concat());
        }
    }
}
