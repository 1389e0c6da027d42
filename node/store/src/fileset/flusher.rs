//! The thread that makes batches durable: one flush for all that wait.

use crate::{Store, StoreError};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

/// Called when what was written before is durable, or cannot be.
pub(super) type Durable = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Starts its thread when it is needed first; the thread ends with the store.
#[derive(Default)]
pub(crate) struct Flusher(Mutex<Option<Running>>);

struct Running {
    waiting: Sender<Durable>,
    thread: JoinHandle<()>,
}

/// The thread has a handle on the database, which can be opened again only when the last one is gone.
impl Drop for Flusher {
    fn drop(&mut self) {
        let running = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(Running { waiting, thread }) = running.take() {
            drop(waiting);
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
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = match running.as_ref() {
            Some(running) => running.waiting.send(durable),
            None => Err(mpsc::SendError(durable)),
        };
        let Err(mpsc::SendError(durable)) = sent else {
            return Ok(());
        };
        let (sender, waiting) = mpsc::channel();
        // The database alone: a thread that held the store would keep it open for ever.
        let (db, path) = (store.0.db.clone(), store.0.path.clone());
        let thread = std::thread::Builder::new()
            .name("flush".to_owned())
            .spawn(move || run(&db, &path, &waiting))
            .map_err(|source| {
                crate::error::io_error("start a thread for", &store.0.path, source)
            })?;
        let _ = sender.send(durable);
        *running = Some(Running {
            waiting: sender,
            thread,
        });
        Ok(())
    }
}

fn run(db: &sled::Db, path: &std::path::Path, waiting: &Receiver<Durable>) {
    while let Ok(first) = waiting.recv() {
        let mut all = vec![first];
        all.extend(waiting.try_iter());
        let flushed = db.flush().map(drop);
        for durable in all {
            durable(match &flushed {
                Ok(()) => Ok(()),
                Err(error) => Err(crate::error::sled_error(path, error.clone())),
            });
        }
    }
}
