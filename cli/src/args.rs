//! What a person may type. Each command describes its own arguments in its own file.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use shoal_node::TlsFiles;

use crate::command::{
    add, completions, config, conflicts, devices, down, events, get, join, leave, log, logs, man,
    pair, pause, resume, service, sets, share, shares, status, stop, up,
};

/// Gives out files by link, takes them, and keeps folders the same on several devices.
///
/// `shoal share PATH` prints one link. It opens in a browser, in any torrent client, or with `shoal get`.
/// `shoal pair` brings two devices together; then `shoal add PATH` here and `shoal join NAME PATH` there keep a folder
/// the same on both. The files stay where they are: nothing is uploaded to anybody's server.
#[derive(Debug, Parser)]
#[command(
    name = "shoal",
    version,
    max_term_width = 100,
    propagate_version = false
)]
#[command(
    after_help = "`shoal help COMMAND` tells more. Exit codes, files and environment: `shoal man | man -l -`."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options for every command")]
pub(crate) struct Global {
    /// Where this node keeps its key, store, settings and logs, instead of the XDG folders.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SHOAL_HOME",
        hide_env_values = true
    )]
    pub(crate) home: Option<PathBuf>,
    /// Print one JSON object per line, each with a `type`.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Never start a node: fail with exit code 10 where one is needed and none runs.
    #[arg(long, global = true)]
    pub(crate) no_start: bool,
    /// Say less: only results and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Log more (-v: debug, -vv: trace).
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// No colours. The environment variable NO_COLOR does the same.
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Share(share::ShareArgs),
    Shares(shares::SharesArgs),
    Stop(stop::StopArgs),
    Log(log::LogArgs),
    Events(events::EventsArgs),
    Get(get::FetchArgs),
    Pair(pair::PairArgs),
    Devices(devices::DevicesArgs),
    Add(add::AddArgs),
    Join(join::JoinArgs),
    Leave(leave::LeaveArgs),
    Sets(sets::SetsArgs),
    Pause(pause::PauseArgs),
    Resume(resume::ResumeArgs),
    Conflicts(conflicts::ConflictsArgs),
    Up(up::UpArgs),
    Down(down::DownArgs),
    Status(status::StatusArgs),
    Logs(logs::LogsArgs),
    Service(service::ServiceArgs),
    Config(config::ConfigArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Where a node listens and what it puts into links; `share` and `up` take these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct Listening {
    /// Listen here (HTTP and BitTorrent over TCP; iroh on the same UDP port). By default that is port 7462 of all
    /// addresses, or a free port where another program has that one. Port 0 picks a free one; the home remembers it.
    /// For this node alone; for all to come: shoal config set listen ADDR:PORT.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Put this address into links instead of those found; may be given several times.
    #[arg(long, value_name = "HOST[:PORT]", value_parser = host)]
    pub(crate) advertise: Vec<String>,
    /// Speak https as well, on the same port, with this certificate (PEM); it is read again when it was renewed.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key (PEM) of that certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}

impl Listening {
    /// Whether anything was asked for.
    pub(crate) fn is_given(&self) -> bool {
        *self != Self::default()
    }

    /// The same as options for another process.
    pub(crate) fn to_options(&self) -> Vec<OsString> {
        let listen = self
            .listen
            .iter()
            .map(|address| format!("--listen={address}").into());
        let advertise = self
            .advertise
            .iter()
            .map(|host| format!("--advertise={host}").into());
        let file = |name: &str, path: &Option<PathBuf>| {
            let mut option = OsString::from(name);
            option.push(path.as_ref()?);
            Some(option)
        };
        let tls = [
            file("--tls-cert=", &self.tls_cert),
            file("--tls-key=", &self.tls_key),
        ];
        listen
            .chain(advertise)
            .chain(tls.into_iter().flatten())
            .collect()
    }

    /// Certificate and key, from wherever the command was called.
    pub(crate) fn tls(&self) -> std::io::Result<Option<TlsFiles>> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles {
                certificate: std::path::absolute(certificate)?,
                key: std::path::absolute(key)?,
            })),
            _ => Ok(None),
        }
    }
}

fn host(text: &str) -> Result<String, String> {
    if shoal_node::config::is_host(text) {
        return Ok(text.to_owned());
    }
    Err("this is neither a host nor an address; examples: files.example.org, 203.0.113.7:7462, [2001:db8::1]:7462".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_survive_the_way_to_another_process() {
        let given = Listening {
            listen: Some("[::1]:0".parse().unwrap()),
            advertise: vec!["a.example".to_owned(), "[2001:db8::1]:80".to_owned()],
            tls_cert: Some("a b.pem".into()),
            tls_key: Some("/k".into()),
        };
        let words = ["shoal", "up"].map(OsString::from);
        let cli = Cli::try_parse_from(words.into_iter().chain(given.to_options())).unwrap();
        let Command::Up(up) = cli.command else {
            panic!("another command");
        };
        assert_eq!(up.listening, given);
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for wrong in [
            "--advertise=http://a",
            "--advertise=a b",
            "--listen=7462",
            "--listen=localhost",
        ] {
            assert!(
                Cli::try_parse_from(["shoal", "up", wrong]).is_err(),
                "{wrong}"
            );
        }
    }
}
