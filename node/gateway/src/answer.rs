//! Answers other than content: what happened and what to do, in the form that was asked for.

use crate::page;
use crate::port::{FileError, Links};
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use shoal_protocol::hello::Refusal;

/// On every answer that gives nothing because of the link itself: `unknown`, `stopped`, `expired`,
/// `used-up`, `resting`, `password`,
/// `wrong-password` or `too-many-tries`.
pub const REFUSAL_HEADER: HeaderName = HeaderName::from_static("shoal-refusal");

/// What a page of ours may load: nothing that does not come from this node, and nothing
/// that is written into it.
pub(crate) const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; frame-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What is no page may load nothing at all; answers that may replace it.
const SHUT_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

/// The form that a client prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Html,
    Json,
    Plain,
}

/// Something that is not given, and why.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) word: &'static str,
    pub(crate) sentence: String,
    pub(crate) refusal: Option<Refusal>,
    /// Whom to ask.
    pub(crate) contact: Option<String>,
    /// The link in which something was not found.
    pub(crate) back: Option<String>,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Form {
    /// By `Accept`. Browsers name text/html; `curl` and torrent clients name nothing.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut accepted = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|item| item.split(';').next().unwrap_or_default().trim());
        accepted
            .find_map(|media| match media.to_ascii_lowercase().as_str() {
                "application/json" => Some(Form::Json),
                "text/html" | "application/xhtml+xml" => Some(Form::Html),
                "text/plain" => Some(Form::Plain),
                _ => None,
            })
            .unwrap_or(Form::Plain)
    }
}

impl Problem {
    pub(crate) fn new(status: StatusCode, word: &'static str, sentence: impl Into<String>) -> Self {
        Self {
            status,
            word,
            sentence: sentence.into(),
            refusal: None,
            contact: None,
            back: None,
            header: None,
        }
    }

    /// A path that names nothing.
    pub(crate) fn nothing() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is nothing at this address: copy the whole link again",
        )
    }

    /// A method that a path does not have.
    pub(crate) fn method(allowed: &'static str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method",
            format!("this address answers {allowed} alone"),
        )
        .header(header::ALLOW, HeaderValue::from_static(allowed))
    }

    /// Something that hashing has yet to make.
    pub(crate) fn counting(status: StatusCode) -> Self {
        Self::new(
            status,
            "counting",
            "the files are still being counted: try again in a moment; each can be taken from the list already",
        )
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// With whom to ask, where a link is known to whoever asks.
    pub(crate) fn of(mut self, links: &dyn Links) -> Self {
        if self
            .refusal
            .is_some_and(|refusal| refusal != Refusal::Unknown)
        {
            self.contact = links.contact();
        }
        self
    }

    /// With the way back to a link that gives something else.
    pub(crate) fn back(mut self, path: String) -> Self {
        if self.refusal.is_none() {
            self.back = Some(path);
        }
        self
    }

    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }

    /// The answer, in a form that the client understands.
    pub(crate) fn answer(self, form: Form) -> Response {
        let (kind, body) = match form {
            Form::Html => ("text/html; charset=utf-8", page::problem(&self)),
            Form::Plain => ("text/plain; charset=utf-8", format!("{}\n", self.sentence)),
            Form::Json => (
                "application/json",
                serde_json::json!({"error": self.word, "message": self.sentence}).to_string(),
            ),
        };
        let mut response = page_response(self.status, kind, body);
        let headers = response.headers_mut();
        if let Some((name, value)) = self.header.map(|header| *header) {
            headers.insert(name, value);
        }
        if let Some(refusal) = self.refusal {
            refusal_header(headers, refusal);
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::Unknown => StatusCode::NOT_FOUND,
            Refusal::Stopped | Refusal::Expired | Refusal::UsedUp => StatusCode::GONE,
            Refusal::Resting => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Password | Refusal::WrongPassword => StatusCode::FORBIDDEN,
            Refusal::TooManyTries => StatusCode::TOO_MANY_REQUESTS,
        };
        let mut problem = Self::new(status, refusal_word(refusal), refusal.to_string());
        problem.refusal = Some(refusal);
        problem
    }
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Self {
        let (status, word) = match error {
            FileError::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            FileError::Folder => (StatusCode::NOT_FOUND, "folder"),
            FileError::Changed => (StatusCode::CONFLICT, "changed"),
            FileError::Unreadable => (StatusCode::SERVICE_UNAVAILABLE, "unreadable"),
        };
        Self::new(status, word, error.to_string())
    }
}

/// A small answer that nobody keeps.
pub(crate) fn page_response(status: StatusCode, kind: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    secret(headers);
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(PAGE_POLICY),
    );
    response
}

/// What holds for everything behind a secret address: nobody keeps it, passes the address on, lists
/// it, or guesses what it is.
pub(crate) fn secret(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CACHE_CONTROL, "private, no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
        (header::CONTENT_SECURITY_POLICY, SHUT_POLICY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Says to programs why nothing is given.
pub(crate) fn refusal_header(headers: &mut HeaderMap, refusal: Refusal) {
    let word = HeaderValue::from_static(refusal_word(refusal));
    headers.insert(REFUSAL_HEADER, word);
    if refusal == Refusal::TooManyTries {
        headers.insert(header::RETRY_AFTER, crate::password::retry_after());
    }
}

fn refusal_word(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Unknown => "unknown",
        Refusal::Stopped => "stopped",
        Refusal::Expired => "expired",
        Refusal::UsedUp => "used-up",
        Refusal::Resting => "resting",
        Refusal::Password => "password",
        Refusal::WrongPassword => "wrong-password",
        Refusal::TooManyTries => "too-many-tries",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_accept() {
        for (accept, form) in [
            (None, Form::Plain),
            (Some("*/*"), Form::Plain),
            (
                Some("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"),
                Form::Html,
            ),
            (Some("application/json"), Form::Json),
            (Some("Application/JSON; q=1"), Form::Json),
            (Some("image/*"), Form::Plain),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(Form::of(&headers), form, "{accept:?}");
        }
    }
}
