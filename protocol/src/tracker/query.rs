//! The query string of an announce (BEP 3, 7, 23) and of a scrape (BEP 48) over HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::{Event, PeerId};
use crate::id::InfoHash;

/// Bytes of a query string.
pub const QUERY_MAX_BYTES: usize = 8192;
/// Infohashes of one scrape, here and over UDP (BEP 15 says about 74).
pub const SCRAPE_MAX_INFOHASHES: usize = 74;

/// How the client wants its peers (BEP 23).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PeerForm {
    /// 6 or 18 bytes each; also when the client does not say.
    #[default]
    Compact,
    /// A list of dictionaries: the client says `compact=0`.
    Dictionaries,
}

/// Addresses that a client claims to have (BEP 3, 7). Whether to believe them is a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Claimed {
    /// `ip`, if it is an address and not a host name.
    pub ip: Option<IpAddr>,
    /// `ipv4`, with `port` where it names none.
    pub v4: Option<SocketAddrV4>,
    /// `ipv6`, with `port` where it names none.
    pub v6: Option<SocketAddrV6>,
}

/// One announce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnounceQuery {
    /// Which torrent.
    pub infohash: InfoHash,
    /// What the client calls itself.
    pub peer_id: PeerId,
    /// The port that it listens on; 0 if it does not.
    pub port: u16,
    /// Bytes sent since `started`.
    pub uploaded: u64,
    /// Bytes received since `started`.
    pub downloaded: u64,
    /// Bytes that it lacks; none if it does not know, as before it has the metadata.
    pub left: Option<u64>,
    /// What happened.
    pub event: Event,
    /// How many peers it wants; none leaves it to the tracker. Negative numbers count as none.
    pub numwant: Option<u32>,
    /// In which form.
    pub form: PeerForm,
    /// A secret by which it can prove who it is after its address changed.
    pub key: Option<u32>,
    /// Addresses that it claims.
    pub claimed: Claimed,
}

/// One scrape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrapeQuery {
    /// Which torrents, as often as they were named.
    pub infohashes: Vec<InfoHash>,
}

/// Why a query is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A parameter that must be there is not.
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
    /// A parameter has a value that it may not have.
    #[error("the parameter {0} is malformed")]
    Malformed(&'static str),
    /// More than [`QUERY_MAX_BYTES`].
    #[error("the query is longer than {QUERY_MAX_BYTES} bytes")]
    TooLong,
    /// More than [`SCRAPE_MAX_INFOHASHES`].
    #[error("a scrape may name {SCRAPE_MAX_INFOHASHES} infohashes; ask in several requests")]
    TooMany,
}

impl AnnounceQuery {
    /// Reads what follows `?` in an announce. Unknown parameters are ignored; of a doubled one the last counts.
    pub fn parse(query: &[u8]) -> Result<Self, QueryError> {
        let mut infohash = None;
        let mut peer_id = None;
        let mut port = None;
        let mut announce = Self::empty();
        for (name, value) in pairs(query)? {
            match name {
                b"info_hash" => infohash = Some(escaped_20(value, "info_hash")?),
                b"peer_id" => peer_id = Some(escaped_20(value, "peer_id")?),
                b"port" => port = Some(number(value).ok_or(QueryError::Malformed("port"))?),
                b"uploaded" => announce.uploaded = number(value).unwrap_or(0),
                b"downloaded" => announce.downloaded = number(value).unwrap_or(0),
                b"left" => announce.left = number(value),
                b"event" => announce.event = event(value),
                b"numwant" | b"num_want" => announce.numwant = number(value),
                b"compact" if value == b"0" => announce.form = PeerForm::Dictionaries,
                b"compact" => announce.form = PeerForm::Compact,
                b"key" => announce.key = key(value),
                b"ip" => announce.claimed.ip = address(value),
                b"ipv4" => announce.claimed.v4 = address_v4(value),
                b"ipv6" => announce.claimed.v6 = address_v6(value),
                _ => {}
            }
        }
        announce.infohash = InfoHash(infohash.ok_or(QueryError::Missing("info_hash"))?);
        announce.peer_id = PeerId(peer_id.ok_or(QueryError::Missing("peer_id"))?);
        announce.port = port.ok_or(QueryError::Missing("port"))?;
        announce.fill_claimed_ports();
        Ok(announce)
    }

    fn empty() -> Self {
        Self {
            infohash: InfoHash([0; 20]),
            peer_id: PeerId([0; 20]),
            port: 0,
            uploaded: 0,
            downloaded: 0,
            left: None,
            event: Event::Interval,
            numwant: None,
            form: PeerForm::Compact,
            key: None,
            claimed: Claimed::default(),
        }
    }

    fn fill_claimed_ports(&mut self) {
        if let Some(addr) = self.claimed.v4.as_mut().filter(|addr| addr.port() == 0) {
            addr.set_port(self.port);
        }
        if let Some(addr) = self.claimed.v6.as_mut().filter(|addr| addr.port() == 0) {
            addr.set_port(self.port);
        }
    }
}

impl ScrapeQuery {
    /// Reads what follows `?` in a scrape. Naming no torrent at all ("full scrape") is an error.
    pub fn parse(query: &[u8]) -> Result<Self, QueryError> {
        let mut infohashes = Vec::new();
        for (name, value) in pairs(query)? {
            if name != b"info_hash" {
                continue;
            }
            if infohashes.len() == SCRAPE_MAX_INFOHASHES {
                return Err(QueryError::TooMany);
            }
            infohashes.push(InfoHash(escaped_20(value, "info_hash")?));
        }
        if infohashes.is_empty() {
            return Err(QueryError::Missing("info_hash"));
        }
        Ok(Self { infohashes })
    }
}

fn pairs(query: &[u8]) -> Result<impl Iterator<Item = (&[u8], &[u8])>, QueryError> {
    if query.len() > QUERY_MAX_BYTES {
        return Err(QueryError::TooLong);
    }
    Ok(query.split(|byte| *byte == b'&').map(|pair| {
        match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (
                pair.get(..at).unwrap_or_default(),
                pair.get(at + 1..).unwrap_or_default(),
            ),
            None => (pair, &[][..]),
        }
    }))
}

/// 20 bytes, percent-encoded. `+` stands for itself (RFC 1738, as BEP 3 has it).
fn escaped_20(value: &[u8], what: &'static str) -> Result<[u8; 20], QueryError> {
    let mut decoded = [0; 20];
    let mut rest = value;
    for byte in &mut decoded {
        *byte = next_byte(&mut rest).ok_or(QueryError::Malformed(what))?;
    }
    if rest.is_empty() {
        Ok(decoded)
    } else {
        Err(QueryError::Malformed(what))
    }
}

fn next_byte(rest: &mut &[u8]) -> Option<u8> {
    match *rest {
        [b'%', high, low, tail @ ..] => {
            *rest = tail;
            Some(hex(*high)? << 4 | hex(*low)?)
        }
        [b'%', ..] | [] => None,
        [byte, tail @ ..] => {
            *rest = tail;
            Some(*byte)
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn number<T: TryFrom<u64>>(value: &[u8]) -> Option<T> {
    if value.is_empty() {
        return None;
    }
    let mut sum = 0u64;
    for digit in value {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        sum = sum.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    T::try_from(sum).ok()
}

fn event(value: &[u8]) -> Event {
    match value {
        b"started" => Event::Started,
        b"stopped" => Event::Stopped,
        b"completed" => Event::Completed,
        // Some clients send `paused` (BEP 21) or nothing at all: both are regular announces here.
        _ => Event::Interval,
    }
}

fn key(value: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(value).ok()?;
    u32::from_str_radix(text, 16).ok()
}

/// An address as text; clients escape the colons of IPv6, or do not.
fn text(value: &[u8]) -> Option<String> {
    const ADDRESS_MAX_BYTES: usize = 160;
    if value.len() > ADDRESS_MAX_BYTES {
        return None;
    }
    let mut rest = value;
    let mut decoded = Vec::new();
    while !rest.is_empty() {
        decoded.push(next_byte(&mut rest)?);
    }
    String::from_utf8(decoded).ok()
}

fn address(value: &[u8]) -> Option<IpAddr> {
    let text = text(value)?;
    text.parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|addr| addr.ip()))
        .ok()
}

fn address_v4(value: &[u8]) -> Option<SocketAddrV4> {
    let text = text(value)?;
    let bare = || text.parse::<Ipv4Addr>().map(|ip| SocketAddrV4::new(ip, 0));
    text.parse().or_else(|_| bare()).ok()
}

fn address_v6(value: &[u8]) -> Option<SocketAddrV6> {
    let text = text(value)?;
    let bare = || {
        text.parse::<Ipv6Addr>()
            .map(|ip| SocketAddrV6::new(ip, 0, 0, 0))
    };
    text.parse().or_else(|_| bare()).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "info_hash=%124Vx%9a%bc%de%f1%23Eg%89%AB%CD%EF%12%34%56%78%9a";
    const ID: &str = "peer_id=-TR3000-abc%2Bdef.g~+_";

    fn parse(more: &str) -> Result<AnnounceQuery, QueryError> {
        AnnounceQuery::parse(format!("{HASH}&{ID}{more}").as_bytes())
    }

    #[test]
    fn an_announce_in_full() {
        let announce = parse(
            "&port=6881&uploaded=1&downloaded=2&left=3&event=started&numwant=80&compact=1&key=dEadBEEf&no_peer_id=1&supportcrypto",
        )
        .unwrap();
        // The example of the wiki that BEP 3 points to: bytes 12 34 56 78 9a bc de f1 23 45 67 89 ab cd ef 12 34 56 78 9a.
        assert_eq!(
            announce.infohash.to_hex(),
            "123456789abcdef123456789abcdef123456789a"
        );
        assert_eq!(&announce.peer_id.0, b"-TR3000-abc+def.g~+_");
        assert_eq!(announce.port, 6881);
        assert_eq!(
            (announce.uploaded, announce.downloaded, announce.left),
            (1, 2, Some(3))
        );
        assert_eq!(announce.event, Event::Started);
        assert_eq!(announce.numwant, Some(80));
        assert_eq!(announce.key, Some(0xdead_beef));
    }

    #[test]
    fn what_clients_leave_out_or_get_wrong() {
        let announce = parse("&port=0&numwant=-1&event=&left=&key=zz&event=paused").unwrap();
        assert_eq!((announce.left, announce.numwant), (None, None));
        assert_eq!((announce.event, announce.key), (Event::Interval, None));
        assert_eq!(announce.form, PeerForm::Compact);
        assert_eq!(
            parse("&port=1&compact=0").unwrap().form,
            PeerForm::Dictionaries
        );
        assert_eq!(parse(""), Err(QueryError::Missing("port")));
        assert_eq!(parse("&port=65536"), Err(QueryError::Malformed("port")));
        assert_eq!(
            AnnounceQuery::parse(b"info_hash=short"),
            Err(QueryError::Malformed("info_hash"))
        );
        assert_eq!(
            AnnounceQuery::parse(&[b'a'; QUERY_MAX_BYTES + 1]),
            Err(QueryError::TooLong)
        );
        let long_id = format!("{HASH}&{ID}x&port=1");
        assert_eq!(
            AnnounceQuery::parse(long_id.as_bytes()),
            Err(QueryError::Malformed("peer_id"))
        );
    }

    #[test]
    fn claimed_addresses() {
        let claimed = parse("&port=7&ip=10.0.0.1&ipv4=10.0.0.2&ipv6=%5B2001%3Adb8%3A%3A1%5D%3A9")
            .unwrap()
            .claimed;
        assert_eq!(claimed.ip, Some("10.0.0.1".parse().unwrap()));
        assert_eq!(claimed.v4, Some("10.0.0.2:7".parse().unwrap()));
        assert_eq!(claimed.v6, Some("[2001:db8::1]:9".parse().unwrap()));
        let claimed = parse("&port=7&ip=example.org&ipv6=2001:db8::1")
            .unwrap()
            .claimed;
        assert_eq!(claimed.ip, None);
        assert_eq!(claimed.v6, Some("[2001:db8::1]:7".parse().unwrap()));
    }

    #[test]
    fn scrapes() {
        let two = format!("{HASH}&x=y&{HASH}");
        assert_eq!(
            ScrapeQuery::parse(two.as_bytes()).unwrap().infohashes.len(),
            2
        );
        assert_eq!(
            ScrapeQuery::parse(b""),
            Err(QueryError::Missing("info_hash"))
        );
        let many = vec!["info_hash=aaaaaaaaaaaaaaaaaaaa"; SCRAPE_MAX_INFOHASHES + 1].join("&");
        assert_eq!(
            ScrapeQuery::parse(many.as_bytes()),
            Err(QueryError::TooMany)
        );
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = AnnounceQuery::parse(&bytes);
            let _ = ScrapeQuery::parse(&bytes);
        }

        #[test]
        fn any_parameters(text in "(info_hash|peer_id|port|left|ip|ipv6|ipv4|key|event)=[%&=0-9a-z:.]{0,60}") {
            let _ = parse(&text);
            let _ = parse(&format!("&{text}&port=1"));
        }

        #[test]
        fn any_hash_goes_round(hash: [u8; 20]) {
            let escaped: String = hash.iter().map(|byte| format!("%{byte:02x}")).collect();
            let query = format!("info_hash={escaped}&{ID}&port=1");
            prop_assert_eq!(AnnounceQuery::parse(query.as_bytes()).unwrap().infohash, InfoHash(hash));
        }
    }
}
