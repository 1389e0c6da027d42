//! Errors of the crates below, as codes that programs understand.

use crate::error::NodeError;
use shoal_api::{ApiError, ErrorCode};
use shoal_disk::{SourceError, WalkError};
use shoal_store::StoreError;
use std::io;

pub(super) fn walk_code(error: &WalkError) -> ErrorCode {
    match error {
        WalkError::NotFound(_) => ErrorCode::NotFound,
        WalkError::Permission(_) => ErrorCode::Permission,
        WalkError::Io { source, .. } => io_code(source),
        _ => ErrorCode::Usage,
    }
}

pub(super) fn source_code(error: &SourceError) -> ErrorCode {
    match error {
        SourceError::Gone => ErrorCode::NotFound,
        SourceError::Changed => ErrorCode::Verification,
        SourceError::Permission => ErrorCode::Permission,
        SourceError::Io(source) => io_code(source),
    }
}

pub(super) fn store_code(error: &StoreError) -> ErrorCode {
    match error {
        StoreError::Newer { .. } => ErrorCode::StoreNewer,
        StoreError::Locked { .. } => ErrorCode::HomeInUse,
        StoreError::DiskFull { .. } => ErrorCode::DiskFull,
        StoreError::NoShare => ErrorCode::NotFound,
        StoreError::Io { source, .. } => io_code(source),
        _ => ErrorCode::Internal,
    }
}

fn io_code(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorCode::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ErrorCode::Permission
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::DiskFull,
        _ => ErrorCode::Internal,
    }
}

impl From<&NodeError> for ApiError {
    fn from(error: &NodeError) -> Self {
        let code = match error {
            NodeError::HomeInUse { .. } => ErrorCode::HomeInUse,
            NodeError::PortInUse { .. } | NodeError::Listen { .. } => ErrorCode::PortInUse,
            NodeError::Config(_) | NodeError::Tls { .. } | NodeError::HalfTls => ErrorCode::Usage,
            NodeError::Store(store) => store_code(store),
            NodeError::Key { .. } => ErrorCode::Permission,
            NodeError::Io { source, .. } => io_code(source),
            NodeError::Iroh(_) => ErrorCode::Internal,
        };
        ApiError {
            code,
            message: error.to_string(),
            hint: None,
        }
    }
}

pub(crate) fn of_store(error: StoreError) -> ApiError {
    ApiError {
        code: store_code(&error),
        message: error.to_string(),
        hint: None,
    }
}

impl From<NodeError> for ApiError {
    fn from(error: NodeError) -> Self {
        Self::from(&error)
    }
}
