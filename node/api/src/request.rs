//! What a node is asked to do.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// Files that are to get a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareRequest {
    /// Absolute paths of files or folders, at least one. Each is text: a path that is not UTF-8
    /// does not serialise.
    pub paths: Vec<PathBuf>,
    /// The name that takers see; by default that of the path, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Seconds from now after which the link gives nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
    /// Takers who may have everything; at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_downloads: Option<u32>,
    /// Whom the link is announced to.
    #[serde(default)]
    pub publicity: Publicity,
    /// Web address that is called (POST, JSON) when somebody has taken everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<String>,
    /// What takers have to know besides the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}

/// A text that is shown nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Whom a link is announced to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Publicity {
    /// The node's own tracker alone.
    #[default]
    Private,
    /// The mainline DHT too.
    Public,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_paths_are_needed() {
        let request: ShareRequest = serde_json::from_str(r#"{"paths":["/a/ü"]}"#).unwrap();
        assert_eq!(request.paths, [PathBuf::from("/a/ü")]);
        assert_eq!(request.publicity, Publicity::Private);
        let json = serde_json::to_string(&request).unwrap();
        assert_eq!(json, r#"{"paths":["/a/ü"],"publicity":"private"}"#);
        assert!(serde_json::from_str::<ShareRequest>(r#"{"paths":[],"path":1}"#).is_err());
    }
}
