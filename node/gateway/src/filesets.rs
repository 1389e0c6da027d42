//! The routes of filesets, in front of a node.

use crate::local::{answer, failure, read};
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use serde::Deserialize;
use shoal_api::{ApiError, ErrorCode, FilesetApi, FilesetRequest, routes};
use std::sync::Arc;

type Node = State<Arc<dyn FilesetApi>>;

/// Filesets and their conflicts; [`crate::local_router_with`] guards them.
pub fn fileset_routes(api: Arc<dyn FilesetApi>) -> Router {
    Router::new()
        .route(routes::FILESETS, get(filesets).post(add))
        .route(routes::FILESET_JOIN, post(join))
        .route(routes::FILESET_LEAVE, post(leave))
        .route(routes::FILESET_PAUSE, post(pause))
        .route(routes::FILESET_RESUME, post(resume))
        .route(routes::CONFLICTS, get(conflicts))
        .route(routes::SETTLE, post(settle))
        .with_state(api)
}

async fn filesets(State(api): Node) -> Response {
    answer(StatusCode::OK, api.filesets().await)
}

async fn add(State(api): Node, body: Bytes) -> Response {
    match read(&body) {
        Ok(request) => answer(StatusCode::CREATED, api.add_fileset(request).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, &error),
    }
}

async fn join(State(api): Node, body: Bytes) -> Response {
    match read(&body) {
        Ok(request) => answer(StatusCode::CREATED, api.join_fileset(request).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, &error),
    }
}

async fn leave(State(api): Node, body: Bytes) -> Response {
    match read::<FilesetRequest>(&body) {
        Ok(request) => answer(StatusCode::OK, api.leave_fileset(&request.fileset).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, &error),
    }
}

async fn pause(State(api): Node, body: Bytes) -> Response {
    match read::<FilesetRequest>(&body) {
        Ok(request) => answer(StatusCode::OK, api.pause_fileset(&request.fileset).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, &error),
    }
}

async fn resume(State(api): Node, body: Bytes) -> Response {
    match read(&body) {
        Ok(request) => answer(StatusCode::OK, api.resume_fileset(request).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, &error),
    }
}

/// Of which fileset; of all without it.
#[derive(Deserialize)]
struct Of {
    fileset: Option<String>,
}

async fn conflicts(State(api): Node, of: Result<Query<Of>, QueryRejection>) -> Response {
    match of {
        Ok(Query(of)) => answer(StatusCode::OK, api.conflicts(of.fileset.as_deref()).await),
        Err(error) => {
            let message = format!("the request makes no sense: {error}");
            let error = ApiError::new(ErrorCode::Usage, message);
            failure(StatusCode::BAD_REQUEST, &error)
        }
    }
}

async fn settle(State(api): Node, body: Bytes) -> Response {
    match read(&body) {
        Ok(request) => answer(StatusCode::OK, api.settle_conflict(request).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, &error),
    }
}
