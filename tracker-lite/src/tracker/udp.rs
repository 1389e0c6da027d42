//! Announce and scrape over UDP, from packet to packet (BEP 15, 41).

use std::net::{IpAddr, SocketAddr};

use shoal_protocol::id::InfoHash;
use shoal_protocol::tracker::query::Claimed;
use shoal_protocol::tracker::udp::{self, PEERS_MAX_BYTES, Request, Response};
use shoal_protocol::tracker::url_data::UrlData;
use shoal_protocol::tracker::{Target, compact};

use super::{Announce, Scratch, Tracker};
use crate::torrents::Proof;

/// Bytes of a refusal's sentence in a packet.
const MESSAGE_MAX_BYTES: usize = 400;

impl Tracker {
    /// Answers a packet from `from`; none where silence is due. Before an address is proven by its connection id,
    /// nothing goes there that is longer than what came.
    pub fn answer_udp<'s>(
        &self,
        packet: &[u8],
        from: SocketAddr,
        scratch: &'s mut Scratch,
    ) -> Option<&'s [u8]> {
        scratch.body.clear();
        let now_s = self.now_s();
        let client = from.ip().to_canonical();
        let Ok(request) = Request::parse(packet) else {
            self.metrics.udp_garbage.add();
            return None;
        };
        match request {
            Request::Connect { transaction } => {
                self.metrics.udp_connects.add();
                let connection = self.connection_ids.issue(now_s, client);
                Response::Connect {
                    transaction,
                    connection,
                }
                .encode(&mut scratch.body);
            }
            Request::Announce {
                connection,
                transaction,
                announce,
                url,
            } => {
                self.check_connection(now_s, connection, client)?;
                self.metrics.udp_announces.add();
                self.udp_announce(now_s, transaction, &announce, &url, client, scratch);
            }
            Request::Scrape {
                connection,
                transaction,
                infohashes,
            } => {
                self.check_connection(now_s, connection, client)?;
                self.metrics.udp_scrapes.add();
                self.check_pace(now_s, client).ok()?;
                self.udp_scrape(transaction, &infohashes, scratch);
            }
        }
        Some(&scratch.body)
    }

    fn check_connection(&self, now_s: u64, connection: u64, client: IpAddr) -> Option<()> {
        if self.connection_ids.is_valid(now_s, client, connection) {
            return Some(());
        }
        self.metrics.udp_unproven.add();
        None
    }

    fn udp_announce(
        &self,
        now_s: u64,
        transaction: u32,
        announce: &udp::Announce,
        url: &UrlData<'_>,
        client: IpAddr,
        scratch: &mut Scratch,
    ) {
        let proof = match Target::parse(&url.0) {
            _ if url.0.is_empty() => Proof::Untold,
            Ok(Target::Announce { token, .. } | Target::Scrape { token, .. }) => {
                Proof::of_path(token)
            }
            Err(_) => Proof::Nothing,
        };
        let peer_bytes = match client {
            IpAddr::V4(_) => compact::V4_BYTES,
            IpAddr::V6(_) => compact::V6_BYTES,
        };
        let wanted = announce.numwant.unwrap_or(self.config.numwant_default);
        let granted = self.announce(
            now_s,
            &Announce {
                infohash: announce.infohash,
                proof,
                client,
                port: announce.port,
                peer_id: announce.peer_id,
                event: announce.event,
                left: Some(announce.left),
                uploaded: announce.uploaded,
                downloaded: announce.downloaded,
                numwant: wanted
                    .min(self.config.numwant_max)
                    .min((PEERS_MAX_BYTES / peer_bytes) as u32),
                // Only the family of the packet can be answered, so a claimed address of the other one is no use.
                claimed: Claimed {
                    ip: announce
                        .claimed_ip
                        .map(IpAddr::V4)
                        .filter(|_| client.is_ipv4()),
                    ..Claimed::default()
                },
            },
            &mut scratch.peers,
        );
        match granted {
            Ok(granted) => Response::Announce {
                transaction,
                interval_s: granted.interval_s,
                leeches: granted.counts.leeches,
                seeds: granted.counts.seeds,
                peers: match client {
                    IpAddr::V4(_) => &scratch.peers.v4,
                    IpAddr::V6(_) => &scratch.peers.v6,
                },
            }
            .encode(&mut scratch.body),
            Err(refusal) => Response::Error {
                transaction,
                message: cut(&refusal.reason).as_bytes(),
            }
            .encode(&mut scratch.body),
        }
    }

    /// An answer has a place for each infohash asked for; unknown ones get zeros. BEP 41 has no options for
    /// scrapes, so that nobody can show a token.
    fn udp_scrape(&self, transaction: u32, infohashes: &[InfoHash], scratch: &mut Scratch) {
        let mut entries = Vec::with_capacity(infohashes.len() * 12);
        for infohash in infohashes {
            let counts = self.scrape(infohash, Proof::Untold).unwrap_or_default();
            udp::write_scrape_entry(counts, &mut entries);
        }
        Response::Scrape {
            transaction,
            entries: &entries,
        }
        .encode(&mut scratch.body);
    }
}

/// As much of a sentence as a packet bears.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MESSAGE_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
