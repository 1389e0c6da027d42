//! What the program says while it runs: a sentence for people, an object for programs.

use std::io::Write;
use std::net::SocketAddr;

use serde::Serialize;

/// Something worth a line.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
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
    /// Writes one line. Nobody may be reading any more, which is no reason to stop.
    pub(crate) fn write(self, report: &Report) {
        let line = match self {
            Self::Text => report.sentence(),
            Self::Json => serde_json::to_string(report).unwrap_or_default(),
        };
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
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
            Self::Stopped { announces, peers } => {
                format!("stopped after {announces} announces, with {peers} peers")
            }
        }
    }
}
