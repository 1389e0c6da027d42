//! What the tracker counts, in the text format of Prometheus.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::swarms::{Full, Totals};

/// A number that only grows, or that follows something.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// Everything that is counted while the tracker runs.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Announces over HTTP, answered or refused.
    pub http_announces: Counter,
    /// Scrapes over HTTP.
    pub http_scrapes: Counter,
    /// Connection ids given out.
    pub udp_connects: Counter,
    /// Announces over UDP with a valid connection id.
    pub udp_announces: Counter,
    /// Scrapes over UDP with a valid connection id.
    pub udp_scrapes: Counter,
    /// Refused: the torrent is not known, or the token is wrong.
    pub refused_unknown: Counter,
    /// Refused: the torrent is no longer tracked.
    pub refused_gone: Counter,
    /// Refused by the listener.
    pub refused_admission: Counter,
    /// Refused: too many requests from one address.
    pub refused_pace: Counter,
    /// Refused: not understood.
    pub refused_malformed: Counter,
    /// Peers without a place because of [`Full::Torrents`].
    pub full_torrents: Counter,
    /// Peers without a place because of [`Full::Peers`].
    pub full_peers: Counter,
    /// Peers without a place because of [`Full::Torrent`].
    pub full_torrent: Counter,
    /// Peers without a place because of [`Full::Address`].
    pub full_address: Counter,
    /// Packets dropped: not of the protocol.
    pub udp_garbage: Counter,
    /// Packets dropped: the connection id is not valid for their address.
    pub udp_unproven: Counter,
    /// HTTP connections that wait for a request.
    pub connections: Counter,
    /// HTTP connections closed because of a limit.
    pub connections_refused: Counter,
}

impl Counter {
    /// Adds one.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets the number.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    pub(crate) fn count_full(&self, full: Full) {
        match full {
            Full::Torrents => self.full_torrents.add(),
            Full::Peers => self.full_peers.add(),
            Full::Torrent => self.full_torrent.add(),
            Full::Address => self.full_address.add(),
        }
    }

    /// The exposition text: content type `text/plain; version=0.0.4`.
    pub fn render(&self, totals: &Totals) -> String {
        let mut page = Page(String::new());
        page.family(
            "tracker_requests_total",
            "counter",
            "Requests, answered or refused.",
        );
        page.line(
            "tracker_requests_total{protocol=\"http\",kind=\"announce\"}",
            self.http_announces.value(),
        );
        page.line(
            "tracker_requests_total{protocol=\"http\",kind=\"scrape\"}",
            self.http_scrapes.value(),
        );
        page.line(
            "tracker_requests_total{protocol=\"udp\",kind=\"connect\"}",
            self.udp_connects.value(),
        );
        page.line(
            "tracker_requests_total{protocol=\"udp\",kind=\"announce\"}",
            self.udp_announces.value(),
        );
        page.line(
            "tracker_requests_total{protocol=\"udp\",kind=\"scrape\"}",
            self.udp_scrapes.value(),
        );
        page.family(
            "tracker_refused_total",
            "counter",
            "Requests that were refused.",
        );
        page.line(
            "tracker_refused_total{reason=\"unknown\"}",
            self.refused_unknown.value(),
        );
        page.line(
            "tracker_refused_total{reason=\"gone\"}",
            self.refused_gone.value(),
        );
        page.line(
            "tracker_refused_total{reason=\"admission\"}",
            self.refused_admission.value(),
        );
        page.line(
            "tracker_refused_total{reason=\"pace\"}",
            self.refused_pace.value(),
        );
        page.line(
            "tracker_refused_total{reason=\"malformed\"}",
            self.refused_malformed.value(),
        );
        page.family(
            "tracker_full_total",
            "counter",
            "Peers that got no place because of a limit.",
        );
        page.line(
            "tracker_full_total{limit=\"torrents\"}",
            self.full_torrents.value(),
        );
        page.line(
            "tracker_full_total{limit=\"peers\"}",
            self.full_peers.value(),
        );
        page.line(
            "tracker_full_total{limit=\"torrent\"}",
            self.full_torrent.value(),
        );
        page.line(
            "tracker_full_total{limit=\"address\"}",
            self.full_address.value(),
        );
        page.family(
            "tracker_udp_dropped_total",
            "counter",
            "Packets dropped without an answer.",
        );
        page.line(
            "tracker_udp_dropped_total{reason=\"garbage\"}",
            self.udp_garbage.value(),
        );
        page.line(
            "tracker_udp_dropped_total{reason=\"unproven\"}",
            self.udp_unproven.value(),
        );
        page.family(
            "tracker_http_connections",
            "gauge",
            "Connections that wait for a request.",
        );
        page.line("tracker_http_connections", self.connections.value());
        page.family(
            "tracker_http_connections_refused_total",
            "counter",
            "Connections closed because of a limit.",
        );
        page.line(
            "tracker_http_connections_refused_total",
            self.connections_refused.value(),
        );
        page.family("tracker_torrents", "gauge", "Torrents with peers.");
        page.line("tracker_torrents", totals.torrents as u64);
        page.family("tracker_peers", "gauge", "Peers.");
        page.line(
            "tracker_peers{family=\"ipv4\",role=\"seed\"}",
            totals.seeds_v4 as u64,
        );
        page.line(
            "tracker_peers{family=\"ipv4\",role=\"leech\"}",
            totals.leeches_v4 as u64,
        );
        page.line(
            "tracker_peers{family=\"ipv6\",role=\"seed\"}",
            totals.seeds_v6 as u64,
        );
        page.line(
            "tracker_peers{family=\"ipv6\",role=\"leech\"}",
            totals.leeches_v6 as u64,
        );
        page.0
    }
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, value: u64) {
        let _ = writeln!(self.0, "{name} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_belongs_to_the_family_above_it() {
        let metrics = Metrics::default();
        metrics.udp_announces.add();
        let text = metrics.render(&Totals {
            seeds_v6: 3,
            ..Totals::default()
        });
        let mut family = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap_or_default();
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next();
                assert_eq!(name, Some(family), "{line}");
            }
        }
        assert!(text.contains("{protocol=\"udp\",kind=\"announce\"} 1\n"));
        assert!(text.contains("tracker_peers{family=\"ipv6\",role=\"seed\"} 3\n"));
    }
}
