//! The list of a share, a page of it at a time, as HTML or JSON.

use crate::answer::{Form, Problem, page_response};
use crate::page;
use crate::port::{About, PublicShare, Row, RowKind, Stage};
use crate::target::encode_path;
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use shoal_protocol::manifest::Shape;
use std::time::{SystemTime, UNIX_EPOCH};

/// Rows of one page.
pub const PAGE_ROWS: usize = 1000;

/// One page of a share's list.
pub(crate) struct Listing<'a> {
    pub(crate) about: &'a About,
    /// `/s/<id>`
    pub(crate) path: &'a str,
    /// `http://host:port` as the visitor called us, or nothing.
    pub(crate) origin: String,
    pub(crate) rows: &'a [Row],
    /// From 1.
    pub(crate) page: usize,
    pub(crate) pages: usize,
    pub(crate) now_s: u64,
}

/// The list in the form that the client prefers; HTML if it names none, because it is a page.
pub(crate) fn answer(
    share: &dyn PublicShare,
    path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let about = share.about();
    let rows = share.list();
    let pages = rows.len().div_ceil(PAGE_ROWS).max(1);
    let page = asked_page(query)
        .filter(|page| (1..=pages).contains(page))
        .ok_or_else(|| {
            Problem::new(
                StatusCode::NOT_FOUND,
                "not-found",
                format!("this list has {pages} pages: open one of them"),
            )
        })?;
    let from = (page - 1) * PAGE_ROWS;
    let to = (from + PAGE_ROWS).min(rows.len());
    let listing = Listing {
        about: &about,
        path,
        origin: origin(headers),
        rows: rows.get(from..to).unwrap_or_default(),
        page,
        pages,
        now_s: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs()),
    };
    Ok(match Form::of(headers) {
        Form::Json => page_response(StatusCode::OK, "application/json", json(&listing)),
        Form::Html | Form::Plain => page_response(
            StatusCode::OK,
            "text/html; charset=utf-8",
            page::list(&listing),
        ),
    })
}

fn asked_page(query: Option<&str>) -> Option<usize> {
    let mut pairs = query.unwrap_or_default().split('&');
    match pairs.find_map(|pair| pair.strip_prefix("page=")) {
        None => Some(1),
        Some(text) => text.parse().ok(),
    }
}

/// As the visitor called us: the one address that is known to work for them. A proxy's word that
/// it speaks TLS is taken, since it can mislead only the visitor who sent it.
fn origin(headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    let Some(host) =
        host.filter(|host| !host.is_empty() && host.len() <= 300 && host.chars().all(plain))
    else {
        return String::new();
    };
    let scheme = match headers.get("x-forwarded-proto") {
        Some(value) if value.as_bytes().eq_ignore_ascii_case(b"https") => "https",
        _ => "http",
    };
    format!("{scheme}://{host}")
}

#[derive(Serialize)]
struct ListJson<'a> {
    name: &'a str,
    shape: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    files: u64,
    bytes: u64,
    created_s: u64,
    expires_s: Option<u64>,
    magnet: Option<&'a str>,
    infohash: Option<String>,
    page: usize,
    pages: usize,
    entries: Vec<RowJson<'a>>,
}

#[derive(Serialize)]
struct RowJson<'a> {
    path: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    mtime_ns: i64,
    mode: u32,
}

fn json(listing: &Listing<'_>) -> String {
    let about = listing.about;
    let (state, why) = match &about.stage {
        Stage::Walking => ("walking", None),
        Stage::Hashing => ("hashing", None),
        Stage::Ready => ("ready", None),
        Stage::Failed { why } => ("failed", Some(why.as_str())),
    };
    let list = ListJson {
        name: &about.name,
        shape: match about.shape {
            Shape::SingleFile => "file",
            Shape::Folder => "folder",
        },
        state,
        why,
        files: about.files,
        bytes: about.bytes,
        created_s: about.created_s,
        expires_s: about.expires_s,
        magnet: about.magnet.as_deref(),
        infohash: about.infohash.map(|infohash| infohash.to_hex()),
        page: listing.page,
        pages: listing.pages,
        entries: listing
            .rows
            .iter()
            .map(|row| row_json(listing.path, row))
            .collect(),
    };
    // Cannot fail: every key is text and every value is a number or text.
    serde_json::to_string(&list).unwrap_or_default()
}

fn row_json<'a>(path: &str, row: &'a Row) -> RowJson<'a> {
    let (kind, bytes, target, url) = match &row.kind {
        RowKind::File { size } => {
            let url = format!("{path}/f/{}", encode_path(&row.path));
            ("file", Some(*size), None, Some(url))
        }
        RowKind::Folder => ("folder", None, None, None),
        RowKind::Symlink { target } => ("symlink", None, Some(target.as_str()), None),
    };
    RowJson {
        path: row.path.as_str(),
        kind,
        bytes,
        target,
        url,
        mtime_ns: row.mtime_ns,
        mode: row.mode,
    }
}
