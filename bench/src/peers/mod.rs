//! The programs that are measured, and how each shares and takes.

mod aria2;
mod rqbit;
mod rsync;
mod sendme;
mod shoal;
mod wormhole;

use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::process::Signal;

use crate::options::Options;
use crate::payload::Kind;
use crate::process::{Process, Usage};
use crate::trial::Trial;
use crate::watch::Mine;
pub(crate) use shoal::program as shoal_program;

/// A program, or one way to use it.
pub(crate) trait Peer {
    /// What the table calls it.
    fn name(&self) -> &'static str;

    /// What must be there: programs by name or path.
    fn needs(&self) -> Vec<PathBuf>;

    /// The shell command that installs what is missing.
    fn install(&self) -> String;

    /// Whether it can do the job.
    fn takes(&self, _kind: Kind) -> bool {
        true
    }

    /// Which files of the target folder are not taken bytes.
    fn mine(&self) -> Mine {
        Mine::Nothing
    }

    /// What a person has long before they share something: a server, a settings file.
    fn prepare(&self, _trial: &Trial) -> Result<()> {
        Ok(())
    }

    /// Starts the sharing command, waits for its link, starts the taking command.
    fn begin(&self, trial: &Trial) -> Result<Pair>;
}

/// Both ends of a running trial.
pub(crate) struct Pair {
    /// What the sharing end has used in programs that ended.
    pub(crate) before: Usage,
    pub(crate) sharer: Process,
    pub(crate) taker: Process,
    /// What ends the sharer.
    pub(crate) end: Signal,
    /// Where the result is, once the taker has ended.
    pub(crate) result: PathBuf,
}

/// Everybody, in the order of the table.
pub(crate) fn all(options: &Options) -> Result<Vec<Box<dyn Peer>>> {
    let options = options.absolute()?;
    let mut all: Vec<Box<dyn Peer>> = Vec::new();
    for way in shoal::Way::ALL {
        all.push(Box::new(shoal::Shoal::new(&options, way)?));
    }
    all.push(Box::new(sendme::Sendme::new(&options)));
    all.push(Box::new(rqbit::Rqbit::new(&options)));
    all.push(Box::new(aria2::Aria2));
    all.push(Box::new(wormhole::Wormhole::new(&options)));
    all.push(Box::new(rsync::Rsync));
    Ok(all)
}

/// What `--only` may name.
pub(crate) fn names() -> Vec<&'static str> {
    shoal::Way::ALL
        .iter()
        .map(|way| way.name())
        .chain(["sendme", "rqbit", "aria2", "wormhole", "rsync"])
        .collect()
}

/// Whether a program is there: a path, or a name that PATH finds.
pub(crate) fn is_there(program: &Path) -> bool {
    if program.components().count() > 1 {
        return program.is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn word_with(line: &str, prefix: &str) -> Option<String> {
    line.split_whitespace()
        .find(|word| word.starts_with(prefix))
        .map(str::to_owned)
}
