//! The canonical byte form of what is signed or hashed: one value has one encoding, and a
//! decoder refuses every other. Integers are LEB128 without superfluous bytes; byte strings
//! carry their length.

/// Why bytes are no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("it ends too early")]
    Short,
    /// Bytes are left over.
    #[error("it has bytes left over")]
    Trailing,
    /// The same value could be written shorter, or a field is out of order.
    #[error("it is not in canonical form")]
    NotCanonical,
    /// A length or count is above its limit.
    #[error("{what} is over its limit of {limit}")]
    Limit {
        /// Which field.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A version or kind from the future.
    #[error("it was made by a newer version of shoal: please upgrade")]
    Newer,
    /// A field has a value that it may not have.
    #[error("{0}")]
    Invalid(&'static str),
}

/// Writes canonical bytes.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// An unsigned integer, LEB128.
    pub fn uint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A signed integer, zigzag and LEB128.
    pub fn int(&mut self, value: i64) {
        self.uint(((value << 1) ^ (value >> 63)) as u64);
    }

    /// Bytes of known length, as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Length and bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.uint(bytes.len() as u64);
        self.raw(bytes);
    }

    /// The bytes written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads canonical bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.0.split_first().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    /// An unsigned integer.
    pub fn uint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::NotCanonical);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(DecodeError::NotCanonical);
                }
                return Ok(value);
            }
        }
        Err(DecodeError::NotCanonical)
    }

    /// A signed integer.
    pub fn int(&mut self) -> Result<i64, DecodeError> {
        let value = self.uint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A count or length of at most `limit`.
    pub fn count(&mut self, what: &'static str, limit: usize) -> Result<usize, DecodeError> {
        usize::try_from(self.uint()?)
            .ok()
            .filter(|n| *n <= limit)
            .ok_or(DecodeError::Limit { what, limit })
    }

    /// As many bytes as asked for.
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        if len > self.0.len() {
            return Err(DecodeError::Short);
        }
        let (head, rest) = self.0.split_at(len);
        self.0 = rest;
        Ok(head)
    }

    /// An array of bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.raw(N)?.try_into().map_err(|_| DecodeError::Short)
    }

    /// Length and bytes, of at most `limit`.
    pub fn bytes(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], DecodeError> {
        let len = self.count(what, limit)?;
        self.raw(len)
    }

    /// Length and UTF-8 bytes, of at most `limit` bytes.
    pub fn text(&mut self, what: &'static str, limit: usize) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes(what, limit)?)
            .map_err(|_| DecodeError::Invalid("a text is not UTF-8"))
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.0.len()
    }

    /// Ends reading; nothing may be left over.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_go_round(value: u64, signed: i64) {
            let mut w = Writer::new();
            w.uint(value);
            w.int(signed);
            let bytes = w.finish();
            let mut r = Reader::new(&bytes);
            prop_assert_eq!(r.uint(), Ok(value));
            prop_assert_eq!(r.int(), Ok(signed));
            prop_assert_eq!(r.finish(), Ok(()));
        }

        #[test]
        fn what_decodes_has_one_encoding(bytes: Vec<u8>) {
            let mut r = Reader::new(&bytes);
            if let Ok(value) = r.uint() {
                let used = bytes.len() - r.left();
                let mut w = Writer::new();
                w.uint(value);
                prop_assert_eq!(w.finish(), &bytes[..used]);
            }
        }
    }

    #[test]
    fn refuses_long_forms_and_overflow() {
        assert_eq!(
            Reader::new(&[0x80, 0x00]).uint(),
            Err(DecodeError::NotCanonical)
        );
        assert_eq!(
            Reader::new(&[0xff; 11]).uint(),
            Err(DecodeError::NotCanonical)
        );
        assert_eq!(Reader::new(&[0x80]).uint(), Err(DecodeError::Short));
        assert_eq!(
            Reader::new(&[5, 1]).bytes("name", 4),
            Err(DecodeError::Limit {
                what: "name",
                limit: 4
            })
        );
    }
}
