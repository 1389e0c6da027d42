//! TLS on the TCP port: a certificate and its key from two files, read again when they were renewed.

use crate::error::NodeError;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_rustls::TlsAcceptor;

/// The first byte of a TLS record that begins a handshake (RFC 8446, 5.1).
pub(crate) const HANDSHAKE_FIRST_BYTE: u8 = 0x16;

/// Where certificate and key are, both as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, with those between it and an authority after it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What connections are encrypted with.
pub(crate) struct Tls {
    files: TlsFiles,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    stamps: [Stamp; 2],
}

/// Differs when a file was written or replaced: size, mtime, ctime, inode.
type Stamp = Option<[i64; 6]>;

impl Tls {
    /// Reads both files.
    ///
    /// # Errors
    /// [`NodeError::Tls`] says which file, and what is wrong with it.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, NodeError> {
        // Before reading: what is written in between is seen as a change.
        let stamps = stamps(&files);
        let config = read(&files)?;
        Ok(Self {
            files,
            loaded: Mutex::new(Loaded { config, stamps }),
        })
    }

    /// With the certificate of now. Renewed files that cannot be used leave the one before in use. May read a disk.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamps(&self.files);
        if now != loaded.stamps {
            // A file that is half renewed is told of once, and looked at again when it changes.
            loaded.stamps = now;
            match read(&self.files) {
                Ok(config) => {
                    tracing::info!("the certificate was renewed");
                    loaded.config = config;
                }
                Err(error) => {
                    tracing::warn!(%error, "the old certificate stays in use");
                }
            }
        }
        loaded.config.clone().into()
    }
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, NodeError> {
    let wrong = |path: &Path, why: String| NodeError::Tls {
        path: path.to_owned(),
        why,
    };
    let certificate = |why: String| wrong(&files.certificate, why);
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| certificate(sentence(&error)))?;
    if chain.is_empty() {
        return Err(certificate("it has no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| wrong(&files.key, sentence(&error)))?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    let mut config = config.map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => wrong(
            &files.key,
            format!(
                "it is not the key of the certificate in {}",
                files.certificate.display()
            ),
        ),
        rustls::Error::InvalidCertificate(_) => {
            certificate("it has no certificate that can be read".to_owned())
        }
        other => wrong(&files.key, other.to_string()),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn sentence(error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(error) => error.to_string(),
        Error::NoItemsFound => "there is nothing of the kind in it: it has to be PEM".to_owned(),
        other => other.to_string(),
    }
}

fn stamps(files: &TlsFiles) -> [Stamp; 2] {
    [&files.certificate, &files.key].map(|path| {
        let about = std::fs::metadata(path).ok()?;
        Some([
            about.size().cast_signed(),
            about.mtime(),
            about.mtime_nsec(),
            about.ctime(),
            about.ctime_nsec(),
            about.ino().cast_signed(),
        ])
    })
}
