//! From paths to something that can be served: walk, hash, sign, keep. And back from the store at a start.

use super::Context;
use super::clock::now_s;
use super::content::{Content, Parts, info, manifest};
use super::listing::{Listing, stamp};
use super::share::{LiveShare, Phase};
use shoal_api::{ApiError, ErrorCode, Event, Phase as Step};
use shoal_disk::{
    Counters, Entry, EntryKind, HashError, HashOptions, ProblemKind, SourceError, Stamp, Tree,
    WalkError, hash_tree, locate_roots, walk,
};
use shoal_protocol::capability::{Capability, ContentRecord};
use shoal_protocol::id::ContentHash;
use shoal_protocol::manifest::{Kind, Manifest};
use shoal_protocol::metainfo::{InfoBytes, Privacy, piece_length};
use shoal_store::{Artefact, ShareRow, ShareState, StampRow, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a tree is walked and hashed again because something in it changed meanwhile.
const TRIES: usize = 3;
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Why a share cannot be made of its paths.
#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error("{}: {what}", shoal_protocol::display::escape(path))]
    Unreadable { path: String, what: String },
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("this tree cannot be described: {0}")]
    Manifest(#[from] shoal_protocol::codec::DecodeError),
    #[error("this tree cannot be described to torrent clients: {0}")]
    Info(#[from] shoal_protocol::metainfo::BuildError),
    #[error("this link's own capability is broken: {0}")]
    Capability(#[from] shoal_protocol::capability::CapabilityError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Walks and hashes in a blocking thread, and tells how far it is. Ends when the link or the node does.
pub(super) async fn make(share: Arc<LiveShare>, context: Arc<Context>) {
    let cancel = Arc::new(AtomicBool::new(false));
    let job = {
        let (share, context, cancel) = (share.clone(), context.clone(), cancel.clone());
        tokio::task::spawn_blocking(move || make_blocking(&share, &context, &cancel))
    };
    let mut job = std::pin::pin!(job);
    let mut ticks = tokio::time::interval(PROGRESS_EVERY);
    let result = loop {
        tokio::select! {
            result = &mut job => break result,
            _ = ticks.tick() => tell_progress(&share, &context),
            () = unwanted(&share, &context), if !cancel.load(Ordering::Relaxed) => cancel.store(true, Ordering::Relaxed),
        }
    };
    match result {
        Ok(Ok(())) => {}
        Ok(Err(MakeError::Hash(HashError::Cancelled))) => {}
        Ok(Err(error)) => fail(&share, &context, error),
        Err(panic) => tracing::error!(link = share.id.brief(), %panic, "hashing broke down"),
    }
}

/// Until the link ends or the node stops: a node that hashed on would keep the store that its successor needs.
async fn unwanted(share: &LiveShare, context: &Context) {
    tokio::select! {
        () = share.ended.cancelled() => {}
        () = context.stopping.cancelled() => {}
    }
}

fn make_blocking(
    share: &Arc<LiveShare>,
    context: &Context,
    cancel: &AtomicBool,
) -> Result<(), MakeError> {
    let row = share.row();
    let mut tries = 0;
    loop {
        tries += 1;
        match make_once(share, &row, context, cancel) {
            Err(MakeError::Hash(HashError::Source {
                path,
                source: SourceError::Changed | SourceError::Gone,
            })) if tries < TRIES => {
                tracing::info!(
                    link = share.id.brief(),
                    ?path,
                    "changed while it was hashed: once more"
                );
            }
            result => return result,
        }
    }
}

fn make_once(
    share: &Arc<LiveShare>,
    row: &ShareRow,
    context: &Context,
    cancel: &AtomicBool,
) -> Result<(), MakeError> {
    let tree = walk(&row.roots, Some(&row.name), Some(&context.home))?;
    report_problems(share, &tree)?;
    let listing = Arc::new(Listing::of_tree(&tree)?);
    let counters = Arc::new(Counters::default());
    share.set_phase(Phase::Hashing(listing.clone(), counters.clone()));
    let length = piece_length(tree.total_bytes);
    let mut outboards = context.records.store.artefact_writer()?;
    let hashed = hash_tree(
        &tree,
        &HashOptions::new(u64::from(length)),
        &mut outboards,
        counters.as_ref(),
        cancel,
    )?;
    let bytes = manifest(&listing, &hashed)?.encode();
    let privacy = privacy(row);
    let info = info(&listing, &hashed.pieces, length, row.salt, privacy)?;
    let snapshot = ContentHash::of(&bytes);
    let record = record(row, context, &snapshot, bytes.len() as u64, &info, &listing)?;
    keep(context, share, &snapshot, &bytes, &info, &listing)?;
    outboards.commit(&snapshot, Artefact::Outboards)?;
    let content = Arc::new(Content::new(Parts {
        contents: hashed.files.iter().map(|file| file.content).collect(),
        outboards: context
            .records
            .store
            .open_artefact(&snapshot, Artefact::Outboards)?,
        manifest: bytes,
        trouble: trouble(share),
        piece_length: length,
        privacy,
        listing: listing.clone(),
        info,
    }));
    let infohash = content.infohash;
    share.update(|row| {
        row.state = ShareState::Ready {
            snapshot,
            infohash,
            files: listing.files(),
            bytes: listing.total_bytes,
        };
        row.record = record;
    })?;
    context.register(infohash, share.id);
    share.set_phase(Phase::Ready(content));
    context.records.tell(context.ready_event(share));
    Ok(())
}

fn record(
    row: &ShareRow,
    context: &Context,
    snapshot: &ContentHash,
    manifest_bytes: u64,
    info: &InfoBytes,
    listing: &Listing,
) -> Result<Vec<u8>, MakeError> {
    let capability = Capability::verify(&row.capability)?;
    let record = ContentRecord {
        link: capability.link_id(),
        snapshot: *snapshot,
        manifest_bytes,
        infohash: Some(info.infohash()),
        name: listing.name.clone(),
        files: listing.files(),
        bytes: listing.total_bytes,
    };
    Ok(record.sign(&context.identity.key))
}

fn keep(
    context: &Context,
    share: &LiveShare,
    snapshot: &ContentHash,
    manifest: &[u8],
    info: &InfoBytes,
    listing: &Listing,
) -> Result<(), StoreError> {
    let store = &context.records.store;
    store.put_artefact(snapshot, Artefact::Manifest, manifest)?;
    store.put_artefact(snapshot, Artefact::Metainfo(share.id), info.as_bytes())?;
    let stamps: Vec<_> = listing
        .entries
        .iter()
        .filter_map(stamp)
        .map(stamp_row)
        .collect();
    store.put_stamps(snapshot, &share.id, &stamps)
}

/// What is left out is told; a file that should be there but cannot be read stops the share.
fn report_problems(share: &LiveShare, tree: &Tree) -> Result<(), MakeError> {
    for problem in &tree.problems {
        let path = shoal_protocol::display::escape_os(&problem.path);
        match problem.kind {
            ProblemKind::Unreadable | ProblemKind::Io(_) | ProblemKind::Changing => {
                return Err(MakeError::Unreadable {
                    path: path.to_string(),
                    what: problem.kind.to_string(),
                });
            }
            _ => share.trouble(&path, &format!("left out: {}", problem.kind)),
        }
    }
    if !tree.problems.is_empty() {
        share.keep_problems();
    }
    Ok(())
}

/// At a start: what the store has of a link that was ready.
pub(super) fn load(share: &Arc<LiveShare>, context: &Context) {
    let row = share.row();
    let ShareState::Ready {
        snapshot, infohash, ..
    } = row.state
    else {
        return;
    };
    match load_content(share, &row, context, snapshot) {
        Ok(content) if content.infohash == infohash => {
            context.register(infohash, share.id);
            share.review_problems(&content.listing);
            share.set_phase(Phase::Ready(Arc::new(content)));
        }
        Ok(_) => rest(
            share,
            "what the home kept of it is broken: stop it and share again",
        ),
        Err(error) => rest(share, &error.to_string()),
    }
}

/// Whether a link that rests may be loaded: a look at each of its paths, and at nothing below them.
pub(super) fn has_roots(share: &LiveShare, context: &Context) -> bool {
    let row = share.row();
    locate_roots(&row.roots, Some(&row.name), Some(&context.home)).is_ok()
}

fn rest(share: &LiveShare, why: &str) {
    if !matches!(share.phase(), Phase::Resting(_)) {
        // A file of the home has the id in its name, and who has the id has the link.
        let why = why.replace(&share.id.to_string(), &share.id.brief());
        tracing::warn!(link = share.id.brief(), why, "a link rests");
    }
    share.set_phase(Phase::Resting(why.into()));
}

fn load_content(
    share: &Arc<LiveShare>,
    row: &ShareRow,
    context: &Context,
    snapshot: ContentHash,
) -> Result<Content, MakeError> {
    let store = &context.records.store;
    let bytes = store.artefact_bytes(&snapshot, Artefact::Manifest)?;
    let kept = Manifest::decode(&bytes)?;
    let stamps = store.stamps(&snapshot, &share.id)?;
    let contents: Vec<_> = kept.files().map(|(_, _, content)| content).collect();
    let mut stamps = stamps.into_iter();
    let entries = kept.entries().iter().map(|entry| Entry {
        path: entry.path.clone(),
        mtime_ns: entry.mtime_ns,
        mode: entry.mode,
        kind: match &entry.kind {
            Kind::File { .. } => EntryKind::File(stamp_of(&stamps.next().unwrap_or_default())),
            Kind::Folder => EntryKind::Folder,
            Kind::Symlink { target } => EntryKind::Symlink {
                target: target.clone(),
            },
        },
    });
    let (_, roots) = locate_roots(&row.roots, Some(&row.name), Some(&context.home))?;
    let listing = Listing::new(
        kept.name().to_owned(),
        kept.shape(),
        entries.collect(),
        &roots,
    )?;
    let info = InfoBytes::new(store.artefact_bytes(&snapshot, Artefact::Metainfo(share.id))?)
        .map_err(|_| {
            shoal_protocol::codec::DecodeError::Invalid("the metainfo that the home kept is broken")
        })?;
    Ok(Content::new(Parts {
        piece_length: piece_length(listing.total_bytes),
        privacy: privacy(&share.row()),
        listing: Arc::new(listing),
        manifest: bytes,
        contents,
        info,
        outboards: store.open_artefact(&snapshot, Artefact::Outboards)?,
        trouble: trouble(share),
    }))
}

/// Behind a password torrent clients must not tell others of each other.
fn privacy(row: &ShareRow) -> Privacy {
    match row.password {
        None => Privacy::Public,
        Some(_) => Privacy::Private,
    }
}

/// Weak, because the share holds the content that calls it.
fn trouble(share: &Arc<LiveShare>) -> super::content::OnTrouble {
    let share = Arc::downgrade(share);
    Arc::new(move |path, error| {
        if let Some(share) = share.upgrade() {
            share.source_trouble(path, error);
        }
    })
}

fn tell_progress(share: &LiveShare, context: &Context) {
    if let Phase::Hashing(listing, counters) = share.phase() {
        context.records.tell(Event::Progress {
            id: share.id.to_string(),
            phase: Step::Hash,
            files: counters.files.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            bytes_total: listing.total_bytes,
        });
    }
}

fn fail(share: &LiveShare, context: &Context, error: MakeError) {
    let error = api_error(error);
    tracing::warn!(link = share.id.brief(), why = %error.message, "a share could not be made");
    share.set_phase(Phase::Failed(Arc::new(error.clone())));
    let why = error.message.clone();
    let kept = share.update(|row| {
        row.state = ShareState::Failed { why };
        if row.end == shoal_store::ShareEnd::Active {
            row.end = shoal_store::ShareEnd::Stopped { at_s: now_s() };
        }
    });
    share.ended.cancel();
    if let Err(error) = kept {
        tracing::warn!(%error, "that a share failed could not be kept");
    }
    context.records.tell(Event::Failed {
        id: share.id.to_string(),
        error,
    });
}

fn api_error(error: MakeError) -> ApiError {
    let (code, hint) = match &error {
        MakeError::Walk(walk) => (super::errors::walk_code(walk), None),
        MakeError::Unreadable { .. } => (
            ErrorCode::Permission,
            Some("make it readable, or share the folders beside it; nothing was shared"),
        ),
        MakeError::Source(source)
        | MakeError::Hash(HashError::Source { source, .. } | HashError::Root(source)) => (
            super::errors::source_code(source),
            Some("nothing was shared; share again when nothing writes to it"),
        ),
        MakeError::Store(store) => (super::errors::store_code(store), None),
        _ => (ErrorCode::Internal, None),
    };
    ApiError {
        code,
        message: error.to_string(),
        hint: hint.map(str::to_owned),
    }
}

fn stamp_row(stamp: &Stamp) -> StampRow {
    StampRow {
        size_bytes: stamp.size,
        mtime_ns: stamp.mtime_ns,
        ctime_ns: stamp.ctime_ns,
        ino: stamp.ino,
        dev: stamp.dev,
    }
}

fn stamp_of(row: &StampRow) -> Stamp {
    Stamp {
        size: row.size_bytes,
        mtime_ns: row.mtime_ns,
        ctime_ns: row.ctime_ns,
        ino: row.ino,
        dev: row.dev,
    }
}
