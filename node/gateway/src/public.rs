//! The public side: every path below `/s/<id>`.

mod made;

use crate::AGENT_MAX_BYTES;
use crate::answer::{Form, Problem, secret};
use crate::assets;
use crate::buffer::Pool;
use crate::connection::Transport;
use crate::content::Content;
use crate::delivery::Delivery;
use crate::list;
use crate::naming::{Naming, disposition};
use crate::password::{self, UNLOCK_MAX_BYTES};
use crate::port::{FileError, Links, PublicShare, Stage, Visitor};
use crate::target::{PREFIX, Target, What};
use crate::zip::Archives;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::any;
use bytes::{Bytes, BytesMut};
use futures::stream::StreamExt;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use shoal_protocol::hello::Refusal;
use shoal_protocol::id::{LinkId, TakerToken};
use shoal_protocol::limits::BLOBS_REQUEST_MAX_BYTES;
use shoal_protocol::manifest::Shape;
use shoal_protocol::path::RelPath;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Time for the whole body of a request, and for each part of it.
const BODY_TIMEOUT: Duration = Duration::from_secs(300);
const BODY_PART_TIMEOUT: Duration = Duration::from_secs(30);

/// By which a proxy in front says how the visitor reached it.
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Header of a taker token.
pub const TAKER_HEADER: &str = "shoal-taker";

#[derive(Clone)]
struct Public {
    links: Arc<dyn Links>,
    pool: Arc<Pool>,
    archives: Arc<Archives>,
}

/// What a request asks of a share that is open.
struct Visit {
    share: Arc<dyn PublicShare>,
    visitor: Visitor,
    delivery: Delivery,
    pool: Arc<Pool>,
    archives: Arc<Archives>,
    id: LinkId,
    path: String,
}

/// The pages, files and formats of links, as ARCHITECTURE.md lists them. Other routes can be merged.
///
/// Without [`crate::serve_connection`] the client's address is unknown and taken to be 0.0.0.0.
pub fn public_router(links: Arc<dyn Links>) -> Router {
    let public = Public {
        links,
        pool: Arc::new(Pool::default()),
        archives: Arc::default(),
    };
    // The paths are taken apart by `Target`: axum would decode them first.
    Router::new()
        .route(&format!("{PREFIX}{{*rest}}"), any(link))
        .route(&format!("{}{{*name}}", assets::PREFIX), any(asset))
        .fallback(nothing)
        .with_state(public)
}

async fn nothing(headers: HeaderMap) -> Response {
    Problem::nothing().answer(Form::of(&headers))
}

async fn asset(request: Request) -> Response {
    let form = Form::of(request.headers());
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return Problem::method("GET, HEAD").answer(form);
    }
    assets::find(request.uri().path()).unwrap_or_else(|| Problem::nothing().answer(form))
}

async fn link(State(public): State<Public>, request: Request) -> Response {
    let form = Form::of(request.headers());
    let links = public.links.clone();
    match public.answer(request).await {
        Ok(response) => response,
        Err(problem) => problem.of(&*links).answer(form),
    }
}

impl Public {
    async fn answer(self, request: Request) -> Result<Response, Problem> {
        let (mut head, body) = request.into_parts();
        note_transport(&mut head);
        if let Some(encrypted) = encrypted(&head) {
            return Ok(moved(&encrypted));
        }
        let target = Target::parse(head.uri.path()).ok_or(Refusal::Unknown)?;
        let allowed = match target.what {
            What::Blobs | What::Done | What::Unlock => &[Method::POST][..],
            _ => &[Method::GET, Method::HEAD][..],
        };
        if target.what == What::Nothing {
            return Err(Problem::nothing());
        }
        if !allowed.contains(&head.method) {
            return Err(Problem::method(match target.what {
                What::Blobs | What::Done | What::Unlock => "POST",
                _ => "GET, HEAD",
            }));
        }
        let visitor = visitor(&head)?;
        let path = format!("{PREFIX}{}", target.id);
        match target.what {
            What::Challenge => return Ok(octets(self.links.challenge(&target.id)?)),
            What::Unlock => return self.unlock(&target.id, &visitor, &path, &head, body).await,
            _ => {}
        }
        let share = match self.links.open(&target.id, &visitor) {
            Err(Refusal::Password) => {
                let links = &*self.links;
                let form = password::form(Refusal::Password, links, &path, &head.headers);
                return Ok(form);
            }
            opened => opened?,
        };
        let back = path.clone();
        let visit = Visit {
            share,
            visitor,
            delivery: head.extensions.get().cloned().unwrap_or_default(),
            pool: self.pool,
            archives: self.archives,
            id: target.id,
            path,
        };
        let answer = visit.answer(target.what, head, body).await;
        answer.map_err(|problem| problem.back(back))
    }

    /// A form or a proof: a session, or the form again.
    async fn unlock(
        &self,
        id: &LinkId,
        visitor: &Visitor,
        path: &str,
        head: &Parts,
        body: Body,
    ) -> Result<Response, Problem> {
        let body = read_body(body, UNLOCK_MAX_BYTES).await?;
        let (said, knows) = password::said(&head.headers, &body)?;
        match self.links.unlock(id, visitor, knows).await {
            Ok(unlocked) => Ok(password::open(&unlocked, said, path, is_secure(head))),
            Err(refusal @ (Refusal::Password | Refusal::WrongPassword | Refusal::TooManyTries)) => {
                Ok(password::form(refusal, &*self.links, path, &head.headers))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }
}

impl Visit {
    async fn answer(self, what: What, head: Parts, body: Body) -> Result<Response, Problem> {
        match what {
            What::List => {
                self.share.opened(&self.visitor);
                blocking(move || {
                    let query = head.uri.query();
                    list::answer(&*self.share, &self.path, query, &head.headers)
                })
                .await?
            }
            What::Folder(folder) => {
                self.share.opened(&self.visitor);
                blocking(move || {
                    let query = head.uri.query();
                    list::folder(&*self.share, &self.path, &folder, query, &head.headers)
                })
                .await?
            }
            What::Preview(path) => self.preview(path, &head.method).await,
            What::Zip => self.zip(&head).await,
            What::State => Ok(list::state(&*self.share)),
            What::File(path) => self.file(path, &head).await,
            What::WebSeed { below } => {
                let path = self.seeded_path(below)?;
                self.file(path, &head).await
            }
            What::Torrent => self.torrent().await,
            What::Capability => Ok(octets(self.share.about().capability)),
            What::Record => self.record(),
            What::Manifest => self.manifest().await,
            What::Blobs => self.blobs(&head, body).await,
            What::Done => {
                self.share.done(&self.visitor);
                Ok(empty(StatusCode::NO_CONTENT))
            }
            What::Nothing | What::Challenge | What::Unlock => Err(Problem::nothing()),
        }
    }

    /// BEP 19: below a folder's name is a path in it; one file has nothing below its name.
    fn seeded_path(&self, below: Option<RelPath>) -> Result<RelPath, Problem> {
        let about = self.share.about();
        match (about.shape, below) {
            (Shape::SingleFile, None) => {
                RelPath::new(&about.name).map_err(|_| FileError::NotFound.into())
            }
            (Shape::Folder, Some(path)) => Ok(path),
            (Shape::Folder, None) => Err(FileError::Folder.into()),
            (Shape::SingleFile, Some(_)) => Err(FileError::NotFound.into()),
        }
    }

    async fn file(self, path: RelPath, head: &Parts) -> Result<Response, Problem> {
        let (share, pool) = (self.share.clone(), self.pool.clone());
        let (method, asked) = (head.method.clone(), head.headers.clone());
        let naming = match head.uri.query() {
            Some("show") => Naming::of_preview(path.name()),
            _ => Naming::of(path.name()),
        };
        let content =
            blocking(move || Content::open(&*share, &path, naming, &method, &asked, &pool))
                .await??;
        content.answer(&head.method, self.delivery, self.pool, |_| {
            self.share.admit(&self.visitor)
        })
    }

    async fn torrent(self) -> Result<Response, Problem> {
        // 202 would have a torrent client read the sentence as a torrent.
        self.hashed(StatusCode::SERVICE_UNAVAILABLE)?;
        let about = self.share.about();
        let share = self.share.clone();
        let bytes = blocking(move || share.torrent()).await?.ok_or_else(|| {
            Problem::new(
                StatusCode::NOT_FOUND,
                "not-found",
                "a torrent cannot say what is in this share: take it from the list, or with shoal get",
            )
        })?;
        let mut response = octets(bytes);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-bittorrent"),
        );
        let name = format!("{}.torrent", about.name);
        headers.insert(
            header::CONTENT_DISPOSITION,
            disposition("attachment", &name),
        );
        Ok(response)
    }

    fn record(self) -> Result<Response, Problem> {
        self.hashed(StatusCode::ACCEPTED)?;
        let record = self.share.about().record;
        record
            .map(octets)
            .ok_or_else(|| Problem::counting(StatusCode::ACCEPTED))
    }

    async fn manifest(self) -> Result<Response, Problem> {
        self.hashed(StatusCode::ACCEPTED)?;
        let share = self.share.clone();
        let manifest = blocking(move || share.manifest()).await?;
        manifest
            .map(octets)
            .ok_or_else(|| Problem::counting(StatusCode::ACCEPTED))
    }

    /// `early` is the status while hashing goes on.
    fn hashed(&self, early: StatusCode) -> Result<(), Problem> {
        match self.share.about().stage {
            Stage::Ready => Ok(()),
            Stage::Walking | Stage::Hashing => Err(Problem::counting(early)),
            Stage::Failed { why } => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "failed",
                format!(
                    "the files could not be counted ({why}): take them one by one from the list"
                ),
            )),
        }
    }

    async fn blobs(self, head: &Parts, body: Body) -> Result<Response, Problem> {
        let kind = head.headers.get(header::CONTENT_TYPE);
        if kind.is_none_or(|kind| kind != "application/octet-stream") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "type",
                "a request for blobs is application/octet-stream",
            ));
        }
        let body = read_body(body, BLOBS_REQUEST_MAX_BYTES).await?;
        let seat = self.share.admit(&self.visitor)?;
        self.delivery.watch(&seat);
        let mut parts = self.share.blobs(body, seat.clone());
        // What fails before the first byte is an answer of its own; later it breaks the connection.
        let first = match parts.next().await {
            Some(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    "request",
                    error.to_string(),
                ));
            }
            Some(Err(_)) => return Err(FileError::Changed.into()),
            first => first,
        };
        let answer =
            futures::stream::iter(first)
                .chain(parts)
                .map(move |part| match seat.ended() {
                    Some(refusal) => Err(io::Error::other(refusal)),
                    None => part,
                });
        let mut response = octets(Bytes::new());
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from_stream(answer);
        Ok(response)
    }
}

/// Who asks, as far as the request says.
fn visitor(head: &Parts) -> Result<Visitor, Problem> {
    let addr = head.extensions.get::<ConnectInfo<SocketAddr>>();
    let headers = &head.headers;
    let taker = match headers.get(TAKER_HEADER) {
        None => None,
        Some(value) => {
            let token = value.to_str().ok().map(TakerToken::from_hex);
            let Some(Ok(token)) = token else {
                return Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    "taker",
                    "a taker token is 32 hexadecimal digits",
                ));
            };
            Some(token)
        }
    };
    let agent = headers.get(header::USER_AGENT).map(|value| {
        let kept = value.as_bytes().iter().take(AGENT_MAX_BYTES);
        kept.map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '?',
        })
        .collect()
    });
    Ok(Visitor {
        addr: addr.map_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), |info| info.0),
        taker,
        agent,
        session: password::session(headers),
    })
}

/// Says of our own TLS what a proxy says of its own.
fn note_transport(head: &mut Parts) {
    if head.extensions.get() == Some(&Transport::Tls) {
        let name = HeaderName::from_static(FORWARDED_PROTO);
        head.headers.insert(name, HeaderValue::from_static("https"));
    }
}

/// Where a browser is sent that came without encryption although it could have it. Programs are not: addresses
/// from before there was a certificate go on to work for them.
fn encrypted(head: &Parts) -> Option<String> {
    let plain = head.extensions.get() == Some(&Transport::PlainBesideTls) && !is_secure(head);
    if !plain || Form::of(&head.headers) != Form::Html {
        return None;
    }
    let origin = list::origin(&head.headers);
    let host = origin.strip_prefix("http://")?;
    let path = head.uri.path_and_query()?.as_str();
    Some(format!("https://{host}{path}"))
}

fn moved(address: &str) -> Response {
    let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
    if let Ok(address) = HeaderValue::from_str(address) {
        response.headers_mut().insert(header::LOCATION, address);
    }
    response
}

/// Whether the visitor's side of the connection is encrypted. A proxy's word that it speaks TLS is taken,
/// since it can mislead only the visitor who sent it.
fn is_secure(head: &Parts) -> bool {
    head.headers
        .get(FORWARDED_PROTO)
        .is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"))
}

async fn read_body(mut body: Body, max_bytes: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "limit",
            format!("a request has at most {max_bytes} bytes: ask for less at once"),
        )
    };
    let slow = || {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow",
            "the request did not arrive in time: try again",
        )
    };
    let read = async {
        let mut kept = BytesMut::new();
        while let Some(part) = tokio::time::timeout(BODY_PART_TIMEOUT, body.frame())
            .await
            .map_err(|_| slow())?
        {
            let part = part.map_err(|_| slow())?;
            if let Ok(data) = part.into_data() {
                if kept.len() + data.len() > max_bytes {
                    return Err(too_large());
                }
                kept.extend_from_slice(&data);
            }
        }
        Ok(kept.freeze())
    };
    tokio::time::timeout(BODY_TIMEOUT, read)
        .await
        .map_err(|_| slow())?
}

/// Runs what may read a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something failed that should not: this is a mistake in Shoal",
        )
    })
}

fn octets(bytes: Bytes) -> Response {
    let mut response = empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    *response.body_mut() = Body::from(bytes);
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    secret(response.headers_mut());
    response
}
