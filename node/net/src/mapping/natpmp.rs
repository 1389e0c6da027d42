//! NAT-PMP, RFC 6886.

use super::Protocol;
use super::exchange::{Trouble, ask};
use super::route::Path;
use std::net::{Ipv4Addr, SocketAddrV4};

const VERSION: u8 = 0;
const ADDRESS: u8 = 0;
const ANSWER: u8 = 0x80;

/// Asks for a mapping, or renews it. Returns where it is and for how many seconds.
pub(super) async fn map(
    path: &Path,
    protocol: Protocol,
    local_port: u16,
    external_port: u16,
    lifetime_s: u32,
) -> Result<(SocketAddrV4, u32), Trouble> {
    // The address comes first: a mapping of a router without one would have to be given back.
    let ip = ask(path, &[VERSION, ADDRESS], decode_address).await?;
    if ip.is_unspecified() {
        return Err(Trouble::Refused("it has no connection".to_owned()));
    }
    let question = encode(protocol, local_port, external_port, lifetime_s);
    let (port, lifetime_s) = ask(path, &question, |answer| {
        decode(answer, protocol, local_port)
    })
    .await?;
    Ok((SocketAddrV4::new(ip, port), lifetime_s))
}

/// Ends a mapping: lifetime and external port 0, RFC 6886 section 3.4.
pub(super) async fn unmap(path: &Path, protocol: Protocol, local_port: u16) -> Result<(), Trouble> {
    let question = encode(protocol, local_port, 0, 0);
    ask(path, &question, |answer| {
        decode(answer, protocol, local_port)
    })
    .await
    .map(drop)
}

fn operation(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Udp => 1,
        Protocol::Tcp => 2,
    }
}

fn encode(protocol: Protocol, local_port: u16, external_port: u16, lifetime_s: u32) -> Vec<u8> {
    let mut bytes = vec![VERSION, operation(protocol), 0, 0];
    bytes.extend(local_port.to_be_bytes());
    bytes.extend(external_port.to_be_bytes());
    bytes.extend(lifetime_s.to_be_bytes());
    bytes
}

fn decode(
    answer: &[u8],
    protocol: Protocol,
    local_port: u16,
) -> Option<Result<(u16, u32), Trouble>> {
    let rest = match head(answer, operation(protocol))? {
        Ok(rest) => rest,
        Err(trouble) => return Some(Err(trouble)),
    };
    let [a, b, c, d, lifetime @ ..]: [u8; 8] = *rest.first_chunk()?;
    if u16::from_be_bytes([a, b]) != local_port {
        return None;
    }
    Some(Ok((
        u16::from_be_bytes([c, d]),
        u32::from_be_bytes(lifetime),
    )))
}

fn decode_address(answer: &[u8]) -> Option<Result<Ipv4Addr, Trouble>> {
    match head(answer, ADDRESS)? {
        Ok(rest) => rest.first_chunk::<4>().map(|ip| Ok(Ipv4Addr::from(*ip))),
        Err(trouble) => Some(Err(trouble)),
    }
}

/// What follows version, operation, result and epoch.
fn head(answer: &[u8], operation: u8) -> Option<Result<&[u8], Trouble>> {
    let ([version, found, result @ ..], rest) = answer.split_first_chunk::<4>()?;
    if *version != VERSION || *found != ANSWER | operation {
        return None;
    }
    Some(match u16::from_be_bytes(*result) {
        0 => Ok(rest.get(4..)?),
        1 => Err(Trouble::Silent),
        code => Err(Trouble::Refused(reason(code))),
    })
}

/// Result codes, RFC 6886 section 3.5.
fn reason(code: u16) -> String {
    match code {
        2 => "not authorized".to_owned(),
        3 => "it has no connection".to_owned(),
        4 => "it has no room for more mappings".to_owned(),
        5 => "it cannot map ports".to_owned(),
        code => format!("code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_question_is_laid_out_as_in_the_rfc() {
        assert_eq!(
            encode(Protocol::Tcp, 7462, 7462, 1800),
            [0, 2, 0, 0, 0x1d, 0x26, 0x1d, 0x26, 0, 0, 7, 8]
        );
    }

    #[test]
    fn answers_are_read() {
        let mapped = [
            0, 0x82, 0, 0, 0, 0, 0, 9, 0x1d, 0x26, 0x1d, 0x30, 0, 0, 7, 8,
        ];
        assert_eq!(decode(&mapped, Protocol::Tcp, 7462), Some(Ok((7472, 1800))));
        assert_eq!(decode(&mapped, Protocol::Udp, 7462), None);
        assert_eq!(decode(&mapped, Protocol::Tcp, 7463), None);
        assert_eq!(decode(&mapped[..15], Protocol::Tcp, 7462), None);
        let refused = [0, 0x82, 0, 2, 0, 0, 0, 9];
        assert_eq!(
            decode(&refused, Protocol::Tcp, 7462),
            Some(Err(Trouble::Refused(reason(2))))
        );
        let address = [0, 0x80, 0, 0, 0, 0, 0, 9, 203, 0, 113, 9];
        assert_eq!(
            decode_address(&address),
            Some(Ok(Ipv4Addr::new(203, 0, 113, 9)))
        );
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes, Protocol::Tcp, 7462);
            let _ = decode_address(&bytes);
        }
    }
}
