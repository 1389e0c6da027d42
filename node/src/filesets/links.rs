//! Conversations with the other devices of the group.
//!
//! A connection has one control stream, on which both sides tell their [`Catalogue`] whenever it changes; one
//! stream of messages for each fileset that both keep; and streams that ask for content. Who made the connection
//! opens control and messages.

use super::Filesets;
use super::library::Counter;
use super::ring::Input;
use iroh::endpoint::{Connection, ReadExactError, RecvStream, SendStream};
use shoal_protocol::catalogue::Catalogue;
use shoal_protocol::codec::DecodeError;
use shoal_protocol::id::{DeviceId, FilesetId};
use shoal_protocol::limits::{CATALOGUE_MAX_BYTES, SYNC_MESSAGE_MAX_BYTES};
use shoal_protocol::sync::{Event, Message};
use shoal_transfer::carry::{CONTENT, CONTROL, FILESET_ID_BYTES, MESSAGES, serve_content};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Requests for content of one device that are answered at a time; more wait.
const ANSWERS: usize = 16;
/// Messages that wait for a slow peer; the machine has few under way at once.
const MESSAGES_WAITING: usize = 1_024;
/// Time for the first bytes of a stream.
const OPENING_TIMEOUT: Duration = Duration::from_secs(20);
const CODE_PROTOCOL: u32 = 1;
const CODE_ENDED: u32 = 0;

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// The connection or a stream.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What came is no message.
    #[error("it does not keep to the protocol: {0}")]
    Protocol(#[from] DecodeError),
    /// What came is longer than it may be.
    #[error("it does not keep to the protocol: a message of {0} bytes")]
    Long(usize),
    /// A stream of an unknown kind.
    #[error("it does not keep to the protocol: a stream of kind {0}")]
    Kind(u8),
    /// Our side ends it.
    #[error("it was ended here")]
    Ended,
}

impl LinkError {
    fn is_against_protocol(&self) -> bool {
        matches!(self, Self::Protocol(_) | Self::Long(_) | Self::Kind(_))
    }
}

/// Which side made the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// We did.
    Caller,
    /// The other device did.
    Called,
}

/// The way to one peer, for one fileset.
#[derive(Clone)]
pub(super) struct Outbox {
    /// Tells conversations apart.
    pub(super) number: u64,
    messages: mpsc::Sender<Vec<u8>>,
    end: CancellationToken,
}

impl Outbox {
    /// Sends; a peer that takes nothing for so long that messages pile up is not talked to any more.
    pub(super) fn send(&self, message: &Message) {
        if self.messages.try_send(message.encode()).is_err() {
            self.end.cancel();
        }
    }

    /// Ends the whole connection: a new one begins from the start.
    pub(super) fn close(&self) {
        self.end.cancel();
    }
}

/// Talks until either side ends.
pub(super) async fn talk(
    filesets: Arc<Filesets>,
    connection: Connection,
    peer: DeviceId,
    side: Side,
) {
    let end = CancellationToken::new();
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    filesets.link_up(peer, number, end.clone());
    let link = Arc::new(Link {
        filesets: filesets.clone(),
        connection: connection.clone(),
        peer,
        answers: Arc::new(Semaphore::new(ANSWERS)),
        end: end.clone(),
    });
    let ended = tokio::select! {
        ended = link.run(side) => ended,
        () = end.cancelled() => Err(LinkError::Ended),
        () = filesets.stopping().cancelled() => Err(LinkError::Ended),
    };
    end.cancel();
    let mut code = CODE_ENDED;
    if let Err(error) = ended {
        if error.is_against_protocol() {
            code = CODE_PROTOCOL;
        }
        tracing::debug!(%peer, %error, "a conversation ended");
    }
    connection.close(code.into(), b"");
    filesets.link_down(peer, number);
}

struct Link {
    filesets: Arc<Filesets>,
    connection: Connection,
    peer: DeviceId,
    answers: Arc<Semaphore>,
    end: CancellationToken,
}

impl Link {
    async fn run(self: &Arc<Self>, side: Side) -> Result<(), LinkError> {
        if side == Side::Called {
            return self.answer().await;
        }
        let (mut send, recv) = self.connection.open_bi().await.map_err(io::Error::other)?;
        send.write_all(&[CONTROL]).await.map_err(io::Error::other)?;
        tokio::select! {
            ended = self.control(send, recv, side) => ended,
            ended = self.answer() => ended,
        }
    }

    /// Takes the streams that the other side opens.
    async fn answer(self: &Arc<Self>) -> Result<(), LinkError> {
        loop {
            let (send, recv) = self
                .connection
                .accept_bi()
                .await
                .map_err(io::Error::other)?;
            let link = self.clone();
            tokio::spawn(async move {
                let ended = tokio::select! {
                    ended = link.stream(send, recv) => ended,
                    () = link.end.cancelled() => Ok(()),
                };
                if let Err(error) = ended {
                    tracing::debug!(peer = %link.peer, %error, "a stream ended early");
                    if error.is_against_protocol() {
                        link.end.cancel();
                    }
                }
            });
        }
    }

    async fn stream(
        self: &Arc<Self>,
        send: SendStream,
        mut recv: RecvStream,
    ) -> Result<(), LinkError> {
        let mut kind = [0];
        opening(recv.read_exact(&mut kind)).await?;
        match kind {
            [CONTROL] => {
                let ended = self.control(send, recv, Side::Called).await;
                self.end.cancel();
                ended
            }
            [MESSAGES] => {
                let mut id = [0; FILESET_ID_BYTES];
                opening(recv.read_exact(&mut id)).await?;
                self.messages(FilesetId(id), send, recv).await
            }
            [CONTENT] => {
                let Ok(_place) = self.answers.clone().acquire_owned().await else {
                    return Ok(());
                };
                let library = Arc::new(Counter {
                    shelves: self.filesets.shelves(),
                    paces: self.filesets.members.pace(&self.peer),
                });
                let answered = serve_content(send, recv, library, self.end.clone()).await;
                answered.map_err(|error| io::Error::other(error).into())
            }
            [other] => Err(LinkError::Kind(other)),
        }
    }

    /// Tells our catalogue whenever it changes, and takes theirs.
    async fn control(
        self: &Arc<Self>,
        mut send: SendStream,
        mut recv: RecvStream,
        side: Side,
    ) -> Result<(), LinkError> {
        let mut ours = self.filesets.catalogue();
        let telling = async {
            loop {
                let bytes = ours.borrow_and_update().encode();
                write_frame(&mut send, &bytes).await?;
                if ours.changed().await.is_err() {
                    return Err::<(), _>(LinkError::Ended);
                }
            }
        };
        let taking = async {
            let mut open = BTreeMap::new();
            let mut theirs = BTreeSet::new();
            let mut changed = self.filesets.catalogue();
            // A change of ours must not end a half-read frame: frames are read by one future until they are whole.
            let mut frame = Box::pin(next_frame(recv, CATALOGUE_MAX_BYTES));
            loop {
                tokio::select! {
                    read = &mut frame => {
                        let (read, rest) = read?;
                        let Some(read) = read else {
                            return Err::<(), _>(LinkError::Ended);
                        };
                        recv = rest;
                        frame = Box::pin(next_frame(recv, CATALOGUE_MAX_BYTES));
                        theirs = self.filesets.heard(self.peer, &Catalogue::decode(&read)?);
                    }
                    told = changed.changed() => told.map_err(|_| LinkError::Ended)?,
                }
                if side == Side::Caller {
                    self.open_common(&theirs, &mut open);
                }
            }
        };
        tokio::select! {
            ended = telling => ended,
            ended = taking => ended,
        }
    }

    /// Opens a stream of messages for every fileset that both keep and that has none yet.
    fn open_common(
        self: &Arc<Self>,
        theirs: &BTreeSet<FilesetId>,
        open: &mut BTreeMap<FilesetId, CancellationToken>,
    ) {
        open.retain(|_, ended| !ended.is_cancelled());
        for fileset in self.filesets.going() {
            if !theirs.contains(&fileset) || open.contains_key(&fileset) {
                continue;
            }
            let ended = CancellationToken::new();
            open.insert(fileset, ended.clone());
            let link = self.clone();
            tokio::spawn(async move {
                let done = ended.drop_guard();
                let talked = tokio::select! {
                    talked = link.begin(fileset) => talked,
                    () = link.end.cancelled() => Ok(()),
                };
                if let Err(error) = talked {
                    tracing::debug!(peer = %link.peer, %error, "messages of a fileset ended");
                    if error.is_against_protocol() {
                        link.end.cancel();
                    }
                }
                drop(done);
            });
        }
    }

    async fn begin(&self, fileset: FilesetId) -> Result<(), LinkError> {
        let (mut send, recv) = self.connection.open_bi().await.map_err(io::Error::other)?;
        let mut head = vec![MESSAGES];
        head.extend_from_slice(fileset.as_bytes());
        send.write_all(&head).await.map_err(io::Error::other)?;
        self.messages(fileset, send, recv).await
    }

    /// Carries the messages of one fileset both ways.
    async fn messages(
        &self,
        fileset: FilesetId,
        mut send: SendStream,
        mut recv: RecvStream,
    ) -> Result<(), LinkError> {
        let Some(ring) = self.filesets.ring_of(&fileset) else {
            return Ok(());
        };
        let (messages, mut waiting) = mpsc::channel::<Vec<u8>>(MESSAGES_WAITING);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let outbox = Outbox {
            number,
            messages,
            end: self.end.clone(),
        };
        let line = Line {
            ring: ring.clone(),
            peer: self.peer,
            number,
        };
        let paces = self.filesets.members.pace(&self.peer);
        ring.fetcher
            .line_up(self.peer, self.connection.clone(), number, paces);
        // A member that was removed before is to be believed again before it says anything.
        let standing = self.filesets.removals(&ring.index).into_iter();
        let standing = standing.map(|command| Input::Event(Event::Command(command)));
        for input in standing.chain([Input::Linked(self.peer, outbox)]) {
            if ring.inputs.send(input).await.is_err() {
                return Ok(());
            }
        }
        let sending = async {
            while let Some(bytes) = waiting.recv().await {
                write_frame(&mut send, &bytes).await?;
            }
            Ok(())
        };
        let taking = async {
            while let Some(frame) = read_frame(&mut recv, SYNC_MESSAGE_MAX_BYTES).await? {
                let message = Message::decode(&frame)?;
                let said = Input::Said(self.peer, number, message);
                if ring.inputs.send(said).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let ended = tokio::select! {
            ended = sending => ended,
            ended = taking => ended,
            () = ring.ended.cancelled() => Ok(()),
        };
        drop(line);
        ended
    }
}

/// A line to a peer that is up; dropping it takes it down, whatever ended it.
struct Line {
    ring: super::RingHandle,
    peer: DeviceId,
    number: u64,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.ring.fetcher.line_down(self.peer, self.number);
        let (inputs, input) = (
            self.ring.inputs.clone(),
            Input::Unlinked(self.peer, self.number),
        );
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = inputs.send(input).await;
            });
        }
    }
}

async fn opening(read: impl Future<Output = Result<(), ReadExactError>>) -> Result<(), LinkError> {
    timeout(OPENING_TIMEOUT, read)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
        .map_err(|error| io::Error::other(error).into())
}

async fn write_frame(send: &mut SendStream, bytes: &[u8]) -> Result<(), LinkError> {
    let len = u32::try_from(bytes.len()).map_err(|_| LinkError::Long(bytes.len()))?;
    send.write_all(&len.to_le_bytes())
        .await
        .map_err(io::Error::other)?;
    send.write_all(bytes).await.map_err(io::Error::other)?;
    Ok(())
}

/// The next frame, and the stream to read on; none at the end of the stream.
async fn next_frame(
    mut recv: RecvStream,
    limit: usize,
) -> Result<(Option<Vec<u8>>, RecvStream), LinkError> {
    let frame = read_frame(&mut recv, limit).await?;
    Ok((frame, recv))
}

/// The next frame: its length as four bytes, little-endian, and its bytes; none at the end of the stream.
async fn read_frame(recv: &mut RecvStream, limit: usize) -> Result<Option<Vec<u8>>, LinkError> {
    let mut len = [0; 4];
    match recv.read_exact(&mut len).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(error) => return Err(io::Error::other(error).into()),
    }
    let len = u32::from_le_bytes(len) as usize;
    if len > limit {
        return Err(LinkError::Long(len));
    }
    let mut bytes = vec![0; len];
    recv.read_exact(&mut bytes)
        .await
        .map_err(io::Error::other)?;
    Ok(Some(bytes))
}
