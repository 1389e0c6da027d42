//! The device's Ed25519 key: made at the first start, kept in a file that only its owner reads.

use crate::error::NodeError;
use crate::home::Home;
use ed25519_dalek::SigningKey;
use shoal_protocol::id::DeviceId;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// The key of a device.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) key: SigningKey,
}

impl Identity {
    /// Reads the key, or makes it.
    pub(crate) fn load_or_create(home: &Home) -> Result<Self, NodeError> {
        let path = home.key_file();
        let wrong = |why: &str| NodeError::Key {
            path: path.clone(),
            why: why.to_owned(),
        };
        match fs::read(&path).map(Zeroizing::new) {
            Ok(bytes) => {
                let mode = fs::metadata(&path)
                    .map_err(|e| wrong(&e.to_string()))?
                    .permissions()
                    .mode();
                if mode & 0o077 != 0 {
                    return Err(wrong(
                        "others can read it; run `chmod 600` on it if nobody else has",
                    ));
                }
                let seed: [u8; 32] = bytes
                    .as_slice()
                    .try_into()
                    .map_err(|_| wrong("it is not 32 bytes long"))?;
                Ok(Self {
                    key: SigningKey::from_bytes(&seed),
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut seed = Zeroizing::new([0; 32]);
                fill_random(seed.as_mut_slice())?;
                write_private(&path, seed.as_slice()).map_err(|e| wrong(&e.to_string()))?;
                Ok(Self {
                    key: SigningKey::from_bytes(&seed),
                })
            }
            Err(error) => Err(wrong(&error.to_string())),
        }
    }

    pub(crate) fn device(&self) -> DeviceId {
        DeviceId(self.key.verifying_key().to_bytes())
    }
}

/// Random bytes of the system.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), NodeError> {
    getrandom::fill(bytes).map_err(|error| NodeError::Io {
        what: "the system gives no random bytes".into(),
        source: error.into(),
    })
}

/// Writes a file that only its owner reads, whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let staged = path.with_extension("new");
    match fs::remove_file(&staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&staged, path)?;
    match path.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
