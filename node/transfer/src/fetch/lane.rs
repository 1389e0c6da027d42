//! One lane of a source: takes pieces of work, asks for them, and writes what arrives.

use super::Way;
use super::decode::{DecodeError, WRITE_BYTES, chunks, decode};
use super::engine::Engine;
use super::error::GetError;
use super::http::Web;
use super::pipe::{Batches, PipeReader, pipe};
use super::queue::{Taken, Work};
use super::source::{Body, Channel, SourceError};
use super::staging::Staging;
use bao_tree::ChunkRanges;
use bytes::Bytes;
use iroh_blobs::protocol::{ChunkRangesSeq, GetManyRequest, GetRequest, Request};
use shoal_protocol::id::ContentHash;
use shoal_protocol::manifest::Shape;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Files after which a batch is noted in the journal.
const NOTED_FILES: usize = 64;
const PLAIN_BYTES: usize = 1 << 20;

/// Takes pieces until one fails or the engine stops.
pub(crate) async fn run(engine: Arc<Engine>, source: usize, channel: Channel) -> SourceError {
    let mut channel = channel;
    loop {
        let taken = tokio::select! {
            taken = engine.queue.take(source, || engine.end(), &engine.staging.marks) => taken,
            () = engine.stop.cancelled() => return SourceError::Broken("stopped".into()),
        };
        if engine.suspects.has_lied(source) {
            engine.queue.give_back(&taken, &engine.staging.marks);
            return SourceError::Lied("a file is not the one in the manifest".into());
        }
        let mut result = fetch(&engine, source, &channel, &taken).await;
        if let Ok(Fetched::OnlyPlain) = result
            && let Some(web) = channel.web().cloned()
        {
            result = plain(&engine, source, &web, &taken).await;
            channel = Channel::Plain(web);
        }
        match result {
            Ok(Fetched::OnlyPlain) => {
                engine.queue.give_back(&taken, &engine.staging.marks);
                return SourceError::Broken("it gives nothing that can be used".into());
            }
            Ok(Fetched::All) => engine.queue.done(&taken),
            Ok(Fetched::Beaten) => engine.queue.give_back(&taken, &engine.staging.marks),
            Err(error) => {
                engine.queue.give_back(&taken, &engine.staging.marks);
                return error;
            }
        }
    }
}

/// How a piece ended.
enum Fetched {
    All,
    Beaten,
    OnlyPlain,
}

async fn fetch(
    engine: &Arc<Engine>,
    source: usize,
    channel: &Channel,
    taken: &Taken,
) -> Result<Fetched, SourceError> {
    if let Channel::Plain(web) = channel {
        return plain(engine, source, web, taken).await;
    }
    let asked = Asked::of(&taken.work, &engine.staging);
    let request = asked.request()?;
    let answer = timeout(engine.options.stall_timeout, channel.request(&request));
    let Some(body) = answer
        .await
        .map_err(|_| SourceError::Broken("no answer".into()))??
    else {
        return Ok(Fetched::OnlyPlain);
    };
    let way = if channel.web().is_some() {
        Way::Http
    } else {
        Way::Iroh
    };
    let (sender, reader) = pipe();
    let job = {
        let engine = engine.clone();
        let tracker = engine.blocking.clone();
        tracker.spawn_blocking(move || asked.write(reader, &engine, way))
    };
    let pumped = tokio::select! {
        pumped = pump(body, sender, engine.options.stall_timeout) => pumped,
        () = taken.beaten.cancelled() => return Ok(Fetched::Beaten),
        () = engine.stop.cancelled() => return Ok(Fetched::Beaten),
    };
    let written = job.await.map_err(SourceError::broken)?;
    match (written, pumped) {
        (Ok(()), _) => Ok(Fetched::All),
        (Err(DecodeError::Wrong), _) => Err(SourceError::Lied(
            DecodeError::<GetError>::Wrong.to_string(),
        )),
        (Err(DecodeError::Sink(error)), _) => {
            engine.fail(error);
            Err(SourceError::Local)
        }
        (Err(DecodeError::Short), Err(error)) => Err(error),
        (Err(DecodeError::Short), Ok(())) => Err(SourceError::Changed),
    }
}

/// From the network to the writing thread, until either ends.
pub(crate) async fn pump(
    mut body: Body,
    sender: Batches,
    stall: Duration,
) -> Result<(), SourceError> {
    loop {
        let mut batch: Vec<Bytes> = Vec::with_capacity(64);
        let more = timeout(stall, body.next(&mut batch)).await;
        let more = more.map_err(|_| SourceError::Broken("nothing arrives any more".into()))??;
        if !batch.is_empty() && sender.send(batch).await.is_err() {
            // The writing thread has all it wants, or failed and says so itself.
            return Ok(());
        }
        if !more {
            return Ok(());
        }
    }
}

/// What is asked for, blob by blob.
struct Asked(Vec<Part>);

struct Part {
    file: u32,
    hash: ContentHash,
    size: u64,
    /// `None`: all of it, as a whole small file.
    range: Option<(u64, u64)>,
}

impl Asked {
    fn of(work: &Work, staging: &Staging) -> Self {
        let part = |file: u32, range| {
            let spec = staging.layout.spec(file)?;
            Some(Part {
                file,
                hash: spec.content?,
                size: spec.size,
                range,
            })
        };
        Self(match work {
            Work::Range { file, start, end } => {
                part(*file, Some((*start, *end))).into_iter().collect()
            }
            Work::Batch(files) => files.iter().filter_map(|file| part(*file, None)).collect(),
        })
    }

    fn request(&self) -> Result<Vec<u8>, SourceError> {
        let request = match self.0.as_slice() {
            [part] => Request::Get(GetRequest::blob_ranges(part.hash.0.into(), part.ranges())),
            parts => Request::GetMany(GetManyRequest::new(
                parts.iter().map(|part| part.hash.0.into()).collect(),
                ChunkRangesSeq::from_ranges(parts.iter().map(Part::ranges)),
            )),
        };
        postcard::to_allocvec(&request).map_err(SourceError::broken)
    }

    /// Verifies and writes; on a thread that may block.
    fn write(
        self,
        mut answer: PipeReader,
        engine: &Engine,
        way: Way,
    ) -> Result<(), DecodeError<GetError>> {
        let staging = &engine.staging;
        let mut buffer = Vec::with_capacity(WRITE_BYTES);
        let (mut whole, mut noted) = (Vec::new(), Vec::new());
        for part in self.0 {
            let Some(_) = part.range else {
                whole.clear();
                decode(
                    &mut answer,
                    &part.hash,
                    part.size,
                    part.ranges(),
                    &mut buffer,
                    |_, bytes, _| {
                        whole.extend_from_slice(bytes);
                        Ok(())
                    },
                )?;
                let added = staging
                    .put_whole(part.file, &whole, way)
                    .map_err(DecodeError::Sink)?;
                noted.push(part.file);
                if noted.len() >= NOTED_FILES {
                    staging
                        .wrote_whole(std::mem::take(&mut noted))
                        .map_err(DecodeError::Sink)?;
                }
                engine.added(part.file, added);
                continue;
            };
            decode(
                &mut answer,
                &part.hash,
                part.size,
                part.ranges(),
                &mut buffer,
                |at, bytes, imprint| {
                    let added = staging.put(part.file, at, bytes, imprint, way)?;
                    engine.added(part.file, added);
                    Ok(())
                },
            )?;
        }
        staging.wrote_whole(noted).map_err(DecodeError::Sink)
    }
}

impl Part {
    fn ranges(&self) -> ChunkRanges {
        match self.range {
            None => ChunkRanges::all(),
            Some((start, end)) => chunks(start, end, self.size),
        }
    }
}

/// Reads one blob into memory, verified.
pub(crate) async fn read_blob(
    channel: &Channel,
    hash: ContentHash,
    size: u64,
    stall: Duration,
) -> Result<Vec<u8>, SourceError> {
    let request = Request::Get(GetRequest::blob(hash.0));
    let request = postcard::to_allocvec(&request).map_err(SourceError::broken)?;
    let late = |_| SourceError::Broken("no answer".into());
    let answer = timeout(stall, channel.request(&request)).await;
    let body = answer.map_err(late)??;
    let body = body.ok_or_else(|| SourceError::Broken("it does not answer requests".into()))?;
    let (sender, mut reader) = pipe();
    let job = tokio::task::spawn_blocking(move || {
        let mut blob = Vec::new();
        let read = decode(
            &mut reader,
            &hash,
            size,
            ChunkRanges::all(),
            &mut Vec::new(),
            |_, bytes, _| {
                blob.extend_from_slice(bytes);
                Ok::<_, GetError>(())
            },
        );
        read.map(|()| blob)
    });
    let pumped = pump(body, sender, stall).await;
    match (job.await.map_err(SourceError::broken)?, pumped) {
        (Ok(blob), _) => Ok(blob),
        (Err(DecodeError::Short), Err(error)) => Err(error),
        (Err(DecodeError::Wrong), _) => Err(SourceError::Lied(
            DecodeError::<GetError>::Wrong.to_string(),
        )),
        (Err(error), _) => Err(SourceError::Broken(error.to_string())),
    }
}

// Plain files.

async fn plain(
    engine: &Arc<Engine>,
    source: usize,
    web: &Web,
    taken: &Taken,
) -> Result<Fetched, SourceError> {
    let parts = match &taken.work {
        Work::Range { file, start, end } => vec![(*file, *start, *end)],
        Work::Batch(files) => {
            let size = |file: &u32| {
                engine
                    .staging
                    .layout
                    .spec(*file)
                    .map_or(0, |spec| spec.size)
            };
            files.iter().map(|file| (*file, 0, size(file))).collect()
        }
    };
    for (file, start, end) in parts {
        if taken.beaten.is_cancelled() || engine.stop.is_cancelled() {
            return Ok(Fetched::Beaten);
        }
        engine.suspects.brings(source, file);
        plain_part(engine, web, file, start, end).await?;
    }
    Ok(Fetched::All)
}

async fn plain_part(
    engine: &Arc<Engine>,
    web: &Web,
    file: u32,
    start: u64,
    end: u64,
) -> Result<(), SourceError> {
    let layout = engine.staging.layout.clone();
    let spec = layout.spec(file).ok_or(SourceError::Local)?;
    let path = match layout.shape {
        Shape::SingleFile => layout.name.as_str(),
        Shape::Folder => spec.path.as_str(),
    };
    let body = Body::Web(web.plain(path, start, end).await?);
    let (sender, reader) = pipe();
    let job = {
        let engine = engine.clone();
        let tracker = engine.blocking.clone();
        tracker.spawn_blocking(move || plain_write(&engine, reader, file, start, end))
    };
    let pumped = pump(body, sender, engine.options.stall_timeout).await;
    match (job.await.map_err(SourceError::broken)?, pumped) {
        (Ok(len), _) if len == end - start => Ok(()),
        (Ok(_), Ok(())) => Err(SourceError::Broken("the answer ended early".into())),
        (Ok(_), Err(error)) => Err(error),
        (Err(error), _) => {
            engine.fail(error);
            Err(SourceError::Local)
        }
    }
}

/// Writes bytes that are proven only when the whole file is there; says how many there were.
fn plain_write(
    engine: &Engine,
    reader: PipeReader,
    file: u32,
    start: u64,
    end: u64,
) -> Result<u64, GetError> {
    let staging = &engine.staging;
    staging.taint()?;
    let mut reader = reader.take(end - start);
    let mut at = start;
    loop {
        let mut part = Vec::with_capacity(PLAIN_BYTES);
        // A pipe gives no errors.
        let read = reader
            .by_ref()
            .take(PLAIN_BYTES as u64)
            .read_to_end(&mut part)
            .unwrap_or(0);
        if read == 0 {
            return Ok(at - start);
        }
        staging.put_unproven(file, at, &part)?;
        let next = at + read as u64;
        for (file, added) in staging.piece_done(&[(file, at, next)], Way::Http)? {
            engine.added(file, added);
        }
        at = next;
    }
}
