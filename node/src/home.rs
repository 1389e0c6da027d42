//! Where a home keeps its things.

use std::path::{Path, PathBuf};

/// Directories of the XDG Base Directory Specification, as the caller's environment has them.
#[derive(Debug, Clone, Default)]
pub struct Xdg {
    /// `$HOME`.
    pub home: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`.
    pub config: Option<PathBuf>,
    /// `$XDG_DATA_HOME`.
    pub data: Option<PathBuf>,
    /// `$XDG_STATE_HOME`.
    pub state: Option<PathBuf>,
}

/// Neither `--home` nor `$HOME` says where the home is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no home directory: set HOME, or say where to keep shoal's files with --home DIR")]
pub struct NoHome;

/// Paths of one home.
#[derive(Debug, Clone)]
pub struct Home {
    data: PathBuf,
    config: PathBuf,
    logs: PathBuf,
}

impl Home {
    /// All in one directory where one is named, else at the places of XDG.
    ///
    /// # Errors
    /// [`NoHome`] where nothing says where, or `$HOME` is relative.
    pub fn locate(explicit: Option<PathBuf>, xdg: &Xdg) -> Result<Self, NoHome> {
        if let Some(dir) = explicit {
            let dir = std::path::absolute(&dir).unwrap_or(dir);
            return Ok(Self {
                config: dir.join("config.toml"),
                logs: dir.join("logs"),
                data: dir,
            });
        }
        let own_home = xdg.home.clone().filter(|home| home.is_absolute());
        let below = |set: &Option<PathBuf>, rest: &str| {
            let set = set.clone().filter(|path| path.is_absolute());
            set.or_else(|| own_home.as_ref().map(|home| home.join(rest)))
                .ok_or(NoHome)
        };
        let data = below(&xdg.data, ".local/share")?.join("shoal");
        Ok(Self {
            config: below(&xdg.config, ".config")?.join("shoal/config.toml"),
            logs: below(&xdg.state, ".local/state")?.join("shoal/logs"),
            data,
        })
    }

    /// Key, lock, store and snapshots.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// The settings.
    pub fn config_file(&self) -> &Path {
        &self.config
    }

    /// Rotated logs.
    pub fn log_dir(&self) -> &Path {
        &self.logs
    }

    /// The node's socket.
    pub fn socket(&self) -> PathBuf {
        self.data.join(shoal_api::socket::SOCKET_NAME)
    }

    /// Who holds this file's lock is the node.
    pub fn lock_file(&self) -> PathBuf {
        self.data.join("lock")
    }

    /// The bearer token of the local API.
    pub fn token_file(&self) -> PathBuf {
        self.data.join(shoal_api::socket::TOKEN_NAME)
    }

    /// The device's secret key.
    pub fn key_file(&self) -> PathBuf {
        self.data.join("device.key")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn xdg_places() {
        let xdg = Xdg {
            home: Some("/home/a".into()),
            config: Some("/cfg".into()),
            ..Xdg::default()
        };
        let home = Home::locate(None, &xdg).unwrap();
        assert_eq!(home.data_dir(), Path::new("/home/a/.local/share/shoal"));
        assert_eq!(home.config_file(), Path::new("/cfg/shoal/config.toml"));
        assert_eq!(home.log_dir(), Path::new("/home/a/.local/state/shoal/logs"));
        assert_eq!(Home::locate(None, &Xdg::default()).unwrap_err(), NoHome);
        let relative = Xdg {
            config: Some("cfg".into()),
            ..xdg
        };
        assert_eq!(
            Home::locate(None, &relative).unwrap().config_file(),
            Path::new("/home/a/.config/shoal/config.toml")
        );
    }
}
