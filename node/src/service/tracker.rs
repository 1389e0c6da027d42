//! Links as their tracker sees them.

use super::Service;
use super::takers::Guest;
use super::views::token_text;
use shoal_api::Way;
use shoal_protocol::hello::Refusal;
use shoal_protocol::id::InfoHash;
use shoal_protocol::tracker::Event;
use shoal_transfer::serve::seed::mark_of_peer_id;
use std::net::SocketAddr;
use std::sync::Arc;
use tracker_lite::{Admission, AnnounceEvent, Listener, Proof, Torrents, Verdict};

impl Torrents for Service {
    /// A wrong token is answered like an unknown torrent: who has no link learns nothing. Over UDP many clients cannot
    /// show a token; there the infohash, which is salted for each link, is as good a
    /// proof as for our seeder, unless the link has a password.
    fn check(&self, infohash: &InfoHash, proof: Proof<'_>) -> Verdict {
        let share = self
            .context
            .link_of(infohash)
            .and_then(|link| self.find(&link));
        let Some(share) = share else {
            return Verdict::Unknown;
        };
        let row = share.row();
        let proven = match (proof, &row.password) {
            (Proof::Token(token), None) => {
                let expected = token_text(&row.announce_token);
                same(token.as_bytes(), expected.as_bytes())
            }
            (Proof::Token(token), Some(_)) => self.context.gate.is_announce_token(&share.id, token),
            (Proof::Untold, password) => password.is_none(),
            (Proof::Nothing, _) => false,
        };
        if !proven {
            return Verdict::Unknown;
        }
        match share.refusal() {
            None => Verdict::Known,
            Some(refusal) => Verdict::Gone {
                reason: refusal.to_string(),
            },
        }
    }

    fn always_peers(&self, _infohash: &InfoHash) -> Vec<SocketAddr> {
        if !self.context.switches.bittorrent {
            return Vec::new();
        }
        self.context.network.borrow().addresses.peers()
    }
}

/// Counts takers by what they announce.
pub(crate) struct TakerListener(pub(crate) Arc<Service>);

impl Listener for TakerListener {
    fn on_announce(&self, event: &AnnounceEvent) -> Admission {
        let share = self
            .0
            .context
            .link_of(&event.infohash)
            .and_then(|link| self.0.find(&link));
        let Some(share) = share else {
            return Admission::Refused {
                reason: Refusal::Unknown.to_string(),
            };
        };
        let guest = Guest {
            address: event.addr.ip(),
            way: Way::Torrent,
            mark: mark_of_peer_id(&event.peer_id.0).into(),
            client: None,
        };
        if let Some(refusal) = share.refuses(&guest) {
            return Admission::Refused {
                reason: refusal.to_string(),
            };
        }
        if share.row().password.is_some() {
            self.0.context.gate.announces(share.id, guest.address);
        }
        if event.event == Event::Completed {
            share.says_complete(&guest);
        }
        Admission::Admitted
    }
}

/// In time that does not tell where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .fold(0, |different, (x, y)| different | (x ^ y))
            == 0
}
