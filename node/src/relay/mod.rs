//! The relay of this device's group, on the TCP port: iroh's relay protocol, for who cannot come over UDP.
//!
//! What goes through it is encrypted from device to device. It lets in the members of the group, this device itself,
//! and whoever names an invite that is open here, because a device that pairs may have no other way.
//!
//! What a connection can make this node hold is bounded: [`QUEUE_FRAMES`] frames of at most [`FRAME_MAX_BYTES`] that
//! the other side is slow to read, 4 MiB. A device has [`CONNECTIONS_PER_DEVICE`] of them, all guests together
//! [`GUESTS_MAX`], and who is not known yet one of [`GREETINGS_MAX`] places for [`GREETING_TIMEOUT`].

mod admission;
mod socket;
#[cfg(test)]
mod tests;

use crate::group::GroupService;
use admission::Admission;
pub(crate) use admission::INVITE_PARAMETER;
use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use iroh_relay::KeyCache;
use iroh_relay::http::{CLIENT_AUTH_HEADER, ProtocolVersion, RELAY_PATH, RELAY_PROBE_PATH};
use iroh_relay::protos::handshake;
use iroh_relay::server::client::Config;
use iroh_relay::server::clients::Clients;
use iroh_relay::server::streams::RelayedStream;
use iroh_relay::server::{ClientRequest, DynAccessControl, Metrics};
use serde::Deserialize;
use socket::Frames;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bytes of one frame: iroh packs up to 64 KiB of datagrams into one.
const FRAME_MAX_BYTES: usize = 66 * 1024;
/// Frames that wait for a slow reader; what comes on top is dropped, as on any busy network.
const QUEUE_FRAMES: usize = 64;
/// Connections of one device: a new one may come before an old one is known to be dead.
const CONNECTIONS_PER_DEVICE: usize = 3;
/// Devices with an invite that are no members.
const GUESTS_MAX: usize = 16;
/// Connections that have not said who they are.
const GREETINGS_MAX: usize = 64;
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked whether guests still have reason to be here.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Keys that need not be checked anew for being points of the curve.
const KEYS_CACHED: usize = 256;

/// The relay.
pub(crate) struct Relay {
    group: Arc<GroupService>,
    admission: Arc<Admission>,
    clients: Clients,
    keys: KeyCache,
    metrics: Arc<Metrics>,
    greetings: Arc<Semaphore>,
}

impl Relay {
    pub(crate) fn new(group: Arc<GroupService>) -> Arc<Self> {
        let clients = Clients::default();
        Arc::new(Self {
            admission: Arc::new(Admission::new(group.clone(), clients.clone())),
            group,
            clients,
            keys: KeyCache::new(KEYS_CACHED),
            metrics: Arc::new(Metrics::default()),
            greetings: Arc::new(Semaphore::new(GREETINGS_MAX)),
        })
    }

    /// What everybody may ask.
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route(RELAY_PATH, get(relay))
            .route(RELAY_PROBE_PATH, get(probe))
            .with_state(self.clone())
    }

    /// Lets go of those who may not be here any more, until the node ends.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut changes = self.group.subscribe();
        let stopping = self.group.stopping();
        loop {
            self.admission.put_out_strangers();
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stopping.cancelled() => break,
            }
        }
        self.clients.shutdown().await;
    }

    async fn greet(self: Arc<Self>, socket: WebSocket, parts: Parts, place: OwnedSemaphorePermit) {
        let greeted = timeout(GREETING_TIMEOUT, self.let_in(socket, parts)).await;
        drop(place);
        match greeted {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the relay lets somebody not in"),
            Err(_) => tracing::debug!("somebody came to the relay and did not say who it is"),
        }
    }

    async fn let_in(&self, socket: WebSocket, parts: Parts) -> Result<(), handshake::Error> {
        let mut frames = Frames::new(socket);
        let header = parts.headers.get(CLIENT_AUTH_HEADER).cloned();
        let known = handshake::serverside(&mut frames, header).await?;
        let request = ClientRequest::new(known.client_key, ProtocolVersion::V2, parts);
        let access: Arc<dyn DynAccessControl> = self.admission.clone();
        let guard = known.authorize_with(&request, &access, &mut frames).await?;
        let stream = RelayedStream::new(frames, self.keys.clone());
        let mut config = Config::new(guard, stream, ProtocolVersion::V2);
        config.channel_capacity = QUEUE_FRAMES;
        self.clients.register(config, self.metrics.clone());
        Ok(())
    }
}

async fn relay(State(relay): State<Arc<Relay>>, request: Request) -> Response {
    let Ok(place) = relay.greetings.clone().try_acquire_owned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade
            .protocols([ProtocolVersion::V2.to_str()])
            .max_message_size(FRAME_MAX_BYTES)
            .max_frame_size(FRAME_MAX_BYTES)
            .max_write_buffer_size(4 * FRAME_MAX_BYTES)
            .on_upgrade(move |socket| relay.greet(socket, parts, place)),
        Err(refusal) => refusal.into_response(),
    }
}

#[derive(Deserialize)]
struct Probe {
    /// Whom the asker looks for, hexadecimal.
    device: Option<String>,
}

/// Whether there is a relay here, and if asked, whether it is that of one device.
async fn probe(State(relay): State<Arc<Relay>>, Query(probe): Query<Probe>) -> StatusCode {
    let own = relay.group.own_device().to_hex();
    match probe.device {
        Some(device) if device != own => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}
