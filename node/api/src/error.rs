//! What goes wrong, once: a code for programs, a sentence for people, and the next step.

use serde::{Deserialize, Serialize};

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct ApiError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What happened, as a sentence.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The kinds of errors. Each has an exit code in [`EXIT_CODES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// A command, setting or link that makes no sense.
    Usage,
    /// No such path, share or setting.
    NotFound,
    /// The system does not allow it.
    Permission,
    /// The link is expired, stopped, used up or needs a password.
    Refused,
    /// Nobody answers.
    Unreachable,
    /// What arrived is not what was signed or hashed.
    Verification,
    /// No space left.
    DiskFull,
    /// Something else is where a file should go.
    TargetExists,
    /// No node runs on this home.
    NoNode,
    /// Another program has the port.
    PortInUse,
    /// Another node has the home.
    HomeInUse,
    /// The home was written by a newer version.
    StoreNewer,
    /// Ended by a signal.
    Interrupted,
    /// A mistake in Shoal.
    Internal,
}

/// Exit code of success, and its sentence.
pub const EXIT_OK: (u8, &str) = (0, "Done.");

/// The exit codes of every command, sorted; success is [`EXIT_OK`].
pub const EXIT_CODES: &[(u8, ErrorCode, &str)] = &[
    (
        1,
        ErrorCode::Internal,
        "Something failed that should not: this is a mistake in Shoal.",
    ),
    (
        2,
        ErrorCode::Usage,
        "The command, a setting or the link makes no sense.",
    ),
    (
        3,
        ErrorCode::NotFound,
        "The path, share or setting is not there.",
    ),
    (
        4,
        ErrorCode::Permission,
        "The system does not allow it to read or write something.",
    ),
    (
        5,
        ErrorCode::Refused,
        "The link is expired, stopped, used up or needs a password.",
    ),
    (
        6,
        ErrorCode::Unreachable,
        "Nobody who has the files answers.",
    ),
    (
        7,
        ErrorCode::Verification,
        "What arrived is not what was signed or hashed; nothing wrong was kept.",
    ),
    (8, ErrorCode::DiskFull, "The disk is full."),
    (
        9,
        ErrorCode::TargetExists,
        "Something else is already where a file should go; it was left alone.",
    ),
    (
        10,
        ErrorCode::NoNode,
        "No node runs on this home, or it does not answer.",
    ),
    (
        11,
        ErrorCode::PortInUse,
        "Another program uses the port or the address cannot be listened on.",
    ),
    (
        12,
        ErrorCode::HomeInUse,
        "Another node runs on this home already.",
    ),
    (
        13,
        ErrorCode::StoreNewer,
        "The home was written by a newer version of Shoal; it was left untouched.",
    ),
    (
        130,
        ErrorCode::Interrupted,
        "Ended by a signal, such as Ctrl-C.",
    ),
];

impl ApiError {
    /// An error without a hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
        }
    }

    /// A mistake of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }

    /// The same with the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl ErrorCode {
    /// The exit code of a command that ends with this.
    pub fn exit_code(self) -> u8 {
        EXIT_CODES
            .iter()
            .find(|(_, code, _)| *code == self)
            .map_or(1, |(exit, _, _)| *exit)
    }

    /// The word for programs, as in JSON: `not-found`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Permission => "permission",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Verification => "verification",
            Self::DiskFull => "disk-full",
            Self::TargetExists => "target-exists",
            Self::NoNode => "no-node",
            Self::PortInUse => "port-in-use",
            Self::HomeInUse => "home-in-use",
            Self::StoreNewer => "store-newer",
            Self::Interrupted => "interrupted",
            Self::Internal => "internal",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_code_has_one_exit_code_and_one_word() {
        for pair in EXIT_CODES.windows(2) {
            assert!(pair[0].0 < pair[1].0, "sorted and unique: {pair:?}");
        }
        for (exit, code, sentence) in EXIT_CODES {
            assert_eq!(code.exit_code(), *exit);
            assert!(sentence.ends_with('.'), "{sentence}");
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{}\"", code.word()));
        }
        assert_eq!(EXIT_CODES.len(), 14);
    }

    #[test]
    fn a_hint_is_optional_in_json() {
        let error = ApiError::new(ErrorCode::NoNode, "no node runs");
        let json = serde_json::to_string(&error).unwrap();
        assert_eq!(json, r#"{"code":"no-node","message":"no node runs"}"#);
        assert_eq!(serde_json::from_str::<ApiError>(&json).unwrap(), error);
    }
}
