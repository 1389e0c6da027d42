//! What two devices did with shoal and with Syncthing, as a table.

use std::fmt::Write;

use clap::ValueEnum;

use super::goals::{Goal, Verdict};
use super::{Report, median};
use crate::sync::{Figure, Job, Side};

/// One line for each job: medians, and the median of the ratios within a round.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut text = String::new();
    if figures.is_empty() {
        return text;
    }
    text.push_str(
        "\n### Two devices, beside Syncthing\n\n\
         In each cell shoal / Syncthing; CPU of both ends; memory of the larger end; homes without the files.\n\n\
         | | seconds | times as fast | CPU s | RSS MB | on the cable MB | home MB, larger end |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
    );
    for &job in Job::value_variants() {
        if !figures.iter().any(|it| it.job == job) {
            continue;
        }
        let both = |digits: usize, figure: fn(&Figure) -> f64| {
            let of_side = |side| {
                median(of(figures, job, side).map(figure).collect())
                    .map_or("–".to_owned(), |it| format!("{it:.digits$}"))
            };
            format!("{} / {}", of_side(Side::Shoal), of_side(Side::Syncthing))
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            job.name(),
            both(2, |it| it.whole_s),
            times(figures, job, |it| it.whole_s)
                .map_or("–".to_owned(), |it| format!("{it:.2} x")),
            both(2, |it| it.cpu_s),
            both(0, |it| larger(it.rss_bytes)),
            both(2, |it| it.traffic_bytes as f64 / 1e6),
            both(0, |it| larger(it.home_bytes)),
        );
    }
    text
}

/// The goals for what was measured.
pub(super) fn goals(report: &Report) -> Vec<Goal> {
    let figures = &report.sync;
    let faster = |job, least: f64| {
        let ratio = times(figures, job, |it| it.whole_s);
        Goal {
            what: format!("{}: {least} times as fast as Syncthing", job.name()),
            measured: shown(ratio, " x"),
            verdict: Verdict::of(ratio.map(|it| it >= least)),
        }
    };
    let below = |job, what: &str, unit: &str, most: f64, figure: fn(&Figure) -> f64| {
        let value = median(of(figures, job, Side::Shoal).map(figure).collect());
        Goal {
            what: format!("{}: {what} under {most}{unit}", job.name()),
            measured: shown(value, unit),
            verdict: Verdict::of(value.map(|it| it < most)),
        }
    };
    let cpu = times(figures, Job::Many, |it| it.cpu_s);
    let index = times(figures, Job::Tiny, |it| larger(it.home_bytes));
    vec![
        faster(Job::File, 1.5),
        faster(Job::Small, 5.0),
        faster(Job::Many, 6.0),
        Goal {
            what: format!("{}: a quarter of the CPU", Job::Many.name()),
            measured: shown(cpu.filter(|it| *it > 0.0).map(|it| 1.0 / it), " x"),
            verdict: Verdict::of(cpu.map(|it| it >= 4.0)),
        },
        faster(Job::Rename, 6.0),
        below(Job::Rename, "traffic", " MB", 1.5, |it| {
            it.traffic_bytes as f64 / 1e6
        }),
        below(Job::Single, "median", " s", 0.5, |it| it.whole_s),
        below(Job::Idle, "CPU of both", " s", 0.1, |it| it.cpu_s),
        below(Job::Idle, "memory", " MB", 60.0, |it| larger(it.rss_bytes)),
        faster(Job::Restart, 3.0),
        faster(Job::Tiny, 10.0),
        below(Job::Tiny, "memory", " MB", 200.0, |it| larger(it.rss_bytes)),
        Goal {
            what: format!("{}: a home no larger", Job::Tiny.name()),
            measured: shown(index.map(|it| 1.0 / it), " x"),
            verdict: Verdict::of(index.map(|it| it >= 1.0)),
        },
        below(Job::Far, "time", " s", 8.0, |it| it.whole_s),
    ]
}

fn shown(value: Option<f64>, unit: &str) -> String {
    value.map_or("–".to_owned(), |it| format!("{it:.2}{unit}"))
}

fn larger(bytes: [u64; 2]) -> f64 {
    bytes[0].max(bytes[1]) as f64 / 1e6
}

/// How many times as much Syncthing needed: the median over the rounds.
fn times(figures: &[Figure], job: Job, figure: fn(&Figure) -> f64) -> Option<f64> {
    let ratios = of(figures, job, Side::Shoal).filter_map(|mine| {
        let theirs = of(figures, job, Side::Syncthing).find(|it| it.round == mine.round)?;
        let ratio = figure(theirs) / figure(mine);
        ratio.is_finite().then_some(ratio)
    });
    median(ratios.collect())
}

fn of(figures: &[Figure], job: Job, side: Side) -> impl Iterator<Item = &Figure> {
    figures
        .iter()
        .filter(move |it| it.job == job && it.side == side)
}
