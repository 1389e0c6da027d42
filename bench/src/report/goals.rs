//! What shoal wants to reach, and whether it did.

use serde_json::{Value, json};

use super::{Report, Row, sync, web};
use crate::payload::Kind;
use crate::web::Job;

const RSS_MAX_BYTES: u64 = 100_000_000;

/// One goal and what came of it.
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) measured: String,
    pub(crate) verdict: Verdict,
}

/// Whether a goal was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    NotMet,
    /// One side did not run, or did not complete.
    Unknown,
}

impl Verdict {
    pub(crate) fn of(met: Option<bool>) -> Self {
        match met {
            None => Self::Unknown,
            Some(true) => Self::Met,
            Some(false) => Self::NotMet,
        }
    }
}

impl Goal {
    pub(crate) fn to_json(&self) -> Value {
        json!({"what": self.what, "measured": self.measured, "verdict": self.verdict.to_string()})
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::NotMet => "NOT MET",
            Self::Unknown => "not measured",
        })
    }
}

/// All goals, judged.
pub(crate) fn all(report: &Report) -> Vec<Goal> {
    let mut goals = vec![
        ratio(
            report,
            "one file over iroh at least 1.5 times as fast as sendme",
            ("shoal-iroh", "sendme", Kind::File),
            1.5,
        ),
        ratio(
            report,
            "one file over BitTorrent no slower than rqbit",
            ("shoal-torrent", "rqbit", Kind::File),
            1.0,
        ),
        ratio(
            report,
            "small files at least 3 times as fast as sendme",
            ("shoal", "sendme", Kind::Folder),
            3.0,
        ),
        memory(report),
        web::ratio(
            report,
            "one file over HTTP at least 0.8 times as fast as from nginx",
            &[Job::File],
            0.8,
        ),
        web::ratio(
            report,
            "an archive no slower than `zip -0` through nginx, of large and of small files",
            &[Job::LargeZip, Job::SmallZip],
            1.0,
        ),
        web::page(report),
    ];
    goals.extend(sync::goals(report));
    goals
}

fn ratio(report: &Report, what: &str, of: (&str, &str, Kind), least: f64) -> Goal {
    let (ours, theirs, kind) = of;
    let ratio = report
        .row(ours, kind)
        .zip(report.row(theirs, kind))
        .and_then(|(ours, theirs)| ours.times_as_fast_as(theirs));
    Goal {
        what: what.to_owned(),
        measured: ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2} x")),
        verdict: Verdict::of(ratio.map(|ratio| ratio >= least)),
    }
}

fn memory(report: &Report) -> Goal {
    let rows = report.rows.iter().filter(|row| row.name.contains("shoal"));
    let most = rows.flat_map(ends).max_by_key(|(rss_bytes, _)| *rss_bytes);
    Goal {
        what: "each end of shoal below 100 MB of memory, always".to_owned(),
        measured: most.as_ref().map_or("–".to_owned(), |(rss_bytes, end)| {
            format!("{:.0} MB ({end})", *rss_bytes as f64 / 1e6)
        }),
        verdict: match most {
            None => Verdict::Unknown,
            Some((rss_bytes, _)) if rss_bytes < RSS_MAX_BYTES => Verdict::Met,
            Some(_) => Verdict::NotMet,
        },
    }
}

/// Peak memory of both ends in every round.
fn ends(row: &Row) -> impl Iterator<Item = (u64, String)> {
    row.samples.iter().flat_map(|sample| {
        [("sharer", sample.sharer), ("taker", sample.taker)].map(|(end, usage)| {
            let end = format!("{end} of {}, {}", row.name, row.kind);
            (usage.rss_bytes, end)
        })
    })
}
