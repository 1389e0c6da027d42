//! The thread that makes rows durable: one flush for all that wait. sled's own would sync its file every second for
//! ever, and move rows about meanwhile; this one rests while nothing is stored.

use crate::{Store, StoreError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long what was stored lazily may wait: what a power cut may take.
const LAZY_FOR: Duration = Duration::from_secs(1);

/// Called when what was written before is durable, or cannot be.
pub(super) type Durable = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Starts its thread when it is needed first; the thread ends with the store.
#[derive(Default)]
pub(crate) struct Flusher {
    running: Mutex<Option<Running>>,
    /// Something was stored lazily since the last flush began, and the thread knows.
    lazy: Arc<AtomicBool>,
}

enum Order {
    Now(Durable),
    Soon,
}

struct Running {
    orders: Sender<Order>,
    thread: JoinHandle<()>,
}

/// The thread has a handle on the database, which can be opened again only when the last one is gone.
impl Drop for Flusher {
    fn drop(&mut self) {
        let running = self.running.get_mut();
        let running = running.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { orders, thread }) = running {
            drop(orders);
            // The last handle on the store may be one that the thread was given.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Flusher {
    /// Calls `durable` on the flushing thread after the next flush. Calls come in the order of these calls.
    pub(super) fn when_durable(&self, store: &Store, durable: Durable) -> Result<(), StoreError> {
        self.order(store, Order::Now(durable))
    }

    /// Has what was stored made durable within a second.
    pub(crate) fn soon(&self, store: &Store) -> Result<(), StoreError> {
        if self.lazy.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // Where it was not heard, the next one says it again.
        let ordered = self.order(store, Order::Soon);
        if ordered.is_err() {
            self.lazy.store(false, Ordering::Release);
        }
        ordered
    }

    fn order(&self, store: &Store, order: Order) -> Result<(), StoreError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = match running.as_ref() {
            Some(running) => running.orders.send(order),
            None => Err(mpsc::SendError(order)),
        };
        let Err(mpsc::SendError(order)) = sent else {
            return Ok(());
        };
        let (orders, receiver) = mpsc::channel();
        // The database alone: a thread that held the store would keep it open for ever.
        let (db, path) = (store.0.db.clone(), store.0.path.clone());
        let lazy = self.lazy.clone();
        let thread = std::thread::Builder::new()
            .name("flush".to_owned())
            .spawn(move || run(&db, &path, &lazy, &receiver))
            .map_err(|source| {
                crate::error::io_error("start a thread for", &store.0.path, source)
            })?;
        let _ = orders.send(order);
        *running = Some(Running { orders, thread });
        Ok(())
    }
}

fn run(db: &sled::Db, path: &std::path::Path, lazy: &AtomicBool, orders: &Receiver<Order>) {
    let mut due: Option<Instant> = None;
    loop {
        let first = match due {
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => orders.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        let mut waiting = Vec::new();
        match first {
            Ok(Order::Soon) => {
                due.get_or_insert_with(|| Instant::now() + LAZY_FOR);
                continue;
            }
            Ok(Order::Now(durable)) => waiting.push(durable),
            Err(RecvTimeoutError::Timeout) => {}
            // The database writes what is left when it is closed.
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // What is stored from here on asks anew.
        lazy.store(false, Ordering::Release);
        due = None;
        for order in orders.try_iter() {
            match order {
                Order::Now(durable) => waiting.push(durable),
                Order::Soon => due = Some(Instant::now() + LAZY_FOR),
            }
        }
        let flushed = db.flush().map(drop);
        if let Err(error) = &flushed {
            tracing::error!(%error, "what was stored could not be written");
        }
        for durable in waiting {
            durable(match &flushed {
                Ok(()) => Ok(()),
                Err(error) => Err(crate::error::sled_error(path, error.clone())),
            });
        }
    }
}
