//! The page that shows one file.

use super::preview::{Preview, TEXT_MAX_BYTES, escaped_text, markdown, text_of};
use super::{Crumb, crumbs, file_address, icons, rendered};
use crate::port::{About, Row, RowKind};
use crate::target::encode_path;
use askama::Template;
use shoal_protocol::display::bytes_human;
use shoal_protocol::path::RelPath;

#[derive(Template)]
#[template(path = "preview.html")]
struct PreviewPage<'a> {
    name: &'a str,
    size: String,
    crumbs: Vec<Crumb>,
    file: String,
    shown: Shown,
    cut: bool,
    /// `v/…` of the file before and after it in its folder that can be shown, too.
    before: Option<String>,
    after: Option<String>,
}

enum Shown {
    Image,
    Video,
    Audio,
    Pdf,
    Markdown(String),
    Text(String),
    Nothing(&'static str),
}

/// The page of a file. `beginning` is up to [`TEXT_MAX_BYTES`] of what is a text.
pub(crate) fn preview_page(
    about: &About,
    base: &str,
    path: &RelPath,
    size: u64,
    rows: &[Row],
    beginning: Option<&[u8]>,
) -> String {
    let kind = Preview::of(path.name());
    let shown = shown(kind, beginning);
    rendered(&PreviewPage {
        name: path.name(),
        size: bytes_human(size),
        crumbs: crumbs(about, base, path),
        file: file_address(base, path),
        cut: matches!(shown, Shown::Markdown(_) | Shown::Text(_)) && size > TEXT_MAX_BYTES,
        shown,
        before: before(rows, path).map(|path| format!("{base}/v/{}", encode_path(path))),
        after: after(rows, path).map(|path| format!("{base}/v/{}", encode_path(path))),
    })
}

fn before<'a>(rows: &'a [Row], path: &RelPath) -> Option<&'a RelPath> {
    let at = rows.partition_point(|row| row.path < *path);
    let earlier = rows.get(..at)?.iter().rev();
    beside(earlier, path)
}

fn after<'a>(rows: &'a [Row], path: &RelPath) -> Option<&'a RelPath> {
    let at = rows.partition_point(|row| row.path <= *path);
    beside(rows.get(at..)?.iter(), path)
}

/// Folders between two files are looked through, but not without end.
fn beside<'a>(rows: impl Iterator<Item = &'a Row>, path: &RelPath) -> Option<&'a RelPath> {
    const LOOKED_AT: usize = 1000;
    let folder = |path: &'a RelPath| path.as_str().rsplit_once('/').map(|(folder, _)| folder);
    let own = path.as_str().rsplit_once('/').map(|(folder, _)| folder);
    rows.take(LOOKED_AT)
        .find(|row| {
            matches!(row.kind, RowKind::File { .. })
                && folder(&row.path) == own
                && Preview::of(row.path.name()).is_some()
        })
        .map(|row| &row.path)
}

fn shown(kind: Option<Preview>, beginning: Option<&[u8]>) -> Shown {
    match kind {
        Some(Preview::Image) => Shown::Image,
        Some(Preview::Video) => Shown::Video,
        Some(Preview::Audio) => Shown::Audio,
        Some(Preview::Pdf) => Shown::Pdf,
        Some(Preview::Markdown | Preview::Text) => match beginning.and_then(text_of) {
            Some(text) if text.is_empty() => Shown::Nothing("There is nothing in this file."),
            Some(text) if kind == Some(Preview::Markdown) => Shown::Markdown(markdown(&text)),
            Some(text) => Shown::Text(escaped_text(&text)),
            None => Shown::Nothing("This is no text that could be shown. Download it instead."),
        },
        None => Shown::Nothing("A browser has no way to show this file. Download it instead."),
    }
}
