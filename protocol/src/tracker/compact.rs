//! Peers in compact form: address and port in network order, 6 bytes (BEP 23) or 18 (BEP 7).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

/// Bytes of one IPv4 peer.
pub const V4_BYTES: usize = 6;
/// Bytes of one IPv6 peer.
pub const V6_BYTES: usize = 18;

/// The list does not end at the end of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a compact peer list of {found_bytes} bytes is not a multiple of {peer_bytes}")]
pub struct CompactError {
    /// Bytes found.
    pub found_bytes: usize,
    /// Bytes of one peer.
    pub peer_bytes: usize,
}

/// Appends an IPv4 peer.
pub fn write_v4(peer: SocketAddrV4, out: &mut Vec<u8>) {
    out.extend_from_slice(&peer.ip().octets());
    out.extend_from_slice(&peer.port().to_be_bytes());
}

/// Appends an IPv6 peer.
pub fn write_v6(peer: SocketAddrV6, out: &mut Vec<u8>) {
    out.extend_from_slice(&peer.ip().octets());
    out.extend_from_slice(&peer.port().to_be_bytes());
}

/// Reads `peers` (BEP 23).
pub fn parse_v4(bytes: &[u8]) -> Result<Vec<SocketAddrV4>, CompactError> {
    Ok(entries::<V4_BYTES>(bytes)?
        .iter()
        .map(|&[a, b, c, d, high, low]| {
            SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]))
        })
        .collect())
}

/// Reads `peers6` (BEP 7).
pub fn parse_v6(bytes: &[u8]) -> Result<Vec<SocketAddrV6>, CompactError> {
    Ok(entries::<V6_BYTES>(bytes)?
        .iter()
        .map(|entry| {
            let mut ip = [0; 16];
            let mut port = [0; 2];
            for (to, from) in ip.iter_mut().chain(port.iter_mut()).zip(entry) {
                *to = *from;
            }
            SocketAddrV6::new(Ipv6Addr::from(ip), u16::from_be_bytes(port), 0, 0)
        })
        .collect())
}

fn entries<const N: usize>(bytes: &[u8]) -> Result<&[[u8; N]], CompactError> {
    match bytes.as_chunks::<N>() {
        (entries, []) => Ok(entries),
        _ => Err(CompactError {
            found_bytes: bytes.len(),
            peer_bytes: N,
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_peer_of_each_family() {
        let v4: SocketAddrV4 = "10.1.2.3:6881".parse().unwrap();
        let v6: SocketAddrV6 = "[2001:db8::1]:6881".parse().unwrap();
        let mut out = Vec::new();
        write_v4(v4, &mut out);
        assert_eq!(out, [10, 1, 2, 3, 0x1a, 0xe1]);
        assert_eq!(parse_v4(&out), Ok(vec![v4]));
        out.clear();
        write_v6(v6, &mut out);
        assert_eq!(out.len(), V6_BYTES);
        assert_eq!(parse_v6(&out), Ok(vec![v6]));
        assert!(parse_v4(&[0; 7]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            prop_assert_eq!(parse_v4(&bytes).is_ok(), bytes.len() % V4_BYTES == 0);
            prop_assert_eq!(parse_v6(&bytes).is_ok(), bytes.len() % V6_BYTES == 0);
        }
    }
}
