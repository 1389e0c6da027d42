//! Why a node does not start, or a command to it fails.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Every sentence says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Another process holds the home's lock.
    #[error("another shoal is the node of this home already ({})", home.display())]
    HomeInUse {
        /// The home.
        home: PathBuf,
    },
    /// A port that was asked for, or that links carry, is taken.
    #[error(
        "port {} is in use by another program ({why}): stop that program, or choose another port with \
         --listen ADDR:PORT or `shoal config set listen ADDR:PORT`",
        address.port()
    )]
    PortInUse {
        /// What could not be bound.
        address: SocketAddr,
        /// TCP or UDP, and what for.
        why: &'static str,
    },
    /// An address that this machine does not have.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What could not be bound.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] shoal_store::StoreError),
    /// The device's key cannot be read.
    #[error("the device key {} cannot be used: {why}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Certificate or key cannot be used.
    #[error("{} cannot be used for TLS: {why}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Only one of certificate and key was named.
    #[error("TLS needs a certificate and its key: name both, --tls-cert and --tls-key")]
    HalfTls,
    /// The iroh endpoint does not start.
    #[error("the iroh endpoint does not start: {0}")]
    Iroh(String),
    /// The system refuses something else.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
}

impl NodeError {
    /// For `map_err`: what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
