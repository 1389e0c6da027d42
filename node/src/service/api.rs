//! The node's side of [`Api`].

use super::clock::now_s;
use super::errors::of_store;
use super::share::LiveShare;
use super::{Context, Service};
use crate::group::GroupService;
use futures::stream::{BoxStream, StreamExt};
use shoal_api::{
    Api, ApiError, ErrorCode, Event, LogRow, NodeStatus, Ports, Publicity, Secret, ShareCounts,
    ShareEnd, ShareRequest, ShareState, ShareView,
};
use shoal_protocol::capability::{Capability, Password, Rights, link_id};
use shoal_protocol::id::LinkId;
use shoal_protocol::password::Key;
use shoal_store::{Audience, Durability, ShareRow};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

/// Characters of an id that name a link where they fit one only.
const PREFIX_MIN: usize = 4;
/// Roots of one share.
const ROOTS_MAX: usize = 10_000;

#[async_trait::async_trait]
impl Api for ServiceApi {
    async fn status(&self) -> Result<NodeStatus, ApiError> {
        let mut status = self.service.status();
        status.group = self.group.status();
        Ok(status)
    }

    async fn shares(&self) -> Result<Vec<ShareView>, ApiError> {
        let mut views: Vec<_> = self
            .service
            .all()
            .iter()
            .map(|share| self.service.context.view(share))
            .collect();
        views.sort_by(|a, b| (b.created_s, &b.id).cmp(&(a.created_s, &a.id)));
        Ok(views)
    }

    async fn share(&self, id: &str) -> Result<ShareView, ApiError> {
        let share = self.service.by_text(id)?;
        Ok(self.service.context.view(&share))
    }

    async fn create_share(&self, request: ShareRequest) -> Result<ShareView, ApiError> {
        let service = self.service.clone();
        on_blocking_thread(move || service.create(request)).await
    }

    async fn stop_share(&self, id: &str) -> Result<ShareView, ApiError> {
        let share = self.service.by_text(id)?;
        let service = self.service.clone();
        on_blocking_thread(move || service.stop(&share)).await
    }

    async fn share_log(&self, id: &str, limit: usize) -> Result<Vec<LogRow>, ApiError> {
        let share = self.service.by_text(id)?;
        let records = self.service.context.records.clone();
        on_blocking_thread(move || records.log_rows(&share.id, limit).map_err(of_store)).await
    }

    async fn events(&self, id: Option<&str>) -> Result<BoxStream<'static, Event>, ApiError> {
        // Listening begins before the state is looked at, so that nothing falls between.
        let listener = self.service.context.records.listen();
        let share = id.map(|id| self.service.by_text(id)).transpose()?;
        let first = match &share {
            Some(share) => self.service.context.present(share),
            None => Vec::new(),
        };
        let id = share.map(|share| share.id.to_string());
        let stream = futures::stream::unfold(listener, |mut listener| async move {
            loop {
                match listener.recv().await {
                    Ok(event) => return Some((event, listener)),
                    // A slow listener loses the oldest events, and goes on with the next.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        let stream = futures::stream::iter(first).chain(stream);
        let wanted = move |event: &Event| {
            id.is_none()
                || matches!(event, Event::NodeStopping)
                || event.share_id() == id.as_deref()
        };
        Ok(stream
            .filter(move |event| futures::future::ready(wanted(event)))
            .boxed())
    }

    async fn shutdown(&self) -> Result<(), ApiError> {
        self.service.context.records.tell(Event::NodeStopping);
        self.service.context.stopping.cancel();
        Ok(())
    }
}

/// [`Api`] over a service that others hold too.
pub(crate) struct ServiceApi {
    pub(crate) service: Arc<Service>,
    pub(crate) group: Arc<GroupService>,
}

impl Service {
    fn create(self: &Arc<Self>, request: ShareRequest) -> Result<ShareView, ApiError> {
        let row = self.context.new_row(request)?;
        self.context
            .records
            .store
            .put_share(&row, Durability::Flushed)
            .map_err(of_store)?;
        let share = Arc::new(LiveShare::new(row, self.context.records.clone()).map_err(of_store)?);
        self.insert(share.clone());
        self.expiries.notify_one();
        let view = self.context.view(&share);
        self.context.records.tell(Event::Url {
            id: view.id.clone(),
            url: view.url.clone(),
        });
        self.make(share);
        Ok(view)
    }

    fn stop(&self, share: &Arc<LiveShare>) -> Result<ShareView, ApiError> {
        if !matches!(share.row().end, shoal_store::ShareEnd::Stopped { .. }) {
            share
                .end(shoal_store::ShareEnd::Stopped { at_s: now_s() })
                .map_err(of_store)?;
        }
        if let (Some(tracker), Some(content)) = (self.tracker.get(), share.content()) {
            tracker.remove(&content.infohash);
        }
        Ok(self.context.view(share))
    }

    /// The link with this id, or with an id that begins like this.
    fn by_text(&self, text: &str) -> Result<Arc<LiveShare>, ApiError> {
        let text = text.trim().to_ascii_lowercase();
        // People paste the whole address as well.
        let text = text
            .rsplit_once("/s/")
            .map_or(text.as_str(), |(_, id)| id)
            .trim_end_matches('/')
            .to_owned();
        let mut found = self
            .all()
            .into_iter()
            .filter(|share| share.id.to_string().starts_with(&text));
        let first = found.next().filter(|_| text.len() >= PREFIX_MIN);
        match (first, found.next()) {
            (Some(share), None) => Ok(share),
            (Some(_), Some(_)) => Err(ApiError {
                code: ErrorCode::Usage,
                message: format!("more than one share has an id that begins with '{text}'"),
                hint: Some("say more of it: `shoal shares` lists them".into()),
            }),
            (None, _) => Err(ApiError {
                code: ErrorCode::NotFound,
                message: format!(
                    "no share has the id '{}'",
                    shoal_protocol::display::escape(&text)
                ),
                hint: Some(
                    "`shoal shares` lists them; four characters or more of an id are enough".into(),
                ),
            }),
        }
    }

    fn status(&self) -> NodeStatus {
        let context = &self.context;
        let network = context.network.borrow().clone();
        let shares = self.all();
        let mut counts = ShareCounts::default();
        for view in shares.iter().map(|share| context.view(share)) {
            match (&view.end, &view.state) {
                (ShareEnd::Active, ShareState::Counting { .. }) => {
                    counts.active += 1;
                    counts.counting += 1;
                }
                (ShareEnd::Active, _) => counts.active += 1,
                (ShareEnd::Resting { .. }, _) => counts.resting += 1,
                _ => counts.ended += 1,
            }
        }
        NodeStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: context.identity.device().to_hex(),
            home: context.home.clone(),
            pid: std::process::id(),
            uptime_s: context.started.elapsed().as_secs(),
            ports: Ports {
                tcp: context.ports.tcp,
                iroh_udp: context.ports.iroh_udp,
                tracker_udp: context.ports.tracker_udp,
            },
            addresses: network.addresses.web,
            reach: network.reach,
            shares: counts,
            takers: shares.iter().map(|share| share.takers.taking_now()).sum(),
            bytes_sent: shares.iter().map(|share| share.takers.sent_bytes()).sum(),
            mappings: network.mappings,
            group: None,
        }
    }
}

impl Context {
    fn new_row(&self, request: ShareRequest) -> Result<ShareRow, ApiError> {
        check(&request)?;
        let random = || {
            let mut bytes = [0; 16];
            crate::identity::fill_random(&mut bytes)
                .map(|()| bytes)
                .map_err(|error| ApiError::from(&error))
        };
        // What cannot be shared at all is said before there is a link.
        let (name, _) =
            shoal_disk::locate_roots(&request.paths, request.name.as_deref(), Some(&self.home))
                .map_err(|error| ApiError {
                    code: super::errors::walk_code(&error),
                    message: error.to_string(),
                    hint: None,
                })?;
        let now = now_s();
        let expires_s = request
            .expires_in_s
            .map(|seconds| now.saturating_add(seconds));
        let capability = Capability {
            issuer: self.identity.device(),
            nonce: random()?,
            rights: Rights::Read,
            not_after_s: expires_s,
            password: match request.password {
                None => Password::None,
                Some(_) => Password::Needed,
            },
            hints: self.network.borrow().addresses.hints(self.switches.iroh),
        };
        let id = link_id(&capability.issuer, &capability.nonce);
        let password = request.password.as_ref();
        let password = password
            .map(|password| verifier(password, &id))
            .transpose()?;
        Ok(ShareRow {
            id,
            name,
            roots: request.paths,
            created_s: now,
            expires_s,
            max_downloads: request.max_downloads,
            audience: match request.publicity {
                Publicity::Private => Audience::Link,
                Publicity::Public => Audience::Public,
            },
            notify: request.notify,
            state: shoal_store::ShareState::Counting,
            end: shoal_store::ShareEnd::Active,
            capability: capability.sign(&self.identity.key),
            record: Vec::new(),
            salt: random()?,
            announce_token: random()?,
            password,
        })
    }
}

fn verifier(password: &Secret, link: &LinkId) -> Result<[u8; 32], ApiError> {
    match Key::derive(&password.0, link) {
        Ok(key) => Ok(key.verifier().0),
        Err(error) => {
            Err(ApiError::new(ErrorCode::Usage, error.to_string()).hint("choose another password"))
        }
    }
}

fn check(request: &ShareRequest) -> Result<(), ApiError> {
    let usage = |message: String, hint: &str| {
        Err(ApiError {
            code: ErrorCode::Usage,
            message,
            hint: Some(hint.to_owned()),
        })
    };
    if request.paths.is_empty() || request.paths.len() > ROOTS_MAX {
        return usage(
            format!("{} paths cannot be shared at once", request.paths.len()),
            "name one path, or a folder",
        );
    }
    if let Some(path) = request.paths.iter().find(|path| !Path::is_absolute(path)) {
        return usage(
            format!("{} is not an absolute path", path.display()),
            "name the path from / on",
        );
    }
    if request.max_downloads == Some(0) {
        return usage(
            "a link for no downloads is of no use".into(),
            "say --max-downloads 1 or more",
        );
    }
    if request.password.is_some() && request.publicity == Publicity::Public {
        return usage(
            "a link with a password is not announced to the public".into(),
            "leave out --public, or the password",
        );
    }
    if let Some(url) = &request.notify
        && !(url.starts_with("http://") || url.starts_with("https://"))
    {
        return usage(
            format!("'{url}' is no address to notify"),
            "it starts with http:// or https://",
        );
    }
    Ok(())
}

async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| {
            Err(ApiError {
                code: ErrorCode::Internal,
                message: format!("this broke down: {panic}"),
                hint: None,
            })
        })
}
