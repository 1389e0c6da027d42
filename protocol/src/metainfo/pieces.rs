//! How long pieces are, and which files a piece lies in.

use super::InfoFile;

/// Bytes of a SHA-1.
pub const PIECE_HASH_BYTES: usize = 20;
/// The shortest piece that [`piece_length`] chooses: one block of the peer protocol.
pub const PIECE_LENGTH_MIN_BYTES: u32 = 16 << 10;
/// The longest piece that [`piece_length`] chooses: every client in use takes 16 MiB.
pub const PIECE_LENGTH_MAX_BYTES: u32 = 16 << 20;

const PIECES_WANTED: u64 = 2048;
const SMALL_TOTAL_BYTES: u64 = 1 << 20;
const USUAL_MIN_BYTES: u32 = 64 << 10;

/// The piece length for a torrent of so many bytes: a power of two that makes 1,025 to 2,048 pieces,
/// which keeps the metadata under 41 KB and yet lets a swarm trade early. Torrents under 1 MiB have 16 KiB,
/// others at least 64 KiB and at most 16 MiB, so that small ones have fewer pieces and those
/// beyond 32 GiB more. Part of the infohash: it must never depend on anything but the size.
pub fn piece_length(total_bytes: u64) -> u32 {
    if total_bytes < SMALL_TOTAL_BYTES {
        return PIECE_LENGTH_MIN_BYTES;
    }
    let wanted = total_bytes
        .div_ceil(PIECES_WANTED)
        .min(u64::from(PIECE_LENGTH_MAX_BYTES)) as u32;
    wanted
        .next_power_of_two()
        .clamp(USUAL_MIN_BYTES, PIECE_LENGTH_MAX_BYTES)
}

/// How many pieces so many bytes have. None for pieces without length.
pub fn piece_count(total_bytes: u64, piece_length_bytes: u32) -> Option<u64> {
    (piece_length_bytes > 0).then(|| total_bytes.div_ceil(u64::from(piece_length_bytes)))
}

/// A part of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Index into `Info::files`.
    pub file_index: usize,
    /// Where it begins in the file.
    pub offset_bytes: u64,
    /// Its length, never 0.
    pub len_bytes: u64,
}

pub(super) fn slices(
    files: &[InfoFile],
    offset_bytes: u64,
    len_bytes: u64,
) -> impl Iterator<Item = Slice> + '_ {
    let end = offset_bytes.saturating_add(len_bytes);
    // Offsets ascend, and a file without bytes ends where it begins.
    let first = files.partition_point(|file| {
        file.offset_bytes.saturating_add(file.length_bytes) <= offset_bytes
    });
    let rest = files.iter().enumerate().skip(first);
    rest.take_while(move |(_, file)| file.offset_bytes < end)
        .filter_map(move |(file_index, file)| {
            let from = offset_bytes.max(file.offset_bytes);
            let to = end.min(file.offset_bytes.saturating_add(file.length_bytes));
            let len_bytes = to.checked_sub(from).filter(|len| *len > 0)?;
            Some(Slice {
                file_index,
                offset_bytes: from - file.offset_bytes,
                len_bytes,
            })
        })
}
