//! What happened, as a number: two runs of one seed must give the same.

use std::fmt::{self, Write};

/// A running hash (FNV-1a) over everything that happened, and the text of it where somebody wants to read it.
#[derive(Debug, Clone)]
pub struct Trace {
    hash: u64,
    text: Option<String>,
}

/// Whether the text is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Only the hash.
    Hash,
    /// The text too.
    Text,
}

impl Trace {
    /// An empty one.
    pub fn new(keep: Keep) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            text: (keep == Keep::Text).then(String::new),
        }
    }

    /// Takes a line in.
    pub fn line(&mut self, what: fmt::Arguments<'_>) {
        // Cannot fail: neither the hash nor a String refuses text.
        let _ = self.write_fmt(what);
        let _ = self.write_char('\n');
    }

    /// The hash of all lines so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The lines, if they were kept.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if let Some(kept) = &mut self.text {
            kept.push_str(text);
        }
        Ok(())
    }
}
