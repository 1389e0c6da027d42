//! How the files of a tree, one after the other, are cut into units.

use super::GROUP_BYTES;
use super::pieces::ZeroPiece;
use crate::entry::Tree;
use std::ops::Range;

/// Bytes of a unit at most, unless one piece is longer.
const UNIT_MAX_BYTES: u64 = 1 << 20;
/// A small tree, perhaps of very many tiny files, is cut into about so many units for all threads to have some.
const UNITS_OF_A_SMALL_TREE: u64 = 64;
/// Bytes that the fastest thread may be ahead of the slowest: their hashes wait in memory, 2 KiB for each MiB.
const WINDOW_BYTES: u64 = 1 << 30;

/// Where each file is in the stream of all files.
pub(super) struct Plan {
    files: Vec<PlannedFile>,
    pub(super) total_bytes: u64,
    pub(super) piece_length: u64,
    unit_bytes: u64,
    pub(super) zero_piece: ZeroPiece,
}

/// A regular file.
#[derive(Clone, Copy)]
pub(super) struct PlannedFile {
    /// Index in the tree's entries.
    pub(super) entry: usize,
    start: u64,
    pub(super) size: u64,
}

/// What a unit does with one file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Bytes of the file that belong to the unit's pieces.
    pub(super) pieces: Range<u64>,
    /// Bytes of the groups that begin in the unit; may begin and end later than `pieces`.
    pub(super) groups: Range<u64>,
}

impl Plan {
    pub(super) fn new(tree: &Tree, piece_length: u64) -> Self {
        let mut total_bytes = 0;
        let files = tree
            .files()
            .map(|(entry, _, stamp)| {
                let start = total_bytes;
                total_bytes += stamp.size;
                PlannedFile {
                    entry,
                    start,
                    size: stamp.size,
                }
            })
            .collect();
        let aim = UNIT_MAX_BYTES.min(total_bytes / UNITS_OF_A_SMALL_TREE);
        let unit_bytes = (aim / piece_length).max(1) * piece_length;
        Self {
            files,
            total_bytes,
            piece_length,
            unit_bytes,
            zero_piece: ZeroPiece::default(),
        }
    }

    pub(super) fn files(&self) -> &[PlannedFile] {
        &self.files
    }

    /// Number of units; one even if all files are empty, for they are looked at too.
    pub(super) fn units(&self) -> usize {
        match self.files.len() {
            0 => 0,
            _ => usize::try_from(self.total_bytes.div_ceil(self.unit_bytes))
                .unwrap_or(usize::MAX)
                .max(1),
        }
    }

    /// Units that a thread may be ahead of the slowest.
    pub(super) fn window_units(&self) -> usize {
        usize::try_from(WINDOW_BYTES / self.unit_bytes)
            .unwrap_or(usize::MAX)
            .clamp(16, 1024)
    }

    /// The files of a unit: those with bytes in it, and the empty ones at its place in the stream.
    pub(super) fn unit_files(&self, unit: usize) -> Range<usize> {
        let bytes = self.unit_range(unit);
        let first = self
            .files
            .partition_point(|f| f.start < bytes.start && f.start + f.size <= bytes.start);
        let last = if unit + 1 >= self.units() {
            self.files.len()
        } else {
            self.files.partition_point(|f| f.start < bytes.end)
        };
        first..last.max(first)
    }

    pub(super) fn span(&self, unit: usize, file: &PlannedFile) -> Span {
        let unit = self.unit_range(unit);
        let start = unit.start.saturating_sub(file.start).min(file.size);
        let end = unit.end.saturating_sub(file.start).min(file.size);
        let first_group = start.next_multiple_of(GROUP_BYTES);
        let groups = if first_group < end {
            first_group..end.next_multiple_of(GROUP_BYTES).min(file.size)
        } else {
            end..end
        };
        Span {
            pieces: start..end,
            groups,
        }
    }

    fn unit_range(&self, unit: usize) -> Range<u64> {
        let start = (unit as u64).saturating_mul(self.unit_bytes);
        start..start.saturating_add(self.unit_bytes)
    }
}
