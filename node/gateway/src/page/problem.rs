//! Pages that say what happened and what to do.

use super::{asked, icons, rendered, sentence};
use crate::answer::Problem;
use askama::Template;
use http::StatusCode;
use shoal_protocol::hello::Refusal;

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    heading: &'static str,
    icon: &'static str,
    what: String,
    next: Option<String>,
    /// Whether it may pass by itself.
    again: bool,
    /// The link in which it happened, if that gives something else.
    back: Option<&'a str>,
}

/// The page of something that is not given.
pub(crate) fn problem(problem: &Problem) -> String {
    let asked = asked(problem.contact.as_deref());
    let page = |heading, icon, what: &str, next: String| ProblemPage {
        heading,
        icon,
        what: what.to_owned(),
        next: Some(next),
        again: false,
        back: None,
    };
    rendered(&match problem.refusal {
        Some(Refusal::Expired) => page(
            "This link has expired",
            icons::CLOCK,
            "It was given out for a time, and that time is over. The files themselves are untouched where they came from.",
            format!("{asked} for a new one."),
        ),
        Some(Refusal::Stopped) => page(
            "This link was stopped",
            icons::STOP,
            "Whoever shared these files has ended the link.",
            format!("{asked} whether there is a new one."),
        ),
        Some(Refusal::UsedUp) => page(
            "This link is used up",
            icons::DONE,
            "It was given out for a number of downloads, and all of them were made.",
            format!(
                "{asked} for a new one. If you were in the middle of it, go on from the same device and address."
            ),
        ),
        Some(Refusal::Resting) => ProblemPage {
            again: true,
            ..page(
                "This link is resting",
                icons::MOON,
                "The link is good, but its files cannot be read where they are kept. A disk may be unplugged, or they may have been moved.",
                format!(
                    "Try again in a while; this page asks again by itself. {asked} if it lasts."
                ),
            )
        },
        Some(Refusal::Unknown) => page(
            "There is no such link",
            icons::LOST,
            "Nothing is shared at this address. A letter may have been lost when it was copied.",
            "Copy the whole link again, or ask whoever sent it to you.".to_owned(),
        ),
        Some(Refusal::Password | Refusal::WrongPassword | Refusal::TooManyTries) => page(
            "This link needs a password",
            icons::LOCK,
            "Its files are shown to whoever knows the password.",
            format!("{asked} for it."),
        ),
        None => ProblemPage {
            heading: heading(problem.status),
            icon: icons::LOST,
            what: sentence(&problem.sentence),
            next: None,
            again: false,
            back: problem.back.as_deref(),
        },
    })
}

fn heading(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "There is nothing here",
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => "This file has changed",
        StatusCode::SERVICE_UNAVAILABLE => "Not at the moment",
        StatusCode::REQUEST_TIMEOUT => "That took too long",
        _ => "This did not work",
    }
}
