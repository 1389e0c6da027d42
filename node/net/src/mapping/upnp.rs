//! UPnP Internet Gateway Device: WANIPConnection 1 and 2, WANPPPConnection 1.

use super::exchange::Trouble;
use super::route::Path;
use super::upnp_text::{escape, service, text};
use super::{Protocol, ssdp};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;
use tokio::net::TcpStream;
use url::Url;

/// How long a router may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(3);
const BODY_MAX_BYTES: usize = 256 * 1024;
/// Ports tried outside when the one wished for belongs to another machine.
const OTHER_PORTS: u16 = 8;
/// Who the mapping is for, in the router's list.
const DESCRIPTION: &str = "shoal";

const CONFLICT: &str = "718";
const ONLY_PERMANENT: &str = "725";

/// A router that maps ports.
#[derive(Debug, Clone)]
pub(super) struct Gateway {
    control: Url,
    service: String,
}

impl Gateway {
    /// Finds the router.
    pub(super) async fn find(path: &Path) -> Result<Gateway, Trouble> {
        for url in ssdp::find(path).await {
            if let Some(gateway) = Self::describe(&url).await {
                return Ok(gateway);
            }
        }
        Err(Trouble::Silent)
    }

    async fn describe(url: &Url) -> Option<Gateway> {
        let request = Request::get(path_of(url)).body(Full::default()).ok()?;
        let (_, description) = call(url, request).await?;
        let (service, control) = service(&description)?;
        let control = url.join(&control).ok()?;
        // The same rule as for the description: a router may name itself only.
        let same = control.host_str() == url.host_str() && control.scheme() == "http";
        same.then_some(Gateway { control, service })
    }

    /// Asks for a mapping, or renews it. Returns where it is and for how many seconds; a permanent
    /// one, which some routers insist on, counts as if it had the lifetime asked for.
    pub(super) async fn map(
        &self,
        path: &Path,
        protocol: Protocol,
        local_port: u16,
        external_port: u16,
        lifetime_s: u32,
    ) -> Result<(SocketAddrV4, u32), Trouble> {
        let ip = self.external_ip().await?;
        let mut lease_s = lifetime_s;
        let mut port = external_port;
        for _ in 0..=OTHER_PORTS {
            match self
                .add(path.local, protocol, local_port, port, lease_s)
                .await
            {
                Ok(()) => return Ok((SocketAddrV4::new(ip, port), lifetime_s)),
                Err(Fault::Code(code)) if code == ONLY_PERMANENT && lease_s != 0 => lease_s = 0,
                Err(Fault::Code(code)) if code == CONFLICT => {
                    port = port.checked_add(1).unwrap_or(1024)
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        Err(Trouble::Refused("the port is taken".to_owned()))
    }

    /// Ends a mapping.
    pub(super) async fn unmap(
        &self,
        protocol: Protocol,
        external_port: u16,
    ) -> Result<(), Trouble> {
        let arguments = [
            ("NewRemoteHost", String::new()),
            ("NewExternalPort", external_port.to_string()),
            ("NewProtocol", protocol.to_string()),
        ];
        self.act("DeletePortMapping", &arguments)
            .await
            .map(drop)
            .map_err(Trouble::from)
    }

    async fn external_ip(&self) -> Result<Ipv4Addr, Trouble> {
        let answer = self.act("GetExternalIPAddress", &[]).await?;
        let ip = text(&answer, "NewExternalIPAddress").and_then(|ip| ip.parse().ok());
        match ip {
            Some(ip) if ip != Ipv4Addr::UNSPECIFIED => Ok(ip),
            _ => Err(Trouble::Refused("it has no connection".to_owned())),
        }
    }

    async fn add(
        &self,
        local: Ipv4Addr,
        protocol: Protocol,
        local_port: u16,
        external_port: u16,
        lease_s: u32,
    ) -> Result<(), Fault> {
        let arguments = [
            ("NewRemoteHost", String::new()),
            ("NewExternalPort", external_port.to_string()),
            ("NewProtocol", protocol.to_string()),
            ("NewInternalPort", local_port.to_string()),
            ("NewInternalClient", local.to_string()),
            ("NewEnabled", "1".to_owned()),
            ("NewPortMappingDescription", DESCRIPTION.to_owned()),
            ("NewLeaseDuration", lease_s.to_string()),
        ];
        self.act("AddPortMapping", &arguments).await.map(drop)
    }

    /// Calls one action over SOAP.
    async fn act(&self, action: &str, arguments: &[(&str, String)]) -> Result<String, Fault> {
        let service = &self.service;
        let arguments: String = arguments
            .iter()
            .map(|(name, value)| format!("<{name}>{}</{name}>", escape(value)))
            .collect();
        let body = format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{action} xmlns:u=\"{}\">{arguments}</u:{action}></s:Body></s:Envelope>\r\n",
            escape(service)
        );
        let request = Request::builder()
            .method(Method::POST)
            .uri(path_of(&self.control))
            .header(CONTENT_TYPE, "text/xml; charset=\"utf-8\"")
            .header("SOAPAction", format!("\"{service}#{action}\""))
            .body(Full::from(body))
            .map_err(|_| Fault::NoAnswer)?;
        let (status, answer) = call(&self.control, request).await.ok_or(Fault::NoAnswer)?;
        if status.is_success() {
            Ok(answer)
        } else {
            Err(Fault::read(status, &answer))
        }
    }
}

/// Why a router did not do it.
#[derive(Debug)]
enum Fault {
    NoAnswer,
    Code(String),
}

impl Fault {
    fn read(status: StatusCode, answer: &str) -> Self {
        let code =
            text(answer, "errorCode").filter(|code| code.bytes().all(|b| b.is_ascii_digit()));
        Fault::Code(code.unwrap_or_else(|| format!("HTTP {}", status.as_u16())))
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NoAnswer => Trouble::Silent,
            Fault::Code(code) if code == "606" => Trouble::Refused("not authorized".to_owned()),
            Fault::Code(code) => Trouble::Refused(format!("code {code}")),
        }
    }
}

fn path_of(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// One HTTP call on a connection of its own.
async fn call(url: &Url, request: Request<Full<Bytes>>) -> Option<(StatusCode, String)> {
    match tokio::time::timeout(TIMEOUT, call_without_limit(url, request)).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::debug!(%url, %error, "a UPnP router does not answer");
            None
        }
        Err(_) => None,
    }
}

async fn call_without_limit(
    url: &Url,
    mut request: Request<Full<Bytes>>,
) -> Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
    let ip: IpAddr = url.host_str().ok_or("no host")?.parse()?;
    let address = SocketAddr::new(ip, url.port_or_known_default().ok_or("no port")?);
    request
        .headers_mut()
        .insert(HOST, address.to_string().parse()?);
    request
        .headers_mut()
        .insert(CONNECTION, hyper::header::HeaderValue::from_static("close"));
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), BODY_MAX_BYTES)
            .collect()
            .await?
            .to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::pin!(connection);
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = &mut connection => {
            ended?;
            exchange.await
        }
    }
}

#[cfg(test)]
#[path = "upnp_tests.rs"]
mod tests;
