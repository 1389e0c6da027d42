//! The group of devices, asked of a node in another process.

use super::{Client, body};
use crate::devices::{
    AnswerRequest, DeviceApi, DeviceView, InviteRequest, InviteView, JoinRequest, JoinView,
    LimitRequest, RemoveRequest, RemovedView, RenameRequest,
};
use crate::error::{ApiError, ErrorCode};
use crate::routes;
use hyper::Method;

#[async_trait::async_trait]
impl DeviceApi for Client {
    async fn devices(&self) -> Result<Vec<DeviceView>, ApiError> {
        self.call(Method::GET, routes::DEVICES, Vec::new()).await
    }

    async fn invite(&self, request: InviteRequest) -> Result<InviteView, ApiError> {
        let body = body(&request)?;
        self.call(Method::POST, routes::INVITES, body).await
    }

    async fn cancel_invite(&self, id: &str) -> Result<(), ApiError> {
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(ApiError::new(
                ErrorCode::Usage,
                format!("{id:?} is no id of an invite"),
            ));
        }
        let path = format!("{}/{id}", routes::INVITES);
        self.call(Method::DELETE, &path, Vec::new()).await
    }

    async fn join(&self, request: JoinRequest) -> Result<JoinView, ApiError> {
        let body = body(&request)?;
        self.call(Method::POST, routes::JOIN, body).await
    }

    async fn answer(&self, request: AnswerRequest) -> Result<DeviceView, ApiError> {
        let body = body(&request)?;
        self.call(Method::POST, routes::ANSWER, body).await
    }

    async fn rename_device(&self, request: RenameRequest) -> Result<DeviceView, ApiError> {
        let body = body(&request)?;
        self.call(Method::POST, routes::RENAME, body).await
    }

    async fn limit_device(&self, request: LimitRequest) -> Result<DeviceView, ApiError> {
        let body = body(&request)?;
        self.call(Method::POST, routes::LIMIT, body).await
    }

    async fn remove_device(&self, device: &str) -> Result<RemovedView, ApiError> {
        let device = device.to_owned();
        let body = body(&RemoveRequest { device })?;
        self.call(Method::POST, routes::REMOVE, body).await
    }
}
