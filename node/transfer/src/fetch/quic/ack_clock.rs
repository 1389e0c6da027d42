//! CUBIC without a pacer where a round trip is shorter than what a timer can wait for.

use noq_proto::RttEstimator;
use noq_proto::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Round trips below this are not paced.
///
/// Timers wait for a whole number of milliseconds, at least one, and the pacer lets no more than 256 datagrams (370 KB) go
/// in between: 250 MB/s at most, however fast the network is. Within a few milliseconds the acknowledgements of what was
/// sent before say well enough when to go on, as they do for TCP.
const PACED_FROM: Duration = Duration::from_millis(4);
/// So much that nothing ever waits, in bytes a second.
const UNPACED: u64 = 1 << 40;

/// Makes [`AckClocked`] controllers.
#[derive(Debug, Default)]
pub(super) struct AckClockedConfig {
    cubic: Arc<CubicConfig>,
}

/// CUBIC in everything but the pacing.
#[derive(Debug)]
struct AckClocked {
    cubic: Box<dyn Controller>,
    pacing: Pacing,
}

/// Whether what the window allows is spread over a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pacing {
    On,
    Off,
}

impl Pacing {
    fn at(round_trip: Duration) -> Self {
        match round_trip < PACED_FROM {
            true => Self::Off,
            false => Self::On,
        }
    }
}

impl ControllerFactory for AckClockedConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(AckClocked {
            cubic: self.cubic.clone().build(now, current_mtu),
            pacing: Pacing::On,
        })
    }
}

impl Controller for AckClocked {
    fn on_sent(&mut self, now: Instant, bytes: u64, largest_pn: u64) {
        self.cubic.on_sent(now, bytes, largest_pn);
    }

    fn on_packet_sent(&mut self, now: Instant, bytes: u16, pn: u64) {
        self.cubic.on_packet_sent(now, bytes, pn);
    }

    fn on_cwnd_limited(&mut self) {
        self.cubic.on_cwnd_limited();
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        pn: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        // The least, because the rest is time that datagrams wait in queues, our own among them.
        self.pacing = Pacing::at(rtt.min());
        self.cubic.on_ack(now, sent, bytes, pn, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.cubic
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        is_ecn: bool,
        lost_bytes: u64,
        largest_lost_pn: u64,
    ) {
        self.cubic.on_congestion_event(
            now,
            sent,
            is_persistent_congestion,
            is_ecn,
            lost_bytes,
            largest_lost_pn,
        );
    }

    fn on_packet_lost(&mut self, lost_bytes: u16, pn: u64, now: Instant) {
        self.cubic.on_packet_lost(lost_bytes, pn, now);
    }

    fn on_spurious_congestion_event(&mut self) {
        self.cubic.on_spurious_congestion_event();
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
    }

    fn on_ack_frequency_update(&mut self, threshold: u64, requested_max_ack_delay: Duration) {
        self.cubic
            .on_ack_frequency_update(threshold, requested_max_ack_delay);
    }

    fn window(&self) -> u64 {
        self.cubic.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.cubic.metrics();
        if self.pacing == Pacing::Off {
            metrics.pacing_rate = Some(UNPACED);
        }
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            cubic: self.cubic.clone_box(),
            pacing: self.pacing,
        })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_short_round_trips_are_not_paced() {
        let mut controller = AckClocked {
            cubic: Arc::new(CubicConfig::default()).build(Instant::now(), 1200),
            pacing: Pacing::On,
        };
        assert_eq!(controller.metrics().pacing_rate, None);
        for (round_trip_us, rate) in [(100, Some(UNPACED)), (3999, Some(UNPACED)), (4000, None)] {
            controller.pacing = Pacing::at(Duration::from_micros(round_trip_us));
            assert_eq!(controller.metrics().pacing_rate, rate, "{round_trip_us} us");
            assert_eq!(controller.clone_box().metrics().pacing_rate, rate);
        }
    }

    #[test]
    fn loss_is_answered_as_cubic_does() {
        let now = Instant::now();
        let config = Arc::new(AckClockedConfig::default());
        let mut controller = config.clone().build(now, 1200);
        let mut cubic = config.cubic.clone().build(now, 1200);
        for controller in [&mut controller, &mut cubic] {
            controller.on_congestion_event(now, now, false, false, 1200, 7);
        }
        assert_eq!(controller.window(), cubic.window());
        assert!(controller.window() < controller.initial_window());
    }
}
