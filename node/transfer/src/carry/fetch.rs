//! Asking a device for content.

use super::{CONTENT, FILESET_ID_BYTES, REQUEST_MAX_FILES};
use crate::fetch::decode::{DecodeError, chunks, decode};
use crate::fetch::iroh::IrohChannel;
use crate::fetch::lane::pump;
use crate::fetch::pipe::{PipeReader, pipe};
use crate::fetch::source::{Body, SourceError};
use bao_tree::ChunkRanges;
use iroh::endpoint::Connection;
use iroh_blobs::protocol::{ChunkRangesSeq, GetManyRequest, GetRequest, Request};
use shoal_protocol::id::ContentHash;
use std::io;
use std::time::Duration;
use tokio::time::timeout;

/// How long nothing may arrive before a peer is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A blob that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// Its hash.
    pub hash: ContentHash,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Where verified bytes go. Called on a thread that may block.
pub trait Sink: Send + 'static {
    /// Bytes of the `index`th want, from offset `at`; in order within one want.
    ///
    /// # Errors
    /// Whatever the disk says; the fetch ends with it.
    fn write(&mut self, index: usize, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// The `index`th want is complete.
    ///
    /// # Errors
    /// As [`Sink::write`].
    fn done(&mut self, index: usize) -> io::Result<()>;
}

/// Why content did not come whole. What was passed to the sink before is right all the same.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// It has not (any more) what was asked for.
    #[error("the other device does not have this content any more")]
    NotThere,
    /// It sent bytes of another hash.
    #[error("the other device sent other bytes than were asked for")]
    Lied,
    /// The connection.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The disk here.
    #[error(transparent)]
    Sink(#[from] io::Error),
}

/// Fetches whole blobs, at most [`REQUEST_MAX_FILES`], in the order in which they are wanted.
///
/// # Errors
/// See [`CarryError`]. Those that the sink was told to be done are complete.
pub async fn fetch_files(
    connection: &Connection,
    fileset: &[u8; FILESET_ID_BYTES],
    wants: Vec<Want>,
    sink: impl Sink,
) -> Result<(), CarryError> {
    debug_assert!(wants.len() <= REQUEST_MAX_FILES);
    let request = Request::GetMany(GetManyRequest::new(
        wants.iter().map(|want| want.hash.0.into()).collect(),
        ChunkRangesSeq::from_ranges(wants.iter().map(|_| ChunkRanges::all())),
    ));
    let mut sink = sink;
    carry(connection, fileset, &request, move |mut answer| {
        let mut buffer = Vec::new();
        for (index, want) in wants.iter().enumerate() {
            decode(
                &mut answer,
                &want.hash,
                want.bytes,
                ChunkRanges::all(),
                &mut buffer,
                |at, bytes, _| sink.write(index, at, bytes),
            )?;
            sink.done(index).map_err(DecodeError::Sink)?;
        }
        Ok(())
    })
    .await
}

/// Fetches `start..end` of one blob; both are multiples of 16 KiB, or the end of the blob.
///
/// # Errors
/// See [`CarryError`].
pub async fn fetch_range(
    connection: &Connection,
    fileset: &[u8; FILESET_ID_BYTES],
    want: Want,
    (start, end): (u64, u64),
    sink: impl Sink,
) -> Result<(), CarryError> {
    let ranges = chunks(start, end, want.bytes);
    let request = Request::Get(GetRequest::blob_ranges(want.hash.0.into(), ranges.clone()));
    let mut sink = sink;
    carry(connection, fileset, &request, move |mut answer| {
        decode(
            &mut answer,
            &want.hash,
            want.bytes,
            ranges,
            &mut Vec::new(),
            |at, bytes, _| sink.write(0, at, bytes),
        )?;
        sink.done(0).map_err(DecodeError::Sink)
    })
    .await
}

async fn carry(
    connection: &Connection,
    fileset: &[u8; FILESET_ID_BYTES],
    request: &Request,
    read: impl FnOnce(PipeReader) -> Result<(), DecodeError<io::Error>> + Send + 'static,
) -> Result<(), CarryError> {
    let mut bytes = vec![CONTENT];
    bytes.extend_from_slice(fileset);
    let bytes = postcard::to_extend(request, bytes)
        .map_err(|error| CarryError::Broken(error.to_string()))?;
    let channel = IrohChannel::over(connection.clone());
    let body = timeout(STALL_TIMEOUT, channel.request(&bytes))
        .await
        .map_err(|_| CarryError::Broken("no answer".into()))?
        .map_err(of_source)?;
    let (sender, reader) = pipe();
    let reading = tokio::task::spawn_blocking(move || read(reader));
    let pumped = pump(Body::Iroh(Box::new(body)), sender, STALL_TIMEOUT).await;
    let read = reading
        .await
        .map_err(|error| CarryError::Broken(error.to_string()))?;
    match (read, pumped) {
        (Ok(()), _) => Ok(()),
        (Err(DecodeError::Wrong), _) => Err(CarryError::Lied),
        (Err(DecodeError::Sink(error)), _) => Err(error.into()),
        (Err(DecodeError::Short), Err(error)) => Err(of_source(error)),
        // An answer that ends where a blob should begin means that it is not there.
        (Err(DecodeError::Short), Ok(())) => Err(CarryError::NotThere),
    }
}

fn of_source(error: SourceError) -> CarryError {
    match error {
        SourceError::Changed => CarryError::NotThere,
        SourceError::Lied(_) => CarryError::Lied,
        other => CarryError::Broken(other.to_string()),
    }
}
