//! Waiting for a condition, never for a while.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// A moment after which waiting is a failure.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// So many seconds from now.
    pub fn secs(secs: u64) -> Deadline {
        Deadline(Instant::now() + Duration::from_secs(secs))
    }

    /// So many milliseconds from now.
    pub fn millis(millis: u64) -> Deadline {
        Deadline(Instant::now() + Duration::from_millis(millis))
    }

    /// What is left; zero once it has passed.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    pub fn passed(self) -> bool {
        self.left().is_zero()
    }
}

/// Asks again and again until `ask` answers with something. For what reports no event of its own, such as a foreign
/// client's web interface. Fails at the deadline, naming `what` was waited for.
pub fn poll<T>(
    deadline: Deadline,
    what: &str,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    const BETWEEN_QUESTIONS: Duration = Duration::from_millis(20);
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if deadline.passed() {
            bail!("waited in vain for {what}");
        }
        thread::park_timeout(BETWEEN_QUESTIONS.min(deadline.left()));
    }
}
