//! The options behind a UDP announce (BEP 41): path and query of the tracker's address, in pieces.

use std::borrow::Cow;

const END_OF_OPTIONS: u8 = 0;
const NOP: u8 = 1;
const URL_DATA: u8 = 2;

/// Bytes of URL data, all pieces together.
pub const URL_DATA_MAX_BYTES: usize = 1024;

/// Path and query of the address by which the client knows the tracker: `/announce/<token>?x=y`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UrlData<'a>(pub Cow<'a, [u8]>);

/// Why bytes are no options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlDataError {
    /// An option says that it is longer than what is left.
    #[error("an option ends behind the packet")]
    Short,
    /// More than [`URL_DATA_MAX_BYTES`].
    #[error("the tracker address is longer than {URL_DATA_MAX_BYTES} bytes")]
    TooLong,
}

impl<'a> UrlData<'a> {
    /// Reads options up to the end of options or of `bytes`. Unknown options are skipped.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, UrlDataError> {
        let mut rest = bytes;
        let mut url: Cow<'a, [u8]> = Cow::Borrowed(&[]);
        while let Some((option, tail)) = rest.split_first() {
            rest = tail;
            match *option {
                END_OF_OPTIONS => break,
                NOP => continue,
                _ => {}
            }
            let (len, tail) = rest.split_first().ok_or(UrlDataError::Short)?;
            let (piece, tail) = tail
                .split_at_checked(usize::from(*len))
                .ok_or(UrlDataError::Short)?;
            rest = tail;
            if *option != URL_DATA {
                continue;
            }
            if url.len() + piece.len() > URL_DATA_MAX_BYTES {
                return Err(UrlDataError::TooLong);
            }
            if url.is_empty() {
                url = Cow::Borrowed(piece);
            } else {
                url.to_mut().extend_from_slice(piece);
            }
        }
        Ok(Self(url))
    }

    /// Appends the options that carry this.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for piece in self.0.chunks(usize::from(u8::MAX)) {
            out.push(URL_DATA);
            out.push(u8::try_from(piece.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(piece);
        }
        if !self.0.is_empty() {
            out.push(END_OF_OPTIONS);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_bep_41() {
        let table: &[(&[u8], &[u8])] = &[
            (b"", b""),
            (b"\x02\x0c/dir?a=b&c=d", b"/dir?a=b&c=d"),
            (b"\x02\x0c/dir?a=b&c=d\x00garbage", b"/dir?a=b&c=d"),
            (b"\x02\x05/dir?\x01\x02\x07a=b&c=d\x00", b"/dir?a=b&c=d"),
            (b"\x02\x00", b""),
            (b"\x07\x02xx\x02\x01/", b"/"),
        ];
        for (options, url) in table {
            assert_eq!(UrlData::parse(options).unwrap().0.as_ref(), *url);
        }
        assert_eq!(UrlData::parse(b"\x02"), Err(UrlDataError::Short));
        assert_eq!(UrlData::parse(b"\x02\x03ab"), Err(UrlDataError::Short));
        let long = [&b"\x02\xff"[..], &[b'a'; 255]].concat().repeat(5);
        assert_eq!(UrlData::parse(&long), Err(UrlDataError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = UrlData::parse(&bytes);
        }

        #[test]
        fn goes_round(url in proptest::collection::vec(any::<u8>(), 0..=URL_DATA_MAX_BYTES)) {
            let data = UrlData(Cow::Owned(url));
            let mut out = Vec::new();
            data.encode(&mut out);
            prop_assert_eq!(UrlData::parse(&out).unwrap(), data);
        }
    }
}
