#![allow(clippy::unwrap_used)]
use std::sync::Mutex as StdMutex;

use super::*;
use shoal_protocol::bencode::Value;
use shoal_protocol::tracker::udp::{self, Request, Response};
use shoal_protocol::tracker::url_data::UrlData;

const KNOWN: InfoHash = InfoHash(*b"kkkkkkkkkkkkkkkkkkkk");
/// Its infohash is as secret as its token.
const UNGUESSED: InfoHash = InfoHash(*b"uuuuuuuuuuuuuuuuuuuu");
const GONE: InfoHash = InfoHash(*b"gggggggggggggggggggg");

/// One torrent that is known with a token, one that is gone.
struct Links {
    seeder: Vec<SocketAddr>,
}

impl Torrents for Links {
    fn check(&self, infohash: &InfoHash, proof: Proof<'_>) -> Verdict {
        match (*infohash, proof) {
            (KNOWN | UNGUESSED, Proof::Token("tok")) | (UNGUESSED, Proof::Untold) => Verdict::Known,
            (GONE, Proof::Token("tok")) => Verdict::Gone {
                reason: "this link was stopped on 1 May".into(),
            },
            _ => Verdict::Unknown,
        }
    }

    fn always_peers(&self, _infohash: &InfoHash) -> Vec<SocketAddr> {
        self.seeder.clone()
    }
}

/// Writes down what it hears and refuses who calls itself "refuse-me".
#[derive(Default)]
struct Ear(StdMutex<Vec<AnnounceEvent>>);

impl Listener for Ear {
    fn on_announce(&self, event: &AnnounceEvent) -> Admission {
        self.0.lock().unwrap().push(*event);
        if event.peer_id.0.starts_with(b"refuse-me") {
            Admission::Refused {
                reason: "this link was taken 3 times, which is its maximum".into(),
            }
        } else {
            Admission::Admitted
        }
    }
}

fn tracker(config: Config, seeder: &[&str]) -> (Tracker, Arc<Ear>) {
    let ear = Arc::new(Ear::default());
    let links = Links {
        seeder: seeder.iter().map(|addr| addr.parse().unwrap()).collect(),
    };
    let tracker = Tracker::with_secret(config, Arc::new(links), ear.clone(), [7; 32]);
    (tracker, ear)
}

fn http(tracker: &Tracker, target: &str, client: &str) -> (Status, Vec<u8>) {
    let mut scratch = Scratch::default();
    let status = tracker.answer_http(target.as_bytes(), client.parse().unwrap(), &mut scratch);
    (status, scratch.body)
}

fn announce(tracker: &Tracker, client: &str, more: &str) -> Vec<u8> {
    let target = format!(
        "/announce/tok?info_hash=kkkkkkkkkkkkkkkkkkkk&peer_id=-XX0000-abcdefghijkl&port=6881{more}"
    );
    let (status, body) = http(tracker, &target, client);
    assert_eq!(status, Status::Ok);
    Value::parse_canonical(&body).unwrap();
    body
}

fn field<'a>(body: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    Value::parse(body)
        .unwrap()
        .as_dict()
        .unwrap()
        .get(key)?
        .as_bytes()
}

fn count(body: &[u8], key: &[u8]) -> Option<i64> {
    Value::parse(body)
        .unwrap()
        .as_dict()
        .unwrap()
        .get(key)?
        .as_int()
}

fn failure(body: &[u8]) -> String {
    String::from_utf8(field(body, b"failure reason").unwrap().to_vec()).unwrap()
}

#[test]
fn an_announce_over_http() {
    let (tracker, ear) = tracker(Config::default(), &[]);
    announce(&tracker, "192.0.2.1", "&left=0&uploaded=5");
    let body = announce(&tracker, "::ffff:192.0.2.2", "&left=10&event=started");
    assert_eq!(
        field(&body, b"peers"),
        Some(&[192, 0, 2, 1, 0x1a, 0xe1][..])
    );
    assert_eq!(field(&body, b"external ip"), Some(&[192, 0, 2, 2][..]));
    assert_eq!(
        (count(&body, b"complete"), count(&body, b"incomplete")),
        (Some(1), Some(1))
    );
    let interval_s = count(&body, b"interval").unwrap();
    assert!((1800..1800 + 225).contains(&interval_s), "{interval_s}");
    let heard = ear.0.lock().unwrap();
    assert_eq!(heard[0].uploaded, 5);
    assert_eq!(heard[1].addr, "192.0.2.2:6881".parse().unwrap());
    assert_eq!((heard[1].event, heard[1].left), (Event::Started, Some(10)));
}

#[test]
fn refusals_say_why_and_whether_to_come_back() {
    let (tracker, _) = tracker(Config::default(), &[]);
    let id = "peer_id=-XX0000-abcdefghijkl&port=1";
    let (_, gone) = http(
        &tracker,
        &format!("/announce/tok?info_hash=gggggggggggggggggggg&{id}"),
        "::1",
    );
    assert_eq!(failure(&gone), "this link was stopped on 1 May");
    assert_eq!(field(&gone, b"retry in"), Some(&b"never"[..]));
    for path in ["/announce", "/announce/other"] {
        let (_, unknown) = http(
            &tracker,
            &format!("{path}?info_hash=kkkkkkkkkkkkkkkkkkkk&{id}"),
            "::1",
        );
        assert!(failure(&unknown).contains("does not know"));
        assert_eq!(count(&unknown, b"retry in"), Some(60));
    }
    let (status, malformed) = http(&tracker, "/announce/tok", "::1");
    assert_eq!(
        (status, failure(&malformed).as_str()),
        (Status::Ok, "the parameter info_hash is missing")
    );
    assert_eq!(http(&tracker, "/", "::1").0, Status::NotFound);
    assert_eq!(http(&tracker, "/announce/a/b", "::1").0, Status::BadRequest);
    assert_eq!(tracker.peers(), 0);
}

#[test]
fn the_listener_lets_in_and_out() {
    let (tracker, ear) = tracker(Config::default(), &[]);
    announce(&tracker, "192.0.2.1", "&left=1");
    let body = announce(
        &tracker,
        "192.0.2.1",
        "&left=1&peer_id=refuse-me-abcdefghij",
    );
    assert!(failure(&body).contains("maximum"));
    assert_eq!(tracker.peers(), 0, "who is refused has no place");
    let body = announce(
        &tracker,
        "192.0.2.1",
        "&event=stopped&peer_id=refuse-me-abcdefghij",
    );
    assert_eq!(field(&body, b"failure reason"), None);
    assert_eq!(ear.0.lock().unwrap().len(), 3);
}

#[test]
fn the_owners_seeder_is_named_in_the_askers_family() {
    let (tracker, _) = tracker(Config::default(), &["192.0.2.9:7462", "[2001:db8::9]:7462"]);
    let body = announce(&tracker, "192.0.2.1", "");
    assert_eq!(
        field(&body, b"peers"),
        Some(&[192, 0, 2, 9, 0x1d, 0x26][..])
    );
    assert_eq!(count(&body, b"complete"), Some(1));
    let body = announce(&tracker, "2001:db8::1", "");
    assert_eq!(field(&body, b"peers"), Some(&[][..]));
    assert_eq!(field(&body, b"peers6").unwrap().len(), 18);
    let (_, scrape) = http(
        &tracker,
        "/scrape/tok?info_hash=kkkkkkkkkkkkkkkkkkkk",
        "::1",
    );
    assert!(
        String::from_utf8_lossy(&scrape).contains("8:completei1e10:downloadedi0e10:incompletei2e")
    );
}

#[test]
fn a_client_that_says_it_lacks_nothing_finds_seeds_when_it_starts() {
    let (tracker, _) = tracker(Config::default(), &[]);
    announce(&tracker, "192.0.2.1", "&left=0");
    let started = announce(&tracker, "192.0.2.2", "&left=0&event=started");
    assert_eq!(field(&started, b"peers").unwrap().len(), 6);
    let later = announce(&tracker, "192.0.2.2", "&left=0");
    assert_eq!(field(&later, b"peers").unwrap().len(), 0);
}

#[test]
fn claimed_addresses_count_only_where_it_is_set() {
    let claims = "&ip=198.51.100.1&ipv6=2001:db8::5";
    let (strict, ear) = tracker(Config::default(), &[]);
    announce(&strict, "192.0.2.1", claims);
    assert_eq!(
        ear.0.lock().unwrap()[0].addr,
        "192.0.2.1:6881".parse().unwrap()
    );
    assert_eq!(strict.peers(), 1);
    let config = Config {
        claimed: ClaimedAddresses::Believed,
        ..Config::default()
    };
    let (trusting, ear) = tracker(config, &[]);
    announce(&trusting, "192.0.2.1", claims);
    assert_eq!(
        ear.0.lock().unwrap()[0].addr,
        "198.51.100.1:6881".parse().unwrap()
    );
    assert_eq!(trusting.peers(), 2, "one in each family");
    announce(&trusting, "192.0.2.1", "&ip=0.0.0.0&ipv6=ff02::1");
    assert_eq!(trusting.peers(), 3);
}

#[test]
fn proxies_are_believed_where_they_are_named() {
    let config = Config {
        proxies: vec!["127.0.0.1".parse().unwrap()],
        ..Config::default()
    };
    let (tracker, _) = tracker(config, &[]);
    let address = |connection: &str, header: Option<&[u8]>| {
        tracker
            .client_address(connection.parse().unwrap(), header)
            .to_string()
    };
    assert_eq!(
        address("::ffff:127.0.0.1", Some(b"1.1.1.1, 2001:db8::1")),
        "2001:db8::1"
    );
    assert_eq!(address("127.0.0.1", Some(b"nobody")), "127.0.0.1");
    assert_eq!(address("127.0.0.1", None), "127.0.0.1");
    assert_eq!(address("192.0.2.1", Some(b"1.1.1.1")), "192.0.2.1");
}

#[test]
fn an_address_has_a_pace() {
    let mut config = Config::default();
    config.limits.max_requests_per_minute = 2;
    let (tracker, _) = tracker(config, &[]);
    announce(&tracker, "192.0.2.1", "");
    http(
        &tracker,
        "/scrape/tok?info_hash=kkkkkkkkkkkkkkkkkkkk",
        "192.0.2.1",
    );
    assert!(failure(&announce(&tracker, "192.0.2.1", "")).contains("too many requests"));
    assert_eq!(
        field(&announce(&tracker, "192.0.2.2", ""), b"failure reason"),
        None
    );
}

fn udp_request(tracker: &Tracker, request: &Request<'_>, from: &str) -> Option<Vec<u8>> {
    let mut packet = Vec::new();
    request.encode(&mut packet);
    let mut scratch = Scratch::default();
    tracker
        .answer_udp(&packet, from.parse().unwrap(), &mut scratch)
        .map(<[u8]>::to_vec)
}

fn connection(tracker: &Tracker, from: &str) -> u64 {
    let answer = udp_request(tracker, &Request::Connect { transaction: 1 }, from).unwrap();
    assert_eq!(answer.len(), udp::CONNECT_BYTES);
    match Response::parse(&answer) {
        Ok(Response::Connect {
            transaction: 1,
            connection,
        }) => connection,
        other => panic!("{other:?}"),
    }
}

fn udp_announce(connection: u64, infohash: InfoHash, url: &'static [u8]) -> Request<'static> {
    Request::Announce {
        connection,
        transaction: 2,
        announce: udp::Announce {
            infohash,
            peer_id: PeerId([b'x'; 20]),
            downloaded: 0,
            left: 1,
            uploaded: 0,
            event: Event::Started,
            claimed_ip: None,
            key: 0,
            numwant: None,
            port: 6881,
        },
        url: UrlData(Cow::Borrowed(url)),
    }
}

#[test]
fn an_announce_over_udp_needs_a_proven_address_and_a_token() {
    let (tracker, _) = tracker(Config::default(), &[]);
    let (one, two) = ("192.0.2.1:1000", "[2001:db8::1]:1000");
    announce(&tracker, "2001:db8::2", "");
    let id = connection(&tracker, one);
    let url = b"/announce/tok";
    assert_eq!(
        udp_request(&tracker, &udp_announce(id, KNOWN, url), two),
        None
    );
    assert_eq!(
        udp_request(&tracker, &udp_announce(id ^ 1, KNOWN, url), one),
        None
    );
    let id = connection(&tracker, two);
    let answer = udp_request(&tracker, &udp_announce(id, KNOWN, url), two).unwrap();
    match Response::parse(&answer).unwrap() {
        Response::Announce {
            transaction: 2,
            leeches: 2,
            seeds: 0,
            peers,
            ..
        } => {
            let peers = shoal_protocol::tracker::compact::parse_v6(peers).unwrap();
            assert_eq!(peers, ["[2001:db8::2]:6881".parse().unwrap()]);
        }
        other => panic!("{other:?}"),
    }
    for (infohash, url, reason) in [
        (GONE, &url[..], "stopped"),
        (KNOWN, b"", "does not know"),
        (KNOWN, b"/x", "does not know"),
        (UNGUESSED, b"/announce/other", "does not know"),
        (UNGUESSED, b"/announce", "does not know"),
    ] {
        let answer = udp_request(&tracker, &udp_announce(id, infohash, url), two).unwrap();
        let Response::Error { message, .. } = Response::parse(&answer).unwrap() else {
            panic!("refused");
        };
        assert!(String::from_utf8_lossy(message).contains(reason));
    }
    let answer = udp_request(&tracker, &udp_announce(id, UNGUESSED, b""), two).unwrap();
    assert!(matches!(
        Response::parse(&answer),
        Ok(Response::Announce { leeches: 1, .. })
    ));
}

#[test]
fn a_udp_answer_fits_a_packet() {
    let config = Config {
        numwant_max: 10_000,
        numwant_default: 10_000,
        ..Config::default()
    };
    let (tracker, _) = tracker(config, &[]);
    for port in 1..400 {
        for client in ["192.0.2.1", "2001:db8::1"] {
            announce(&tracker, client, &format!("&port={port}&numwant=0"));
        }
    }
    for (from, peers) in [("192.0.2.2:1", 200), ("[2001:db8::2]:1", 66)] {
        let id = connection(&tracker, from);
        let answer =
            udp_request(&tracker, &udp_announce(id, KNOWN, b"/announce/tok"), from).unwrap();
        assert_eq!(answer.len(), 20 + peers * if peers == 200 { 6 } else { 18 });
    }
}

#[test]
fn garbage_and_unproven_scrapes_get_silence() {
    let (tracker, _) = tracker(Config::default(), &[]);
    let from: SocketAddr = "192.0.2.1:1".parse().unwrap();
    let mut scratch = Scratch::default();
    for len in 0..200 {
        assert_eq!(tracker.answer_udp(&vec![0; len], from, &mut scratch), None);
    }
    let scrape = |connection| Request::Scrape {
        connection,
        transaction: 3,
        infohashes: vec![KNOWN; 3],
    };
    assert_eq!(udp_request(&tracker, &scrape(0), "192.0.2.1:1"), None);
    let id = connection(&tracker, "192.0.2.1:1");
    assert_eq!(
        udp_request(&tracker, &scrape(id), "192.0.2.1:1")
            .unwrap()
            .len(),
        8 + 3 * 12
    );
    let text = tracker.render_metrics();
    assert!(
        text.contains("dropped_total{reason=\"garbage\"} 200"),
        "{text}"
    );
}

#[test]
fn removal_forgets_at_once() {
    let (tracker, _) = tracker(Config::default(), &[]);
    announce(&tracker, "192.0.2.1", "");
    assert_eq!(tracker.counts(&KNOWN).leeches, 1);
    assert!(tracker.remove(&KNOWN));
    assert_eq!(tracker.counts(&KNOWN).leeches, 0);
}
