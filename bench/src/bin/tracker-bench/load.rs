//! The load: many peers, each with an address of 127.0.0.0/8 and a port of its own, announce over HTTP or UDP. opentracker
//! tells peers apart by source address and announced port, and believes no `ip=`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use socket2::{Domain, Socket, Type};

/// Peers behind one address.
const PEERS_PER_ADDRESS: u32 = 100;
/// UDP requests under way in one thread.
const WINDOW: usize = 32;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const PEER_ID: &str = "-SB0001-abcdefghijkl";

/// How peers announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    Http,
    Udp,
}

/// Who announces what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    peers: u32,
    torrents: u32,
    threads: u32,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Run {
    announces: u64,
    /// Announces that had to be repeated.
    pub(crate) lost: u64,
    elapsed: Duration,
}

struct Peer {
    address: Ipv4Addr,
    port: u16,
    torrent: u32,
    left: u32,
}

impl Run {
    pub(crate) fn per_s(&self) -> f64 {
        self.announces as f64 / self.elapsed.as_secs_f64()
    }
}

impl Load {
    pub(crate) fn new(peers: u32, torrents: u32, threads: u32) -> Self {
        Self {
            peers,
            torrents,
            threads,
        }
    }

    /// In hexadecimal digits.
    pub(crate) fn infohashes(&self) -> Vec<String> {
        (0..self.torrents)
            .map(|torrent| {
                infohash(torrent)
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect()
            })
            .collect()
    }

    /// Lets peers announce, `announces` times in all, each as often as any other.
    pub(crate) fn run(
        &self,
        protocol: Protocol,
        tracker: SocketAddr,
        announces: u32,
        deadline: Instant,
    ) -> Result<Run> {
        let started = Instant::now();
        let runs: Vec<Result<Run>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|thread| {
                    let share =
                        announces * (thread + 1) / self.threads - announces * thread / self.threads;
                    let first = (u64::from(self.peers) * u64::from(thread)
                        / u64::from(self.threads)) as u32;
                    let numbers = (0..share).map(move |at| (first + at) % self.peers);
                    scope.spawn(move || match protocol {
                        Protocol::Http => self.announce_http(tracker, numbers, deadline),
                        Protocol::Udp => self.announce_udp(tracker, numbers, deadline),
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|it| {
                    it.join()
                        .unwrap_or_else(|_| bail!("a thread of the generator panicked"))
                })
                .collect()
        });
        let mut sum = Run {
            elapsed: started.elapsed(),
            ..Run::default()
        };
        for run in runs {
            let run = run?;
            sum.announces += run.announces;
            sum.lost += run.lost;
        }
        Ok(sum)
    }

    /// How many peers the tracker counts in the first torrent.
    pub(crate) fn swarm_size(&self, tracker: SocketAddr) -> Result<u32> {
        let mut stream = TcpStream::connect(tracker)?;
        let escaped = escaped(0);
        write!(
            stream,
            "GET /scrape?info_hash={escaped} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let number = |key: &str| -> Option<u32> {
            let text = String::from_utf8_lossy(&answer);
            let (_, rest) = text.split_once(key)?;
            rest.split('e').next()?.parse().ok()
        };
        let seeds = number("8:completei").context("a scrape has no counts")?;
        Ok(seeds + number("10:incompletei").context("a scrape has no counts")?)
    }

    fn peer(&self, number: u32) -> Peer {
        let host = (number / PEERS_PER_ADDRESS) + (1 << 16);
        let [_, b, c, d] = host.to_be_bytes();
        Peer {
            address: Ipv4Addr::new(127, b, c, d),
            port: 10_000 + (number % PEERS_PER_ADDRESS) as u16,
            torrent: number % self.torrents,
            left: if (number / self.torrents).is_multiple_of(4) {
                0
            } else {
                1000
            },
        }
    }

    fn announce_http(
        &self,
        tracker: SocketAddr,
        numbers: impl Iterator<Item = u32>,
        deadline: Instant,
    ) -> Result<Run> {
        let hashes: Vec<String> = (0..self.torrents).map(escaped).collect();
        let mut run = Run::default();
        let mut answer = vec![0; 4096];
        for number in numbers {
            check_deadline(deadline)?;
            let peer = self.peer(number);
            let hash = hashes
                .get(peer.torrent as usize)
                .context("a torrent without infohash")?;
            let request = format!(
                "GET /announce?info_hash={hash}&peer_id={PEER_ID}&port={}&uploaded=0&downloaded=0&left={}&compact=1&numwant=50 HTTP/1.1\r\nHost: tracker\r\nUser-Agent: bench\r\nConnection: close\r\n\r\n",
                peer.port, peer.left
            );
            while let Err(error) = announce_once(tracker, &peer, request.as_bytes(), &mut answer) {
                run.lost += 1;
                if run.lost > 1000 {
                    return Err(error).context("1,000 announces failed, the last one");
                }
            }
            run.announces += 1;
        }
        Ok(run)
    }

    fn announce_udp(
        &self,
        tracker: SocketAddr,
        numbers: impl Iterator<Item = u32>,
        deadline: Instant,
    ) -> Result<Run> {
        let mut run = Run::default();
        let mut client: Option<Client> = None;
        let mut window = Vec::with_capacity(WINDOW);
        for number in numbers {
            check_deadline(deadline)?;
            let peer = self.peer(number);
            // The peers of one address come one after the other, over one socket.
            let same_address = client
                .as_ref()
                .is_some_and(|client| client.address == peer.address);
            if let Some(client) = client
                .as_mut()
                .filter(|_| !same_address || window.len() == WINDOW)
            {
                client.announce(&mut window, &mut run)?;
            }
            if !same_address {
                client = Some(Client::connect(tracker, peer.address)?);
            }
            window.push(peer);
        }
        if let Some(client) = &mut client {
            client.announce(&mut window, &mut run)?;
        }
        Ok(run)
    }
}

/// A UDP client at one address.
struct Client {
    address: Ipv4Addr,
    socket: UdpSocket,
    connection: [u8; 8],
}

impl Client {
    fn connect(tracker: SocketAddr, address: Ipv4Addr) -> Result<Self> {
        let socket = UdpSocket::bind((address, 0))?;
        socket.connect(tracker)?;
        socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let mut request = 0x0417_2710_1980_u64.to_be_bytes().to_vec();
        request.extend_from_slice(&[0, 0, 0, 0, 1, 2, 3, 4]);
        let mut answer = [0; 16];
        for _ in 0..5 {
            socket.send(&request)?;
            match socket.recv(&mut answer) {
                Ok(16) if answer.starts_with(&[0, 0, 0, 0, 1, 2, 3, 4]) => {
                    let [.., a, b, c, d, e, f, g, h] = answer;
                    return Ok(Self {
                        address,
                        socket,
                        connection: [a, b, c, d, e, f, g, h],
                    });
                }
                Err(error) if !is_timeout(&error) => return Err(error.into()),
                _ => {}
            }
        }
        bail!("the tracker gives no connection id")
    }

    /// Announces all of `window`, again where no answer comes, and empties it.
    fn announce(&mut self, window: &mut Vec<Peer>, run: &mut Run) -> Result<()> {
        let mut answer = [0; 2048];
        let mut tries = 0;
        while !window.is_empty() {
            for (transaction, peer) in window.iter().enumerate() {
                self.socket.send(&self.packet(transaction as u32, peer))?;
            }
            let mut missing: Vec<Option<Peer>> = window.drain(..).map(Some).collect();
            let mut open = missing.len();
            while open > 0 {
                let len = match self.socket.recv(&mut answer) {
                    Ok(len) => len,
                    Err(error) if is_timeout(&error) => break,
                    Err(error) => return Err(error.into()),
                };
                let Some(([0, 0, 0, 1, a, b, c, d], _)) =
                    answer.get(..len).and_then(|it| it.split_first_chunk::<8>())
                else {
                    bail!(
                        "the tracker refuses: {}",
                        String::from_utf8_lossy(answer.get(8..len).unwrap_or_default())
                    );
                };
                let transaction = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                if missing
                    .get_mut(transaction)
                    .and_then(Option::take)
                    .is_some()
                {
                    open -= 1;
                    run.announces += 1;
                }
            }
            window.extend(missing.into_iter().flatten());
            run.lost += window.len() as u64;
            tries += 1;
            if tries == 10 {
                bail!("no answers to announces over UDP");
            }
        }
        Ok(())
    }

    fn packet(&self, transaction: u32, peer: &Peer) -> Vec<u8> {
        let mut packet = Vec::with_capacity(98);
        packet.extend_from_slice(&self.connection);
        packet.extend_from_slice(&1u32.to_be_bytes());
        packet.extend_from_slice(&transaction.to_be_bytes());
        packet.extend_from_slice(&infohash(peer.torrent));
        packet.extend_from_slice(PEER_ID.as_bytes());
        packet.extend_from_slice(&[0; 8]);
        packet.extend_from_slice(&u64::from(peer.left).to_be_bytes());
        packet.extend_from_slice(&[0; 8]);
        // Event, address and key.
        packet.extend_from_slice(&[0; 12]);
        packet.extend_from_slice(&50u32.to_be_bytes());
        packet.extend_from_slice(&peer.port.to_be_bytes());
        packet
    }
}

/// One connection, one announce, as a client with `Connection: close` does it.
fn announce_once(
    tracker: SocketAddr,
    peer: &Peer,
    request: &[u8],
    answer: &mut [u8],
) -> Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((peer.address, 0)).into())?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    socket.connect(&tracker.into())?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(request)?;
    let mut filled = 0;
    loop {
        let space = answer
            .get_mut(filled..)
            .filter(|it| !it.is_empty())
            .context("an answer of more than 4 KiB")?;
        match stream.read(space) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let answer = answer.get(..filled).unwrap_or_default();
    let is_answer =
        answer.starts_with(b"HTTP/1.1 200 ") && answer.windows(12).any(|it| it == b"d8:completei");
    if !is_answer {
        bail!("the tracker says: {}", String::from_utf8_lossy(answer));
    }
    Ok(())
}

fn infohash(torrent: u32) -> [u8; 20] {
    let [a, b, c, d] = torrent.wrapping_mul(0x9e37_79b9).to_be_bytes();
    let mut hash = [a ^ d; 20];
    for (to, from) in hash.iter_mut().zip([a, b, c, d]) {
        *to = from;
    }
    hash
}

fn escaped(torrent: u32) -> String {
    infohash(torrent)
        .iter()
        .map(|byte| format!("%{byte:02x}"))
        .collect()
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn check_deadline(deadline: Instant) -> Result<()> {
    if Instant::now() > deadline {
        bail!("the time is up; give it more with --max-seconds, or fewer --rounds");
    }
    Ok(())
}
