//! What of a file can be shown on a page, and texts made ready for it.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};
use std::fmt::Write;

/// Bytes of a text that are shown.
pub(crate) const TEXT_MAX_BYTES: u64 = 256 * 1024;

/// How a file can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preview {
    Image,
    Video,
    Audio,
    Pdf,
    Markdown,
    Text,
}

const IMAGES: &[&str] = &["png", "jpg", "jpeg", "gif", "webp", "avif", "bmp"];
const VIDEOS: &[&str] = &["mp4", "m4v", "webm", "mov", "mkv", "ogv"];
const SOUNDS: &[&str] = &["mp3", "m4a", "aac", "ogg", "oga", "opus", "flac", "wav"];
const TEXTS: &[&str] = &[
    "txt",
    "text",
    "log",
    "csv",
    "tsv",
    "json",
    "jsonl",
    "xml",
    "html",
    "htm",
    "svg",
    "css",
    "js",
    "mjs",
    "ts",
    "tsx",
    "jsx",
    "toml",
    "yaml",
    "yml",
    "ini",
    "conf",
    "cfg",
    "env",
    "rs",
    "py",
    "rb",
    "go",
    "java",
    "kt",
    "c",
    "h",
    "cc",
    "cpp",
    "hpp",
    "cs",
    "swift",
    "php",
    "pl",
    "lua",
    "sh",
    "bash",
    "zsh",
    "fish",
    "ps1",
    "bat",
    "sql",
    "r",
    "tex",
    "bib",
    "srt",
    "vtt",
    "diff",
    "patch",
    "rst",
    "org",
    "adoc",
    "asc",
    "pem",
    "nfo",
    "m3u",
    "m3u8",
    "cue",
    "gitignore",
];
const TEXT_NAMES: &[&str] = &[
    "readme",
    "license",
    "licence",
    "copying",
    "makefile",
    "dockerfile",
    "changelog",
    "authors",
    "notice",
    "todo",
];

impl Preview {
    /// By the name alone, as files are typed.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let Some((_, end)) = name.rsplit_once('.') else {
            return TEXT_NAMES.contains(&name.as_str()).then_some(Self::Text);
        };
        let any = |ends: &[&str]| ends.contains(&end);
        Some(match end {
            "pdf" => Self::Pdf,
            "md" | "markdown" => Self::Markdown,
            _ if any(IMAGES) => Self::Image,
            _ if any(VIDEOS) => Self::Video,
            _ if any(SOUNDS) => Self::Audio,
            _ if any(TEXTS) => Self::Text,
            _ => return None,
        })
    }
}

/// The beginning of a text as it can stand on a page. None if it is none.
pub(crate) fn text_of(bytes: &[u8]) -> Option<String> {
    if bytes.contains(&0) {
        return None;
    }
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// A text between tags: what is no line and no tab of it but controls the page is made visible.
pub(crate) fn escaped_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\n' | '\t' => out.push(c),
            '\r' => {}
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Markdown as HTML that holds nothing of the author's own: HTML in it is shown as text, images are
/// their descriptions, and links lead to web and mail addresses alone.
pub(crate) fn markdown(text: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut links = Vec::new();
    let events = Parser::new_ext(text, options).filter_map(|event| match event {
        Event::Html(html) | Event::InlineHtml(html) => Some(Event::Text(html)),
        // Below the heading of the page.
        Event::Start(Tag::Heading { level, .. }) => {
            Some(raw(format!("<h{}>", lowered(level as usize))))
        }
        Event::End(TagEnd::Heading(level)) => {
            Some(raw(format!("</h{}>\n", lowered(level as usize))))
        }
        Event::Start(Tag::Link { dest_url, .. }) => {
            let leads = leads_outside(&dest_url);
            links.push(leads);
            leads.then(|| {
                raw(format!(
                    "<a href=\"{}\" rel=\"noopener noreferrer nofollow\">",
                    quoted(&dest_url)
                ))
            })
        }
        Event::End(TagEnd::Link) => links
            .pop()
            .unwrap_or_default()
            .then(|| raw("</a>".to_owned())),
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
        other => Some(other),
    });
    let mut out = String::with_capacity(text.len() * 3 / 2);
    html::push_html(&mut out, events);
    out
}

fn raw(html: String) -> Event<'static> {
    Event::InlineHtml(CowStr::from(html))
}

fn lowered(level: usize) -> usize {
    (level + 1).min(6)
}

fn leads_outside(address: &str) -> bool {
    let address = address.to_ascii_lowercase();
    ["http://", "https://", "mailto:"]
        .iter()
        .any(|scheme| address.starts_with(scheme))
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => out.push(c),
            '-' | '.' | '_' | '~' | ':' | '/' | '?' | '#' | '=' | '%' | '+' | ',' | '@' => {
                out.push(c)
            }
            c => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_say_how_a_file_is_shown() {
        for (name, preview) in [
            ("a.JPG", Some(Preview::Image)),
            ("a.b.webm", Some(Preview::Video)),
            ("a.flac", Some(Preview::Audio)),
            ("a.pdf", Some(Preview::Pdf)),
            ("README.md", Some(Preview::Markdown)),
            ("README", Some(Preview::Text)),
            ("x.html", Some(Preview::Text)),
            ("x.svg", Some(Preview::Text)),
            (".gitignore", Some(Preview::Text)),
            ("a.exe", None),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(Preview::of(name), preview, "{name}");
        }
    }

    #[test]
    fn markdown_brings_nothing_of_its_own() {
        for (text, html) in [
            ("# Hi", "<h2>Hi</h2>\n"),
            (
                "a <script>b</script>",
                "<p>a &lt;script&gt;b&lt;/script&gt;</p>\n",
            ),
            ("<img src=x onerror=y>", "&lt;img src=x onerror=y&gt;"),
            ("![a](http://b/c.png)", "<p>a</p>\n"),
            ("[a](javascript:b)", "<p>a</p>\n"),
            ("[a](JaVaScRiPt:b)", "<p>a</p>\n"),
            ("[a](data:text/html,b)", "<p>a</p>\n"),
            ("[a](/s/x)", "<p>a</p>\n"),
            (
                "[a](https://b/?c=\"d)",
                "<p><a href=\"https://b/?c=&#34;d\" rel=\"noopener noreferrer nofollow\">a</a></p>\n",
            ),
            (
                "<https://b/>",
                "<p><a href=\"https://b/\" rel=\"noopener noreferrer nofollow\">https://b/</a></p>\n",
            ),
        ] {
            assert_eq!(markdown(text), html, "{text}");
        }
    }

    #[test]
    fn what_is_no_text_is_not_shown() {
        assert_eq!(text_of(b"a\0b"), None);
        assert_eq!(text_of(b"a\xffb").as_deref(), Some("a\u{fffd}b"));
        assert_eq!(escaped_text("a\x1b[1m<b>\r\n"), "a\u{fffd}[1m&lt;b&gt;\n");
    }

    proptest! {
        /// Whatever is written, tags are only those that Markdown itself makes.
        #[test]
        fn no_markdown_makes_a_tag_of_its_own(text in "([<>a-z=\"' /!\\[\\]()`*#:\\\\&;|~-]|script|onerror|javascript:|http://|\n){0,60}") {
            let html = markdown(&text);
            for tag in html.split('<').skip(1) {
                let name: String = tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
                prop_assert!(
                    ["a", "p", "em", "strong", "del", "code", "pre", "blockquote", "ul", "ol", "li", "h2", "h3", "h4", "h5", "h6", "hr", "br",
                     "table", "thead", "tbody", "tr", "th", "td"].contains(&name.as_str()),
                    "{name} in {html}"
                );
            }
            for at in html.match_indices("href=\"").map(|(at, _)| at) {
                let address = &html[at + 6..];
                prop_assert!(address.starts_with("http") || address.starts_with("mailto") || address.starts_with("HTTP"), "{html}");
            }
        }
    }
}
