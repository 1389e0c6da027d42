//! Filesets that are kept the same between the devices of a group.

use crate::error::ApiError;
use serde::{Deserialize, Serialize};

/// The filesets of a node's group.
///
/// A fileset is named by its name, by the first hexadecimal digits of its id, or by the path of its folder here.
#[async_trait::async_trait]
pub trait FilesetApi: Send + Sync {
    /// Those that are kept here, and those that other members keep and this device could join, by name.
    async fn filesets(&self) -> Result<Vec<FilesetView>, ApiError>;

    /// Makes a folder a fileset, which other devices of the group can join. What is in it stays as it is.
    ///
    /// # Errors
    /// [`crate::ErrorCode::NotFound`], [`crate::ErrorCode::Permission`] or [`crate::ErrorCode::Usage`] for a folder that cannot be one,
    /// [`crate::ErrorCode::TargetExists`] if a fileset has that name, or the folder overlaps with another.
    async fn add_fileset(&self, request: AddRequest) -> Result<FilesetView, ApiError>;

    /// Keeps a folder here the same as a fileset of the group. What is in the folder is united with the fileset; nothing is deleted.
    ///
    /// # Errors
    /// [`crate::ErrorCode::NotFound`] if no member has told of it; as [`FilesetApi::add_fileset`] for the folder.
    async fn join_fileset(&self, request: JoinFilesetRequest) -> Result<FilesetView, ApiError>;

    /// Keeps it the same no more. The files stay, here and on the other devices.
    ///
    /// # Errors
    /// [`crate::ErrorCode::NotFound`] if it is not kept here.
    async fn leave_fileset(&self, fileset: &str) -> Result<FilesetView, ApiError>;

    /// Neither sends, nor takes, nor changes anything until it is resumed, also after a restart.
    ///
    /// # Errors
    /// [`crate::ErrorCode::NotFound`] if it is not kept here.
    async fn pause_fileset(&self, fileset: &str) -> Result<FilesetView, ApiError>;

    /// Goes on after a pause or a halt.
    ///
    /// # Errors
    /// [`crate::ErrorCode::NotFound`] if it is not kept here; [`crate::ErrorCode::Usage`] if it halted with a question that is
    /// not answered, or an answer is given to none.
    async fn resume_fileset(&self, request: ResumeRequest) -> Result<FilesetView, ApiError>;

    /// Paths of which two devices have different versions, of one fileset or of all that are kept here.
    ///
    /// # Errors
    /// [`crate::ErrorCode::NotFound`] if it is not kept here.
    async fn conflicts(&self, fileset: Option<&str>) -> Result<Vec<ConflictView>, ApiError>;

    /// Ends a conflict: one version stays, the others are deleted on all devices.
    ///
    /// # Errors
    /// [`crate::ErrorCode::NotFound`] if there is no conflict at the path, [`crate::ErrorCode::Usage`] if no side fits, or several.
    async fn settle_conflict(&self, request: SettleRequest) -> Result<ConflictView, ApiError>;
}

/// A folder that is to become a fileset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddRequest {
    /// The folder, absolute.
    pub path: String,
    /// Its name for all devices; the name of the folder if none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A fileset that is to be kept here too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinFilesetRequest {
    /// Which.
    pub fileset: String,
    /// The folder, absolute; it is made if it is not there, in a folder that is.
    pub path: String,
}

/// Which fileset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesetRequest {
    /// Which.
    pub fileset: String,
}

/// A fileset that is to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeRequest {
    /// Which.
    pub fileset: String,
    /// What a halt asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<HaltAnswer>,
}

/// What a person says to a fileset that halted before files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HaltAnswer {
    /// The deletion is meant: it happens on all devices.
    Delete,
    /// It is not: what is gone comes back from the other devices.
    Restore,
}

/// A conflict that is to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettleRequest {
    /// The path in conflict or one of its copies, absolute.
    pub path: String,
    /// Which side stays: its number in the list (from 1), the name of the device, or the path where it is seen.
    pub side: String,
}

/// A fileset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesetView {
    /// Its id, hexadecimal.
    pub id: String,
    /// Its name; escape before showing.
    pub name: String,
    /// The folder here; none if it is not kept here. Escape before showing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How it stands.
    pub state: FilesetState,
    /// Files, folders and links that are here.
    pub files: u64,
    /// Files, folders and links that are known, and not here (yet).
    pub missing: u64,
    /// Bytes that are on their way here.
    #[serde(default)]
    pub bytes_wanted: u64,
    /// Bytes a second that arrive.
    #[serde(default)]
    pub rate_bytes_per_s: u64,
    /// Bytes of files that arrived from other devices since the node began.
    #[serde(default)]
    pub received_bytes: u64,
    /// Bytes of files that other devices took from here since the node began.
    #[serde(default)]
    pub sent_bytes: u64,
    /// Seconds left, as far as can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_s: Option<u64>,
    /// Names of other devices that keep it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_by: Vec<String>,
    /// Names of those it is connected to now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connected: Vec<String>,
    /// Paths in conflict.
    #[serde(default)]
    pub conflicts: u64,
    /// Why it stands still or fails; none if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Paths that are left out, and why: a few hundred at most.
    #[serde(default)]
    pub problems: Vec<FilesetProblem>,
}

/// How a fileset stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilesetState {
    /// Another member keeps it; it is not kept here.
    Offered,
    /// The folder is looked at.
    Scanning,
    /// Something is on its way, in either direction.
    Syncing,
    /// It is the same as on all devices that are connected.
    UpToDate,
    /// Somebody paused it.
    Paused,
    /// It stands still until a person decides: see `why` and `hint`.
    Halted,
    /// It cannot go on: see `why` and `hint`.
    Failed,
}

/// A path that is left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FilesetProblem {
    /// The path in the fileset, escaped.
    pub path: String,
    /// What is the matter, and what to do.
    pub what: String,
}

/// A path of which there are several versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictView {
    /// The fileset's id, hexadecimal.
    pub id: String,
    /// The fileset's name; escape before showing.
    pub name: String,
    /// The path, absolute; escape before showing.
    pub path: String,
    /// The versions, the one that has the name first.
    pub sides: Vec<ConflictSide>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictSide {
    /// Its number, from 1 on.
    pub number: u64,
    /// Where it is seen, absolute; escape before showing.
    pub path: String,
    /// What it is: `file`, `folder` or `symlink`.
    pub kind: String,
    /// Length of a file, in bytes.
    pub bytes: u64,
    /// When it was changed, seconds since 1970 UTC.
    pub changed_s: i64,
    /// The device that wrote it.
    pub device: String,
}
