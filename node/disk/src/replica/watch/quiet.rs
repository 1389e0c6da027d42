//! When what was gathered is told: after a pause, but not too late.

use std::time::{Duration, Instant};

/// How long it must be quiet.
const QUIET: Duration = Duration::from_millis(80);
/// How long something waits at most.
const LATEST: Duration = Duration::from_secs(1);

/// Times of the first and the last event that were not told yet.
#[derive(Debug, Default)]
pub(super) struct Quiet(Option<(Instant, Instant)>);

impl Quiet {
    /// Something happened.
    pub(super) fn event(&mut self, now: Instant) {
        let first = self.0.map_or(now, |(first, _)| first);
        self.0 = Some((first, now));
    }

    /// How long until it is time; none while nothing happened.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let (first, last) = self.0?;
        let due = (last + QUIET).min(first + LATEST);
        Some(due.saturating_duration_since(now))
    }

    /// It was told.
    pub(super) fn told(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_or_a_second_is_waited_for() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut quiet = Quiet::default();
        assert_eq!(quiet.wait(start), None);
        quiet.event(at(0));
        assert_eq!(quiet.wait(at(30)), Some(Duration::from_millis(50)));
        for ms in (0..=990).step_by(10) {
            quiet.event(at(ms));
        }
        assert_eq!(quiet.wait(at(995)), Some(Duration::from_millis(5)));
        assert_eq!(quiet.wait(at(2000)), Some(Duration::ZERO));
        quiet.told();
        assert_eq!(quiet.wait(at(2000)), None);
    }
}
