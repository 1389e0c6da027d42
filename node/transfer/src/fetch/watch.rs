//! Watching over the sources of a `get`: progress, checkpoints, when BitTorrent joins, and when to
//! give up.

use super::engine::Engine;
use super::error::GetError;
use super::torrent::Joiner;
use super::{Durability, Way};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

const TICK: Duration = Duration::from_millis(100);
const CHECKPOINT: Duration = Duration::from_millis(500);
const REFUSED_PATIENCE: Duration = Duration::from_secs(5);
/// BitTorrent also joins where the others have this much longer to go: more peers may help.
const LONG: Duration = Duration::from_secs(15);

/// Until everything is there.
///
/// # Errors
/// This machine's failure, or the verdict over all sources when none delivers any more.
pub(crate) async fn watch(
    engine: &Arc<Engine>,
    joiner: Option<Joiner>,
    sources: &mut JoinSet<()>,
) -> Result<(), GetError> {
    let mut watch = Watch {
        engine,
        joiner,
        started: Instant::now(),
        first_bytes: engine.staging.marks.done_bytes(),
        last: (engine.staging.marks.done_bytes(), Instant::now()),
        checkpoint: (None, Instant::now()),
    };
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watched = loop {
        if let Some(error) = engine.failure() {
            break Err(error);
        }
        if engine.is_complete() {
            break Ok(());
        }
        watch.join_torrent(sources);
        if let Some(error) = watch.hopeless() {
            break Err(error);
        }
        tokio::select! {
            _ = tick.tick() => watch.beat(),
            () = engine.news.notified() => {}
        }
    };
    // Two checkpoints at once would each believe the other's files to be synced.
    if let Some(running) = watch.checkpoint.0 {
        let _ = running.await;
    }
    watched
}

struct Watch<'a> {
    engine: &'a Arc<Engine>,
    joiner: Option<Joiner>,
    started: Instant,
    first_bytes: u64,
    /// Bytes when some last arrived, and when that was.
    last: (u64, Instant),
    checkpoint: (Option<JoinHandle<()>>, Instant),
}

impl Watch<'_> {
    fn beat(&mut self) {
        let bytes = self.engine.staging.marks.done_bytes();
        let waits = self.engine.is_settling() || self.engine.roll.is_counting();
        if bytes != self.last.0 || waits {
            self.last = (bytes, Instant::now());
            self.engine.report_done();
        }
        let running = self
            .checkpoint
            .0
            .as_ref()
            .is_some_and(|running| !running.is_finished());
        let wanted = self.engine.options.durability == Durability::Synced;
        if wanted && !running && self.checkpoint.1.elapsed() >= CHECKPOINT {
            let engine = self.engine.clone();
            let job = self.engine.blocking.clone().spawn_blocking(move || {
                if let Err(error) = engine.staging.checkpoint() {
                    engine.fail(error);
                }
            });
            self.checkpoint = (Some(job), Instant::now());
        }
    }

    /// At once when there is no other way, soon when the others bring nothing, later when they are slow.
    fn join_torrent(&mut self, sources: &mut JoinSet<()>) {
        let marks = &self.engine.staging.marks;
        let elapsed = self.started.elapsed();
        let due = sources.is_empty() || {
            let brought = marks.by_way(Way::Iroh) + marks.by_way(Way::Http);
            let left = self
                .engine
                .staging
                .layout
                .bytes
                .saturating_sub(marks.done_bytes());
            let rate = marks.done_bytes().saturating_sub(self.first_bytes) as f64
                / elapsed.as_secs_f64().max(0.001);
            elapsed >= self.engine.options.torrent_delay
                && (brought == 0 || left as f64 > rate * LONG.as_secs_f64())
        };
        if due && let Some(joiner) = self.joiner.take() {
            let source = self.engine.roll.add(Way::Torrent, joiner.text());
            sources.spawn(joiner.run(self.engine.clone(), source));
        }
    }

    fn hopeless(&self) -> Option<GetError> {
        if self.engine.is_settling() {
            return None;
        }
        if self.joiner.is_none()
            && let Some(error) = self.engine.roll.all_dropped()
        {
            return Some(error);
        }
        // Where the node refuses, others of the swarm may go on; they get a moment to show it.
        let patience = match self.engine.roll.is_refused() {
            true => self.engine.options.stall_timeout.min(REFUSED_PATIENCE),
            false => self.engine.options.stall_timeout,
        };
        (self.last.1.elapsed() >= patience).then(|| self.engine.roll.verdict())
    }
}
