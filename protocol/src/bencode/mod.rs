//! Bencode (BEP 3): a borrowed parser without allocations, and an encoder that can only write
//! canonical bytes.
//!
//! A [`Value`] is a checked span of the input: containers are walked by iterators, and the exact
//! bytes of every value stay at hand, because an infohash is over bytes and not over meanings.
//! Nesting is limited to [`BENCODE_MAX_DEPTH`] and nothing recurses, so that hostile input costs
//! no stack and no memory.

mod encode;
mod scan;
#[cfg(test)]
mod tests;

pub use encode::{DictEncoder, Encoder, ListEncoder, Written};

use crate::limits::BENCODE_MAX_DEPTH;
use scan::{KeyOrder, scan};

/// Why bytes are no bencoded value (BEP 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BencodeError {
    /// The input ends inside of a value.
    #[error("bencoded data ends too early, at byte {at}")]
    Short {
        /// Offset in bytes.
        at: usize,
    },
    /// Bytes follow the value.
    #[error("bencoded data has bytes left over, from byte {at}")]
    Trailing {
        /// Offset in bytes.
        at: usize,
    },
    /// A byte that begins or ends nothing here.
    #[error("byte {at} is not bencode")]
    Unexpected {
        /// Offset in bytes.
        at: usize,
    },
    /// An integer or length with superfluous zeros or a minus zero, or one that does not fit 64 bits.
    #[error("the number at byte {at} is malformed or too large")]
    Number {
        /// Offset in bytes.
        at: usize,
    },
    /// Deeper than [`BENCODE_MAX_DEPTH`].
    #[error("bencoded data is nested deeper than {BENCODE_MAX_DEPTH} levels, at byte {at}")]
    Depth {
        /// Offset in bytes.
        at: usize,
    },
    /// A dictionary key is out of order or there twice (strict parsing only).
    #[error("the dictionary key at byte {at} is out of order or there twice")]
    KeyOrder {
        /// Offset in bytes.
        at: usize,
    },
}

/// A bencoded value, borrowed from checked bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer.
    Int(i64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A list.
    List(List<'a>),
    /// A dictionary.
    Dict(Dict<'a>),
}

impl<'a> Value<'a> {
    /// Parses exactly one value, as found in the wild: dictionary keys may be out of order or
    /// doubled, because real `.torrent` files have them and their infohash is over those bytes.
    pub fn parse(input: &'a [u8]) -> Result<Self, BencodeError> {
        let (value, rest) = Self::parse_prefix(input)?;
        match rest {
            [] => Ok(value),
            _ => Err(BencodeError::Trailing {
                at: input.len() - rest.len(),
            }),
        }
    }

    /// Parses exactly one value in canonical form: keys strictly ascending.
    pub fn parse_canonical(input: &'a [u8]) -> Result<Self, BencodeError> {
        let end = scan(input, KeyOrder::Ascending)?;
        if end < input.len() {
            return Err(BencodeError::Trailing { at: end });
        }
        Ok(Self::checked(input))
    }

    /// Parses one value and gives what follows it (BEP 9 data messages).
    pub fn parse_prefix(input: &'a [u8]) -> Result<(Self, &'a [u8]), BencodeError> {
        let end = scan(input, KeyOrder::Any)?;
        let (span, rest) = input.split_at(end);
        Ok((Self::checked(span), rest))
    }

    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The byte string, if it is one.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(value) => Some(value),
            _ => None,
        }
    }

    /// The byte string as text, if it is one and UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        self.as_bytes()
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<List<'a>> {
        match self {
            Self::List(list) => Some(*list),
            _ => None,
        }
    }

    /// The dictionary, if it is one.
    pub fn as_dict(&self) -> Option<Dict<'a>> {
        match self {
            Self::Dict(dict) => Some(*dict),
            _ => None,
        }
    }

    /// The value of a span that `scan` has accepted.
    fn checked(span: &'a [u8]) -> Self {
        match span.first() {
            Some(b'i') => Self::Int(scan::number(span, 1).map_or(0, |(value, _)| value)),
            Some(b'l') => Self::List(List { span }),
            Some(b'd') => Self::Dict(Dict { span }),
            _ => Self::Bytes(scan::byte_string(span, 0).map_or(&[], |(bytes, _)| bytes)),
        }
    }
}

/// A list: a checked span of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List<'a> {
    span: &'a [u8],
}

impl<'a> List<'a> {
    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut left = inner(self.span);
        std::iter::from_fn(move || next_value(&mut left))
    }

    /// The exact bytes, from `l` to `e`.
    pub fn raw(&self) -> &'a [u8] {
        self.span
    }
}

/// A dictionary: a checked span of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dict<'a> {
    span: &'a [u8],
}

impl<'a> Dict<'a> {
    /// Keys and values in the order of the bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> + use<'a> {
        let mut left = inner(self.span);
        std::iter::from_fn(move || {
            let key = next_value(&mut left)?.as_bytes()?;
            Some((key, next_value(&mut left)?))
        })
    }

    /// The first value of a key. Walks the dictionary: use [`Dict::iter`] for many keys of a large one.
    pub fn get(&self, key: &[u8]) -> Option<Value<'a>> {
        self.iter()
            .find(|(found, _)| *found == key)
            .map(|(_, value)| value)
    }

    /// The exact bytes, from `d` to `e`: what an infohash is over.
    pub fn raw(&self) -> &'a [u8] {
        self.span
    }
}

/// What is between the first and the last byte.
fn inner(span: &[u8]) -> &[u8] {
    span.get(1..span.len().saturating_sub(1))
        .unwrap_or_default()
}

/// Takes the next value off checked bytes.
fn next_value<'a>(left: &mut &'a [u8]) -> Option<Value<'a>> {
    if left.is_empty() {
        return None;
    }
    let (value, rest) = Value::parse_prefix(left).ok()?;
    *left = rest;
    Some(value)
}
