//! Links as the gateway sees them.

use super::directory::ServedShare;
use super::listing::stamp;
use super::password::Session;
use super::share::{LiveShare, Phase};
use super::takers::{Guest, Mark};
use super::{Context, Service};
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use shoal_api::{ReachScope, Way};
use shoal_disk::{SourceError, SourceFile, Stamp};
use shoal_gateway::port::{
    About, FileBytes, FileError, Knows, Links, PublicShare, Row, Seat, Stage, Unlocked, Visitor,
};
use shoal_protocol::hello::Refusal;
use shoal_protocol::id::{ContentHash, LinkId};
use shoal_protocol::manifest::Shape;
use shoal_protocol::path::RelPath;
use shoal_transfer::serve::blobs::{Asked, answer};
use std::io;
use std::sync::Arc;

#[async_trait::async_trait]
impl Links for Service {
    fn open(&self, id: &LinkId, visitor: &Visitor) -> Result<Arc<dyn PublicShare>, Refusal> {
        let share = self.find(id).ok_or(Refusal::Unknown)?;
        let session = visitor.session.as_deref();
        let session = session.and_then(|text| self.context.gate.session(id, text));
        if share.row().password.is_some() && session.is_none() {
            return Err(share.refusal().unwrap_or(Refusal::Password));
        }
        share.refuses(&guest(visitor)).map_or(Ok(()), Err)?;
        Ok(Arc::new(GatewayShare {
            share,
            context: self.context.clone(),
            session,
        }))
    }

    fn contact(&self) -> Option<String> {
        self.context.contact.clone()
    }

    fn challenge(&self, id: &LinkId) -> Result<Bytes, Refusal> {
        let share = self.find(id).ok_or(Refusal::Unknown)?;
        share.refusal().map_or(Ok(()), Err)?;
        Ok(self.context.gate.challenge(id)?.into())
    }

    async fn unlock(
        &self,
        id: &LinkId,
        visitor: &Visitor,
        knows: Knows,
    ) -> Result<Unlocked, Refusal> {
        self.let_in(id, &guest(visitor), knows).await
    }
}

struct GatewayShare {
    share: Arc<LiveShare>,
    context: Arc<Context>,
    session: Option<Session>,
}

impl PublicShare for GatewayShare {
    fn about(&self) -> About {
        let view = self.context.view(&self.share);
        let row = self.share.row();
        About {
            name: view.name,
            shape: self
                .share
                .listing()
                .map_or(Shape::Folder, |listing| listing.shape),
            created_s: row.created_s,
            expires_s: row.expires_s,
            contact: self.context.contact.clone(),
            reach: Some(reach(view.reach.scope).to_owned()),
            downloads_left: row
                .max_downloads
                .map(|max| u64::from(max).saturating_sub(view.completed)),
            files: view.files,
            bytes: view.bytes,
            stage: match self.share.phase() {
                Phase::Walking => Stage::Walking,
                Phase::Hashing(..) => Stage::Hashing,
                Phase::Ready(_) => Stage::Ready,
                Phase::Failed(error) => Stage::Failed {
                    why: error.message.clone(),
                },
                Phase::Resting(why) => Stage::Failed {
                    why: why.to_string(),
                },
            },
            magnet: view.magnet,
            infohash: self.share.content().map(|content| content.infohash),
            capability: self.context.capability(&row),
            record: self.share.content().map(|_| row.record.clone().into()),
        }
    }

    fn list(&self) -> Arc<[Row]> {
        self.share
            .listing()
            .map_or_else(|| Arc::from([]), |listing| listing.rows())
    }

    fn torrent(&self) -> Option<Bytes> {
        self.context.torrent(&self.share, self.session.as_ref())
    }

    fn manifest(&self) -> Option<Bytes> {
        self.share
            .content()
            .map(|content| content.manifest.bytes().clone())
    }

    fn file(&self, path: &RelPath) -> Result<Arc<dyn FileBytes>, FileError> {
        let listing = self.share.listing().ok_or(FileError::NotFound)?;
        let index = listing.find(path).ok_or(FileError::NotFound)?;
        let stamp = listing
            .entry(index)
            .and_then(stamp)
            .copied()
            .ok_or(FileError::Folder)?;
        let source = listing.open(index).map_err(|error| {
            self.share.source_trouble(path.as_str(), &error);
            match error {
                SourceError::Changed | SourceError::Gone => FileError::Changed,
                SourceError::Permission | SourceError::Io(_) => FileError::Unreadable,
            }
        })?;
        Ok(Arc::new(OpenFile {
            share: self.share.clone(),
            path: path.clone(),
            source,
            stamp,
        }))
    }

    fn blobs(&self, request: Bytes, seat: Arc<dyn Seat>) -> BoxStream<'static, io::Result<Bytes>> {
        let asked = match Asked::parse(&request) {
            Ok(asked) => asked,
            Err(error) => {
                let error = io::Error::new(io::ErrorKind::InvalidInput, error);
                return futures::stream::iter([Err(error)]).boxed();
            }
        };
        let served = Arc::new(ServedShare {
            share: self.share.clone(),
            context: self.context.clone(),
        });
        let parts = answer(asked, served, Arc::new(BlobSeat(seat)));
        futures::stream::unfold(parts, |mut parts| async move {
            Some((parts.recv().await?, parts))
        })
        .boxed()
    }

    fn opened(&self, visitor: &Visitor) {
        self.share.takers.opened(&guest(visitor));
    }

    fn admit(&self, visitor: &Visitor) -> Result<Arc<dyn Seat>, Refusal> {
        Ok(Arc::new(self.share.admit(&guest(visitor))?))
    }

    fn done(&self, visitor: &Visitor) {
        self.share.says_complete(&guest(visitor));
    }
}

/// One of the user's files, open for a response.
struct OpenFile {
    share: Arc<LiveShare>,
    path: RelPath,
    source: Arc<SourceFile>,
    stamp: Stamp,
}

impl FileBytes for OpenFile {
    fn size(&self) -> u64 {
        self.stamp.size
    }

    fn mtime_ns(&self) -> i64 {
        self.stamp.mtime_ns
    }

    /// Whatever changes the file changes its stamp, and with it this tag.
    fn tag(&self) -> String {
        let Stamp {
            size,
            mtime_ns,
            ctime_ns,
            ino,
            dev,
        } = self.stamp;
        let text = format!("{size:x}-{mtime_ns:x}-{ctime_ns:x}-{ino:x}-{dev:x}");
        let mut tag = ContentHash::of(text.as_bytes()).to_hex();
        tag.truncate(32);
        tag
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.source.read_exact_at(offset, buf).map_err(|error| {
            self.share.source_trouble(self.path.as_str(), &error);
            io::Error::other(error)
        })
    }
}

/// The gateway's seat, as the answer to a request for blobs sees it.
struct BlobSeat(Arc<dyn Seat>);

impl shoal_transfer::serve::port::Seat for BlobSeat {
    fn sent(&self, bytes: u64) {
        self.0.sent(bytes);
    }

    /// Over HTTP a taker says so with a request of its own.
    fn complete(&self) {}
}

/// For who has the page before them, and may pass the link on.
fn reach(scope: ReachScope) -> &'static str {
    match scope {
        ReachScope::Machine => "on this computer alone",
        ReachScope::Network => "in this network alone",
        ReachScope::Internet => "from anywhere",
    }
}

fn guest(visitor: &Visitor) -> Guest {
    Guest {
        address: visitor.addr.ip(),
        way: Way::Http,
        mark: visitor.taker.as_ref().map_or(Mark::Address, Mark::of_token),
        client: visitor.agent.clone(),
    }
}
