//! Which pieces a peer has.

use super::PeerWireError;

/// A set of pieces, in the form of a bitfield message: highest bit first, spare bits zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceSet {
    bits: Vec<u8>,
    pieces: usize,
    count: usize,
}

impl PieceSet {
    /// None of so many pieces.
    pub fn empty(pieces: usize) -> Self {
        Self {
            bits: vec![0; pieces.div_ceil(8)],
            pieces,
            count: 0,
        }
    }

    /// All of so many pieces: what a seeder sends.
    pub fn full(pieces: usize) -> Self {
        let mut bits = vec![0xff; pieces.div_ceil(8)];
        if let Some(last) = bits.last_mut() {
            *last &= !spare_bits(pieces);
        }
        Self {
            bits,
            pieces,
            count: pieces,
        }
    }

    /// What a peer's bitfield message says.
    ///
    /// # Errors
    /// [`PeerWireError::Bitfield`]: wrong length, or a bit beyond the last piece.
    pub fn from_bitfield(bits: &[u8], pieces: usize) -> Result<Self, PeerWireError> {
        let spare = bits.last().copied().unwrap_or(0) & spare_bits(pieces);
        if bits.len() != pieces.div_ceil(8) || spare != 0 {
            return Err(PeerWireError::Bitfield);
        }
        let count = bits.iter().map(|byte| byte.count_ones() as usize).sum();
        Ok(Self {
            bits: bits.to_vec(),
            pieces,
            count,
        })
    }

    /// Adds a piece.
    ///
    /// # Errors
    /// [`PeerWireError::Have`]: there is no such piece.
    pub fn insert(&mut self, piece: u32) -> Result<(), PeerWireError> {
        let index = usize::try_from(piece)
            .ok()
            .filter(|index| *index < self.pieces);
        let byte = index
            .and_then(|index| self.bits.get_mut(index / 8))
            .ok_or(PeerWireError::Have { piece })?;
        let bit = 0x80 >> (piece % 8);
        self.count += usize::from(*byte & bit == 0);
        *byte |= bit;
        Ok(())
    }

    /// Whether a piece is in it.
    pub fn contains(&self, piece: u32) -> bool {
        let byte = usize::try_from(piece / 8)
            .ok()
            .and_then(|index| self.bits.get(index));
        byte.is_some_and(|byte| byte & (0x80 >> (piece % 8)) != 0)
    }

    /// How many pieces are in it.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether every piece is in it.
    pub fn is_full(&self) -> bool {
        self.count == self.pieces
    }

    /// The payload of a bitfield message.
    pub fn as_bitfield(&self) -> &[u8] {
        &self.bits
    }
}

/// The bits of the last byte that belong to no piece.
fn spare_bits(pieces: usize) -> u8 {
    match pieces % 8 {
        0 => 0,
        used => 0xff >> used,
    }
}
