//! Extended handshake (BEP 10) and metadata exchange (BEP 9).

use super::PeerWireError;
use crate::bencode::{Dict, Encoder, Value};
use crate::limits::METAINFO_MAX_BYTES;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The number of the extended handshake among extended messages.
pub const EXTENDED_HANDSHAKE_ID: u8 = 0;
/// Bytes of a metadata block; the last one may be shorter.
pub const METADATA_BLOCK_BYTES: usize = 16 * 1024;

/// Bytes of a client's name that are kept.
const CLIENT_MAX_BYTES: usize = 128;

/// What a peer says about itself. Every field may be missing; malformed ones are taken for missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtendedHandshake {
    /// The number under which the sender wants `ut_metadata` messages.
    pub ut_metadata: Option<u8>,
    /// The number under which the sender wants `ut_pex` messages.
    pub ut_pex: Option<u8>,
    /// `metadata_size`: bytes of the info dictionary, at most [`METAINFO_MAX_BYTES`].
    pub metadata_size_bytes: Option<u32>,
    /// `v`: name and version of the client; from outside, so escape it.
    pub client: Option<String>,
    /// `p`: the TCP port that the sender listens on.
    pub port: Option<u16>,
    /// `reqq`: how many requests the sender keeps outstanding without dropping any.
    pub requests_max: Option<u32>,
    /// `yourip`: the receiver's address as the sender sees it.
    pub your_ip: Option<IpAddr>,
    /// `upload_only` (BEP 21): the sender takes nothing more.
    pub upload_only: bool,
}

impl ExtendedHandshake {
    /// Reads the payload of extended message 0.
    ///
    /// # Errors
    /// No bencoded dictionary.
    pub fn parse(payload: &[u8]) -> Result<Self, PeerWireError> {
        // Some clients pad: only the dictionary counts.
        let (value, _) = Value::parse_prefix(payload)?;
        let dict = value.as_dict().ok_or(PeerWireError::Key { key: "m" })?;
        let mut handshake = Self::default();
        for (key, value) in dict.iter() {
            match key {
                b"m" => {
                    let id = |name: &[u8]| {
                        value
                            .as_dict()?
                            .get(name)?
                            .as_int()?
                            .try_into()
                            .ok()
                            .filter(|id| *id > 0)
                    };
                    handshake.ut_metadata = id(b"ut_metadata");
                    handshake.ut_pex = id(b"ut_pex");
                }
                b"metadata_size" => handshake.metadata_size_bytes = metadata_size(value),
                b"v" => {
                    let client = value
                        .as_bytes()
                        .map(|v| String::from_utf8_lossy(v.get(..CLIENT_MAX_BYTES).unwrap_or(v)));
                    handshake.client = client.map(|v| v.into_owned());
                }
                b"p" => handshake.port = int(value).filter(|port| *port > 0),
                b"reqq" => handshake.requests_max = int(value),
                b"yourip" => handshake.your_ip = value.as_bytes().and_then(ip),
                b"upload_only" => handshake.upload_only = value.as_int().is_some_and(|v| v != 0),
                _ => {}
            }
        }
        Ok(handshake)
    }

    /// The payload of extended message 0.
    pub fn encode(&self) -> Vec<u8> {
        Encoder::dict(|d| {
            d.entry(b"m", |e| {
                e.nested_dict(|d| {
                    d.entry_if(b"ut_metadata", self.ut_metadata, |e, id| e.int(id.into()));
                    d.entry_if(b"ut_pex", self.ut_pex, |e, id| e.int(id.into()));
                })
            });
            d.entry_if(b"metadata_size", self.metadata_size_bytes, |e, size| {
                e.int(size.into())
            });
            d.entry_if(b"p", self.port, |e, port| e.int(port.into()));
            d.entry_if(b"reqq", self.requests_max, |e, count| e.int(count.into()));
            d.entry_if(b"upload_only", self.upload_only.then_some(1), |e, yes| {
                e.int(yes)
            });
            d.entry_if(b"v", self.client.as_deref(), |e, client| e.str(client));
            d.entry_if(b"yourip", self.your_ip, |e, ip| match ip {
                IpAddr::V4(ip) => e.bytes(&ip.octets()),
                IpAddr::V6(ip) => e.bytes(&ip.octets()),
            });
        })
    }
}

/// A `ut_metadata` message (BEP 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UtMetadata<'a> {
    /// 0: asks for a block.
    Request {
        /// Index of the block.
        block: u32,
    },
    /// 1: a block.
    Data {
        /// Index of the block.
        block: u32,
        /// `total_size`: bytes of the info dictionary.
        total_size_bytes: u32,
        /// The bytes.
        data: &'a [u8],
    },
    /// 2: a block is not given.
    Reject {
        /// Index of the block.
        block: u32,
    },
    /// Anything else: to be skipped.
    Unknown,
}

impl<'a> UtMetadata<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// No dictionary, or one without what the message needs.
    pub fn parse(payload: &'a [u8]) -> Result<Self, PeerWireError> {
        let (value, data) = Value::parse_prefix(payload)?;
        let dict = value
            .as_dict()
            .ok_or(PeerWireError::Key { key: "msg_type" })?;
        let msg_type = dict
            .get(b"msg_type")
            .and_then(|v| v.as_int())
            .ok_or(PeerWireError::Key { key: "msg_type" })?;
        let block = || {
            dict.get(b"piece")
                .and_then(int)
                .ok_or(PeerWireError::Key { key: "piece" })
        };
        match msg_type {
            0 => Ok(Self::Request { block: block()? }),
            1 => {
                let total_size_bytes =
                    total_size(dict).ok_or(PeerWireError::Key { key: "total_size" })?;
                Ok(Self::Data {
                    block: block()?,
                    total_size_bytes,
                    data,
                })
            }
            2 => Ok(Self::Reject { block: block()? }),
            _ => Ok(Self::Unknown),
        }
    }

    /// The payload. Empty for [`UtMetadata::Unknown`].
    pub fn encode(&self) -> Vec<u8> {
        let (msg_type, block, size, data): (_, _, _, &[u8]) = match self {
            Self::Request { block } => (0, block, None, &[]),
            Self::Data {
                block,
                total_size_bytes,
                data,
            } => (1, block, Some(*total_size_bytes), data),
            Self::Reject { block } => (2, block, None, &[]),
            Self::Unknown => return Vec::new(),
        };
        let mut bytes = Encoder::dict(|d| {
            d.entry(b"msg_type", |e| e.int(msg_type));
            d.entry(b"piece", |e| e.int((*block).into()));
            d.entry_if(b"total_size", size, |e, size| e.int(size.into()));
        });
        bytes.extend_from_slice(data);
        bytes
    }
}

/// A block of an info dictionary, for [`UtMetadata::Data`]. None beyond the end.
pub fn metadata_block(info: &[u8], block: u32) -> Option<&[u8]> {
    info.chunks(METADATA_BLOCK_BYTES)
        .nth(usize::try_from(block).ok()?)
}

fn total_size(dict: Dict<'_>) -> Option<u32> {
    metadata_size(dict.get(b"total_size")?)
}

fn metadata_size(value: Value<'_>) -> Option<u32> {
    int(value).filter(|size: &u32| {
        *size > 0 && usize::try_from(*size).is_ok_and(|size| size <= METAINFO_MAX_BYTES)
    })
}

fn int<T: TryFrom<i64>>(value: Value<'_>) -> Option<T> {
    value.as_int()?.try_into().ok()
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|b| IpAddr::V4(Ipv4Addr::from(b)));
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|b| IpAddr::V6(Ipv6Addr::from(b))))
        .ok()
}
