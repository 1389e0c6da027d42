//! The command line. It is read by hand (lexopt): a parser with everything would take more memory than
//! 50,000 peers, for as long as the tracker runs.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use lexopt::ValueExt;
use tracker_lite::{ClaimedAddresses, Config, Limits};

/// What `--help` prints. The numbers are those of [`Limits::default`].
pub(crate) const HELP: &str = "\
A small BitTorrent tracker, over HTTP and UDP, IPv4 and IPv6.

Usage: tracker-lite (--allow FILE | --open) [OPTIONS]

It tracks the torrents that a file lists, or with --open whatever is announced.
Clients announce at http://HOST:PORT/announce or udp://HOST:PORT; where the list
gives a torrent a token, at /announce/TOKEN.

What is tracked:
  --allow FILE      The torrents in FILE: on each line an infohash of 40
                    hexadecimal digits and, if announces must carry one, a
                    token. SIGHUP reads it again
  --open            Whatever is announced

Where (ADDR:PORT; port 0 picks one; repeat for several):
  --listen ADDR     Answer HTTP there [default: 0.0.0.0:6969 and [::]:6969]
  --udp ADDR        Answer UDP there; `none` for no UDP [default: as --listen]
  --metrics ADDR    Answer Prometheus at http://ADDR/metrics
  --proxy IP        Believe the last X-Forwarded-For of connections from IP

How:
  --interval S      Seconds between announces of a client, 10 to 86400
                    [default: 1800]
  --numwant-max N   Peers in an answer at most, 1 to 1000 [default: 200]
  --believe-addresses
                    Believe the addresses that clients claim (ip=, ipv4=, ipv6=):
                    only where everybody is trusted

Limits:
  --max-torrents N  Torrents with peers [default: 100000]
  --max-peers N     Peers [default: 1000000]
  --max-peers-per-torrent N
                    Peers of one torrent [default: 500000]
  --max-peers-per-address N
                    Peers from one address (IPv6: /64), 0 for no limit
                    [default: 1000]
  --max-requests-per-minute N
                    Requests from one address (IPv6: /64), 0 for no limit
                    [default: 600]

  --json            Log in JSON, one object on a line
  -h, --help        Print this
  -V, --version     Print the version
";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    Help,
    Version,
    Run(Box<Args>),
}

#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) tracks: Tracks,
    /// Empty: the defaults.
    pub(crate) listen: Vec<SocketAddr>,
    /// Empty: as `listen`.
    pub(crate) udp: Vec<Udp>,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) form: crate::report::Form,
    pub(crate) config: Config,
}

/// Which torrents are tracked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tracks {
    Listed(PathBuf),
    Anything,
}

/// Where to answer UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Udp {
    Nowhere,
    At(SocketAddr),
}

/// What is wrong with a command line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    #[error("say what to track: --allow FILE or --open, and not both")]
    Tracks,
    #[error("{option} {value}: {problem}")]
    Value {
        option: &'static str,
        value: String,
        problem: String,
    },
    #[error("{0}")]
    Parse(#[from] lexopt::Error),
}

impl Asked {
    /// Reads a command line without the program's name.
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        use lexopt::prelude::{Long, Short};
        let mut parser = lexopt::Parser::from_args(words);
        let mut tracks = Vec::new();
        let mut args = Args {
            tracks: Tracks::Anything,
            listen: Vec::new(),
            udp: Vec::new(),
            metrics: None,
            form: crate::report::Form::Text,
            config: Config::default(),
        };
        while let Some(word) = parser.next()? {
            match word {
                Short('h') | Long("help") => return Ok(Self::Help),
                Short('V') | Long("version") => return Ok(Self::Version),
                Long("allow") => tracks.push(Tracks::Listed(parser.value()?.into())),
                Long("open") => tracks.push(Tracks::Anything),
                Long("listen") => args.listen.push(value("--listen", &mut parser)?),
                Long("udp") => args.udp.push(value("--udp", &mut parser)?),
                Long("metrics") => args.metrics = Some(value("--metrics", &mut parser)?),
                Long("json") => args.form = crate::report::Form::Json,
                Long("interval") => {
                    let interval_s = number("--interval", &mut parser, 10, 86_400)?;
                    args.config = Config {
                        numwant_max: args.config.numwant_max,
                        numwant_default: args.config.numwant_default,
                        claimed: args.config.claimed,
                        proxies: args.config.proxies,
                        limits: args.config.limits,
                        ..Config::with_interval_s(interval_s)
                    };
                }
                Long("numwant-max") => {
                    args.config.numwant_max = number("--numwant-max", &mut parser, 1, 1000)?;
                    args.config.numwant_default = args.config.numwant_max.min(50);
                }
                Long("proxy") => {
                    let proxy: IpAddr = value("--proxy", &mut parser)?;
                    args.config.proxies.push(proxy.to_canonical());
                }
                Long("believe-addresses") => args.config.claimed = ClaimedAddresses::Believed,
                Long(name) => match limit(name, &mut args.config.limits) {
                    Some(limit) => limit.read(&mut parser)?,
                    None => return Err(word.unexpected().into()),
                },
                word => return Err(word.unexpected().into()),
            }
        }
        match (tracks.pop(), tracks.is_empty()) {
            (Some(one), true) => args.tracks = one,
            _ => return Err(UsageError::Tracks),
        }
        Ok(Self::Run(Box::new(args)))
    }
}

impl FromStr for Udp {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            Ok(Self::Nowhere)
        } else {
            text.parse().map(Self::At)
        }
    }
}

/// A limit that an option sets.
enum Limit<'a> {
    Size(&'static str, &'a mut usize),
    Small(&'static str, &'a mut u16),
}

fn limit<'a>(name: &str, limits: &'a mut Limits) -> Option<Limit<'a>> {
    Some(match name {
        "max-torrents" => Limit::Size("--max-torrents", &mut limits.max_torrents),
        "max-peers" => Limit::Size("--max-peers", &mut limits.max_peers),
        "max-peers-per-torrent" => {
            Limit::Size("--max-peers-per-torrent", &mut limits.max_peers_per_torrent)
        }
        "max-peers-per-address" => {
            Limit::Small("--max-peers-per-address", &mut limits.max_peers_per_address)
        }
        "max-requests-per-minute" => Limit::Small(
            "--max-requests-per-minute",
            &mut limits.max_requests_per_minute,
        ),
        _ => return None,
    })
}

impl Limit<'_> {
    fn read(self, parser: &mut lexopt::Parser) -> Result<(), UsageError> {
        match self {
            Self::Size(option, to) => *to = value(option, parser)?,
            Self::Small(option, to) => *to = value(option, parser)?,
        }
        Ok(())
    }
}

fn value<T: FromStr>(option: &'static str, parser: &mut lexopt::Parser) -> Result<T, UsageError>
where
    T::Err: std::fmt::Display,
{
    let text = parser.value()?.string()?;
    text.parse().map_err(|error: T::Err| UsageError::Value {
        option,
        problem: error.to_string(),
        value: text,
    })
}

fn number(
    option: &'static str,
    parser: &mut lexopt::Parser,
    min: u32,
    max: u32,
) -> Result<u32, UsageError> {
    let number = value(option, parser)?;
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    Err(UsageError::Value {
        option,
        value: number.to_string(),
        problem: format!("choose a number from {min} to {max}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(words: &str) -> Result<Asked, UsageError> {
        Asked::parse(words.split_whitespace().map(OsString::from))
    }

    fn args(words: &str) -> Args {
        match parse(words).unwrap() {
            Asked::Run(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_list_or_open_and_not_both() {
        for words in ["", "--open --allow list", "--json"] {
            assert!(matches!(parse(words), Err(UsageError::Tracks)), "{words}");
        }
        assert_eq!(args("--open").tracks, Tracks::Anything);
        assert_eq!(args("--allow x").tracks, Tracks::Listed("x".into()));
    }

    #[test]
    fn every_option() {
        let args = args(
            "--open --udp none --udp [::1]:5 --listen 127.0.0.1:0 --metrics=[::1]:1 --json --proxy ::ffff:10.0.0.1 \
             --max-torrents 1 --max-peers 2 --max-peers-per-torrent 3 --max-peers-per-address 4 \
             --max-requests-per-minute 5 --numwant-max 20 --believe-addresses --interval 60",
        );
        assert_eq!(
            args.udp,
            [Udp::Nowhere, Udp::At("[::1]:5".parse().unwrap())]
        );
        let config = &args.config;
        assert_eq!((config.interval_s, config.numwant_max), (60, 20));
        assert!(config.peer_timeout_s > 120);
        assert_eq!(config.proxies, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(config.claimed, ClaimedAddresses::Believed);
        let limits = Limits {
            max_torrents: 1,
            max_peers: 2,
            max_peers_per_torrent: 3,
            max_peers_per_address: 4,
            max_requests_per_minute: 5,
            ..Limits::default()
        };
        assert_eq!(config.limits, limits);
    }

    #[test]
    fn mistakes_are_named() {
        let table = [
            (
                "--open --interval 5",
                "--interval 5: choose a number from 10 to 86400",
            ),
            (
                "--open --listen 6969",
                "--listen 6969: invalid socket address syntax",
            ),
            ("--open --loud", "invalid option '--loud'"),
            ("--open more", "unexpected argument \"more\""),
            ("--allow", "missing argument for option '--allow'"),
        ];
        for (words, expected) in table {
            assert_eq!(parse(words).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn the_help_tells_the_defaults() {
        let limits = Limits::default();
        for number in [
            limits.max_torrents,
            limits.max_peers,
            limits.max_peers_per_torrent,
            limits.max_peers_per_address.into(),
            limits.max_requests_per_minute.into(),
            Config::default().interval_s as usize,
            Config::default().numwant_max as usize,
        ] {
            assert!(HELP.contains(&format!("[default: {number}]")), "{number}");
        }
    }
}
