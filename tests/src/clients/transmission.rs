use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Client, Fetch};
use crate::namespace::Namespace;
use crate::{Deadline, Running, in_namespace, needs, poll};

/// transmission-daemon in a network namespace: it never connects to 127.0.0.0/8.
pub struct Transmission<'a> {
    /// Where it runs.
    pub namespace: &'a Namespace,
}

struct TransmissionFetch {
    running: Running,
    namespace: String,
    _config: TempDir,
}

const RPC: &str = "http://127.0.0.1:9091/transmission/rpc";
const PORT: u16 = 51413;
/// `status` of a torrent that has everything and seeds.
const SEEDING: u64 = 6;

impl Client for Transmission<'_> {
    fn name(&self) -> &'static str {
        "Transmission"
    }

    fn start(&self, link: &str, into: &Path) -> Result<Box<dyn Fetch>> {
        let config = tempfile::tempdir()?;
        let settings = json!({
            "download-dir": into,
            "incomplete-dir-enabled": false,
            "dht-enabled": false,
            "lpd-enabled": false,
            "pex-enabled": false,
            "port-forwarding-enabled": false,
            "utp-enabled": false,
            "peer-port": PORT,
            "bind-address-ipv4": self.namespace.address(),
            "rpc-bind-address": "127.0.0.1",
            "rpc-authentication-required": false,
            "rpc-whitelist-enabled": false,
            "umask": 18,
        });
        std::fs::write(
            config.path().join("settings.json"),
            serde_json::to_vec_pretty(&settings)?,
        )?;
        let mut command = in_namespace(Some(self.namespace.name()), &needs("transmission-daemon")?);
        command
            .args(["--foreground", "--log-info", "--config-dir"])
            .arg(config.path());
        let fetch = TransmissionFetch {
            running: Running::start(command)?,
            namespace: self.namespace.name().to_owned(),
            _config: config,
        };
        poll(Deadline::secs(30), "Transmission's RPC", || {
            Ok(fetch.call("session-get", &json!({})).ok())
        })?;
        let added = fetch.call("torrent-add", &json!({ "filename": link }))?;
        ensure!(
            added["torrent-added"].is_object(),
            "Transmission did not take the link: {added}"
        );
        Ok(Box::new(fetch))
    }
}

impl TransmissionFetch {
    /// One call of its RPC. The first answer to a new session is 409 with the session's id.
    fn call(&self, method: &str, arguments: &Value) -> Result<Value> {
        let body = json!({ "method": method, "arguments": arguments }).to_string();
        let head = self.curl(&["-D", "-", "-o", "/dev/null", RPC])?;
        let session = head
            .lines()
            .find_map(|line| line.strip_prefix("X-Transmission-Session-Id: "))
            .context("Transmission gives no session id")?
            .trim()
            .to_owned();
        let header = format!("X-Transmission-Session-Id: {session}");
        let text = self.curl(&["-H", &header, "-d", &body, RPC])?;
        let value: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        ensure!(value["result"] == "success", "{method}: {text}");
        Ok(value["arguments"].clone())
    }

    fn curl(&self, args: &[&str]) -> Result<String> {
        let output = in_namespace(Some(&self.namespace), &needs("curl")?)
            .args(["--silent", "--show-error", "--max-time", "20"])
            .args(args)
            .output()?;
        ensure!(
            output.status.success(),
            "curl: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn torrent(&self) -> Result<Value> {
        let fields = json!({ "fields": [
            "status", "leftUntilDone", "percentDone", "metadataPercentComplete", "errorString",
            "uploadedEver", "peersConnected", "trackerStats"
        ] });
        let answer = self.call("torrent-get", &fields)?;
        Ok(answer["torrents"][0].clone())
    }
}

impl Fetch for TransmissionFetch {
    fn complete(&mut self, deadline: Deadline) -> Result<()> {
        let mut last = Value::Null;
        let done = poll(deadline, "Transmission to finish", || {
            last = self.torrent()?;
            let complete = last["metadataPercentComplete"] == 1
                && last["leftUntilDone"] == 0
                && last["status"] == SEEDING;
            Ok(complete.then_some(()))
        });
        done.with_context(|| format!("the torrent is {last:#}\n{}", self.running.stderr()))
    }

    fn port(&self) -> u16 {
        PORT
    }

    fn uploaded_bytes(&mut self) -> Result<u64> {
        self.torrent()?["uploadedEver"]
            .as_u64()
            .context("uploadedEver is a number")
    }

    fn close(mut self: Box<Self>) -> Result<()> {
        self.running.terminate()?;
        self.running.outcome(Deadline::secs(60))?;
        Ok(())
    }
}
