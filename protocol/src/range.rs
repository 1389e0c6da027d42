//! The `Range` header of RFC 9110, section 14.

use std::ops::Range;

/// Bytes of a `Range` header that is looked at; a longer one is ignored.
const HEADER_MAX_BYTES: usize = 256;

/// What to answer to a request for a file of a known size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selected {
    /// 200: all of it. There is no range, or one that may be ignored: another unit, malformed, several.
    Whole,
    /// 206: these bytes; never empty and never beyond the size.
    Part(Range<u64>),
    /// 416: it begins beyond the end.
    Unsatisfiable,
}

/// Reads a `Range` header against a file's size.
///
/// RFC 9110 lets a server ignore the header, and asks it to where the unit or the syntax is unknown. Several ranges
/// are ignored as well: nobody who takes files asks for them, and answering costs more than the whole file.
pub fn select(header: Option<&str>, size_bytes: u64) -> Selected {
    match header.and_then(parse) {
        None => Selected::Whole,
        Some(spec) => spec
            .resolve(size_bytes)
            .map_or(Selected::Unsatisfiable, Selected::Part),
    }
}

/// The `Content-Range` of a 206.
pub fn content_range(part: &Range<u64>, size_bytes: u64) -> String {
    format!(
        "bytes {}-{}/{size_bytes}",
        part.start,
        part.end.saturating_sub(1)
    )
}

/// The `Content-Range` of a 416.
pub fn content_range_unsatisfiable(size_bytes: u64) -> String {
    format!("bytes */{size_bytes}")
}

/// One range as it is written.
#[derive(Clone, Copy)]
enum Spec {
    /// `first-` or `first-last`
    From { first: u64, last: u64 },
    /// `-len`
    Suffix { len: u64 },
}

impl Spec {
    fn resolve(self, size_bytes: u64) -> Option<Range<u64>> {
        let (start, end) = match self {
            Self::From { first, last } => (first, last.saturating_add(1).min(size_bytes)),
            Self::Suffix { len } => (size_bytes.saturating_sub(len), size_bytes),
        };
        (start < end).then_some(start..end)
    }
}

fn parse(header: &str) -> Option<Spec> {
    if header.len() > HEADER_MAX_BYTES {
        return None;
    }
    let (unit, set) = header.trim().split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    // A list may have empty members: `bytes=0-1,`.
    let mut members = set
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']))
        .filter(|m| !m.is_empty());
    let (first, last) = members.next()?.split_once('-')?;
    if members.next().is_some() {
        return None;
    }
    match (first, last) {
        ("", len) => Some(Spec::Suffix { len: number(len)? }),
        (first, "") => Some(Spec::From {
            first: number(first)?,
            last: u64::MAX,
        }),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::From { first, last })
        }
    }
}

/// Digits only. What does not fit 64 bits is beyond the end of any file.
fn number(digits: &str) -> Option<u64> {
    let valid = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_rfc_9110() {
        for (header, range) in [
            ("bytes=0-499", 0..500),
            ("bytes=500-999", 500..1000),
            ("bytes=-500", 9500..10_000),
            ("bytes=9500-", 9500..10_000),
            ("bytes=0-0", 0..1),
            ("bytes=-1", 9999..10_000),
            ("bytes= 0-999", 0..1000),
            ("Bytes=0-999 , ", 0..1000),
            ("bytes=9999-99999999999999999999999999", 9999..10_000),
            ("bytes=-99999999999999999999999999", 0..10_000),
            ("bytes=0-", 0..10_000),
        ] {
            assert_eq!(
                select(Some(header), 10_000),
                Selected::Part(range),
                "{header}"
            );
        }
    }

    #[test]
    fn what_may_be_ignored_is() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=,",
            "bytes=5-4",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1--2",
            "bytes=0x1-2",
            "items=0-1",
            "bytes=0-0,-1",
            "bytes=0-0,2-3,5-",
            "bytes =0-1",
        ] {
            assert_eq!(select(Some(header), 10_000), Selected::Whole, "{header}");
        }
        assert_eq!(
            select(Some(&format!("bytes={}0-1", " ".repeat(300))), 10),
            Selected::Whole
        );
        assert_eq!(select(None, 0), Selected::Whole);
    }

    #[test]
    fn what_is_beyond_the_end_cannot_be_had() {
        for (header, size) in [
            ("bytes=10-", 10),
            ("bytes=10-20", 10),
            ("bytes=-0", 10),
            ("bytes=0-", 0),
            ("bytes=-5", 0),
            ("bytes=18446744073709551615-18446744073709551615", u64::MAX),
        ] {
            assert_eq!(
                select(Some(header), size),
                Selected::Unsatisfiable,
                "{header} of {size}"
            );
        }
    }

    #[test]
    fn answers_are_written_like_this() {
        assert_eq!(content_range(&(0..500), 1234), "bytes 0-499/1234");
        assert_eq!(content_range_unsatisfiable(1234), "bytes */1234");
    }

    proptest! {
        #[test]
        fn parts_are_inside_and_never_empty(header in "bytes=[0-9,-]{0,24}|.{0,20}", size: u64) {
            if let Selected::Part(part) = select(Some(&header), size) {
                prop_assert!(part.start < part.end && part.end <= size);
            }
        }

        #[test]
        fn ranges_go_round(a: u64, b: u64, size: u64) {
            let (first, last) = (a.min(b), a.max(b));
            let expected = if first < size { Selected::Part(first..last.saturating_add(1).min(size)) } else { Selected::Unsatisfiable };
            prop_assert_eq!(select(Some(&format!("bytes={first}-{last}")), size), expected);
        }
    }
}
