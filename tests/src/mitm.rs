//! A liar between a taker and a node: passes HTTP on and changes one byte of the answers that a test names.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, Result};

/// A proxy on a port of loopback, until the test ends.
pub struct Liar {
    address: SocketAddr,
    lies: Arc<AtomicU32>,
}

impl Liar {
    /// Passes requests on to `upstream`. In answers to requests whose first line contains `wanted`, a byte of the body
    /// is changed: that many bytes from its start, or the last one if it is shorter.
    pub fn new(upstream: &str, wanted: &str, offset: usize) -> Result<Liar> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let lies = Arc::new(AtomicU32::new(0));
        let (upstream, wanted, count) = (upstream.to_owned(), wanted.to_owned(), Arc::clone(&lies));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (upstream, wanted, count) = (upstream.clone(), wanted.clone(), count.clone());
                thread::spawn(move || {
                    // A broken connection is the taker's or the node's own decision.
                    let _ = pass_on(client, &upstream, &wanted, offset, &count);
                });
            }
        });
        Ok(Liar { address, lies })
    }

    /// A web address of the node, as it is through this proxy.
    pub fn url(&self, url: &str) -> String {
        let path = url
            .trim_start_matches("http://")
            .split_once('/')
            .map_or("", |(_, path)| path);
        format!("http://{}/{path}", self.address)
    }

    /// How often it has lied.
    pub fn lies(&self) -> u32 {
        self.lies.load(Ordering::SeqCst)
    }
}

/// One request, one answer; the connection closes after it.
fn pass_on(
    mut client: TcpStream,
    upstream: &str,
    wanted: &str,
    offset: usize,
    lies: &AtomicU32,
) -> Result<()> {
    let (head, rest) = read_head(&mut client)?;
    let first_line = head.lines().next().unwrap_or_default().to_owned();
    let mut server = TcpStream::connect(upstream)?;
    let mut lines: Vec<&str> = head.split("\r\n").filter(|line| !line.is_empty()).collect();
    lines.retain(|line| !line.to_lowercase().starts_with("connection:"));
    lines.push("Connection: close");
    server.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes())?;
    server.write_all(&rest)?;
    let mut more = client.try_clone()?;
    let mut to_server = server.try_clone()?;
    thread::spawn(move || std::io::copy(&mut more, &mut to_server));

    let (head, mut body) = read_head(&mut server)?;
    let status_ok = head.starts_with("HTTP/1.1 20");
    client.write_all(format!("{head}\r\n\r\n").as_bytes())?;
    let mut lied = !(status_ok && first_line.contains(wanted));
    let mut passed = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if !lied && !body.is_empty() && (passed + body.len() > offset || body.len() < 1024) {
            let at = offset.saturating_sub(passed).min(body.len() - 1);
            body[at] ^= 1;
            lied = true;
            lies.fetch_add(1, Ordering::SeqCst);
        }
        passed += body.len();
        client.write_all(&body)?;
        let len = server.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        body = buffer[..len].to_vec();
    }
}

/// The head without its empty line, and what came with it of the body.
fn read_head(stream: &mut TcpStream) -> Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            return Ok((head, bytes[end + 4..].to_vec()));
        }
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
                .context("a head without an end");
        }
        bytes.extend_from_slice(&buffer[..len]);
    }
}
