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
        let mut page = String::new();
        self.render_requests(&mut page);
        self.render_connections(&mut page);
        render_swarms(totals, &mut page);
        page
    }

    fn render_requests(&self, page: &mut String) {
        let requests = [
            (r#"{protocol="http",kind="announce"}"#, &self.http_announces),
            (r#"{protocol="http",kind="scrape"}"#, &self.http_scrapes),
            (r#"{protocol="udp",kind="connect"}"#, &self.udp_connects),
            (r#"{protocol="udp",kind="announce"}"#, &self.udp_announces),
            (r#"{protocol="udp",kind="scrape"}"#, &self.udp_scrapes),
        ];
        counters(
            page,
            "tracker_requests_total",
            "Requests, answered or refused.",
            &requests,
        );
        let refused = [
            (r#"{reason="unknown"}"#, &self.refused_unknown),
            (r#"{reason="gone"}"#, &self.refused_gone),
            (r#"{reason="admission"}"#, &self.refused_admission),
            (r#"{reason="pace"}"#, &self.refused_pace),
            (r#"{reason="malformed"}"#, &self.refused_malformed),
        ];
        counters(
            page,
            "tracker_refused_total",
            "Requests that were refused.",
            &refused,
        );
        let full = [
            (r#"{limit="torrents"}"#, &self.full_torrents),
            (r#"{limit="peers"}"#, &self.full_peers),
            (r#"{limit="torrent"}"#, &self.full_torrent),
            (r#"{limit="address"}"#, &self.full_address),
        ];
        counters(
            page,
            "tracker_full_total",
            "Peers that got no place because of a limit.",
            &full,
        );
        let dropped = [
            (r#"{reason="garbage"}"#, &self.udp_garbage),
            (r#"{reason="unproven"}"#, &self.udp_unproven),
        ];
        counters(
            page,
            "tracker_udp_dropped_total",
            "Packets dropped without an answer.",
            &dropped,
        );
    }

    fn render_connections(&self, page: &mut String) {
        let waiting = [("", self.connections.value())];
        gauges(
            page,
            "tracker_http_connections",
            "Connections that wait for a request.",
            &waiting,
        );
        let refused = [("", &self.connections_refused)];
        let help = "Connections closed because of a limit.";
        counters(
            page,
            "tracker_http_connections_refused_total",
            help,
            &refused,
        );
    }
}

fn render_swarms(totals: &Totals, page: &mut String) {
    let torrents = [("", totals.torrents as u64)];
    gauges(page, "tracker_torrents", "Torrents with peers.", &torrents);
    let peers = [
        (r#"{family="ipv4",role="seed"}"#, totals.seeds_v4 as u64),
        (r#"{family="ipv4",role="leech"}"#, totals.leeches_v4 as u64),
        (r#"{family="ipv6",role="seed"}"#, totals.seeds_v6 as u64),
        (r#"{family="ipv6",role="leech"}"#, totals.leeches_v6 as u64),
    ];
    gauges(page, "tracker_peers", "Peers.", &peers);
}

fn counters(page: &mut String, name: &str, help: &str, samples: &[(&str, &Counter)]) {
    family(
        page,
        name,
        "counter",
        help,
        samples
            .iter()
            .map(|(labels, counter)| (*labels, counter.value())),
    );
}

fn gauges(page: &mut String, name: &str, help: &str, samples: &[(&str, u64)]) {
    family(page, name, "gauge", help, samples.iter().copied());
}

fn family<'a>(
    page: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    samples: impl Iterator<Item = (&'a str, u64)>,
) {
    // Writing to a string does not fail.
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in samples {
        let _ = writeln!(page, "{name}{labels} {value}");
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
