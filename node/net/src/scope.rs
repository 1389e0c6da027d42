//! How far an address is valid.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far an address is valid, narrowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// It is no address of a host: unspecified, multicast, reserved.
    None,
    /// This machine.
    Loopback,
    /// This cable (RFC 3927, RFC 4291).
    Link,
    /// This network (RFC 1918, RFC 4193).
    Private,
    /// The network of a provider that shares one address among customers (RFC 6598).
    Shared,
    /// The internet.
    Public,
}

/// How far an address is valid.
pub fn scope(ip: IpAddr) -> Scope {
    match ip.to_canonical() {
        IpAddr::V4(ip) => scope_v4(ip),
        IpAddr::V6(ip) => scope_v6(ip),
    }
}

fn scope_v4(ip: Ipv4Addr) -> Scope {
    match ip.octets() {
        [0 | 224..=255, ..] | [198, 18 | 19, ..] => Scope::None,
        [127, ..] => Scope::Loopback,
        [169, 254, ..] => Scope::Link,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Scope::Private,
        [100, 64..=127, ..] => Scope::Shared,
        _ => Scope::Public,
    }
}

fn scope_v6(ip: Ipv6Addr) -> Scope {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Scope::Loopback,
        [0xfe80..=0xfebf, ..] => Scope::Link,
        [0xfc00..=0xfdff, ..] => Scope::Private,
        [0x2000..=0x3fff, ..] => Scope::Public,
        _ => Scope::None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_kind_of_address_has_its_scope() {
        let table = [
            ("0.0.0.0", Scope::None),
            ("198.18.0.1", Scope::None),
            ("239.255.255.250", Scope::None),
            ("255.255.255.255", Scope::None),
            ("127.0.0.1", Scope::Loopback),
            ("169.254.3.4", Scope::Link),
            ("10.1.2.3", Scope::Private),
            ("172.15.0.1", Scope::Public),
            ("172.16.0.1", Scope::Private),
            ("172.31.255.255", Scope::Private),
            ("192.168.1.1", Scope::Private),
            ("100.63.0.1", Scope::Public),
            ("100.64.0.1", Scope::Shared),
            ("100.127.255.255", Scope::Shared),
            ("203.0.113.7", Scope::Public),
            ("::", Scope::None),
            ("ff02::1", Scope::None),
            ("::1", Scope::Loopback),
            ("fe80::1", Scope::Link),
            ("fd00::1", Scope::Private),
            ("2001:db8::1", Scope::Public),
            ("::ffff:192.168.1.1", Scope::Private),
        ];
        for (text, expected) in table {
            assert_eq!(scope(text.parse().unwrap()), expected, "{text}");
        }
    }
}
