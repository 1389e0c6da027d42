//! Where this node can be reached, and the texts of links that follow from it.

use crate::ports::Ports;
use shoal_protocol::capability::{Capability, Hint};
use shoal_protocol::id::{InfoHash, LinkId};
use shoal_protocol::limits::CAPABILITY_MAX_HINTS;
use shoal_protocol::magnet::Magnet;
use std::net::{IpAddr, SocketAddr};

/// Addresses that go into a magnet: more make it long, and QR codes hard to read.
const IN_MAGNET: usize = 3;

/// `host:port` of HTTP, best first, and where iroh answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Addresses {
    /// `host:port`, IPv6 in brackets.
    pub(crate) web: Vec<String>,
    /// Of the iroh endpoint.
    pub(crate) iroh: Vec<SocketAddr>,
    /// `host:port` of the UDP tracker, in the order of `web`.
    pub(crate) udp_tracker: Vec<String>,
    /// Of pages and files. Trackers stay on plain HTTP, which the port answers too: BitTorrent tells the network
    /// as much, and its clients refuse a certificate that is not for an address as they know it.
    pub(crate) scheme: Scheme,
}

/// How web addresses begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Scheme {
    /// Plain.
    #[default]
    Http,
    /// With a certificate.
    Https,
}

impl std::fmt::Display for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// From what is known: addresses to advertise by setting, mapped by the router, and of interfaces.
pub(crate) struct Found<'a> {
    pub(crate) advertise: &'a [String],
    pub(crate) mapped_tcp: Option<SocketAddr>,
    pub(crate) mapped_iroh: Option<SocketAddr>,
    pub(crate) mapped_tracker: Option<SocketAddr>,
    pub(crate) interfaces: &'a [IpAddr],
    pub(crate) ports: Ports,
    pub(crate) scheme: Scheme,
}

impl Addresses {
    /// Advertised ones go first, then what the router mapped, then the interfaces.
    pub(crate) fn of(found: &Found<'_>) -> Self {
        let mut addresses = Self {
            scheme: found.scheme,
            ..Self::default()
        };
        for host in found.advertise {
            addresses.web.push(with_port(host, found.ports.tcp));
            addresses
                .udp_tracker
                .push(with_port(without_port(host), found.ports.tracker_udp));
            if let Ok(ip) = without_port(host)
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
            {
                addresses
                    .iroh
                    .push(SocketAddr::new(ip, found.ports.iroh_udp));
            }
        }
        addresses
            .web
            .extend(found.mapped_tcp.map(|address| address.to_string()));
        addresses
            .udp_tracker
            .extend(found.mapped_tracker.map(|address| address.to_string()));
        addresses.iroh.extend(found.mapped_iroh);
        for ip in found.interfaces {
            addresses
                .web
                .push(SocketAddr::new(*ip, found.ports.tcp).to_string());
            addresses
                .udp_tracker
                .push(SocketAddr::new(*ip, found.ports.tracker_udp).to_string());
            addresses
                .iroh
                .push(SocketAddr::new(*ip, found.ports.iroh_udp));
        }
        addresses
    }

    /// The web addresses of a link, best first.
    pub(crate) fn urls(&self, link: &LinkId) -> Vec<String> {
        self.web
            .iter()
            .map(|host| format!("{}://{host}/s/{link}", self.scheme))
            .collect()
    }

    /// Where our seeder answers, for the tracker to hand out.
    pub(crate) fn peers(&self) -> Vec<SocketAddr> {
        self.web
            .iter()
            .filter_map(|host| host.parse().ok())
            .collect()
    }

    /// Hints for a capability: as many of both kinds as fit.
    pub(crate) fn hints(&self, with_iroh: bool) -> Vec<Hint> {
        let web = self
            .web
            .iter()
            .map(|host| Hint::Web(format!("{}://{host}", self.scheme)))
            .take(CAPABILITY_MAX_HINTS / 2);
        let iroh = self
            .iroh
            .iter()
            .copied()
            .map(Hint::Iroh)
            .take(CAPABILITY_MAX_HINTS / 2);
        let iroh = iroh.filter(|_| with_iroh);
        web.chain(iroh).collect()
    }

    /// HTTP trackers, then UDP ones.
    pub(crate) fn trackers(&self, token: &str, with_udp: bool) -> Vec<String> {
        let http = self
            .web
            .iter()
            .take(IN_MAGNET)
            .map(|host| format!("http://{host}/announce/{token}"));
        let udp = self
            .udp_tracker
            .iter()
            .take(IN_MAGNET)
            .map(|host| format!("udp://{host}/announce/{token}"));
        http.chain(udp.filter(|_| with_udp)).collect()
    }

    /// Bases of web seeds (BEP 19): a client appends the torrent's name and a file's path.
    pub(crate) fn web_seeds(&self, link: &LinkId) -> Vec<String> {
        self.web
            .iter()
            .take(IN_MAGNET)
            .map(|host| format!("{}://{host}/s/{link}/w/", self.scheme))
            .collect()
    }

    /// The magnet of a link.
    pub(crate) fn magnet(
        &self,
        link: &LinkId,
        infohash: InfoHash,
        name: &str,
        parts: &MagnetParts<'_>,
    ) -> String {
        Magnet {
            name: Some(name.to_owned()),
            trackers: self.trackers(parts.token, parts.udp_tracker),
            web_seeds: self.web_seeds(link),
            peers: if parts.seeds {
                self.web.iter().take(IN_MAGNET).cloned().collect()
            } else {
                Vec::new()
            },
            shoal: Some(Capability::to_text(parts.capability)),
            ..Magnet::new(infohash)
        }
        .to_string()
    }
}

/// What else goes into a magnet.
pub(crate) struct MagnetParts<'a> {
    pub(crate) token: &'a str,
    pub(crate) capability: &'a [u8],
    pub(crate) udp_tracker: bool,
    pub(crate) seeds: bool,
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && !port.ends_with(']') => name,
        _ => host,
    }
}

fn with_port(host: &str, port: u16) -> String {
    if without_port(host).len() == host.len() {
        format!("{host}:{port}")
    } else {
        host.to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PORTS: Ports = Ports {
        tcp: 10,
        iroh_udp: 11,
        tracker_udp: 12,
    };

    fn found<'a>(advertise: &'a [String], interfaces: &'a [IpAddr]) -> Found<'a> {
        Found {
            advertise,
            mapped_tcp: None,
            mapped_iroh: None,
            mapped_tracker: None,
            interfaces,
            ports: PORTS,
            scheme: Scheme::Http,
        }
    }

    #[test]
    fn advertised_addresses_go_first_and_keep_their_port() {
        let advertise = [
            "files.example.org:80".to_owned(),
            "192.0.2.1".to_owned(),
            "[2001:db8::1]".to_owned(),
        ];
        let interfaces = ["10.0.0.1".parse().unwrap()];
        let addresses = Addresses::of(&found(&advertise, &interfaces));
        assert_eq!(
            addresses.web,
            [
                "files.example.org:80",
                "192.0.2.1:10",
                "[2001:db8::1]:10",
                "10.0.0.1:10"
            ]
        );
        assert_eq!(
            addresses.udp_tracker,
            [
                "files.example.org:12",
                "192.0.2.1:12",
                "[2001:db8::1]:12",
                "10.0.0.1:12"
            ]
        );
        assert_eq!(addresses.iroh.len(), 3);
    }

    #[test]
    fn with_a_certificate_pages_and_files_are_https() {
        let interfaces = ["127.0.0.1".parse().unwrap()];
        let addresses = Addresses::of(&Found {
            scheme: Scheme::Https,
            ..found(&[], &interfaces)
        });
        let link = LinkId([1; 16]);
        let url = format!("https://127.0.0.1:10/s/{link}");
        assert_eq!(addresses.web_seeds(&link), [format!("{url}/w/")]);
        assert_eq!(addresses.urls(&link), [url]);
        assert_eq!(
            addresses.hints(false),
            [Hint::Web("https://127.0.0.1:10".to_owned())]
        );
        assert_eq!(
            addresses.trackers("t", false),
            ["http://127.0.0.1:10/announce/t"]
        );
    }

    #[test]
    fn a_magnet_has_all_that_a_client_needs() {
        let interfaces = ["127.0.0.1".parse().unwrap()];
        let addresses = Addresses::of(&found(&[], &interfaces));
        let parts = MagnetParts {
            token: "t0",
            capability: b"cap",
            udp_tracker: true,
            seeds: true,
        };
        let link = LinkId([1; 16]);
        let magnet =
            Magnet::parse(&addresses.magnet(&link, InfoHash([2; 20]), "a b", &parts)).unwrap();
        assert_eq!(
            magnet.trackers,
            [
                "http://127.0.0.1:10/announce/t0",
                "udp://127.0.0.1:12/announce/t0"
            ]
        );
        assert_eq!(
            magnet.web_seeds,
            [format!("http://127.0.0.1:10/s/{link}/w/")]
        );
        assert_eq!(magnet.peers, ["127.0.0.1:10"]);
        assert_eq!(magnet.name.as_deref(), Some("a b"));
        assert!(magnet.shoal.is_some());
    }
}
