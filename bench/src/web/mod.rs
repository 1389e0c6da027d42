//! What somebody with nothing but a browser gets from a node, beside nginx with the same files.
//!
//! Both serve from a warm page cache and are asked by the same client, which throws away what comes: this is about the
//! serving side. nginx has the settings of Debian, with `sendfile`; for an archive it passes on what `zip -0` writes.

mod archiver;
mod nginx;
mod node;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::options::Options;
use crate::payload::{Kind, Payloads};
use crate::trial::Bench;
use nginx::Nginx;
use node::Node;

/// What `--only` calls all of this.
pub(crate) const NAME: &str = "web";

/// What must be there, by package of Debian.
const NEEDS: [&str; 4] = ["nginx", "zip", "unzip", "curl"];

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Job {
    /// One file.
    File,
    /// An archive of one big file.
    LargeZip,
    /// An archive of many small files.
    SmallZip,
    /// The list of a folder with many files.
    Page,
}

/// One side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Shoal,
    Nginx,
}

/// One request.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Answer {
    pub(crate) job: Job,
    pub(crate) side: Side,
    pub(crate) round: usize,
    /// Until the last byte.
    pub(crate) whole_s: f64,
    /// What serving took, of all processors.
    pub(crate) cpu_s: f64,
}

impl Job {
    pub(crate) const ALL: [Self; 4] = [Self::File, Self::LargeZip, Self::SmallZip, Self::Page];

    /// What is shared for it.
    fn source(self) -> &'static str {
        match self {
            Self::File => "one.bin",
            Self::LargeZip => "large",
            Self::SmallZip => "many",
            Self::Page => "flat",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::File | Self::LargeZip => Kind::File,
            Self::SmallZip | Self::Page => Kind::Folder,
        }
    }

    /// How often it is asked for in a round: short answers more often.
    fn requests(self) -> usize {
        match self {
            // A second archive would have the checksums of the first.
            Self::File | Self::LargeZip | Self::SmallZip => 1,
            Self::Page => 20,
        }
    }
}

impl Side {
    const ALL: [Self; 2] = [Self::Shoal, Self::Nginx];
}

/// Where each side answers for one job.
struct Sides {
    node: Node,
    nginx: Nginx,
}

impl Sides {
    fn url(&self, job: Job, side: Side) -> String {
        match side {
            Side::Shoal => self.node.url(job),
            Side::Nginx => self.nginx.url(job),
        }
    }

    fn cpu_s(&self, side: Side) -> Result<f64> {
        match side {
            Side::Shoal => self.node.cpu_s(),
            Side::Nginx => self.nginx.cpu_s(),
        }
    }
}

/// What is missing for this, as a command that installs it.
pub(crate) fn missing() -> Option<String> {
    let missing: Vec<&str> = NEEDS
        .into_iter()
        .filter(|program| !nginx::find(program).is_file())
        .collect();
    (!missing.is_empty()).then(|| format!("RUNLEVEL=1 apt-get install -y {}", missing.join(" ")))
}

/// Asks both sides for everything, round by round.
pub(crate) fn measure(
    bench: &Bench,
    options: &Options,
    payloads: &Payloads,
) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for job in Job::ALL {
        let Some(source) = payloads.path(job.kind()) else {
            continue;
        };
        let root = source.parent().context("the source has a folder")?;
        link(payloads, job, root)?;
        for round in 0..bench.rounds() {
            let dir = tempfile::tempdir_in(bench.dir())?;
            let sides = Sides {
                node: Node::start(options, &root.join(job.source()), dir.path())?,
                nginx: Nginx::start(root, dir.path())?,
            };
            let mut order = Side::ALL;
            order.rotate_left(round % 2);
            for side in order {
                for _ in 0..job.requests() {
                    answers.push(ask(&sides, job, side, round)?);
                }
                let last_s = answers.last().map_or(0.0, |answer| answer.whole_s);
                eprintln!("round {}, web, {job:?}, {side:?}: {last_s:.3} s", round + 1);
            }
            if round == 0 {
                check(&sides, job, payloads, dir.path())?;
            }
            sides.node.end()?;
            sides.nginx.end()?;
        }
    }
    Ok(answers)
}

/// Folders of other shapes with the same files.
fn link(payloads: &Payloads, job: Job, root: &Path) -> Result<()> {
    let folder = root.join(job.source());
    match job {
        Job::File | Job::SmallZip => return Ok(()),
        Job::LargeZip => {
            fs::create_dir_all(&folder)?;
            fs::hard_link(root.join("one.bin"), folder.join("one.bin"))?;
        }
        Job::Page => {
            fs::create_dir_all(&folder)?;
            for path in payloads.small_files() {
                let name = path.file_name().context("a file has a name")?;
                fs::hard_link(&path, folder.join(name))?;
            }
        }
    }
    Ok(())
}

/// Both sides give what they should.
fn check(sides: &Sides, job: Job, payloads: &Payloads, dir: &Path) -> Result<()> {
    for side in Side::ALL {
        let result = dir.join("result");
        let told = curl(&sides.url(job, side), &result)?;
        let wrong = || format!("{side:?} at {job:?}: {told:?}");
        match job {
            Job::File => payloads.verify(Kind::File, &result).with_context(wrong)?,
            Job::LargeZip | Job::SmallZip => {
                let root = unpacked(&result, &dir.join("unpacked")).with_context(wrong)?;
                let found = root.join(job.source());
                let found = match job {
                    Job::LargeZip => found.join(Kind::File.file_name()),
                    _ => found,
                };
                payloads.verify(job.kind(), &found).with_context(wrong)?;
                fs::remove_dir_all(root)?;
            }
            Job::Page => {
                let text = fs::read_to_string(&result)?;
                ensure!(text.contains("000000.bin"), "{}", wrong());
            }
        }
        fs::remove_file(result)?;
    }
    Ok(())
}

fn unpacked(archive: &Path, into: &Path) -> Result<PathBuf> {
    let status = Command::new("unzip")
        .arg("-q")
        .arg(archive)
        .arg("-d")
        .arg(into)
        .status()?;
    ensure!(status.success(), "unzip: {status}");
    Ok(into.to_owned())
}

fn ask(sides: &Sides, job: Job, side: Side, round: usize) -> Result<Answer> {
    let before_s = sides.cpu_s(side)?;
    let told = curl(&sides.url(job, side), Path::new("/dev/null"))?;
    Ok(Answer {
        job,
        side,
        round,
        whole_s: told.whole_s,
        cpu_s: sides.cpu_s(side)? - before_s,
    })
}

/// What curl tells of a request.
#[derive(Debug)]
struct Told {
    whole_s: f64,
}

fn curl(url: &str, into: &Path) -> Result<Told> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--output"])
        .arg(into)
        .args(["--header", "Accept: text/html", "--write-out"])
        .args(["%{time_total}", url])
        .output()
        .context("starting curl")?;
    if !output.status.success() {
        bail!("{url}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(Told {
        whole_s: text.trim().parse().context("what curl tells")?,
    })
}
