//! An archive as a file that is read from front to back: its records are made, its contents read
//! from the user's files, its checksums counted on the way.

use super::layout::{Layout, Piece};
use crate::port::{About, FileBytes, PublicShare, Row, RowKind, Seat};
use shoal_protocol::hello::Refusal;
use shoal_protocol::id::{ContentHash, LinkId};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows of the archives that are remembered, all together: about 50 bytes each.
const REMEMBERED_ROWS: usize = 500_000;

/// The archives that were asked for lately. What has been read of them keeps its checksum here, so
/// that a download that broke off goes on without reading anything twice.
#[derive(Default)]
pub(crate) struct Archives(Mutex<VecDeque<Arc<Archive>>>);

/// One archive, and the checksums of its files as far as they have been read.
pub(crate) struct Archive {
    link: LinkId,
    tag: String,
    mtime_ns: i64,
    layout: Layout,
    sums: Mutex<Vec<Sum>>,
}

/// The checksum of a file's first bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    through: u64,
    crc: u32,
}

impl Archives {
    /// The archive of a share as it is now. Takes time with the length of its list.
    pub(crate) fn of(&self, link: LinkId, about: &About, rows: Arc<[Row]>) -> Arc<Archive> {
        let tag = tag(about, &rows);
        let mut kept = lock(&self.0);
        if let Some(at) = kept.iter().position(|a| a.link == link && a.tag == tag)
            && let Some(archive) = kept.remove(at)
        {
            kept.push_back(archive.clone());
            return archive;
        }
        let archive = Arc::new(Archive {
            link,
            tag,
            mtime_ns: rows
                .iter()
                .map(|row| row.mtime_ns)
                .max()
                .unwrap_or_default(),
            sums: Mutex::new(vec![Sum::default(); rows.len()]),
            layout: Layout::new(&about.name, rows),
        });
        kept.retain(|kept| kept.link != link);
        kept.push_back(archive.clone());
        while kept.len() > 1 && rows_of(&kept) > REMEMBERED_ROWS {
            kept.pop_front();
        }
        archive
    }
}

/// An archive that is being sent.
pub(crate) struct ZipFile {
    archive: Arc<Archive>,
    share: Arc<dyn PublicShare>,
    /// The file that was read last: chunks end within files.
    open: Mutex<Option<(usize, Arc<dyn FileBytes>)>>,
}

impl ZipFile {
    pub(crate) fn new(archive: Arc<Archive>, share: Arc<dyn PublicShare>) -> Self {
        Self {
            archive,
            share,
            open: Mutex::default(),
        }
    }

    /// Reads content at `offset` of row `index`; gives the number of bytes.
    fn content(&self, index: usize, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let file = self.opened(index)?;
        let left = file.size().saturating_sub(offset);
        let len = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        let part = buf.get_mut(..len).unwrap_or_default();
        file.read_exact_at(offset, part)?;
        self.archive.count(index, offset, part)?;
        Ok(len)
    }

    fn opened(&self, index: usize) -> io::Result<Arc<dyn FileBytes>> {
        let mut open = lock(&self.open);
        if let Some((at, file)) = &*open
            && *at == index
        {
            return Ok(file.clone());
        }
        let row = self.archive.layout.row(index);
        let row = row.ok_or_else(|| io::Error::other("no such entry"))?;
        let file = self.share.file(&row.path).map_err(io::Error::other)?;
        if row.kind != (RowKind::File { size: file.size() }) {
            return Err(io::Error::other("a file has another size than in the list"));
        }
        *open = Some((index, file.clone()));
        Ok(file)
    }
}

impl FileBytes for ZipFile {
    fn size(&self) -> u64 {
        self.archive.layout.len()
    }

    fn mtime_ns(&self) -> i64 {
        self.archive.mtime_ns
    }

    fn tag(&self) -> String {
        self.archive.tag.clone()
    }

    /// Only where the checksums of all that lies before are known.
    fn starts_at(&self, offset: u64) -> bool {
        let sums = lock(&self.archive.sums);
        let known = |index: usize| sums.get(index).map_or(0, |sum| sum.through);
        self.archive
            .layout
            .files_before(offset)
            .all(|(index, needed)| known(index) >= needed)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = offset + filled as u64;
            let layout = &self.archive.layout;
            let made = match layout.piece(at) {
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(Piece::Content { index, offset }) => {
                    filled += self.content(index, offset, rest)?;
                    continue;
                }
                Some(Piece::Made(bytes)) => bytes,
                Some(Piece::Checksum { index }) => {
                    layout.checked(index, at, self.archive.sum(index)?)
                }
                Some(Piece::Listed { index }) => layout.listed(index, at, self.archive.sum(index)?),
            };
            let len = made.len().min(rest.len());
            if let (Some(to), Some(from)) = (rest.get_mut(..len), made.get(..len)) {
                to.copy_from_slice(from);
            }
            filled += len;
        }
        Ok(())
    }
}

impl Archive {
    /// Takes bytes of a file into its checksum; those that were taken already are not taken again.
    fn count(&self, index: usize, offset: u64, part: &[u8]) -> io::Result<()> {
        let known = lock(&self.sums).get(index).copied().unwrap_or_default();
        let end = offset + part.len() as u64;
        if known.through >= end {
            return Ok(());
        }
        let fresh = known
            .through
            .checked_sub(offset)
            .and_then(|skip| part.get(usize::try_from(skip).ok()?..))
            .ok_or_else(|| io::Error::other("an archive was read from its middle"))?;
        let mut hasher = crc32fast::Hasher::new_with_initial(known.crc);
        hasher.update(fresh);
        let counted = Sum {
            through: end,
            crc: hasher.finalize(),
        };
        let mut sums = lock(&self.sums);
        if let Some(sum) = sums.get_mut(index)
            && sum.through < end
        {
            *sum = counted;
        }
        Ok(())
    }

    /// The checksum of a whole file; that of anything else is not asked for.
    fn sum(&self, index: usize) -> io::Result<u32> {
        let sum = lock(&self.sums).get(index).copied().unwrap_or_default();
        match self.layout.row(index).map(|row| &row.kind) {
            Some(RowKind::File { size }) if sum.through != *size => Err(io::Error::other(
                "an archive's end was asked for before all of it was read",
            )),
            _ => Ok(sum.crc),
        }
    }
}

/// A seat that is told of the files' bytes alone, since an archive's own do not belong to the share.
pub(crate) struct ZipSeat {
    seat: Arc<dyn Seat>,
    archive: Arc<Archive>,
    at: AtomicU64,
}

impl ZipSeat {
    /// For an answer that begins at `offset` of the archive.
    pub(crate) fn new(seat: Arc<dyn Seat>, archive: Arc<Archive>, offset: u64) -> Self {
        Self {
            seat,
            archive,
            at: AtomicU64::new(offset),
        }
    }
}

impl Seat for ZipSeat {
    fn sent(&self, bytes: u64) {
        let from = self.at.fetch_add(bytes, Ordering::Relaxed);
        let layout = &self.archive.layout;
        let until = layout.payload_before(from.saturating_add(bytes));
        self.seat
            .sent(until.saturating_sub(layout.payload_before(from)));
    }

    fn ended(&self) -> Option<Refusal> {
        self.seat.ended()
    }
}

/// Differs whenever an archive's bytes may. A share refuses a file that is not the one it listed, so
/// the list says it all.
fn tag(about: &About, rows: &[Row]) -> String {
    let mut text = Vec::with_capacity(rows.len() * 64 + 64);
    let mut put = |bytes: &[u8]| {
        text.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        text.extend_from_slice(bytes);
    };
    put(about.name.as_bytes());
    for row in rows {
        put(row.path.as_str().as_bytes());
        put(&row.mtime_ns.to_le_bytes());
        put(&row.mode.to_le_bytes());
        match &row.kind {
            RowKind::File { size } => put(&size.to_le_bytes()),
            RowKind::Folder => put(b"folder"),
            RowKind::Symlink { target } => put(target.as_bytes()),
        }
    }
    let mut tag = ContentHash::of(&text).to_hex();
    tag.truncate(32);
    tag
}

fn rows_of(archives: &VecDeque<Arc<Archive>>) -> usize {
    archives.iter().map(|kept| lock(&kept.sums).len()).sum()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
