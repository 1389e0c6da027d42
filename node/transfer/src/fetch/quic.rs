//! QUIC settings of links over iroh, for both ends.

use iroh::endpoint::{IdleTimeout, QuicTransportConfig, VarInt};
use noq_proto::congestion::Bbr3Config;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that may be on their way in one stream.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// Bytes that may be on their way in one connection.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const IDLE_TIMEOUT_MS: u32 = 30_000;
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Settings for whole files at full speed: windows that fill 1 Gbit/s over 100 ms, and a connection
/// that is noticed to be dead within half a minute.
///
/// BBR, because CUBIC takes the datagrams that a busy receiver loses for congestion: 1 GiB over loopback
/// on a loaded machine took 19 s with CUBIC and 4 to 6 s with BBR.
pub fn transport() -> QuicTransportConfig {
    QuicTransportConfig::builder()
        .congestion_controller_factory(Arc::new(Bbr3Config::default()))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(u64::from(CONNECTION_WINDOW_BYTES))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .keep_alive_interval(KEEP_ALIVE)
        .build()
}
