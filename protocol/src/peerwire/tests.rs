#![allow(clippy::unwrap_used)]

use super::*;
use crate::id::InfoHash;
use proptest::prelude::*;
use std::net::{Ipv6Addr, SocketAddr};

fn encoded(message: Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out);
    out
}

const BLOCK: BlockRef = BlockRef {
    piece: 1,
    begin_bytes: 0x4000,
    len_bytes: 0x4000,
};

#[test]
fn a_handshake_has_these_bytes() {
    let handshake = Handshake {
        reserved: Reserved::EXTENDED_AND_FAST,
        infohash: InfoHash([b'h'; 20]),
        peer_id: [b'p'; 20],
    };
    let bytes = handshake.encode();
    let expected =
        b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04hhhhhhhhhhhhhhhhhhhhpppppppppppppppppppp";
    assert_eq!(&bytes, expected);
    assert_eq!(Handshake::parse(&bytes), Ok(handshake));
    assert_eq!(
        Handshake::infohash_of(bytes.first_chunk().unwrap()),
        Ok(handshake.infohash)
    );
    assert!(
        handshake.reserved.has_extended()
            && handshake.reserved.has_fast()
            && !handshake.reserved.has_dht()
    );
    assert!(!Reserved::default().has_extended());
    let mut broken = bytes;
    broken[3] = b'X';
    assert_eq!(Handshake::parse(&broken), Err(PeerWireError::NoHandshake));
}

#[test]
fn messages_have_these_bytes() {
    for (message, bytes) in [
        (Message::KeepAlive, &b"\0\0\0\0"[..]),
        (Message::Choke, b"\0\0\0\x01\0"),
        (Message::Unchoke, b"\0\0\0\x01\x01"),
        (Message::Interested, b"\0\0\0\x01\x02"),
        (Message::NotInterested, b"\0\0\0\x01\x03"),
        (Message::Have(258), b"\0\0\0\x05\x04\0\0\x01\x02"),
        (Message::Bitfield(&[0x80]), b"\0\0\0\x02\x05\x80"),
        (
            Message::Request(BLOCK),
            b"\0\0\0\x0d\x06\0\0\0\x01\0\0\x40\0\0\0\x40\0",
        ),
        (
            Message::Piece {
                piece: 1,
                begin_bytes: 2,
                block: b"ab",
            },
            b"\0\0\0\x0b\x07\0\0\0\x01\0\0\0\x02ab",
        ),
        (
            Message::Cancel(BLOCK),
            b"\0\0\0\x0d\x08\0\0\0\x01\0\0\x40\0\0\0\x40\0",
        ),
        (Message::Port(6881), b"\0\0\0\x03\x09\x1a\xe1"),
        (Message::SuggestPiece(1), b"\0\0\0\x05\x0d\0\0\0\x01"),
        (Message::HaveAll, b"\0\0\0\x01\x0e"),
        (Message::HaveNone, b"\0\0\0\x01\x0f"),
        (
            Message::RejectRequest(BLOCK),
            b"\0\0\0\x0d\x10\0\0\0\x01\0\0\x40\0\0\0\x40\0",
        ),
        (Message::AllowedFast(1), b"\0\0\0\x05\x11\0\0\0\x01"),
        (
            Message::Extended {
                id: 3,
                payload: b"de",
            },
            b"\0\0\0\x04\x14\x03de",
        ),
    ] {
        assert_eq!(encoded(message), bytes);
        let (prefix, frame) = bytes.split_first_chunk().unwrap();
        assert_eq!(frame_len(*prefix), Ok(frame.len()));
        assert_eq!(Message::parse(frame), Ok(message));
    }
}

#[test]
fn a_piece_header_begins_a_piece_message() {
    let block = BlockRef {
        piece: 7,
        begin_bytes: 9,
        len_bytes: 3,
    };
    let message = encoded(Message::Piece {
        piece: 7,
        begin_bytes: 9,
        block: b"abc",
    });
    assert_eq!([&encode_piece_header(block)[..], b"abc"].concat(), message);
}

#[test]
fn payloads_that_do_not_fit_are_refused() {
    for frame in [
        &b"\x00x"[..],
        b"\x04abc",
        b"\x06abcdefghijk",
        b"\x06abcdefghijklm",
        b"\x07abcdefg",
        b"\x09a",
        b"\x0ex",
        b"\x14",
    ] {
        let error = PeerWireError::Payload {
            id: frame[0],
            len_bytes: frame.len() - 1,
        };
        assert_eq!(Message::parse(frame), Err(error));
    }
    assert_eq!(
        Message::parse(b"\x15abc"),
        Ok(Message::Unknown {
            id: 21,
            len_bytes: 3
        })
    );
    assert_eq!(
        encoded(Message::Unknown {
            id: 21,
            len_bytes: 3
        }),
        b""
    );
    assert_eq!(
        frame_len([0xff; 4]),
        Err(PeerWireError::TooLong {
            len_bytes: u32::MAX
        })
    );
}

#[test]
fn requests_stay_inside_their_piece() {
    let at = |piece, begin_bytes, len_bytes| {
        BlockRef {
            piece,
            begin_bytes,
            len_bytes,
        }
        .range_in(100, 250)
        .ok()
    };
    assert_eq!(at(0, 0, 100), Some(0..100));
    assert_eq!(at(2, 10, 40), Some(210..250));
    for (piece, begin, len) in [
        (0, 0, 101),
        (0, 50, 51),
        (0, 0, 0),
        (0, 100, 1),
        (2, 0, 51),
        (3, 0, 1),
        (u32::MAX, u32::MAX, u32::MAX),
    ] {
        assert_eq!(at(piece, begin, len), None, "{piece} {begin} {len}");
    }
    let long = BlockRef {
        piece: 0,
        begin_bytes: 0,
        len_bytes: PEER_REQUEST_MAX_BYTES + 1,
    };
    assert!(long.range_in(u32::MAX, u64::MAX).is_err());
    assert!(
        BlockRef {
            piece: u32::MAX,
            begin_bytes: 0,
            len_bytes: 1
        }
        .range_in(u32::MAX, u64::MAX)
        .is_ok()
    );
}

#[test]
fn the_extended_handshake_of_bep_10_is_read() {
    // The example of BEP 10, its strings counted in bytes of UTF-8, with ut_metadata of BEP 9.
    let payload = b"d1:md11:LT_metadatai1e7:\xc2\xb5T_PEXi2e11:ut_metadatai3ee13:metadata_sizei31235e1:pi6881e\
        4:reqqi250e1:v17:\xc2\xb5Torrent 1.2.3.46:yourip4:\x7f\0\0\x01e";
    let handshake = ExtendedHandshake::parse(payload).unwrap();
    let expected = ExtendedHandshake {
        ut_metadata: Some(3),
        metadata_size_bytes: Some(31235),
        client: Some("µTorrent 1.2.3.4".into()),
        port: Some(6881),
        requests_max: Some(250),
        your_ip: Some("127.0.0.1".parse().unwrap()),
        ..Default::default()
    };
    assert_eq!(handshake, expected);
}

#[test]
fn a_malformed_extended_handshake_loses_fields_only() {
    let payload = b"d1:md11:ut_metadatai0e6:ut_pexi256ee13:metadata_sizei-1e1:pi0e4:reqqi-1e1:v1:\xff6:yourip3:abcepadding";
    let expected = ExtendedHandshake {
        client: Some("\u{fffd}".into()),
        ..Default::default()
    };
    assert_eq!(ExtendedHandshake::parse(payload), Ok(expected));
    assert!(ExtendedHandshake::parse(b"le").is_err());
    assert!(ExtendedHandshake::parse(b"").is_err());
}

#[test]
fn the_metadata_messages_of_bep_9() {
    for (message, bytes) in [
        (
            UtMetadata::Request { block: 0 },
            &b"d8:msg_typei0e5:piecei0ee"[..],
        ),
        (
            UtMetadata::Data {
                block: 0,
                total_size_bytes: 34256,
                data: b"xxxxxxxx",
            },
            b"d8:msg_typei1e5:piecei0e10:total_sizei34256eexxxxxxxx",
        ),
        (
            UtMetadata::Reject { block: 0 },
            b"d8:msg_typei2e5:piecei0ee",
        ),
    ] {
        assert_eq!(message.encode(), bytes);
        assert_eq!(UtMetadata::parse(bytes), Ok(message));
    }
    assert_eq!(
        UtMetadata::parse(b"d8:msg_typei9ee"),
        Ok(UtMetadata::Unknown)
    );
    assert_eq!(
        UtMetadata::parse(b"d8:msg_typei0ee"),
        Err(PeerWireError::Key { key: "piece" })
    );
    assert_eq!(
        UtMetadata::parse(b"d8:msg_typei0e5:piecei-1ee"),
        Err(PeerWireError::Key { key: "piece" })
    );
    assert_eq!(
        UtMetadata::parse(b"d8:msg_typei1e5:piecei0ee"),
        Err(PeerWireError::Key { key: "total_size" })
    );
    assert_eq!(
        UtMetadata::parse(b"de"),
        Err(PeerWireError::Key { key: "msg_type" })
    );
    assert!(UtMetadata::parse(b"x").is_err());
}

#[test]
fn metadata_is_cut_into_blocks() {
    let info = vec![5; METADATA_BLOCK_BYTES + 1];
    assert_eq!(
        metadata_block(&info, 0).unwrap().len(),
        METADATA_BLOCK_BYTES
    );
    assert_eq!(metadata_block(&info, 1).unwrap().len(), 1);
    assert_eq!(metadata_block(&info, 2), None);
    assert_eq!(metadata_block(&info[..METADATA_BLOCK_BYTES], 1), None);
    assert_eq!(metadata_block(&info, u32::MAX), None);
}

#[test]
fn peer_exchange_of_bep_11() {
    let pex = Pex {
        added: vec![
            "1.2.3.4:5".parse().unwrap(),
            "[2001:db8::1]:6".parse().unwrap(),
        ],
        dropped: vec!["9.9.9.9:9".parse().unwrap()],
    };
    let bytes = pex.encode();
    assert!(bytes.starts_with(b"d5:added6:\x01\x02\x03\x04\0\x057:added.f1:\0"));
    assert_eq!(Pex::parse(&bytes), Ok(pex));
    assert_eq!(
        Pex::parse(b"d5:added13:\x01\x02\x03\x04\0\0\x01\x02\x03\x04\0\x01xe")
            .unwrap()
            .added
            .len(),
        1
    );
    let many = Pex {
        added: (1..200)
            .map(|port| SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port))
            .collect(),
        ..Pex::default()
    };
    assert_eq!(
        Pex::parse(&many.encode()).unwrap().added.len(),
        PEX_MAX_PEERS
    );
}

#[test]
fn piece_sets_are_bitfields() {
    assert_eq!(PieceSet::full(10).as_bitfield(), [0xff, 0xc0]);
    assert_eq!(PieceSet::full(8).as_bitfield(), [0xff]);
    assert!(PieceSet::full(0).is_full() && PieceSet::empty(0).is_full());
    for (bits, pieces) in [
        (&[0xff, 0xe0][..], 10),
        (&[0xff], 10),
        (&[0xff, 0, 0], 10),
        (&[0], 0),
    ] {
        assert_eq!(
            PieceSet::from_bitfield(bits, pieces),
            Err(PeerWireError::Bitfield)
        );
    }
    let mut set = PieceSet::from_bitfield(&[0x80, 0x40], 10).unwrap();
    assert!(
        set.contains(0)
            && set.contains(9)
            && !set.contains(1)
            && !set.contains(10)
            && !set.contains(u32::MAX)
    );
    assert_eq!(set.insert(10), Err(PeerWireError::Have { piece: 10 }));
    (0..10)
        .chain(0..10)
        .for_each(|piece| set.insert(piece).unwrap());
    assert_eq!(
        (set.count(), set.is_full(), &set),
        (10, true, &PieceSet::full(10))
    );
}

proptest! {
    #[test]
    fn whatever_parses_goes_round(frame: Vec<u8>) {
        if let Ok(message) = Message::parse(&frame)
            && !matches!(message, Message::Unknown { .. })
        {
            prop_assert_eq!(&encoded(message)[4..], &frame[..]);
        }
    }

    #[test]
    fn extended_handshakes_go_round(
        ids: (Option<u8>, Option<u8>), size in prop::option::of(1u32..1 << 29), port in prop::option::of(1u16..),
        requests_max: Option<u32>, your_ip: Option<std::net::IpAddr>, client in prop::option::of(".{0,20}"), upload_only: bool,
    ) {
        let handshake = ExtendedHandshake {
            ut_metadata: ids.0.filter(|id| *id > 0), ut_pex: ids.1.filter(|id| *id > 0), metadata_size_bytes: size,
            client, port, requests_max, your_ip, upload_only,
        };
        prop_assert_eq!(ExtendedHandshake::parse(&handshake.encode()), Ok(handshake));
    }

    #[test]
    fn any_payload_is_read_or_refused(payload in prop_oneof![
        any::<Vec<u8>>(),
        "d(1:md11:ut_metadatai[0-9]{1,3}ee|8:msg_typei[0-3]e|5:piecei[0-9]{1,4}e|5:added6:abcdef){0,4}e".prop_map(Vec::from),
    ]) {
        let _ = ExtendedHandshake::parse(&payload);
        let _ = UtMetadata::parse(&payload);
        let _ = Pex::parse(&payload);
    }
}
