//! One call over D-Bus, and no more: `org.freedesktop.Notifications.Notify` (D-Bus Specification 0.43, Desktop
//! Notifications 1.2). A D-Bus library would be larger than the rest of the node's own code; this sends two messages
//! and reads one answer of which it needs nothing but that it came.

use std::io;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

const SERVICE: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";
/// Bytes of an answer; a bus answers with tens.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// Bytes of a line of the authentication.
const LINE_MAX_BYTES: u64 = 1024;
/// How a desktop decides how long a notice stays.
const EXPIRES_BY_DESKTOP: i32 = -1;

/// A method call without its serial number.
struct Call<'a> {
    destination: &'a str,
    path: &'a str,
    interface: &'a str,
    member: &'a str,
    signature: &'a str,
    body: Vec<u8>,
}

/// Shows a notice. `bus` is an address such as `unix:path=/run/user/1000/bus`.
///
/// # Errors
/// When nobody listens there, or it does not let this user in. What the desktop makes of the notice is not told.
pub(super) async fn notify(bus: &str, summary: &str, body: &str) -> io::Result<()> {
    let mut stream = BufReader::new(connect(bus).await?);
    let uid = rustix::process::geteuid().as_raw().to_string();
    let hex: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
    let hello = format!("\0AUTH EXTERNAL {hex}\r\n");
    stream.write_all(hello.as_bytes()).await?;
    let mut line = String::new();
    (&mut stream)
        .take(LINE_MAX_BYTES)
        .read_line(&mut line)
        .await?;
    if !line.starts_with("OK ") {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut messages = b"BEGIN\r\n".to_vec();
    messages.extend(name_for_us().encode(1));
    messages.extend(notice(summary, body).encode(2));
    stream.write_all(&messages).await?;
    // The bus has read both when it answers the second; closed earlier, it may drop it.
    for _ in 0..8 {
        if answered_serial(&mut stream).await? == Some(2) {
            return Ok(());
        }
    }
    Ok(())
}

/// The first address of the list that is a Unix socket.
async fn connect(bus: &str) -> io::Result<UnixStream> {
    for address in bus.split(';') {
        let keys = address.strip_prefix("unix:").unwrap_or_default();
        for (key, value) in keys.split(',').filter_map(|pair| pair.split_once('=')) {
            match key {
                "path" => return UnixStream::connect(value).await,
                #[cfg(target_os = "linux")]
                "abstract" => return UnixStream::connect(format!("\0{value}")).await,
                _ => {}
            }
        }
    }
    Err(io::ErrorKind::Unsupported.into())
}

fn name_for_us() -> Call<'static> {
    Call {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member: "Hello",
        signature: "",
        body: Vec::new(),
    }
}

fn notice(summary: &str, text: &str) -> Call<'static> {
    let mut body = Vec::new();
    string(&mut body, "Shoal");
    // It replaces no other notice.
    number(&mut body, 0);
    string(&mut body, "folder-publicshare");
    string(&mut body, summary);
    string(&mut body, text);
    // No actions and no hints; entries of the dictionary would begin at a multiple of eight.
    number(&mut body, 0);
    number(&mut body, 0);
    pad(&mut body, 8);
    body.extend(EXPIRES_BY_DESKTOP.to_le_bytes());
    Call {
        destination: SERVICE,
        path: PATH,
        interface: SERVICE,
        member: "Notify",
        signature: "susssasa{sv}i",
        body,
    }
}

impl Call<'_> {
    /// Little-endian, version 1, type 1 (method call).
    fn encode(&self, serial: u32) -> Vec<u8> {
        let mut fields = Vec::new();
        for (code, kind, value) in [
            (1_u8, "o", self.path),
            (2, "s", self.interface),
            (3, "s", self.member),
            (6, "s", self.destination),
            (8, "g", self.signature),
        ] {
            if value.is_empty() {
                continue;
            }
            pad(&mut fields, 8);
            fields.push(code);
            signature(&mut fields, kind);
            match kind {
                "g" => signature(&mut fields, value),
                _ => string(&mut fields, value),
            }
        }
        let mut message = vec![b'l', 1, 0, 1];
        number(&mut message, self.body.len());
        message.extend(serial.to_le_bytes());
        number(&mut message, fields.len());
        // The head before the fields has sixteen bytes, so what is aligned in them stays so.
        message.extend(fields);
        pad(&mut message, 8);
        message.extend(&self.body);
        message
    }
}

/// Reads one message: the serial number that it answers, if it is an answer.
async fn answered_serial(stream: &mut BufReader<UnixStream>) -> io::Result<Option<u32>> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let word = |at: usize| {
        let bytes = head.get(at..at + 4).and_then(|part| part.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or_default())
    };
    let (body, fields) = (word(4) as usize, word(12) as usize);
    if head[0] != b'l' || body > ANSWER_MAX_BYTES || fields > ANSWER_MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let fields = fields.next_multiple_of(8);
    let mut rest = vec![0; fields + body];
    stream.read_exact(&mut rest).await?;
    // Field 5, of type u, is the serial that is answered; each field begins at a multiple of eight.
    let (parts, _) = rest.get(..fields).unwrap_or_default().as_chunks::<8>();
    Ok(parts.iter().find_map(|part| match part {
        [5, 1, b'u', 0, a, b, c, d] => Some(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => None,
    }))
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn number(bytes: &mut Vec<u8>, value: usize) {
    pad(bytes, 4);
    bytes.extend(u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}

/// D-Bus strings hold no NUL.
fn string(bytes: &mut Vec<u8>, text: &str) {
    let text = text.replace('\0', "");
    number(bytes, text.len());
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

fn signature(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that `dbus-send` sends for the same call, but for its serial and flags.
    #[test]
    fn a_call_without_arguments() {
        let mut expected = vec![b'l', 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 109, 0, 0, 0];
        expected.extend(b"\x01\x01o\0\x15\0\0\0/org/freedesktop/DBus\0\0\0");
        expected.extend(b"\x02\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0");
        expected.extend(b"\x03\x01s\0\x05\0\0\0Hello\0\0\0");
        expected.extend(b"\x06\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0");
        assert_eq!(name_for_us().encode(1), expected);
    }

    #[test]
    fn everything_lies_at_its_multiple() {
        for text in ["", "a", "abc", "abcd", "ab\0cd", "\u{fc}"] {
            let message = notice(text, text).encode(2);
            let fields = u32::from_le_bytes([message[12], message[13], message[14], message[15]]);
            let body = u32::from_le_bytes([message[4], message[5], message[6], message[7]]);
            let begin = (16 + fields as usize).next_multiple_of(8);
            assert_eq!(message.len(), begin + body as usize, "{text}");
            assert_eq!(&message[message.len() - 4..], (-1_i32).to_le_bytes());
        }
    }
}
