//! The filesets of a group, asked of a node in another process.

use super::{Client, body};
use crate::error::ApiError;
use crate::filesets::{
    AddRequest, ConflictView, FilesetApi, FilesetRequest, FilesetView, JoinFilesetRequest,
    ResumeRequest, SettleRequest,
};
use crate::routes;
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

#[async_trait::async_trait]
impl FilesetApi for Client {
    async fn filesets(&self) -> Result<Vec<FilesetView>, ApiError> {
        self.call(Method::GET, routes::FILESETS, Vec::new()).await
    }

    async fn add_fileset(&self, request: AddRequest) -> Result<FilesetView, ApiError> {
        let body = body(&request)?;
        self.call(Method::POST, routes::FILESETS, body).await
    }

    async fn join_fileset(&self, request: JoinFilesetRequest) -> Result<FilesetView, ApiError> {
        let body = body(&request)?;
        self.call(Method::POST, routes::FILESET_JOIN, body).await
    }

    async fn leave_fileset(&self, fileset: &str) -> Result<FilesetView, ApiError> {
        let body = body(&named(fileset))?;
        self.call(Method::POST, routes::FILESET_LEAVE, body).await
    }

    async fn pause_fileset(&self, fileset: &str) -> Result<FilesetView, ApiError> {
        let body = body(&named(fileset))?;
        self.call(Method::POST, routes::FILESET_PAUSE, body).await
    }

    async fn resume_fileset(&self, request: ResumeRequest) -> Result<FilesetView, ApiError> {
        let body = body(&request)?;
        self.call(Method::POST, routes::FILESET_RESUME, body).await
    }

    async fn conflicts(&self, fileset: Option<&str>) -> Result<Vec<ConflictView>, ApiError> {
        let path = match fileset {
            Some(text) => format!(
                "{}?fileset={}",
                routes::CONFLICTS,
                utf8_percent_encode(text, NON_ALPHANUMERIC)
            ),
            None => routes::CONFLICTS.to_owned(),
        };
        self.call(Method::GET, &path, Vec::new()).await
    }

    async fn settle_conflict(&self, request: SettleRequest) -> Result<ConflictView, ApiError> {
        let body = body(&request)?;
        self.call(Method::POST, routes::SETTLE, body).await
    }
}

fn named(fileset: &str) -> FilesetRequest {
    FilesetRequest {
        fileset: fileset.to_owned(),
    }
}
