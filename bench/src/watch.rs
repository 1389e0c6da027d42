//! When the taker has its first byte, as far as files show it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Names of a taker's own files: they have bytes before anything was taken.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mine {
    /// Every file is taken bytes.
    Nothing,
    /// Files of these names, or ending in them, are the taker's own.
    Endings(&'static [&'static str]),
}

/// Looks at the taker's folder until there is a byte in it.
pub(crate) struct Watch {
    dir: PathBuf,
    mine: Mine,
    next: Instant,
    found: Option<Instant>,
}

impl Watch {
    pub(crate) fn new(dir: &Path, mine: Mine) -> Self {
        Self {
            dir: dir.to_owned(),
            mine,
            next: Instant::now(),
            found: None,
        }
    }

    /// Looks, unless that was just done: looking takes CPU time from those who are measured.
    pub(crate) fn look(&mut self) {
        let began = Instant::now();
        if self.found.is_some() || began < self.next {
            return;
        }
        if has_bytes(&self.dir, self.mine) {
            self.found = Some(Instant::now());
        }
        let took = began.elapsed();
        self.next = Instant::now() + (took * 5).max(Duration::from_millis(1));
    }

    /// When the first byte was seen.
    pub(crate) fn found(&self) -> Option<Instant> {
        self.found
    }
}

/// Whether a file below has blocks on disk: a length alone may be a hole.
fn has_bytes(dir: &Path, mine: Mine) -> bool {
    let Ok(entries) = fs::read_dir(dir) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let Ok(metadata) = entry.metadata() else {
            return false;
        };
        if metadata.is_dir() {
            return has_bytes(&entry.path(), mine);
        }
        let name = entry.file_name();
        let own = match mine {
            Mine::Nothing => false,
            Mine::Endings(endings) => name
                .to_str()
                .is_some_and(|name| endings.iter().any(|ending| name.ends_with(ending))),
        };
        !own && metadata.is_file() && metadata.len() > 0 && metadata.blocks() > 0
    })
}
