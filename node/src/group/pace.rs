//! How fast content goes to and comes from a device, where a person has set a limit.

use super::GroupService;
use shoal_api::ApiError;
use shoal_protocol::id::DeviceId;
use shoal_store::Durability;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What may go at once after a rest, as time at the full rate.
const BURST: Duration = Duration::from_millis(200);
/// The slowest rate in bytes a second: below it, the other side takes a pause for an end.
pub(super) const RATE_MIN: u64 = 32 * 1024;

/// Spreads bytes over time; shared by all that goes one way.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Bytes a second; 0 is without limit.
    rate: AtomicU64,
    /// Until when what went so far has had its time.
    paid_until: Mutex<Option<Instant>>,
}

/// Both ways of one device.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    /// To the device.
    pub(crate) up: Pace,
    /// From it.
    pub(crate) down: Pace,
}

impl Pace {
    /// Bytes a second; none where there is no limit.
    pub(crate) fn rate(&self) -> Option<u64> {
        Some(self.rate.load(Ordering::Relaxed)).filter(|rate| *rate > 0)
    }

    /// Takes the time of `bytes`, and says how long to wait for it; none where there is no limit.
    pub(crate) fn take(&self, bytes: u64) -> Option<Duration> {
        let rate = self.rate()?;
        Some(self.take_at(Instant::now(), bytes, rate))
    }

    fn take_at(&self, now: Instant, bytes: u64, rate: u64) -> Duration {
        let mut paid = self
            .paid_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let from = paid.map_or(earliest, |paid| paid.max(earliest));
        let until = from + Duration::from_secs_f64(bytes as f64 / rate as f64);
        *paid = Some(until);
        until.saturating_duration_since(now)
    }

    fn set(&self, rate: Option<u64>) {
        self.rate.store(rate.unwrap_or(0), Ordering::Relaxed);
        *self
            .paid_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl GroupService {
    /// The limits of a device, as they are kept.
    pub(super) fn pace(&self, device: &DeviceId) -> Arc<Paces> {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = paces.get(device) {
            return known.clone();
        }
        let of = Paces::default();
        let kept = self.context.records.store.setting(&setting(device));
        match kept {
            Ok(kept) => {
                let (up, down) = kept.as_deref().map_or((None, None), decode);
                of.up.set(up);
                of.down.set(down);
            }
            Err(error) => tracing::warn!(%device, %error, "the limits of a device cannot be read"),
        }
        let of = Arc::new(of);
        paces.insert(*device, of.clone());
        of
    }

    /// Sets the limits of a device, from now on and over restarts.
    pub(super) fn limit(
        &self,
        device: &DeviceId,
        up: Option<u64>,
        down: Option<u64>,
    ) -> Result<(), ApiError> {
        let store = &self.context.records.store;
        let name = setting(device);
        let put = || match (up, down) {
            (None, None) => store.remove_setting(&name, Durability::Flushed),
            _ => store.put_setting(&name, &encode(up, down), Durability::Flushed),
        };
        crate::service::off_the_runtime(put).map_err(crate::service::errors::of_store)?;
        let paces = self.pace(device);
        paces.up.set(up);
        paces.down.set(down);
        Ok(())
    }
}

/// The name of a setting is short: 192 bits of a key are as good as all of it.
fn setting(device: &DeviceId) -> String {
    let digits: String = device.to_hex().chars().take(48).collect();
    format!("limit.{digits}")
}

fn encode(up: Option<u64>, down: Option<u64>) -> Vec<u8> {
    let ways = [up, down].map(|rate| rate.unwrap_or(0).to_le_bytes());
    ways.concat()
}

/// What is no pair of rates is no limit.
fn decode(bytes: &[u8]) -> (Option<u64>, Option<u64>) {
    let rate = |bytes: &[u8; 8]| Some(u64::from_le_bytes(*bytes)).filter(|rate| *rate > 0);
    match bytes.as_chunks::<8>() {
        ([up, down], []) => (rate(up), rate(down)),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time_and_a_rest_saves_up_little() {
        let (pace, now) = (Pace::default(), Instant::now());
        let (rate, ms) = (1_000_000, Duration::from_millis);
        assert_eq!(pace.take(1 << 40), None);
        assert_eq!(pace.take_at(now, 200_000, rate), Duration::ZERO);
        assert_eq!(pace.take_at(now, 500_000, rate), ms(500));
        assert_eq!(pace.take_at(now, 500_000, rate), ms(1000));
        assert_eq!(pace.take_at(now + ms(60_000), 300_000, rate), ms(100));
    }

    #[test]
    fn limits_are_kept_as_they_were_set() {
        for limits in [(None, None), (Some(5), None), (Some(1), Some(u64::MAX))] {
            assert_eq!(decode(&encode(limits.0, limits.1)), limits);
        }
        assert_eq!(decode(&[1; 17]), (None, None));
    }
}
