//! The list of a share, a page of it at a time, as HTML or JSON.

use crate::answer::{Form, Problem, page_response};
use crate::page;
use crate::page::tree::Tree;
use crate::port::{About, PublicShare, Row, RowKind, Stage};
use crate::target::encode_path;
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use shoal_protocol::manifest::Shape;
use shoal_protocol::path::RelPath;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Rows of one page of the JSON form.
pub const PAGE_ROWS: usize = 1000;

/// A share as its pages show it.
pub(crate) struct Listing<'a> {
    pub(crate) about: &'a About,
    /// `/s/<id>`
    pub(crate) path: &'a str,
    /// `http://host:port` as the visitor called us, or nothing.
    pub(crate) origin: String,
    pub(crate) all_rows: &'a [Row],
    pub(crate) now_s: u64,
}

/// The list in the form that the client prefers; HTML if it names none, because it is a page.
/// Takes time with the length of the list.
pub(crate) fn answer(
    share: &dyn PublicShare,
    path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let (about, rows) = (share.about(), share.list());
    let listing = Listing::new(&about, &rows, path, headers);
    match Form::of(headers) {
        Form::Json => {
            let body = json(&listing, query)?;
            Ok(page_response(StatusCode::OK, "application/json", body))
        }
        Form::Html | Form::Plain => listing.html(None, query),
    }
}

/// The page of a folder.
pub(crate) fn folder(
    share: &dyn PublicShare,
    path: &str,
    folder: &RelPath,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let (about, rows) = (share.about(), share.list());
    Listing::new(&about, &rows, path, headers).html(Some(folder), query)
}

/// How far a share is, for a page that waits.
pub(crate) fn state(share: &dyn PublicShare) -> Response {
    let about = share.about();
    let state = serde_json::json!({
        "state": state_word(&about.stage),
        "files": about.files,
        "bytes": about.bytes,
        "magnet": about.magnet,
    });
    page_response(StatusCode::OK, "application/json", state.to_string())
}

impl<'a> Listing<'a> {
    fn new(about: &'a About, all_rows: &'a [Row], path: &'a str, headers: &HeaderMap) -> Self {
        Self {
            about,
            path,
            origin: origin(headers),
            all_rows,
            now_s: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |now| now.as_secs()),
        }
    }

    fn html(&self, folder: Option<&RelPath>, query: Option<&str>) -> Result<Response, Problem> {
        let tree = asked_page(query).and_then(|page| Tree::of(self.all_rows, folder, page));
        let tree = tree.ok_or_else(|| {
            Problem::new(
                StatusCode::NOT_FOUND,
                "not-found",
                "there is no such folder or page in this share: open the link itself",
            )
        })?;
        let body = page::list(self, folder, tree);
        let kind = "text/html; charset=utf-8";
        Ok(page_response(StatusCode::OK, kind, body))
    }
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
pub(crate) fn origin(headers: &HeaderMap) -> String {
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

/// Whether what is sent goes through a network as it is.
pub(crate) fn is_readable_by_others(headers: &HeaderMap) -> bool {
    let origin = origin(headers);
    let Some(host) = origin.strip_prefix("http://") else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let is_own = match name.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    };
    !is_own
}

#[derive(Serialize)]
struct ListJson<'a> {
    name: &'a str,
    shape: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a String>,
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

fn state_word(stage: &Stage) -> &'static str {
    match stage {
        Stage::Walking => "walking",
        Stage::Hashing => "hashing",
        Stage::Ready => "ready",
        Stage::Failed { .. } => "failed",
    }
}

fn json(listing: &Listing<'_>, query: Option<&str>) -> Result<String, Problem> {
    let about = listing.about;
    let pages = listing.all_rows.len().div_ceil(PAGE_ROWS).max(1);
    let page = asked_page(query)
        .filter(|page| (1..=pages).contains(page))
        .ok_or_else(|| {
            Problem::new(
                StatusCode::NOT_FOUND,
                "not-found",
                format!("this list has {pages} pages: open one of them"),
            )
        })?;
    let rows = listing.all_rows.iter();
    let rows = rows.skip((page - 1) * PAGE_ROWS).take(PAGE_ROWS);
    let list = ListJson {
        name: &about.name,
        shape: match about.shape {
            Shape::SingleFile => "file",
            Shape::Folder => "folder",
        },
        state: state_word(&about.stage),
        why: match &about.stage {
            Stage::Failed { why } => Some(why),
            _ => None,
        },
        files: about.files,
        bytes: about.bytes,
        created_s: about.created_s,
        expires_s: about.expires_s,
        magnet: about.magnet.as_deref(),
        infohash: about.infohash.map(|infohash| infohash.to_hex()),
        page,
        pages,
        entries: rows.map(|row| row_json(listing.path, row)).collect(),
    };
    // Cannot fail: every key is text and every value is a number or text.
    Ok(serde_json::to_string(&list).unwrap_or_default())
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
