//! The local API's routes. Bodies are JSON; errors are an [`crate::ApiError`] as JSON.
//!
//! Every request carries `Authorization: Bearer <token>`; the token is the text of `HOME/token`.

/// GET: [`crate::NodeStatus`].
pub const STATUS: &str = "/v1/status";
/// GET: a list of [`crate::ShareView`]. POST of a [`crate::ShareRequest`]: 201 and a [`crate::ShareView`].
pub const SHARES: &str = "/v1/shares";
/// GET, DELETE `/v1/shares/<id>`: a [`crate::ShareView`]. GET `/v1/shares/<id>/log?limit=N`: a list of [`crate::LogRow`].
pub const SHARE_PREFIX: &str = "/v1/shares/";
/// GET, optionally `?id=<id>`: [`crate::Event`]s as lines of JSON until the node ends; empty lines mean nothing.
pub const EVENTS: &str = "/v1/events";
/// POST: 202, and the node ends.
pub const SHUTDOWN: &str = "/v1/shutdown";

/// What the client sends as `Host`: a socket has no other name.
pub const HOST: &str = "localhost";

/// Rows of a log that are given at most.
pub const LOG_MAX_ROWS: usize = 100_000;
