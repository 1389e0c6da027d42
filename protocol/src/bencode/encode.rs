//! Writes bencode. Dictionaries come out with ascending, unique keys whatever the caller does.

use super::Value;
use std::collections::BTreeMap;

/// Writes one bencoded value.
///
/// ```
/// use shoal_protocol::bencode::Encoder;
/// let bytes = Encoder::dict(|d| {
///     d.entry(b"cow", |e| e.bytes(b"moo"));
///     d.entry(b"spam", |e| e.list(|l| l.value(|e| e.int(-3))));
/// });
/// assert_eq!(bytes, b"d3:cow3:moo4:spamli-3eee");
/// ```
#[derive(Debug)]
pub struct Encoder<'o> {
    out: &'o mut Vec<u8>,
}

/// Proof that one value was written: only an [`Encoder`] makes it, and writing uses the encoder up.
#[derive(Debug)]
pub struct Written(());

impl<'o> Encoder<'o> {
    /// The bytes of a dictionary.
    pub fn dict(fill: impl FnOnce(&mut DictEncoder<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        Encoder { out: &mut out }.nested_dict(fill);
        out
    }

    /// The bytes of any one value.
    pub fn encode(write: impl FnOnce(Encoder<'_>) -> Written) -> Vec<u8> {
        let mut out = Vec::new();
        write(Encoder { out: &mut out });
        out
    }

    /// Writes an integer.
    pub fn int(self, value: i64) -> Written {
        self.out.push(b'i');
        self.out.extend_from_slice(value.to_string().as_bytes());
        self.out.push(b'e');
        Written(())
    }

    /// Writes a byte string.
    pub fn bytes(self, value: &[u8]) -> Written {
        self.out
            .extend_from_slice(value.len().to_string().as_bytes());
        self.out.push(b':');
        self.out.extend_from_slice(value);
        Written(())
    }

    /// Writes a text as UTF-8.
    pub fn str(self, value: &str) -> Written {
        self.bytes(value.as_bytes())
    }

    /// Writes a list.
    pub fn list(self, fill: impl FnOnce(&mut ListEncoder<'_>)) -> Written {
        self.out.push(b'l');
        fill(&mut ListEncoder { out: self.out });
        self.out.push(b'e');
        Written(())
    }

    /// Writes a dictionary.
    pub fn nested_dict(self, fill: impl FnOnce(&mut DictEncoder<'_>)) -> Written {
        let mut dict = DictEncoder {
            start: self.out.len(),
            last_key: None,
            order: Order::Ascending,
            out: self.out,
        };
        dict.out.push(b'd');
        fill(&mut dict);
        dict.out.push(b'e');
        dict.finish();
        Written(())
    }

    /// Writes a parsed value byte for byte, also where it is not canonical.
    pub fn raw(self, value: Value<'_>) -> Written {
        match value {
            Value::Int(value) => self.int(value),
            Value::Bytes(value) => self.bytes(value),
            Value::List(list) => self.raw_span(list.raw()),
            Value::Dict(dict) => self.raw_span(dict.raw()),
        }
    }

    /// Writes the bytes of one value that was checked before.
    pub(crate) fn raw_span(self, span: &[u8]) -> Written {
        self.out.extend_from_slice(span);
        Written(())
    }
}

/// Writes the items of a list.
#[derive(Debug)]
pub struct ListEncoder<'o> {
    out: &'o mut Vec<u8>,
}

impl ListEncoder<'_> {
    /// Writes the next item.
    pub fn value(&mut self, write: impl FnOnce(Encoder<'_>) -> Written) {
        write(Encoder { out: self.out });
    }
}

/// Writes the entries of a dictionary.
#[derive(Debug)]
pub struct DictEncoder<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    last_key: Option<(usize, usize)>,
    order: Order,
}

#[derive(Debug, PartialEq, Eq)]
enum Order {
    Ascending,
    Broken,
}

impl DictEncoder<'_> {
    /// Writes one entry. Ascending keys are cheapest; others are
    /// sorted at the end, and of a doubled key the last value stays.
    pub fn entry(&mut self, key: &[u8], write: impl FnOnce(Encoder<'_>) -> Written) {
        if let Some(last) = self
            .last_key
            .and_then(|(start, end)| self.out.get(start..end))
            && last >= key
        {
            self.order = Order::Broken;
        }
        Encoder { out: self.out }.bytes(key);
        self.last_key = Some((self.out.len() - key.len(), self.out.len()));
        write(Encoder { out: self.out });
    }

    /// Like [`DictEncoder::entry`], if there is a value.
    pub fn entry_if<T>(
        &mut self,
        key: &[u8],
        value: Option<T>,
        write: impl FnOnce(Encoder<'_>, T) -> Written,
    ) {
        if let Some(value) = value {
            self.entry(key, |encoder| write(encoder, value));
        }
    }

    fn finish(self) {
        if self.order == Order::Ascending {
            return;
        }
        let written = self.out.split_off(self.start);
        let Ok(Value::Dict(dict)) = Value::parse(&written) else {
            // Only nesting beyond the limit gets here; the bytes stay as they are.
            self.out.extend_from_slice(&written);
            return;
        };
        let sorted: BTreeMap<_, _> = dict.iter().collect();
        self.out.push(b'd');
        for (key, value) in sorted {
            Encoder { out: self.out }.bytes(key);
            Encoder { out: self.out }.raw(value);
        }
        self.out.push(b'e');
    }
}
