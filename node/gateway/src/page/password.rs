//! The page that asks for a password. It shows nothing of the link but whom to ask.

use super::{asked, icons, rendered, sentence};
use crate::answer::Problem;
use askama::Template;
use shoal_protocol::hello::Refusal;

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage<'a> {
    /// What went wrong before.
    wrong: Option<String>,
    asked: String,
    /// Where the form goes.
    action: &'a str,
    /// Whether others can read what is sent.
    readable: bool,
}

/// The form, with what went wrong before.
pub(crate) fn password(problem: &Problem, action: &str, readable: bool) -> String {
    let wrong = match problem.refusal {
        None | Some(Refusal::Password) => None,
        Some(_) => Some(sentence(&problem.sentence)),
    };
    rendered(&PasswordPage {
        wrong,
        asked: asked(problem.contact.as_deref()),
        action,
        readable,
    })
}
