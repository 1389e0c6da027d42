//! The tracker as axum routes, for programs that have an HTTP server already.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};

use crate::tracker::{Scratch, Tracker};

/// The address of the client behind a request, as an extension of the request. Whoever sets it has made sure that it is
/// true; it goes before axum's `ConnectInfo<SocketAddr>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

/// `/announce`, `/announce/{token}`, `/scrape`, `/scrape/{token}`. The client's address comes from an extension
/// [`ClientAddr`], or from `ConnectInfo<SocketAddr>` and the proxies of the tracker's settings; without either, requests
/// are answered with 500.
pub fn router(tracker: Arc<Tracker>) -> Router {
    Router::new()
        .route("/announce", get(answer))
        .route("/announce/", get(answer))
        .route("/announce/{token}", get(answer))
        .route("/scrape", get(answer))
        .route("/scrape/", get(answer))
        .route("/scrape/{token}", get(answer))
        .with_state(tracker)
}

/// `/metrics`, which is apart because it is for the operator alone.
pub fn metrics_router(tracker: Arc<Tracker>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(tracker)
}

async fn answer(State(tracker): State<Arc<Tracker>>, request: Request) -> Response {
    let Some(client) = client_address(&tracker, &request) else {
        return plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server does not tell the tracker from where a request comes\n".into(),
        );
    };
    let target = request
        .uri()
        .path_and_query()
        .map_or("", |target| target.as_str());
    let mut scratch = Scratch::default();
    let status = tracker.answer_http(target.as_bytes(), client, &mut scratch);
    let code = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    plain(code, scratch.body)
}

async fn metrics(State(tracker): State<Arc<Tracker>>) -> Response {
    plain(StatusCode::OK, tracker.render_metrics().into_bytes())
}

fn client_address(tracker: &Tracker, request: &Request) -> Option<IpAddr> {
    if let Some(ClientAddr(address)) = request.extensions().get() {
        return Some(*address);
    }
    let ConnectInfo(connection) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
    let forwarded_for = request
        .headers()
        .get_all("x-forwarded-for")
        .iter()
        .next_back();
    Some(tracker.client_address(connection.ip(), forwarded_for.map(HeaderValue::as_bytes)))
}

fn plain(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
