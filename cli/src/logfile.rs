//! The node's log: `node.log`, and older ones as `node.log.1` to `node.log.4`.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Bytes after which a new file begins.
pub(crate) const FILE_MAX_BYTES: u64 = 10 << 20;
/// Files that are kept, the present one among them.
pub(crate) const FILES: usize = 5;

const NAME: &str = "node.log";

/// Where log lines go while this process is the node of a home; before and after, nowhere.
#[derive(Clone, Default)]
pub(crate) struct LogFile(Arc<Mutex<Option<Rotating>>>);

impl LogFile {
    /// Writes to the files in `folder` from now on, which is made if missing.
    pub(crate) fn open(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let rotating = Rotating::new(folder, FILE_MAX_BYTES)?;
        self.set(Some(rotating));
        Ok(())
    }

    /// Writes nowhere from now on.
    pub(crate) fn close(&self) {
        self.set(None);
    }

    fn set(&self, to: Option<Rotating>) {
        *self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = to;
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut rotating = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(rotating) = rotating.as_mut() {
            rotating.append(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The files in `folder` that exist, oldest first.
pub(crate) fn existing(folder: &Path) -> Vec<PathBuf> {
    (0..FILES)
        .rev()
        .map(|age| path(folder, age))
        .filter(|path| path.is_file())
        .collect()
}

/// The file that is written at present.
pub(crate) fn present(folder: &Path) -> PathBuf {
    path(folder, 0)
}

/// The last `lines` lines of the log, oldest first.
pub(crate) fn tail(folder: &Path, lines: usize) -> io::Result<Vec<String>> {
    let mut kept = VecDeque::new();
    for path in existing(folder) {
        // Each file is bounded, so that reading one as a whole is, too.
        let bytes = std::fs::read(&path)?;
        for line in String::from_utf8_lossy(&bytes).lines() {
            if kept.len() == lines {
                kept.pop_front();
            }
            if lines > 0 {
                kept.push_back(line.to_owned());
            }
        }
    }
    Ok(kept.into())
}

fn path(folder: &Path, age: usize) -> PathBuf {
    match age {
        0 => folder.join(NAME),
        _ => folder.join(format!("{NAME}.{age}")),
    }
}

struct Rotating {
    folder: PathBuf,
    file: File,
    written_bytes: u64,
    max_bytes: u64,
}

impl Rotating {
    fn new(folder: &Path, max_bytes: u64) -> io::Result<Self> {
        // Addresses of takers are nobody else's business.
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path(folder, 0))?;
        Ok(Self {
            folder: folder.to_owned(),
            written_bytes: file.metadata()?.len(),
            file,
            max_bytes,
        })
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.written_bytes > 0 && self.written_bytes + line.len() as u64 > self.max_bytes {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.written_bytes += line.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for age in (0..FILES - 1).rev() {
            match std::fs::rename(path(&self.folder, age), path(&self.folder, age + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        *self = Self::new(&self.folder, self.max_bytes)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn old_files_move_on_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Rotating::new(folder.path(), 20).unwrap();
        for number in 0..30 {
            log.append(format!("line {number:02}\n").as_bytes())
                .unwrap();
        }
        let files = existing(folder.path());
        assert_eq!(files.len(), FILES);
        assert!(
            files
                .iter()
                .all(|file| file.metadata().unwrap().len() <= 20)
        );
        let all = tail(folder.path(), usize::MAX).unwrap();
        let last: Vec<String> = (20..30).map(|number| format!("line {number:02}")).collect();
        assert_eq!(all, last);
        assert_eq!(tail(folder.path(), 2).unwrap(), ["line 28", "line 29"]);
        assert!(tail(folder.path(), 0).unwrap().is_empty());
    }

    #[test]
    fn goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        Rotating::new(folder.path(), 100)
            .unwrap()
            .append(b"one\n")
            .unwrap();
        let mut log = Rotating::new(folder.path(), 100).unwrap();
        assert_eq!(log.written_bytes, 4);
        log.append(b"two\n").unwrap();
        assert_eq!(tail(folder.path(), 9).unwrap(), ["one", "two"]);
    }

    #[test]
    fn closed_is_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFile::default();
        log.write_all(b"before\n").unwrap();
        log.open(folder.path()).unwrap();
        log.write_all(b"while\n").unwrap();
        log.close();
        log.write_all(b"after\n").unwrap();
        assert_eq!(tail(folder.path(), 9).unwrap(), ["while"]);
    }
}
