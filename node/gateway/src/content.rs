//! A file as an answer: ranges and conditions by RFC 9110.

use crate::answer::{Problem, secret};
use crate::body::FileBody;
use crate::buffer::Pool;
use crate::delivery::Delivery;
use crate::naming::Naming;
use crate::port::{FileBytes, Seat};
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use shoal_protocol::hello::Refusal;
use shoal_protocol::range::{self, Selected};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A stranger's file may show itself and nothing else.
const FILE_POLICY: &str = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";

/// A file that is asked for.
pub(crate) struct Content {
    pub(crate) file: Arc<dyn FileBytes>,
    /// Its last path component.
    pub(crate) name: String,
}

/// What makes two answers the same, and tells whether a part still fits.
struct Validators {
    etag: HeaderValue,
    modified: Option<SystemTime>,
}

/// What is answered, before anybody has been admitted.
enum Plan {
    NotModified,
    PreconditionFailed,
    NotSatisfiable,
    Send {
        status: StatusCode,
        part: Range<u64>,
    },
}

impl Content {
    /// The answer. `admit` is called right before content would be sent.
    pub(crate) fn answer(
        self,
        method: &Method,
        asked: &HeaderMap,
        delivery: Delivery,
        pool: Arc<Pool>,
        admit: impl FnOnce() -> Result<Arc<dyn Seat>, Refusal>,
    ) -> Result<Response, Problem> {
        let size = self.file.size();
        let validators = Validators::of(&*self.file);
        let (status, part) = match plan(method, asked, &validators, size) {
            Plan::Send { status, part } => (status, part),
            Plan::NotModified => return Ok(self.head(StatusCode::NOT_MODIFIED, &validators)),
            Plan::PreconditionFailed => {
                return Err(Problem::new(
                    StatusCode::PRECONDITION_FAILED,
                    "changed",
                    "the file is not the one that was asked for: take it from the start",
                ));
            }
            Plan::NotSatisfiable => return Err(not_satisfiable(size)),
        };
        let mut response = self.head(status, &validators);
        let headers = response.headers_mut();
        let length = part.end.saturating_sub(part.start);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        if status == StatusCode::PARTIAL_CONTENT {
            let range = range::content_range(&part, size);
            headers.insert(header::CONTENT_RANGE, digits(range));
        }
        if method != Method::HEAD {
            let seat = admit()?;
            let body = FileBody::new(self.file, part, seat, delivery, pool);
            *response.body_mut() = Body::new(body);
        }
        Ok(response)
    }

    fn head(&self, status: StatusCode, validators: &Validators) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        secret(headers);
        // Kept by nobody but the taker, who asks each time, so that stop and expiry count.
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-cache"),
        );
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::ETAG, validators.etag.clone());
        if let Some(modified) = validators.modified {
            headers.insert(
                header::LAST_MODIFIED,
                digits(httpdate::fmt_http_date(modified)),
            );
        }
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(FILE_POLICY),
        );
        let naming = Naming::of(&self.name);
        headers.insert(header::CONTENT_TYPE, naming.kind);
        headers.insert(header::CONTENT_DISPOSITION, naming.disposition);
        response
    }
}

impl Validators {
    fn of(file: &dyn FileBytes) -> Self {
        let tag: String = file
            .tag()
            .chars()
            .filter(|c| c.is_ascii_graphic() && *c != '"')
            .collect();
        let seconds = u64::try_from(file.mtime_ns() / 1_000_000_000).ok();
        Self {
            etag: digits(format!("\"{tag}\"")),
            // Years that HTTP can write.
            modified: seconds
                .filter(|seconds| *seconds < 253_402_300_800)
                .map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
        }
    }

    /// `If-Match`, strong comparison.
    fn matches_strongly(&self, list: &str) -> bool {
        list.trim() == "*"
            || list
                .split(',')
                .any(|tag| tag.trim().as_bytes() == self.etag.as_bytes())
    }

    /// `If-None-Match`, weak comparison.
    fn matches_weakly(&self, list: &str) -> bool {
        list.trim() == "*"
            || list.split(',').any(|tag| {
                let tag = tag.trim();
                tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == self.etag.as_bytes()
            })
    }

    /// `If-Range`: the part must be of these very bytes. A date serves only if the file was not
    /// written in the same second as it was served, so one of the last minute does not.
    fn fits_range(&self, condition: &str) -> bool {
        let condition = condition.trim();
        if condition.starts_with('"') {
            return condition.as_bytes() == self.etag.as_bytes();
        }
        let Some(modified) = self.modified else {
            return false;
        };
        let settled = SystemTime::now()
            .duration_since(modified)
            .is_ok_and(|age| age > Duration::from_secs(60));
        settled && httpdate::parse_http_date(condition).is_ok_and(|date| date == modified)
    }
}

/// Conditions in the order of RFC 9110, 13.2.2, then the range.
fn plan(method: &Method, asked: &HeaderMap, validators: &Validators, size: u64) -> Plan {
    let text = |name| {
        asked
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let date = |name| text(name).and_then(|value| httpdate::parse_http_date(value).ok());
    if let Some(tags) = text(header::IF_MATCH) {
        if !validators.matches_strongly(tags) {
            return Plan::PreconditionFailed;
        }
    } else if let (Some(date), Some(modified)) =
        (date(header::IF_UNMODIFIED_SINCE), validators.modified)
        && modified > date
    {
        return Plan::PreconditionFailed;
    }
    if let Some(tags) = text(header::IF_NONE_MATCH) {
        if validators.matches_weakly(tags) {
            return Plan::NotModified;
        }
    } else if let (Some(date), Some(modified)) =
        (date(header::IF_MODIFIED_SINCE), validators.modified)
        && modified <= date
    {
        return Plan::NotModified;
    }
    let fits = text(header::IF_RANGE).is_none_or(|condition| validators.fits_range(condition));
    let range = text(header::RANGE).filter(|_| method == Method::GET && fits);
    match range::select(range, size) {
        Selected::Whole => Plan::Send {
            status: StatusCode::OK,
            part: 0..size,
        },
        Selected::Part(part) => Plan::Send {
            status: StatusCode::PARTIAL_CONTENT,
            part,
        },
        Selected::Unsatisfiable => Plan::NotSatisfiable,
    }
}

fn not_satisfiable(size: u64) -> Problem {
    Problem::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "range",
        format!("the file has {size} bytes, and none in the range that was asked for"),
    )
    .header(
        header::CONTENT_RANGE,
        digits(range::content_range_unsatisfiable(size)),
    )
}

/// For texts that are made of digits and a few fixed characters.
fn digits(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}
