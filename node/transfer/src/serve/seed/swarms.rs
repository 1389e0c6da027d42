//! Who is connected to which torrent, and where each can be reached: what peer exchange (BEP 11) tells.

use shoal_protocol::id::InfoHash;
use shoal_protocol::peerwire::{PEX_MAX_PEERS, Pex};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Peers by torrent.
#[derive(Debug, Default)]
pub(super) struct Swarms(Mutex<HashMap<InfoHash, HashSet<SocketAddr>>>);

/// A peer that can be reached, for as long as it is connected.
#[derive(Debug)]
pub(super) struct Member {
    swarms: Arc<Swarms>,
    infohash: InfoHash,
    address: SocketAddr,
}

impl Swarms {
    /// A connected peer says on which port it can be reached.
    pub(super) fn join(self: &Arc<Self>, infohash: InfoHash, address: SocketAddr) -> Member {
        self.lock().entry(infohash).or_default().insert(address);
        Member {
            swarms: self.clone(),
            infohash,
            address,
        }
    }

    /// What to tell a peer that was told `told` so far; nothing where nothing changed.
    pub(super) fn news(
        &self,
        infohash: &InfoHash,
        told: &mut HashSet<SocketAddr>,
        itself: Option<SocketAddr>,
    ) -> Option<Pex> {
        let swarms = self.lock();
        let empty = HashSet::new();
        let now = swarms.get(infohash).unwrap_or(&empty);
        let added: Vec<_> = now
            .iter()
            .filter(|address| !told.contains(address) && Some(**address) != itself)
            .copied()
            .take(PEX_MAX_PEERS)
            .collect();
        let dropped: Vec<_> = told
            .iter()
            .filter(|address| !now.contains(address))
            .copied()
            .take(PEX_MAX_PEERS)
            .collect();
        told.extend(&added);
        dropped.iter().for_each(|address| {
            told.remove(address);
        });
        (!added.is_empty() || !dropped.is_empty()).then_some(Pex { added, dropped })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InfoHash, HashSet<SocketAddr>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut swarms = self.swarms.lock();
        if let Some(peers) = swarms.get_mut(&self.infohash) {
            peers.remove(&self.address);
            if peers.is_empty() {
                swarms.remove(&self.infohash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tells_each_peer_once_and_says_who_left() {
        let swarms = Arc::new(Swarms::default());
        let (hash, a, b) = (
            InfoHash([1; 20]),
            "192.0.2.1:1".parse().unwrap(),
            "192.0.2.2:2".parse().unwrap(),
        );
        let _a = swarms.join(hash, a);
        let member = swarms.join(hash, b);
        let mut told = HashSet::new();
        let pex = swarms.news(&hash, &mut told, Some(a)).unwrap();
        assert_eq!((pex.added, pex.dropped), (vec![b], vec![]));
        assert!(swarms.news(&hash, &mut told, Some(a)).is_none());
        drop(member);
        let pex = swarms.news(&hash, &mut told, Some(a)).unwrap();
        assert_eq!((pex.added, pex.dropped), (vec![], vec![b]));
    }
}
