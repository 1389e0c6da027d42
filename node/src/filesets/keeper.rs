//! Keeps one fileset going: opens its folder, starts its ring, and starts anew when a disk comes back.

use super::fetch::{Fetcher, Staged};
use super::hands::{Hands, Workplace};
use super::library::Shelf;
use super::ring::{self, Ended, Input, Parts, Ring, RingError};
use super::state::{Stage, State};
use super::{Filesets, RingHandle, words};
use crate::group::Members;
use crate::identity::fill_random;
use crate::service::Records;
use shoal_disk::replica::{Noticed, Replica, RootProblem, Watch};
use shoal_protocol::fileset::Genesis;
use shoal_protocol::id::{ContentHash, FilesetId, GroupId};
use shoal_protocol::limits::SYNC_BATCH_MAX_PATHS;
use shoal_protocol::sync::{Config, Policy};
use shoal_store::{Durability, FilesetIndex, FilesetRow, Running, StoreError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How often a folder that is not there is looked for.
const REOPEN_EVERY: Duration = Duration::from_secs(5);
/// How soon a ring that failed is started again.
const RESTART_AFTER: Duration = Duration::from_secs(30);
/// Bytes that stay free on a disk: the system and other programs need some, too.
const FLOOR_BYTES: u64 = 64 << 20;

/// A fileset that is kept here.
pub(super) struct Kept {
    row: FilesetRow,
    owner: Option<GroupId>,
    state: Arc<State>,
    ring: Mutex<Option<RingHandle>>,
    orders: watch::Sender<Order>,
    /// Set when nothing of it is in use any more.
    gone: CancellationToken,
}

/// What is to be done with a fileset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Keep it the same; said again: open the folder anew.
    Go,
    /// Do nothing.
    Pause,
    /// Let go of everything.
    Leave,
}

/// A folder and its index.
struct Opened {
    replica: Replica,
    index: FilesetIndex,
    staged: Staged,
}

enum OpenError {
    Root(RootProblem),
    Store(StoreError),
}

impl Kept {
    pub(super) fn new(row: FilesetRow, records: Records, members: Members) -> Self {
        let order = match row.running {
            Running::Yes => Order::Go,
            Running::Paused => Order::Pause,
        };
        let state = State::new(row.id, row.name.clone(), row.root.clone(), records, members);
        Self {
            owner: Genesis::verify(&row.genesis)
                .ok()
                .map(|genesis| genesis.owner),
            row,
            state: Arc::new(state),
            ring: Mutex::default(),
            orders: watch::Sender::new(order),
            gone: CancellationToken::new(),
        }
    }

    pub(super) fn id(&self) -> FilesetId {
        self.row.id
    }

    pub(super) fn row(&self) -> &FilesetRow {
        &self.row
    }

    pub(super) fn genesis(&self) -> Vec<u8> {
        self.row.genesis.clone()
    }

    pub(super) fn owner(&self) -> Option<GroupId> {
        self.owner
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn ring(&self) -> Option<RingHandle> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.clone()
    }

    pub(super) fn order(&self, order: Order) {
        self.orders.send_replace(order);
    }

    /// Whether it is to go on, and does.
    pub(super) fn is_going(&self) -> bool {
        *self.orders.borrow() == Order::Go && self.ring().is_some()
    }

    /// Ends when nothing of it is in use, after [`Order::Leave`].
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    fn set_ring(&self, ring: Option<RingHandle>) {
        *self.ring.lock().unwrap_or_else(PoisonError::into_inner) = ring;
    }
}

/// Keeps a fileset until it is left or the node ends.
pub(super) async fn keep(filesets: Arc<Filesets>, kept: Arc<Kept>) {
    let _gone = kept.gone.clone().drop_guard();
    let mut orders = kept.orders.subscribe();
    loop {
        let order = *orders.borrow_and_update();
        let wait = match order {
            Order::Leave => return,
            Order::Pause => {
                kept.state.stage(Stage::Paused);
                None
            }
            Order::Go => match go(&filesets, &kept, &mut orders).await {
                Ok(Ended::Stopped) => Some(Duration::ZERO),
                Ok(Ended::Root) => Some(REOPEN_EVERY),
                Err(wait) => Some(wait),
            },
        };
        let waiting = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = filesets.stopping().cancelled() => return,
            changed = orders.changed() => if changed.is_err() { return },
            () = waiting => {}
        }
    }
}

/// Opens the folder and turns the ring; an error is told already, and says when to try again.
async fn go(
    filesets: &Arc<Filesets>,
    kept: &Arc<Kept>,
    orders: &mut watch::Receiver<Order>,
) -> Result<Ended, Duration> {
    if !kept.state.is_halted() {
        kept.state.stage(Stage::Opening);
    }
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(fileset = %kept.row.name, %error, "a fileset cannot go on");
        let next = "free some space or check the disk; it is tried again every 30 s. `shoal logs` tells more";
        kept.state
            .stage(Stage::Failed(error.to_string(), next.to_owned()));
        RESTART_AFTER
    };
    let (opening, context) = (kept.clone(), filesets.context.clone());
    let opened =
        tokio::task::spawn_blocking(move || open(&opening, &context.records, &context.home));
    let opened = opened.await.map_err(|panic| failed(&panic))?;
    let opened = opened.map_err(|error| match error {
        OpenError::Root(problem) => {
            let (what, next) = words::unopened(&problem, &kept.row.root);
            kept.state.stage(Stage::Halted(what, next));
            REOPEN_EVERY
        }
        OpenError::Store(error) => failed(&error),
    })?;
    let ended = turn(filesets, kept, opened, orders).await;
    ended.map_err(|error| failed(&error))
}

fn open(kept: &Kept, records: &Records, home: &std::path::Path) -> Result<Opened, OpenError> {
    if let Some(former) = &kept.row.formerly {
        take_over(kept, former, records)?;
    }
    let replica =
        Replica::open(&kept.row.root, &kept.row.id, Some(home)).map_err(OpenError::Root)?;
    // What is there as a whole may be the only copy of what was kept aside before its file was overwritten.
    let is_begun = |content: &ContentHash| replica.checkpoint(content) > 0;
    let keep = |content: &ContentHash| is_begun(content) || replica.is_whole(content);
    let kept_aside = replica.sweep(&keep).map_err(OpenError::Root)?.kept;
    let (mut begun, whole): (Vec<_>, Vec<_>) = kept_aside.into_iter().partition(is_begun);
    begun.retain(|content| match replica.cut_to_checkpoint(content) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%content, %error, "what came of a file before is fetched again");
            // Whoever fetches it begins at its start, and cuts it then.
            let _ = replica.unstage(content);
            false
        }
    });
    let staged = Staged { begun, whole };
    let index = records
        .store
        .fileset_index(&kept.row.id)
        .map_err(OpenError::Store)?;
    Ok(Opened {
        replica,
        index,
        staged,
    })
}

/// Makes the folder, and the row, of a fileset of a group that this device left those of the present one. It may have happened
/// before, up to any point.
fn take_over(kept: &Kept, former: &FilesetId, records: &Records) -> Result<(), OpenError> {
    Replica::hand_over(&kept.row.root, former, &kept.row.id).map_err(OpenError::Root)?;
    let store = &records.store;
    // The row says by what the old index is found: it changes last.
    store
        .remove_fileset(former, Durability::Flushed)
        .map_err(OpenError::Store)?;
    let row = FilesetRow {
        formerly: None,
        running: Running::Yes,
        ..kept.row.clone()
    };
    store
        .put_fileset(&row, Durability::Flushed)
        .map_err(OpenError::Store)
}

/// A ring that turns, and what ends with it.
struct Turning {
    handle: RingHandle,
    stop: oneshot::Sender<()>,
    turned: oneshot::Receiver<Result<Ended, RingError>>,
    hands_ended: Arc<AtomicBool>,
    threads: [JoinHandle<()>; 2],
    watch: Option<Watch>,
}

/// Turns the ring until it ends or another order comes.
async fn turn(
    filesets: &Arc<Filesets>,
    kept: &Arc<Kept>,
    opened: Opened,
    orders: &mut watch::Receiver<Order>,
) -> Result<Ended, RingError> {
    let mut turning = start(filesets, kept, &opened).await?;
    let Opened { replica, index, .. } = opened;
    let ended = turning.handle.ended.clone();
    kept.set_ring(Some(turning.handle));
    let shelf = Shelf {
        replica,
        index,
        state: kept.state.clone(),
    };
    filesets.shelves.put(kept.row.id, shelf);
    filesets.tell_catalogue();
    let result = tokio::select! {
        result = &mut turning.turned => result,
        _ = orders.changed() => {
            let _ = turning.stop.send(());
            turning.turned.await
        }
        () = filesets.stopping().cancelled() => {
            let _ = turning.stop.send(());
            turning.turned.await
        }
    };
    kept.set_ring(None);
    filesets.shelves.remove(&kept.row.id);
    filesets.tell_catalogue();
    ended.cancel();
    turning.hands_ended.store(true, Ordering::Relaxed);
    drop(turning.watch);
    let threads = turning.threads;
    let joined = tokio::task::spawn_blocking(move || threads.map(JoinHandle::join));
    let _ = joined.await;
    kept.state.rests();
    // The sender is dropped unused only by a panic of the ring.
    result.unwrap_or_else(|_| Err(RingError::Broken("the sync machine broke down".into())))
}

async fn start(
    filesets: &Arc<Filesets>,
    kept: &Arc<Kept>,
    opened: &Opened,
) -> Result<Turning, RingError> {
    let (replica, index) = (&opened.replica, &opened.index);
    let (inputs, receiver) = ring::channel();
    let ended = CancellationToken::new();
    let fetcher = Fetcher::new(
        *kept.row.id.as_bytes(),
        replica.clone(),
        FLOOR_BYTES,
        kept.state.clone(),
        inputs.clone(),
        ended.clone(),
        opened.staged.clone(),
    );
    let watch = begin_watch(replica.clone(), inputs.clone()).await?;
    let hands_ended = Arc::new(AtomicBool::new(false));
    let (hands, hands_thread) = Hands::start(Workplace {
        replica: replica.clone(),
        index: index.clone(),
        state: kept.state.clone(),
        floor_bytes: FLOOR_BYTES,
        ended: hands_ended.clone(),
        inputs: inputs.clone(),
    })
    .map_err(|error| broken(&error))?;
    let parts = Parts {
        config: config(filesets, kept, replica)?,
        index: index.clone(),
        hands,
        fetcher: fetcher.clone(),
        state: kept.state.clone(),
    };
    let removals = filesets.removals(index);
    // Before the ring can say anything else.
    kept.state.stage(Stage::Going);
    let (stop, stopped) = oneshot::channel();
    let (done, turned) = oneshot::channel();
    let (ring_inputs, runtime) = (inputs.clone(), tokio::runtime::Handle::current());
    let ring_thread = std::thread::Builder::new()
        .name("fileset-ring".into())
        .spawn(move || {
            let turned = Ring::new(parts, ring_inputs).and_then(|mut ring| {
                for command in removals {
                    ring.command(command)?;
                }
                runtime.block_on(ring.run(receiver, stopped))
            });
            let _ = done.send(turned);
        })
        .map_err(|error| broken(&error))?;
    let index = index.clone();
    Ok(Turning {
        handle: RingHandle {
            inputs,
            fetcher,
            index,
            ended,
        },
        stop,
        turned,
        hands_ended,
        threads: [hands_thread, ring_thread],
        watch,
    })
}

async fn begin_watch(
    replica: Replica,
    inputs: tokio::sync::mpsc::Sender<Input>,
) -> Result<Option<Watch>, RingError> {
    let watch = tokio::task::spawn_blocking(move || watch_root(&replica, inputs));
    watch.await.map_err(|panic| broken(&panic))
}

fn config(filesets: &Filesets, kept: &Kept, replica: &Replica) -> Result<Config, RingError> {
    let mut nonce = [0; 8];
    fill_random(&mut nonce).map_err(|error| broken(&error))?;
    Ok(Config {
        fileset: kept.row.id,
        device: filesets.members.own(),
        features: replica.capabilities().features(),
        policy: Policy::Newer,
        nonce: u64::from_le_bytes(nonce),
        batch_max_paths: SYNC_BATCH_MAX_PATHS,
    })
}

fn broken(error: &dyn std::fmt::Display) -> RingError {
    RingError::Broken(error.to_string())
}

/// Watches the tree; where that is not possible, the ring looks more often.
fn watch_root(replica: &Replica, inputs: tokio::sync::mpsc::Sender<Input>) -> Option<Watch> {
    let told = inputs.clone();
    let watch = replica.watch(move |noticed| {
        let input = match noticed {
            Noticed::Folders(folders) => Input::Dirty(Some(folders)),
            Noticed::Everything | Noticed::Root => Input::Dirty(None),
            Noticed::Limited { unwatched } => Input::Unwatched(format!(
                "{unwatched} folders are not watched, because the system allows too few: they are looked at every minute. To allow more: sysctl fs.inotify.max_user_watches=1048576"
            )),
        };
        // A ring that ended needs no answer.
        let _ = told.blocking_send(input);
    });
    match watch {
        Ok(watch) => Some(watch),
        Err(error) => {
            let _ = inputs.try_send(Input::Unwatched(error.to_string()));
            None
        }
    }
}
