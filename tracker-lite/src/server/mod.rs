//! HTTP and UDP servers without a runtime: one thread, one poll, and for most requests no more system calls than
//! accept, read, write and close. It is what the program runs; the node mounts the router instead.

mod bind;
mod connections;

use std::io;
use std::net::{TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};

use crate::serve_udp::{PACKET_MAX_BYTES, concerns_one_peer};
use crate::tracker::{Scratch, Tracker};
use connections::Connections;

pub use bind::{bind_tcp, bind_udp};

/// What one call to the system may bring at most.
const EVENTS: usize = 256;
/// Packets or connections of one socket before the others get a turn.
const BURST: usize = 64;
/// How often connections are looked at for those that are overdue.
const SWEEP: Duration = Duration::from_secs(1);
/// How long to wait when the system has no more file descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);

const WAKER: Token = Token(0);
const FIRST_SOCKET: usize = 1;
const FIRST_CONNECTION: usize = 1024;

/// What a listener answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// Announces and scrapes.
    Tracker,
    /// `/metrics`, for the operator alone.
    Metrics,
}

/// A set of sockets that one thread serves.
pub struct Server {
    tracker: Arc<Tracker>,
    poll: Poll,
    stop: Stop,
    sockets: Vec<Socket>,
    connections: Connections,
    scratch: Scratch,
}

/// Ends a server from another thread.
#[derive(Debug, Clone)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

struct Socket {
    kind: Kind,
    /// Events come at edges, so that what is left over must be remembered.
    state: Readiness,
}

enum Kind {
    Http(TcpListener, Serves),
    Udp(UdpSocket),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    Drained,
    Ready,
    /// The system refuses; to be tried again a little later.
    Refused,
}

impl Stop {
    /// Asks the server to end. What it has begun to answer is answered.
    pub fn stop(&self) {
        self.asked.store(true, Ordering::Release);
        // If the poll is gone the server has ended already.
        let _ = self.waker.wake();
    }
}

impl Server {
    /// A server without sockets.
    pub fn new(tracker: Arc<Tracker>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let stop = Stop {
            asked: Arc::new(AtomicBool::new(false)),
            waker: Arc::new(Waker::new(poll.registry(), WAKER)?),
        };
        Ok(Self {
            connections: Connections::new(tracker.clone(), FIRST_CONNECTION),
            tracker,
            poll,
            stop,
            sockets: Vec::new(),
            scratch: Scratch::default(),
        })
    }

    /// Adds a listener.
    pub fn add_http(&mut self, listener: StdTcpListener, serves: Serves) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        let token = self.next_token()?;
        self.poll
            .registry()
            .register(&mut listener, token, Interest::READABLE)?;
        self.add(Kind::Http(listener, serves));
        Ok(())
    }

    /// Adds a UDP socket.
    pub fn add_udp(&mut self, socket: StdUdpSocket) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let mut socket = UdpSocket::from_std(socket);
        let token = self.next_token()?;
        self.poll
            .registry()
            .register(&mut socket, token, Interest::READABLE)?;
        self.add(Kind::Udp(socket));
        Ok(())
    }

    /// What ends it.
    pub fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// Serves until it is stopped, or until a socket fails for good.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut packet = vec![0; PACKET_MAX_BYTES];
        let mut swept = Instant::now();
        loop {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            if self.stop.asked.load(Ordering::Acquire) {
                return Ok(());
            }
            let now = Instant::now();
            for event in &events {
                self.heed(event, now);
            }
            for at in 0..self.sockets.len() {
                self.turn(at, now, &mut packet)?;
            }
            if now.duration_since(swept) >= SWEEP {
                swept = now;
                self.connections.close_overdue(now);
            }
        }
    }

    fn next_token(&self) -> io::Result<Token> {
        let token = FIRST_SOCKET + self.sockets.len();
        if token >= FIRST_CONNECTION {
            return Err(io::Error::other("one server has place for 1023 sockets"));
        }
        Ok(Token(token))
    }

    fn add(&mut self, kind: Kind) {
        self.sockets.push(Socket {
            kind,
            state: Readiness::Drained,
        });
    }

    fn timeout(&self) -> Option<Duration> {
        let is = |state| self.sockets.iter().any(|socket| socket.state == state);
        if is(Readiness::Ready) {
            Some(Duration::ZERO)
        } else if is(Readiness::Refused) {
            Some(BACK_OFF)
        } else if self.connections.is_empty() {
            None
        } else {
            Some(SWEEP)
        }
    }

    fn heed(&mut self, event: &Event, now: Instant) {
        let Token(token) = event.token();
        if token >= FIRST_CONNECTION {
            self.connections.serve_parked(token, now);
        } else if let Some(socket) = token
            .checked_sub(FIRST_SOCKET)
            .and_then(|at| self.sockets.get_mut(at))
        {
            socket.state = Readiness::Ready;
        }
    }

    fn turn(&mut self, at: usize, now: Instant, packet: &mut [u8]) -> io::Result<()> {
        let Some(socket) = self.sockets.get_mut(at) else {
            return Ok(());
        };
        if socket.state == Readiness::Drained {
            return Ok(());
        }
        socket.state = match &socket.kind {
            Kind::Http(listener, serves) => {
                self.connections
                    .accept(listener, *serves, now, self.poll.registry(), BURST)
            }
            Kind::Udp(udp) => answer_packets(&self.tracker, udp, packet, &mut self.scratch)?,
        };
        Ok(())
    }
}

fn answer_packets(
    tracker: &Tracker,
    socket: &UdpSocket,
    packet: &mut [u8],
    scratch: &mut Scratch,
) -> io::Result<Readiness> {
    for _ in 0..BURST {
        match socket.recv_from(packet) {
            Ok((len, from)) => {
                let packet = packet.get(..len).unwrap_or_default();
                if let Some(answer) = tracker.answer_udp(packet, from, scratch) {
                    // What the socket does not take at once is dropped: clients ask again.
                    let _ = socket.send_to(answer, from);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Readiness::Drained);
            }
            Err(error) if concerns_one_peer(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Readiness::Ready)
}
