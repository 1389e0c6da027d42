//! A small HTTP/1.1 client: enough to ask a node what a browser would, and to see exactly what comes back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// An answer whose body has not been read.
pub struct Response {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

impl Response {
    /// The first header of that name; case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The whole body. An error if it ends before its announced length.
    pub fn bytes(mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.body.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The whole body as text.
    pub fn text(self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes()?).into_owned())
    }

    /// The body as it comes.
    pub fn reader(&mut self) -> &mut dyn Read {
        &mut self.body
    }
}

/// GET.
pub fn get(url: &str) -> Result<Response> {
    request("GET", url, &[], b"")
}

/// GET with more headers.
pub fn with_headers(url: &str, headers: &[(&str, &str)]) -> Result<Response> {
    request("GET", url, headers, b"")
}

/// Any method. One connection for each request; reads time out after 30 seconds.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response> {
    let rest = url
        .strip_prefix("http://")
        .with_context(|| format!("{url} is not plain http"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host).with_context(|| format!("connecting to {host}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut head = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    read_response(BufReader::new(stream))
}

/// Percent-encodes all but unreserved characters and slashes.
pub fn encode_path(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Percent-encodes a query value, slashes too.
pub fn encode_query(value: &str) -> String {
    encode_path(value).replace('/', "%2F")
}

fn read_response(mut reader: BufReader<TcpStream>) -> Result<Response> {
    let mut line = String::new();
    reader
        .read_line(&mut line)
        .context("reading the status line")?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .with_context(|| format!("not a status line: {line:?}"))?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            bail!("the answer ended inside its head");
        }
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        if let Some((name, value)) = text.split_once(':') {
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    let value_of = |name: &str| {
        headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.clone())
    };
    let shape = if value_of("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        Shape::Chunked {
            left: 0,
            first: true,
        }
    } else if let Some(len) = value_of("content-length") {
        Shape::Length(len.parse()?)
    } else {
        Shape::UntilEnd
    };
    Ok(Response {
        status,
        headers,
        body: Body { reader, shape },
    })
}

struct Body {
    reader: BufReader<TcpStream>,
    shape: Shape,
}

enum Shape {
    Length(u64),
    Chunked { left: u64, first: bool },
    UntilEnd,
    Done,
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if let Shape::Chunked { left: 0, first } = self.shape {
            self.shape = self.next_chunk(first)?;
        }
        let left = match self.shape {
            Shape::Length(left) | Shape::Chunked { left, .. } => left,
            Shape::UntilEnd => return self.reader.read(into),
            Shape::Done => 0,
        };
        if left == 0 {
            return Ok(0);
        }
        let most = left.min(into.len() as u64) as usize;
        let len = self.reader.read(&mut into[..most])?;
        if len == 0 {
            return Err(std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                format!("the body ended {left} bytes early"),
            ));
        }
        let left = left - len as u64;
        self.shape = match self.shape {
            Shape::Chunked { .. } => Shape::Chunked { left, first: false },
            _ => Shape::Length(left),
        };
        Ok(len)
    }
}

impl Body {
    fn next_chunk(&mut self, first: bool) -> std::io::Result<Shape> {
        let mut line = String::new();
        if !first {
            self.reader.read_line(&mut line)?;
            line.clear();
        }
        self.reader.read_line(&mut line)?;
        let size = line.trim().split(';').next().unwrap_or_default();
        let left = u64::from_str_radix(size, 16).map_err(|_| {
            std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                format!("the body ended inside a chunk head {line:?}"),
            )
        })?;
        Ok(if left == 0 {
            Shape::Done
        } else {
            Shape::Chunked { left, first: false }
        })
    }
}
