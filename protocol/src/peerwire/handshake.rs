//! The 68 bytes that both sides begin with (BEP 3).

use super::PeerWireError;
use crate::id::InfoHash;

/// Length of a handshake.
pub const HANDSHAKE_BYTES: usize = 68;
/// The first byte of a handshake, by which a connection is told from HTTP.
pub const HANDSHAKE_FIRST_BYTE: u8 = 19;

const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// A handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// What the sender can do.
    pub reserved: Reserved,
    /// Which torrent.
    pub infohash: InfoHash,
    /// Who sends it (BEP 20).
    pub peer_id: [u8; 20],
}

/// The eight reserved bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reserved(pub [u8; 8]);

impl Reserved {
    /// Extended messages (BEP 10) and nothing else.
    pub const EXTENDED: Self = Self([0, 0, 0, 0, 0, 0x10, 0, 0]);
    /// Extended messages (BEP 10) and the fast extension (BEP 6).
    pub const EXTENDED_AND_FAST: Self = Self([0, 0, 0, 0, 0, 0x10, 0, 0x04]);

    /// BEP 10.
    pub fn has_extended(self) -> bool {
        self.0[5] & 0x10 != 0
    }

    /// BEP 6.
    pub fn has_fast(self) -> bool {
        self.0[7] & 0x04 != 0
    }

    /// BEP 5.
    pub fn has_dht(self) -> bool {
        self.0[7] & 0x01 != 0
    }
}

impl Handshake {
    /// Reads a handshake. Some clients send their peer id only after ours: the first 48 bytes suffice for
    /// [`Handshake::infohash_of`].
    ///
    /// # Errors
    /// [`PeerWireError::NoHandshake`].
    pub fn parse(bytes: &[u8; HANDSHAKE_BYTES]) -> Result<Self, PeerWireError> {
        let (start, peer_id) = bytes.split_last_chunk().ok_or(PeerWireError::NoHandshake)?;
        let start: &[u8; 48] = start.try_into().map_err(|_| PeerWireError::NoHandshake)?;
        let (_, reserved) = split(start)?;
        Ok(Self {
            reserved,
            infohash: Self::infohash_of(start)?,
            peer_id: *peer_id,
        })
    }

    /// The infohash from a handshake's first 48 bytes.
    ///
    /// # Errors
    /// [`PeerWireError::NoHandshake`].
    pub fn infohash_of(start: &[u8; 48]) -> Result<InfoHash, PeerWireError> {
        split(start).map(|(infohash, _)| infohash)
    }

    /// The bytes to send.
    pub fn encode(&self) -> [u8; HANDSHAKE_BYTES] {
        let mut bytes = [0; HANDSHAKE_BYTES];
        let parts = PROTOCOL
            .iter()
            .chain(&self.reserved.0)
            .chain(&self.infohash.0)
            .chain(&self.peer_id);
        bytes
            .iter_mut()
            .zip(parts)
            .for_each(|(to, from)| *to = *from);
        bytes
    }
}

fn split(start: &[u8; 48]) -> Result<(InfoHash, Reserved), PeerWireError> {
    let rest = start
        .strip_prefix(PROTOCOL)
        .ok_or(PeerWireError::NoHandshake)?;
    let (reserved, infohash) = rest.split_first_chunk().ok_or(PeerWireError::NoHandshake)?;
    let infohash = infohash
        .try_into()
        .map_err(|_| PeerWireError::NoHandshake)?;
    Ok((InfoHash(infohash), Reserved(*reserved)))
}
