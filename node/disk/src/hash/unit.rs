//! A thread that reads units and hashes them.

use super::assemble::{Assembly, Run, UnitHashes};
use super::pieces::Pieces;
use super::plan::{Plan, PlannedFile, Span};
use super::{GROUP_BYTES, HashError, Progress, holes};
use crate::entry::{Entry, EntryKind, Tree};
use crate::roots::Sources;
use crate::source::{SourceError, SourceFile};
use crate::stamp::Stamp;
use blake3::hazmat::{ChainingValue, HasherExt};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes read at once: a multiple of a group that fits a CPU's second-level cache.
const BUFFER_BYTES: usize = 256 * 1024;
/// What is in a hole.
static ZEROS: [u8; BUFFER_BYTES] = [0; BUFFER_BYTES];

pub(super) struct Worker<'a, 'b> {
    tree: &'a Tree,
    plan: &'a Plan,
    sources: &'a Sources,
    assembly: &'a Assembly<'b>,
    progress: &'a dyn Progress,
    cancel: &'a AtomicBool,
    buffer: Vec<u8>,
    /// The file read last: a large one goes on in the next unit.
    open: Option<Opened>,
}

struct Opened {
    /// Index among the plan's files.
    index: usize,
    source: SourceFile,
    holes: Holes,
}

/// Whether a file is asked for holes before it is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holes {
    Asked,
    Ignored,
}

impl<'a, 'b> Worker<'a, 'b> {
    pub(super) fn new(
        tree: &'a Tree,
        plan: &'a Plan,
        sources: &'a Sources,
        assembly: &'a Assembly<'b>,
        progress: &'a dyn Progress,
        cancel: &'a AtomicBool,
    ) -> Self {
        Self {
            tree,
            plan,
            sources,
            assembly,
            progress,
            cancel,
            buffer: Vec::new(),
            open: None,
        }
    }

    /// Works until there is no unit left or something failed.
    pub(super) fn run(mut self) {
        self.buffer = vec![0; BUFFER_BYTES];
        while let Some(unit) = self.assembly.next_unit() {
            match self.unit(unit) {
                Ok(hashes) => self.assembly.deliver(unit, hashes),
                Err(error) => self.assembly.fail(error),
            }
        }
    }

    fn unit(&mut self, unit: usize) -> Result<UnitHashes, HashError> {
        let mut pieces = Pieces::new(self.plan.piece_length, &self.plan.zero_piece);
        let mut hashes = UnitHashes::default();
        let (tree, plan) = (self.tree, self.plan);
        for index in plan.unit_files(unit) {
            let Some(file) = plan.files().get(index) else {
                continue;
            };
            let Some(entry) = tree.entries.get(file.entry) else {
                continue;
            };
            let EntryKind::File(stamp) = &entry.kind else {
                continue;
            };
            let span = plan.span(unit, file);
            let before = hashes.groups.len();
            self.file(index, file, (entry, stamp), &span, &mut pieces, &mut hashes)?;
            hashes.runs.push(Run {
                file: index,
                groups: hashes.groups.len() - before,
            });
            self.progress
                .advance(0, u64::from(span.pieces.end == file.size));
        }
        hashes.pieces = pieces.finish();
        Ok(hashes)
    }

    fn file(
        &mut self,
        index: usize,
        file: &PlannedFile,
        (entry, stamp): (&Entry, &Stamp),
        span: &Span,
        pieces: &mut Pieces,
        hashes: &mut UnitHashes,
    ) -> Result<(), HashError> {
        let failed = |source| HashError::Source {
            path: entry.path.clone(),
            source,
        };
        if file.size == 0 {
            return self.look(entry, stamp).map_err(failed);
        }
        let opened = match self.open.take() {
            Some(opened) if opened.index == index => opened,
            _ => self.open(index, entry, stamp).map_err(failed)?,
        };
        let end = span.pieces.end.max(span.groups.end);
        let mut position = span.pieces.start;
        while position < end {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(HashError::Cancelled);
            }
            // All but the first block begin at a group, so that every group is whole in one.
            let limit = position + BUFFER_BYTES as u64;
            let block = position..if limit >= end {
                end
            } else {
                limit - limit % GROUP_BYTES
            };
            let of_pieces = span.pieces.end.clamp(block.start, block.end) - block.start;
            let first_group = span.groups.start.clamp(block.start, block.end);
            position = block.end;
            let bytes = if opened.is_hole(&block) {
                opened.source.check().map_err(failed)?;
                pieces.update_zeros(of_pieces);
                ZEROS
                    .get(..(block.end - block.start) as usize)
                    .unwrap_or_default()
            } else {
                let bytes = self
                    .buffer
                    .get_mut(..(block.end - block.start) as usize)
                    .unwrap_or_default();
                opened
                    .source
                    .read_exact_at(block.start, bytes)
                    .map_err(failed)?;
                pieces.update(bytes.get(..of_pieces as usize).unwrap_or_default());
                bytes
            };
            let groups = bytes
                .get((first_group - block.start) as usize..)
                .unwrap_or_default();
            hash_groups(file.size, first_group, groups, &mut hashes.groups);
            self.progress.advance(of_pieces, 0);
        }
        if span.pieces.end < file.size {
            self.open = Some(opened);
        }
        Ok(())
    }

    fn open(&self, index: usize, entry: &Entry, stamp: &Stamp) -> Result<Opened, SourceError> {
        let source = self.sources.file(&entry.path, stamp)?;
        let holes = match holes::are_known(source.file(), stamp.size) {
            true => Holes::Asked,
            false => Holes::Ignored,
        };
        Ok(Opened {
            index,
            source,
            holes,
        })
    }

    /// An empty file is not opened, only looked at.
    fn look(&self, entry: &Entry, stamp: &Stamp) -> Result<(), SourceError> {
        let (jail, below) = self.sources.locate(&entry.path).ok_or(SourceError::Gone)?;
        match Stamp::from(&jail.metadata(below)?) == *stamp {
            true => Ok(()),
            false => Err(SourceError::Changed),
        }
    }
}

impl Opened {
    fn is_hole(&self, block: &Range<u64>) -> bool {
        self.holes == Holes::Asked && holes::covers(self.source.file(), block.clone())
    }
}

/// A panicking thread must not leave the others waiting for its unit.
impl Drop for Worker<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.assembly.fail(HashError::Cancelled);
        }
    }
}

/// Hashes whole groups that begin at `start`, a multiple of a group.
fn hash_groups(size: u64, start: u64, bytes: &[u8], groups: &mut Vec<ChainingValue>) {
    if size <= GROUP_BYTES {
        if !bytes.is_empty() {
            groups.push(*blake3::hash(bytes).as_bytes());
        }
        return;
    }
    let mut offset = start;
    for group in bytes.chunks(GROUP_BYTES as usize) {
        groups.push(
            blake3::Hasher::new()
                .set_input_offset(offset)
                .update(group)
                .finalize_non_root(),
        );
        offset += group.len() as u64;
    }
}
