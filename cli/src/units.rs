//! Numbers and moments as people read them; sizes and lengths of time are `protocol`'s.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use shoal_api::{ReachScope, Way};
use shoal_protocol::display::bytes_human;

/// Bytes a second.
pub(crate) fn speed(bytes_per_s: u64) -> String {
    format!("{}/s", bytes_human(bytes_per_s))
}

/// What people write for bytes a second: `500K`, `2M`, `1.5M`, `20000`; the letters are of 1024.
pub(crate) fn parse_speed(text: &str) -> Result<u64, String> {
    let text = text
        .trim()
        .trim_end_matches("/s")
        .trim_end_matches(['B', 'b']);
    let text = text.trim_end_matches('i');
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1_u64 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let number: f64 = number
        .trim()
        .parse()
        .map_err(|_| "a speed is a number of bytes a second, such as 500K or 2M".to_owned())?;
    let bytes = number * unit as f64;
    if (1.0..1e15).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err("a speed is more than nothing, and less than a petabyte a second".to_owned())
    }
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// `one person`, `2 people`: takers who have everything.
pub(crate) fn people(number: u64) -> String {
    match number {
        1 => "one person".to_owned(),
        _ => format!("{number} people"),
    }
}

/// Whole hundredths that `part` is of `whole`; an empty whole is complete.
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    match whole {
        0 => 100,
        _ => {
            u64::try_from(u128::from(part) * 100 / u128::from(whole)).map_or(100, |it| it.min(100))
        }
    }
}

/// A moment where this computer is: `2030-01-31 18:05:09`.
pub(crate) fn moment(unix_s: u64) -> String {
    i64::try_from(unix_s)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(
            || "unknown".to_owned(),
            |at| {
                at.to_zoned(TimeZone::system())
                    .strftime("%Y-%m-%d %H:%M:%S")
                    .to_string()
            },
        )
}

/// The word for a way.
pub(crate) fn way(way: Way) -> &'static str {
    match way {
        Way::Iroh => "iroh",
        Way::Torrent => "torrent",
        Way::Http => "http",
    }
}

/// The words for a reach.
pub(crate) fn scope(scope: ReachScope) -> &'static str {
    match scope {
        ReachScope::Machine => "this machine",
        ReachScope::Network => "this network",
        ReachScope::Internet => "the internet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(0, "file"), "0 files");
    }

    #[test]
    fn hundredths() {
        for (part, whole, hundredths) in [
            (0, 0, 100),
            (0, 1, 0),
            (1, 3, 33),
            (2, 1, 100),
            (u64::MAX, u64::MAX, 100),
        ] {
            assert_eq!(percent(part, whole), hundredths, "{part} of {whole}");
        }
    }

    #[test]
    fn speeds_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("20000", 20_000),
            ("500K", 512_000),
            ("2M", 2 << 20),
            ("1.5 MiB/s", 3 << 19),
            ("1gb", 1 << 30),
        ] {
            assert_eq!(parse_speed(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "fast", "0", "-1M", "NaN", "1e30", "é"] {
            assert!(parse_speed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_out_of_range_is_unknown() {
        assert_eq!(moment(u64::MAX), "unknown");
        assert!(moment(0).starts_with("19"));
    }
}
