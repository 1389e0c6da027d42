//! Writes the seed corpus: `seeds DIR` makes `DIR/<target>/<number>`. Each seed is something valid.

// Length: one short function for each target, and nothing else.

// With coverage flags this program needs their callbacks, which libFuzzer has.
use libfuzzer_sys as _;
use shoal_fuzz::{issued, key};
use shoal_protocol::capability::{Capability, ContentRecord, Hint};
use shoal_protocol::fileset::Genesis;
use shoal_protocol::group::{Accepted, Contact, Record, Statement};
use shoal_protocol::hello::{Hello, Refusal, Welcome};
use shoal_protocol::id::{
    ContentHash, DeviceId, FilesetId, GroupId, InfoHash, LinkId, RecordHash, TakerToken,
};
use shoal_protocol::invite::{Invite, InviteRefusal, InviteSecret, Whereabouts};
use shoal_protocol::magnet::Magnet;
use shoal_protocol::manifest::{Entry, Kind, Manifest, Shape};
use shoal_protocol::metainfo::{InfoBuilder, InfoEntry, Privacy, Torrent};
use shoal_protocol::pairing::{Ephemeral, Guest, Hello as PairHello, Host, Offer};
use shoal_protocol::password::Proof;
use shoal_protocol::path::RelPath;
use shoal_protocol::peerwire::{
    BlockRef, ExtendedHandshake, Handshake, Message, Pex, Reserved, UtMetadata,
};
use shoal_protocol::sync::{self, AuthorId, Knowledge, Removal, Seen, VersionVector};
use shoal_protocol::tracker::udp::{Announce, Request, Response};
use shoal_protocol::tracker::url_data::UrlData;
use shoal_protocol::tracker::{Event, PeerId};
use std::path::Path;

fn main() -> std::io::Result<()> {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("usage: seeds DIR");
        std::process::exit(2);
    };
    for (target, seeds) in all() {
        let dir = Path::new(&dir).join(target);
        std::fs::create_dir_all(&dir)?;
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(dir.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}

fn all() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let extended = extended();
    vec![
        ("bencode", [torrents(), extended.clone()].concat()),
        ("metainfo", torrents()),
        (
            "magnet",
            texts(&[
                &magnet(),
                "magnet:?xt=urn:btih:YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK&dn=a+b&xt.2=urn:btmh:12",
            ]),
        ),
        (
            "link",
            texts(&[
                &magnet(),
                &format!("http://192.0.2.1:7462/s/{}", issued().link_id()),
            ]),
        ),
        ("peerwire", vec![stream(&extended)]),
        ("extended", extended),
        (
            "range",
            ["bytes=0-499", "bytes=-5", "bytes=9-", "bytes=1-2,4-5"]
                .map(ranged)
                .to_vec(),
        ),
        ("path", texts(&["a/b/c.txt\n../../x", "é\n."])),
        ("display", texts(&["plain", "\x1b[1m\u{202e}\u{200b}\n"])),
        ("manifest", manifests()),
        (
            "capability",
            vec![issued().sign(&key()), hinted().sign(&key())],
        ),
        ("record", records()),
        ("hello", hellos()),
        ("tracker_http", tracker_requests()),
        ("tracker_udp", tracker_packets()),
        ("invite", invites()),
        ("pairing", pairings()),
        ("group", groups()),
        ("sync", syncs()),
    ]
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn ranged(header: &str) -> Vec<u8> {
    [&10_000u64.to_be_bytes(), header.as_bytes()].concat()
}

fn torrents() -> Vec<Vec<u8>> {
    let builder = InfoBuilder {
        name: "holiday",
        piece_length_bytes: 16 << 10,
        pieces: &[1; 20],
        salt: [2; 16],
        privacy: Privacy::Public,
    };
    let paths = ["a", "b/link", "b/run"].map(|path| RelPath::new(path).expect("a path"));
    let [a, link, run] = &paths;
    let folder = builder.folder([
        InfoEntry::File {
            path: a,
            size_bytes: 5,
            executable: false,
        },
        InfoEntry::Symlink {
            path: link,
            target: "../a",
        },
        InfoEntry::File {
            path: run,
            size_bytes: 7,
            executable: true,
        },
    ]);
    let single = InfoBuilder {
        privacy: Privacy::Private,
        ..builder
    }
    .single_file(5, true);
    let mut seeds = Vec::new();
    for info in [folder, single].map(|info| info.expect("a torrent")) {
        seeds.push(info.as_bytes().to_vec());
        let torrent = Torrent {
            info,
            trackers: vec![vec!["http://t/announce".into()], vec!["udp://t:1".into()]],
            web_seeds: vec!["http://w/".into()],
            creation_date_secs: Some(1_700_000_000),
            created_by: Some("shoal".into()),
        };
        seeds.push(torrent.encode());
    }
    seeds
}

fn magnet() -> String {
    let magnet = Magnet {
        infohash: InfoHash([0xab; 20]),
        name: Some("höliday & more".into()),
        trackers: vec!["http://192.0.2.1:7462/announce/t".into()],
        web_seeds: vec!["http://192.0.2.1:7462/s/id/w/".into()],
        peers: vec!["192.0.2.1:7462".into(), "[2001:db8::1]:7462".into()],
        shoal: Some(Capability::to_text(&hinted().sign(&key()))),
    };
    magnet.to_string()
}

fn extended() -> Vec<Vec<u8>> {
    let handshake = ExtendedHandshake {
        ut_metadata: Some(3),
        ut_pex: Some(2),
        metadata_size_bytes: Some(31235),
        client: Some("shoal".into()),
        port: Some(6881),
        requests_max: Some(250),
        your_ip: Some([127, 0, 0, 1].into()),
        upload_only: true,
    };
    let pex = Pex {
        added: vec![([1, 2, 3, 4], 5).into()],
        dropped: vec![([0u16; 8], 6).into()],
    };
    vec![
        handshake.encode(),
        UtMetadata::Request { block: 1 }.encode(),
        UtMetadata::Data {
            block: 0,
            total_size_bytes: 3,
            data: b"abc",
        }
        .encode(),
        UtMetadata::Reject { block: 2 }.encode(),
        pex.encode(),
    ]
}

fn stream(extended: &[Vec<u8>]) -> Vec<u8> {
    let block = BlockRef {
        piece: 1,
        begin_bytes: 0x4000,
        len_bytes: 0x4000,
    };
    let handshake = Handshake {
        reserved: Reserved::EXTENDED_AND_FAST,
        infohash: InfoHash([1; 20]),
        peer_id: [2; 20],
    };
    let mut out = handshake.encode().to_vec();
    let mut messages = vec![
        Message::KeepAlive,
        Message::Unchoke,
        Message::Interested,
        Message::Bitfield(&[0xff, 0xf8]),
        Message::Have(7),
        Message::Request(block),
        Message::Piece {
            piece: 1,
            begin_bytes: 0,
            block: b"bytes",
        },
        Message::Cancel(block),
        Message::Port(6881),
        Message::HaveAll,
        Message::RejectRequest(block),
        Message::AllowedFast(1),
    ];
    messages.extend(
        extended
            .iter()
            .map(|payload| Message::Extended { id: 1, payload }),
    );
    messages.iter().for_each(|message| message.encode(&mut out));
    out
}

fn manifests() -> Vec<Vec<u8>> {
    let entry = |path: &str, kind| Entry {
        path: RelPath::new(path).expect("a path"),
        kind,
        mtime_ns: 1_700_000_000_000_000_000,
        mode: 0o644,
    };
    let file = |size| Kind::File {
        size,
        content: ContentHash([5; 32]),
    };
    let entries = vec![
        entry("a", file(3)),
        entry("b", Kind::Folder),
        entry("b/c.txt", file(0)),
        entry(
            "b/d.txt",
            Kind::Symlink {
                target: "../a".into(),
            },
        ),
    ];
    [
        Manifest::new("holiday".into(), Shape::Folder, entries),
        Manifest::new(
            "a".into(),
            Shape::SingleFile,
            vec![entry("a", file(u64::MAX >> 2))],
        ),
        Manifest::new("empty".into(), Shape::Folder, vec![]),
    ]
    .map(|manifest| manifest.expect("a manifest").encode())
    .to_vec()
}

fn hinted() -> Capability {
    let hints = vec![
        Hint::Web("http://192.0.2.1:7462".into()),
        Hint::Iroh(([192, 0, 2, 1], 7462).into()),
    ];
    Capability {
        not_after_s: None,
        hints,
        ..issued()
    }
}

/// Without their signatures: the target signs.
fn records() -> Vec<Vec<u8>> {
    let record = ContentRecord {
        link: issued().link_id(),
        snapshot: ContentHash([1; 32]),
        manifest_bytes: 100,
        infohash: Some(InfoHash([2; 20])),
        name: "holiday".into(),
        files: 3,
        bytes: 1 << 40,
    };
    [
        record.clone(),
        ContentRecord {
            infohash: None,
            ..record
        },
    ]
    .map(|record| {
        let mut signed = record.sign(&key());
        signed.truncate(signed.len() - 64);
        signed
    })
    .to_vec()
}

fn hellos() -> Vec<Vec<u8>> {
    let (capability, record) = (vec![1; 9], vec![2; 9]);
    vec![
        Hello {
            link: LinkId([1; 16]),
            taker: TakerToken([2; 16]),
            proof: None,
        }
        .encode(),
        Hello {
            link: LinkId([1; 16]),
            taker: TakerToken([2; 16]),
            proof: Some(Proof([3; 32])),
        }
        .encode(),
        Welcome::Ready {
            capability: capability.clone(),
            record,
        }
        .encode(),
        Welcome::Counting { capability }.encode(),
        Welcome::Refused(Refusal::Stopped).encode(),
    ]
}

fn tracker_requests() -> Vec<Vec<u8>> {
    let announce = "/announce/abcdefghijklmnop?info_hash=%00%01aaaaaaaaaaaaaaaaaa&peer_id=-qB4520-abcdefghijkl&port=6881\
        &uploaded=0&downloaded=0&left=5&event=started&numwant=50&compact=1&key=ABCD&ip=192.0.2.1&ipv6=2001%3Adb8%3A%3A1";
    let scrape = "/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash=bbbbbbbbbbbbbbbbbbbb";
    let head = format!(
        "GET {announce} HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n"
    );
    texts(&[&head, announce, scrape])
}

fn tracker_packets() -> Vec<Vec<u8>> {
    let announce = Announce {
        infohash: InfoHash([1; 20]),
        peer_id: PeerId([2; 20]),
        downloaded: 0,
        left: 5,
        uploaded: 0,
        event: Event::Started,
        claimed_ip: None,
        key: 7,
        numwant: None,
        port: 6881,
    };
    let (connection, transaction) = (9, 8);
    let url = UrlData(b"/announce/token?x=1".as_slice().into());
    let requests = [
        Request::Connect { transaction },
        Request::Announce {
            connection,
            transaction,
            announce,
            url,
        },
        Request::Scrape {
            connection,
            transaction,
            infohashes: vec![InfoHash([1; 20]); 2],
        },
    ];
    let responses = [
        Response::Connect {
            transaction,
            connection,
        },
        Response::Announce {
            transaction,
            interval_s: 1800,
            leeches: 1,
            seeds: 2,
            peers: &[1; 12],
        },
        Response::Scrape {
            transaction,
            entries: &[1; 24],
        },
        Response::Error {
            transaction,
            message: b"no",
        },
    ];
    let mut packets = Vec::new();
    for request in requests {
        let mut out = Vec::new();
        request.encode(&mut out);
        packets.push(out);
    }
    for response in responses {
        let mut out = Vec::new();
        response.encode(&mut out);
        packets.push(out);
    }
    packets
}

fn invites() -> Vec<Vec<u8>> {
    let inviter = Whereabouts {
        device: issued().issuer,
        addresses: vec![([192, 0, 2, 1], 7462).into()],
        relays: vec![([192, 0, 2, 1], 443).into()],
    };
    let sealed = inviter.seal(&InviteSecret([1; 16]), [2; 12]);
    let invite = Invite {
        secret: InviteSecret([1; 16]),
        inviter: Some(inviter),
    };
    let link = invite.link().expect("it has an inviter");
    [texts(&[&link, &invite.words()]), vec![sealed]].concat()
}

fn pairings() -> Vec<Vec<u8>> {
    let ephemeral = |n| Ephemeral::new([n; 32], [n; 16]);
    let secret = InviteSecret([1; 16]);
    let host = shoal_protocol::id::DeviceId([9; 32]);
    let (_, hello) = Guest::new(secret.clone(), issued().issuer, ephemeral(1));
    let decoded = PairHello::decode(&hello).expect("a hello");
    let (_, offer) = Host::new(secret, host, ephemeral(2), decoded).expect("an offer");
    let introduction = [&[0, 1, b'a', 0][..], &[5; 64]].concat();
    let welcome = vec![2, 1, 3, 1, 2, 3, 1, 1, 7];
    let refusal = Offer::refusal(InviteRefusal::Used);
    vec![
        hello,
        offer,
        refusal,
        introduction,
        welcome,
        vec![1],
        vec![4, 1],
    ]
}

/// Without their signatures: the target signs.
fn groups() -> Vec<Vec<u8>> {
    let device = issued().issuer;
    let record = |parents, statement| {
        let author = device;
        Record {
            author,
            parents,
            statement,
        }
        .sign(&key())
    };
    let name = || "laptop".to_owned();
    let one = Accepted {
        fileset: FilesetId([1; 32]),
        epoch: 2,
        counter: 300,
    };
    let parents = || vec![RecordHash([1; 32]), RecordHash([2; 32])];
    let found = Statement::Found {
        nonce: [1; 16],
        name: name(),
    };
    let accepted = vec![one];
    let contact = Contact {
        device,
        said_ms: 1 << 40,
        addresses: vec![([192, 0, 2, 1], 7462).into()],
        relays: vec![([192, 0, 2, 1], 443).into()],
    };
    let genesis = Genesis {
        owner: GroupId([3; 32]),
        name: "work".into(),
        nonce: [4; 16],
        signer: device,
    };
    let signed = vec![
        record(Vec::new(), found),
        record(
            parents(),
            Statement::Admit {
                device,
                name: name(),
            },
        ),
        record(parents(), Statement::Remove { device, accepted }),
        record(
            parents(),
            Statement::Rename {
                device,
                name: name(),
            },
        ),
        contact.sign(&key()),
        genesis.sign(&key()),
    ];
    let unsigned = signed.into_iter().map(|mut bytes| {
        bytes.truncate(bytes.len() - 64);
        bytes
    });
    unsigned.collect()
}

/// Every kind of message, and a page with every kind of entry.
fn syncs() -> Vec<Vec<u8>> {
    let author = |byte| AuthorId {
        device: DeviceId([byte; 32]),
        epoch: u32::from(byte) - 1,
    };
    let seen = Seen {
        seq: 300,
        incarnation: 7,
    };
    let knowledge = Knowledge::from([(author(1), seen), (author(2), seen)]);
    let entry = |path: &str, kind| sync::Entry {
        path: RelPath::new(path).expect("a path"),
        kind,
        mode: 0o644,
        mtime_ns: 1_700_000_000_000_000_000,
        parent: None,
        moved_from: None,
        version: VersionVector::from_pairs([(author(1), 5), (author(2), 300)]),
        author: author(2),
    };
    let file = sync::Kind::File {
        content: ContentHash([3; 32]),
        size_bytes: 70_000,
    };
    let link = sync::Kind::Symlink {
        target: "../x".to_owned(),
    };
    let moved = sync::Entry {
        parent: Some(ContentHash([4; 32])),
        moved_from: RelPath::new("old/n\u{e4}me").ok(),
        ..entry("new/n\u{e4}me", file.clone())
    };
    let mut entries = vec![
        entry("new", sync::Kind::Folder),
        entry("new/a", file),
        moved,
    ];
    entries.push(entry("new/link", link));
    let gone = [Removal::Deleted, Removal::Moved, Removal::Confirmed];
    entries.extend(gone.map(|why| entry("old/n\u{e4}me", sync::Kind::Tombstone(why))));
    let page = |caught_up| sync::Message::Entries {
        serial: 1,
        hellos: 1,
        entries: entries.clone(),
        caught_up,
    };
    let messages = [
        page(None),
        page(Some(knowledge.clone())),
        sync::Message::Taken { serial: 1 },
        sync::Message::Complete {
            knowledge: knowledge.clone(),
        },
        sync::Message::Hello { knowledge },
    ];
    messages.iter().map(sync::Message::encode).collect()
}
