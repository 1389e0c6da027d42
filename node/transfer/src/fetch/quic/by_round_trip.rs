//! CUBIC without a pacer where a round trip is shorter than what a timer can wait for, BBR elsewhere.
//!
//! An address does not say how far it is: 10.0.0.2 may be at the other end of a tunnel, and a public one in this room. So
//! the first guess is the caller's, and the first acknowledgement decides.

use super::Distance;
use super::losses::Counted;
use noq_proto::RttEstimator;
use noq_proto::congestion::{
    Bbr3Config, Controller, ControllerFactory, ControllerMetrics, CubicConfig,
};
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Round trips below this are not paced.
///
/// Timers wait for a whole number of milliseconds, at least one, and the pacer lets no more than 256 datagrams (370 KB) go
/// in between: 250 MB/s at most, however fast the network is. Within a few milliseconds the acknowledgements of what was
/// sent before say well enough when to go on, as they do for TCP.
const FAR_FROM: Duration = Duration::from_millis(4);
/// So much that nothing ever waits, in bytes a second.
const UNPACED: u64 = 1 << 40;

/// Makes [`ByRoundTrip`] controllers.
#[derive(Debug)]
pub(super) struct ByRoundTripConfig {
    guess: Distance,
    cubic: Arc<CubicConfig>,
    bbr: Arc<Bbr3Config>,
}

impl ByRoundTripConfig {
    pub(super) fn new(guess: Distance) -> Self {
        Self {
            guess,
            cubic: Arc::default(),
            bbr: Arc::default(),
        }
    }

    fn fitting(&self, distance: Distance, now: Instant, mtu: u16) -> Box<dyn Controller> {
        match distance {
            Distance::Near => self.cubic.clone().build(now, mtu),
            Distance::Far => self.bbr.clone().build(now, mtu),
        }
    }
}

/// CUBIC or BBR.
///
/// BBR hears of losses only when they are many. It is meant to take no notice of single ones, but that of noq 1.4 cuts
/// the rate in every round trip in which one datagram was lost, and asks for more seconds later. What was lost is sent
/// again all the same: that is not the controller's business.
#[derive(Debug)]
struct ByRoundTrip {
    config: Arc<ByRoundTripConfig>,
    inner: Box<dyn Controller>,
    distance: Distance,
    sure: Sure,
    mtu: u16,
    losses: Counted,
    told: Told,
}

/// Whether the distance was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sure {
    Guessed,
    Measured,
}

/// What the inner controller knows of the last losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Them,
}

impl ByRoundTrip {
    /// The least round trip counts, because the rest is time that datagrams wait in queues, our own among them.
    fn measure(&mut self, now: Instant, least: Duration) {
        self.sure = Sure::Measured;
        let distance = match least < FAR_FROM {
            true => Distance::Near,
            false => Distance::Far,
        };
        if distance != self.distance {
            self.distance = distance;
            self.inner = self.config.fitting(distance, now, self.mtu);
            self.told = Told::Nothing;
        }
    }
}

impl ControllerFactory for ByRoundTripConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(ByRoundTrip {
            inner: self.fitting(self.guess, now, current_mtu),
            distance: self.guess,
            sure: Sure::Guessed,
            mtu: current_mtu,
            losses: Counted::default(),
            told: Told::Nothing,
            config: self,
        })
    }
}

impl Controller for ByRoundTrip {
    fn on_sent(&mut self, now: Instant, bytes: u64, largest_pn: u64) {
        self.inner.on_sent(now, bytes, largest_pn);
    }

    fn on_packet_sent(&mut self, now: Instant, bytes: u16, pn: u64) {
        self.inner.on_packet_sent(now, bytes, pn);
    }

    fn on_cwnd_limited(&mut self) {
        self.inner.on_cwnd_limited();
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
        self.measure(now, rtt.min());
        self.losses.arrived(bytes);
        self.inner.on_ack(now, sent, bytes, pn, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.inner
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
        self.inner.on_congestion_event(
            now,
            sent,
            is_persistent_congestion,
            is_ecn,
            lost_bytes,
            largest_lost_pn,
        );
    }

    fn on_packet_lost(&mut self, lost_bytes: u16, pn: u64, now: Instant) {
        self.losses.lost(u64::from(lost_bytes));
        self.told = match self.distance == Distance::Near || self.losses.are_many() {
            true => Told::Them,
            false => Told::Nothing,
        };
        if self.told == Told::Them {
            self.inner.on_packet_lost(lost_bytes, pn, now);
        }
    }

    fn on_spurious_congestion_event(&mut self) {
        // BBR would go back to what it was before losses of which it knows nothing.
        if self.distance == Distance::Near || self.told == Told::Them {
            self.inner.on_spurious_congestion_event();
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu;
        self.inner.on_mtu_update(new_mtu);
    }

    fn on_ack_frequency_update(
        &mut self,
        ack_eliciting_threshold: u64,
        requested_max_ack_delay: Duration,
    ) {
        self.inner
            .on_ack_frequency_update(ack_eliciting_threshold, requested_max_ack_delay);
    }

    fn window(&self) -> u64 {
        self.inner.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.inner.metrics();
        if (self.distance, self.sure) == (Distance::Near, Sure::Measured) {
            metrics.pacing_rate = Some(UNPACED);
        }
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            config: self.config.clone(),
            inner: self.inner.clone_box(),
            ..*self
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controller(guess: Distance) -> ByRoundTrip {
        let config = Arc::new(ByRoundTripConfig::new(guess));
        ByRoundTrip {
            inner: config.fitting(guess, Instant::now(), 1200),
            distance: guess,
            sure: Sure::Guessed,
            mtu: 1200,
            losses: Counted::default(),
            told: Told::Nothing,
            config,
        }
    }

    #[test]
    fn only_short_round_trips_are_not_paced() {
        for guess in [Distance::Near, Distance::Far] {
            let mut controller = controller(guess);
            assert_ne!(controller.metrics().pacing_rate, Some(UNPACED));
            // A queue, and then what is behind it.
            for (round_trip_us, near) in
                [(50_000, false), (4_000, false), (3_999, true), (100, true)]
            {
                controller.measure(Instant::now(), Duration::from_micros(round_trip_us));
                let unpaced = controller.metrics().pacing_rate == Some(UNPACED);
                assert_eq!(unpaced, near, "{round_trip_us} us after {guess:?}");
                let copy = controller.clone_box().metrics().pacing_rate;
                assert_eq!(copy == Some(UNPACED), near);
            }
        }
    }

    #[test]
    fn loss_is_answered_as_cubic_does_where_it_is_near() {
        let now = Instant::now();
        let mut near = controller(Distance::Near);
        let mut cubic = Arc::new(CubicConfig::default()).build(now, 1200);
        for controller in [&mut near as &mut dyn Controller, &mut *cubic] {
            controller.on_congestion_event(now, now, false, false, 1200, 7);
        }
        assert_eq!(near.window(), cubic.window());
        assert!(near.window() < near.initial_window());
    }

    #[test]
    fn where_it_is_far_few_losses_are_not_told() {
        let now = Instant::now();
        let mut far = controller(Distance::Far);
        for number in 1..200 {
            far.losses.arrived(1200 * 100);
            far.on_packet_lost(1200, number, now);
            assert_eq!(far.told, Told::Nothing, "one in a hundred");
        }
        for number in 200..400 {
            far.on_packet_lost(1200, number, now);
        }
        assert_eq!(far.told, Told::Them);
    }
}
