//! Peer exchange (BEP 11): peers tell each other of peers. Never for private torrents (BEP 27).

use super::PeerWireError;
use crate::bencode::{Dict, Encoder, Value};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Peers that one message may add, and drop, of each address family.
pub const PEX_MAX_PEERS: usize = 50;

/// A `ut_pex` message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pex {
    /// Peers connected since the last message.
    pub added: Vec<SocketAddr>,
    /// Peers gone since the last message.
    pub dropped: Vec<SocketAddr>,
}

impl Pex {
    /// Reads a payload. Of each list the first [`PEX_MAX_PEERS`] are taken; port 0 is left out.
    ///
    /// # Errors
    /// No bencoded dictionary.
    pub fn parse(payload: &[u8]) -> Result<Self, PeerWireError> {
        let (value, _) = Value::parse_prefix(payload)?;
        let dict = value.as_dict().ok_or(PeerWireError::Key { key: "added" })?;
        let list = |v4: &[u8], v6: &[u8]| {
            let mut peers: Vec<_> =
                peers::<4, 6>(dict, v4, |ip| Ipv4Addr::from(ip).into()).collect();
            peers.extend(self::peers::<16, 18>(dict, v6, |ip| {
                Ipv6Addr::from(ip).into()
            }));
            peers
        };
        Ok(Self {
            added: list(b"added", b"added6"),
            dropped: list(b"dropped", b"dropped6"),
        })
    }

    /// The payload. Of each list the first [`PEX_MAX_PEERS`] of a family are written.
    pub fn encode(&self) -> Vec<u8> {
        let (added, added6) = compact(&self.added);
        let (dropped, dropped6) = compact(&self.dropped);
        Encoder::dict(|d| {
            d.entry(b"added", |e| e.bytes(&added));
            // One byte of flags for each; 0 says nothing.
            d.entry(b"added.f", |e| e.bytes(&vec![0; added.len() / 6]));
            d.entry(b"added6", |e| e.bytes(&added6));
            d.entry(b"added6.f", |e| e.bytes(&vec![0; added6.len() / 18]));
            d.entry(b"dropped", |e| e.bytes(&dropped));
            d.entry(b"dropped6", |e| e.bytes(&dropped6));
        })
    }
}

/// Compact peers: `N` bytes of address and two of port, `M` in all.
fn peers<'a, const N: usize, const M: usize>(
    dict: Dict<'a>,
    key: &[u8],
    ip: impl Fn([u8; N]) -> IpAddr + 'a,
) -> impl Iterator<Item = SocketAddr> + 'a {
    let bytes = dict.get(key).and_then(|v| v.as_bytes()).unwrap_or_default();
    bytes
        .as_chunks::<M>()
        .0
        .iter()
        .take(PEX_MAX_PEERS)
        .filter_map(move |chunk| {
            let (address, port) = chunk.split_first_chunk::<N>()?;
            let port = u16::from_be_bytes(port.try_into().ok()?);
            (port > 0).then(|| SocketAddr::new(ip(*address), port))
        })
}

fn compact(peers: &[SocketAddr]) -> (Vec<u8>, Vec<u8>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for peer in peers {
        let port = peer.port().to_be_bytes();
        match peer.ip() {
            IpAddr::V4(ip) if v4.len() < PEX_MAX_PEERS * 6 => {
                v4.extend(ip.octets().into_iter().chain(port))
            }
            IpAddr::V6(ip) if v6.len() < PEX_MAX_PEERS * 18 => {
                v6.extend(ip.octets().into_iter().chain(port))
            }
            _ => {}
        }
    }
    (v4, v6)
}
