//! Announce and scrape over HTTP, from request target to body.

use std::net::IpAddr;

use shoal_protocol::tracker::{
    AnnounceQuery, AnnounceReply, Failure, QueryError, ScrapeQuery, ScrapeReply, Target,
    TargetError,
};

use super::{Announce, Refusal, Scratch, Tracker};
use crate::torrents::Proof;

/// The status of an answer. Refusals of a tracker have 200: clients show the reason only then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 200
    Ok,
    /// 400
    BadRequest,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 431
    HeadTooLarge,
}

impl Status {
    /// The number.
    pub fn code(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::HeadTooLarge => 431,
        }
    }

    /// What stands behind the number.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::BadRequest => "Bad Request",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::HeadTooLarge => "Request Header Fields Too Large",
        }
    }
}

impl Tracker {
    /// Answers `GET target` for the client at `client`. The body, `text/plain`, is in `scratch` afterwards.
    pub fn answer_http(&self, target: &[u8], client: IpAddr, scratch: &mut Scratch) -> Status {
        scratch.body.clear();
        let client = client.to_canonical();
        match Target::parse(target) {
            Ok(Target::Announce { token, query }) => {
                self.http_announce(token, query, client, scratch)
            }
            Ok(Target::Scrape { token, query }) => self.http_scrape(token, query, client, scratch),
            Err(error) => {
                scratch.body.extend_from_slice(error.to_string().as_bytes());
                scratch.body.push(b'\n');
                return match error {
                    TargetError::Unknown => Status::NotFound,
                    TargetError::Token => Status::BadRequest,
                };
            }
        }
        Status::Ok
    }

    /// The address of the client behind a connection: the last `X-Forwarded-For` where the connection comes from a
    /// proxy of [`Config::proxies`](crate::Config::proxies), the connection's own otherwise.
    pub fn client_address(&self, connection: IpAddr, forwarded_for: Option<&[u8]>) -> IpAddr {
        let connection = connection.to_canonical();
        if !self.config.proxies.contains(&connection) {
            return connection;
        }
        forwarded_for
            .and_then(|value| value.rsplit(|byte| *byte == b',').next())
            .and_then(|last| std::str::from_utf8(last.trim_ascii()).ok())
            .and_then(|text| text.parse().ok())
            .unwrap_or(connection)
    }

    fn http_announce(
        &self,
        token: Option<&str>,
        query: &[u8],
        client: IpAddr,
        scratch: &mut Scratch,
    ) {
        self.metrics.http_announces.add();
        let query = match AnnounceQuery::parse(query) {
            Ok(query) => query,
            Err(error) => return self.malformed(error, scratch),
        };
        let wanted = query.numwant.unwrap_or(self.config.numwant_default);
        let announce = Announce {
            infohash: query.infohash,
            proof: Proof::of_path(token),
            client,
            port: query.port,
            peer_id: query.peer_id,
            event: query.event,
            left: query.left,
            uploaded: query.uploaded,
            downloaded: query.downloaded,
            numwant: wanted.min(self.config.numwant_max),
            claimed: query.claimed,
        };
        match self.announce(self.now_s(), &announce, &mut scratch.peers) {
            Ok(granted) => AnnounceReply {
                counts: granted.counts,
                interval_s: granted.interval_s,
                min_interval_s: self.config.min_interval_s,
                peers_v4: &scratch.peers.v4,
                peers_v6: &scratch.peers.v6,
                form: query.form,
                external_ip: Some(client),
                warning: granted.warning,
            }
            .encode(&mut scratch.body),
            Err(refusal) => encode_refusal(&refusal, &mut scratch.body),
        }
    }

    fn http_scrape(
        &self,
        token: Option<&str>,
        query: &[u8],
        client: IpAddr,
        scratch: &mut Scratch,
    ) {
        self.metrics.http_scrapes.add();
        let mut infohashes = match ScrapeQuery::parse(query) {
            Ok(query) => query.infohashes,
            Err(error) => return self.malformed(error, scratch),
        };
        if let Err(refusal) = self.check_pace(self.now_s(), client) {
            return encode_refusal(&refusal, &mut scratch.body);
        }
        infohashes.sort_unstable();
        infohashes.dedup();
        let mut files = Vec::with_capacity(infohashes.len());
        let mut refused = None;
        for infohash in infohashes {
            match self.scrape(&infohash, Proof::of_path(token)) {
                Ok(counts) => files.push((infohash, counts)),
                Err(refusal) => refused = Some(refusal),
            }
        }
        match refused {
            Some(refusal) if files.is_empty() => encode_refusal(&refusal, &mut scratch.body),
            _ => ScrapeReply {
                files: &files,
                min_request_interval_s: self.config.min_interval_s,
            }
            .encode(&mut scratch.body),
        }
    }

    fn malformed(&self, error: QueryError, scratch: &mut Scratch) {
        self.metrics.refused_malformed.add();
        let reason = error.to_string();
        Failure {
            reason: &reason,
            retry_in: None,
        }
        .encode(&mut scratch.body);
    }
}

fn encode_refusal(refusal: &Refusal, body: &mut Vec<u8>) {
    Failure {
        reason: &refusal.reason,
        retry_in: refusal.retry_in,
    }
    .encode(body);
}
