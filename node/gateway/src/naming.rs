//! How a stranger's file is named and typed towards a browser, so that it neither runs nor
//! pretends to be something else.

use crate::page::preview::Preview;
use crate::target::encode_name;
use http::HeaderValue;

/// Content types that a browser only shows: it runs nothing in them, also when opened by themselves.
const SHOWN: &[&str] = &[
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/bmp",
];

/// What a file is sent as.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Naming {
    /// `Content-Type`
    pub(crate) kind: HeaderValue,
    /// `Content-Disposition`
    pub(crate) disposition: HeaderValue,
    /// `Content-Security-Policy`
    pub(crate) policy: &'static str,
}

/// A stranger's file may show itself and nothing else.
const FILE_POLICY: &str = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";
/// A browser's own viewer of PDF counts as a plugin, and none works in a sandbox. It is one by itself.
const PDF_POLICY: &str =
    "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'";

impl Naming {
    /// By the name alone: the content is never guessed from.
    pub(crate) fn of(name: &str) -> Self {
        let guess = mime_guess::from_path(name).first_raw();
        let guess = guess.unwrap_or("application/octet-stream");
        let (kind, how) =
            if SHOWN.contains(&guess) || guess.starts_with("video/") || guess.starts_with("audio/")
            {
                (guess, "inline")
            } else if guess == "text/plain" {
                ("text/plain; charset=utf-8", "inline")
            } else if is_active(guess) {
                ("text/plain; charset=utf-8", "attachment")
            } else {
                (guess, "attachment")
            };
        Self {
            kind: HeaderValue::from_static(kind),
            disposition: disposition(how, name),
            policy: FILE_POLICY,
        }
    }

    /// For a preview. A document for a browser's own viewer is shown, all else is as ever.
    pub(crate) fn of_preview(name: &str) -> Self {
        if Preview::of(name) != Some(Preview::Pdf) {
            return Self::of(name);
        }
        Self {
            kind: HeaderValue::from_static("application/pdf"),
            disposition: disposition("inline", name),
            policy: PDF_POLICY,
        }
    }

    /// For all of a share of that name.
    pub(crate) fn of_archive(name: &str) -> Self {
        Self {
            kind: HeaderValue::from_static("application/zip"),
            disposition: disposition("attachment", &format!("{name}.zip")),
            policy: FILE_POLICY,
        }
    }
}

/// Whether a browser may run something in it: HTML, SVG, XML in all its dialects, scripts, styles.
fn is_active(kind: &str) -> bool {
    kind.starts_with("text/")
        || kind.ends_with("+xml")
        || kind.ends_with("/xml")
        || kind.contains("script")
        || kind.contains("html")
        || kind == "application/json"
        || kind == "application/wasm"
}

/// `Content-Disposition` by RFC 6266: a plain name for old clients, and by RFC 8187 the real one.
pub(crate) fn disposition(how: &str, name: &str) -> HeaderValue {
    let plain: String = name
        .chars()
        .map(|c| match c {
            '"' | '\\' | '%' | '/' => '_',
            ' '..='~' => c,
            _ => '_',
        })
        .collect();
    let text = format!(
        "{how}; filename=\"{plain}\"; filename*=UTF-8''{}",
        encode_name(name)
    );
    // All of it is printable ASCII by now.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_run_is_text_to_save() {
        for name in [
            "a.html", "a.HTM", "a.xhtml", "a.svg", "a.svgz", "a.xml", "a.js", "a.mjs", "a.css",
            "a.rss", "a.xsl", "a.json", "a.shtml", "a.mht", "a.xht", "a.hta", "a.swf", "a.wasm",
            "a.pdf", "a", ".html", "a.exe",
        ] {
            let naming = Naming::of(name);
            let kind = naming.kind.to_str().unwrap_or_default();
            assert!(
                naming.disposition.as_bytes().starts_with(b"attachment"),
                "{name}: {naming:?}"
            );
            for active in ["html", "svg", "xml", "script", "css", "json"] {
                assert!(!kind.contains(active), "{name}: {kind}");
            }
        }
    }

    #[test]
    fn what_is_only_shown_is_shown() {
        for (name, kind) in [
            ("a.png", "image/png"),
            ("a.JPG", "image/jpeg"),
            ("a.mp4", "video/mp4"),
            ("a.txt", "text/plain; charset=utf-8"),
        ] {
            let naming = Naming::of(name);
            assert_eq!(naming.kind, kind);
            assert!(
                naming.disposition.as_bytes().starts_with(b"inline"),
                "{name}"
            );
        }
    }

    #[test]
    fn names_never_leave_the_header() {
        for (name, header) in [
            (
                "a.txt",
                "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt",
            ),
            (
                "ü \"x\".txt",
                "attachment; filename=\"_ _x_.txt\"; filename*=UTF-8''%C3%BC%20%22x%22.txt",
            ),
            (
                "a\r\nSet-Cookie: b",
                "attachment; filename=\"a__Set-Cookie: b\"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20b",
            ),
            (
                "a\\\";x=%41",
                "attachment; filename=\"a__;x=_41\"; filename*=UTF-8''a%5C%22%3Bx%3D%2541",
            ),
        ] {
            assert_eq!(disposition("attachment", name), header);
        }
    }

    proptest! {
        #[test]
        fn any_name_makes_one_header(name: String) {
            let header = disposition("attachment", &name);
            prop_assert!(header.as_bytes().iter().all(|byte| matches!(byte, b' '..=b'~')));
            prop_assert!(header.as_bytes().starts_with(b"attachment; filename=\""));
            prop_assert_eq!(header.as_bytes().iter().filter(|byte| **byte == b'"').count(), 2);
        }
    }
}
