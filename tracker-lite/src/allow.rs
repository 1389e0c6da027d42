//! A list of known torrents, as the program reads it from a file.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use shoal_protocol::id::InfoHash;
use shoal_protocol::tracker::target::is_token;

use crate::torrents::{Proof, Torrents, Verdict};

/// Torrents that are tracked, each with the token that its announces must carry, if any. It can be replaced while the
/// tracker runs.
#[derive(Debug, Default)]
pub struct AllowList {
    tokens: RwLock<Tokens>,
}

type Tokens = HashMap<InfoHash, Option<Box<str>>>;

/// Why a text is no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowListError {
    /// A line does not begin with an infohash.
    #[error(
        "line {line}: an infohash of 40 hexadecimal digits must come first, and then, if you like, a blank and a token"
    )]
    Infohash {
        /// Counted from 1.
        line: usize,
    },
    /// A token has characters that cannot stand in an announce path.
    #[error("line {line}: a token may have up to 128 of A-Z a-z 0-9 - . _ ~")]
    Token {
        /// Counted from 1.
        line: usize,
    },
}

impl AllowList {
    /// Replaces the list by the one in `text`: an infohash in hexadecimal digits on each line, a token behind it if
    /// announces must carry one; `#` begins a comment. On an error the old list stays. Returns the number of torrents
    /// and those that are no longer listed.
    pub fn replace(&self, text: &str) -> Result<(usize, Vec<InfoHash>), AllowListError> {
        let fresh = parse(text)?;
        let count = fresh.len();
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *tokens, fresh);
        let gone = old
            .into_keys()
            .filter(|infohash| !tokens.contains_key(infohash))
            .collect();
        Ok((count, gone))
    }
}

impl Torrents for AllowList {
    /// Infohashes of a list may be known to anybody, so a token that is asked for is asked for over UDP as well.
    fn check(&self, infohash: &InfoHash, proof: Proof<'_>) -> Verdict {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        match tokens.get(infohash) {
            Some(None) => Verdict::Known,
            Some(Some(expected)) => match proof {
                Proof::Token(token) if same(token, expected) => Verdict::Known,
                _ => Verdict::Unknown,
            },
            None => Verdict::Unknown,
        }
    }
}

fn parse(text: &str) -> Result<Tokens, AllowListError> {
    let mut tokens = Tokens::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let Some(infohash) = words.next() else {
            continue;
        };
        let infohash = from_hex(infohash).ok_or(AllowListError::Infohash { line: line_number })?;
        let token = words.next();
        if token.is_some_and(|token| !is_token(token.as_bytes())) || words.next().is_some() {
            return Err(AllowListError::Token { line: line_number });
        }
        tokens.insert(infohash, token.map(Box::from));
    }
    Ok(tokens)
}

/// By hand: the general decoder would be the largest function of the program, for as long as the tracker runs.
fn from_hex(text: &str) -> Option<InfoHash> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let mut hash = [0; 20];
    if pairs.len() != hash.len() {
        return None;
    }
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        let digit = |char: u8| char::from(char).to_digit(16);
        *byte = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
    }
    Some(InfoHash(hash))
}

/// Compares in a time that depends on the length alone: a token is a secret.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes()
            .zip(b.bytes())
            .fold(0, |sum, (a, b)| sum | (a ^ b))
            == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn torrents_with_and_without_token() {
        let list = AllowList::default();
        let (free, guarded, other) = (InfoHash([1; 20]), InfoHash([2; 20]), InfoHash([3; 20]));
        let text = format!(
            "# mine\n{free}\n\n  {} tok-1 # with a token\n",
            guarded.to_hex().to_uppercase()
        );
        assert_eq!(list.replace(&text), Ok((2, vec![])));
        for proof in [Proof::Nothing, Proof::Untold, Proof::Token("any")] {
            assert_eq!(list.check(&free, proof), Verdict::Known);
        }
        assert_eq!(list.check(&guarded, Proof::Token("tok-1")), Verdict::Known);
        for proof in [
            Proof::Nothing,
            Proof::Untold,
            Proof::Token("tok-2"),
            Proof::Token("tok-"),
            Proof::Token(""),
        ] {
            assert_eq!(list.check(&guarded, proof), Verdict::Unknown);
        }
        assert_eq!(list.check(&other, Proof::Nothing), Verdict::Unknown);
        assert_eq!(list.replace(&free.to_hex()), Ok((1, vec![guarded])));
    }

    #[test]
    fn a_bad_line_leaves_the_list_as_it_was() {
        let list = AllowList::default();
        let infohash = InfoHash([1; 20]);
        list.replace(&infohash.to_hex()).unwrap();
        assert_eq!(
            list.replace("\nabc"),
            Err(AllowListError::Infohash { line: 2 })
        );
        for token in ["a/b", "a b", "é"] {
            assert_eq!(
                list.replace(&format!("{infohash} {token}")),
                Err(AllowListError::Token { line: 1 })
            );
        }
        assert_eq!(list.check(&infohash, Proof::Nothing), Verdict::Known);
    }

    #[test]
    fn infohashes_are_read_as_everywhere() {
        let hash = InfoHash(std::array::from_fn(|at| at as u8 * 13));
        for text in [
            hash.to_hex(),
            hash.to_hex().to_uppercase(),
            "".into(),
            "a".repeat(39),
            "a".repeat(41),
            "g".repeat(40),
            "é".repeat(20),
        ] {
            assert_eq!(from_hex(&text), InfoHash::from_hex(&text).ok(), "{text}");
        }
    }
}
