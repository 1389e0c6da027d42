//! Connection ids of the UDP protocol (BEP 15) without a table of them: an id is a keyed hash of the address and the
//! minute. Whoever has one receives packets at that address, so that no answer larger than its request goes to an
//! address that was made up.

use std::net::IpAddr;

/// Gives out and recognises connection ids.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionIds {
    key: [u8; 32],
}

/// BEP 15: valid for two minutes after they were given out. By whole minutes that is the current one and two before.
const WINDOW_S: u64 = 60;
const WINDOWS: u64 = 3;

impl ConnectionIds {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    pub(crate) fn issue(&self, now_s: u64, address: IpAddr) -> u64 {
        self.at(now_s / WINDOW_S, address)
    }

    pub(crate) fn is_valid(&self, now_s: u64, address: IpAddr, id: u64) -> bool {
        let window = now_s / WINDOW_S;
        (window.saturating_sub(WINDOWS - 1)..=window)
            .rev()
            .any(|window| self.at(window, address) == id)
    }

    /// The port is left out: what an id protects is the machine behind the address.
    fn at(&self, window: u64, address: IpAddr) -> u64 {
        let mut input = [0; 24];
        let (ip, time) = input.split_at_mut(16);
        match address {
            IpAddr::V4(v4) => ip.copy_from_slice(&v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => ip.copy_from_slice(&v6.octets()),
        }
        time.copy_from_slice(&window.to_le_bytes());
        let hash = blake3::keyed_hash(&self.key, &input);
        hash.as_bytes()
            .first_chunk::<8>()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn valid_for_two_minutes_at_one_address_under_one_key() {
        let ids = ConnectionIds::new([1; 32]);
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        for issued_s in [0, 59, 60, 1000] {
            let id = ids.issue(issued_s, address);
            for (after_s, valid) in [
                (0, true),
                (119, true),
                (120, true),
                (180, false),
                (3600, false),
            ] {
                assert_eq!(
                    ids.is_valid(issued_s + after_s, address, id),
                    valid,
                    "{issued_s}+{after_s}"
                );
            }
            assert!(!ids.is_valid(issued_s, "192.0.2.2".parse().unwrap(), id));
            assert!(!ConnectionIds::new([2; 32]).is_valid(issued_s, address, id));
            assert!(!ids.is_valid(issued_s, address, id ^ 1));
        }
    }
}
