//! The addresses of this machine, best first.

use crate::scope::{Scope, scope};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// One address of one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfaceAddr {
    /// The interface's name, such as `eth0`.
    pub interface: String,
    /// The address.
    pub ip: IpAddr,
    /// Whether packets to the internet leave from it.
    pub route: Route,
}

/// Which packets leave from an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// Those to the internet.
    Default,
    /// Those on the interface of the default route.
    SameInterface,
    /// Others.
    Other,
}

/// Addresses by which others can reach this machine, best first: those of the default route, then of
/// its interface, then the rest; IPv4 before IPv6. Loopback and link-local IPv6 are left out, as they
/// mean nothing in a link.
///
/// # Errors
/// What the operating system answers.
pub fn local_addresses() -> io::Result<Vec<IfaceAddr>> {
    let all = if_addrs::get_if_addrs()?
        .into_iter()
        .filter(|iface| {
            !matches!(
                iface.oper_status,
                if_addrs::IfOperStatus::Down | if_addrs::IfOperStatus::LowerLayerDown
            )
        })
        .map(|iface| (iface.ip(), iface.name))
        .collect();
    Ok(order(all, &default_sources()))
}

/// The best address of this machine; none without a network.
///
/// # Errors
/// What the operating system answers.
pub fn primary_address() -> io::Result<Option<IpAddr>> {
    Ok(local_addresses()?.first().map(|address| address.ip))
}

fn order(all: Vec<(IpAddr, String)>, sources: &[IpAddr]) -> Vec<IfaceAddr> {
    let default_names: Vec<String> = all
        .iter()
        .filter(|(ip, _)| sources.contains(ip))
        .map(|(_, name)| name.clone())
        .collect();
    let mut found: Vec<IfaceAddr> = all
        .into_iter()
        .filter(|(ip, _)| match scope(*ip) {
            Scope::None | Scope::Loopback => false,
            Scope::Link => ip.is_ipv4(),
            Scope::Private | Scope::Shared | Scope::Public => true,
        })
        .map(|(ip, interface)| {
            let route = if sources.contains(&ip) {
                Route::Default
            } else if default_names.contains(&interface) {
                Route::SameInterface
            } else {
                Route::Other
            };
            IfaceAddr {
                interface,
                ip,
                route,
            }
        })
        .collect();
    found.sort_by_key(|address| {
        (
            scope(address.ip) == Scope::Link,
            address.route,
            address.ip.is_ipv6(),
            address.interface.clone(),
            address.ip,
        )
    });
    found.dedup_by_key(|address| address.ip);
    found
}

/// The addresses from which packets to the internet would leave. Connecting a UDP socket sends
/// nothing; the two targets are documentation addresses (RFC 5737, RFC 3849).
fn default_sources() -> Vec<IpAddr> {
    let v4 = source_towards(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    let v6 = source_towards(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)));
    v4.into_iter().chain(v6).collect()
}

/// The address from which packets to `target` would leave.
pub(crate) fn source_towards(target: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if target.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Any port but 0 will do.
    socket.connect((target, 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_default_route_comes_first_and_unusable_ones_are_left_out() {
        let all = [
            ("127.0.0.1", "lo"),
            ("::1", "lo"),
            ("169.254.9.9", "usb0"),
            ("172.17.0.1", "docker0"),
            ("2001:db8::5", "wlan0"),
            ("fe80::5", "wlan0"),
            ("192.168.77.2", "wlan0"),
            ("192.168.77.9", "wlan0"),
        ];
        let all = all
            .map(|(ip, name)| (ip.parse().unwrap(), name.to_owned()))
            .to_vec();
        let sources = [
            "192.168.77.9".parse().unwrap(),
            "2001:db8::5".parse().unwrap(),
        ];
        let found: Vec<_> = order(all, &sources)
            .into_iter()
            .map(|a| a.ip.to_string())
            .collect();
        assert_eq!(
            found,
            [
                "192.168.77.9",
                "2001:db8::5",
                "192.168.77.2",
                "172.17.0.1",
                "169.254.9.9"
            ]
        );
    }

    #[test]
    fn this_machine_can_be_asked() {
        for address in local_addresses().unwrap() {
            assert!(!address.ip.is_loopback(), "{address:?}");
        }
        assert_eq!(
            source_towards(Ipv4Addr::LOCALHOST.into()),
            Some(Ipv4Addr::LOCALHOST.into())
        );
    }
}
