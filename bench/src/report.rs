//! What the bench says in the end: medians, ratios, and the goals with met or not met.

use std::fmt::Write;
use std::fs;

use serde_json::{Value, json};

use crate::closed::Network;
use crate::install::Missing;
use crate::options::Options;
use crate::payload::Kind;
use crate::process::Usage;
use crate::sync::Figure;
use crate::trial::Sample;
use crate::web::Answer;

mod goals;
mod sync;
mod web;

use goals::Goal;

const MIB: f64 = (1 << 20) as f64;

/// One program at one job, all rounds.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) samples: Vec<Sample>,
    pub(crate) failures: Vec<String>,
}

impl Row {
    pub(crate) fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            samples: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// The median of a figure over all rounds that have it.
    fn median(&self, figure: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(self.samples.iter().filter_map(figure).collect())
    }

    /// How many times as long as this the other took: the median over the rounds that both completed.
    fn times_as_fast_as(&self, other: &Row) -> Option<f64> {
        let ratios = self.samples.iter().filter_map(|mine| {
            let theirs = other
                .samples
                .iter()
                .find(|theirs| theirs.round == mine.round)?;
            Some(theirs.whole_s / mine.whole_s)
        });
        median(ratios.collect())
    }
}

/// Everything that was measured.
pub(crate) struct Report {
    header: String,
    jobs: [(Kind, String); 2],
    missing: Vec<Missing>,
    pub(crate) rows: Vec<Row>,
    /// What was asked of node and nginx.
    pub(crate) web: Vec<Answer>,
    /// What two devices did.
    pub(crate) sync: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(options: &Options, network: &Network, missing: Vec<Missing>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |it| it.get());
        let header = format!(
            "{cores} cores, load {} when it began, {} rounds, seed {}; in {network}.",
            load(),
            options.rounds,
            options.seed,
        );
        let jobs = [
            (
                Kind::File,
                format!("One file of {}", size_human(options.size)),
            ),
            (
                Kind::Folder,
                format!(
                    "{} files of {}",
                    options.files,
                    size_human(options.file_size)
                ),
            ),
        ];
        Self {
            header,
            jobs,
            missing,
            rows: Vec::new(),
            web: Vec::new(),
            sync: Vec::new(),
        }
    }

    /// The row of a program at a job.
    pub(crate) fn row(&self, name: &str, kind: Kind) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.name == name && row.kind == kind)
    }

    pub(crate) fn to_markdown(&self) -> String {
        let mut text = format!("{}\n", self.header);
        for (kind, title) in &self.jobs {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.kind == *kind).collect();
            if !rows.is_empty() {
                let _ = write!(text, "\n### {title}\n\n{}", self.table(&rows));
            }
        }
        text.push_str(&web::table(&self.web));
        text.push_str(&sync::table(&self.sync));
        let goals = goals::all(self);
        text.push_str("\n### To reach\n\n| goal | measured | |\n|---|---|---|\n");
        for goal in goals {
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                goal.what, goal.measured, goal.verdict
            );
        }
        for missing in &self.missing {
            let _ = write!(
                text,
                "\nNOT RUN: {}, which is not installed: `{}` (or `--install`)\n",
                missing.name, missing.install
            );
        }
        for row in self.rows.iter() {
            for why in &row.failures {
                let _ = write!(text, "\nFAILED: {} at the {}: {why}\n", row.name, row.kind);
            }
        }
        text
    }

    pub(crate) fn to_json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "name": row.name,
                    "job": row.kind,
                    "first_byte_s": row.median(|it| it.first_byte_s),
                    "whole_s": row.median(|it| Some(it.whole_s)),
                    "samples": row.samples,
                    "failures": row.failures,
                })
            })
            .collect();
        let missing: Vec<Value> = self
            .missing
            .iter()
            .map(|it| json!({"name": it.name, "install": it.install}))
            .collect();
        let goals: Vec<Value> = goals::all(self).iter().map(Goal::to_json).collect();
        json!({"setting": self.header, "rows": rows, "web": self.web, "sync": self.sync, "goals": goals, "not_run": missing})
    }

    fn table(&self, rows: &[&Row]) -> String {
        let mut text = String::from(
            "| | first byte s | whole s | CPU s, sharer + taker | peak RSS MB, sharer / taker | time beside shoal |\n\
             |---|--:|--:|--:|--:|--:|\n",
        );
        let shoal = rows.iter().find(|row| row.name == "shoal");
        for row in rows {
            let seconds =
                |value: Option<f64>| value.map_or("–".to_owned(), |it| format!("{it:.2}"));
            let pair = |digits: usize, between: &str, figure: fn(Usage) -> f64| {
                let sharer = row.median(|it| Some(figure(it.sharer)));
                let taker = row.median(|it| Some(figure(it.taker)));
                match (sharer, taker) {
                    (Some(sharer), Some(taker)) => {
                        format!("{sharer:.digits$} {between} {taker:.digits$}")
                    }
                    _ => "–".to_owned(),
                }
            };
            let beside = shoal
                .and_then(|shoal| shoal.times_as_fast_as(row))
                .map_or("–".to_owned(), |ratio| format!("{ratio:.2} x"));
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {beside} |",
                row.name,
                seconds(row.median(|it| it.first_byte_s)),
                seconds(row.median(|it| Some(it.whole_s))),
                pair(2, "+", |usage| usage.cpu_s),
                pair(0, "/", |usage| usage.rss_bytes as f64 / 1e6),
            );
        }
        text
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some((values.get(middle.checked_sub(1)?)? + upper) / 2.0)
}

fn size_human(bytes: u64) -> String {
    let size = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", size / 1024.0),
        1_048_576..1_073_741_824 => format!("{} MiB", size / MIB),
        _ => format!("{} GiB", size / MIB / 1024.0),
    }
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn row(name: &'static str, times_s: &[f64]) -> Row {
        let mut row = Row::new(name, Kind::File);
        for (round, &whole_s) in times_s.iter().enumerate() {
            row.samples.push(Sample {
                round,
                first_byte_s: None,
                whole_s,
                sharer: Usage::default(),
                taker: Usage::default(),
            });
        }
        row
    }

    #[test]
    fn medians() {
        assert_eq!(median(Vec::new()), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn ratios_are_of_one_round() {
        // The machine was twice as slow in the second round, for both.
        let (fast, slow) = (row("a", &[1.0, 2.0]), row("b", &[3.0, 6.0]));
        assert_eq!(fast.times_as_fast_as(&slow), Some(3.0));
        assert_eq!(fast.times_as_fast_as(&row("c", &[])), None);
    }
}
