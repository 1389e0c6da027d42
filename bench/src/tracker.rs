//! The smallest tracker that makes two clients meet (BEP 3, BEP 23), for clients that cannot be told a peer.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result};

/// A tracker on loopback; its thread ends with the process.
pub(crate) struct Tracker {
    port: u16,
    announced: Receiver<u16>,
}

impl Tracker {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let (sender, announced) = channel();
        std::thread::spawn(move || serve(&listener, &sender));
        Ok(Self { port, announced })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/announce", self.port)
    }

    /// Waits until somebody has announced this port.
    pub(crate) fn announced(&self, port: u16, within: Duration) -> Result<()> {
        loop {
            let announced = self.announced.recv_timeout(within);
            if announced.context("nobody announces itself to the tracker")? == port {
                return Ok(());
            }
        }
    }
}

fn serve(listener: &TcpListener, sender: &Sender<u16>) {
    let mut known: Vec<u16> = Vec::new();
    for stream in listener.incoming().flatten() {
        let Ok(Some(port)) = announce(&stream) else {
            continue;
        };
        let others: Vec<u16> = known.iter().copied().filter(|it| *it != port).collect();
        if !known.contains(&port) {
            known.push(port);
        }
        if answer(stream, &others).is_err() || sender.send(port).is_err() {
            continue;
        }
    }
}

/// Reads a request; the port that it announces.
fn announce(stream: &TcpStream) -> Result<Option<u16>> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().context("no request")??;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let query = request.split(['?', ' ']).nth(2).unwrap_or_default();
    Ok(query
        .split('&')
        .find_map(|pair| pair.strip_prefix("port=")?.parse().ok()))
}

fn answer(mut stream: TcpStream, ports: &[u16]) -> Result<()> {
    let mut body = b"d8:intervali60e5:peers".to_vec();
    write!(body, "{}:", ports.len() * 6)?;
    for port in ports {
        body.extend(Ipv4Addr::LOCALHOST.octets());
        body.extend(port.to_be_bytes());
    }
    body.push(b'e');
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::io::Read;

    #[test]
    fn the_second_hears_of_the_first() {
        let tracker = Tracker::start().unwrap();
        let ask = |port: u16| {
            let mut stream = TcpStream::connect(("127.0.0.1", tracker.port)).unwrap();
            write!(
                stream,
                "GET /announce?info_hash=x&port={port} HTTP/1.1\r\nHost: a\r\n\r\n"
            )
            .unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            answer
        };
        assert!(ask(7000).ends_with(b"5:peers0:e"));
        tracker.announced(7000, Duration::from_secs(1)).unwrap();
        assert!(ask(7001).ends_with(b"5:peers6:\x7f\0\0\x01\x1b\x58e"));
    }
}
