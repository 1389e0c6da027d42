//! Finds where a bencoded value ends and checks everything up to there, with a stack of fixed size.

use super::BencodeError;
use crate::limits::BENCODE_MAX_DEPTH;

/// What is asked of dictionary keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyOrder {
    /// Nothing.
    Any,
    /// Strictly ascending, as BEP 3 writes.
    Ascending,
}

/// An open container.
#[derive(Clone, Copy)]
enum Frame<'a> {
    List,
    /// A key comes next; the one before it, if any.
    DictKey(Option<&'a [u8]>),
    /// The value of this key comes next.
    DictValue(&'a [u8]),
}

/// The end of the value at the start of `input`.
pub(super) fn scan(input: &[u8], order: KeyOrder) -> Result<usize, BencodeError> {
    let mut stack = [Frame::List; BENCODE_MAX_DEPTH];
    let mut depth = 0usize;
    let mut at = 0;
    loop {
        let first = *input.get(at).ok_or(BencodeError::Short { at })?;
        let top = depth.checked_sub(1).and_then(|index| stack.get_mut(index));
        match (first, top) {
            (b'e', Some(Frame::List | Frame::DictKey(_))) => {
                depth -= 1;
                at += 1;
            }
            (b'0'..=b'9', Some(frame @ &mut Frame::DictKey(last))) => {
                let (key, end) = byte_string(input, at)?;
                if order == KeyOrder::Ascending && last.is_some_and(|last| last >= key) {
                    return Err(BencodeError::KeyOrder { at });
                }
                *frame = Frame::DictValue(key);
                at = end;
                continue;
            }
            (_, Some(Frame::DictKey(_))) => return Err(BencodeError::Unexpected { at }),
            (b'0'..=b'9', _) => at = byte_string(input, at)?.1,
            (b'i', _) => at = number(input, at + 1)?.1,
            (b'l' | b'd', _) => {
                let frame = if first == b'l' {
                    Frame::List
                } else {
                    Frame::DictKey(None)
                };
                *stack.get_mut(depth).ok_or(BencodeError::Depth { at })? = frame;
                depth += 1;
                at += 1;
                continue;
            }
            _ => return Err(BencodeError::Unexpected { at }),
        }
        // A value has just ended.
        match depth.checked_sub(1).and_then(|index| stack.get_mut(index)) {
            None => return Ok(at),
            Some(frame) => {
                if let Frame::DictValue(key) = *frame {
                    *frame = Frame::DictKey(Some(key));
                }
            }
        }
    }
}

/// An integer whose digits begin at `at`, and the end of its `e`.
pub(super) fn number(input: &[u8], at: usize) -> Result<(i64, usize), BencodeError> {
    let negative = input.get(at) == Some(&b'-');
    let digits_at = at + usize::from(negative);
    let (digits, end) = digits(input, digits_at)?;
    if input.get(end) != Some(&b'e') {
        return Err(end_of_digits(input, end));
    }
    if negative && digits == b"0" {
        return Err(BencodeError::Number { at });
    }
    let value = digits.iter().try_fold(0i64, |value, digit| {
        let digit = i64::from(digit - b'0');
        let value = value.checked_mul(10)?;
        if negative {
            value.checked_sub(digit)
        } else {
            value.checked_add(digit)
        }
    });
    Ok((value.ok_or(BencodeError::Number { at })?, end + 1))
}

/// A byte string whose length begins at `at`, and its end.
pub(super) fn byte_string(input: &[u8], at: usize) -> Result<(&[u8], usize), BencodeError> {
    let (digits, colon) = digits(input, at)?;
    if input.get(colon) != Some(&b':') {
        return Err(end_of_digits(input, colon));
    }
    let len = digits
        .iter()
        .try_fold(0usize, |len, digit| {
            len.checked_mul(10)?.checked_add(usize::from(digit - b'0'))
        })
        .ok_or(BencodeError::Number { at })?;
    let end = (colon + 1)
        .checked_add(len)
        .ok_or(BencodeError::Number { at })?;
    let bytes = input
        .get(colon + 1..end)
        .ok_or(BencodeError::Short { at: input.len() })?;
    Ok((bytes, end))
}

/// At least one digit without a superfluous zero, and where they end.
fn digits(input: &[u8], at: usize) -> Result<(&[u8], usize), BencodeError> {
    let rest = input.get(at..).unwrap_or_default();
    let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    match rest.get(..len) {
        None | Some([]) => Err(end_of_digits(input, at)),
        Some([b'0', _, ..]) => Err(BencodeError::Number { at }),
        Some(digits) => Ok((digits, at + len)),
    }
}

fn end_of_digits(input: &[u8], at: usize) -> BencodeError {
    if at < input.len() {
        BencodeError::Unexpected { at }
    } else {
        BencodeError::Short { at }
    }
}
