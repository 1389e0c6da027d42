//! What each target checks: a parser of foreign bytes never panics, and what it accepts has the
//! properties that it promises. One function for each target; `scripts/fuzz` runs them all.
//!
//! A new parser needs a function here, three lines in `fuzz_targets/`, a `[[bin]]` in Cargo.toml, and seeds.

use ed25519_dalek::{Signer, SigningKey};
use shoal_protocol::bencode::{Encoder, Value};
use shoal_protocol::capability::{Capability, ContentRecord, Password, Rights};
use shoal_protocol::fileset::Genesis;
use shoal_protocol::group::{Contact, Group, News, Record};
use shoal_protocol::hello::{Hello, Welcome};
use shoal_protocol::id::DeviceId;
use shoal_protocol::invite::{Invite, InviteSecret, Whereabouts};
use shoal_protocol::link::Link;
use shoal_protocol::magnet::Magnet;
use shoal_protocol::manifest::Manifest;
use shoal_protocol::metainfo::{FileKind, Info, Torrent, relative_target};
use shoal_protocol::pairing;
use shoal_protocol::path::{RelPath, symlink_stays_inside};
use shoal_protocol::peerwire::{
    BlockRef, ExtendedHandshake, Handshake, Message, Pex, PieceSet, UtMetadata, frame_len,
};
use shoal_protocol::range::{Selected, select};
use shoal_protocol::sync::Message as SyncMessage;
use shoal_protocol::tracker::{
    AnnounceQuery, Head, ScrapeQuery, Target, compact, udp, url_data::UrlData,
};
use shoal_protocol::{display, path};

/// What a content record's signature is over, before its bytes.
const RECORD_DOMAIN: &[u8] = b"shoal content record v1\0";

/// Bencode: strict is a part of lenient, and every value can be walked and copied.
pub fn bencode(data: &[u8]) {
    let Ok((value, rest)) = Value::parse_prefix(data) else {
        assert!(Value::parse_canonical(data).is_err());
        return;
    };
    walk(value);
    let used = &data[..data.len() - rest.len()];
    assert_eq!(Encoder::encode(|e| e.raw(value)), used);
    if let Ok(strict) = Value::parse_canonical(data) {
        assert_eq!((strict, rest), (value, &[][..]));
    }
}

fn walk(value: Value<'_>) -> usize {
    match value {
        Value::Int(_) | Value::Bytes(_) => 1,
        Value::List(list) => list.iter().map(walk).sum(),
        Value::Dict(dict) => {
            assert!(dict.iter().all(|(key, _)| dict.get(key).is_some()));
            dict.iter().map(|(_, value)| walk(value)).sum()
        }
    }
}

/// Metainfo: an accepted torrent is safe to write and agrees with itself.
pub fn metainfo(data: &[u8]) {
    if let Ok(torrent) = Torrent::parse(data) {
        assert_eq!(Torrent::parse(&torrent.encode()).as_ref(), Ok(&torrent));
        if let Ok(info) = torrent.info.decode() {
            check_info(&info);
        }
    }
    if let Ok(info) = Info::parse(data) {
        check_info(&info);
    }
}

fn check_info(info: &Info) {
    path::check_name(&info.name).expect("a name is one component");
    let mut offset = 0u64;
    for file in &info.files {
        assert_eq!(file.offset_bytes, offset);
        offset += file.length_bytes;
        assert_eq!(RelPath::new(file.path.as_str()).as_ref(), Ok(&file.path));
        if let FileKind::Symlink(target) = &file.kind {
            let text = relative_target(&file.path, target.as_ref());
            assert!(
                text.len() > path_limit() || symlink_stays_inside(&file.path, &text),
                "{text}"
            );
        }
    }
    assert_eq!(info.total_bytes, offset);
    let pieces = (0..info.piece_count()).map(|piece| u64::from(info.piece_size(piece)));
    assert_eq!(pieces.sum::<u64>(), offset);
    let half = offset / 2;
    assert_eq!(
        info.slices(half, u64::MAX)
            .map(|s| s.len_bytes)
            .sum::<u64>(),
        offset - half
    );
}

fn path_limit() -> usize {
    shoal_protocol::limits::PATH_MAX_BYTES
}

/// Magnets: what is read is written and read again as the same.
pub fn magnet(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(magnet) = Magnet::parse(text) {
        let written = magnet.to_string();
        assert!(!written.contains(|c: char| c.is_control() || c == ' '));
        match Magnet::parse(&written) {
            Ok(again) => assert_eq!(again, magnet),
            Err(error) => assert_eq!(error, shoal_protocol::magnet::MagnetError::Long),
        }
    }
}

/// Links in either form.
pub fn link(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Link::parse(text) {
        Ok(Link::Web(web)) => {
            let url = web.url();
            assert!(
                matches!(Link::parse(&url), Ok(Link::Web(again)) if again == web),
                "{url}"
            );
        }
        Ok(Link::Magnet(magnet)) => {
            if let Some(signed) = magnet.capability {
                let text = Capability::to_text(&signed.bytes);
                assert_eq!(Capability::from_text(&text), Ok(signed.bytes));
            }
        }
        Err(_) => {}
    }
}

/// Peer messages: a stream of frames, as a seeder reads it.
pub fn peerwire(data: &[u8]) {
    let mut left = data;
    if let Some((bytes, rest)) = data.split_first_chunk()
        && let Ok(handshake) = Handshake::parse(bytes)
    {
        assert_eq!(&handshake.encode(), bytes);
        left = rest;
    }
    while let Some((prefix, rest)) = left.split_first_chunk() {
        let Ok(len) = frame_len(*prefix) else { return };
        let Some((frame, rest)) = rest.split_at_checked(len) else {
            return;
        };
        left = rest;
        let Ok(message) = Message::parse(frame) else {
            return;
        };
        let mut out = Vec::new();
        message.encode(&mut out);
        match message {
            Message::Unknown { .. } => assert!(out.is_empty()),
            _ => assert_eq!(out, [&prefix[..], frame].concat()),
        }
        check_message(message);
    }
}

fn check_message(message: Message<'_>) {
    match message {
        Message::Request(block) | Message::Cancel(block) | Message::RejectRequest(block) => {
            for (piece_length, total) in [(16 << 10, 1 << 20), (u32::MAX, u64::MAX), (1, 0)] {
                check_block(block, piece_length, total);
            }
        }
        Message::Bitfield(bits) => {
            for pieces in [bits.len() * 8, (bits.len() * 8).saturating_sub(3), 0] {
                if let Ok(set) = PieceSet::from_bitfield(bits, pieces) {
                    assert_eq!(set.as_bitfield(), bits);
                    assert_eq!(
                        (0..pieces as u32)
                            .filter(|piece| set.contains(*piece))
                            .count(),
                        set.count()
                    );
                }
            }
        }
        Message::Have(piece) => {
            let _ = PieceSet::empty(100).insert(piece);
        }
        Message::Extended { payload, .. } => extended(payload),
        _ => {}
    }
}

fn check_block(block: BlockRef, piece_length_bytes: u32, total_bytes: u64) {
    if let Ok(range) = block.range_in(piece_length_bytes, total_bytes) {
        assert!(range.start < range.end && range.end <= total_bytes);
        assert_eq!(range.end - range.start, u64::from(block.len_bytes));
    }
}

/// Payloads of extended messages.
pub fn extended(data: &[u8]) {
    if let Ok(handshake) = ExtendedHandshake::parse(data) {
        // A name that was not UTF-8 grows when it is mended, and is cut again.
        let again =
            ExtendedHandshake::parse(&handshake.encode()).expect("what is written can be read");
        assert_eq!(
            ExtendedHandshake {
                client: None,
                ..again
            },
            ExtendedHandshake {
                client: None,
                ..handshake
            }
        );
    }
    if let Ok(message) = UtMetadata::parse(data)
        && message != UtMetadata::Unknown
    {
        assert_eq!(UtMetadata::parse(&message.encode()), Ok(message));
    }
    if let Ok(pex) = Pex::parse(data) {
        assert_eq!(Pex::parse(&pex.encode()), Ok(pex));
    }
}

/// `Range` headers: the first eight bytes are the size.
pub fn range(data: &[u8]) {
    let Some((size, header)) = data.split_first_chunk() else {
        return;
    };
    let Ok(header) = std::str::from_utf8(header) else {
        return;
    };
    let size = u64::from_be_bytes(*size);
    if let Selected::Part(part) = select(Some(header), size) {
        assert!(part.start < part.end && part.end <= size);
    }
}

/// Paths: an accepted one stays below.
pub fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (first, target) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(path) = RelPath::new(first) {
        assert!(
            !first.starts_with('/')
                && path
                    .components()
                    .all(|part| !matches!(part, "" | "." | ".."))
        );
        if symlink_stays_inside(&path, target) {
            assert!(shoal_protocol::metainfo::symlink_from_root(&path, target).is_some());
        }
    }
}

/// Names on a terminal.
pub fn display(data: &[u8]) {
    let shown = display::escape_os(data);
    assert!(
        !shown.contains(|c: char| c.is_control()
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    );
    assert_eq!(display::escape(&shown), shown);
}

/// Manifests: one value has one encoding.
pub fn manifest(data: &[u8]) {
    if let Ok(manifest) = Manifest::decode(data) {
        assert_eq!(manifest.encode(), data);
        for entry in manifest.entries() {
            assert_eq!(RelPath::new(entry.path.as_str()).as_ref(), Ok(&entry.path));
        }
    }
}

/// Capabilities, with whatever signature they have and with one that is right.
pub fn capability(data: &[u8]) {
    let _ = Capability::verify(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Capability::from_text(text);
    }
}

/// Content records behind a signature that is right.
pub fn record(data: &[u8]) {
    let key = key();
    let message = [RECORD_DOMAIN, data].concat();
    let signed = [data, &key.sign(&message).to_bytes()].concat();
    if let Ok(record) = ContentRecord::verify(&signed, &issued()) {
        assert_eq!(record.sign(&key), signed);
    }
}

/// The greeting of iroh streams and its answer: one value has one encoding.
pub fn hello(data: &[u8]) {
    if let Ok(hello) = Hello::decode(data) {
        assert_eq!(hello.encode(), data);
    }
    if let Ok(welcome) = Welcome::decode(data) {
        assert_eq!(welcome.encode(), data);
    }
}

/// An HTTP request to a tracker: head, target and query, and each of them alone.
pub fn tracker_http(data: &[u8]) {
    if let Ok(head) = Head::parse(data) {
        assert!(head.len_bytes <= data.len());
        check_target(head.target);
    }
    check_target(data);
    check_query(data);
}

fn check_target(target: &[u8]) {
    if let Ok(Target::Announce { token, query } | Target::Scrape { token, query }) =
        Target::parse(target)
    {
        assert!(
            token.is_none_or(|token| shoal_protocol::tracker::target::is_token(token.as_bytes()))
        );
        check_query(query);
    }
}

fn check_query(query: &[u8]) {
    let _ = AnnounceQuery::parse(query);
    let _ = ScrapeQuery::parse(query);
}

/// Packets to and from a UDP tracker: what is read is written and read again as the same.
pub fn tracker_udp(data: &[u8]) {
    if let Ok(request) = udp::Request::parse(data) {
        let mut out = Vec::new();
        request.encode(&mut out);
        assert_eq!(udp::Request::parse(&out), Ok(request));
    }
    if let Ok(response) = udp::Response::parse(data) {
        let mut out = Vec::new();
        response.encode(&mut out);
        assert_eq!(out, data[..out.len()]);
        assert_eq!(udp::Response::parse(&out), Ok(response));
    }
    if let Ok(url) = UrlData::parse(data) {
        let mut out = Vec::new();
        url.encode(&mut out);
        assert_eq!(UrlData::parse(&out), Ok(url));
    }
    assert_eq!(udp::scrape_entries(data).count(), data.len() / 12);
    let _ = (compact::parse_v4(data), compact::parse_v6(data));
}

/// Invites as people type them: what is read is written and read again as the same.
pub fn invite(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(invite) = Invite::parse(text)
    {
        let words = Invite::parse(&invite.words()).expect("own words are read");
        assert_eq!(words.secret, invite.secret);
        if let Some(link) = invite.link() {
            assert_eq!(Invite::parse(&link), Ok(invite));
        }
    }
    let _ = Whereabouts::open(&InviteSecret([1; 16]), data);
}

/// Messages of two devices that pair.
pub fn pairing(data: &[u8]) {
    let _ = pairing::Hello::decode(data);
    let _ = pairing::Message::decode(data);
    let ephemeral = pairing::Ephemeral::new([2; 32], [3; 16]);
    let (guest, _) = pairing::Guest::new(InviteSecret([1; 16]), issued().issuer, ephemeral);
    let _ = guest.offered(data).map(drop);
}

/// Records, contacts and genesis records, signed as they come; a log takes a record whatever it says, or refuses it.
pub fn group(data: &[u8]) {
    let _ = (
        Record::verify(data),
        Contact::verify(data),
        Genesis::verify(data),
    );
    if let Ok(news) = News::decode(data) {
        assert_eq!(news.encode(), data);
    }
    let sign = |domain: &[u8]| {
        let signature = key().sign(&[domain, data].concat());
        [data, &signature.to_bytes()].concat()
    };
    let record = sign(b"shoal group record v1\0");
    let mut group = Group::found(&key(), "first", [0; 16]).expect("a group");
    let merged = group.merge(std::slice::from_ref(&record));
    assert!(merged.added.len() + merged.refused.len() <= 1);
    if let Ok(group) = Group::read(&[record]) {
        assert_eq!(group.members().len(), 1);
    }
    if let Ok(contact) = Contact::verify(&sign(b"shoal contact v1\0")) {
        assert_eq!(Contact::verify(&contact.clone().sign(&key())), Ok(contact));
    }
    if let Ok(genesis) = Genesis::verify(&sign(b"shoal fileset genesis v1\0")) {
        assert_eq!(Genesis::verify(&genesis.clone().sign(&key())), Ok(genesis));
    }
}

/// What replicas of a fileset say to each other: one value has one encoding, and a page brings no more than it may.
pub fn sync(data: &[u8]) {
    let Ok(message) = SyncMessage::decode(data) else {
        return;
    };
    assert_eq!(message.encode(), data);
    if let SyncMessage::Entries { entries, .. } = message {
        assert!(entries.len() <= shoal_protocol::limits::SYNC_PAGE_MAX_ENTRIES);
        for entry in entries {
            assert!(entry.mode <= 0o777);
            assert_eq!(RelPath::new(entry.path.as_str()), Ok(entry.path.clone()));
            assert!(entry.version.contains(entry.dot()) && entry.dot().seq > 0);
        }
    }
}

/// The key of seeds and of the record target.
pub fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// The capability that goes with [`key`].
pub fn issued() -> Capability {
    Capability {
        issuer: DeviceId(key().verifying_key().to_bytes()),
        nonce: [9; 16],
        rights: Rights::Read,
        not_after_s: Some(2_000_000_000),
        password: Password::None,
        hints: vec![],
    }
}
