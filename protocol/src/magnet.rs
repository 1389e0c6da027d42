//! Magnet links (BEP 9), with web seeds, peer addresses and a capability of ours.
//!
//! Written in one order: `xt`, `dn`, `tr`, `ws`, `x.pe`, `x.shoal`. Read in any.

use crate::id::InfoHash;
use crate::limits::LINK_MAX_BYTES;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::borrow::Cow;
use std::fmt;

/// Trackers, web seeds and peers each, that a magnet may name.
pub const MAGNET_MAX_ADDRESSES: usize = 256;

/// What a magnet link says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Magnet {
    /// `xt=urn:btih:`
    pub infohash: InfoHash,
    /// `dn`: a name to show until the metadata is there. Anything may be in it: escape it, and write no file by it.
    pub name: Option<String>,
    /// `tr`
    pub trackers: Vec<String>,
    /// `ws` (BEP 19)
    pub web_seeds: Vec<String>,
    /// `x.pe`: `host:port`, `[ipv6]:port`
    pub peers: Vec<String>,
    /// `x.shoal`: the text of a capability; other clients ignore it.
    pub shoal: Option<String>,
}

/// Why a text is no magnet that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MagnetError {
    /// Something else.
    #[error("this is no magnet link: it starts with 'magnet:?'")]
    NoMagnet,
    /// More than [`LINK_MAX_BYTES`].
    #[error("this magnet link is longer than {LINK_MAX_BYTES} bytes: ask for a shorter one")]
    Long,
    /// No `xt=urn:btih:`.
    #[error("this magnet link names no torrent (xt=urn:btih:...): copy the whole link again")]
    NoTopic,
    /// Only `xt=urn:btmh:`.
    #[error("this magnet link is for BitTorrent v2 alone: ask for one with xt=urn:btih:")]
    V2Only,
    /// Neither 40 hexadecimal nor 32 base32 digits.
    #[error("the infohash in this magnet link is broken: copy the whole link again")]
    InfoHash,
    /// Two different infohashes.
    #[error("this magnet link names two torrents: use one link for each")]
    TwoTopics,
    /// A value is not UTF-8 once decoded.
    #[error("'{key}' in this magnet link is not UTF-8: copy the whole link again")]
    NotUtf8 {
        /// The key.
        key: &'static str,
    },
    /// More than [`MAGNET_MAX_ADDRESSES`].
    #[error("this magnet link has more than {MAGNET_MAX_ADDRESSES} '{key}': ask for a shorter one")]
    TooMany {
        /// The key.
        key: &'static str,
    },
}

impl Magnet {
    /// A magnet with nothing but an infohash.
    pub fn new(infohash: InfoHash) -> Self {
        Self {
            infohash,
            name: None,
            trackers: vec![],
            web_seeds: vec![],
            peers: vec![],
            shoal: None,
        }
    }

    /// Reads a magnet link; white space around it is ignored. Unknown keys, empty values, doubled
    /// addresses and malformed peers are left out. `+` is a space in `dn`, as clients write it, and itself elsewhere.
    ///
    /// # Errors
    /// See [`MagnetError`]; each says what to do.
    pub fn parse(text: &str) -> Result<Self, MagnetError> {
        let text = text.trim();
        if text.len() > LINK_MAX_BYTES {
            return Err(MagnetError::Long);
        }
        let query = text
            .get(..8)
            .filter(|scheme| scheme.eq_ignore_ascii_case("magnet:?"))
            .and_then(|_| text.get(8..))
            .ok_or(MagnetError::NoMagnet)?;
        let mut topic = Topic::default();
        let mut magnet = Self::new(InfoHash([0; 20]));
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let key = key.to_ascii_lowercase();
            // Several of one kind may be numbered: `tr.1=`, `xt.2=`.
            match key.split_once('.').map_or(key.as_str(), |(stem, _)| stem) {
                "xt" => topic.add(value)?,
                "dn" => magnet.name = magnet.name.or(text_of("dn", &value.replace('+', " "))?),
                "tr" => add(&mut magnet.trackers, "tr", value)?,
                "ws" => add(&mut magnet.web_seeds, "ws", value)?,
                "x" if key == "x.pe" && is_host_and_port(&decode("x.pe", value)?) => {
                    add(&mut magnet.peers, "x.pe", value)?;
                }
                "x" if key == "x.shoal" => {
                    magnet.shoal = magnet.shoal.or(text_of("x.shoal", value)?)
                }
                _ => {}
            }
        }
        magnet.infohash = topic.finish()?;
        Ok(magnet)
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "magnet:?xt=urn:btih:{}", self.infohash)?;
        if let Some(name) = &self.name {
            write!(f, "&dn={}", utf8_percent_encode(name, VALUE))?;
        }
        for tracker in &self.trackers {
            write!(f, "&tr={}", utf8_percent_encode(tracker, VALUE))?;
        }
        for seed in &self.web_seeds {
            write!(f, "&ws={}", utf8_percent_encode(seed, VALUE))?;
        }
        for peer in &self.peers {
            write!(f, "&x.pe={}", utf8_percent_encode(peer, ADDRESS))?;
        }
        if let Some(shoal) = &self.shoal {
            write!(f, "&x.shoal={}", utf8_percent_encode(shoal, VALUE))?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Magnet {
    type Err = MagnetError;

    fn from_str(text: &str) -> Result<Self, MagnetError> {
        Self::parse(text)
    }
}

/// All but RFC 3986's unreserved characters; a space becomes `%20`.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// libtorrent reads `x.pe` without decoding it, so that colons and brackets stay.
const ADDRESS: &AsciiSet = &VALUE.remove(b':').remove(b'[').remove(b']');

/// The torrent that `xt` names.
#[derive(Default)]
struct Topic {
    v1: Option<InfoHash>,
    v2: bool,
}

impl Topic {
    fn add(&mut self, value: &str) -> Result<(), MagnetError> {
        let value = decode("xt", value)?;
        let lower = value.to_ascii_lowercase();
        if lower.starts_with("urn:btmh:") {
            self.v2 = true;
        }
        let Some(digits) = lower.strip_prefix("urn:btih:") else {
            return Ok(());
        };
        let infohash = match digits.len() {
            32 => data_encoding::BASE32
                .decode(digits.to_ascii_uppercase().as_bytes())
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .map(InfoHash),
            _ => InfoHash::from_hex(digits).ok(),
        };
        let infohash = infohash.ok_or(MagnetError::InfoHash)?;
        match self.v1.replace(infohash) {
            Some(other) if other != infohash => Err(MagnetError::TwoTopics),
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<InfoHash, MagnetError> {
        self.v1.ok_or(if self.v2 {
            MagnetError::V2Only
        } else {
            MagnetError::NoTopic
        })
    }
}

fn decode<'v>(key: &'static str, value: &'v str) -> Result<Cow<'v, str>, MagnetError> {
    percent_decode_str(value)
        .decode_utf8()
        .map_err(|_| MagnetError::NotUtf8 { key })
}

fn text_of(key: &'static str, value: &str) -> Result<Option<String>, MagnetError> {
    let text = decode(key, value)?;
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

fn add(list: &mut Vec<String>, key: &'static str, value: &str) -> Result<(), MagnetError> {
    let Some(text) = text_of(key, value)? else {
        return Ok(());
    };
    if list.contains(&text) {
        return Ok(());
    }
    if list.len() >= MAGNET_MAX_ADDRESSES {
        return Err(MagnetError::TooMany { key });
    }
    list.push(text);
    Ok(())
}

/// Whether a text has the form `host:port` or `[ipv6]:port`, with a port that is not 0.
fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let port_fits =
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let host_fits = match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
            (1..=253).contains(&host.len()) && host.chars().all(allowed)
        }
    };
    port_fits && host_fits
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a";
    const BASE32: &str = "YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK";

    #[test]
    fn both_forms_of_an_infohash_are_read() {
        let hex = Magnet::parse(&format!("magnet:?xt=urn:btih:{HEX}")).unwrap();
        assert_eq!(hex, Magnet::new(InfoHash::from_hex(HEX).unwrap()));
        for text in [
            format!("magnet:?xt=urn:btih:{BASE32}"),
            format!("  MAGNET:?xt=urn:btih:{}\n", BASE32.to_lowercase()),
            format!("magnet:?xt=urn:BTIH:{}", HEX.to_uppercase()),
            format!("magnet:?xt=urn%3Abtih%3A{HEX}"),
            format!(
                "magnet:?dn=&xt.1=urn:btih:{HEX}&xt.2=urn:btmh:1220{}",
                "ab".repeat(32)
            ),
        ] {
            assert_eq!(Magnet::parse(&text).unwrap(), hex, "{text}");
        }
    }

    #[test]
    fn everything_is_written_in_one_order() {
        let magnet = Magnet {
            infohash: InfoHash::from_hex(HEX).unwrap(),
            name: Some("höl+day & more".into()),
            trackers: vec![
                "http://10.0.0.1:7462/announce/ab?x=1&y".into(),
                "udp://t:1".into(),
            ],
            web_seeds: vec!["http://10.0.0.1:7462/s/id/w/".into()],
            peers: vec![
                "10.0.0.1:7462".into(),
                "[2001:db8::1]:7462".into(),
                "host.example:1".into(),
            ],
            shoal: Some("abc234".into()),
        };
        let text = magnet.to_string();
        let expected = format!(
            "magnet:?xt=urn:btih:{HEX}&dn=h%C3%B6l%2Bday%20%26%20more\
             &tr=http%3A%2F%2F10.0.0.1%3A7462%2Fannounce%2Fab%3Fx%3D1%26y&tr=udp%3A%2F%2Ft%3A1\
             &ws=http%3A%2F%2F10.0.0.1%3A7462%2Fs%2Fid%2Fw%2F\
             &x.pe=10.0.0.1:7462&x.pe=[2001:db8::1]:7462&x.pe=host.example:1&x.shoal=abc234"
        );
        assert_eq!(text, expected);
        assert_eq!(text.parse(), Ok(magnet));
    }

    #[test]
    fn what_clients_write_is_read() {
        let text = format!(
            "magnet:?xt=urn:btih:{HEX}&dn=a+b%20c&tr.1=http://t/announce&tr=http%3a%2f%2ft/announce&tr=\
             &so=0-2&x.pe=nonsense&x.pe=1.2.3.4:0&x.pe=[::1:5&x.pe=1.2.3.4:56&kt=x&lonely&ws=http://w/a+b"
        );
        let magnet = Magnet::parse(&text).unwrap();
        assert_eq!(magnet.name.as_deref(), Some("a b c"));
        assert_eq!(magnet.trackers, ["http://t/announce"]);
        assert_eq!(magnet.web_seeds, ["http://w/a+b"]);
        assert_eq!(magnet.peers, ["1.2.3.4:56"]);
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let v2 = format!("magnet:?xt=urn:btmh:1220{}", "ab".repeat(32));
        let two = format!("magnet:?xt=urn:btih:{HEX}&xt=urn:btih:{}", "0".repeat(40));
        let many = (0..=MAGNET_MAX_ADDRESSES).fold(format!("magnet:?xt=urn:btih:{HEX}"), |s, n| {
            format!("{s}&tr=a:{n}")
        });
        for (text, error) in [
            ("http://example.org", MagnetError::NoMagnet),
            ("magnet:", MagnetError::NoMagnet),
            ("magnétique", MagnetError::NoMagnet),
            ("magnet:?", MagnetError::NoTopic),
            ("magnet:?xt=urn:sha1:abc", MagnetError::NoTopic),
            (&v2, MagnetError::V2Only),
            ("magnet:?xt=urn:btih:abc", MagnetError::InfoHash),
            (
                &format!("magnet:?xt=urn:btih:{}", "z".repeat(40)),
                MagnetError::InfoHash,
            ),
            (
                &format!("magnet:?xt=urn:btih:{}", "1".repeat(32)),
                MagnetError::InfoHash,
            ),
            (&two, MagnetError::TwoTopics),
            (
                &format!("magnet:?xt=urn:btih:{HEX}&dn=%ff"),
                MagnetError::NotUtf8 { key: "dn" },
            ),
            (&many, MagnetError::TooMany { key: "tr" }),
            (
                &format!("magnet:?dn={}", "x".repeat(LINK_MAX_BYTES)),
                MagnetError::Long,
            ),
        ] {
            assert_eq!(Magnet::parse(text), Err(error), "{text}");
        }
    }

    fn texts() -> impl Strategy<Value = Vec<String>> {
        prop::collection::btree_set("\\PC{1,20}", 0..4).prop_map(|set| set.into_iter().collect())
    }

    proptest! {
        #[test]
        fn magnets_go_round(
            hash: [u8; 20],
            name in prop::option::of(".{1,40}"),
            trackers in texts(),
            web_seeds in texts(),
            ports in prop::collection::btree_set(1u16.., 0..3),
            shoal in prop::option::of("[a-z2-7]{1,200}"),
        ) {
            let peers = ports.iter().map(|port| format!("[fe80::1]:{port}")).collect();
            let magnet = Magnet { infohash: InfoHash(hash), name, trackers, web_seeds, peers, shoal };
            prop_assert_eq!(Magnet::parse(&magnet.to_string()), Ok(magnet));
        }

        #[test]
        fn anything_is_read_or_refused(text in ".{0,60}", pairs in "(&(xt|dn|tr|x.pe)=[%a-f0-9:+]{0,6}){0,5}") {
            let _ = Magnet::parse(&text);
            if let Ok(magnet) = Magnet::parse(&format!("magnet:?xt=urn:btih:{HEX}{pairs}")) {
                prop_assert_eq!(Magnet::parse(&magnet.to_string()), Ok(magnet));
            }
        }
    }
}
