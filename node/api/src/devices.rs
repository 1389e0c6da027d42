//! Devices that belong together: inviting, pairing, confirming, naming, removing.

use crate::error::ApiError;
use serde::{Deserialize, Serialize};

/// The group of a node's device.
///
/// Devices are named by their name, or by the first hexadecimal digits of their key.
#[async_trait::async_trait]
pub trait DeviceApi: Send + Sync {
    /// This device, the other members, and those that wait to be confirmed, in that order.
    async fn devices(&self) -> Result<Vec<DeviceView>, ApiError>;

    /// Makes an invite. What comes of it is told by [`crate::Event`]: `pair_waiting`, `paired`, `pair_failed`.
    ///
    /// # Errors
    /// [`crate::ErrorCode::Refused`] while too many are open, [`crate::ErrorCode::Usage`] where iroh is switched off.
    async fn invite(&self, request: InviteRequest) -> Result<InviteView, ApiError>;

    /// Takes an invite back; one that is over is no error.
    async fn cancel_invite(&self, id: &str) -> Result<(), ApiError>;

    /// Brings an invite to the device that made it, and returns when both know each other's key. Then both
    /// people compare the code, and this side says so by [`DeviceApi::answer`].
    ///
    /// # Errors
    /// [`crate::ErrorCode::Usage`] for what is no invite, [`crate::ErrorCode::Refused`] if it opens nothing,
    /// [`crate::ErrorCode::Unreachable`] if nobody is there, [`crate::ErrorCode::Verification`] if
    /// the other side does not know the secret.
    async fn join(&self, request: JoinRequest) -> Result<JoinView, ApiError>;

    /// Confirms or refuses a device that waits, or, on a device that joins, the one that invited it.
    ///
    /// # Errors
    /// [`crate::ErrorCode::NotFound`] if none waits by that name.
    async fn answer(&self, request: AnswerRequest) -> Result<DeviceView, ApiError>;

    /// Gives a member another name, for all.
    ///
    /// # Errors
    /// [`crate::ErrorCode::NotFound`], [`crate::ErrorCode::Usage`] for a name that no device may have.
    async fn rename_device(&self, request: RenameRequest) -> Result<DeviceView, ApiError>;

    /// Limits how fast content of filesets goes to and comes from a member, on this device.
    ///
    /// # Errors
    /// [`crate::ErrorCode::NotFound`], [`crate::ErrorCode::Usage`] for a rate below 32 KiB a second.
    async fn limit_device(&self, request: LimitRequest) -> Result<DeviceView, ApiError>;

    /// Removes a member, or refuses a device that waits. Removing this device leaves the group.
    ///
    /// # Errors
    /// [`crate::ErrorCode::NotFound`] if there is none by that name.
    async fn remove_device(&self, device: &str) -> Result<RemovedView, ApiError>;
}

/// An invite that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InviteRequest {
    /// Seconds for which it is good; ten minutes by default, a day at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
}

/// An invite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteView {
    /// By what it is taken back, and named in events; no secret.
    pub id: String,
    /// The link, which has all that another device needs. A secret.
    pub invite: String,
    /// The same secret as twelve words, without the addresses.
    pub words: String,
    /// `host:port` for `--at`, which goes with the words; best first.
    pub at: Vec<String>,
    /// When it ends, in seconds since 1970 UTC.
    pub expires_s: u64,
}

/// An invite that somebody brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// A link or twelve words.
    pub invite: String,
    /// `host:port` of the device that made it; needed with words, and goes before what the link says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// How far a device that joins has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinView {
    /// The key of the device that made the invite, hexadecimal.
    pub device: String,
    /// Its name; escape before showing.
    pub name: String,
    /// Six digits that must be the same on both devices.
    pub code: String,
    /// Whether there is anything left to do.
    pub stage: JoinStage,
    /// Filesets of this device, so far alone in its group, that come along; escape before showing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brings: Vec<String>,
}

/// How far a device that joins has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinStage {
    /// Both people compare the code.
    Comparing,
    /// The two devices belonged to one group before.
    Paired,
}

/// What a person says to a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// The other device.
    pub device: String,
    /// What is said.
    pub answer: Answer,
}

/// What a person says to a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is the same on both, and the device is one's own.
    Yes,
    /// It is not.
    No,
}

/// A member that is to be called otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenameRequest {
    /// Which.
    pub device: String,
    /// Its name from now on.
    pub name: String,
}

/// How fast content goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitRequest {
    /// To and from which device.
    pub device: String,
    /// Bytes a second to it; no limit if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_bytes_per_s: Option<u64>,
    /// Bytes a second from it; no limit if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_bytes_per_s: Option<u64>,
}

/// Which device to remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveRequest {
    /// Which.
    pub device: String,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceView {
    /// Its key, hexadecimal.
    pub device: String,
    /// Its name; escape before showing.
    pub name: String,
    /// What it is to this one.
    pub state: DeviceState,
    /// How it is reached, where it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    /// Where it can be reached, as it says; best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Six digits to compare, where it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Bytes a second that content goes to it at most; none without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_limit_bytes_per_s: Option<u64>,
    /// Bytes a second that content comes from it at most; none without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_limit_bytes_per_s: Option<u64>,
}

/// What a device is to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// It is this one.
    This,
    /// A member, and there is a connection.
    Connected,
    /// A member that cannot be reached at the moment.
    Away,
    /// It waits for a member to confirm it.
    Waiting,
}

/// How a member is reached at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// Over UDP, from device to device.
    Direct,
    /// Over TCP, through the relay of a member.
    Relay,
}

/// What came of a removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedView {
    /// The device that was removed, or refused.
    pub device: String,
    /// Its name; escape before showing.
    pub name: String,
    /// Members that know already.
    pub told: u64,
    /// Names of members that hear of it when they can be reached again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untold: Vec<String>,
}

/// The group in a node's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// The group's id, hexadecimal.
    pub id: String,
    /// What this device is called in it.
    pub name: String,
    /// Members, this device among them.
    pub devices: u64,
    /// Other members with a connection.
    pub connected: u64,
    /// Devices that wait to be confirmed.
    pub waiting: u64,
}
