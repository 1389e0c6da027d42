#![allow(clippy::unwrap_used)]
use std::borrow::Cow;

use super::*;
use proptest::prelude::*;

fn announce() -> Announce {
    Announce {
        infohash: InfoHash([0xaa; 20]),
        peer_id: PeerId(*b"-XX0000-abcdefghijkl"),
        downloaded: 1,
        left: 2,
        uploaded: 3,
        event: Event::Started,
        claimed_ip: None,
        key: 0xdead_beef,
        numwant: None,
        port: 6881,
    }
}

fn request(request: &Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    request.encode(&mut out);
    out
}

#[test]
fn connect_as_bep_15_draws_it() {
    let bytes = request(&Request::Connect {
        transaction: 0x0102_0304,
    });
    assert_eq!(
        bytes,
        *b"\x00\x00\x04\x17\x27\x10\x19\x80\0\0\0\0\x01\x02\x03\x04"
    );
    assert_eq!(bytes.len(), CONNECT_BYTES);
    let mut answer = Vec::new();
    Response::Connect {
        transaction: 0x0102_0304,
        connection: 5,
    }
    .encode(&mut answer);
    assert_eq!(answer, *b"\0\0\0\0\x01\x02\x03\x04\0\0\0\0\0\0\0\x05");
    assert!(answer.len() <= bytes.len());
    let mut foreign = bytes.clone();
    foreign[0] = 1;
    assert_eq!(Request::parse(&foreign), Err(PacketError::Foreign));
    assert_eq!(Request::parse(&bytes[..15]), Err(PacketError::Short));
}

#[test]
fn announce_has_its_fields_where_bep_15_puts_them() {
    let sent = Request::Announce {
        connection: 7,
        transaction: 9,
        announce: announce(),
        url: UrlData::default(),
    };
    let bytes = request(&sent);
    assert_eq!(bytes.len(), ANNOUNCE_BYTES);
    assert_eq!(bytes[8..12], [0, 0, 0, 1]);
    assert_eq!(bytes[16..36], [0xaa; 20]);
    assert_eq!(bytes[36..56], *b"-XX0000-abcdefghijkl");
    assert_eq!(bytes[63], 1, "downloaded");
    assert_eq!(bytes[71], 2, "left");
    assert_eq!(bytes[79], 3, "uploaded");
    assert_eq!(bytes[83], 2, "event");
    assert_eq!(bytes[84..88], [0; 4], "ip");
    assert_eq!(bytes[88..92], [0xde, 0xad, 0xbe, 0xef], "key");
    assert_eq!(bytes[92..96], [0xff; 4], "num_want");
    assert_eq!(bytes[96..98], [0x1a, 0xe1], "port");
    assert_eq!(Request::parse(&bytes), Ok(sent));
    for len in 0..ANNOUNCE_BYTES {
        assert_eq!(Request::parse(&bytes[..len]), Err(PacketError::Short));
    }
}

#[test]
fn announce_carries_url_data_and_bears_padding() {
    let sent = Request::Announce {
        connection: 7,
        transaction: 9,
        announce: announce(),
        url: UrlData(Cow::Borrowed(b"/announce/token")),
    };
    let bytes = request(&sent);
    assert_eq!(Request::parse(&bytes), Ok(sent));
    let padded = [&bytes[..ANNOUNCE_BYTES], b"\x02\xff?"].concat();
    let Ok(Request::Announce { url, .. }) = Request::parse(&padded) else {
        panic!("padding is borne");
    };
    assert_eq!(url, UrlData::default());
}

#[test]
fn scrape_counts_its_infohashes() {
    let scrape = |count: usize| Request::Scrape {
        connection: 1,
        transaction: 2,
        infohashes: vec![InfoHash([1; 20]); count],
    };
    for count in [1, SCRAPE_MAX_INFOHASHES] {
        let bytes = request(&scrape(count));
        assert_eq!(Request::parse(&bytes), Ok(scrape(count)));
    }
    let many = request(&scrape(SCRAPE_MAX_INFOHASHES + 1));
    assert_eq!(Request::parse(&many), Err(PacketError::TooMany));
    assert_eq!(
        Request::parse(&request(&scrape(0))),
        Err(PacketError::Short)
    );
}

#[test]
fn scrape_answers() {
    let counts = SwarmCounts {
        seeds: 1,
        leeches: 2,
        completed: 3,
    };
    let mut entries = Vec::new();
    write_scrape_entry(counts, &mut entries);
    assert_eq!(entries, [0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 2]);
    assert_eq!(scrape_entries(&entries).collect::<Vec<_>>(), [counts]);
}

proptest! {
    #[test]
    fn any_bytes(bytes: Vec<u8>, action in 0u32..5) {
        let _ = Request::parse(&bytes);
        let _ = Response::parse(&bytes);
        let header = [&PROTOCOL_MAGIC.to_be_bytes()[..], &action.to_be_bytes(), &bytes].concat();
        let _ = Request::parse(&header);
        let _ = Response::parse(header.get(8..).unwrap());
    }

    #[test]
    fn announces_go_round(downloaded: u64, left: u64, key: u32, port: u16, ip: u32, numwant in proptest::option::of(0u32..=i32::MAX as u32), url: Vec<u8>) {
        let sent = Request::Announce {
            connection: left,
            transaction: key,
            announce: Announce {
                downloaded, left, key, port, numwant,
                claimed_ip: Some(Ipv4Addr::from(ip)).filter(|ip| !ip.is_unspecified()),
                ..announce()
            },
            url: UrlData(Cow::Owned(url)),
        };
        let bytes = request(&sent);
        prop_assert_eq!(Request::parse(&bytes), Ok(sent));
    }

    #[test]
    fn responses_go_round(transaction: u32, seeds: u32, connection: u64, body: Vec<u8>) {
        for response in [
            Response::Connect { transaction, connection },
            Response::Announce { transaction, interval_s: 1, leeches: 2, seeds, peers: &body },
            Response::Scrape { transaction, entries: &body },
            Response::Error { transaction, message: &body },
        ] {
            let mut bytes = Vec::new();
            response.encode(&mut bytes);
            prop_assert_eq!(Response::parse(&bytes), Ok(response));
        }
    }
}
