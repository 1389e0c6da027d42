//! The door of a link with a password: a form that works without a script, and for programs a challenge and a proof.

use crate::answer::{Form, Problem, page_response, refusal_header};
use crate::list::is_readable_by_others;
use crate::page;
use crate::port::{Knows, Links, Unlocked};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use percent_encoding::percent_decode_str;
use shoal_protocol::hello::Refusal;
use shoal_protocol::password::Proof;

/// What a program presents; browsers have a cookie.
pub const SESSION_HEADER: &str = "shoal-session";
/// Bytes of a form or a proof.
pub(crate) const UNLOCK_MAX_BYTES: usize = 8 * 1024;
/// Seconds after which another try may be worth it.
const RETRY_S: u64 = 30;

const COOKIE: &str = "shoal";
/// As [`crate::answer::PAGE_POLICY`], and the form may be sent here.
const FORM_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Who wants to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// A browser, with its form.
    Form,
    /// A program, with a proof.
    Proof,
}

/// The session that a request presents.
pub(crate) fn session(headers: &HeaderMap) -> Option<String> {
    if let Some(value) = headers.get(SESSION_HEADER) {
        return value.to_str().ok().map(str::to_owned);
    }
    let cookies = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then(|| value.to_owned()))
}

/// Reads what was sent to be let in.
pub(crate) fn said(headers: &HeaderMap, body: &Bytes) -> Result<(Said, Knows), Problem> {
    // A page elsewhere has no business logging its readers in here.
    if headers
        .get("sec-fetch-site")
        .is_some_and(|site| site == "cross-site")
    {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "origin",
            "this form was sent by another site: open the link itself",
        ));
    }
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default()
        .trim();
    match kind {
        "application/x-www-form-urlencoded" => form_field(body)
            .map(|password| (Said::Form, Knows::Password(password)))
            .ok_or_else(|| unreadable("the form has no password")),
        "application/octet-stream" => body
            .split_last_chunk::<32>()
            .map(|(challenge, proof)| {
                let knows = Knows::Proof {
                    challenge: body.slice_ref(challenge),
                    proof: Proof(*proof),
                };
                (Said::Proof, knows)
            })
            .ok_or_else(|| unreadable("the proof is cut off")),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "type",
            "a password comes from the form, a proof as application/octet-stream",
        )),
    }
}

/// The page that asks, with what went wrong before.
pub(crate) fn form(refusal: Refusal, links: &dyn Links, path: &str, asked: &HeaderMap) -> Response {
    let problem = Problem::from(refusal).of(links);
    let form = Form::of(asked);
    if form != Form::Html {
        return problem.answer(form);
    }
    let mut response = page_response(
        problem.status,
        "text/html; charset=utf-8",
        page::password(
            &problem,
            &format!("{path}/unlock"),
            is_readable_by_others(asked),
        ),
    );
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(FORM_POLICY),
    );
    refusal_header(headers, refusal);
    response
}

/// Let in: browsers go on to the page with a cookie, programs get their session.
pub(crate) fn open(unlocked: &Unlocked, said: Said, path: &str, secure: bool) -> Response {
    match said {
        Said::Proof => page_response(
            StatusCode::OK,
            "text/plain; charset=utf-8",
            unlocked.session.clone(),
        ),
        Said::Form => {
            let mut response = page_response(
                StatusCode::SEE_OTHER,
                "text/plain; charset=utf-8",
                String::new(),
            );
            let secure = if secure { "; Secure" } else { "" };
            let cookie = format!(
                "{COOKIE}={}; Path={path}; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
                unlocked.session, unlocked.lasts_s
            );
            let headers = response.headers_mut();
            for (name, value) in [(header::SET_COOKIE, &cookie[..]), (header::LOCATION, path)] {
                if let Ok(value) = HeaderValue::from_str(value) {
                    headers.insert(name, value);
                }
            }
            response
        }
    }
}

/// When another try may be worth it.
pub(crate) fn retry_after() -> HeaderValue {
    HeaderValue::from(RETRY_S)
}

fn unreadable(sentence: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "request", sentence)
}

/// The field `password` of a form, as browsers encode it.
fn form_field(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let value = text
        .split('&')
        .find_map(|pair| pair.strip_prefix("password="))?;
    let value = value.replace('+', " ");
    Some(percent_decode_str(&value).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn forms_are_read_as_browsers_write_them() {
        for (body, password) in [
            (&b"password=a"[..], Some("a")),
            (b"x=1&password=a+b%2B%C3%BC%26&y=", Some("a b+\u{fc}&")),
            (b"password=", Some("")),
            (b"passwort=a", None),
            (b"password=%ff", None),
            (b"\xff", None),
            (b"", None),
        ] {
            assert_eq!(form_field(body).as_deref(), password, "{body:?}");
        }
    }

    #[test]
    fn a_session_is_a_header_or_a_cookie() {
        for (name, value, session) in [
            ("cookie", "a=b; shoal=12ab", Some("12ab")),
            ("cookie", "shoal=1;shoal=2", Some("1")),
            ("cookie", "xshoal=1", None),
            ("shoal-session", "34", Some("34")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(super::session(&headers).as_deref(), session, "{value}");
        }
    }

    #[test]
    fn forms_of_other_sites_are_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        let body = Bytes::from_static(b"password=a");
        assert!(said(&headers, &body).is_ok());
        headers.insert("sec-fetch-site", HeaderValue::from_static("cross-site"));
        assert!(said(&headers, &body).is_err());
    }
}
