//! Packets of the UDP tracker protocol (BEP 15), both ways. Integers are big-endian.

use std::net::Ipv4Addr;

pub use super::query::SCRAPE_MAX_INFOHASHES;
use super::url_data::UrlData;
use super::{Event, PeerId, SwarmCounts};
use crate::id::InfoHash;

/// What a connect request begins with.
pub const PROTOCOL_MAGIC: u64 = 0x417_2710_1980;
/// Bytes of a connect request, and of its answer: nothing is amplified before an address is proven.
pub const CONNECT_BYTES: usize = 16;
/// Bytes of an announce request without options.
pub const ANNOUNCE_BYTES: usize = 98;
/// Bytes of peers in an announce answer, so that it stays below 1,232 bytes: the IPv6 minimum MTU without headers.
pub const PEERS_MAX_BYTES: usize = 1200;

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// Asks for a connection id.
    Connect {
        /// Comes back in the answer.
        transaction: u32,
    },
    /// Announces.
    Announce {
        /// The connection id.
        connection: u64,
        /// Comes back in the answer.
        transaction: u32,
        /// What is announced.
        announce: Announce,
        /// BEP 41. Bytes behind the packet that are no options count as none: old clients pad.
        url: UrlData<'a>,
    },
    /// Scrapes.
    Scrape {
        /// The connection id.
        connection: u64,
        /// Comes back in the answer.
        transaction: u32,
        /// At least one, at most [`SCRAPE_MAX_INFOHASHES`].
        infohashes: Vec<InfoHash>,
    },
}

/// The body of an announce request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announce {
    /// Which torrent.
    pub infohash: InfoHash,
    /// What the client calls itself.
    pub peer_id: PeerId,
    /// Bytes received.
    pub downloaded: u64,
    /// Bytes that it lacks.
    pub left: u64,
    /// Bytes sent.
    pub uploaded: u64,
    /// What happened.
    pub event: Event,
    /// The address that it claims.
    pub claimed_ip: Option<Ipv4Addr>,
    /// A secret by which it can prove who it is after its address changed.
    pub key: u32,
    /// How many peers it wants; none leaves it to the tracker.
    pub numwant: Option<u32>,
    /// The port that it listens on.
    pub port: u16,
}

/// What a tracker sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response<'a> {
    /// A connection id.
    Connect {
        /// From the request.
        transaction: u32,
        /// Valid for two minutes.
        connection: u64,
    },
    /// Peers.
    Announce {
        /// From the request.
        transaction: u32,
        /// When to ask again, in seconds.
        interval_s: u32,
        /// Peers that lack something.
        leeches: u32,
        /// Peers that have everything.
        seeds: u32,
        /// Compact peers of the family of the packet's addresses.
        peers: &'a [u8],
    },
    /// Counts, in the order of the request.
    Scrape {
        /// From the request.
        transaction: u32,
        /// Entries of 12 bytes: see [`scrape_entries`].
        entries: &'a [u8],
    },
    /// A refusal.
    Error {
        /// From the request.
        transaction: u32,
        /// A sentence for the user.
        message: &'a [u8],
    },
}

/// Why bytes are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Too few bytes for what it says it is.
    #[error("the packet ends too early")]
    Short,
    /// A first packet without the magic number, or an action that does not exist.
    #[error("this is no packet of the UDP tracker protocol")]
    Foreign,
    /// More than [`SCRAPE_MAX_INFOHASHES`].
    #[error("a scrape may name {SCRAPE_MAX_INFOHASHES} infohashes; ask in several requests")]
    TooMany,
}

impl<'a> Request<'a> {
    /// Reads a packet to a tracker.
    pub fn parse(packet: &'a [u8]) -> Result<Self, PacketError> {
        let mut fields = Fields(packet);
        let connection = fields.u64()?;
        let action = fields.u32()?;
        let transaction = fields.u32()?;
        match action {
            CONNECT if connection == PROTOCOL_MAGIC => Ok(Self::Connect { transaction }),
            ANNOUNCE => Ok(Self::Announce {
                connection,
                transaction,
                announce: Announce::parse(&mut fields)?,
                url: UrlData::parse(fields.0).unwrap_or_default(),
            }),
            SCRAPE => {
                // What is left of the last infohash is padding.
                let (hashes, _) = fields.0.as_chunks::<20>();
                match hashes.len() {
                    0 => Err(PacketError::Short),
                    1..=SCRAPE_MAX_INFOHASHES => Ok(Self::Scrape {
                        connection,
                        transaction,
                        infohashes: hashes.iter().copied().map(InfoHash).collect(),
                    }),
                    _ => Err(PacketError::TooMany),
                }
            }
            _ => Err(PacketError::Foreign),
        }
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut header = |connection: u64, action: u32, transaction: u32| {
            out.extend_from_slice(&connection.to_be_bytes());
            out.extend_from_slice(&action.to_be_bytes());
            out.extend_from_slice(&transaction.to_be_bytes());
        };
        match self {
            Self::Connect { transaction } => header(PROTOCOL_MAGIC, CONNECT, *transaction),
            Self::Announce {
                connection,
                transaction,
                announce,
                url,
            } => {
                header(*connection, ANNOUNCE, *transaction);
                announce.encode(out);
                url.encode(out);
            }
            Self::Scrape {
                connection,
                transaction,
                infohashes,
            } => {
                header(*connection, SCRAPE, *transaction);
                for infohash in infohashes {
                    out.extend_from_slice(infohash.as_bytes());
                }
            }
        }
    }
}

impl Announce {
    fn parse(fields: &mut Fields<'_>) -> Result<Self, PacketError> {
        Ok(Self {
            infohash: InfoHash(fields.array()?),
            peer_id: PeerId(fields.array()?),
            downloaded: fields.u64()?,
            left: fields.u64()?,
            uploaded: fields.u64()?,
            event: match fields.u32()? {
                1 => Event::Completed,
                2 => Event::Started,
                3 => Event::Stopped,
                _ => Event::Interval,
            },
            claimed_ip: Some(Ipv4Addr::from(fields.u32()?)).filter(|ip| !ip.is_unspecified()),
            key: fields.u32()?,
            // -1 is the default; other negative numbers mean no more.
            numwant: Some(fields.u32()?).filter(|wanted| *wanted <= i32::MAX as u32),
            port: u16::from_be_bytes(fields.array()?),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let event: u32 = match self.event {
            Event::Interval => 0,
            Event::Completed => 1,
            Event::Started => 2,
            Event::Stopped => 3,
        };
        let ip = self.claimed_ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
        out.extend_from_slice(self.infohash.as_bytes());
        out.extend_from_slice(&self.peer_id.0);
        out.extend_from_slice(&self.downloaded.to_be_bytes());
        out.extend_from_slice(&self.left.to_be_bytes());
        out.extend_from_slice(&self.uploaded.to_be_bytes());
        out.extend_from_slice(&event.to_be_bytes());
        out.extend_from_slice(&ip.octets());
        out.extend_from_slice(&self.key.to_be_bytes());
        out.extend_from_slice(&self.numwant.unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&self.port.to_be_bytes());
    }
}

impl<'a> Response<'a> {
    /// Reads a packet from a tracker.
    pub fn parse(packet: &'a [u8]) -> Result<Self, PacketError> {
        let mut fields = Fields(packet);
        let action = fields.u32()?;
        let transaction = fields.u32()?;
        match action {
            CONNECT => Ok(Self::Connect {
                transaction,
                connection: fields.u64()?,
            }),
            ANNOUNCE => Ok(Self::Announce {
                transaction,
                interval_s: fields.u32()?,
                leeches: fields.u32()?,
                seeds: fields.u32()?,
                peers: fields.0,
            }),
            SCRAPE => Ok(Self::Scrape {
                transaction,
                entries: fields.0,
            }),
            ERROR => Ok(Self::Error {
                transaction,
                message: fields.0,
            }),
            _ => Err(PacketError::Foreign),
        }
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut words = |values: &[u32]| {
            for value in values {
                out.extend_from_slice(&value.to_be_bytes());
            }
        };
        match *self {
            Self::Connect {
                transaction,
                connection,
            } => {
                words(&[CONNECT, transaction]);
                out.extend_from_slice(&connection.to_be_bytes());
            }
            Self::Announce {
                transaction,
                interval_s,
                leeches,
                seeds,
                peers,
            } => {
                words(&[ANNOUNCE, transaction, interval_s, leeches, seeds]);
                out.extend_from_slice(peers);
            }
            Self::Scrape {
                transaction,
                entries,
            } => {
                words(&[SCRAPE, transaction]);
                out.extend_from_slice(entries);
            }
            Self::Error {
                transaction,
                message,
            } => {
                words(&[ERROR, transaction]);
                out.extend_from_slice(message);
            }
        }
    }
}

/// Reads the entries of a scrape answer.
pub fn scrape_entries(entries: &[u8]) -> impl Iterator<Item = SwarmCounts> + '_ {
    entries.as_chunks::<12>().0.iter().map(|entry| {
        let (words, _) = entry.as_chunks::<4>();
        let word = |at: usize| words.get(at).map_or(0, |word| u32::from_be_bytes(*word));
        SwarmCounts {
            seeds: word(0),
            completed: word(1),
            leeches: word(2),
        }
    })
}

/// Appends one entry of a scrape answer.
pub fn write_scrape_entry(counts: SwarmCounts, out: &mut Vec<u8>) {
    for value in [counts.seeds, counts.completed, counts.leeches] {
        out.extend_from_slice(&value.to_be_bytes());
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], PacketError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(PacketError::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, PacketError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, PacketError> {
        Ok(u64::from_be_bytes(self.array()?))
    }
}

#[cfg(test)]
mod tests;
