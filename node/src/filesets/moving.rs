//! A device that was alone in its group takes its filesets along into another one.
//!
//! A fileset belongs to its group for ever, so each becomes a new one of the same name and folder. Nothing that is in the
//! folder is touched: its marker is rewritten when it is opened next, its new index begins empty, and a look fills it.

use super::keeper::{self, Order};
use super::{Filesets, Kept};
use crate::group::{Luggage, Settle};
use crate::identity::fill_random;
use futures::future::BoxFuture;
use shoal_api::{ApiError, Event};
use shoal_protocol::fileset::Genesis;
use shoal_protocol::id::{FilesetId, GroupId};
use shoal_store::FilesetRow;
use std::sync::{Arc, PoisonError, Weak};

/// Moves the filesets of a node.
pub(super) struct Movers(pub(super) Weak<Filesets>);

impl Luggage for Movers {
    fn names(&self, of: &GroupId) -> Vec<String> {
        let filesets = self.0.upgrade();
        let kept = filesets.map_or_else(Vec::new, |filesets| filesets.of_group(of));
        let mut names: Vec<_> = kept.iter().map(|kept| kept.row().name.clone()).collect();
        names.sort();
        names
    }

    fn move_all(
        &self,
        from: GroupId,
        to: GroupId,
        settle: Settle,
    ) -> BoxFuture<'static, Result<(), ApiError>> {
        let filesets = self.0.upgrade();
        Box::pin(async move {
            match filesets {
                Some(filesets) => filesets.move_all(&from, to, settle).await,
                None => Err(ApiError::internal("the node is ending")),
            }
        })
    }
}

impl Filesets {
    fn of_group(&self, group: &GroupId) -> Vec<Arc<Kept>> {
        let mut kept = self.all();
        kept.retain(|kept| kept.owner().as_ref() == Some(group));
        kept
    }

    /// Stops the filesets of one group, and starts them as those of another, if `settle` makes it so durably; otherwise as
    /// they were.
    async fn move_all(
        self: Arc<Self>,
        from: &GroupId,
        to: GroupId,
        settle: Settle,
    ) -> Result<(), ApiError> {
        let _one_at_a_time = self.registry.lock().await;
        let moving = self.of_group(from);
        let rows = moving
            .iter()
            .map(|kept| Ok((kept.id(), self.renewed(kept.row(), to)?)))
            .collect::<Result<Vec<_>, ApiError>>()?;
        for kept in &moving {
            kept.order(Order::Leave);
        }
        for kept in &moving {
            kept.gone().await;
        }
        let settled = settle(&rows);
        let mut known = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        for kept in &moving {
            known.remove(&kept.id());
        }
        drop(known);
        let left = moving.iter().map(|kept| kept.row().clone());
        let now: Vec<FilesetRow> = match settled {
            Ok(()) => rows.into_iter().map(|(_, row)| row).collect(),
            Err(_) => left.clone().collect(),
        };
        if settled.is_ok() {
            self.tell_left(left);
        }
        for row in now {
            let kept = self.insert(row);
            self.tasks.spawn(keeper::keep(self.clone(), kept));
        }
        self.tell_catalogue();
        settled
    }

    /// The row of a fileset as one of another group.
    fn renewed(&self, row: &FilesetRow, owner: GroupId) -> Result<FilesetRow, ApiError> {
        let mut nonce = [0; 16];
        fill_random(&mut nonce)?;
        let genesis = Genesis {
            owner,
            name: row.name.clone(),
            nonce,
            signer: self.members.own(),
        };
        Ok(FilesetRow {
            id: genesis.id(),
            genesis: genesis.sign(&self.context.identity.key),
            // A folder that was away since it moved the last time is still marked as it was before that.
            formerly: Some(row.formerly.unwrap_or(row.id)),
            ..row.clone()
        })
    }

    fn tell_left(&self, rows: impl Iterator<Item = FilesetRow>) {
        for row in rows {
            let id: FilesetId = row.id;
            self.context.records.tell(Event::FilesetLeft {
                id: id.to_hex(),
                name: row.name,
            });
        }
    }
}
