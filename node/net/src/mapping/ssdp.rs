//! Finding UPnP routers: SSDP, UPnP Device Architecture 1.1 section 1.3.

use super::route::Path;
use super::upnp_text::header;
use socket2::{Domain, Socket, Type};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};
use url::Url;

const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1900);
/// How long answers are awaited; the question allows devices one second.
const WAIT: Duration = Duration::from_millis(1_500);
const ANSWER_MAX_BYTES: usize = 2_048;
/// Descriptions that are looked at: more devices than this are no home.
const CANDIDATES_MAX: usize = 8;
const TARGETS: [&str; 2] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
];

/// Addresses of router descriptions; the default route's router first.
pub(super) async fn find(path: &Path) -> Vec<Url> {
    match search(path).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "cannot search for UPnP routers");
            Vec::new()
        }
    }
}

async fn search(path: &Path) -> std::io::Result<Vec<Url>> {
    let socket = open(path.local)?;
    for target in TARGETS {
        let question = format!(
            "M-SEARCH * HTTP/1.1\r\nHOST: {GROUP}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {target}\r\n\r\n"
        );
        socket.send_to(question.as_bytes(), GROUP).await?;
    }
    let mut found: Vec<Url> = Vec::new();
    let mut buffer = [0; ANSWER_MAX_BYTES];
    let end = Instant::now() + WAIT;
    while let Ok(received) = timeout_at(end, socket.recv_from(&mut buffer)).await {
        let (len, from) = received?;
        let Some(url) = buffer.get(..len).and_then(|answer| location(answer, from)) else {
            continue;
        };
        if from.ip() == IpAddr::V4(path.gateway) {
            found.retain(|other| *other != url);
            found.insert(0, url);
            break;
        }
        if !found.contains(&url) && found.len() < CANDIDATES_MAX {
            found.push(url);
        }
    }
    Ok(found)
}

/// Where a device describes itself. It may name itself only: otherwise anybody on the network could
/// have this machine call any address.
fn location(answer: &[u8], from: SocketAddr) -> Option<Url> {
    let url = Url::parse(header(std::str::from_utf8(answer).ok()?, "location")?).ok()?;
    let host = url.host_str()?.parse::<IpAddr>().ok()?;
    (url.scheme() == "http" && host == from.ip()).then_some(url)
}

/// A socket whose questions leave by the interface that leads to the router.
fn open(local: Ipv4Addr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_multicast_if_v4(&local)?;
    // Two hops, as UPnP Device Architecture 1.1 advises.
    socket.set_multicast_ttl_v4(2)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((local, 0)).into())?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_device_may_name_itself_only() {
        let from = "192.168.1.1:1900".parse().unwrap();
        let answer = |url: &str| format!("HTTP/1.1 200 OK\r\nLOCATION: {url}\r\n\r\n").into_bytes();
        assert!(location(&answer("http://192.168.1.1:5000/rootDesc.xml"), from).is_some());
        for url in [
            "http://192.168.1.2/x",
            "http://127.0.0.1/x",
            "http://router/x",
            "https://192.168.1.1/",
            "file:///etc",
        ] {
            assert_eq!(location(&answer(url), from), None, "{url}");
        }
        assert_eq!(location(b"\xff", from), None);
    }
}
