//! A thread that reads units and hashes them.

use super::assemble::{Assembly, Run, UnitHashes};
use super::plan::{Plan, PlannedFile, Span};
use super::{GROUP_BYTES, HashError, Progress};
use crate::entry::{Entry, EntryKind, Tree};
use crate::roots::Sources;
use crate::source::{SourceError, SourceFile};
use crate::stamp::Stamp;
use blake3::hazmat::{ChainingValue, HasherExt};
use sha1::{Digest, Sha1};
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes read at once: a multiple of a group that fits a CPU's second-level cache.
const BUFFER_BYTES: usize = 256 * 1024;

pub(super) struct Worker<'a, 'b> {
    tree: &'a Tree,
    plan: &'a Plan,
    sources: &'a Sources,
    assembly: &'a Assembly<'b>,
    progress: &'a dyn Progress,
    cancel: &'a AtomicBool,
    buffer: Vec<u8>,
    /// The file read last and its index: a large one goes on in the next unit.
    open: Option<(usize, SourceFile)>,
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
        let mut pieces = Pieces::new(self.plan.piece_length);
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
        let source = match self.open.take() {
            Some((at, source)) if at == index => source,
            _ => self.sources.file(&entry.path, stamp).map_err(failed)?,
        };
        let end = span.pieces.end.max(span.groups.end);
        let mut position = span.pieces.start;
        while position < end {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(HashError::Cancelled);
            }
            // All but the first block begin at a group, so that every group is whole in one.
            let limit = position + BUFFER_BYTES as u64;
            let block_end = if limit >= end {
                end
            } else {
                limit - limit % GROUP_BYTES
            };
            let length = (block_end - position) as usize;
            let block = self.buffer.get_mut(..length).unwrap_or_default();
            source.read_exact_at(position, block).map_err(failed)?;
            let of_pieces = span.pieces.end.saturating_sub(position).min(length as u64);
            pieces.update(block.get(..of_pieces as usize).unwrap_or_default());
            self.progress.advance(of_pieces, 0);
            let skipped = span
                .groups
                .start
                .saturating_sub(position)
                .min(length as u64);
            let of_groups = block.get(skipped as usize..).unwrap_or_default();
            hash_groups(file.size, position + skipped, of_groups, &mut hashes.groups);
            position = block_end;
        }
        if span.pieces.end < file.size {
            self.open = Some((index, source));
        }
        Ok(())
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

/// SHA-1 of the pieces of one unit.
struct Pieces {
    piece_length: u64,
    left: u64,
    sha: Sha1,
    done: Vec<u8>,
}

impl Pieces {
    fn new(piece_length: u64) -> Self {
        Self {
            piece_length,
            left: piece_length,
            sha: Sha1::new(),
            done: Vec::new(),
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let take = usize::try_from(self.left)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let (now, later) = bytes.split_at(take);
            self.sha.update(now);
            self.left -= take as u64;
            if self.left == 0 {
                self.done.extend_from_slice(&self.sha.finalize_reset());
                self.left = self.piece_length;
            }
            bytes = later;
        }
    }

    /// The last piece of a torrent is as short as it is.
    fn finish(mut self) -> Vec<u8> {
        if self.left < self.piece_length {
            self.done.extend_from_slice(&self.sha.finalize());
        }
        self.done
    }
}
