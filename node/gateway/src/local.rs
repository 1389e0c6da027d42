//! The local API: the routes of [`shoal_api::routes`] in front of a node.
//!
//! It is for programs of the home's owner alone: a bearer token that only they can read, one name as
//! `Host`, and no `Origin`, so that no page in a browser gets through, whatever socket it is on.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, RawQuery, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use constant_time_eq::constant_time_eq;
use futures::stream::StreamExt;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shoal_api::{Api, ApiError, ErrorCode, Event, ShareRequest, routes};
use std::convert::Infallible;
use std::sync::Arc;

/// Bytes of a request's body.
const BODY_MAX_BYTES: usize = 16 << 20;
/// Rows of a log where no number is asked for.
const LOG_ROWS: usize = 1000;

type Node = State<Arc<dyn Api>>;

/// The local API of a node. `token` is the text of the home's token file.
pub fn local_router(api: Arc<dyn Api>, token: String) -> Router {
    local_router_with(api, Router::new(), token)
}

/// The same with more routes behind the same guard.
pub fn local_router_with(api: Arc<dyn Api>, more: Router, token: String) -> Router {
    let guard: Arc<str> = token.trim().into();
    Router::new()
        .route(routes::STATUS, get(status))
        .route(routes::SHARES, get(shares).post(create_share))
        .route("/v1/shares/{id}", get(share).delete(stop_share))
        .route("/v1/shares/{id}/log", get(share_log))
        .route(routes::EVENTS, get(events))
        .route(routes::SHUTDOWN, post(shutdown))
        .with_state(api)
        .merge(more)
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(from_fn_with_state(guard, only_the_owner))
}

async fn only_the_owner(State(token): State<Arc<str>>, request: Request, next: Next) -> Response {
    match check(&token, request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, message)) => failure(status, &ApiError::new(ErrorCode::Permission, message)),
    }
}

fn check(token: &str, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
    let mut hosts = headers.get_all(header::HOST).iter();
    if hosts.next().is_none_or(|host| host != routes::HOST) || hosts.next().is_some() {
        let message = "this address is not the node's own: call it localhost";
        return Err((StatusCode::MISDIRECTED_REQUEST, message));
    }
    if headers.contains_key(header::ORIGIN) {
        let message = "pages in a browser may not use the local API";
        return Err((StatusCode::FORBIDDEN, message));
    }
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        .unwrap_or_default();
    if token.is_empty() || !constant_time_eq(given, token.as_bytes()) {
        let message = "the token is missing or wrong: it is in the file `token` of the home";
        return Err((StatusCode::UNAUTHORIZED, message));
    }
    Ok(())
}

async fn status(State(api): Node) -> Response {
    answer(StatusCode::OK, api.status().await)
}

async fn shares(State(api): Node) -> Response {
    answer(StatusCode::OK, api.shares().await)
}

async fn create_share(State(api): Node, body: Bytes) -> Response {
    match read::<ShareRequest>(&body) {
        Ok(request) => answer(StatusCode::CREATED, api.create_share(request).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, &error),
    }
}

async fn share(State(api): Node, Path(id): Path<String>) -> Response {
    answer(StatusCode::OK, api.share(&id).await)
}

async fn stop_share(State(api): Node, Path(id): Path<String>) -> Response {
    answer(StatusCode::OK, api.stop_share(&id).await)
}

async fn share_log(
    State(api): Node,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let limit = match parameter(query.as_deref(), "limit").map(str::parse::<usize>) {
        None => LOG_ROWS,
        Some(Ok(limit)) => limit.min(routes::LOG_MAX_ROWS),
        Some(Err(_)) => {
            let error = ApiError::new(ErrorCode::Usage, "the limit is no number");
            return failure(StatusCode::BAD_REQUEST, &error);
        }
    };
    answer(StatusCode::OK, api.share_log(&id, limit).await)
}

async fn events(State(api): Node, RawQuery(query): RawQuery) -> Response {
    let id = parameter(query.as_deref(), "id");
    match api.events(id).await {
        Ok(events) => {
            let lines = events.filter_map(|event| async move { line(&event) });
            let mut response = Response::new(Body::from_stream(lines.map(Ok::<_, Infallible>)));
            response.headers_mut().insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/x-ndjson"),
            );
            response
        }
        Err(error) => answer::<()>(StatusCode::OK, Err(error)),
    }
}

async fn shutdown(State(api): Node) -> Response {
    answer(StatusCode::ACCEPTED, api.shutdown().await)
}

async fn no_route() -> Response {
    let error = ApiError::new(ErrorCode::NotFound, "the node has no such route")
        .hint("check that both are the same version: shoal status");
    failure(StatusCode::NOT_FOUND, &error)
}

async fn no_method() -> Response {
    let error = ApiError::new(ErrorCode::Usage, "this route has no such method");
    failure(StatusCode::METHOD_NOT_ALLOWED, &error)
}

fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    query?
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

fn line(event: &Event) -> Option<String> {
    let mut line = serde_json::to_string(event)
        .inspect_err(|error| tracing::warn!("an event has no JSON: {error}"))
        .ok()?;
    line.push('\n');
    Some(line)
}

pub(crate) fn answer<T: Serialize>(status: StatusCode, result: Result<T, ApiError>) -> Response {
    match result {
        Ok(value) => json(status, &value),
        Err(error) => failure(http_status(error.code), &error),
    }
}

/// What a request's body says.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        ApiError::new(
            ErrorCode::Usage,
            format!("the request makes no sense: {error}"),
        )
    })
}

pub(crate) fn failure(status: StatusCode, error: &ApiError) -> Response {
    json(status, error)
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (status, kind, body).into_response()
        }
        Err(error) => {
            tracing::warn!("an answer has no JSON: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn http_status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::Usage => StatusCode::BAD_REQUEST,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Permission => StatusCode::FORBIDDEN,
        ErrorCode::Refused => StatusCode::GONE,
        ErrorCode::Unreachable | ErrorCode::Verification => StatusCode::BAD_GATEWAY,
        ErrorCode::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        ErrorCode::TargetExists
        | ErrorCode::PortInUse
        | ErrorCode::HomeInUse
        | ErrorCode::StoreNewer => StatusCode::CONFLICT,
        ErrorCode::NoNode | ErrorCode::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
