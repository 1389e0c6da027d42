//! The head of an HTTP/1.x request, as far as a tracker needs it (RFC 9112).

/// Bytes of a request head. 64 infohashes of a scrape, all escaped, need half of it.
pub const HEAD_MAX_BYTES: usize = 8192;

/// Whether more requests may follow on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// The client waits for the answer only.
    Close,
    /// The client may ask again.
    KeepAlive,
}

/// A complete request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// The request target, as it was sent.
    pub target: &'a [u8],
    /// Whether more may follow.
    pub connection: Connection,
    /// The last `X-Forwarded-For` field's value.
    pub forwarded_for: Option<&'a [u8]>,
    /// Bytes of the head with the empty line that ends it.
    pub len_bytes: usize,
}

/// Why bytes are no request that a tracker answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The empty line that ends a head has not arrived yet.
    #[error("the request is not complete yet")]
    Incomplete,
    /// The head is longer than [`HEAD_MAX_BYTES`].
    #[error(
        "the request head is longer than {HEAD_MAX_BYTES} bytes; ask for fewer infohashes at once"
    )]
    TooLong,
    /// Not `GET`.
    #[error("only GET is answered here")]
    Method,
    /// Not HTTP/1.0 or HTTP/1.1.
    #[error("this is no HTTP/1.x request")]
    Malformed,
}

impl<'a> Head<'a> {
    /// Reads one request head from the start of `bytes`. Bodies are not read: a request that announces one is
    /// answered and its connection closed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, HeadError> {
        let Some(end) = find_end(bytes) else {
            return Err(if bytes.len() >= HEAD_MAX_BYTES {
                HeadError::TooLong
            } else {
                early_error(bytes)
            });
        };
        if end > HEAD_MAX_BYTES {
            return Err(HeadError::TooLong);
        }
        let mut lines = bytes
            .get(..end)
            .unwrap_or_default()
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let (target, connection) = request_line(lines.next().unwrap_or_default())?;
        let mut head = Self {
            target,
            connection,
            forwarded_for: None,
            len_bytes: end,
        };
        for line in lines {
            head.field(line);
        }
        Ok(head)
    }

    fn field(&mut self, line: &'a [u8]) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return;
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        // The lengths tell most fields apart without comparing them.
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"connection") => {
                if value.eq_ignore_ascii_case(b"close") {
                    self.connection = Connection::Close;
                } else if value.eq_ignore_ascii_case(b"keep-alive") {
                    self.connection = Connection::KeepAlive;
                }
            }
            15 if name.eq_ignore_ascii_case(b"x-forwarded-for") => self.forwarded_for = Some(value),
            14 if name.eq_ignore_ascii_case(b"content-length") && value != b"0" => {
                self.connection = Connection::Close;
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.connection = Connection::Close;
            }
            _ => {}
        }
    }
}

/// The position behind the empty line.
fn find_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == b'\n') {
        let next = from + at + 1;
        match bytes.get(next..)? {
            [b'\n', ..] => return Some(next + 1),
            [b'\r', b'\n', ..] => return Some(next + 2),
            _ => from = next,
        }
    }
    None
}

/// What can be said before the head is complete, so that foreign protocols are not waited for.
fn early_error(bytes: &[u8]) -> HeadError {
    let method = b"GET ";
    let seen = bytes.len().min(method.len());
    if bytes.get(..seen) == method.get(..seen) {
        HeadError::Incomplete
    } else {
        HeadError::Method
    }
}

fn request_line(line: &[u8]) -> Result<(&[u8], Connection), HeadError> {
    let rest = line.strip_prefix(b"GET ").ok_or(HeadError::Method)?;
    let (target, connection) = if let Some(target) = rest.strip_suffix(b" HTTP/1.1") {
        (target, Connection::KeepAlive)
    } else if let Some(target) = rest.strip_suffix(b" HTTP/1.0") {
        (target, Connection::Close)
    } else {
        return Err(HeadError::Malformed);
    };
    if target.is_empty() || target.iter().any(|byte| *byte <= b' ') {
        return Err(HeadError::Malformed);
    }
    Ok((target, connection))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_of_a_client() {
        let bytes = b"GET /announce?x=1 HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nConnection: close\r\n\r\nGET";
        let head = Head::parse(bytes).unwrap();
        assert_eq!(head.target, b"/announce?x=1");
        assert_eq!(head.connection, Connection::Close);
        assert_eq!(head.forwarded_for, Some(&b"1.2.3.4, 5.6.7.8"[..]));
        assert_eq!(head.len_bytes, bytes.len() - 3);
    }

    #[test]
    fn connection_follows_version_field_and_body() {
        let connection = |text: &str| Head::parse(text.as_bytes()).unwrap().connection;
        assert_eq!(connection("GET / HTTP/1.1\r\n\r\n"), Connection::KeepAlive);
        assert_eq!(connection("GET / HTTP/1.0\r\n\r\n"), Connection::Close);
        assert_eq!(
            connection("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
            Connection::KeepAlive
        );
        assert_eq!(
            connection("GET / HTTP/1.1\nContent-Length: 3\n\n"),
            Connection::Close
        );
    }

    #[test]
    fn what_is_no_request() {
        let table: &[(&[u8], HeadError)] = &[
            (b"", HeadError::Incomplete),
            (b"GE", HeadError::Incomplete),
            (b"GET / HTTP/1.1\r\n", HeadError::Incomplete),
            (b"\x13BitTorrent protocol", HeadError::Method),
            (b"POST / HTTP/1.1\r\n\r\n", HeadError::Method),
            (b"GET /\r\n\r\n", HeadError::Malformed),
            (b"GET  HTTP/1.1\r\n\r\n", HeadError::Malformed),
            (b"GET /a b HTTP/1.1\r\n\r\n", HeadError::Malformed),
        ];
        for (bytes, expected) in table {
            assert_eq!(Head::parse(bytes), Err(*expected), "{bytes:?}");
        }
        let long = [b"GET /".as_slice(), &[b'a'; HEAD_MAX_BYTES]].concat();
        assert_eq!(Head::parse(&long), Err(HeadError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = Head::parse(&bytes);
            let _ = Head::parse(&[b"GET /", &bytes[..], b"\r\n\r\n"].concat());
        }
    }
}
