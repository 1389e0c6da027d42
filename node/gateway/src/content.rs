//! A file as an answer: ranges and conditions by RFC 9110.

use crate::answer::{Problem, secret};
use crate::body::{FileBody, first_chunk};
use crate::buffer::{Buffer, Pool};
use crate::delivery::Delivery;
use crate::naming::Naming;
use crate::port::{FileBytes, FileError, PublicShare, Seat};
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use shoal_protocol::hello::Refusal;
use shoal_protocol::path::RelPath;
use shoal_protocol::range::{self, Selected};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file that is asked for, and what of it.
pub(crate) struct Content {
    file: Arc<dyn FileBytes>,
    naming: Naming,
    validators: Validators,
    plan: Plan,
    /// Of what is to be sent; none for HEAD and where nothing is.
    first: Option<Buffer>,
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
    /// Opens the file and reads the first chunk of what is asked for. May read a disk.
    pub(crate) fn open(
        share: &dyn PublicShare,
        path: &RelPath,
        naming: Naming,
        method: &Method,
        asked: &HeaderMap,
        pool: &Arc<Pool>,
    ) -> Result<Self, Problem> {
        Self::of(share.file(path)?, naming, method, asked, pool)
    }

    /// The same for what is no file of the share.
    pub(crate) fn of(
        file: Arc<dyn FileBytes>,
        naming: Naming,
        method: &Method,
        asked: &HeaderMap,
        pool: &Arc<Pool>,
    ) -> Result<Self, Problem> {
        let validators = Validators::of(&*file);
        let plan = plan(method, asked, &validators, &*file);
        let first = match &plan {
            Plan::Send { part, .. } if method != Method::HEAD && !part.is_empty() => {
                Some(first_chunk(&*file, part, pool).map_err(|error| unreadable(&error))?)
            }
            _ => None,
        };
        Ok(Self {
            file,
            naming,
            validators,
            plan,
            first,
        })
    }

    /// The answer. `admit` is called right before content would be sent, with the
    /// offset from which it is.
    pub(crate) fn answer(
        mut self,
        method: &Method,
        delivery: Delivery,
        pool: Arc<Pool>,
        admit: impl FnOnce(u64) -> Result<Arc<dyn Seat>, Refusal>,
    ) -> Result<Response, Problem> {
        let size = self.file.size();
        let (status, part) = match &self.plan {
            Plan::Send { status, part } => (*status, part.clone()),
            Plan::NotModified => return Ok(self.head(StatusCode::NOT_MODIFIED)),
            Plan::PreconditionFailed => return Err(other_file()),
            Plan::NotSatisfiable => return Err(not_satisfiable(size)),
        };
        let mut response = self.head(status);
        let headers = response.headers_mut();
        let length = part.end.saturating_sub(part.start);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        if status == StatusCode::PARTIAL_CONTENT {
            let range = range::content_range(&part, size);
            headers.insert(header::CONTENT_RANGE, digits(range));
        }
        if method != Method::HEAD {
            let seat = admit(part.start)?;
            if let Some(first) = self.first.take() {
                let body = FileBody::new(self.file, part, first, seat, delivery, pool);
                *response.body_mut() = Body::new(body);
            }
        }
        Ok(response)
    }

    fn head(&self, status: StatusCode) -> Response {
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
        headers.insert(header::ETAG, self.validators.etag.clone());
        if let Some(modified) = self.validators.modified {
            headers.insert(
                header::LAST_MODIFIED,
                digits(httpdate::fmt_http_date(modified)),
            );
        }
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(self.naming.policy),
        );
        headers.insert(header::CONTENT_TYPE, self.naming.kind.clone());
        headers.insert(header::CONTENT_DISPOSITION, self.naming.disposition.clone());
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
fn plan(method: &Method, asked: &HeaderMap, validators: &Validators, file: &dyn FileBytes) -> Plan {
    let size = file.size();
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
        // A range may be ignored: then all of it comes.
        Selected::Part(part) if !file.starts_at(part.start) => Plan::Send {
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

fn other_file() -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "changed",
        "the file is not the one that was asked for: take it from the start",
    )
}

fn unreadable(error: &io::Error) -> Problem {
    tracing::info!("a file was not given: {error}");
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => FileError::Unreadable.into(),
        _ => FileError::Changed.into(),
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
