//! Immutable artefacts of a snapshot, as files: written once, whole or not at all.

use crate::error::io_error;
use crate::format::sync_dir;
use crate::share::{ShareEnd, ShareState};
use crate::{Store, StoreError, create_private_dir};
use shoal_protocol::id::{ContentHash, LinkId};
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const TEMP_PREFIX: &str = ".new-";

/// What is kept of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Artefact {
    /// The manifest. Its BLAKE3 hash is the snapshot's.
    Manifest,
    /// BLAKE3 trees of its large files, for every link of the snapshot.
    Outboards,
    /// The info dictionary of one link.
    Metainfo(LinkId),
    /// The stamps of one link's files: two folders may hold the same snapshot.
    Stamps(LinkId),
}

impl Artefact {
    fn file_name(&self, snapshot: &ContentHash) -> String {
        match self {
            Artefact::Manifest => format!("{snapshot}.manifest"),
            Artefact::Outboards => format!("{snapshot}.outboards"),
            Artefact::Metainfo(id) => format!("{snapshot}.{id}.info"),
            Artefact::Stamps(id) => format!("{snapshot}.{id}.stamps"),
        }
    }

    fn all(id: &LinkId) -> [Artefact; 4] {
        [
            Artefact::Manifest,
            Artefact::Outboards,
            Artefact::Metainfo(*id),
            Artefact::Stamps(*id),
        ]
    }
}

/// Artefacts.
impl Store {
    /// Stores an artefact; one of the same name is replaced. It survives a power cut when this returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn put_artefact(
        &self,
        snapshot: &ContentHash,
        kind: Artefact,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let mut writer = self.artefact_writer()?;
        writer
            .write_all(bytes)
            .map_err(|source| io_error("write", &writer.path, source))?;
        writer.commit(snapshot, kind)
    }

    /// Begins an artefact whose snapshot need not be known yet.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn artefact_writer(&self) -> Result<ArtefactWriter, StoreError> {
        let path = self.0.artefacts.temp_path();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path);
        let file = file.map_err(|source| io_error("create", &path, source))?;
        Ok(ArtefactWriter {
            store: self.clone(),
            path,
            file: Some(BufWriter::new(file)),
        })
    }

    /// Opens an artefact for reading.
    ///
    /// # Errors
    /// [`StoreError::NoArtefact`] or [`StoreError::Io`].
    pub fn open_artefact(
        &self,
        snapshot: &ContentHash,
        kind: Artefact,
    ) -> Result<File, StoreError> {
        let path = self.artefact_path(snapshot, kind);
        File::open(&path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => StoreError::NoArtefact { path },
            _ => io_error("open", &path, source),
        })
    }

    /// All bytes of an artefact.
    ///
    /// # Errors
    /// As [`Store::open_artefact`].
    pub fn artefact_bytes(
        &self,
        snapshot: &ContentHash,
        kind: Artefact,
    ) -> Result<Vec<u8>, StoreError> {
        let mut file = self.open_artefact(snapshot, kind)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|source| io_error("read", &self.artefact_path(snapshot, kind), source))?;
        Ok(bytes)
    }

    /// Removes artefacts that no active share needs, and returns how many. What was stored since the
    /// home was opened and has not been named by a ready share yet is kept.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Io`].
    pub fn remove_unreferenced(&self) -> Result<usize, StoreError> {
        let mut needed = HashSet::new();
        // The lock keeps a share from becoming ready between the list and the removal.
        let _writing = self.writing();
        for row in self.shares()? {
            if let (ShareState::Ready { snapshot, .. }, ShareEnd::Active) = (&row.state, row.end) {
                needed.extend(Artefact::all(&row.id).map(|kind| kind.file_name(snapshot)));
            }
        }
        self.0.artefacts.remove_all_but(&needed)
    }

    pub(crate) fn artefact_path(&self, snapshot: &ContentHash, kind: Artefact) -> PathBuf {
        self.0.artefacts.dir.join(kind.file_name(snapshot))
    }
}

/// An artefact that is being written. Dropping it without [`ArtefactWriter::commit`] leaves nothing.
#[derive(Debug)]
pub struct ArtefactWriter {
    store: Store,
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl ArtefactWriter {
    /// Gives the artefact its name. It survives a power cut when this returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn commit(mut self, snapshot: &ContentHash, kind: Artefact) -> Result<(), StoreError> {
        let failed = |source| io_error("write", &self.path, source);
        if let Some(file) = self.file.take() {
            let file = file
                .into_inner()
                .map_err(|error| failed(error.into_error()))?;
            file.sync_all().map_err(failed)?;
        }
        let artefacts = &self.store.0.artefacts;
        let name = kind.file_name(snapshot);
        *artefacts.fresh().entry(name.clone()).or_default() += 1;
        let target = artefacts.dir.join(name);
        std::fs::rename(&self.path, &target)
            .and_then(|()| sync_dir(&artefacts.dir))
            .map_err(|source| io_error("write", &target, source))
    }

    fn file(&mut self) -> io::Result<&mut BufWriter<File>> {
        self.file
            .as_mut()
            .ok_or_else(|| io::Error::from(ErrorKind::NotConnected))
    }
}

impl Write for ArtefactWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file()?.flush()
    }
}

impl Seek for ArtefactWriter {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file()?.seek(to)
    }
}

impl Drop for ArtefactWriter {
    fn drop(&mut self) {
        // After a commit the name is gone, which is no failure; what a crash leaves goes at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The folder of artefacts.
#[derive(Debug)]
pub(crate) struct ArtefactDir {
    dir: PathBuf,
    next_temp: AtomicU64,
    /// Names committed since the start, and how often, less how often a share that needs them became
    /// ready: what a share that is still being counted will need.
    fresh: Mutex<HashMap<String, usize>>,
}

impl ArtefactDir {
    /// Opens the folder and removes what a crash left half-written. The database's lock is held, so
    /// no other process writes here.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        create_private_dir(dir)?;
        let this = ArtefactDir {
            dir: dir.to_path_buf(),
            next_temp: AtomicU64::new(0),
            fresh: Mutex::default(),
        };
        this.remove_where(|name| name.starts_with(TEMP_PREFIX))?;
        Ok(this)
    }

    /// A share became ready: from now on its row keeps its artefacts.
    pub(crate) fn referenced(&self, snapshot: &ContentHash, id: &LinkId) {
        let mut fresh = self.fresh();
        for kind in Artefact::all(id) {
            let name = kind.file_name(snapshot);
            if let Some(count) = fresh.get_mut(&name) {
                *count = count.saturating_sub(1);
            }
            fresh.retain(|_, count| *count > 0);
        }
    }

    fn remove_all_but(&self, needed: &HashSet<String>) -> Result<usize, StoreError> {
        // Held to the end, so that nothing is committed between the look and the removal.
        let fresh = self.fresh();
        self.remove_where(|name| {
            !name.starts_with(TEMP_PREFIX) && !needed.contains(name) && !fresh.contains_key(name)
        })
    }

    fn remove_where(&self, unwanted: impl Fn(&str) -> bool) -> Result<usize, StoreError> {
        let mut removed = 0;
        let failed = |source| io_error("list", &self.dir, source);
        for entry in std::fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if unwanted(&entry.file_name().to_string_lossy()) {
                let path = entry.path();
                std::fs::remove_file(&path).map_err(|source| io_error("remove", &path, source))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn temp_path(&self) -> PathBuf {
        let number = self.next_temp.fetch_add(1, Ordering::Relaxed);
        self.dir.join(format!("{TEMP_PREFIX}{number}"))
    }

    fn fresh(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Durability;
    use crate::share::tests::{ready, row};

    const SNAPSHOT: ContentHash = ContentHash([7; 32]);

    fn files(dir: &Path) -> usize {
        std::fs::read_dir(dir.join("snapshots")).unwrap().count()
    }

    #[test]
    fn artefacts_go_round_and_a_missing_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store
            .put_artefact(&SNAPSHOT, Artefact::Manifest, b"old")
            .unwrap();
        store
            .put_artefact(&SNAPSHOT, Artefact::Manifest, b"manifest")
            .unwrap();
        assert_eq!(
            store.artefact_bytes(&SNAPSHOT, Artefact::Manifest).unwrap(),
            b"manifest"
        );
        assert!(matches!(
            store.open_artefact(&SNAPSHOT, Artefact::Outboards),
            Err(StoreError::NoArtefact { .. })
        ));
        let id = LinkId([1; 16]);
        let stamps = vec![
            crate::StampRow {
                size_bytes: 5,
                ..Default::default()
            };
            3
        ];
        store.put_stamps(&SNAPSHOT, &id, &stamps).unwrap();
        assert_eq!(store.stamps(&SNAPSHOT, &id).unwrap(), stamps);
        store
            .put_artefact(&SNAPSHOT, Artefact::Stamps(id), b"\x01\x05")
            .unwrap();
        assert!(matches!(
            store.stamps(&SNAPSHOT, &id),
            Err(StoreError::Corrupt { .. })
        ));
    }

    #[test]
    fn what_is_not_committed_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut writer = store.artefact_writer().unwrap();
        writer.write_all(&[0; 100_000]).unwrap();
        drop(writer);
        assert_eq!(files(dir.path()), 0);
        std::fs::write(dir.path().join("snapshots/.new-9"), "left by a crash").unwrap();
        drop(store);
        drop(Store::open(dir.path()).unwrap());
        assert_eq!(files(dir.path()), 0);
    }

    #[test]
    fn only_what_no_active_share_needs_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for n in [1, 2] {
            for kind in Artefact::all(&LinkId([n; 16])) {
                store.put_artefact(&SNAPSHOT, kind, b"x").unwrap();
            }
        }
        assert_eq!(files(dir.path()), 6);
        assert_eq!(
            store.remove_unreferenced().unwrap(),
            0,
            "they were stored a moment ago"
        );
        for n in [1, 2] {
            let mut share = row(n);
            share.state = ready(7);
            store.put_share(&share, Durability::Lazy).unwrap();
        }
        assert_eq!(store.remove_unreferenced().unwrap(), 0);
        store
            .update_share(&LinkId([1; 16]), Durability::Lazy, |row| {
                row.end = ShareEnd::Expired
            })
            .unwrap();
        assert_eq!(
            store.remove_unreferenced().unwrap(),
            2,
            "info and stamps of the first link"
        );
        assert!(store.open_artefact(&SNAPSHOT, Artefact::Manifest).is_ok());
        store
            .remove_share(&LinkId([2; 16]), Durability::Lazy)
            .unwrap();
        assert_eq!(store.remove_unreferenced().unwrap(), 4);
        assert_eq!(files(dir.path()), 0);
    }

    #[test]
    fn a_writer_of_another_share_is_not_disturbed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut writer = store.artefact_writer().unwrap();
        writer.write_all(b"abc").unwrap();
        store.remove_unreferenced().unwrap();
        writer.seek(SeekFrom::Start(1)).unwrap();
        writer.write_all(b"X").unwrap();
        writer.commit(&SNAPSHOT, Artefact::Outboards).unwrap();
        assert_eq!(
            store
                .artefact_bytes(&SNAPSHOT, Artefact::Outboards)
                .unwrap(),
            b"aXc"
        );
    }
}
