//! Where the Unix socket is, and how to name it when the home's path is long.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Name of the socket in the home.
pub const SOCKET_NAME: &str = "node.sock";
/// Name of the file in the home with the bearer token (mode 0600).
pub const TOKEN_NAME: &str = "token";

/// `sockaddr_un` holds 108 bytes on Linux and 104 on macOS, with a NUL at the end.
const PATH_MAX_BYTES: usize = 103;

/// A path that fits into a socket address, as long as this value lives.
#[derive(Debug)]
pub struct ShortPath {
    path: PathBuf,
    _folder: Option<File>,
}

impl ShortPath {
    /// The path itself, or, where it is too long, one through an open handle of its folder.
    ///
    /// # Errors
    /// When the folder cannot be opened.
    pub fn new(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= PATH_MAX_BYTES {
            return Ok(Self {
                path: path.to_path_buf(),
                _folder: None,
            });
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let folder = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        Ok(Self {
            path,
            _folder: Some(folder),
        })
    }

    /// What to bind or connect to.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_long_home_still_has_a_socket() {
        let home = tempfile::tempdir().unwrap();
        let deep = home.path().join("x".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join(SOCKET_NAME);
        assert!(UnixListener::bind(&path).is_err());
        let _listener = UnixListener::bind(ShortPath::new(&path).unwrap().path()).unwrap();
        UnixStream::connect(ShortPath::new(&path).unwrap().path()).unwrap();
        assert!(path.exists());
    }
}
