//! What every command works with.

use std::env;
use std::path::PathBuf;

use shoal_node::home::{Home, Xdg};

use crate::args::Global;
use crate::failure::Failure;
use crate::logfile::LogFile;
use crate::output::Output;

/// The options that all commands share, where the home is, and where to print.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) output: Output,
    pub(crate) home: Home,
    /// Open while this process is the node.
    pub(crate) log: LogFile,
    /// Address of the session's D-Bus, where there is a desktop.
    pub(crate) desktop_bus: Option<String>,
}

impl Context {
    /// Reads the environment, once and nowhere else.
    pub(crate) fn new(global: Global, output: Output) -> Result<Self, Failure> {
        let explicit = global
            .home
            .clone()
            .filter(|path| !path.as_os_str().is_empty());
        let home = Home::locate(explicit, &xdg())?;
        Ok(Self {
            global,
            output,
            home,
            log: LogFile::default(),
            desktop_bus: desktop_bus(),
        })
    }
}

/// As the session says, or where systemd puts it.
fn desktop_bus() -> Option<String> {
    let said = env::var("DBUS_SESSION_BUS_ADDRESS").ok();
    said.filter(|address| !address.is_empty()).or_else(|| {
        let socket = PathBuf::from(env::var_os("XDG_RUNTIME_DIR")?).join("bus");
        let path = socket.to_str().filter(|_| socket.exists())?;
        // Other characters would have to be escaped, and systemd uses none.
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_/.".contains(c);
        path.chars().all(plain).then(|| format!("unix:path={path}"))
    })
}

/// The folders of this person's environment.
pub(crate) fn xdg() -> Xdg {
    let path = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    Xdg {
        home: path("HOME"),
        config: path("XDG_CONFIG_HOME"),
        data: path("XDG_DATA_HOME"),
        state: path("XDG_STATE_HOME"),
    }
}
