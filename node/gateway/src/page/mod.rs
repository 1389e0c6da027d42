//! The pages of a link. They are templates that are checked when this is compiled, and every text in
//! them goes through [`Shown`] unless the template says that it is markup of our own.

pub(crate) mod icons;
mod list;
mod password;
pub(crate) mod preview;
mod problem;
mod qr;
pub(crate) mod tree;
mod view;

pub(crate) use list::list;
pub(crate) use password::password;
pub(crate) use problem::problem;
pub(crate) use view::preview_page;

use crate::port::About;
use crate::target::{encode_name, encode_path};
use askama::Template;
use askama::filters::Escaper;
use shoal_protocol::display::escape;
use shoal_protocol::path::RelPath;
use std::fmt;

/// What makes a text safe between tags and in quoted attributes, with what is invisible made visible.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shown;

impl Escaper for Shown {
    fn write_escaped_str<W: fmt::Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        for c in escape(text).chars() {
            match c {
                '&' => dest.write_str("&amp;")?,
                '<' => dest.write_str("&lt;")?,
                '>' => dest.write_str("&gt;")?,
                '"' => dest.write_str("&quot;")?,
                '\'' => dest.write_str("&#39;")?,
                c => dest.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A folder above.
pub(crate) struct Crumb {
    pub(crate) name: String,
    pub(crate) address: String,
}

/// The share, then each folder above `path`.
fn crumbs(about: &About, base: &str, path: &RelPath) -> Vec<Crumb> {
    let mut address = format!("{base}/d");
    let mut crumbs = vec![Crumb {
        name: about.name.clone(),
        address: base.to_owned(),
    }];
    let above = path.components().count().saturating_sub(1);
    for part in path.components().take(above) {
        address.push('/');
        address.extend(encode_name(part));
        crumbs.push(Crumb {
            name: part.to_owned(),
            address: address.clone(),
        });
    }
    crumbs
}

/// Where a file is given.
fn file_address(base: &str, path: &RelPath) -> String {
    format!("{base}/f/{}", encode_path(path))
}

/// Writing to memory has no error, and no value of ours fails to be written.
fn rendered(page: &impl Template) -> String {
    page.render().unwrap_or_default()
}

/// The beginning of a sentence: whom to ask.
fn asked(contact: Option<&str>) -> String {
    match contact {
        Some(contact) => format!("Ask {contact}"),
        None => "Ask whoever sent you the link".to_owned(),
    }
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    format!("{first}{}.", chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_becomes_markup(text: String) {
            let mut safe = String::new();
            Shown.write_escaped_str(&mut safe, &text).unwrap_or_default();
            prop_assert!(!safe.contains(['<', '>', '"', '\'']));
            prop_assert!(!safe.contains(char::is_control));
        }
    }
}
