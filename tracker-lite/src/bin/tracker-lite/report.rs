//! What the program says while it runs: a sentence for people, an object for programs. The objects are written by
//! hand: there are five.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;

/// Something worth a line.
#[derive(Debug)]
pub(crate) enum Report {
    /// A socket is open.
    Listening {
        /// `http`, `udp` or `metrics`.
        protocol: &'static str,
        /// Its address, with the real port.
        address: SocketAddr,
    },
    /// The list was read.
    Loaded {
        /// Torrents in it.
        torrents: usize,
    },
    /// Something is not as it was asked for.
    Warning {
        /// A sentence.
        message: String,
    },
    /// Why the program ends.
    Error {
        /// A sentence.
        message: String,
    },
    /// The end, as asked for.
    Stopped {
        /// Announces answered or refused.
        announces: u64,
        /// Peers that were held.
        peers: usize,
    },
}

/// In which form lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Sentences.
    Text,
    /// JSON objects.
    Json,
}

impl Form {
    /// Writes one line, errors where errors go. Nobody may be reading any more, which is no reason to stop.
    pub(crate) fn write(self, report: &Report) {
        let line = match self {
            Self::Text => report.sentence(),
            Self::Json => report.object(),
        };
        if matches!(report, Report::Error { .. }) {
            let _ = writeln!(std::io::stderr(), "{line}");
        } else {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{line}");
            let _ = out.flush();
        }
    }
}

impl Report {
    fn sentence(&self) -> String {
        match self {
            Self::Listening {
                protocol: "metrics",
                address,
            } => format!("numbers at http://{address}/metrics"),
            Self::Listening { protocol, address } => {
                format!("announce at {protocol}://{address}/announce")
            }
            Self::Loaded { torrents } => format!("{torrents} torrents in the list"),
            Self::Warning { message } => format!("warning: {message}"),
            Self::Error { message } => format!("tracker-lite: {message}"),
            Self::Stopped { announces, peers } => {
                format!("stopped after {announces} announces, with {peers} peers")
            }
        }
    }

    fn object(&self) -> String {
        match self {
            Self::Listening { protocol, address } => {
                format!(r#"{{"type":"listening","protocol":"{protocol}","address":"{address}"}}"#)
            }
            Self::Loaded { torrents } => format!(r#"{{"type":"loaded","torrents":{torrents}}}"#),
            Self::Warning { message } => {
                format!(r#"{{"type":"warning","message":{}}}"#, quoted(message))
            }
            Self::Error { message } => {
                format!(r#"{{"type":"error","message":{}}}"#, quoted(message))
            }
            Self::Stopped { announces, peers } => {
                format!(r#"{{"type":"stopped","announces":{announces},"peers":{peers}}}"#)
            }
        }
    }
}

/// A JSON string (RFC 8259).
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            char if char.is_control() => {
                // Writing to a string does not fail. Control characters are in the first plane.
                let _ = write!(quoted, "\\u{:04x}", u32::from(char));
            }
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn objects_are_json() {
        let message = "a \"b\" \\ \n \u{7f} é \u{1f41f}".to_owned();
        let warning = Report::Warning {
            message: message.clone(),
        }
        .object();
        let value: serde_json::Value = serde_json::from_str(&warning).unwrap();
        assert_eq!(value["type"], "warning");
        assert_eq!(value["message"], message);
        let listening = Report::Listening {
            protocol: "udp",
            address: "[::1]:5".parse().unwrap(),
        };
        let value: serde_json::Value = serde_json::from_str(&listening.object()).unwrap();
        assert_eq!(value["address"], "[::1]:5");
        for report in [
            Report::Loaded { torrents: 1 },
            Report::Error { message },
            Report::Stopped {
                announces: 1,
                peers: 2,
            },
        ] {
            serde_json::from_str::<serde_json::Value>(&report.object()).unwrap();
        }
    }
}
