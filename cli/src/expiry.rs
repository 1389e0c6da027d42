//! When a link ends: `30m`, `12h`, `7d`, `2w`, or a date of RFC 3339.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

/// The longest a link may be asked to live. Beyond it a typing mistake is likelier than a wish.
const MAX_DAYS: i64 = 36_525;

/// What `--expires` says, not yet compared with the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// So long from now.
    After(SignedDuration),
    /// At that moment.
    At(Timestamp),
    /// At the end of that day, where this computer is.
    EndOf(Date),
}

impl std::str::FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Ok(moment) = text.parse::<Timestamp>() {
            return Ok(Self::At(moment));
        }
        if is_date(text) {
            return text
                .parse::<Date>()
                .map(Self::EndOf)
                .map_err(|_| format!("the calendar has no day {text}"));
        }
        duration(text).map(Self::After)
    }
}

impl Expiry {
    /// Seconds from `now` until the moment it means, at least one.
    pub(crate) fn resolve_s(self, now: Timestamp, zone: &TimeZone) -> Result<u64, String> {
        let beyond = || format!("that is more than {} years from now", MAX_DAYS / 365);
        let moment = match self {
            Self::After(length) => now.checked_add(length).map_err(|_| beyond())?,
            Self::At(moment) => moment,
            Self::EndOf(day) => day
                .checked_add(1.day())
                .and_then(|next| next.to_zoned(zone.clone()))
                .map_err(|_| beyond())?
                .timestamp(),
        };
        if moment <= now {
            return Err(format!("{moment} is over already (it is {now:.0} now)"));
        }
        let length = moment.duration_since(now);
        if length > SignedDuration::from_hours(24 * MAX_DAYS) {
            return Err(beyond());
        }
        u64::try_from(length.as_secs())
            .map(|seconds| seconds.max(1))
            .map_err(|_| beyond())
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    const FORMS: &str =
        "use 30m, 12h, 7d or 2w, or a date such as 2030-12-31 or 2030-12-31T18:00:00Z";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(format!("this is no time: {FORMS}"));
    }
    let unit_minutes: i64 = match unit {
        "m" => 1,
        "h" => 60,
        "d" => 24 * 60,
        "w" => 7 * 24 * 60,
        "" => return Err(format!("the unit is missing: {FORMS}")),
        _ => return Err(format!("there is no unit {unit:?}: {FORMS}")),
    };
    let minutes = number
        .parse::<i64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_minutes))
        .filter(|minutes| *minutes <= MAX_DAYS * 24 * 60)
        .ok_or_else(|| format!("that is more than {} years", MAX_DAYS / 365))?;
    if minutes == 0 {
        return Err(format!("a link that ends at once is of no use: {FORMS}"));
    }
    Ok(SignedDuration::from_mins(minutes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn now() -> Timestamp {
        "2030-01-01T12:00:00Z".parse().unwrap()
    }

    fn seconds_from_now(text: &str) -> Result<u64, String> {
        text.parse::<Expiry>()?.resolve_s(now(), &TimeZone::UTC)
    }

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("30m", 1_800),
            ("12h", 43_200),
            ("7d", 604_800),
            ("2w", 1_209_600),
            (" 1m ", 60),
            ("36525d", 36_525 * 86_400),
        ] {
            assert_eq!(seconds_from_now(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(seconds_from_now("2030-01-01"), Ok(12 * 3_600));
        assert_eq!(seconds_from_now("2030-01-01T12:00:01Z"), Ok(1));
        assert_eq!(seconds_from_now("2030-01-01T14:00:00+01:00"), Ok(3_600));
        let berlin = TimeZone::fixed(jiff::tz::offset(1));
        let at = "2030-01-01".parse::<Expiry>().unwrap();
        assert_eq!(at.resolve_s(now(), &berlin), Ok(11 * 3_600));
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "7",
            "d",
            "7y",
            "0d",
            "-1d",
            "1.5d",
            "7 d",
            "2029-12-31",
            "2030-02-30",
            "2029-12-31T00:00:00Z",
            "99999999999999999999d",
            "36526d",
            "2199-01-01",
            "9999-12-31",
            "tomorrow",
            "7d7d",
        ] {
            assert!(seconds_from_now(text).is_err(), "{text}");
        }
    }
}
