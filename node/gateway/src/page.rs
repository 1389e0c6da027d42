//! The plain pages of a link: a list that works in any browser without a script, and sentences
//! where there is nothing to list. Every text that a stranger chose goes through [`shown`].

use crate::answer::Problem;
use crate::list::Listing;
use crate::port::{Row, RowKind, Stage};
use crate::target::{encode_name, encode_path};
use shoal_protocol::display::{bytes_human, duration_human, escape};
use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem;overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%}\
th{text-align:left;font-weight:600}\
td,th{padding:.3rem .4rem;border-bottom:1px solid #8884;overflow-wrap:anywhere}\
td:last-child,th:last-child{text-align:right;white-space:nowrap;overflow-wrap:normal}\
code{display:block;padding:.5rem;background:#8882;overflow-wrap:anywhere;user-select:all}\
nav{margin:1rem 0}nav a{margin-right:1rem}";

/// The page of a link.
pub(crate) fn list(listing: &Listing<'_>) -> String {
    let about = listing.about;
    let mut body = String::with_capacity(4096 + listing.rows.len() * 160);
    push(&mut body, format_args!("<h1>{}</h1>\n", shown(&about.name)));
    push(&mut body, format_args!("<p>{}</p>\n", facts(listing)));
    ways(&mut body, listing);
    if !listing.rows.is_empty() {
        body.push_str("<table>\n<tr><th>Name</th><th>Size</th></tr>\n");
        for row in listing.rows {
            table_row(&mut body, listing.path, row);
        }
        body.push_str("</table>\n");
    }
    pager(&mut body, listing);
    frame(&about.name, &body)
}

/// A page that says what happened and what to do.
pub(crate) fn problem(problem: &Problem) -> String {
    let heading = problem
        .status
        .canonical_reason()
        .unwrap_or("This did not work");
    let body = format!(
        "<h1>{heading}</h1>\n<p>{}.</p>\n",
        sentence(&problem.sentence)
    );
    frame(heading, &body)
}

fn facts(listing: &Listing<'_>) -> String {
    let about = listing.about;
    let files = match about.files {
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    };
    let mut facts = format!("{files}, {}", bytes_human(about.bytes));
    match &about.stage {
        Stage::Walking => facts.push_str(" so far: still counting; look again in a moment"),
        Stage::Hashing => {
            facts.push_str(". Still counting for torrent clients; files can be taken already")
        }
        Stage::Ready => {}
        Stage::Failed { why } => {
            push(
                &mut facts,
                format_args!(". Not for torrent clients: {}", shown(why)),
            );
        }
    }
    match about.expires_s {
        None => facts.push_str(". The link has no end."),
        Some(at_s) => {
            let date = httpdate::fmt_http_date(
                UNIX_EPOCH + Duration::from_secs(at_s.min(253_402_300_799)),
            );
            let left = duration_human(at_s.saturating_sub(listing.now_s));
            push(
                &mut facts,
                format_args!(". The link ends in {left}, on {date}."),
            );
        }
    }
    facts
}

/// How to take everything.
fn ways(body: &mut String, listing: &Listing<'_>) {
    let about = listing.about;
    push(
        body,
        format_args!(
            "<p>Everything at once:</p>\n<code>shoal get {}{}</code>\n",
            shown(&listing.origin),
            shown(listing.path)
        ),
    );
    if let Some(magnet) = &about.magnet {
        push(
            body,
            format_args!(
                "<nav><a href=\"{}\">Open in a torrent client</a><a href=\"{}/{}.torrent\">Torrent file</a></nav>\n",
                shown(magnet),
                listing.path,
                encode_name(&about.name)
            ),
        );
    }
}

fn table_row(body: &mut String, path: &str, row: &Row) {
    let name = shown(row.path.as_str());
    match &row.kind {
        RowKind::File { size } => push(
            body,
            format_args!(
                "<tr><td><a href=\"{path}/f/{}\">{name}</a></td><td>{}</td></tr>\n",
                encode_path(&row.path),
                bytes_human(*size)
            ),
        ),
        RowKind::Folder => push(body, format_args!("<tr><td>{name}/</td><td></td></tr>\n")),
        RowKind::Symlink { target } => push(
            body,
            format_args!("<tr><td>{name} → {}</td><td></td></tr>\n", shown(target)),
        ),
    }
}

fn pager(body: &mut String, listing: &Listing<'_>) {
    if listing.pages <= 1 {
        return;
    }
    push(
        body,
        format_args!("<nav>Page {} of {} ", listing.page, listing.pages),
    );
    if listing.page > 1 {
        push(
            body,
            format_args!(
                "<a href=\"{}?page={}\">Previous</a>",
                listing.path,
                listing.page - 1
            ),
        );
    }
    if listing.page < listing.pages {
        push(
            body,
            format_args!(
                "<a href=\"{}?page={}\">Next</a>",
                listing.path,
                listing.page + 1
            ),
        );
    }
    body.push_str("</nav>\n");
}

fn frame(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        shown(title)
    )
}

/// A sentence that begins a paragraph.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    shown(&format!("{first}{}", chars.as_str()))
}

/// Text that is safe between tags and in quoted attributes, with what is invisible made visible.
fn shown(text: &str) -> String {
    let visible = escape(text);
    let mut safe = String::with_capacity(visible.len() + 8);
    for c in visible.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// Writing to a string has no error.
fn push(body: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = body.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_becomes_markup(text: String) {
            let safe = shown(&text);
            prop_assert!(!safe.contains(['<', '>', '"', '\'']));
            prop_assert!(!safe.contains(char::is_control));
        }
    }
}
