//! What was asked of a node and of nginx, as a table.

use std::fmt::Write;

use super::goals::{Goal, Verdict};
use super::{Report, median};
use crate::web::{Answer, Job, Side};

const PAGE_MAX_S: f64 = 0.1;

/// A row for each job: medians, and the median of the ratios within a round.
pub(super) fn table(answers: &[Answer]) -> String {
    let mut text = String::new();
    if answers.is_empty() {
        return text;
    }
    text.push_str(
        "\n### In a browser, beside nginx\n\n\
         | | shoal s | nginx s | speed beside nginx | CPU s, shoal / nginx |\n\
         |---|--:|--:|--:|--:|\n",
    );
    for job in Job::ALL {
        let seconds = |side, figure: fn(&Answer) -> f64| {
            median(of(answers, job, side).map(figure).collect())
                .map_or("–".to_owned(), |it| format!("{it:.3}"))
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} / {} |",
            name(job),
            seconds(Side::Shoal, |it| it.whole_s),
            seconds(Side::Nginx, |it| it.whole_s),
            times_as_fast(answers, job).map_or("–".to_owned(), |ratio| format!("{ratio:.2} x")),
            seconds(Side::Shoal, |it| it.cpu_s),
            seconds(Side::Nginx, |it| it.cpu_s),
        );
    }
    text
}

/// The worst of some jobs, beside nginx.
pub(super) fn ratio(report: &Report, what: &str, jobs: &[Job], least: f64) -> Goal {
    let ratios: Option<Vec<f64>> = jobs
        .iter()
        .map(|job| times_as_fast(&report.web, *job))
        .collect();
    let ratio = ratios.and_then(|ratios| ratios.into_iter().reduce(f64::min));
    Goal {
        what: what.to_owned(),
        measured: ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2} x")),
        verdict: Verdict::of(ratio.map(|ratio| ratio >= least)),
    }
}

/// The page of many files.
pub(super) fn page(report: &Report) -> Goal {
    let slowest_s = of(&report.web, Job::Page, Side::Shoal)
        .map(|it| it.whole_s)
        .reduce(f64::max);
    Goal {
        what: "the page of the folder of small files always in under 100 ms".to_owned(),
        measured: slowest_s.map_or("–".to_owned(), |it| format!("{:.1} ms", it * 1000.0)),
        verdict: Verdict::of(slowest_s.map(|it| it < PAGE_MAX_S)),
    }
}

/// How many times as long as shoal nginx took: the median over the rounds.
fn times_as_fast(answers: &[Answer], job: Job) -> Option<f64> {
    let rounds = of(answers, job, Side::Shoal).map(|it| it.round).max()?;
    let of_round = |side, round| {
        let times = of(answers, job, side).filter(|it| it.round == round);
        median(times.map(|it| it.whole_s).collect())
    };
    let ratios = (0..=rounds)
        .filter_map(|round| Some(of_round(Side::Nginx, round)? / of_round(Side::Shoal, round)?));
    median(ratios.collect())
}

fn of(answers: &[Answer], job: Job, side: Side) -> impl Iterator<Item = &Answer> {
    answers
        .iter()
        .filter(move |it| it.job == job && it.side == side)
}

fn name(job: Job) -> &'static str {
    match job {
        Job::File => "the one file",
        Job::LargeZip => "a ZIP of it; `zip -0` through nginx",
        Job::SmallZip => "a ZIP of the small files; `zip -0` through nginx",
        Job::Page => "the page of the small files in one folder; `autoindex`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_one_round() {
        // The machine was twice as slow in the second round, for both.
        let answer = |side, round, whole_s| Answer {
            job: Job::File,
            side,
            round,
            whole_s,
            cpu_s: 0.0,
        };
        let answers = [
            answer(Side::Shoal, 0, 1.0),
            answer(Side::Nginx, 0, 3.0),
            answer(Side::Shoal, 1, 2.0),
            answer(Side::Nginx, 1, 6.0),
        ];
        assert_eq!(times_as_fast(&answers, Job::File), Some(3.0));
        assert_eq!(times_as_fast(&answers, Job::Page), None);
    }
}
