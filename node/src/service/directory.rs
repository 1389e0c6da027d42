//! Links as iroh and BitTorrent see them.

use super::content::ContentTorrent;
use super::share::LiveShare;
use super::takers::Guest;
use super::{Context, Service};
use bytes::Bytes;
use shoal_api::Way;
use shoal_protocol::hello::Refusal;
use shoal_protocol::id::{ContentHash, InfoHash, LinkId};
use shoal_transfer::serve::port::{self, Blob, Blobs, Directory, Seat, Served, Torrent, Visitor};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Directory for Service {
    fn by_link(&self, link: &LinkId) -> Result<Arc<dyn Served>, Refusal> {
        let share = self.find(link).ok_or(Refusal::Unknown)?;
        share.refusal().map_or(Ok(()), Err)?;
        Ok(Arc::new(ServedShare {
            share,
            context: self.context.clone(),
        }))
    }

    fn by_infohash(&self, infohash: &InfoHash) -> Result<Arc<dyn Served>, Refusal> {
        self.by_link(&self.context.link_of(infohash).ok_or(Refusal::Unknown)?)
    }
}

/// A link that is being served.
pub(super) struct ServedShare {
    pub(super) share: Arc<LiveShare>,
    pub(super) context: Arc<Context>,
}

impl Blobs for ServedShare {
    fn blob(&self, hash: &ContentHash) -> Option<Arc<dyn Blob>> {
        self.share.content()?.blob(hash)
    }

    fn ended(&self) -> CancellationToken {
        self.share.ended.clone()
    }
}

impl Served for ServedShare {
    fn capability(&self) -> Bytes {
        self.context.capability(&self.share.row())
    }

    fn manifest(&self) -> Option<ContentHash> {
        Some(self.share.content()?.manifest.hash())
    }

    fn record(&self) -> Option<Bytes> {
        self.share
            .content()
            .map(|_| self.share.row().record.clone().into())
    }

    fn torrent(&self) -> Option<Arc<dyn Torrent>> {
        Some(Arc::new(ContentTorrent(self.share.content()?)))
    }

    fn refuses(&self, visitor: &Visitor) -> Option<Refusal> {
        if let Some(refusal) = self.share.refusal() {
            return Some(refusal);
        }
        let shut = match visitor.way {
            port::Way::Iroh => {
                self.context
                    .shut(&self.share, &guest(visitor), visitor.proof.as_ref())
            }
            // What came through the tracker came with a token that only a session gets.
            port::Way::Torrent => {
                let announced = || {
                    self.context
                        .gate
                        .has_announced(self.share.id, visitor.address)
                };
                (self.share.row().password.is_some() && !announced()).then_some(Refusal::Password)
            }
        };
        shut.or_else(|| self.share.refuses(&guest(visitor)))
    }

    fn admit(&self, visitor: &Visitor) -> Result<Arc<dyn Seat>, Refusal> {
        Ok(Arc::new(self.share.admit(&guest(visitor))?))
    }

    fn says_complete(&self, visitor: &Visitor) {
        self.share.says_complete(&guest(visitor));
    }
}

fn guest(visitor: &Visitor) -> Guest {
    Guest {
        address: visitor.address,
        way: match visitor.way {
            port::Way::Iroh => Way::Iroh,
            port::Way::Torrent => Way::Torrent,
        },
        mark: visitor.mark.into(),
        client: visitor.client.clone(),
    }
}
