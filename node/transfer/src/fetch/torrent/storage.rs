//! librqbit's storage, on the staging folder: it writes there through the jail, beside the other ways.

use super::super::Way;
use super::super::engine::Engine;
use super::super::error::GetError;
use anyhow::{Context, bail};
use librqbit::storage::{BoxStorageFactory, StorageFactory, StorageFactoryExt, TorrentStorage};
use librqbit::{ManagedTorrentShared, TorrentMetadata};
use librqbit_core::lengths::ValidPieceIndex;
use shoal_protocol::metainfo::{Info, InfoBytes};
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Makes the storage of the one torrent.
#[derive(Clone)]
pub(super) struct Factory {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Arc<Engine>,
    info: Info,
    /// Which of the tree's files a torrent's file is; none for padding and links.
    map: Vec<Option<u32>>,
    /// After this nothing is read or written any more.
    ended: CancellationToken,
}

/// What librqbit reads from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It looks for what is there: bytes that are not are an error.
    Checking,
    /// It reads back pieces that it wrote.
    Live,
}

struct Storage {
    shared: Arc<Shared>,
    stage: Stage,
}

impl Factory {
    /// # Errors
    /// When the metainfo is broken or describes another tree.
    pub(super) fn new(engine: Arc<Engine>, info: &InfoBytes) -> Result<Self, GetError> {
        let info = info
            .decode()
            .map_err(|error| GetError::Verification(error.to_string()))?;
        let map = engine.staging.layout.torrent_files(&info)?;
        let ended = engine.stop.child_token();
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                info,
                map,
                ended,
            }),
        })
    }

    /// Ends the storage when dropped, although librqbit may keep it a little longer.
    pub(super) fn end_on_drop(&self) -> DropGuard {
        self.shared.ended.clone().drop_guard()
    }
}

impl StorageFactory for Factory {
    type Storage = Box<dyn TorrentStorage>;

    fn create(
        &self,
        _shared: &ManagedTorrentShared,
        metadata: &TorrentMetadata,
    ) -> anyhow::Result<Box<dyn TorrentStorage>> {
        // Both read the same bytes; if they saw different files, one would write where the other is not.
        if metadata.file_infos.len() != self.shared.map.len() {
            bail!("librqbit counts other files in this torrent");
        }
        Ok(Box::new(Storage {
            shared: self.shared.clone(),
            stage: Stage::Checking,
        }))
    }

    fn clone_box(&self) -> BoxStorageFactory {
        self.clone().boxed()
    }
}

impl Storage {
    fn file(&self, file_id: usize) -> anyhow::Result<Option<u32>> {
        if self.shared.ended.is_cancelled() {
            bail!("it ended");
        }
        self.shared
            .map
            .get(file_id)
            .copied()
            .context("no such file in this torrent")
    }

    /// Failures of this machine end the whole `get`; librqbit would only stop the torrent.
    fn failed(&self, error: GetError) -> anyhow::Error {
        let text = error.to_string();
        self.shared.engine.fail(error);
        anyhow::anyhow!(text)
    }
}

impl TorrentStorage for Storage {
    fn init(
        &mut self,
        _shared: &ManagedTorrentShared,
        _metadata: &TorrentMetadata,
    ) -> anyhow::Result<()> {
        Ok(())
    }

    fn pread_exact(&self, file_id: usize, offset: u64, buf: &mut [u8]) -> anyhow::Result<()> {
        let Some(file) = self.file(file_id)? else {
            buf.fill(0);
            return Ok(());
        };
        let staging = &self.shared.engine.staging;
        let end = offset + buf.len() as u64;
        if self.stage == Stage::Checking && !staging.marks.missing(file, offset, end).is_empty() {
            bail!("not there yet");
        }
        staging
            .read(file, offset, buf)
            .map_err(|error| self.failed(error))
    }

    fn pwrite_all(&self, file_id: usize, offset: u64, buf: &[u8]) -> anyhow::Result<()> {
        let Some(file) = self.file(file_id)? else {
            return Ok(());
        };
        self.shared
            .engine
            .staging
            .put_unproven(file, offset, buf)
            .map_err(|error| self.failed(error))
    }

    fn remove_file(&self, _file_id: usize, _filename: &Path) -> anyhow::Result<()> {
        bail!("nothing is removed by librqbit")
    }

    fn remove_directory_if_empty(&self, _path: &Path) -> anyhow::Result<()> {
        bail!("nothing is removed by librqbit")
    }

    fn ensure_file_length(&self, _file_id: usize, _length: u64) -> anyhow::Result<()> {
        // The staging folder gives files their length when they are opened.
        Ok(())
    }

    fn take(&self) -> anyhow::Result<Box<dyn TorrentStorage>> {
        // librqbit takes the storage once it has looked, and then downloads.
        Ok(Box::new(Self {
            shared: self.shared.clone(),
            stage: Stage::Live,
        }))
    }

    fn on_piece_completed(&self, piece: ValidPieceIndex) -> anyhow::Result<()> {
        let Shared {
            engine, info, map, ..
        } = self.shared.as_ref();
        let index = piece.get() as usize;
        let start = index as u64 * u64::from(info.piece_length_bytes);
        let slices = info.slices(start, u64::from(info.piece_size(index)));
        let ranges: Vec<_> = slices
            .filter_map(|slice| {
                let file = map.get(slice.file_index).copied().flatten()?;
                Some((
                    file,
                    slice.offset_bytes,
                    slice.offset_bytes + slice.len_bytes,
                ))
            })
            .collect();
        let done = engine
            .staging
            .piece_done(&ranges, Way::Torrent)
            .map_err(|error| self.failed(error))?;
        for (file, added) in done {
            engine.added(file, added);
        }
        Ok(())
    }
}
