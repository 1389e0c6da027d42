//! The page that shows one file.

use super::preview::{Preview, TEXT_MAX_BYTES, escaped_text, markdown, text_of};
use super::{Crumb, crumbs, file_address, icons, rendered};
use crate::port::About;
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
    })
}

fn shown(kind: Option<Preview>, beginning: Option<&[u8]>) -> Shown {
    match kind {
        Some(Preview::Image) => Shown::Image,
        Some(Preview::Video) => Shown::Video,
        Some(Preview::Audio) => Shown::Audio,
        Some(Preview::Pdf) => Shown::Pdf,
        Some(Preview::Markdown | Preview::Text) => match beginning.and_then(text_of) {
            Some(text) if kind == Some(Preview::Markdown) => Shown::Markdown(markdown(&text)),
            Some(text) => Shown::Text(escaped_text(&text)),
            None => Shown::Nothing("This is no text that could be shown. Download it instead."),
        },
        None => Shown::Nothing("A browser has no way to show this file. Download it instead."),
    }
}
