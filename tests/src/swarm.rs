//! The first words of BitTorrent, spoken by hand.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::http;

/// The HTTP tracker that a magnet names.
///
/// # Panics
/// If it names none.
pub fn tracker_address(magnet: &str) -> String {
    let escaped = magnet
        .split(['?', '&'])
        .find_map(|part| part.strip_prefix("tr="))
        .filter(|text| text.starts_with("http"))
        .unwrap_or_else(|| panic!("no http tracker in {magnet}"));
    escaped
        .replace("%3A", ":")
        .replace("%2F", "/")
        .replace("%3a", ":")
        .replace("%2f", "/")
}

/// The answer to an announce as a leecher.
pub fn announce(tracker: &str, infohash: &str) -> String {
    String::from_utf8_lossy(&announced(tracker, infohash, "started")).into_owned()
}

/// Whether a tracker hands out a peer of loopback that listens on `port`. Asks as a leecher, which is taken out again.
pub fn lists_peer(tracker: &str, infohash: &str, port: u16) -> bool {
    let answer = announced(tracker, infohash, "started");
    announced(tracker, infohash, "stopped");
    let mut compact = vec![127, 0, 0, 1];
    compact.extend(port.to_be_bytes());
    answer.windows(compact.len()).any(|peer| peer == compact)
}

fn announced(tracker: &str, infohash: &str, event: &str) -> Vec<u8> {
    let escaped: String = infohash
        .as_bytes()
        .chunks(2)
        .map(|pair| format!("%{}", String::from_utf8_lossy(pair)))
        .collect();
    let url = format!(
        "{tracker}?info_hash={escaped}&peer_id=-XX0001-abcdefghijkl&port=1&uploaded=0&downloaded=0&left=1&compact=1&event={event}"
    );
    http::get(&url).unwrap().bytes().unwrap()
}

/// The seeder behind a BitTorrent handshake; none if the other side closes without an answer.
pub fn handshake(address: &str, infohash: &str) -> Option<TcpStream> {
    greet(
        TcpStream::connect(address).ok()?,
        infohash,
        b"-XX0001-mnopqrstuvwx",
    )
}

fn greet(mut stream: TcpStream, infohash: &str, peer_id: &[u8; 20]) -> Option<TcpStream> {
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut hello = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\0".to_vec();
    for pair in infohash.as_bytes().chunks(2) {
        let digits = std::str::from_utf8(pair).unwrap();
        hello.push(u8::from_str_radix(digits, 16).unwrap());
    }
    hello.extend_from_slice(peer_id);
    stream.write_all(&hello).ok()?;
    let mut answer = [0; 68];
    stream.read_exact(&mut answer).ok()?;
    assert_eq!(&answer[28..48], &hello[28..48], "another infohash");
    Some(stream)
}

/// A leecher that speaks BEP 3 by hand, from an address of the loopback network.
pub struct Leecher(TcpStream);

impl Leecher {
    /// Connects from `from`, and has asked for nothing yet; none if the other side closes.
    pub fn connect(
        from: [u8; 4],
        address: &str,
        infohash: &str,
        peer_id: &[u8; 20],
    ) -> Option<Self> {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let to: std::net::SocketAddrV4 = address.parse().expect("an IPv4 address");
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).ok()?;
        bind(&socket, &std::net::SocketAddrV4::new(from.into(), 0)).ok()?;
        connect(&socket, &to).ok()?;
        let stream = greet(TcpStream::from(socket), infohash, peer_id)?;
        Some(Leecher(stream))
    }

    /// Asks for the first 16 KiB of a piece; none if the other side closes.
    pub fn block(&mut self, piece: u32) -> Option<Vec<u8>> {
        let mut request = vec![0, 0, 0, 13, 6];
        for number in [piece, 0, 16 * 1024] {
            request.extend_from_slice(&number.to_be_bytes());
        }
        self.0.write_all(&request).ok()?;
        loop {
            let mut len = [0; 4];
            self.0.read_exact(&mut len).ok()?;
            let mut frame = vec![0; u32::from_be_bytes(len) as usize];
            self.0.read_exact(&mut frame).ok()?;
            if frame.first() == Some(&7) {
                return frame.get(9..).map(<[u8]>::to_vec);
            }
        }
    }
}

/// The action in the answer of a UDP tracker (BEP 15) to an announce that carries no token, as many clients send it:
/// 1 is an announce that counted, 3 an error.
pub fn udp_announce_without_token(tracker: &str, infohash: &str) -> Option<u32> {
    let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).ok()?;
    socket.connect(tracker).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut answer = [0; 2048];
    let mut ask = |packet: &[u8]| {
        socket.send(packet).ok()?;
        let len = socket.recv(&mut answer).ok()?;
        answer.get(..len).map(<[u8]>::to_vec)
    };
    let mut connect = 0x0417_2710_1980_u64.to_be_bytes().to_vec();
    connect.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 7]);
    let connection = ask(&connect)?.get(8..16)?.to_vec();
    let mut announce = connection;
    announce.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 8]);
    for pair in infohash.as_bytes().chunks(2) {
        announce.push(u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?);
    }
    announce.extend_from_slice(b"-TR3000-abcdefghijkl");
    announce.extend_from_slice(&[0; 8]);
    announce.extend_from_slice(&1_u64.to_be_bytes());
    announce.extend_from_slice(&[0; 8]);
    for number in [2_u32, 0, 0, u32::MAX] {
        announce.extend_from_slice(&number.to_be_bytes());
    }
    announce.extend_from_slice(&6881_u16.to_be_bytes());
    let action = ask(&announce)?.first_chunk::<4>().copied()?;
    Some(u32::from_be_bytes(action))
}
