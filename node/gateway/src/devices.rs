//! The routes of the group of devices, in front of a node.

use crate::local::{answer, failure, read};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{delete, get, post};
use http::StatusCode;
use shoal_api::{DeviceApi, RemoveRequest, routes};
use std::sync::Arc;

type Node = State<Arc<dyn DeviceApi>>;

/// Invites, pairing and devices; [`crate::local_router_with`] guards them.
pub fn device_routes(api: Arc<dyn DeviceApi>) -> Router {
    Router::new()
        .route(routes::DEVICES, get(devices))
        .route(routes::INVITES, post(invite))
        .route("/v1/invites/{id}", delete(cancel_invite))
        .route(routes::JOIN, post(join))
        .route(routes::ANSWER, post(answer_pairing))
        .route(routes::RENAME, post(rename))
        .route(routes::LIMIT, post(limit))
        .route(routes::REMOVE, post(remove))
        .with_state(api)
}

async fn devices(State(api): Node) -> Response {
    answer(StatusCode::OK, api.devices().await)
}

async fn invite(State(api): Node, body: Bytes) -> Response {
    match read(&body) {
        Ok(request) => answer(StatusCode::CREATED, api.invite(request).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, &error),
    }
}

async fn cancel_invite(State(api): Node, Path(id): Path<String>) -> Response {
    answer(StatusCode::OK, api.cancel_invite(&id).await)
}

async fn join(State(api): Node, body: Bytes) -> Response {
    match read(&body) {
        Ok(request) => answer(StatusCode::OK, api.join(request).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, &error),
    }
}

async fn answer_pairing(State(api): Node, body: Bytes) -> Response {
    match read(&body) {
        Ok(request) => answer(StatusCode::OK, api.answer(request).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, &error),
    }
}

async fn rename(State(api): Node, body: Bytes) -> Response {
    match read(&body) {
        Ok(request) => answer(StatusCode::OK, api.rename_device(request).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, &error),
    }
}

async fn limit(State(api): Node, body: Bytes) -> Response {
    match read(&body) {
        Ok(request) => answer(StatusCode::OK, api.limit_device(request).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, &error),
    }
}

async fn remove(State(api): Node, body: Bytes) -> Response {
    match read::<RemoveRequest>(&body) {
        Ok(request) => answer(StatusCode::OK, api.remove_device(&request.device).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, &error),
    }
}
