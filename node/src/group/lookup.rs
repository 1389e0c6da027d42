//! Where an invite's device is, over HTTP: for words, which carry no key and no address.
//!
//! `GET /pair/<tag>` answers with what only the secret opens, while the invite is open.

use super::GroupService;
use crate::config::is_host;
use crate::identity::fill_random;
use crate::ports::DEFAULT_PORT;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use reqwest::StatusCode;
use shoal_api::{ApiError, ErrorCode};
use shoal_protocol::invite::{
    InviteRefusal, InviteSecret, InviteTag, SEALED_MAX_BYTES, Whereabouts,
};
use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// What everybody may ask.
pub(crate) fn public_router(group: Arc<GroupService>) -> Router {
    Router::new()
        .route("/pair/{tag}", get(whereabouts))
        .with_state(group)
}

async fn whereabouts(State(group): State<Arc<GroupService>>, Path(tag): Path<String>) -> Response {
    let found = InviteTag::from_hex(&tag).ok_or(InviteRefusal::Unknown);
    let now_ms = group.now_ms();
    let secret = match found.and_then(|tag| group.state().invites.find(now_ms, &tag)) {
        Ok(secret) => secret,
        Err(InviteRefusal::Unknown) => return StatusCode::NOT_FOUND.into_response(),
        Err(_) => return StatusCode::GONE.into_response(),
    };
    let mut nonce = [0; 12];
    if fill_random(&mut nonce).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let here = Whereabouts {
        device: group.own_device(),
        addresses: group.own_addresses(),
        relays: group.own_relays(),
    };
    here.seal(&secret, nonce).into_response()
}

/// Asks at `host:port` for the device that made the invite with this secret.
pub(super) async fn ask(at: &str, secret: &InviteSecret) -> Result<Whereabouts, ApiError> {
    const NEXT: &str =
        "check the address, that the other device is on, and that `shoal pair` still waits there";
    if !is_host(at) {
        return Err(
            ApiError::new(ErrorCode::Usage, format!("{at:?} is no address"))
                .hint("it has the form HOST:PORT, as `shoal pair` shows it on the other device"),
        );
    }
    let has_port = at
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && !port.ends_with(']'));
    let port = if has_port {
        String::new()
    } else {
        format!(":{DEFAULT_PORT}")
    };
    let url = format!("http://{at}{port}/pair/{}", secret.tag().to_hex());
    let lost = |why: String| {
        ApiError::new(
            ErrorCode::Unreachable,
            format!("nobody who knows this invite answers at {at}: {why}"),
        )
        .hint(NEXT)
    };
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| lost(error.to_string()))?;
    let answer = client.get(url).send().await;
    // The address holds the tag, which is nobody's business.
    let mut answer = answer.map_err(|error| lost(error.without_url().to_string()))?;
    let refused = |refusal: InviteRefusal| ApiError::new(ErrorCode::Refused, refusal.to_string());
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(refused(InviteRefusal::Unknown)),
        StatusCode::GONE => return Err(refused(InviteRefusal::Expired)),
        status => return Err(lost(status.to_string())),
    }
    let mut sealed = Vec::new();
    while let Some(part) = answer
        .chunk()
        .await
        .map_err(|error| lost(error.without_url().to_string()))?
    {
        sealed.extend_from_slice(&part);
        if sealed.len() > SEALED_MAX_BYTES {
            return Err(lost("it says too much".to_owned()));
        }
    }
    Whereabouts::open(secret, &sealed)
        .map_err(|error| ApiError::new(ErrorCode::Verification, error.to_string()).hint(NEXT))
}
