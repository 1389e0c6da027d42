//! The settings of a home: one TOML file, every key known by name, document and default.

use crate::tls::TlsFiles;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item, Value};

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read or written.
    #[error("the settings in {} cannot be read or written: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("the settings in {} are not valid TOML: {why}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where and what.
        why: String,
    },
    /// A key that does not exist.
    #[error("there is no setting '{0}': `shoal config get` lists them all")]
    UnknownKey(String),
    /// A value of the wrong form.
    #[error("'{value}' is no value for {key}: it takes {form}")]
    Value {
        /// The key.
        key: &'static str,
        /// What was given.
        value: String,
        /// What it takes.
        form: &'static str,
    },
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name in the file.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// What it takes.
    pub form: &'static str,
    /// Its value where the file does not say, as text.
    pub default: &'static str,
}

const ADDRESSES: &str =
    "an address and port such as [::]:7462, or port 0 for one that the home remembers";
const HOSTS: &str =
    "hosts with or without port such as files.example.org or 203.0.113.7:7462, separated by commas";
const WORDS: &str = "at most 200 characters, such as a name and a mail address";
const SWITCH: &str = "true or false";
const FILE: &str = "the absolute path of a file";

/// All settings.
pub const KEYS: &[Key] = &[
    Key {
        name: "listen",
        doc: "where HTTP and BitTorrent listen (TCP); iroh has the same port of UDP, the UDP tracker the next",
        form: ADDRESSES,
        default: "",
    },
    Key {
        name: "advertise",
        doc: "addresses to put into links instead of those found",
        form: HOSTS,
        default: "",
    },
    Key {
        name: "contact",
        doc: "whom to ask, as the pages of links tell it",
        form: WORDS,
        default: "",
    },
    Key {
        name: "port-mapping",
        doc: "ask the router to open the ports (PCP, NAT-PMP, UPnP)",
        form: SWITCH,
        default: "true",
    },
    Key {
        name: "bittorrent",
        doc: "seed links to torrent clients",
        form: SWITCH,
        default: "true",
    },
    Key {
        name: "iroh",
        doc: "serve links over iroh (QUIC)",
        form: SWITCH,
        default: "true",
    },
    Key {
        name: "udp-tracker",
        doc: "answer the UDP tracker protocol (BEP 15)",
        form: SWITCH,
        default: "true",
    },
    Key {
        name: "dht-bootstrap",
        doc: "nodes of the BitTorrent DHT by which shares made with --public enter it",
        form: HOSTS,
        default: "router.bittorrent.com:6881,dht.transmissionbt.com:6881",
    },
    Key {
        name: "tls-cert",
        doc: "certificate (PEM) with which the TCP port speaks https as well; read again when it is renewed",
        form: FILE,
        default: "",
    },
    Key {
        name: "tls-key",
        doc: "private key (PEM) of that certificate",
        form: FILE,
        default: "",
    },
    Key {
        name: "desktop-notices",
        doc: "show on the desktop who opens links and who has everything",
        form: SWITCH,
        default: "true",
    },
    Key {
        name: "log-level",
        doc: "how much goes into the log",
        form: "error, warn, info, debug or trace",
        default: "info",
    },
];

/// The settings of a home.
#[derive(Debug, Clone)]
pub struct Config {
    path: PathBuf,
    document: DocumentMut,
}

impl Config {
    /// Reads the file; one that is not there has nothing set.
    ///
    /// # Errors
    /// See [`ConfigError`]: every key and value is checked.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => {
                return Err(ConfigError::Io {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let document: DocumentMut =
            text.parse()
                .map_err(|e: toml_edit::TomlError| ConfigError::Toml {
                    path: path.to_owned(),
                    why: e.to_string(),
                })?;
        for (name, item) in document.iter() {
            let key = key(name)?;
            check(
                key,
                &as_text(item).ok_or_else(|| wrong(key, item.to_string().trim()))?,
            )?;
        }
        Ok(Self {
            path: path.to_owned(),
            document,
        })
    }

    /// The value of a key as text: what the file says, or the default.
    ///
    /// # Errors
    /// [`ConfigError::UnknownKey`].
    pub fn value(&self, name: &str) -> Result<String, ConfigError> {
        let key = key(name)?;
        Ok(self
            .set_value(key.name)
            .unwrap_or_else(|| key.default.to_owned()))
    }

    /// Sets a key and writes the file; comments in it stay.
    ///
    /// # Errors
    /// See [`ConfigError`]; nothing is written then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let key = key(name)?;
        let value = value.trim();
        check(key, value)?;
        self.document[key.name] = toml_edit::value(match key.form {
            SWITCH => Value::from(value == "true"),
            _ => Value::from(value),
        });
        let io = |source| ConfigError::Io {
            path: self.path.clone(),
            source,
        };
        if let Some(parent) = self.path.parent() {
            std::fs::create_dir_all(parent).map_err(io)?;
        }
        crate::identity::write_private(&self.path, self.document.to_string().as_bytes()).map_err(io)
    }

    /// Where to listen, if the file says so.
    pub fn listen(&self) -> Option<SocketAddr> {
        self.set_value("listen").and_then(|text| text.parse().ok())
    }

    /// Addresses for links, if the file says so.
    pub fn advertise(&self) -> Vec<String> {
        self.list("advertise")
    }

    /// Whom to ask about links, if the file says so.
    pub fn contact(&self) -> Option<String> {
        self.set_value("contact")
    }

    /// Certificate and key.
    ///
    /// # Errors
    /// [`crate::NodeError::HalfTls`] if the file names one of them alone.
    pub fn tls(&self) -> Result<Option<TlsFiles>, crate::NodeError> {
        let file = |name| self.set_value(name).map(PathBuf::from);
        match (file("tls-cert"), file("tls-key")) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
            _ => Err(crate::NodeError::HalfTls),
        }
    }

    /// Nodes by which public shares enter the BitTorrent DHT.
    pub fn dht_bootstrap(&self) -> Vec<String> {
        self.list("dht-bootstrap")
    }

    /// Whether a switch is on.
    pub fn on(&self, switch: Switch) -> bool {
        self.value(switch.name()).is_ok_and(|value| value == "true")
    }

    /// How much goes into the log.
    pub fn log_level(&self) -> String {
        self.value("log-level").unwrap_or_default()
    }

    fn list(&self, name: &str) -> Vec<String> {
        let text = self.value(name).unwrap_or_default();
        text.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn set_value(&self, name: &str) -> Option<String> {
        self.document
            .get(name)
            .and_then(as_text)
            .filter(|text| !text.is_empty())
    }
}

/// Settings that are on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// `port-mapping`
    PortMapping,
    /// `bittorrent`
    Bittorrent,
    /// `iroh`
    Iroh,
    /// `udp-tracker`
    UdpTracker,
    /// `desktop-notices`
    DesktopNotices,
}

impl Switch {
    fn name(self) -> &'static str {
        match self {
            Self::PortMapping => "port-mapping",
            Self::Bittorrent => "bittorrent",
            Self::Iroh => "iroh",
            Self::UdpTracker => "udp-tracker",
            Self::DesktopNotices => "desktop-notices",
        }
    }
}

fn key(name: &str) -> Result<&'static Key, ConfigError> {
    KEYS.iter()
        .find(|key| key.name == name)
        .ok_or_else(|| ConfigError::UnknownKey(name.to_owned()))
}

fn as_text(item: &Item) -> Option<String> {
    match item.as_value()? {
        Value::String(text) => Some(text.value().clone()),
        Value::Boolean(on) => Some(on.value().to_string()),
        Value::Integer(number) => Some(number.value().to_string()),
        _ => None,
    }
}

fn wrong(key: &'static Key, value: &str) -> ConfigError {
    ConfigError::Value {
        key: key.name,
        value: value.to_owned(),
        form: key.form,
    }
}

fn check(key: &'static Key, value: &str) -> Result<(), ConfigError> {
    let good = match key.form {
        FILE => value.is_empty() || value.starts_with('/'),
        SWITCH => value == "true" || value == "false",
        ADDRESSES => value.is_empty() || value.parse::<SocketAddr>().is_ok(),
        HOSTS => value
            .split(',')
            .map(str::trim)
            .all(|host| host.is_empty() || is_host(host)),
        WORDS => value.chars().count() <= 200 && !value.contains(char::is_control),
        _ => ["error", "warn", "info", "debug", "trace"].contains(&value),
    };
    if good { Ok(()) } else { Err(wrong(key, value)) }
}

/// A host name or address, with or without a port; IPv6 addresses stand in brackets.
pub fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let host_good = match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        }
    };
    host_good && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_are_checked_and_comments_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "# mine\nport-mapping = false\n").unwrap();
        let mut config = Config::load(&path).unwrap();
        assert!(!config.on(Switch::PortMapping));
        assert!(config.on(Switch::Bittorrent));
        config.set("listen", "127.0.0.1:0").unwrap();
        assert!(config.set("listen", "here").is_err());
        assert!(config.set("nothing", "x").is_err());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("# mine") && text.contains("127.0.0.1:0"),
            "{text}"
        );
        std::fs::write(&path, "listen = 5").unwrap();
        assert!(matches!(
            Config::load(&path),
            Err(ConfigError::Value { .. })
        ));
        std::fs::write(&path, "listne = \"x\"").unwrap();
        assert!(matches!(
            Config::load(&path),
            Err(ConfigError::UnknownKey(_))
        ));
    }

    #[test]
    fn defaults_are_good_values() {
        for key in KEYS {
            check(key, key.default).unwrap();
        }
    }

    #[test]
    fn hosts() {
        for (text, good) in [
            ("files.example.org", true),
            ("203.0.113.7:7462", true),
            ("[2001:db8::1]:80", true),
            ("[2001:db8::1]", true),
            ("2001:db8::1", false),
            ("a b", false),
            ("a:0", false),
            ("http://a", false),
        ] {
            assert_eq!(is_host(text), good, "{text}");
        }
    }
}
