//! HTTP connections. Most are answered and closed in the turn in which they come; what has to wait is parked, in
//! bounded number and for a bounded time.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use shoal_protocol::tracker::head::{Connection as After, HEAD_MAX_BYTES, Head, HeadError};
use shoal_protocol::tracker::reply::decimal;

use super::{Readiness, Serves};
use crate::tracker::{Scratch, Status, Tracker};

/// Requests of one connection before others get a turn. Nobody has so many to send at once: it is closed.
const REQUESTS_PER_TURN: usize = 32;

pub(super) struct Connections {
    tracker: Arc<Tracker>,
    parked: Vec<Option<Connection>>,
    free: Vec<usize>,
    by_address: HashMap<IpAddr, usize>,
    /// Accepted in this turn.
    fresh: Vec<Connection>,
    answering: Answering,
    first_token: usize,
}

struct Connection {
    stream: TcpStream,
    from: IpAddr,
    serves: Serves,
    /// The beginning of a request.
    begun: Vec<u8>,
    overdue: Instant,
}

/// Buffers for reading and answering.
struct Answering {
    tracker: Arc<Tracker>,
    scratch: Scratch,
    input: Box<[u8]>,
    output: Vec<u8>,
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Close,
    Wait,
}

impl Connections {
    pub(super) fn new(tracker: Arc<Tracker>, first_token: usize) -> Self {
        let timeout = Duration::from_secs(u64::from(tracker.config().limits.request_timeout_s));
        Self {
            answering: Answering {
                tracker: tracker.clone(),
                scratch: Scratch::default(),
                input: vec![0; HEAD_MAX_BYTES].into_boxed_slice(),
                output: Vec::new(),
                timeout,
            },
            tracker,
            parked: Vec::new(),
            free: Vec::new(),
            by_address: HashMap::new(),
            fresh: Vec::new(),
            first_token,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.parked.len()
    }

    /// Accepts up to `burst` connections, then serves them: while the last ones are accepted, the first requests arrive.
    pub(super) fn accept(
        &mut self,
        listener: &TcpListener,
        serves: Serves,
        now: Instant,
        registry: &Registry,
        burst: usize,
    ) -> Readiness {
        let mut fresh = std::mem::take(&mut self.fresh);
        let mut state = Readiness::Ready;
        while fresh.len() < burst {
            match listener.accept() {
                Ok((stream, from)) => fresh.push(self.connection(stream, from, serves, now)),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        state = Readiness::Drained;
                        break;
                    }
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    // No more file descriptors: a connection that only waits has to go.
                    _ => {
                        self.close_oldest();
                        state = Readiness::Refused;
                        break;
                    }
                },
            }
        }
        for mut connection in fresh.drain(..) {
            if self.answering.serve(&mut connection, now) == Next::Wait {
                self.park(connection, registry);
            }
        }
        self.fresh = fresh;
        self.count();
        state
    }

    pub(super) fn serve_parked(&mut self, token: usize, now: Instant) {
        let at = token - self.first_token;
        let Some(Some(connection)) = self.parked.get_mut(at) else {
            return;
        };
        if self.answering.serve(connection, now) == Next::Close {
            self.close(at);
        }
    }

    pub(super) fn close_overdue(&mut self, now: Instant) {
        for at in 0..self.parked.len() {
            if self.parked[at]
                .as_ref()
                .is_some_and(|connection| connection.overdue <= now)
            {
                self.close(at);
            }
        }
        self.count();
    }

    fn connection(
        &self,
        stream: TcpStream,
        from: SocketAddr,
        serves: Serves,
        now: Instant,
    ) -> Connection {
        Connection {
            stream,
            from: from.ip(),
            serves,
            begun: Vec::new(),
            overdue: now + self.answering.timeout,
        }
    }

    /// Keeps a connection until more of it arrives. The one that waits longest makes room.
    fn park(&mut self, mut connection: Connection, registry: &Registry) {
        let limits = &self.tracker.config().limits;
        let of_address = self.by_address.get(&connection.from).copied().unwrap_or(0);
        if limits.max_connections_per_address > 0
            && of_address >= limits.max_connections_per_address
        {
            self.tracker.metrics().connections_refused.add();
            return;
        }
        if self.parked.len() - self.free.len() >= limits.max_connections {
            self.close_oldest();
        }
        let at = self.free.pop().unwrap_or(self.parked.len());
        let token = Token(self.first_token + at);
        if registry
            .register(&mut connection.stream, token, Interest::READABLE)
            .is_err()
        {
            if at < self.parked.len() {
                self.free.push(at);
            }
            return;
        }
        *self.by_address.entry(connection.from).or_default() += 1;
        if at == self.parked.len() {
            self.parked.push(Some(connection));
        } else {
            self.parked[at] = Some(connection);
        }
    }

    fn close_oldest(&mut self) {
        let oldest = self
            .parked
            .iter()
            .enumerate()
            .filter_map(|(at, connection)| Some((connection.as_ref()?.overdue, at)))
            .min();
        if let Some((_, at)) = oldest {
            self.tracker.metrics().connections_refused.add();
            self.close(at);
        }
    }

    /// Dropping the stream takes it out of the poll.
    fn close(&mut self, at: usize) {
        let Some(connection) = self.parked[at].take() else {
            return;
        };
        self.free.push(at);
        if let Some(count) = self.by_address.get_mut(&connection.from) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&connection.from);
            }
        }
    }

    fn count(&self) {
        let waiting = self.parked.len() - self.free.len();
        self.tracker.metrics().connections.set(waiting as u64);
    }
}

impl Answering {
    /// Reads what is there and answers every request that is complete.
    fn serve(&mut self, connection: &mut Connection, now: Instant) -> Next {
        let mut filled = connection.begun.len();
        self.input[..filled].copy_from_slice(&connection.begun);
        connection.begun.clear();
        for _ in 0..REQUESTS_PER_TURN {
            match connection.stream.read(&mut self.input[filled..]) {
                Ok(0) => return Next::Close,
                Ok(len) => filled += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.begun.extend_from_slice(&self.input[..filled]);
                    return Next::Wait;
                }
                Err(_) => return Next::Close,
            }
            match self.answer(connection, filled) {
                // Incomplete requests are shorter than the buffer, so that there is room to read.
                Some(left) if left < self.input.len() => {
                    if left != filled {
                        connection.overdue = now + self.timeout;
                    }
                    filled = left;
                }
                _ => return Next::Close,
            }
        }
        Next::Close
    }

    /// Answers the complete requests in the input and moves the rest to its front. Its length, or none if the
    /// connection is done.
    fn answer(&mut self, connection: &mut Connection, filled: usize) -> Option<usize> {
        let mut used = 0;
        loop {
            let head = Head::parse(&self.input[used..filled]);
            let (status, after) = match head {
                Ok(head) => {
                    used += head.len_bytes;
                    (
                        respond(&self.tracker, &head, connection, &mut self.scratch),
                        head.connection,
                    )
                }
                Err(HeadError::Incomplete) => break,
                Err(error) => {
                    self.scratch.body.clear();
                    self.scratch
                        .body
                        .extend_from_slice(error.to_string().as_bytes());
                    (status_of(error), After::Close)
                }
            };
            self.write(&mut connection.stream, status, after)?;
        }
        self.input.copy_within(used..filled, 0);
        Some(filled - used)
    }

    /// None if the connection is done: the client wants no more, or does not take what it asked for.
    fn write(&mut self, stream: &mut TcpStream, status: Status, after: After) -> Option<()> {
        let out = &mut self.output;
        let body = &self.scratch.body;
        out.clear();
        out.extend_from_slice(b"HTTP/1.1 ");
        decimal(u32::from(status.code()), out);
        out.push(b' ');
        out.extend_from_slice(status.phrase().as_bytes());
        out.extend_from_slice(b"\r\nContent-Type: text/plain\r\nContent-Length: ");
        decimal(u32::try_from(body.len()).unwrap_or(u32::MAX), out);
        out.extend_from_slice(match after {
            After::Close => b"\r\nConnection: close\r\n\r\n",
            After::KeepAlive => b"\r\n\r\n",
        });
        out.extend_from_slice(body);
        let written = loop {
            match stream.write(out) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => break written,
            }
        };
        (written.ok() == Some(out.len()) && after == After::KeepAlive).then_some(())
    }
}

fn respond(
    tracker: &Tracker,
    head: &Head<'_>,
    connection: &Connection,
    scratch: &mut Scratch,
) -> Status {
    match connection.serves {
        Serves::Tracker => {
            let client = tracker.client_address(connection.from, head.forwarded_for);
            tracker.answer_http(head.target, client, scratch)
        }
        Serves::Metrics => {
            scratch.body.clear();
            if head.target == b"/metrics" {
                scratch
                    .body
                    .extend_from_slice(tracker.render_metrics().as_bytes());
                Status::Ok
            } else {
                scratch
                    .body
                    .extend_from_slice(b"the numbers are at /metrics\n");
                Status::NotFound
            }
        }
    }
}

fn status_of(error: HeadError) -> Status {
    match error {
        HeadError::TooLong => Status::HeadTooLarge,
        HeadError::Method => Status::MethodNotAllowed,
        HeadError::Malformed | HeadError::Incomplete => Status::BadRequest,
    }
}
