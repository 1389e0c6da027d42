//! QUIC settings of links over iroh, for both ends.

mod by_round_trip;
mod losses;

use by_round_trip::ByRoundTripConfig;
use iroh::endpoint::{IdleTimeout, QuicTransportConfig, VarInt};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that may be on their way in one stream.
///
/// noq 1.4 closes a connection when a stream holds more than 2,048 packets that were not read; one packet
/// has 1,200 bytes or more, so about 2.4 MB unread would be fatal.
const STREAM_WINDOW_BYTES: u32 = 2_000_000;
/// Bytes that may be on their way in one connection.
const CONNECTION_WINDOW_BYTES: u32 = 6_000_000;
const IDLE_TIMEOUT_MS: u32 = 30_000;
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How far the other side is: a guess, until the first round trip is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// On this machine or its network.
    Near,
    /// Somewhere on the internet.
    Far,
}

impl Distance {
    /// By its address.
    pub fn of(address: IpAddr) -> Self {
        let near = match address.to_canonical() {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            IpAddr::V6(ip) => {
                ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
            }
        };
        if near { Self::Near } else { Self::Far }
    }
}

/// Settings for whole files at full speed, and a connection that is noticed to be dead within half a
/// minute.
///
/// BBR where it is far, because CUBIC takes every lost datagram for congestion (64 MiB over 50 ms and
/// 0.1 % loss: 60 s); CUBIC where it is near, where any pacing waits longer than the network needs. That goes for the
/// taker too: BBR paces the little that it sends so slowly that its sharer waits for windows, 1 to 30 ms each time.
pub fn transport(distance: Distance) -> QuicTransportConfig {
    QuicTransportConfig::builder()
        .congestion_controller_factory(Arc::new(ByRoundTripConfig::new(distance)))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(u64::from(CONNECTION_WINDOW_BYTES))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .keep_alive_interval(KEEP_ALIVE)
        .build()
}
