//! The BitTorrent peer protocol as bytes: handshake and messages (BEP 3), extensions (BEP 10), metadata (BEP 9),
//! peer exchange (BEP 11), and the fast extension's messages (BEP 6).
//!
//! A reader takes 68 bytes for a [`Handshake`], then over and over 4 bytes for [`frame_len`] and that many bytes for
//! [`Message::parse`]. Unknown messages are values, not errors.

mod extended;
mod handshake;
mod pex;
mod pieceset;
#[cfg(test)]
mod tests;

pub use extended::{
    EXTENDED_HANDSHAKE_ID, ExtendedHandshake, METADATA_BLOCK_BYTES, UtMetadata, metadata_block,
};
pub use handshake::{HANDSHAKE_BYTES, HANDSHAKE_FIRST_BYTE, Handshake, Reserved};
pub use pex::{PEX_MAX_PEERS, Pex};
pub use pieceset::PieceSet;

use crate::bencode::BencodeError;
use crate::limits::{PEER_MESSAGE_MAX_BYTES, PEER_REQUEST_MAX_BYTES};
use std::ops::Range;

/// Bytes before the block in a `piece` message, its length prefix included.
pub const PIECE_HEADER_BYTES: usize = 13;

/// What a peer sent that it may not send. The connection is closed; nobody else is affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerWireError {
    /// The first bytes are no BitTorrent handshake.
    #[error("the peer does not speak BitTorrent")]
    NoHandshake,
    /// A frame longer than [`PEER_MESSAGE_MAX_BYTES`].
    #[error(
        "the peer announced a message of {len_bytes} bytes, {PEER_MESSAGE_MAX_BYTES} are allowed"
    )]
    TooLong {
        /// Bytes announced.
        len_bytes: u32,
    },
    /// A message whose length does not fit its kind.
    #[error("the peer sent message {id} with {len_bytes} bytes of payload, which does not fit")]
    Payload {
        /// The message's number.
        id: u8,
        /// Bytes after the number.
        len_bytes: usize,
    },
    /// A request beyond its piece or of a forbidden length.
    #[error(
        "the peer asked for {len_bytes} bytes at {begin_bytes} of piece {piece}, which is not to be had"
    )]
    Request {
        /// Index of the piece.
        piece: u32,
        /// Offset in the piece.
        begin_bytes: u32,
        /// Bytes asked for.
        len_bytes: u32,
    },
    /// A bitfield of the wrong length, or with bits beyond the last piece.
    #[error("the peer sent a bitfield that does not fit the torrent")]
    Bitfield,
    /// A `have` beyond the last piece.
    #[error("the peer says it has piece {piece}, which there is not")]
    Have {
        /// Index of the piece.
        piece: u32,
    },
    /// An extended message that is not bencoded.
    #[error("the peer sent a malformed extended message: {0}")]
    Bencode(#[from] BencodeError),
    /// An extended message without what it needs.
    #[error("the peer sent an extended message without a usable '{key}'")]
    Key {
        /// The key.
        key: &'static str,
    },
}

/// A part of a piece, as `request`, `cancel` and `reject` name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockRef {
    /// Index of the piece.
    pub piece: u32,
    /// Offset in the piece.
    pub begin_bytes: u32,
    /// Length.
    pub len_bytes: u32,
}

/// A message between peers, borrowed from its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A frame without bytes.
    KeepAlive,
    /// 0
    Choke,
    /// 1
    Unchoke,
    /// 2
    Interested,
    /// 3
    NotInterested,
    /// 4: index of a piece.
    Have(u32),
    /// 5: one bit for each piece, highest bit first.
    Bitfield(&'a [u8]),
    /// 6
    Request(BlockRef),
    /// 7
    Piece {
        /// Index of the piece.
        piece: u32,
        /// Offset in the piece.
        begin_bytes: u32,
        /// The bytes.
        block: &'a [u8],
    },
    /// 8
    Cancel(BlockRef),
    /// 9: UDP port of the peer's DHT node (BEP 5).
    Port(u16),
    /// 13: index of a piece (BEP 6).
    SuggestPiece(u32),
    /// 14 (BEP 6)
    HaveAll,
    /// 15 (BEP 6)
    HaveNone,
    /// 16 (BEP 6)
    RejectRequest(BlockRef),
    /// 17: index of a piece (BEP 6).
    AllowedFast(u32),
    /// 20 (BEP 10)
    Extended {
        /// 0 is the extended handshake; others as the receiver's handshake says.
        id: u8,
        /// What follows.
        payload: &'a [u8],
    },
    /// Anything else: to be skipped.
    Unknown {
        /// The message's number.
        id: u8,
        /// Bytes after the number.
        len_bytes: usize,
    },
}

/// The length of the frame that four bytes announce.
///
/// # Errors
/// More than [`PEER_MESSAGE_MAX_BYTES`].
pub fn frame_len(prefix: [u8; 4]) -> Result<usize, PeerWireError> {
    let len_bytes = u32::from_be_bytes(prefix);
    match usize::try_from(len_bytes) {
        Ok(len) if len <= PEER_MESSAGE_MAX_BYTES => Ok(len),
        _ => Err(PeerWireError::TooLong { len_bytes }),
    }
}

/// What precedes the block of a `piece` message, so that the block itself needs no copy.
pub fn encode_piece_header(block: BlockRef) -> [u8; PIECE_HEADER_BYTES] {
    let mut header = [0; PIECE_HEADER_BYTES];
    let (len, rest) = header.split_at_mut(4);
    let (id, rest) = rest.split_at_mut(1);
    let (piece, begin) = rest.split_at_mut(4);
    len.copy_from_slice(&block.len_bytes.saturating_add(9).to_be_bytes());
    id.copy_from_slice(&[7]);
    piece.copy_from_slice(&block.piece.to_be_bytes());
    begin.copy_from_slice(&block.begin_bytes.to_be_bytes());
    header
}

impl<'a> Message<'a> {
    /// Reads a frame, without its length.
    ///
    /// # Errors
    /// A known message with a payload that does not fit.
    pub fn parse(frame: &'a [u8]) -> Result<Self, PeerWireError> {
        let Some((id, payload)) = frame.split_first() else {
            return Ok(Self::KeepAlive);
        };
        let wrong = PeerWireError::Payload {
            id: *id,
            len_bytes: payload.len(),
        };
        let number = || {
            payload
                .try_into()
                .map(u32::from_be_bytes)
                .map_err(|_| wrong)
        };
        let none = |message| {
            if payload.is_empty() {
                Ok(message)
            } else {
                Err(wrong)
            }
        };
        match id {
            0 => none(Self::Choke),
            1 => none(Self::Unchoke),
            2 => none(Self::Interested),
            3 => none(Self::NotInterested),
            4 => number().map(Self::Have),
            5 => Ok(Self::Bitfield(payload)),
            6 => BlockRef::parse(payload).map(Self::Request).ok_or(wrong),
            7 => {
                let (piece, rest) = payload.split_first_chunk().ok_or(wrong)?;
                let (begin, block) = rest.split_first_chunk().ok_or(wrong)?;
                Ok(Self::Piece {
                    piece: u32::from_be_bytes(*piece),
                    begin_bytes: u32::from_be_bytes(*begin),
                    block,
                })
            }
            8 => BlockRef::parse(payload).map(Self::Cancel).ok_or(wrong),
            9 => payload
                .try_into()
                .map(|port| Self::Port(u16::from_be_bytes(port)))
                .map_err(|_| wrong),
            13 => number().map(Self::SuggestPiece),
            14 => none(Self::HaveAll),
            15 => none(Self::HaveNone),
            16 => BlockRef::parse(payload)
                .map(Self::RejectRequest)
                .ok_or(wrong),
            17 => number().map(Self::AllowedFast),
            20 => {
                let (id, payload) = payload.split_first().ok_or(wrong)?;
                Ok(Self::Extended { id: *id, payload })
            }
            _ => Ok(Self::Unknown {
                id: *id,
                len_bytes: payload.len(),
            }),
        }
    }

    /// Appends the message with its length. An unknown message cannot be written and leaves `out` alone.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut put = |parts: &[&[u8]]| {
            let len = parts.iter().map(|part| part.len()).sum::<usize>() as u32;
            out.extend_from_slice(&len.to_be_bytes());
            parts.iter().for_each(|part| out.extend_from_slice(part));
        };
        match self {
            Self::KeepAlive => put(&[]),
            Self::Choke => put(&[&[0]]),
            Self::Unchoke => put(&[&[1]]),
            Self::Interested => put(&[&[2]]),
            Self::NotInterested => put(&[&[3]]),
            Self::Have(piece) => put(&[&[4], &piece.to_be_bytes()]),
            Self::Bitfield(bits) => put(&[&[5], bits]),
            Self::Request(block) => put(&[&[6], &block.encode()]),
            Self::Piece {
                piece,
                begin_bytes,
                block,
            } => {
                put(&[
                    &[7],
                    &piece.to_be_bytes(),
                    &begin_bytes.to_be_bytes(),
                    block,
                ]);
            }
            Self::Cancel(block) => put(&[&[8], &block.encode()]),
            Self::Port(port) => put(&[&[9], &port.to_be_bytes()]),
            Self::SuggestPiece(piece) => put(&[&[13], &piece.to_be_bytes()]),
            Self::HaveAll => put(&[&[14]]),
            Self::HaveNone => put(&[&[15]]),
            Self::RejectRequest(block) => put(&[&[16], &block.encode()]),
            Self::AllowedFast(piece) => put(&[&[17], &piece.to_be_bytes()]),
            Self::Extended { id, payload } => put(&[&[20, *id], payload]),
            Self::Unknown { .. } => {}
        }
    }
}

impl BlockRef {
    /// Where the block lies among the bytes of a torrent.
    ///
    /// # Errors
    /// [`PeerWireError::Request`] if it is empty, longer than [`PEER_REQUEST_MAX_BYTES`], or not inside of its piece.
    pub fn range_in(
        &self,
        piece_length_bytes: u32,
        total_bytes: u64,
    ) -> Result<Range<u64>, PeerWireError> {
        let Self {
            piece,
            begin_bytes,
            len_bytes,
        } = *self;
        let wrong = PeerWireError::Request {
            piece,
            begin_bytes,
            len_bytes,
        };
        let piece_start = u64::from(piece) * u64::from(piece_length_bytes);
        let start = piece_start + u64::from(begin_bytes);
        let end = start + u64::from(len_bytes);
        let piece_end = (piece_start + u64::from(piece_length_bytes)).min(total_bytes);
        let fits = (1..=PEER_REQUEST_MAX_BYTES).contains(&len_bytes)
            && start < piece_end
            && end <= piece_end;
        if fits { Ok(start..end) } else { Err(wrong) }
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let (numbers, rest) = payload.as_chunks::<4>();
        match (numbers, rest) {
            ([piece, begin, len], []) => Some(Self {
                piece: u32::from_be_bytes(*piece),
                begin_bytes: u32::from_be_bytes(*begin),
                len_bytes: u32::from_be_bytes(*len),
            }),
            _ => None,
        }
    }

    fn encode(&self) -> [u8; 12] {
        let mut bytes = [0; 12];
        let numbers = [self.piece, self.begin_bytes, self.len_bytes];
        for (chunk, number) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(numbers) {
            *chunk = number.to_be_bytes();
        }
        bytes
    }
}
