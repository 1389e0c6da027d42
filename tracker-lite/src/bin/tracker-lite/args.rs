//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{ArgGroup, Parser};
use tracker_lite::{ClaimedAddresses, Config, Limits};

/// A small BitTorrent tracker, over HTTP and UDP, IPv4 and IPv6.
///
/// It tracks the torrents that a file lists, or with --open whatever is announced. Clients announce at
/// http://HOST:PORT/announce or udp://HOST:PORT; where the list gives a torrent a token, at /announce/TOKEN.
#[derive(Debug, Parser)]
#[command(name = "tracker-lite", version, group(ArgGroup::new("torrents").required(true)))]
pub(crate) struct Args {
    /// Track the torrents in FILE: on each line an infohash of 40 hexadecimal digits and, if announces must carry one,
    /// a token. SIGHUP reads it again
    #[arg(long, value_name = "FILE", group = "torrents")]
    pub(crate) allow: Option<PathBuf>,

    /// Track whatever is announced
    #[arg(long, group = "torrents")]
    pub(crate) open: bool,

    /// Answer HTTP there; may be repeated; port 0 picks one [default: 0.0.0.0:6969 and [::]:6969]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Vec<SocketAddr>,

    /// Answer UDP there; may be repeated; `none` for no UDP [default: as --listen]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) udp: Vec<Udp>,

    /// Answer Prometheus at http://ADDR:PORT/metrics
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) metrics: Option<SocketAddr>,

    /// Seconds between announces of a client
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, value_parser = clap::value_parser!(u32).range(10..=86_400))]
    pub(crate) interval: u32,

    /// Peers in an answer at most
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) numwant_max: u32,

    /// Believe the last X-Forwarded-For of connections from this address; may be repeated
    #[arg(long, value_name = "ADDR")]
    pub(crate) proxy: Vec<IpAddr>,

    /// Believe the addresses that clients claim (`ip=`, `ipv4=`, `ipv6=`): only where everybody is trusted
    #[arg(long)]
    pub(crate) believe_addresses: bool,

    /// Torrents with peers at most
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_torrents)]
    pub(crate) max_torrents: usize,

    /// Peers at most
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_peers)]
    pub(crate) max_peers: usize,

    /// Peers of one torrent at most
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_peers_per_torrent)]
    pub(crate) max_peers_per_torrent: usize,

    /// Peers from one address (IPv6: /64) at most; 0 for no limit
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_peers_per_address)]
    pub(crate) max_peers_per_address: u16,

    /// Requests a minute from one address (IPv6: /64) at most; 0 for no limit
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_requests_per_minute)]
    pub(crate) max_requests_per_minute: u16,

    /// Log in JSON, one object on a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where to answer UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Udp {
    /// Nowhere.
    None,
    /// There.
    At(SocketAddr),
}

impl std::str::FromStr for Udp {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            Ok(Self::None)
        } else {
            text.parse().map(Self::At)
        }
    }
}

impl Args {
    /// The tracker's settings.
    pub(crate) fn config(&self) -> Config {
        Config {
            numwant_default: self.numwant_max.min(50),
            numwant_max: self.numwant_max,
            proxies: self.proxy.clone(),
            claimed: if self.believe_addresses {
                ClaimedAddresses::Believed
            } else {
                ClaimedAddresses::Ignored
            },
            limits: Limits {
                max_torrents: self.max_torrents,
                max_peers: self.max_peers,
                max_peers_per_torrent: self.max_peers_per_torrent,
                max_peers_per_address: self.max_peers_per_address,
                max_requests_per_minute: self.max_requests_per_minute,
                ..Limits::default()
            },
            ..Config::with_interval_s(self.interval)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_agree() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_list_or_open_and_not_both() {
        let parse = |words: &str| Args::try_parse_from(words.split(' '));
        assert!(parse("t").is_err());
        assert!(parse("t --open --allow list").is_err());
        let args = parse("t --open --udp none --udp [::1]:5 --interval 60").unwrap();
        assert_eq!(args.udp, [Udp::None, Udp::At("[::1]:5".parse().unwrap())]);
        assert_eq!(args.config().interval_s, 60);
        assert!(args.config().peer_timeout_s > 120);
    }
}
