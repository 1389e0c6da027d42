//! What takers do, as the log of a link and whoever listens are told of it.

use super::guesses::Noted;
use shoal_api::{Event, LogRow, LogWhat, Way};

/// Something that a taker did.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Happened {
    Opened,
    Started,
    Finished { bytes: u64 },
    Refused,
    Guess(Noted),
}

impl Happened {
    pub(crate) fn row(self, at_ms: u64, who: String, via: Way, program: Option<String>) -> LogRow {
        let mut detail = program.unwrap_or_default();
        let (what, bytes) = match self {
            Self::Opened => (LogWhat::Opened, 0),
            Self::Started => (LogWhat::Started, 0),
            Self::Finished { bytes } => (LogWhat::Finished, bytes),
            Self::Refused => (LogWhat::Refused, 0),
            Self::Guess(noted) => {
                put(&mut detail, noted);
                (LogWhat::WrongPassword, 0)
            }
        };
        LogRow {
            at_ms,
            who,
            via,
            what,
            bytes,
            detail,
        }
    }

    pub(crate) fn event(self, id: String, who: String, via: Way) -> Event {
        let bytes = 0;
        match self {
            Self::Opened => Event::Opened {
                id,
                who,
                via,
                bytes,
            },
            Self::Started => Event::Started {
                id,
                who,
                via,
                bytes,
            },
            Self::Finished { bytes } => Event::Finished {
                id,
                who,
                via,
                bytes,
            },
            Self::Refused => Event::Refused {
                id,
                who,
                via,
                bytes,
            },
            Self::Guess(Noted { tries, .. }) => Event::WrongPassword {
                id,
                who,
                via,
                tries,
            },
        }
    }
}

/// Behind the program that guesses.
fn put(detail: &mut String, noted: Noted) {
    let mut add = |text: String| {
        let between = if detail.is_empty() { "" } else { ", " };
        detail.extend([between, &text]);
    };
    if noted.tries > 1 {
        add(format!("wrong password {} in a row", noted.tries));
    }
    if noted.unnoted > 0 {
        add(format!("{} more tries have no row", noted.unnoted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_says_how_many() {
        let detail = |tries, unnoted, program: &str| {
            let guess = Happened::Guess(Noted { tries, unnoted });
            let row = guess.row(0, String::new(), Way::Http, Some(program.to_owned()));
            row.detail
        };
        assert_eq!(detail(1, 0, "curl/8"), "curl/8");
        assert_eq!(detail(2, 0, ""), "wrong password 2 in a row");
        assert_eq!(
            detail(4, 3, "curl/8"),
            "curl/8, wrong password 4 in a row, 3 more tries have no row"
        );
    }
}
