//! Content on its way from the folder of one host into the staging of another.

use crate::disk::Node;
use crate::plan::Fault;
use crate::world::{Weather, World};
use shoal_protocol::id::ContentHash;
use shoal_protocol::sync::{Event, FetchFailure, Index};

impl World {
    /// A fetch ends, well or badly.
    pub(crate) fn fetch_on(&mut self, number: usize, content: ContentHash) {
        let Some(from) = self.hosts[number].fetching.remove(&content) else {
            return;
        };
        if self.hosts[number].staging.contains_key(&content) {
            self.handle(number, Event::Fetched(vec![content]));
            return;
        }
        let ill = self.weather == Weather::Storm && self.plan.has(Fault::Disk);
        if ill && self.luck.chance(50) {
            let why = FetchFailure::NoSpace;
            self.handle(number, Event::FetchFailed { content, why });
            return;
        }
        let mut why = FetchFailure::NotThere;
        for device in from {
            let Some(peer) = self.number(device.0) else {
                continue;
            };
            if self.network.link(number, peer).is_none() {
                why = FetchFailure::Broken;
            } else if let Some(bytes) = self.served(peer, &content) {
                self.hosts[number].staging.insert(content, bytes);
                self.busy();
                self.handle(number, Event::Fetched(vec![content]));
                return;
            }
        }
        self.handle(number, Event::FetchFailed { content, why });
    }

    /// The bytes that a host serves for a hash: from its folder, where its index says they are, if they still are.
    fn served(&self, number: usize, content: &ContentHash) -> Option<Vec<u8>> {
        let host = &self.hosts[number];
        let paths = host
            .visible
            .applied_content(content, 16)
            .unwrap_or_default();
        paths.iter().find_map(|path| match host.disk.node(path) {
            Some(Node::File(bytes)) if ContentHash::of(bytes) == *content => Some(bytes.clone()),
            _ => None,
        })
    }
}
