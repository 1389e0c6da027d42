//! What a person may ask for.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use crate::sync::{Job, Side};

/// Measures shoal beside sendme, rqbit, aria2, magic-wormhole and rsync: one big file, and many small ones; and what a
/// browser gets from it beside nginx.
#[derive(Debug, Clone, Parser)]
#[command(name = "shoal-bench", after_help = PROFILE)]
pub(crate) struct Options {
    /// How often each program does each job; the table shows medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Measure these alone, for example shoal-iroh,sendme.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Bytes of the one file: a number, or one with K, M or G; 0 leaves this job out.
    #[arg(long, default_value = "1G", value_name = "BYTES", value_parser = bytes)]
    pub(crate) size: u64,
    /// How many small files; 0 leaves this job out.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) files: u32,
    /// Bytes of each small file.
    #[arg(long, default_value = "4K", value_name = "BYTES", value_parser = bytes)]
    pub(crate) file_size: u64,
    /// What the random bytes come from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Seconds after which one trial has failed.
    #[arg(long, default_value_t = 300)]
    pub(crate) max_seconds: u64,
    /// Install what is missing first; needs a network, and root for Debian's packages.
    #[arg(long)]
    pub(crate) install: bool,
    /// Where to work; needs three times the size of the jobs, on the disk that is to be measured.
    #[arg(long, value_name = "DIR", default_value = "target/bench-work")]
    pub(crate) dir: PathBuf,
    /// The shoal program [default: beside this one].
    #[arg(long, value_name = "FILE")]
    pub(crate) shoal: Option<PathBuf>,
    /// Where sendme, rqbit and the mailbox server of magic-wormhole are.
    #[arg(long, value_name = "DIR", default_value = "target/bench-peers")]
    pub(crate) peers: PathBuf,
    /// Run both ends of shoal under `perf record`; the recordings go here.
    #[arg(long, value_name = "DIR")]
    pub(crate) profile: Option<PathBuf>,
    /// What two devices do beside Syncthing; jobs that others need are done too.
    #[arg(long, value_name = "JOB", value_delimiter = ',', value_enum, default_values_t = Job::value_variants().to_vec())]
    pub(crate) jobs: Vec<Job>,
    /// Only one of the two in those jobs.
    #[arg(long, value_name = "PROGRAM", value_enum)]
    pub(crate) alone: Option<Side>,
    /// The Syncthing program [default: the one in PATH].
    #[arg(long, value_name = "FILE")]
    pub(crate) syncthing: Option<PathBuf>,
    /// Print JSON: every sample, the medians and the goals.
    #[arg(long)]
    pub(crate) json: bool,
    /// Stay in this machine's network instead of one that has loopback alone.
    #[arg(long)]
    pub(crate) host_network: bool,
}

const PROFILE: &str = "\
Where the time goes:
  cargo run --release -p shoal-bench -- --only shoal-iroh --rounds 1 --files 0 --profile target/perf
  perf report --no-children -i target/perf/shoal-iroh-file-taker.perf
perf itself costs time: figures of such a run are not for comparing.";

impl Options {
    /// Every path absolute, because programs are started elsewhere.
    pub(crate) fn absolute(&self) -> Result<Self> {
        let absolute = |path: &PathBuf| {
            std::path::absolute(path).with_context(|| format!("finding {}", path.display()))
        };
        Ok(Self {
            dir: absolute(&self.dir)?,
            peers: absolute(&self.peers)?,
            syncthing: self.syncthing.as_ref().map(absolute).transpose()?,
            shoal: self.shoal.as_ref().map(absolute).transpose()?,
            profile: self.profile.as_ref().map(absolute).transpose()?,
            ..self.clone()
        })
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let upper = text.trim().to_uppercase();
    let (digits, factor) = match upper.strip_suffix(['K', 'M', 'G']) {
        Some(digits) if upper.ends_with('K') => (digits, 1u64 << 10),
        Some(digits) if upper.ends_with('M') => (digits, 1 << 20),
        Some(digits) => (digits, 1 << 30),
        None => (upper.as_str(), 1),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "this is no size; examples: 4096, 4K, 64M, 1G".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("4k"), Ok(4096));
        assert_eq!(bytes("3M"), Ok(3 << 20));
        assert_eq!(bytes("1G"), Ok(1 << 30));
        for wrong in ["", "G", "-1", "1.5G", "99999999999G"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
