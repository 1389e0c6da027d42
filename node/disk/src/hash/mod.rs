//! One pass over the bytes of a tree: SHA-1 pieces for BitTorrent, BLAKE3 and outboards for all else.
//!
//! The files, one after the other, are one stream, which is cut into units of whole pieces. Each thread
//! takes the next unit, reads it through one buffer, and hashes it twice while it is in the CPU's cache:
//! no bytes travel between threads. A unit of BLAKE3 is a group of 16 KiB of one file; it belongs to the
//! unit in which it begins, which reads on past its end where a group does. [`assemble`] joins the
//! groups, unit by unit in order.

mod assemble;
pub(crate) mod holes;
mod pieces;
mod plan;
mod unit;

#[cfg(test)]
mod tests;

use crate::entry::Tree;
use crate::roots::Sources;
use crate::source::SourceError;
use assemble::Assembly;
use plan::Plan;
use shoal_protocol::id::ContentHash;
use shoal_protocol::path::RelPath;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use unit::Worker;

/// Bytes of a leaf of an outboard: iroh-blobs' block size, `BlockSize::from_chunk_log(4)`.
pub const GROUP_BYTES: u64 = 16 * 1024;

/// Piece lengths that are accepted: powers of two from here on (BEP 3 clients expect no less).
const PIECE_MIN_BYTES: u64 = 16 * 1024;
const PIECE_MAX_BYTES: u64 = 256 << 20;

/// The coarsest tick of a kernel's file clock (CONFIG_HZ=100), doubled.
const FILE_CLOCK_TICK: Duration = Duration::from_millis(20);

/// How to hash.
#[derive(Debug, Clone, Copy)]
pub struct HashOptions {
    /// Bytes of a BitTorrent piece: a power of two, 16 KiB to 256 MiB.
    pub piece_length: u64,
    /// Threads that read and hash; 1 at least.
    pub threads: usize,
}

impl HashOptions {
    /// As many threads as there are processors, up to 16.
    pub fn new(piece_length: u64) -> Self {
        let threads = std::thread::available_parallelism().map_or(2, |count| count.get().min(16));
        Self {
            piece_length,
            threads,
        }
    }
}

/// Told how far hashing is, several times per MiB and from several threads.
pub trait Progress: Sync {
    /// So many bytes and files more are done.
    fn advance(&self, bytes: u64, files: u64);
}

/// Progress as two numbers.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes hashed.
    pub bytes: AtomicU64,
    /// Files read to their end.
    pub files: AtomicU64,
}

impl Progress for Counters {
    fn advance(&self, bytes: u64, files: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.files.fetch_add(files, Ordering::Relaxed);
    }
}

/// Nobody is told.
impl Progress for () {
    fn advance(&self, _bytes: u64, _files: u64) {}
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    /// The regular files, in snapshot order.
    pub files: Vec<HashedFile>,
    /// SHA-1 of each piece, 20 bytes each, as BEP 3 has them.
    pub pieces: Vec<u8>,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Bytes written to the outboards.
    pub outboard_bytes: u64,
}

/// One regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashedFile {
    /// Its index in [`Tree::entries`].
    pub entry: usize,
    /// BLAKE3 of its bytes.
    pub content: ContentHash,
    /// Where its outboard is; none up to 16 KiB, where the hash alone verifies.
    pub outboard: Option<Outboard>,
}

/// A file's outboard: hash pairs in post-order without a size, for `bao_tree`'s `PostOrderOutboard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outboard {
    /// Where it begins in what was written.
    pub offset: u64,
    /// Its length in bytes.
    pub len_bytes: u64,
}

/// Why a tree was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// A file changed, is gone or cannot be read.
    #[error("{path:?}: {source}")]
    Source {
        /// Which.
        path: RelPath,
        /// What happened to it; after `Changed` and `Gone` another walk may do better.
        source: SourceError,
    },
    /// A root of the tree is gone or cannot be opened.
    #[error("what is shared cannot be opened: {0}")]
    Root(#[source] SourceError),
    /// The outboards could not be written.
    #[error("hashes cannot be written: {0}; make room in the home")]
    Outboards(#[source] io::Error),
    /// The caller said so.
    #[error("hashing was cancelled")]
    Cancelled,
    /// Not a power of two from 16 KiB to 256 MiB.
    #[error("a piece length of {0} bytes is none (a power of two from 16 KiB to 256 MiB is)")]
    PieceLength(u64),
    /// The system gave no thread.
    #[error("no thread could be started: {0}")]
    Threads(#[source] io::Error),
}

/// Bytes of the outboard of a file of this size: 64 for each group of 16 KiB but one.
pub fn outboard_len_bytes(size: u64) -> u64 {
    size.div_ceil(GROUP_BYTES).saturating_sub(1) * 64
}

/// Reads every file of a tree once.
///
/// The outboards of files over 16 KiB are written to `outboards` one after the other, in snapshot order and
/// in sequence. Memory: about 0.5 MiB a thread, 100 bytes a file, 20 bytes a piece. A tree of the same
/// bytes gives the same result whatever the number of threads.
///
/// Every file is compared with its stamp after it is read. A file younger than the file clock's tick could
/// change and keep its stamp; so this waits until the youngest is older, for 20 ms at most.
///
/// # Errors
/// See [`HashError`]. What was written to `outboards` is of no use then.
pub fn hash_tree(
    tree: &Tree,
    options: &HashOptions,
    outboards: &mut (dyn Write + Send),
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<Hashed, HashError> {
    let piece_length = options.piece_length;
    if !piece_length.is_power_of_two()
        || !(PIECE_MIN_BYTES..=PIECE_MAX_BYTES).contains(&piece_length)
    {
        return Err(HashError::PieceLength(piece_length));
    }
    let sources = Sources::open(&tree.roots).map_err(HashError::Root)?;
    outlast_the_tick(tree);
    let plan = Plan::new(tree, piece_length);
    let assembly = Assembly::new(&plan, outboards);
    let threads = options.threads.clamp(1, plan.units().max(1));
    std::thread::scope(|scope| {
        // The caller's thread is one of them.
        for number in 1..threads {
            let worker = Worker::new(tree, &plan, &sources, &assembly, progress, cancel);
            let started = std::thread::Builder::new()
                .name(format!("hash-{number}"))
                .spawn_scoped(scope, || worker.run());
            if let Err(error) = started {
                assembly.fail(HashError::Threads(error));
            }
        }
        Worker::new(tree, &plan, &sources, &assembly, progress, cancel).run();
    });
    assembly.finish()
}

/// Waits until every file of a tree is older than the file clock's tick.
pub(crate) fn outlast_the_tick(tree: &Tree) {
    let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) else {
        return;
    };
    let youngest = tree
        .files()
        .filter_map(|(_, _, stamp)| u64::try_from(stamp.ctime_ns.max(stamp.mtime_ns)).ok())
        .map(Duration::from_nanos)
        // The clock was set back, or the time is made up: no waiting helps.
        .filter(|time| *time <= now)
        .max();
    if let Some(youngest) = youngest
        && let Some(wait) = (youngest + FILE_CLOCK_TICK).checked_sub(now)
    {
        std::thread::sleep(wait);
    }
}
