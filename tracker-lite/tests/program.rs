//! The real program on loopback: HTTP and UDP, IPv4 and IPv6, its list, its limits, its end.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use shoal_protocol::id::InfoHash;
use shoal_protocol::tracker::udp::{Announce, Request, Response};
use shoal_protocol::tracker::url_data::UrlData;
use shoal_protocol::tracker::{Event, PeerId, compact};

const HASH: InfoHash = InfoHash([0xaa; 20]);
const OTHER: InfoHash = InfoHash([0xbb; 20]);
/// Longer than anything here takes, so that a failure is one and not a hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// The running program, killed when it is dropped.
struct Program {
    child: Child,
    lines: BufReader<ChildStdout>,
    sockets: Vec<(String, SocketAddr)>,
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracker-lite"));
    command.args(words).stdin(Stdio::null());
    command
}

fn output(words: &[&str]) -> Output {
    command(words).output().unwrap()
}

impl Program {
    /// Starts it, on a port of each family if `words` name none, and waits until it listens on `sockets` sockets.
    fn start(words: &[&str], sockets: usize) -> Self {
        let mut child = command(words)
            .arg("--json")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut program = Self {
            child,
            lines,
            sockets: Vec::new(),
        };
        while program.sockets.len() < sockets {
            let line = program.line();
            if line["type"] == "listening" {
                let address = line["address"].as_str().unwrap().parse().unwrap();
                let protocol = line["protocol"].as_str().unwrap().to_owned();
                program.sockets.push((protocol, address));
            }
        }
        program
    }

    fn both_families(words: &[&str]) -> Self {
        let listen = [
            "--listen",
            "127.0.0.1:0",
            "--listen",
            "[::1]:0",
            "--metrics",
            "127.0.0.1:0",
        ];
        Self::start(&[&listen, words].concat(), 5)
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        assert!(
            self.lines.read_line(&mut line).unwrap() > 0,
            "the program ended"
        );
        serde_json::from_str(&line).unwrap()
    }

    fn address(&self, protocol: &str, v4: bool) -> SocketAddr {
        let found = self
            .sockets
            .iter()
            .find(|(name, address)| name == protocol && address.is_ipv4() == v4);
        found.unwrap().1
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn stop(mut self) -> Value {
        self.signal(Signal::TERM);
        let line = self.line();
        assert!(self.child.wait().unwrap().success());
        line
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn fetch(address: SocketAddr, target: &str) -> String {
    let mut stream = connect(address);
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    // Peers are bytes; as Latin-1 each stays one character.
    answer.iter().map(|byte| char::from(*byte)).collect()
}

fn escaped(infohash: InfoHash) -> String {
    infohash
        .as_bytes()
        .iter()
        .map(|byte| format!("%{byte:02X}"))
        .collect()
}

fn announce(address: SocketAddr, path: &str, infohash: InfoHash, port: u16, more: &str) -> String {
    let query = format!(
        "info_hash={}&peer_id=-XX0000-abcdefghijkl&port={port}&left=1&compact=1{more}",
        escaped(infohash)
    );
    fetch(address, &format!("{path}?{query}"))
}

fn udp_socket(tracker: SocketAddr) -> UdpSocket {
    let socket = match tracker {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)),
    }
    .unwrap();
    socket.connect(tracker).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn exchange(socket: &UdpSocket, request: &Request<'_>) -> Vec<u8> {
    let mut packet = Vec::new();
    request.encode(&mut packet);
    socket.send(&packet).unwrap();
    let mut answer = vec![0; 2048];
    let len = socket.recv(&mut answer).unwrap();
    answer.truncate(len);
    answer
}

fn udp_connection(socket: &UdpSocket) -> u64 {
    let answer = exchange(socket, &Request::Connect { transaction: 5 });
    assert_eq!(answer.len(), 16);
    match Response::parse(&answer).unwrap() {
        Response::Connect {
            transaction: 5,
            connection,
        } => connection,
        other => panic!("{other:?}"),
    }
}

fn udp_announce(tracker: SocketAddr, url: &[u8], infohash: InfoHash, port: u16) -> Vec<u8> {
    let socket = udp_socket(tracker);
    let announce = Announce {
        infohash,
        peer_id: PeerId([1; 20]),
        downloaded: 0,
        left: 1,
        uploaded: 0,
        event: Event::Started,
        claimed_ip: Some(Ipv4Addr::new(192, 0, 2, 1)),
        key: 1,
        numwant: None,
        port,
    };
    let request = Request::Announce {
        connection: udp_connection(&socket),
        transaction: 6,
        announce,
        url: UrlData(url.into()),
    };
    exchange(&socket, &request)
}

#[test]
fn both_protocols_and_families_share_their_swarms() {
    let program = Program::both_families(&["--open"]);
    for v4 in [true, false] {
        let (http, udp) = (program.address("http", v4), program.address("udp", v4));
        let first = announce(http, "/announce", HASH, 1001, "&event=started");
        assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{first}");
        assert!(first.contains("5:peers0:"), "{first}");
        let answer = udp_announce(udp, b"", HASH, 1002);
        let Response::Announce {
            transaction: 6,
            peers,
            ..
        } = Response::parse(&answer).unwrap()
        else {
            panic!("{answer:?}");
        };
        let heard: Vec<SocketAddr> = if v4 {
            compact::parse_v4(peers)
                .unwrap()
                .into_iter()
                .map(SocketAddr::V4)
                .collect()
        } else {
            compact::parse_v6(peers)
                .unwrap()
                .into_iter()
                .map(SocketAddr::V6)
                .collect()
        };
        assert_eq!(heard, [SocketAddr::new(http.ip(), 1001)]);
        let again = announce(http, "/announce", HASH, 1001, "");
        assert!(
            again.contains(if v4 { "5:peers6:" } else { "6:peers618:" }),
            "{again}"
        );
    }
    let scrape = fetch(
        program.address("http", true),
        &format!("/scrape?info_hash={}", escaped(HASH)),
    );
    assert!(
        scrape.contains("d8:completei0e10:downloadedi0e10:incompletei4ee"),
        "{scrape}"
    );
    let metrics = fetch(program.address("metrics", true), "/metrics");
    assert!(
        metrics.contains("tracker_peers{family=\"ipv6\",role=\"leech\"} 2\n"),
        "{metrics}"
    );
    assert!(fetch(program.address("http", true), "/metrics").starts_with("HTTP/1.1 404 "));
    let stopped = program.stop();
    assert_eq!(
        (&stopped["type"], &stopped["announces"]),
        (&"stopped".into(), &6.into())
    );
}

#[test]
fn a_list_with_tokens_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    std::fs::write(&path, format!("{HASH} secret\n{OTHER}\n")).unwrap();
    let mut program = Program::both_families(&["--allow", path.to_str().unwrap()]);
    let (http, udp) = (program.address("http", true), program.address("udp", false));
    assert!(announce(http, "/announce/secret", HASH, 1, "").contains("8:interval"));
    assert!(announce(http, "/announce", OTHER, 1, "").contains("8:interval"));
    for wrong in ["/announce", "/announce/public"] {
        assert!(announce(http, wrong, HASH, 1, "").contains("failure reason"));
    }
    let is_error =
        |answer: &[u8]| matches!(Response::parse(answer).unwrap(), Response::Error { .. });
    assert!(!is_error(&udp_announce(
        udp,
        b"/announce/secret?x=y",
        HASH,
        2
    )));
    assert!(is_error(&udp_announce(udp, b"", HASH, 2)));

    std::fs::write(&path, "no infohash\n").unwrap();
    program.signal(Signal::HUP);
    let warning = program.line();
    assert!(
        warning["message"]
            .as_str()
            .unwrap()
            .ends_with("the old list stays in force"),
        "{warning}"
    );
    assert!(announce(http, "/announce", OTHER, 1, "").contains("8:interval"));

    std::fs::write(&path, format!("{OTHER} fresh\n")).unwrap();
    program.signal(Signal::HUP);
    assert_eq!(program.line()["torrents"], 1);
    assert!(announce(http, "/announce/secret", HASH, 1, "").contains("failure reason"));
    assert!(announce(http, "/announce", OTHER, 1, "").contains("failure reason"));
    assert!(announce(http, "/announce/fresh", OTHER, 1, "").contains("8:interval"));
    assert_eq!(
        program.stop()["peers"],
        1,
        "those of the removed torrent are gone"
    );
}

#[test]
fn connections_are_kept_cut_and_counted() {
    let program = Program::start(&["--open", "--listen", "127.0.0.1:0", "--udp", "none"], 1);
    let http = program.address("http", true);
    let request = format!(
        "GET /scrape?info_hash={} HTTP/1.1\r\nHost: t\r\n\r\n",
        escaped(HASH)
    );
    let mut stream = connect(http);
    // Two at once, then one byte by byte, on one connection.
    stream.write_all(request.repeat(2).as_bytes()).unwrap();
    for byte in request.as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while text.matches("HTTP/1.1 200").count() < 3 {
        let len = stream.read(&mut buffer).unwrap();
        assert!(len > 0, "closed after {text}");
        text.extend(buffer[..len].iter().map(|byte| char::from(*byte)));
    }
    for (garbage, status) in [
        ("\x13BitTorrent protocol", "405"),
        ("GET /\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\n\r\n", "405"),
    ] {
        let mut stream = connect(http);
        stream.write_all(garbage.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    drop(stream);
    // 64 may wait from one address; of the others some are closed.
    let waiting: Vec<TcpStream> = (0..70).map(|_| connect(http)).collect();
    assert!(announce(http, "/announce", HASH, 1, "").contains("8:interval"));
    let closed = waiting.iter().filter(|stream| {
        stream.set_nonblocking(true).unwrap();
        matches!((&mut &**stream).read(&mut [0]), Ok(0))
    });
    assert!(closed.count() >= 5);
    program.stop();
}

#[test]
fn an_address_that_proves_nothing_gets_nothing() {
    let program = Program::start(&["--open", "--listen", "127.0.0.1:0"], 2);
    let udp = program.address("udp", true);
    let socket = udp_socket(udp);
    for garbage in [&b""[..], b"x", &[0; 16], &[0xff; 98], &[0; 1400]] {
        socket.send(garbage).unwrap();
    }
    let mut scrape = Vec::new();
    Request::Scrape {
        connection: 1,
        transaction: 1,
        infohashes: vec![HASH],
    }
    .encode(&mut scrape);
    socket.send(&scrape).unwrap();
    // Packets are answered in their order: the first answer is to this one.
    udp_connection(&socket);
    program.stop();
}

#[test]
fn a_request_rate_has_an_end() {
    let program = Program::start(
        &[
            "--open",
            "--listen",
            "127.0.0.1:0",
            "--max-requests-per-minute",
            "3",
        ],
        2,
    );
    let http = program.address("http", true);
    let refused = |_: usize| announce(http, "/announce", HASH, 1, "").contains("too many requests");
    // A minute may end in between, which lets three more in.
    assert!((0..8).any(refused));
    program.stop();
}

#[test]
fn mistakes_end_with_a_sentence_and_a_code() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let table: [(&[&str], i32, &str); 5] = [
        (&[], 2, "--allow FILE or --open"),
        (&["--open", "--listen", "nowhere"], 2, "--listen nowhere"),
        (
            &["--open", "--listen", &address],
            1,
            "choose another with --listen",
        ),
        (
            &["--allow", "does-not-exist"],
            1,
            "name a readable file with --allow",
        ),
        (&["--allow", "Cargo.toml"], 1, "line 1: an infohash"),
    ];
    for (words, code, sentence) in table {
        let output = output(words);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {errors}");
        assert!(errors.contains(sentence), "{words:?}: {errors}");
    }
    let help = output(&["--help"]);
    assert!(help.status.success() && help.stdout.starts_with(b"A small BitTorrent tracker"));
}
