//! PCP, RFC 6887: the MAP operation over IPv4.

use super::Protocol;
use super::exchange::{Trouble, ask};
use super::route::Path;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

const VERSION: u8 = 2;
const MAP: u8 = 1;
const ANSWER: u8 = 0x80;
const ANSWER_BYTES: usize = 60;
/// RFC 6887, section 7.2.
const HEADER_BYTES: usize = 24;

/// Asks for a mapping, or renews it; with a lifetime of 0 it ends. Returns where it is and for how
/// many seconds.
pub(super) async fn map(path: &Path, want: &Want) -> Result<(SocketAddrV4, u32), Trouble> {
    ask(path, &encode(path.local, want), |answer| {
        decode(answer, want)
    })
    .await
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want {
    pub(super) nonce: [u8; 12],
    pub(super) protocol: Protocol,
    pub(super) local_port: u16,
    /// The port preferred outside.
    pub(super) external_port: u16,
    pub(super) lifetime_s: u32,
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}

fn encode(local: Ipv4Addr, want: &Want) -> Vec<u8> {
    let mut bytes = vec![VERSION, MAP, 0, 0];
    bytes.extend(want.lifetime_s.to_be_bytes());
    bytes.extend(local.to_ipv6_mapped().octets());
    bytes.extend(want.nonce);
    bytes.extend([number(want.protocol), 0, 0, 0]);
    bytes.extend(want.local_port.to_be_bytes());
    bytes.extend(want.external_port.to_be_bytes());
    bytes.extend(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets());
    bytes
}

fn decode(answer: &[u8], want: &Want) -> Option<Result<(SocketAddrV4, u32), Trouble>> {
    // A router that speaks only NAT-PMP answers in its own version: RFC 6886, section 9.
    if answer.first() == Some(&0) {
        return Some(Err(Trouble::Silent));
    }
    // Some routers refuse with the header alone, or leave the rest zero; only the router's packets come here.
    if let [VERSION, operation, _, result, rest @ ..] = answer
        && *operation == ANSWER | MAP
        && *result != 0
        && rest.len() >= HEADER_BYTES - 4
    {
        let nonce = rest.get(HEADER_BYTES - 4..).and_then(<[u8]>::first_chunk);
        let is_ours = nonce.is_none_or(|nonce| *nonce == want.nonce || *nonce == [0; 12]);
        return is_ours.then(|| Err(Trouble::Refused(reason(*result))));
    }
    let answer: &[u8; ANSWER_BYTES] = answer.first_chunk()?;
    let [version, operation, _, result, rest @ ..] = answer;
    if *version != VERSION || *operation != ANSWER | MAP || *result != 0 {
        return None;
    }
    let mut rest = rest.as_slice();
    let lifetime_s = u32::from_be_bytes(take(&mut rest)?);
    let _epoch_and_reserved: [u8; 16] = take(&mut rest)?;
    let nonce: [u8; 12] = take(&mut rest)?;
    let protocol: [u8; 4] = take(&mut rest)?;
    let local_port = u16::from_be_bytes(take(&mut rest)?);
    let external_port = u16::from_be_bytes(take(&mut rest)?);
    let external = Ipv6Addr::from(take::<16>(&mut rest)?).to_ipv4_mapped();
    if nonce != want.nonce || protocol[0] != number(want.protocol) || local_port != want.local_port
    {
        return None;
    }
    Some(match external {
        Some(ip) => Ok((SocketAddrV4::new(ip, external_port), lifetime_s)),
        None => Err(Trouble::Refused("it gave no IPv4 address".to_owned())),
    })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

/// Result codes, RFC 6887 section 7.4.
fn reason(code: u8) -> String {
    match code {
        1 => "it speaks another version of PCP".to_owned(),
        2 => "not authorized: its settings may forbid it".to_owned(),
        3 => "it found the request malformed".to_owned(),
        4 => "it cannot map ports".to_owned(),
        5 | 6 => "it found an option wrong".to_owned(),
        7 => "it has no connection".to_owned(),
        8 => "it has no room for more mappings".to_owned(),
        9 => "it cannot map this protocol".to_owned(),
        10 => "this machine has too many mappings".to_owned(),
        11 => "the port is taken".to_owned(),
        12 => "there is another router in between".to_owned(),
        13 => "it allows fewer peers".to_owned(),
        code => format!("code {code}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const WANT: Want = Want {
        nonce: [7; 12],
        protocol: Protocol::Udp,
        local_port: 7463,
        external_port: 7463,
        lifetime_s: 1800,
    };

    fn answer(result: u8) -> Vec<u8> {
        let mut bytes = vec![2, 0x81, 0, result, 0, 0, 3, 0x84];
        bytes.extend([0; 16]);
        bytes.extend([7; 12]);
        bytes.extend([17, 0, 0, 0, 0x1d, 0x27, 0x1d, 0x30]);
        bytes.extend(Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped().octets());
        bytes
    }

    #[test]
    fn the_question_is_laid_out_as_in_the_rfc() {
        let bytes = encode(Ipv4Addr::new(192, 168, 77, 2), &WANT);
        assert_eq!(bytes.len(), 60);
        assert_eq!(bytes[..8], [2, 1, 0, 0, 0, 0, 7, 8]);
        assert_eq!(bytes[18..24], [0xff, 0xff, 192, 168, 77, 2]);
        assert_eq!(
            bytes[24..44],
            [
                7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 17, 0, 0, 0, 0x1d, 0x27, 0x1d, 0x27
            ]
        );
    }

    #[test]
    fn answers_are_read() {
        let mapped = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 9), 7472);
        assert_eq!(decode(&answer(0), &WANT), Some(Ok((mapped, 900))));
        assert_eq!(
            decode(&answer(8), &WANT),
            Some(Err(Trouble::Refused(reason(8))))
        );
        for short in [24, 36, 59] {
            let refused = Some(Err(Trouble::Refused(reason(2))));
            assert_eq!(decode(&answer(2)[..short], &WANT), refused, "{short}");
        }
        let mut zeros = answer(2);
        zeros[24..].fill(0);
        assert_eq!(
            decode(&zeros, &WANT),
            Some(Err(Trouble::Refused(reason(2))))
        );
        assert_eq!(
            decode(&[0, 0x81, 0, 1, 0, 0, 0, 0], &WANT),
            Some(Err(Trouble::Silent))
        );
    }

    #[test]
    fn answers_to_something_else_are_passed_over() {
        let other_nonce = Want {
            nonce: [8; 12],
            ..WANT
        };
        let other_port = Want {
            local_port: 1,
            ..WANT
        };
        let other_protocol = Want {
            protocol: Protocol::Tcp,
            ..WANT
        };
        for want in [other_nonce, other_port, other_protocol] {
            assert_eq!(decode(&answer(0), &want), None);
        }
        assert_eq!(decode(&answer(2), &other_nonce), None);
        assert_eq!(decode(&answer(2)[..23], &WANT), None);
        assert_eq!(decode(&answer(0)[..59], &WANT), None);
        assert_eq!(decode(&[], &WANT), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes, &WANT);
        }
    }
}
