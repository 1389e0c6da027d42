//! What a node can be asked, and what it tells: plain types that CLI, gateway and libraries share.
//!
//! [`Api`] is the door. `node` implements it; [`Client`] implements it for another process, over
//! the Unix socket in the node's home. The JSON of these types is what `--json` prints and what
//! the routes of [`routes`] carry, so a field's name is a promise.

pub mod client;
pub mod devices;
pub mod error;
pub mod event;
pub mod filesets;
pub mod request;
pub mod routes;
pub mod socket;
pub mod view;

pub use client::Client;
pub use devices::{
    Answer, AnswerRequest, DeviceApi, DeviceState, DeviceView, GroupStatus, InviteRequest,
    InviteView, JoinRequest, JoinStage, JoinView, LimitRequest, RemoveRequest, RemovedView,
    RenameRequest, Via,
};
pub use error::{ApiError, EXIT_CODES, EXIT_OK, ErrorCode};
pub use event::{Event, Phase};
pub use filesets::{
    AddRequest, ConflictSide, ConflictView, FilesetApi, FilesetProblem, FilesetRequest,
    FilesetState, FilesetView, HaltAnswer, JoinFilesetRequest, ResumeRequest, SettleRequest,
};
pub use request::{Publicity, Secret, ShareRequest};
pub use view::{
    Access, LogRow, LogWhat, Mapping, MappingOutcome, NodeStatus, Ports, Problem, Reach,
    ReachScope, ShareCounts, ShareEnd, ShareState, ShareView, TakerView, Transport, Way,
};

use futures::stream::BoxStream;

/// A node.
///
/// Shares are named by the text of their id or by a prefix of it that fits one share alone.
#[async_trait::async_trait]
pub trait Api: Send + Sync {
    /// How the node is.
    async fn status(&self) -> Result<NodeStatus, ApiError>;

    /// All shares, newest first.
    async fn shares(&self) -> Result<Vec<ShareView>, ApiError>;

    /// One share.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] if no share fits, [`ErrorCode::Usage`] if several do.
    async fn share(&self, id: &str) -> Result<ShareView, ApiError>;

    /// Makes a link and returns at once, with the link's address; hashing goes on in the node and
    /// is told by [`Api::events`].
    ///
    /// # Errors
    /// [`ErrorCode::Usage`] for a request that cannot be, [`ErrorCode::NotFound`] and
    /// [`ErrorCode::Permission`] for paths that cannot be read.
    async fn create_share(&self, request: ShareRequest) -> Result<ShareView, ApiError>;

    /// Ends a link for good, within a second; a link that has ended stays as it is.
    ///
    /// # Errors
    /// As [`Api::share`].
    async fn stop_share(&self, id: &str) -> Result<ShareView, ApiError>;

    /// The newest `limit` rows of a share's log, oldest first.
    ///
    /// # Errors
    /// As [`Api::share`].
    async fn share_log(&self, id: &str, limit: usize) -> Result<Vec<LogRow>, ApiError>;

    /// What happens from now on, of one share or of all. The stream of one share begins with its
    /// present state: [`Event::Url`], then [`Event::Ready`], [`Event::Failed`] or
    /// [`Event::Ended`] where that is so already. The stream ends when the node does, whether it
    /// said [`Event::NodeStopping`] or died: who waits for its place waits for that.
    ///
    /// # Errors
    /// As [`Api::share`].
    async fn events(&self, id: Option<&str>) -> Result<BoxStream<'static, Event>, ApiError>;

    /// Asks the node to end; returns when it has begun to.
    async fn shutdown(&self) -> Result<(), ApiError>;
}
