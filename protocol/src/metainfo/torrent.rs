//! The `.torrent` around an info dictionary.

use super::{Info, MetainfoError};
use crate::bencode::{Dict, Encoder, Value};
use crate::id::InfoHash;
use crate::limits::METAINFO_MAX_BYTES;
use sha1::{Digest, Sha1};

/// Trackers, and web seeds, that are read from one `.torrent`; what is beyond is ignored.
const URLS_MAX: usize = 256;
/// Bytes of an address that is read from a `.torrent`; longer ones are ignored.
const URL_MAX_BYTES: usize = 2048;

/// The exact bytes of an info dictionary, and their SHA-1.
#[derive(Clone, PartialEq, Eq)]
pub struct InfoBytes {
    bytes: Vec<u8>,
    infohash: InfoHash,
}

impl InfoBytes {
    /// From bytes that came with metadata (BEP 9) or from a store. Only that they are one dictionary is
    /// checked here: compare the infohash, then [`InfoBytes::decode`].
    ///
    /// # Errors
    /// Too many bytes, or none of a dictionary.
    pub fn new(bytes: Vec<u8>) -> Result<Self, MetainfoError> {
        if bytes.len() > METAINFO_MAX_BYTES {
            return Err(MetainfoError::TooLarge);
        }
        Value::parse(&bytes)?
            .as_dict()
            .ok_or(MetainfoError::Key { key: "info" })?;
        Ok(Self::of_dict(bytes))
    }

    /// From bytes that are known to be a dictionary.
    pub(super) fn of_dict(bytes: Vec<u8>) -> Self {
        let infohash = InfoHash(Sha1::digest(&bytes).into());
        Self { bytes, infohash }
    }

    /// The bytes, as ut_metadata gives them out.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// SHA-1 of the bytes.
    pub fn infohash(&self) -> InfoHash {
        self.infohash
    }

    /// What they say.
    ///
    /// # Errors
    /// See [`MetainfoError`].
    pub fn decode(&self) -> Result<Info, MetainfoError> {
        Info::parse(&self.bytes)
    }
}

impl std::fmt::Debug for InfoBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "InfoBytes({}, {} bytes)",
            self.infohash,
            self.bytes.len()
        )
    }
}

/// A `.torrent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torrent {
    /// The info dictionary.
    pub info: InfoBytes,
    /// Tiers of trackers (BEP 12); the first of the first is also `announce`.
    pub trackers: Vec<Vec<String>>,
    /// `url-list` (BEP 19).
    pub web_seeds: Vec<String>,
    /// Seconds since 1970.
    pub creation_date_secs: Option<i64>,
    /// The program that wrote it.
    pub created_by: Option<String>,
}

impl Torrent {
    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let first = self.trackers.iter().flatten().next();
        let several = self
            .trackers
            .iter()
            .flatten()
            .nth(1)
            .map(|_| &self.trackers);
        Encoder::dict(|d| {
            d.entry_if(b"announce", first, |e, url| e.str(url));
            d.entry_if(b"announce-list", several, |e, tiers| {
                e.list(|l| {
                    for tier in tiers.iter().filter(|tier| !tier.is_empty()) {
                        l.value(|e| {
                            e.list(|l| tier.iter().for_each(|url| l.value(|e| e.str(url))))
                        });
                    }
                })
            });
            d.entry_if(b"created by", self.created_by.as_deref(), |e, text| {
                e.str(text)
            });
            d.entry_if(b"creation date", self.creation_date_secs, |e, secs| {
                e.int(secs)
            });
            d.entry(b"info", |e| e.raw_span(&self.info.bytes));
            if !self.web_seeds.is_empty() {
                d.entry(b"url-list", |e| {
                    e.list(|l| {
                        self.web_seeds
                            .iter()
                            .for_each(|url| l.value(|e| e.str(url)))
                    })
                });
            }
        })
    }

    /// Reads a file. The info dictionary is only located: see [`InfoBytes::decode`].
    ///
    /// # Errors
    /// Too large, no bencode, or no info dictionary. Addresses that cannot be used are left out.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetainfoError> {
        if bytes.len() > METAINFO_MAX_BYTES {
            return Err(MetainfoError::TooLarge);
        }
        let root = Value::parse(bytes)?
            .as_dict()
            .ok_or(MetainfoError::NoTorrent)?;
        let info = root
            .get(b"info")
            .and_then(|v| v.as_dict())
            .ok_or(MetainfoError::Key { key: "info" })?;
        Ok(Self {
            info: InfoBytes::of_dict(info.raw().to_vec()),
            trackers: trackers(root),
            web_seeds: web_seeds(root),
            creation_date_secs: root.get(b"creation date").and_then(|v| v.as_int()),
            created_by: root
                .get(b"created by")
                .and_then(|v| v.as_str())
                .map(str::to_owned),
        })
    }
}

/// BEP 12: where there is a list, `announce` is ignored.
fn trackers(root: Dict<'_>) -> Vec<Vec<String>> {
    let mut left = URLS_MAX;
    let mut tiers = Vec::new();
    for tier in root
        .get(b"announce-list")
        .and_then(|v| v.as_list())
        .into_iter()
        .flat_map(|l| l.iter())
    {
        let urls: Vec<_> = tier
            .as_list()
            .into_iter()
            .flat_map(|l| l.iter())
            .filter_map(|v| url(v))
            .take(left)
            .collect();
        left -= urls.len();
        if !urls.is_empty() {
            tiers.push(urls);
        }
    }
    if tiers.is_empty() {
        tiers.extend(root.get(b"announce").and_then(url).map(|url| vec![url]));
    }
    tiers
}

/// BEP 19: a list, or a string where there is only one.
fn web_seeds(root: Dict<'_>) -> Vec<String> {
    match root.get(b"url-list") {
        Some(Value::List(list)) => list.iter().filter_map(url).take(URLS_MAX).collect(),
        Some(value) => url(value).into_iter().collect(),
        None => Vec::new(),
    }
}

fn url(value: Value<'_>) -> Option<String> {
    let text = value.as_str()?.trim();
    let usable =
        !text.is_empty() && text.len() <= URL_MAX_BYTES && !text.contains(char::is_control);
    usable.then(|| text.to_owned())
}
