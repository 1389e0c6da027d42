//! What is kept and told of a link: the store's rows, and the events that others listen to.

use shoal_api::{Event, LogRow, LogWhat, Way};
use shoal_protocol::id::LinkId;
use shoal_protocol::slots::{Progress, Taker};
use shoal_store::{Durability, Store};
use tokio::sync::broadcast;

/// Events that a slow listener may fall behind before it loses the oldest.
const EVENTS_WAITING: usize = 4_096;

/// Store and events, cheap to clone.
#[derive(Clone)]
pub(crate) struct Records {
    pub(crate) store: Store,
    events: broadcast::Sender<Event>,
}

impl Records {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            events: broadcast::channel(EVENTS_WAITING).0,
        }
    }

    /// Tells whoever listens; nobody has to.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Appends to the link's log. Serving goes on where the disk is full, and the node's log says so.
    pub(crate) fn log(&self, link: &LinkId, row: LogRow) {
        let row = shoal_store::LogRow {
            at_ms: row.at_ms,
            who: row
                .who
                .parse()
                .map_or(shoal_store::Who::Node, shoal_store::Who::Address),
            way: way(row.via),
            what: what(row.what),
            bytes: row.bytes,
            detail: row.detail,
        };
        if let Err(error) = self.store.append_log(link, &row, Durability::Lazy) {
            tracing::warn!(%error, "the log of a link could not be written");
        }
    }

    /// The newest rows of a link's log, oldest first.
    pub(crate) fn log_rows(
        &self,
        link: &LinkId,
        limit: usize,
    ) -> Result<Vec<LogRow>, shoal_store::StoreError> {
        let page = self.store.newest_log(link, limit)?;
        Ok(page.rows.into_iter().map(|(_, row)| row_of(row)).collect())
    }

    /// Keeps who reserved or used a slot, so that a restart does not give it away again. Where nothing
    /// limits the downloads, only who has everything is worth a row.
    pub(crate) fn keep_taker(
        &self,
        link: &LinkId,
        taker: &Taker,
        progress: &Progress,
        durability: Durability,
    ) {
        if let Err(error) = self.store.put_taker(link, taker, progress, durability) {
            tracing::warn!(%error, "a taker of a link could not be kept");
        }
    }

    /// Takers that are not remembered any more, and how many of all that were forgotten had everything.
    pub(crate) fn forget_takers(&self, link: &LinkId, takers: &[Taker], complete: u64) {
        let forgotten = self
            .store
            .forget_takers(link, takers, complete, Durability::Lazy);
        if let Err(error) = forgotten {
            tracing::warn!(%error, "takers of a link could not be forgotten");
        }
    }
}

/// A flush takes milliseconds, in which an async thread could serve others.
pub(crate) fn off_the_runtime<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

fn way(via: Way) -> shoal_store::Way {
    match via {
        Way::Iroh => shoal_store::Way::Iroh,
        Way::Torrent => shoal_store::Way::Torrent,
        Way::Http => shoal_store::Way::Http,
    }
}

fn what(what: LogWhat) -> shoal_store::What {
    match what {
        LogWhat::Opened => shoal_store::What::Opened,
        LogWhat::Started => shoal_store::What::Started,
        LogWhat::Finished => shoal_store::What::Finished,
        LogWhat::Refused => shoal_store::What::Refused,
        LogWhat::WrongPassword => shoal_store::What::WrongPassword,
    }
}

fn row_of(row: shoal_store::LogRow) -> LogRow {
    LogRow {
        at_ms: row.at_ms,
        who: who(row.who),
        via: match row.way {
            shoal_store::Way::Iroh => Way::Iroh,
            shoal_store::Way::Torrent => Way::Torrent,
            shoal_store::Way::Http | shoal_store::Way::None => Way::Http,
        },
        what: match row.what {
            shoal_store::What::Opened => LogWhat::Opened,
            shoal_store::What::Started | shoal_store::What::File => LogWhat::Started,
            shoal_store::What::Finished => LogWhat::Finished,
            shoal_store::What::Refused => LogWhat::Refused,
            shoal_store::What::WrongPassword => LogWhat::WrongPassword,
        },
        bytes: row.bytes,
        detail: row.detail,
    }
}

fn who(who: shoal_store::Who) -> String {
    match who {
        shoal_store::Who::Address(address) => address.to_string(),
        shoal_store::Who::Token(token) => {
            format!("shoal {:02x}{:02x}{:02x}", token[0], token[1], token[2])
        }
        shoal_store::Who::Node => "this node".to_owned(),
    }
}
