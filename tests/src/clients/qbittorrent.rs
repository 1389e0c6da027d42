use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::{Client, Fetch, free_port};
use crate::{Deadline, Running, http, needs, poll};

/// qBittorrent through its Web API.
pub struct QBittorrent;

/// A running qBittorrent.
pub struct QBittorrentFetch {
    running: Running,
    api: String,
    port: u16,
    _profile: TempDir,
}

impl QBittorrent {
    /// Like [`Client::start`], with all that this client can tell.
    pub fn begin(&self, link: &str, into: &Path) -> Result<QBittorrentFetch> {
        let profile = tempfile::tempdir()?;
        let (port, web_port) = (free_port()?, free_port()?);
        let config = profile.path().join("qBittorrent/config");
        fs::create_dir_all(&config)?;
        fs::write(config.join("qBittorrent.conf"), settings(port, web_port))?;
        let mut command = Command::new(needs("qbittorrent-nox")?);
        command
            .arg(format!("--profile={}", profile.path().display()))
            .env("HOME", profile.path());
        let running = Running::start(command)?;
        let fetch = QBittorrentFetch {
            running,
            api: format!("http://127.0.0.1:{web_port}/api/v2"),
            port,
            _profile: profile,
        };
        poll(Deadline::secs(30), "qBittorrent's Web API", || {
            Ok(http::get(&format!("{}/app/version", fetch.api))
                .ok()
                .filter(|answer| answer.status == 200)
                .map(drop))
        })?;
        let body = format!(
            "urls={}&savepath={}",
            http::encode_query(link),
            http::encode_query(&into.to_string_lossy())
        );
        fetch.post("/torrents/add", &body)?;
        Ok(fetch)
    }
}

impl Client for QBittorrent {
    fn name(&self) -> &'static str {
        "qBittorrent"
    }

    fn start(&self, link: &str, into: &Path) -> Result<Box<dyn Fetch>> {
        Ok(Box::new(self.begin(link, into)?))
    }
}

impl QBittorrentFetch {
    /// Waits until a tracker has answered it.
    pub fn announced(&self, deadline: Deadline) -> Result<()> {
        const WORKING: u64 = 2;
        let torrent = self.torrent()?.context("a torrent")?;
        let hash = torrent["hash"].as_str().context("it has a hash")?;
        let url = format!("{}/torrents/trackers?hash={hash}", self.api);
        poll(deadline, "a tracker to answer qBittorrent", || {
            let trackers: Value = serde_json::from_str(&http::get(&url)?.text()?)?;
            let mut trackers = trackers.as_array().into_iter().flatten();
            Ok(trackers
                .any(|tracker| tracker["status"] == WORKING)
                .then_some(()))
        })
    }

    fn post(&self, path: &str, body: &str) -> Result<()> {
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        let url = format!("{}{path}", self.api);
        let answer = http::request("POST", &url, &[form], body.as_bytes())?;
        let status = answer.status;
        let text = answer.text()?;
        ensure!(status == 200 && text != "Fails.", "{path}: {status} {text}");
        Ok(())
    }

    fn torrent(&self) -> Result<Option<Value>> {
        let text = http::get(&format!("{}/torrents/info", self.api))?.text()?;
        let list: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        Ok(list.get(0).cloned())
    }
}

impl Fetch for QBittorrentFetch {
    fn complete(&mut self, deadline: Deadline) -> Result<()> {
        let mut last = Value::Null;
        let done = poll(deadline, "qBittorrent to finish", || {
            let Some(torrent) = self.torrent()? else {
                return Ok(None);
            };
            let state = torrent["state"].as_str().unwrap_or_default().to_owned();
            last = torrent;
            match state.as_str() {
                "uploading" | "stalledUP" | "pausedUP" | "forcedUP" => Ok(Some(())),
                "error" | "missingFiles" => bail!("qBittorrent is in state {state}"),
                _ => Ok(None),
            }
        });
        done.with_context(|| format!("the torrent is {last:#}"))
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn uploaded_bytes(&mut self) -> Result<u64> {
        let torrent = self.torrent()?.context("a torrent")?;
        torrent["uploaded"].as_u64().context("uploaded is a number")
    }

    fn close(mut self: Box<Self>) -> Result<()> {
        self.post("/app/shutdown", "")?;
        self.running.outcome(Deadline::secs(60))?;
        Ok(())
    }
}

fn settings(port: u16, web_port: u16) -> String {
    format!(
        "[LegalNotice]
Accepted=true

[BitTorrent]
Session\\Port={port}
Session\\Interface=lo
Session\\InterfaceName=lo
Session\\InterfaceAddress=127.0.0.1
Session\\DHTEnabled=false
Session\\LSDEnabled=false
Session\\PeXEnabled=false
Session\\QueueingSystemEnabled=false
Session\\MultiConnectionsPerIp=true
Session\\Preallocation=false

[Core]
AutoDeleteAddedTorrentFile=Never

[Network]
PortForwardingEnabled=false

[Preferences]
Connection\\UPnP=false
WebUI\\Enabled=true
WebUI\\Address=127.0.0.1
WebUI\\Port={web_port}
WebUI\\LocalHostAuth=false
WebUI\\CSRFProtection=false
WebUI\\UseUPnP=false
"
    )
}
