//! Links over HTTP: what describes a link, iroh-blobs' answers, and plain files where a gateway has
//! nothing better.

use super::Options;
use super::pipe::BATCH_BYTES;
use super::source::SourceError;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, RANGE};
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode};
use shoal_protocol::hello::Refusal;
use shoal_protocol::id::{LinkId, TakerToken};
use shoal_protocol::password::{Challenge, Key};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;
use url::Host;

/// All but what never needs escaping in a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const TAKER_HEADER: &str = "Shoal-Taker";
const REFUSAL_HEADER: &str = "Shoal-Refusal";
const SESSION_HEADER: &str = "Shoal-Session";
/// Bytes of a challenge or a session.
const UNLOCK_MAX_BYTES: usize = 256;

/// A link at one origin.
#[derive(Debug, Clone)]
pub(crate) struct Web {
    client: Client,
    /// `http://host:port`.
    pub(crate) origin: String,
    link: LinkId,
    taker: TakerToken,
    answer_timeout: Duration,
    pass: Option<Arc<Pass>>,
}

/// How a link with a password lets us in at one origin.
#[derive(Debug)]
struct Pass {
    key: Key,
    session: Mutex<Option<String>>,
    /// Several lanes meet a door that has fallen shut: one of them opens it.
    opening: tokio::sync::Mutex<()>,
}

/// A body that streams in.
pub(crate) struct WebBody(Response);

impl Web {
    /// A link at an origin; nothing is connected yet.
    pub(crate) fn new(
        origin: String,
        link: LinkId,
        taker: TakerToken,
        options: &Options,
    ) -> Result<Self, SourceError> {
        let mut builder = Client::builder()
            .user_agent(concat!("shoal/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(options.connect_timeout);
        if is_near(&origin) {
            builder = builder.no_proxy();
        }
        if origin.starts_with("http://") {
            // Reading the system's certificates takes longer than a small share.
            builder = builder.tls_certs_only([]);
        } else if !options.authorities.is_empty() {
            let authorities = Certificate::from_pem_bundle(&options.authorities).map_err(broken)?;
            builder = builder.tls_certs_merge(authorities);
        }
        let client = builder.build().map_err(broken)?;
        Ok(Self {
            client,
            origin,
            link,
            taker,
            answer_timeout: options.connect_timeout,
            pass: options.password.clone().map(|key| {
                Arc::new(Pass {
                    key,
                    session: Mutex::default(),
                    opening: tokio::sync::Mutex::default(),
                })
            }),
        })
    }

    /// Signed capability.
    pub(crate) async fn capability(&self) -> Result<Vec<u8>, SourceError> {
        let limit = shoal_protocol::limits::CAPABILITY_MAX_BYTES;
        self.whole(self.client.get(self.url("/capability")), limit)
            .await
    }

    /// Signed content record.
    pub(crate) async fn record(&self) -> Result<Vec<u8>, SourceError> {
        let limit = shoal_protocol::limits::RECORD_MAX_BYTES;
        self.whole(self.client.get(self.url("/record")), limit)
            .await
    }

    /// Manifest of at most `limit` bytes.
    pub(crate) async fn manifest(&self, limit: usize) -> Result<Vec<u8>, SourceError> {
        self.whole(self.client.get(self.url("/manifest")), limit)
            .await
    }

    /// `.torrent` of at most `limit` bytes.
    pub(crate) async fn torrent(&self, name: &str, limit: usize) -> Result<Vec<u8>, SourceError> {
        let path = format!("/{}.torrent", utf8_percent_encode(name, SEGMENT));
        self.whole(self.client.get(self.url(&path)), limit).await
    }

    /// Sends an iroh-blobs request. `None`: this gateway does not know them.
    pub(crate) async fn blobs(&self, request: &[u8]) -> Result<Option<WebBody>, SourceError> {
        let request = self
            .client
            .post(self.url("/blobs"))
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(request.to_vec());
        let response = self.answered(request).await?;
        if matches!(
            response.status(),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
        ) && refusal(response.headers()).is_none()
        {
            return Ok(None);
        }
        Ok(Some(WebBody(content(accepted(response)?)?)))
    }

    /// Bytes `start..end` of a file, as they are.
    pub(crate) async fn plain(
        &self,
        path: &str,
        start: u64,
        end: u64,
    ) -> Result<WebBody, SourceError> {
        let path = format!("/f/{}", escaped_path(path));
        let range = format!("bytes={start}-{}", end.saturating_sub(1));
        let response = self
            .send(self.client.get(self.url(&path)).header(RANGE, range))
            .await
            .and_then(content)?;
        if response.status() == StatusCode::OK && start > 0 {
            return Err(SourceError::Broken(
                "it does not give parts of files".into(),
            ));
        }
        Ok(WebBody(response))
    }

    /// Says that everything arrived.
    pub(crate) async fn done(&self) {
        // Nothing depends on it: the node counts completion by bytes too.
        let _ = self.send(self.client.post(self.url("/done"))).await;
    }

    fn url(&self, path: &str) -> String {
        format!("{}/s/{}{path}", self.origin, self.link)
    }

    async fn whole(&self, request: RequestBuilder, limit: usize) -> Result<Vec<u8>, SourceError> {
        let response = content(self.send(request).await?)?;
        read_whole(response, limit, self.answer_timeout).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, SourceError> {
        accepted(self.answered(request).await?)
    }

    /// Sends a request; again, with a session, where the link asks for its password.
    async fn answered(&self, request: RequestBuilder) -> Result<Response, SourceError> {
        let again = request.try_clone();
        let session = self.pass.as_ref().and_then(|pass| pass.session());
        let response = self.sent(request, session.as_deref()).await?;
        match (&self.pass, again) {
            (Some(pass), Some(again)) if refusal(response.headers()) == Some(Refusal::Password) => {
                let session = self.unlock(pass, session).await?;
                self.sent(again, Some(&session)).await
            }
            _ => Ok(response),
        }
    }

    /// Shows that we know the password, without sending it. `stale` is the session that opened nothing.
    async fn unlock(&self, pass: &Pass, stale: Option<String>) -> Result<String, SourceError> {
        let _one = pass.opening.lock().await;
        match pass.session() {
            Some(session) if Some(&session) != stale.as_ref() => return Ok(session),
            _ => {}
        }
        let request = self.client.get(self.url("/challenge"));
        let response = accepted(self.sent(request, None).await?)?;
        let mut body = read_whole(response, UNLOCK_MAX_BYTES, self.answer_timeout).await?;
        let proof = pass.key.prove(&self.link, Challenge(&body));
        body.extend(proof.0);
        let request = self.client.post(self.url("/unlock")).body(body);
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        let response = accepted(self.sent(request, None).await?)?;
        let session = read_whole(response, UNLOCK_MAX_BYTES, self.answer_timeout).await?;
        let session = String::from_utf8(session)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .ok_or_else(|| SourceError::Lied("its session is no text".into()))?;
        pass.remember(session.clone());
        Ok(session)
    }

    async fn sent(
        &self,
        request: RequestBuilder,
        session: Option<&str>,
    ) -> Result<Response, SourceError> {
        let mut request = request.header(TAKER_HEADER, self.taker.to_hex());
        if let Some(session) = session {
            request = request.header(SESSION_HEADER, session);
        }
        let request = request.send();
        let late = |_| {
            SourceError::Broken(format!(
                "no answer within {} s",
                self.answer_timeout.as_secs()
            ))
        };
        timeout(self.answer_timeout, request)
            .await
            .map_err(late)?
            .map_err(broken)
    }
}

impl Pass {
    fn session(&self) -> Option<String> {
        let session = self.session.lock();
        session.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, session: String) {
        let mut kept = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(session);
    }
}

impl WebBody {
    /// Waits for more; false at the end. Safe to cancel.
    pub(crate) async fn next(&mut self, batch: &mut Vec<Bytes>) -> Result<bool, SourceError> {
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            let chunk = self.0.chunk();
            let chunk = match bytes {
                0 => chunk.await,
                _ => match futures::FutureExt::now_or_never(chunk) {
                    Some(chunk) => chunk,
                    None => return Ok(true),
                },
            };
            let Some(part) = chunk.map_err(broken)? else {
                return Ok(bytes > 0);
            };
            bytes += part.len();
            batch.push(part);
        }
        Ok(true)
    }
}

/// Reads a body that must not be longer than `limit` bytes; a part of it may take as long as `patience`.
async fn read_whole(
    mut response: Response,
    limit: usize,
    patience: Duration,
) -> Result<Vec<u8>, SourceError> {
    let late = |_| SourceError::Broken("its answer stopped half way".into());
    let long = || SourceError::Lied(format!("an answer is longer than {limit} bytes"));
    let announced = response
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|len| len > limit) {
        return Err(long());
    }
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0));
    while let Some(part) = timeout(patience, response.chunk())
        .await
        .map_err(late)?
        .map_err(broken)?
    {
        if bytes.len() + part.len() > limit {
            return Err(long());
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// Addresses are shown beside the reason, and need not be in it again.
fn broken(error: reqwest::Error) -> SourceError {
    let garbled = is_garbled(&error);
    match SourceError::broken(error.without_url()) {
        SourceError::Broken(why) if garbled => SourceError::Garbled(why),
        other => other,
    }
}

/// Whether bytes arrived that are no HTTP, in contrast to none. hyper says so of the frames of a body.
fn is_garbled(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(ErrorKind::InvalidInput | ErrorKind::InvalidData)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An answer that is what was asked for. A node that was just started again has to hash first.
fn content(response: Response) -> Result<Response, SourceError> {
    match response.status() {
        StatusCode::ACCEPTED => Err(SourceError::Counting),
        _ => Ok(response),
    }
}

fn accepted(response: Response) -> Result<Response, SourceError> {
    if let Some(refusal) = refusal(response.headers()) {
        return Err(SourceError::Refused(refusal));
    }
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::NOT_FOUND => Err(SourceError::Refused(Refusal::Unknown)),
        StatusCode::GONE => Err(SourceError::Refused(Refusal::Stopped)),
        StatusCode::CONFLICT => Err(SourceError::Changed),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(SourceError::Refused(Refusal::Password))
        }
        status => Err(SourceError::Broken(format!("it answered {status}"))),
    }
}

fn refusal(headers: &HeaderMap) -> Option<Refusal> {
    match headers.get(REFUSAL_HEADER)?.to_str().ok()? {
        "unknown" => Some(Refusal::Unknown),
        "stopped" => Some(Refusal::Stopped),
        "expired" => Some(Refusal::Expired),
        "used-up" => Some(Refusal::UsedUp),
        "resting" => Some(Refusal::Resting),
        "password" => Some(Refusal::Password),
        "wrong-password" => Some(Refusal::WrongPassword),
        "too-many-tries" => Some(Refusal::TooManyTries),
        _ => None,
    }
}

fn escaped_path(path: &str) -> String {
    let parts: Vec<String> = path
        .split('/')
        .map(|part| utf8_percent_encode(part, SEGMENT).to_string())
        .collect();
    parts.join("/")
}

/// Whether an origin is on this machine or network, where a proxy could not reach it.
pub(crate) fn is_near(origin: &str) -> bool {
    match host(origin) {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".local"),
        Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Some(Host::Ipv6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
        None => false,
    }
}

/// Whether an origin is this machine.
pub(crate) fn is_loopback(origin: &str) -> bool {
    match host(origin) {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

fn host(origin: &str) -> Option<Host<String>> {
    url::Url::parse(origin)
        .ok()?
        .host()
        .map(|host| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_by_their_parts() {
        assert_eq!(escaped_path("a b/ü?#%/..x"), "a%20b/%C3%BC%3F%23%25/..x");
    }

    #[test]
    fn near_and_this_machine() {
        for (origin, near, loopback) in [
            ("http://127.0.0.1:7462", true, true),
            ("http://[::1]:7462", true, true),
            ("http://localhost", true, true),
            ("http://192.168.1.2:7462", true, false),
            ("http://[fd00::1]:7462", true, false),
            ("https://example.org", false, false),
            ("http://203.0.113.5:1", false, false),
            ("nonsense", false, false),
        ] {
            assert_eq!(
                (is_near(origin), is_loopback(origin)),
                (near, loopback),
                "{origin}"
            );
        }
    }
}
