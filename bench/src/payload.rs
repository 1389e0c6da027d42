//! What is shared: random bytes from a seed, so that a result is checked against the seed and not against a source
//! that a program may have changed.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::options::Options;

const BUFFER_BYTES: usize = 1 << 16;

/// The two jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// One big file.
    File,
    /// A folder of many small files.
    Folder,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::File, Self::Folder];

    /// The name that takers see.
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Self::File => "one.bin",
            Self::Folder => "many",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Folder => "folder",
        })
    }
}

/// Both jobs on disk.
pub(crate) struct Payloads {
    dir: PathBuf,
    seed: u64,
    size_bytes: u64,
    files: u32,
    file_size_bytes: u64,
}

impl Payloads {
    /// Writes the files below `dir`.
    pub(crate) fn generate(dir: &Path, options: &Options) -> Result<Self> {
        let it = Self {
            dir: dir.join("source"),
            seed: options.seed,
            size_bytes: options.size,
            files: options.files,
            file_size_bytes: options.file_size,
        };
        fs::create_dir_all(&it.dir)?;
        eprintln!(
            "seed {}: one file of {} bytes, {} files of {} bytes",
            it.seed, it.size_bytes, it.files, it.file_size_bytes
        );
        if let Some(path) = it.path(Kind::File) {
            it.write(&path, 0, it.size_bytes)?;
        }
        if let Some(path) = it.path(Kind::Folder) {
            for number in 0..it.files {
                let path = path.join(small_name(number));
                if let Some(parent) = path.parent().filter(|_| number % FILES_PER_FOLDER == 0) {
                    fs::create_dir_all(parent)?;
                }
                it.write(&path, u64::from(number) + 1, it.file_size_bytes)?;
            }
        }
        Ok(it)
    }

    /// Where the job's file or folder is; none if it was left out.
    pub(crate) fn path(&self, kind: Kind) -> Option<PathBuf> {
        let wanted = match kind {
            Kind::File => self.size_bytes > 0,
            Kind::Folder => self.files > 0,
        };
        wanted.then(|| self.dir.join(kind.file_name()))
    }

    /// Every small file.
    pub(crate) fn small_files(&self) -> impl Iterator<Item = PathBuf> {
        let folder = self.dir.join(Kind::Folder.file_name());
        (0..self.files).map(move |number| folder.join(small_name(number)))
    }

    /// Compares a result with what the seed gives: all of it, and nothing else.
    pub(crate) fn verify(&self, kind: Kind, result: &Path) -> Result<()> {
        match kind {
            Kind::File => self.compare(result, 0, self.size_bytes),
            Kind::Folder => {
                for number in 0..self.files {
                    let path = result.join(small_name(number));
                    self.compare(&path, u64::from(number) + 1, self.file_size_bytes)?;
                }
                let found = count(result)?;
                ensure!(
                    found == u64::from(self.files),
                    "{}: {found} files, and {} were shared",
                    result.display(),
                    self.files
                );
                Ok(())
            }
        }
    }

    fn write(&self, path: &Path, number: u64, bytes: u64) -> Result<()> {
        let mut file =
            File::create(path).with_context(|| format!("creating {}", path.display()))?;
        let mut stream = self.stream(number);
        let mut buffer = [0; BUFFER_BYTES];
        let mut left = bytes;
        while left > 0 {
            let part = part(&mut buffer, left);
            stream.fill(part);
            file.write_all(part)
                .with_context(|| format!("writing {}", path.display()))?;
            left -= part.len() as u64;
        }
        Ok(())
    }

    fn compare(&self, path: &Path, number: u64, bytes: u64) -> Result<()> {
        let mut file =
            File::open(path).with_context(|| format!("opening the result {}", path.display()))?;
        let found = file.metadata()?.len();
        ensure!(
            found == bytes,
            "{}: {found} bytes, and {bytes} were shared",
            path.display()
        );
        let mut stream = self.stream(number);
        let (mut buffer, mut expected) = ([0; BUFFER_BYTES], [0; BUFFER_BYTES]);
        let mut left = bytes;
        while left > 0 {
            let part = part(&mut buffer, left);
            file.read_exact(part)?;
            let expected = self::part(&mut expected, left);
            stream.fill(expected);
            ensure!(
                part == expected,
                "{}: wrong bytes after {}",
                path.display(),
                bytes - left
            );
            left -= part.len() as u64;
        }
        Ok(())
    }

    fn stream(&self, number: u64) -> blake3::OutputReader {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&number.to_le_bytes());
        hasher.finalize_xof()
    }
}

const FILES_PER_FOLDER: u32 = 100;

fn small_name(number: u32) -> PathBuf {
    PathBuf::from(format!("{:03}", number / FILES_PER_FOLDER)).join(format!("{number:06}.bin"))
}

fn part(buffer: &mut [u8; BUFFER_BYTES], left: u64) -> &mut [u8] {
    let end = usize::try_from(left).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
    let (part, _) = buffer.split_at_mut(end);
    part
}

fn count(dir: &Path) -> Result<u64> {
    let mut found = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        found += if entry.file_type()?.is_dir() {
            count(&entry.path())?
        } else {
            1
        };
    }
    Ok(found)
}
