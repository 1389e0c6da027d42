//! One `get`: finds out what the link contains, runs its sources until everything is there, and
//! finishes.

use super::error::GetError;
use super::iroh::Dialer;
use super::marks::Added;
use super::meta::{Finder, Found};
use super::progress::{Event, Phase, Progress, WayState};
use super::queue::{End, Queue, Twins};
use super::roll::Roll;
use super::source::{self, SourceError};
use super::staging::{Enter, Staging, discard, folder_name, known_taker, swarm_folder};
use super::suspects::Suspects;
use super::target::{Target, look};
use super::torrent::Joiner;
use super::{Fetched, GetRequest, Options, Outcome, Way, finish, watch};
use shoal_protocol::id::{LinkId, TakerToken};
use shoal_protocol::link::Link;
use shoal_protocol::metainfo::Info;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long sources get to be told that everything arrived.
const GOODBYE: Duration = Duration::from_secs(2);

/// What the sources of one `get` share.
pub(crate) struct Engine {
    /// Where bytes go.
    pub(crate) staging: Arc<Staging>,
    /// What is to be fetched.
    pub(crate) queue: Queue,
    /// Times and addresses.
    pub(crate) options: Options,
    /// The link, unless it is a bare torrent.
    pub(crate) link: Option<LinkId>,
    /// Our iroh endpoint.
    pub(crate) dialer: Arc<Dialer>,
    /// Ends all sources.
    pub(crate) stop: CancellationToken,
    /// Something ended, failed or became complete.
    pub(crate) news: Notify,
    /// Threads that write.
    pub(crate) blocking: TaskTracker,
    /// How all sources are.
    pub(crate) roll: Roll,
    /// Who brought what is not proven yet.
    pub(crate) suspects: Suspects,
    progress: Arc<dyn Progress>,
    twins: Twins,
    settle: Mutex<Option<mpsc::UnboundedSender<Job>>>,
    failure: Mutex<Option<GetError>>,
    swarming: AtomicBool,
    /// Jobs that are not done.
    settling: AtomicUsize,
}

/// Work on files that are complete.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Job {
    /// Hash it.
    Prove(u32),
    /// Copy it to files of the same content.
    Copy(u32),
}

/// Ends all work of an engine, also when the future of its `get` is dropped.
struct Ending(Arc<Engine>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.stop.cancel();
        self.0
            .settle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

/// Runs one `get` until it ends or is cancelled.
pub(crate) async fn run(
    request: GetRequest,
    progress: Arc<dyn Progress>,
    cancel: CancellationToken,
) -> Result<Fetched, GetError> {
    let dialer = Arc::new(Dialer::new(&request.options));
    let fetched = fetch(&request, &progress, dialer.clone(), &cancel).await;
    dialer.close().await;
    fetched
}

async fn fetch(
    request: &GetRequest,
    progress: &Arc<dyn Progress>,
    dialer: Arc<Dialer>,
    cancel: &CancellationToken,
) -> Result<Fetched, GetError> {
    progress.event(Event::Phase(Phase::Connecting));
    let (link, folder) = match &request.link {
        Link::Web(web) => (Some(web.id), folder_name(&web.id.to_string())),
        Link::Magnet(magnet) => match &magnet.capability {
            Some(signed) => {
                let id = signed.capability.link_id();
                (Some(id), folder_name(&id.to_string()))
            }
            None => (None, folder_name(&magnet.magnet.infohash.to_hex())),
        },
    };
    // Bytes known by a torrent alone are noted otherwise than those that a manifest describes.
    let by_swarm = swarm_folder(&folder);
    let known = known_taker(&request.into, &folder);
    let taker = match known.or_else(|| known_taker(&request.into, &by_swarm)) {
        Some(taker) => taker,
        None => new_taker()?,
    };
    let finder = Finder {
        request,
        taker,
        dialer: &dialer,
        progress: progress.as_ref(),
    };
    let found = tokio::select! {
        found = finder.find() => found?,
        () = cancel.cancelled() => return Err(GetError::Cancelled),
    };
    progress.event(Event::Total {
        name: found.layout.name.clone(),
        files: found.layout.files.len() as u64,
        bytes: found.layout.bytes,
    });
    let info = found
        .swarm
        .as_ref()
        .and_then(|(_, info)| info.decode().ok());
    if let Some(there) = already_there(request, &found, info).await? {
        return Ok(there);
    }
    let (folder, other) = match link.is_some() && found.swarm.is_some() {
        true => (by_swarm, folder),
        false => (folder, by_swarm),
    };
    let staging = enter(request, &folder, &found, taker, (progress, cancel)).await?;
    let (engine, jobs) = Engine::new(request, staging, link, dialer, progress.clone());
    let fetched = engine.run(request, found, jobs, cancel).await?;
    let into = request.into.clone();
    blocking(&request.into, move || discard(&into, &other)).await?;
    Ok(fetched)
}

/// What is to be said when nothing is to be done.
async fn already_there(
    request: &GetRequest,
    found: &Found,
    info: Option<Info>,
) -> Result<Option<Fetched>, GetError> {
    let path = request.into.join(&found.layout.name);
    let (into, layout) = (request.into.clone(), found.layout.clone());
    match blocking(&request.into, move || look(&into, &layout, info.as_ref())).await? {
        Target::Free => Ok(None),
        Target::Other => Err(GetError::TargetExists { path }),
        Target::Same => Ok(Some(Fetched {
            path,
            files: found.layout.files.len() as u64,
            bytes: found.layout.bytes,
            resumed_bytes: 0,
            outcome: Outcome::AlreadyThere,
            ways: Vec::new(),
        })),
    }
}

async fn enter(
    request: &GetRequest,
    folder: &str,
    found: &Found,
    taker: TakerToken,
    (progress, cancel): (&Arc<dyn Progress>, &CancellationToken),
) -> Result<Staging, GetError> {
    let (progress, cancel) = (progress.clone(), cancel.clone());
    let (into, folder) = (request.into.clone(), folder.to_owned());
    let (layout, layout_id) = (found.layout.clone(), found.layout_id);
    blocking(&request.into, move || {
        let entered = Enter {
            into: &into,
            folder: &folder,
            layout,
            layout_id,
            taker,
            cancel: &cancel,
            rechecking: &|| progress.event(Event::Phase(Phase::Rechecking)),
        }
        .enter();
        if matches!(entered, Err(GetError::OneName { .. })) {
            // Nothing will ever come of it there.
            discard(&into, &folder)?;
        }
        entered
    })
    .await
}

fn new_taker() -> Result<TakerToken, GetError> {
    let mut token = [0; 16];
    getrandom::fill(&mut token).map_err(|error| {
        GetError::io(
            std::path::Path::new("/dev/urandom"),
            std::io::Error::other(error),
        )
    })?;
    Ok(TakerToken(token))
}

/// Runs what blocks on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    path: &std::path::Path,
    run: impl FnOnce() -> Result<T, GetError> + Send + 'static,
) -> Result<T, GetError> {
    let ended = tokio::task::spawn_blocking(run).await;
    ended.unwrap_or_else(|error| Err(GetError::io(path, std::io::Error::other(error))))
}

impl Engine {
    fn new(
        request: &GetRequest,
        staging: Staging,
        link: Option<LinkId>,
        dialer: Arc<Dialer>,
        progress: Arc<dyn Progress>,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Job>) {
        let (settle, jobs) = mpsc::unbounded_channel();
        let (queue, twins) = Queue::new(&staging.layout, &staging.marks);
        let unproven = staging.marks.unproven();
        let complete = twins
            .keys()
            .copied()
            .filter(|file| staging.marks.is_complete(*file));
        let first: Vec<Job> = unproven
            .into_iter()
            .map(Job::Prove)
            .chain(complete.map(Job::Copy))
            .collect();
        let engine = Self {
            staging: Arc::new(staging),
            queue,
            options: request.options.clone(),
            link,
            dialer,
            stop: CancellationToken::new(),
            news: Notify::new(),
            blocking: TaskTracker::new(),
            progress,
            twins,
            settle: Mutex::new(Some(settle)),
            failure: Mutex::new(None),
            roll: Roll::default(),
            suspects: Suspects::default(),
            swarming: AtomicBool::new(false),
            settling: AtomicUsize::new(0),
        };
        first.into_iter().for_each(|job| engine.job(job));
        (Arc::new(engine), jobs)
    }

    async fn run(
        self: &Arc<Self>,
        request: &GetRequest,
        found: Found,
        jobs: mpsc::UnboundedReceiver<Job>,
        cancel: &CancellationToken,
    ) -> Result<Fetched, GetError> {
        let ending = Ending(self.clone());
        self.progress.event(Event::Phase(Phase::Fetching));
        self.blocking.spawn_blocking({
            let engine = self.clone();
            move || engine.settle(jobs)
        });
        let mut sources = JoinSet::new();
        for (address, channel) in found.sources {
            let source = self.roll.add(address.way(), address.text());
            sources.spawn(source::run(self.clone(), source, address, channel));
        }
        let joiner = found
            .torrent
            .map(|seed| Joiner::new(seed, found.swarm, found.webs));
        let watched = tokio::select! {
            watched = watch::watch(self, joiner, &mut sources) => watched,
            () = cancel.cancelled() => Err(GetError::Cancelled),
        };
        drop(ending);
        // What is being written is waited for; a network that does not answer is not.
        self.blocking.close();
        let goodbye = async {
            let told = async { while sources.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(GOODBYE, told).await;
            sources.shutdown().await;
        };
        let fetched = match watched {
            Ok(()) => tokio::join!(self.finish(request), goodbye).0,
            Err(error) => {
                goodbye.await;
                self.blocking.wait().await;
                Err(error)
            }
        };
        self.staging.close();
        fetched
    }

    async fn finish(&self, request: &GetRequest) -> Result<Fetched, GetError> {
        self.report_done();
        self.progress.event(Event::Phase(Phase::Finishing));
        self.blocking.wait().await;
        let (staging, durability) = (self.staging.clone(), request.options.durability);
        let finished = blocking(&request.into, move || finish::finish(&staging, durability));
        let ways = Way::ALL
            .into_iter()
            .map(|way| (way, self.staging.marks.by_way(way)));
        Ok(Fetched {
            path: finished.await?,
            files: self.staging.layout.files.len() as u64,
            bytes: self.staging.layout.bytes,
            resumed_bytes: self.staging.resumed_bytes,
            outcome: Outcome::Fetched,
            ways: ways.filter(|(_, bytes)| *bytes > 0).collect(),
        })
    }

    // Told by sources.

    /// Bytes of a file were added.
    pub(crate) fn added(&self, file: u32, added: Added) {
        match added {
            Added::Some => return,
            Added::Completed if self.twins.contains_key(&file) => self.job(Job::Copy(file)),
            Added::Completed => {}
            Added::CompletedUnproven => self.job(Job::Prove(file)),
        }
        if self.is_complete() {
            self.news.notify_one();
        }
    }

    /// This machine failed: everything ends.
    pub(crate) fn fail(&self, error: GetError) {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        self.news.notify_one();
    }

    /// A source works.
    pub(crate) fn source_up(&self, source: usize) {
        self.tell(self.roll.up(source), WayState::Up);
    }

    /// A source failed.
    pub(crate) fn source_failed(&self, source: usize, error: &SourceError) {
        let why = error.to_string();
        let state = match error.is_final() {
            true => WayState::Dropped { why },
            false => WayState::Down { why },
        };
        self.tell(self.roll.failed(source, error.clone()), state);
        self.news.notify_one();
    }

    fn tell(&self, source: Option<(Way, String)>, state: WayState) {
        if let Some((way, address)) = source {
            self.progress.event(Event::Way {
                way,
                address,
                state,
            });
        }
    }

    /// A torrent works from the front: the others shall come from the back.
    pub(crate) fn set_swarming(&self) {
        self.swarming.store(true, Ordering::Relaxed);
    }

    /// From which end the next piece is taken.
    pub(crate) fn end(&self) -> End {
        if self.swarming.load(Ordering::Relaxed) {
            End::Back
        } else {
            End::Front
        }
    }

    // Asked by the watch.

    /// Whether everything is there and proven.
    pub(crate) fn is_complete(&self) -> bool {
        self.staging.marks.incomplete() == 0
    }

    /// Whether files are being hashed or copied.
    pub(crate) fn is_settling(&self) -> bool {
        self.settling.load(Ordering::Acquire) > 0
    }

    /// The failure of this machine, once.
    pub(crate) fn failure(&self) -> Option<GetError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Tells how much is there.
    pub(crate) fn report_done(&self) {
        let (bytes, resumed_bytes) = (self.staging.marks.done_bytes(), self.staging.resumed_bytes);
        self.progress.event(Event::Done {
            bytes,
            resumed_bytes,
        });
    }

    // Files that are complete.

    fn job(&self, job: Job) {
        if let Some(settle) = self
            .settle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
        {
            self.settling.fetch_add(1, Ordering::AcqRel);
            let _ = settle.send(job);
        }
    }

    /// Hashes and copies files until the queue is closed.
    fn settle(&self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            if self.stop.is_cancelled() {
                return;
            }
            let settled = match job {
                Job::Prove(file) => self.prove(file),
                Job::Copy(file) => self.copy(file),
            };
            if let Err(error) = settled {
                self.fail(error);
            }
            self.settling.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn prove(&self, file: u32) -> Result<(), GetError> {
        if self.staging.prove(file)? {
            self.suspects.clear(file);
            self.added(file, Added::Completed);
            return Ok(());
        }
        self.suspects.convict(file);
        let direct = self.roll.has_direct();
        let spec = self.staging.layout.spec(file);
        match spec {
            Some(spec) if direct => {
                self.queue.again(file, spec.size, &self.staging.marks);
                Ok(())
            }
            _ => Err(GetError::Verification(
                "a file from the torrent is not the one in the manifest".into(),
            )),
        }
    }

    fn copy(&self, file: u32) -> Result<(), GetError> {
        for twin in self.twins.get(&file).into_iter().flatten() {
            if !self.staging.marks.is_complete(*twin) {
                let added = self.staging.copy(file, *twin)?;
                self.added(*twin, added);
            }
        }
        Ok(())
    }
}
