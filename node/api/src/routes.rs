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
/// GET: a list of [`crate::DeviceView`].
pub const DEVICES: &str = "/v1/devices";
/// POST of a [`crate::RenameRequest`]: a [`crate::DeviceView`].
pub const RENAME: &str = "/v1/devices/rename";
/// POST of a [`crate::LimitRequest`]: a [`crate::DeviceView`].
pub const LIMIT: &str = "/v1/devices/limit";
/// POST of a [`crate::RemoveRequest`]: a [`crate::RemovedView`].
pub const REMOVE: &str = "/v1/devices/remove";
/// POST of a [`crate::AnswerRequest`]: a [`crate::DeviceView`].
pub const ANSWER: &str = "/v1/devices/answer";
/// POST of an [`crate::InviteRequest`]: 201 and a [`crate::InviteView`]. DELETE `/v1/invites/<id>`.
pub const INVITES: &str = "/v1/invites";
/// POST of a [`crate::JoinRequest`]: a [`crate::JoinView`].
pub const JOIN: &str = "/v1/join";
/// GET: a list of [`crate::FilesetView`]. POST of an [`crate::AddRequest`]: 201 and a [`crate::FilesetView`].
pub const FILESETS: &str = "/v1/filesets";
/// POST of a [`crate::JoinFilesetRequest`]: 201 and a [`crate::FilesetView`].
pub const FILESET_JOIN: &str = "/v1/filesets/join";
/// POST of a [`crate::FilesetRequest`]: a [`crate::FilesetView`].
pub const FILESET_LEAVE: &str = "/v1/filesets/leave";
/// POST of a [`crate::FilesetRequest`]: a [`crate::FilesetView`].
pub const FILESET_PAUSE: &str = "/v1/filesets/pause";
/// POST of a [`crate::ResumeRequest`]: a [`crate::FilesetView`].
pub const FILESET_RESUME: &str = "/v1/filesets/resume";
/// GET, optionally `?fileset=<text>`: a list of [`crate::ConflictView`].
pub const CONFLICTS: &str = "/v1/conflicts";
/// POST of a [`crate::SettleRequest`]: a [`crate::ConflictView`].
pub const SETTLE: &str = "/v1/conflicts/settle";
/// POST: 202, and the node ends.
pub const SHUTDOWN: &str = "/v1/shutdown";

/// What the client sends as `Host`: a socket has no other name.
pub const HOST: &str = "localhost";

/// Rows of a log that are given at most.
pub const LOG_MAX_ROWS: usize = 100_000;
