//! What the folders get, and when it is on the other side.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::Serialize;

use super::ends::End;
use crate::options::Options;

/// Files in each folder of a tree.
const FILES_IN_FOLDER: u32 = 500;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Job {
    /// One file of 1 GiB.
    File,
    /// 10,000 files of 4 KiB.
    Small,
    /// Their folder gets another name.
    Rename,
    /// One file of 1 KiB while nothing else happens.
    Single,
    /// 50,000 files of 10 KiB.
    Many,
    /// 60 seconds in which nothing happens, with those.
    Idle,
    /// A file is changed while one end is down; until that is on the other side after its start.
    Restart,
    /// 200,000 files of 16 bytes.
    Tiny,
    /// One file of 64 MiB over 50 ms, 100 Mbit/s and 0.1 % loss.
    Far,
}

impl Job {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "one file of 1 GiB",
            Self::Small => "10,000 files of 4 KiB",
            Self::Rename => "a folder of 10,000 files is renamed",
            Self::Single => "one file of 1 KiB while idle, median of 10",
            Self::Many => "50,000 files of 10 KiB",
            Self::Idle => "60 s idle with 50,000 files",
            Self::Restart => "restart with 50,000 files and a change",
            Self::Tiny => "200,000 files of 16 bytes",
            Self::Far => "64 MiB over 50 ms, 100 Mbit/s, 0.1 % loss",
        }
    }

    /// How many files of how many bytes.
    fn files(self) -> Option<(u32, u64)> {
        match self {
            Self::File => Some((1, 1 << 30)),
            Self::Small => Some((10_000, 4 << 10)),
            Self::Many => Some((50_000, 10 << 10)),
            Self::Tiny => Some((200_000, 16)),
            Self::Far => Some((1, 64 << 20)),
            Self::Rename | Self::Single | Self::Idle | Self::Restart => None,
        }
    }
}

/// The jobs in an order in which each finds what it needs; each group has devices of its own.
pub(crate) fn groups(asked: &[Job]) -> Vec<Vec<Job>> {
    let groups: [&[Job]; 5] = [
        &[Job::File],
        &[Job::Small, Job::Rename, Job::Single],
        &[Job::Many, Job::Idle, Job::Restart],
        &[Job::Far],
        &[Job::Tiny],
    ];
    let wanted = |group: &&[Job]| group.iter().any(|job| asked.contains(job));
    let needed = |group: &[Job]| {
        let first = group.iter().take(1).copied();
        let rest = group.iter().skip(1).filter(|job| asked.contains(job));
        first.chain(rest.copied()).collect()
    };
    groups.into_iter().filter(wanted).map(needed).collect()
}

/// Trees that wait beside the left folder.
pub(crate) struct Trees {
    dir: PathBuf,
    seed: u64,
}

/// A change in the left folder, and how it is seen in the right one.
pub(crate) struct Change {
    began: Instant,
    sign: Sign,
}

enum Sign {
    /// A file of this length.
    File(PathBuf, u64),
    /// So many files in the folders in here, and nothing there.
    Folders {
        at: PathBuf,
        folders: u32,
        gone: Option<PathBuf>,
    },
}

impl Trees {
    pub(crate) fn prepare(group: &[Job], dir: &Path, options: &Options) -> Result<Self> {
        let trees = Self {
            dir: dir.to_owned(),
            seed: options.seed,
        };
        for &job in group {
            let Some((files, bytes)) = job.files() else {
                continue;
            };
            let mut content = blake3::Hasher::new()
                .update(&trees.seed.to_le_bytes())
                .update(job.name().as_bytes())
                .finalize_xof();
            let mut buffer = vec![0; bytes.min(1 << 20) as usize];
            let stage = trees.stage(job);
            if files == 1 {
                fs::create_dir_all(dir)?;
                let mut file = File::create(&stage)?;
                for _ in 0..bytes.div_ceil(1 << 20) {
                    content.fill(&mut buffer);
                    file.write_all(&buffer)?;
                }
                continue;
            }
            for number in 0..files {
                let folder = stage.join(format!("{:03}", number / FILES_IN_FOLDER));
                if number % FILES_IN_FOLDER == 0 {
                    fs::create_dir_all(&folder)?;
                }
                content.fill(&mut buffer);
                fs::write(folder.join(format!("{number:06}.bin")), &buffer)?;
            }
        }
        Ok(trees)
    }

    fn stage(&self, job: Job) -> PathBuf {
        self.dir.join(format!("stage-{job:?}"))
    }

    fn left(&self, name: &str) -> PathBuf {
        End::Left.folder(&self.dir).join(name)
    }

    fn right(&self, name: &str) -> PathBuf {
        End::Right.folder(&self.dir).join(name)
    }

    /// Puts what the job brings into the left folder.
    pub(crate) fn place(&self, job: Job) -> Result<Change> {
        let (from, gone) = match job {
            Job::Rename => (self.left("Small"), Some(self.right("Small"))),
            _ => (self.stage(job), None),
        };
        let name = format!("{job:?}");
        let (files, bytes) = match job {
            Job::Rename => Job::Small.files(),
            _ => job.files(),
        }
        .context("a job that brings nothing")?;
        let began = Instant::now();
        fs::rename(from, self.left(&name))?;
        let sign = match files {
            1 => Sign::File(self.right(&name), bytes),
            _ => Sign::Folders {
                at: self.right(&name),
                folders: files / FILES_IN_FOLDER,
                gone,
            },
        };
        Ok(Change { began, sign })
    }

    /// One more file of 1 KiB.
    pub(crate) fn single(&self, number: u32) -> Result<Change> {
        let name = format!("single-{number}.bin");
        let stage = self.dir.join(&name);
        fs::write(&stage, [number as u8; 1 << 10])?;
        let began = Instant::now();
        fs::rename(stage, self.left(&name))?;
        Ok(Change {
            began,
            sign: Sign::File(self.right(&name), 1 << 10),
        })
    }

    /// A file of the many gets longer.
    pub(crate) fn edit_while_away(&self) -> Result<Change> {
        let name = "Many/099/049999.bin";
        let mut file = File::options().append(true).open(self.left(name))?;
        file.write_all(b"longer")?;
        Ok(Change {
            began: Instant::now(),
            sign: Sign::File(self.right(name), file.metadata()?.len()),
        })
    }

    /// Both folders are the same, byte by byte.
    pub(crate) fn verify(&self) -> Result<()> {
        let output = Command::new("diff")
            .args(["-rq", "-x", ".shoal", "-x", ".stfolder"])
            .arg(End::Left.folder(&self.dir))
            .arg(End::Right.folder(&self.dir))
            .output()
            .context("starting diff")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "the folders differ: {}",
            said.lines().take(5).collect::<Vec<_>>().join(" | ")
        );
        Ok(())
    }
}

impl Change {
    /// Looks until it is there; seconds since it was made.
    pub(crate) fn until_there(&self, limit: Duration) -> Result<f64> {
        // A look at many folders costs something, which both programs pay.
        let pause = Duration::from_millis(match self.sign {
            Sign::File(..) => 5,
            Sign::Folders { .. } => 100,
        });
        while !self.sign.is_there()? {
            if self.began.elapsed() > limit {
                bail!("it did not arrive in {} s", limit.as_secs());
            }
            std::thread::sleep(pause);
        }
        Ok(self.began.elapsed().as_secs_f64())
    }
}

impl Sign {
    fn is_there(&self) -> Result<bool> {
        match self {
            Self::File(path, bytes) => {
                Ok(fs::metadata(path).is_ok_and(|found| found.len() == *bytes))
            }
            Self::Folders { at, folders, gone } => {
                // The last folder first: most looks end there.
                for number in (0..*folders).rev() {
                    let Ok(entries) = fs::read_dir(at.join(format!("{number:03}"))) else {
                        return Ok(false);
                    };
                    let count = entries
                        .flatten()
                        .filter(|entry| is_final(&entry.file_name()));
                    if count.count() < FILES_IN_FOLDER as usize {
                        return Ok(false);
                    }
                }
                Ok(gone.as_ref().is_none_or(|gone| !gone.exists()))
            }
        }
    }
}

fn is_final(name: &std::ffi::OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.len() == "000000.bin".len() && name.ends_with(".bin"))
}

/// Blocks of everything in a folder, in bytes.
pub(crate) fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = fs::read_dir(dir) else {
            continue;
        };
        for entry in entries.flatten() {
            // What goes away meanwhile takes nothing.
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                open.push(entry.path());
            }
            bytes += meta.blocks() * 512;
        }
    }
    Ok(bytes)
}
