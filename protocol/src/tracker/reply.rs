//! Bencoded answers. They are written straight into a buffer that the caller reuses: this is the tracker's hot path.
//! Keys are in ascending order, as BEP 3 asks.

use std::net::IpAddr;

use super::{PeerForm, SwarmCounts, compact};
use crate::id::InfoHash;

/// The answer to an announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnounceReply<'a> {
    /// The swarm's counts.
    pub counts: SwarmCounts,
    /// When the client should ask again, in seconds.
    pub interval_s: u32,
    /// How soon it may ask again, in seconds.
    pub min_interval_s: u32,
    /// IPv4 peers, compact (BEP 23).
    pub peers_v4: &'a [u8],
    /// IPv6 peers, compact (BEP 7).
    pub peers_v6: &'a [u8],
    /// How the client wants them.
    pub form: PeerForm,
    /// The address from which the client was seen (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// A sentence for the user; the announce counted all the same.
    pub warning: Option<&'a str>,
}

/// When a refused client may ask again (BEP 31).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryIn {
    /// After so many minutes.
    Minutes(u32),
    /// It should not.
    Never,
}

/// A refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure<'a> {
    /// A sentence for the user.
    pub reason: &'a str,
    /// When to ask again; none leaves it to the client.
    pub retry_in: Option<RetryIn>,
}

/// The answer to a scrape (BEP 48).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrapeReply<'a> {
    /// Torrents that are known, ascending by infohash and each once.
    pub files: &'a [(InfoHash, SwarmCounts)],
    /// How soon the client may scrape again, in seconds.
    pub min_request_interval_s: u32,
}

impl AnnounceReply<'_> {
    /// Appends the bencoded answer.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"d8:complete");
        int(self.counts.seeds, out);
        out.extend_from_slice(b"10:downloaded");
        int(self.counts.completed, out);
        match self.external_ip {
            Some(IpAddr::V4(ip)) => entry(b"external ip", &ip.octets(), out),
            Some(IpAddr::V6(ip)) => entry(b"external ip", &ip.octets(), out),
            None => {}
        }
        out.extend_from_slice(b"10:incomplete");
        int(self.counts.leeches, out);
        out.extend_from_slice(b"8:interval");
        int(self.interval_s, out);
        out.extend_from_slice(b"12:min interval");
        int(self.min_interval_s, out);
        match self.form {
            PeerForm::Compact => {
                entry(b"peers", self.peers_v4, out);
                if !self.peers_v6.is_empty() {
                    entry(b"peers6", self.peers_v6, out);
                }
            }
            PeerForm::Dictionaries => self.dictionaries(out),
        }
        if let Some(warning) = self.warning {
            entry(b"warning message", warning.as_bytes(), out);
        }
        out.push(b'e');
    }

    /// Peers as BEP 3 has them. `peer id` is left out, as if the client had said `no_peer_id`.
    fn dictionaries(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"5:peersl");
        let v4 = compact::parse_v4(self.peers_v4).unwrap_or_default();
        let v6 = compact::parse_v6(self.peers_v6).unwrap_or_default();
        let v4 = v4.iter().map(|peer| (IpAddr::V4(*peer.ip()), peer.port()));
        let v6 = v6.iter().map(|peer| (IpAddr::V6(*peer.ip()), peer.port()));
        for (ip, port) in v4.chain(v6) {
            out.push(b'd');
            entry(b"ip", ip.to_string().as_bytes(), out);
            out.extend_from_slice(b"4:port");
            int(u32::from(port), out);
            out.push(b'e');
        }
        out.push(b'e');
    }
}

impl Failure<'_> {
    /// Appends the bencoded answer.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(b'd');
        entry(b"failure reason", self.reason.as_bytes(), out);
        match self.retry_in {
            Some(RetryIn::Minutes(minutes)) => {
                out.extend_from_slice(b"8:retry in");
                int(minutes, out);
            }
            Some(RetryIn::Never) => entry(b"retry in", b"never", out),
            None => {}
        }
        out.push(b'e');
    }
}

impl ScrapeReply<'_> {
    /// Appends the bencoded answer.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"d5:filesd");
        for (infohash, counts) in self.files {
            bytes(infohash.as_bytes(), out);
            out.extend_from_slice(b"d8:complete");
            int(counts.seeds, out);
            out.extend_from_slice(b"10:downloaded");
            int(counts.completed, out);
            out.extend_from_slice(b"10:incomplete");
            int(counts.leeches, out);
            out.push(b'e');
        }
        out.extend_from_slice(b"e5:flagsd20:min_request_interval");
        int(self.min_request_interval_s, out);
        out.extend_from_slice(b"ee");
    }
}

/// Appends `value` in decimal digits.
pub fn decimal(mut value: u32, out: &mut Vec<u8>) {
    let start = out.len();
    loop {
        out.push(b'0' + (value % 10) as u8);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

fn int(value: u32, out: &mut Vec<u8>) {
    out.push(b'i');
    decimal(value, out);
    out.push(b'e');
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    decimal(u32::try_from(value.len()).unwrap_or(u32::MAX), out);
    out.push(b':');
    out.extend_from_slice(value);
}

fn entry(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    bytes(key, out);
    bytes(value, out);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::bencode::Value;
    use proptest::prelude::*;

    fn announce<'a>() -> AnnounceReply<'a> {
        AnnounceReply {
            counts: SwarmCounts {
                seeds: 1,
                leeches: 20,
                completed: 300,
            },
            interval_s: 1800,
            min_interval_s: 60,
            peers_v4: &[10, 0, 0, 1, 0x1a, 0xe1],
            peers_v6: &[],
            form: PeerForm::Compact,
            external_ip: None,
            warning: None,
        }
    }

    fn encoded(reply: AnnounceReply<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        reply.encode(&mut out);
        out
    }

    #[test]
    fn announce_vectors() {
        assert_eq!(
            encoded(announce()),
            b"d8:completei1e10:downloadedi300e10:incompletei20e8:intervali1800e12:min intervali60e5:peers6:\x0a\x00\x00\x01\x1a\xe1e"
        );
        let mut reply = announce();
        reply.external_ip = Some("192.0.2.1".parse().unwrap());
        reply.warning = Some("slow down");
        reply.peers_v6 = &[1; 18];
        let out = encoded(reply);
        let value = Value::parse_canonical(&out).unwrap();
        let dict = value.as_dict().unwrap();
        assert_eq!(
            dict.get(b"external ip").unwrap().as_bytes(),
            Some(&[192, 0, 2, 1][..])
        );
        assert_eq!(dict.get(b"peers6").unwrap().as_bytes(), Some(&[1; 18][..]));
        assert_eq!(
            dict.get(b"warning message").unwrap().as_str(),
            Some("slow down")
        );
    }

    #[test]
    fn peers_as_dictionaries() {
        let mut reply = announce();
        reply.form = PeerForm::Dictionaries;
        reply.peers_v6 = &[0; 18];
        let out = encoded(reply);
        Value::parse_canonical(&out).unwrap();
        let text = String::from_utf8_lossy(&out);
        assert!(
            text.ends_with("5:peersld2:ip8:10.0.0.14:porti6881eed2:ip2:::4:porti0eeee"),
            "{text}"
        );
    }

    #[test]
    fn refusals() {
        let encoded = |retry_in| {
            let mut out = Vec::new();
            Failure {
                reason: "gone",
                retry_in,
            }
            .encode(&mut out);
            out
        };
        assert_eq!(encoded(None), b"d14:failure reason4:gonee");
        assert_eq!(
            encoded(Some(RetryIn::Minutes(5))),
            b"d14:failure reason4:gone8:retry ini5ee"
        );
        assert_eq!(
            encoded(Some(RetryIn::Never)),
            b"d14:failure reason4:gone8:retry in5:nevere"
        );
    }

    #[test]
    fn scrape_vector() {
        let mut out = Vec::new();
        let counts = SwarmCounts {
            seeds: 5,
            leeches: 10,
            completed: 50,
        };
        ScrapeReply {
            files: &[(InfoHash(*b"...................."), counts)],
            min_request_interval_s: 60,
        }
        .encode(&mut out);
        // The example of BEP 48, with the flags behind it.
        assert_eq!(
            out,
            b"d5:filesd20:....................d8:completei5e10:downloadedi50e10:incompletei10eee5:flagsd20:min_request_intervali60eee"
        );
    }

    proptest! {
        #[test]
        fn every_answer_is_canonical(seeds: u32, v4 in 0usize..200, v6 in 0usize..200, warning in proptest::option::of(".{0,40}")) {
            let (v4, v6) = (vec![7; v4 * 6], vec![9; v6 * 18]);
            for form in [PeerForm::Compact, PeerForm::Dictionaries] {
                let out = encoded(AnnounceReply {
                    counts: SwarmCounts { seeds, leeches: 0, completed: u32::MAX },
                    peers_v4: &v4,
                    peers_v6: &v6,
                    form,
                    external_ip: Some("::1".parse().unwrap()),
                    warning: warning.as_deref(),
                    ..announce()
                });
                prop_assert!(Value::parse_canonical(&out).is_ok());
            }
        }
    }
}
