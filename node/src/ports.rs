//! Ports: fixed by default, and once chosen for a home remembered, because links carry them.

use crate::error::NodeError;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

/// The default port; it spells SHOA on a phone.
pub(crate) const DEFAULT_PORT: u16 = 7462;

const TCP: &str = "TCP, for HTTP and BitTorrent";
const UDP_TRACKER: &str = "UDP, for the tracker";
const UDP_IROH: &str = "UDP, for iroh";

/// Where a node should listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nobody said anything.
    Default,
    /// The command line or the settings did.
    At(SocketAddr),
}

/// The three ports of a home. Zero: not chosen yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ports {
    pub(crate) tcp: u16,
    pub(crate) iroh_udp: u16,
    pub(crate) tracker_udp: u16,
}

/// What a home remembers of its last start: ports, which links carry, and where it listened, so that
/// the next start without a word shows its links to nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) ports: Ports,
    pub(crate) ip: IpAddr,
}

impl Remembered {
    /// As the store keeps it: three ports, then the address's bytes.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let Ports {
            tcp,
            iroh_udp,
            tracker_udp,
        } = self.ports;
        let mut bytes: Vec<u8> = [tcp, iroh_udp, tracker_udp]
            .into_iter()
            .flat_map(u16::to_be_bytes)
            .collect();
        match self.ip {
            IpAddr::V4(ip) => bytes.extend(ip.octets()),
            IpAddr::V6(ip) => bytes.extend(ip.octets()),
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (ports, ip) = bytes.split_first_chunk::<6>()?;
        let ip = match ip.len() {
            4 => IpAddr::V4(<[u8; 4]>::try_from(ip).ok()?.into()),
            16 => IpAddr::V6(<[u8; 16]>::try_from(ip).ok()?.into()),
            _ => return None,
        };
        let [a, b, c, d, e, f] = *ports;
        let ports = Ports {
            tcp: u16::from_be_bytes([a, b]),
            iroh_udp: u16::from_be_bytes([c, d]),
            tracker_udp: u16::from_be_bytes([e, f]),
        };
        Some(Self { ports, ip })
    }
}

/// What was bound.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) tcp: TcpListener,
    pub(crate) tracker: UdpSocket,
    /// iroh binds by itself: this is where.
    pub(crate) iroh: SocketAddr,
    pub(crate) ports: Ports,
    /// Where it would have been, had that not been taken by another program.
    pub(crate) instead_of: Option<SocketAddr>,
}

/// Whether links carry the ports that a home remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carried {
    /// None does: other ports do as well.
    ByNoLink,
    /// Whoever has one of them knows no others.
    ByLinks,
}

/// Binds what was wished for, or what the home remembers, or the defaults; where another program has
/// those, nobody wished for them and no link carries them, ports that are free.
pub(crate) fn bind(
    wish: Wish,
    remembered: Option<Remembered>,
    carried: Carried,
) -> Result<Bound, NodeError> {
    let ip = match wish {
        Wish::At(address) => address.ip(),
        Wish::Default => remembered.map_or_else(any_address, |known| known.ip),
    };
    let fixed = |port: u16| Ports {
        tcp: port,
        iroh_udp: port,
        tracker_udp: port.wrapping_add(1),
    };
    let first = match (wish, remembered) {
        (Wish::At(address), _) if address.port() != 0 => {
            return bind_all(ip, fixed(address.port()));
        }
        (_, Some(known)) => known.ports,
        (Wish::At(_), None) => Ports::default(),
        (Wish::Default, None) => fixed(DEFAULT_PORT),
    };
    match bind_all(ip, first) {
        Err(NodeError::PortInUse { address, .. })
            if remembered.is_none() || carried == Carried::ByNoLink =>
        {
            Ok(Bound {
                instead_of: Some(address),
                ..bind_all(ip, Ports::default())?
            })
        }
        result => result,
    }
}

fn bind_all(ip: IpAddr, ports: Ports) -> Result<Bound, NodeError> {
    let tcp = bind_tcp(SocketAddr::new(ip, ports.tcp))?;
    let tcp_port = local_port(tcp.local_addr())?;
    let iroh = bind_udp(
        SocketAddr::new(
            ip,
            if ports.iroh_udp == 0 {
                tcp_port
            } else {
                ports.iroh_udp
            },
        ),
        UDP_IROH,
    )
    .or_else(|error| match error {
        NodeError::PortInUse { .. } if ports.iroh_udp == 0 => {
            bind_udp(SocketAddr::new(ip, 0), UDP_IROH)
        }
        error => Err(error),
    })?;
    let iroh_address = iroh
        .local_addr()
        .map_err(NodeError::io("a socket has no address"))?;
    let tracker = bind_udp(SocketAddr::new(ip, ports.tracker_udp), UDP_TRACKER)?;
    let ports = Ports {
        tcp: tcp_port,
        iroh_udp: iroh_address.port(),
        tracker_udp: local_port(tracker.local_addr())?,
    };
    // iroh opens its own socket: this one only showed that the port is free.
    drop(iroh);
    Ok(Bound {
        tcp,
        tracker,
        iroh: iroh_address,
        ports,
        instead_of: None,
    })
}

fn local_port(address: io::Result<SocketAddr>) -> Result<u16, NodeError> {
    address
        .map(|address| address.port())
        .map_err(NodeError::io("a socket has no address"))
}

/// `[::]`, which takes IPv4 too, or `0.0.0.0` where the machine has no IPv6.
fn any_address() -> IpAddr {
    match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

fn bind_tcp(address: SocketAddr) -> Result<TcpListener, NodeError> {
    let bound = socket(address, Type::STREAM, Protocol::TCP).and_then(|socket| {
        // A node that restarts takes its port back from connections that linger.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        Ok(socket.into())
    });
    bound.map_err(|source| refused(address, source, TCP))
}

fn bind_udp(address: SocketAddr, why: &'static str) -> Result<UdpSocket, NodeError> {
    let bound = socket(address, Type::DGRAM, Protocol::UDP).and_then(|socket| {
        socket.bind(&address.into())?;
        Ok(socket.into())
    });
    bound.map_err(|source| refused(address, source, why))
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn refused(address: SocketAddr, source: io::Error, why: &'static str) -> NodeError {
    match source.kind() {
        io::ErrorKind::AddrInUse => NodeError::PortInUse { address, why },
        _ => NodeError::Listen { address, source },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn loopback(port: u16) -> Wish {
        Wish::At(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
    }

    #[test]
    fn zero_picks_ports_that_can_be_had_again() {
        let first = bind(loopback(0), None, Carried::ByNoLink).unwrap();
        let ports = first.ports;
        assert!(ports.tcp != 0 && ports.iroh_udp != 0 && ports.tracker_udp != 0);
        let kept = Remembered {
            ports,
            ip: Ipv4Addr::LOCALHOST.into(),
        };
        assert_eq!(Remembered::from_bytes(&kept.to_bytes()), Some(kept));
        drop(first);
        assert_eq!(
            bind(loopback(0), Some(kept), Carried::ByLinks)
                .unwrap()
                .ports,
            ports
        );
    }

    #[test]
    fn a_start_without_a_word_listens_where_the_last_one_did() {
        let first = bind(loopback(0), None, Carried::ByNoLink).unwrap();
        let kept = Remembered {
            ports: first.ports,
            ip: Ipv4Addr::LOCALHOST.into(),
        };
        drop(first);
        let again = bind(Wish::Default, Some(kept), Carried::ByLinks).unwrap();
        assert_eq!(again.tcp.local_addr().unwrap().ip(), kept.ip);
        assert_eq!(again.ports, kept.ports);
    }

    #[test]
    fn a_port_that_was_asked_for_and_is_taken_is_an_error() {
        let first = bind(loopback(0), None, Carried::ByNoLink).unwrap();
        let error = bind(loopback(first.ports.tcp), None, Carried::ByNoLink).unwrap_err();
        assert!(matches!(error, NodeError::PortInUse { .. }), "{error}");
        let kept = Remembered {
            ports: first.ports,
            ip: Ipv4Addr::LOCALHOST.into(),
        };
        let error = bind(loopback(0), Some(kept), Carried::ByLinks).unwrap_err();
        assert!(matches!(error, NodeError::PortInUse { .. }), "{error}");
    }

    #[test]
    fn ports_that_no_link_carries_give_way_to_another_program() {
        let first = bind(loopback(0), None, Carried::ByNoLink).unwrap();
        let kept = Remembered {
            ports: first.ports,
            ip: Ipv4Addr::LOCALHOST.into(),
        };
        for wish in [Wish::Default, loopback(0)] {
            let moved = bind(wish, Some(kept), Carried::ByNoLink).unwrap();
            let taken = SocketAddr::new(kept.ip, kept.ports.tcp);
            assert_eq!(moved.instead_of, Some(taken));
            assert_ne!(moved.ports.tcp, kept.ports.tcp);
            let error = bind(wish, Some(kept), Carried::ByLinks).unwrap_err();
            assert!(matches!(error, NodeError::PortInUse { .. }), "{error}");
        }
    }
}
