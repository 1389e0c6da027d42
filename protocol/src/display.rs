//! Texts for people: names made visible, sizes and times made short.
//!
//! Names are data. What a peer, a torrent or a disk calls a file may hold control characters that a
//! terminal would obey, or invisible ones that make one name look like another: all are shown escaped.

use std::borrow::Cow;
use std::fmt::Write;

/// A text that is safe on a terminal: control characters, line separators, and characters that are
/// invisible or turn the direction of writing come out as `\n`, `\x1b` or `\u{202e}`. Escaping twice is escaping once.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| push_escaped(&mut out, c));
    Cow::Owned(out)
}

/// A name from the operating system that is safe on a terminal: like [`escape`], and bytes that are not UTF-8 come
/// out as `\xff`.
pub fn escape_os(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return escape(text);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        chunk
            .valid()
            .chars()
            .for_each(|c| push_escaped(&mut out, c));
        chunk
            .invalid()
            .iter()
            .for_each(|byte| push_byte(&mut out, *byte));
    }
    Cow::Owned(out)
}

/// A number of bytes in binary units: `0 B`, `1023 B`, `1.5 KiB`, `2.0 GiB`.
pub fn bytes_human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    // 1023.95 would be printed as 1024.0.
    while value >= 1023.95 {
        let Some(next) = units.next() else { break };
        unit = Some(next);
        value /= 1024.0;
    }
    format!("{value:.1} {}", unit.unwrap_or(&"B"))
}

/// A number of seconds in its two largest units: `0s`, `59s`, `1m 5s`, `2h 0m`, `3d 4h`.
pub fn duration_human(secs: u64) -> String {
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    match secs {
        0..60 => format!("{secs}s"),
        60..3600 => format!("{minutes}m {}s", secs % 60),
        3600..86_400 => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// Controls (C0, DEL, C1), line separators, and what has no width or turns the direction of writing.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if !is_hidden(c) => out.push(c),
        c if u32::from(c) < 0x80 => push_byte(out, c as u8),
        c => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
}

fn push_byte(out: &mut String, byte: u8) {
    let _ = write!(out, "\\x{byte:02x}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        for (text, shown) in [
            ("plain ünïcödé 名前 😀", "plain ünïcödé 名前 😀"),
            ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
            ("\x1b[31mred", "\\x1b[31mred"),
            ("\0\x07\x7f", "\\x00\\x07\\x7f"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("exe\u{202e}gpj", "exe\\u{202e}gpj"),
            (
                "\u{2066}\u{2069}\u{200e}\u{200f}",
                "\\u{2066}\\u{2069}\\u{200e}\\u{200f}",
            ),
            ("\u{2028}\u{2029}\u{85}", "\\u{2028}\\u{2029}\\u{85}"),
            ("zero\u{200b}width\u{feff}", "zero\\u{200b}width\\u{feff}"),
            ("back\\slash", "back\\slash"),
        ] {
            assert_eq!(escape(text), shown);
        }
        assert!(matches!(escape("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn bytes_that_are_no_text_are_shown() {
        assert_eq!(escape_os(b"caf\xe9 \xff\x1b"), "caf\\xe9 \\xff\\x1b");
        assert_eq!(escape_os("né\n".as_bytes()), "né\\n");
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes_human(bytes), shown);
        }
    }

    #[test]
    fn times_are_short() {
        for (secs, shown) in [
            (0, "0s"),
            (59, "59s"),
            (65, "1m 5s"),
            (3600, "1h 0m"),
            (86_399, "23h 59m"),
            (273_600, "3d 4h"),
        ] {
            assert_eq!(duration_human(secs), shown);
        }
    }

    proptest! {
        #[test]
        fn nothing_hidden_gets_through(text: String, bytes: Vec<u8>) {
            let once = escape(&text);
            prop_assert!(!once.contains(is_hidden));
            prop_assert_eq!(escape(&once), once.as_ref());
            prop_assert!(!escape_os(&bytes).contains(is_hidden));
        }
    }
}
