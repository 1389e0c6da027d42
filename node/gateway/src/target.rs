//! What a request's path names. The path is split before it is decoded, so that an encoded slash
//! never becomes a separator, and each part is checked as a name.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use shoal_protocol::id::LinkId;
use shoal_protocol::path::RelPath;

/// What all pages of links begin with.
pub(crate) const PREFIX: &str = "/s/";

/// All but RFC 3986's unreserved characters.
const IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Something below `/s/<id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) id: LinkId,
    pub(crate) what: What,
}

/// The part after the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Nothing: the list.
    List,
    /// `f/<path>`
    File(RelPath),
    /// `d/<path>`: the list of a folder.
    Folder(RelPath),
    /// `v/<path>`: a page that shows a file.
    Preview(RelPath),
    /// `w/<name>[/<path>]`: the root's name, and what is below it.
    WebSeed { below: Option<RelPath> },
    /// `<name>.torrent`
    Torrent,
    /// `<name>.zip`
    Zip,
    /// `state`
    State,
    /// `capability`
    Capability,
    /// `record`
    Record,
    /// `manifest`
    Manifest,
    /// `blobs`
    Blobs,
    /// `done`
    Done,
    /// `challenge`
    Challenge,
    /// `unlock`
    Unlock,
    /// A path that names nothing.
    Nothing,
}

impl Target {
    /// Reads a request's path. None if there is no link id in it.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix(PREFIX)?;
        let (id, rest) = match rest.split_once('/') {
            Some((id, rest)) => (id, Some(rest)),
            None => (rest, None),
        };
        let id = id.to_ascii_lowercase().parse().ok()?;
        let what = rest.map_or(What::List, What::parse);
        Some(Self { id, what })
    }
}

impl What {
    fn parse(rest: &str) -> Self {
        let found = match rest.split_once('/') {
            Some(("f", path)) => decode_path(path).map(What::File),
            Some(("d", path)) => decode_path(path).map(What::Folder),
            Some(("v", path)) => decode_path(path).map(What::Preview),
            Some(("w", path)) => web_seed(path),
            Some(_) => None,
            None => Some(match rest {
                "" => What::List,
                "state" => What::State,
                "capability" => What::Capability,
                "record" => What::Record,
                "manifest" => What::Manifest,
                "blobs" => What::Blobs,
                "done" => What::Done,
                "challenge" => What::Challenge,
                "unlock" => What::Unlock,
                name if name.ends_with(".torrent") => What::Torrent,
                name if name.ends_with(".zip") => What::Zip,
                _ => What::Nothing,
            }),
        };
        found.unwrap_or(What::Nothing)
    }
}

/// BEP 19 has clients build this path from metainfo; some of them tidy the root's name first, and
/// the link id has said already which share is meant, so the name is not compared.
fn web_seed(path: &str) -> Option<What> {
    let (name, below) = match path.split_once('/') {
        Some((name, below)) => (name, Some(below)),
        None => (path, None),
    };
    if name.is_empty() {
        return None;
    }
    let below = match below {
        Some(below) => Some(decode_path(below)?),
        None => None,
    };
    Some(What::WebSeed { below })
}

fn decode_path(encoded: &str) -> Option<RelPath> {
    let parts: Option<Vec<_>> = encoded
        .split('/')
        .map(|part| percent_decode_str(part).decode_utf8().ok())
        .collect();
    let parts = parts?;
    RelPath::from_components(parts.iter().map(AsRef::as_ref)).ok()
}

/// A path as part of an address.
pub(crate) fn encode_path(path: &RelPath) -> String {
    let mut encoded = String::with_capacity(path.as_str().len() + 16);
    for (index, part) in path.components().enumerate() {
        if index > 0 {
            encoded.push('/');
        }
        encoded.extend(encode_name(part));
    }
    encoded
}

/// One name as part of an address or a header.
pub(crate) fn encode_name(name: &str) -> percent_encoding::PercentEncode<'_> {
    utf8_percent_encode(name, IN_SEGMENT)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "aeaqcaibaeaqcaibaeaqcaibae";

    fn what(rest: &str) -> What {
        Target::parse(&format!("/s/{ID}{rest}")).unwrap().what
    }

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    #[test]
    fn each_path_names_one_thing() {
        for (rest, expected) in [
            ("", What::List),
            ("/", What::List),
            ("/f/a/b", What::File(path("a/b"))),
            ("/f/%C3%BC%20%2B+", What::File(path("ü ++"))),
            ("/f/f", What::File(path("f"))),
            ("/d/a/b", What::Folder(path("a/b"))),
            ("/v/a%20b", What::Preview(path("a b"))),
            ("/w/name", What::WebSeed { below: None }),
            (
                "/w/name/a%0Ab",
                What::WebSeed {
                    below: Some(path("a\nb")),
                },
            ),
            ("/x.torrent", What::Torrent),
            ("/x.zip", What::Zip),
            ("/state", What::State),
            ("/capability", What::Capability),
            ("/record", What::Record),
            ("/manifest", What::Manifest),
            ("/blobs", What::Blobs),
            ("/done", What::Done),
            ("/challenge", What::Challenge),
            ("/unlock", What::Unlock),
            ("/else", What::Nothing),
        ] {
            assert_eq!(what(rest), expected, "{rest}");
        }
    }

    #[test]
    fn nothing_leaves_the_tree() {
        for rest in [
            "/f/../x",
            "/d/../x",
            "/v/%2e%2e/x",
            "/f/%2e%2e/x",
            "/f/%2E%2E%2Fx",
            "/f/a%2fb",
            "/f/..%2f..%2fetc%2fpasswd",
            "/f//etc/passwd",
            "/f/%2Fetc%2Fpasswd",
            "/f/a/./b",
            "/f/a%00b",
            "/f/",
            "/f",
            "/f/a/",
            "/f/%ff",
            "/w/",
            "/w/name/",
            "/w/name/..",
            "/w/../x/..%2f",
        ] {
            assert_eq!(what(rest), What::Nothing, "{rest}");
        }
    }

    #[test]
    fn a_broken_id_is_no_link() {
        for path in [
            "/s/",
            "/s/short",
            "/x",
            "/",
            "",
            "/s/%61eaqcaibaeaqcaibaeaqcaibae",
        ] {
            assert_eq!(Target::parse(path), None, "{path}");
        }
        assert!(Target::parse(&format!("/s/{}", ID.to_uppercase())).is_some());
    }

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        for text in ["a/b c", "ü/%2e%2e/'\"<>&?#", "new\nline\u{202e}", "~.-_"] {
            let encoded = encode_path(&path(text));
            assert!(encoded.is_ascii());
            assert_eq!(decode_path(&encoded), Some(path(text)));
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_leaving_the_tree(rest in "(/|%2[eEfF]|[.]{1,2}|%00|[a-z%/é]){0,12}") {
            match what(&format!("/{rest}")) {
                What::File(path)
                | What::Folder(path)
                | What::Preview(path)
                | What::WebSeed { below: Some(path) } => {
                    prop_assert!(path.components().all(|part| !matches!(part, "" | "." | "..")));
                }
                _ => {}
            }
        }

        #[test]
        fn any_name_goes_round(parts in prop::collection::vec("[^/\0]{1,20}", 1..4)) {
            if let Ok(path) = RelPath::from_components(parts.iter().map(String::as_str)) {
                prop_assert_eq!(decode_path(&encode_path(&path)), Some(path));
            }
        }
    }
}
