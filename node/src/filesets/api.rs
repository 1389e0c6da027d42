//! Filesets as others ask of them: by name.

// Length: one request after the other, and what they have in common.

use super::conflicts::{self, Conflict};
use super::keeper::{Kept, Order};
use super::ring::Input;
use super::{Filesets, Offer, keeper, words};
use crate::identity::fill_random;
use crate::service::errors::of_store;
use shoal_api::{
    AddRequest, ApiError, ConflictView, ErrorCode, Event, FilesetApi, FilesetState, FilesetView,
    HaltAnswer, JoinFilesetRequest, ResumeRequest, SettleRequest,
};
use shoal_disk::replica::{Replica, RootProblem, overlaps};
use shoal_protocol::display::escape;
use shoal_protocol::fileset::Genesis;
use shoal_protocol::id::{DeviceId, FilesetId};
use shoal_protocol::limits::CATALOGUE_MAX_FILESETS;
use shoal_protocol::path::{RelPath, check_name};
use shoal_protocol::sync::{Command, Event as SyncEvent, IndexError};
use shoal_store::{Durability, FilesetRow, Running};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// Hexadecimal digits of an id that name a fileset.
const PREFIX_MIN: usize = 4;

/// [`FilesetApi`] over a node's filesets.
pub(crate) struct FilesetsApi(pub(crate) Arc<Filesets>);

#[async_trait::async_trait]
impl FilesetApi for FilesetsApi {
    async fn filesets(&self) -> Result<Vec<FilesetView>, ApiError> {
        Ok(self.0.views())
    }

    async fn add_fileset(&self, request: AddRequest) -> Result<FilesetView, ApiError> {
        let path = absolute(&request.path)?;
        let name = match request.name {
            Some(name) => name,
            None => path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
        };
        check_name(&name).map_err(|error| {
            ApiError::new(
                ErrorCode::Usage,
                format!("a fileset cannot be called {}: {error}", escape(&name)),
            )
            .hint("give it another name: shoal add PATH --name NAME")
        })?;
        let _one_at_a_time = self.0.registry.lock().await;
        let taken = self.0.views().into_iter().any(|view| view.name == name);
        if taken {
            return Err(ApiError::new(
                ErrorCode::TargetExists,
                format!("a fileset is called {} already", escape(&name)),
            )
            .hint(
                "give this one another name with --name, or join that one: `shoal sets` lists them",
            ));
        }
        if let Err(error) = std::fs::metadata(&path) {
            return Err(of_root(&RootProblem::from(error), &path));
        }
        let mut nonce = [0; 16];
        fill_random(&mut nonce)?;
        // A command that fails leaves no group behind.
        let group = self.0.members.group_or_found()?;
        let genesis = Genesis {
            owner: group.id(),
            name: name.clone(),
            nonce,
            signer: self.0.members.own(),
        };
        let id = genesis.id();
        let row = FilesetRow {
            id,
            name,
            root: path,
            genesis: genesis.sign(&self.0.context.identity.key),
            running: Running::Yes,
            formerly: None,
        };
        self.0.take_in(row).await
    }

    async fn join_fileset(&self, request: JoinFilesetRequest) -> Result<FilesetView, ApiError> {
        let path = absolute(&request.path)?;
        let _one_at_a_time = self.0.registry.lock().await;
        let offer = self.0.offered(&request.fileset)?;
        let row = FilesetRow {
            id: offer.genesis.id(),
            name: offer.genesis.name,
            root: path,
            genesis: offer.bytes,
            running: Running::Yes,
            formerly: None,
        };
        self.0.take_in(row).await
    }

    async fn leave_fileset(&self, fileset: &str) -> Result<FilesetView, ApiError> {
        let _one_at_a_time = self.0.registry.lock().await;
        let kept = self.0.named(fileset)?;
        let view = self.0.view(&kept);
        self.0.let_go(&kept).await?;
        Ok(view)
    }

    async fn pause_fileset(&self, fileset: &str) -> Result<FilesetView, ApiError> {
        let _one_at_a_time = self.0.registry.lock().await;
        let kept = self.0.named(fileset)?;
        self.0.set_running(&kept, Running::Paused)?;
        kept.order(Order::Pause);
        self.0
            .changed(&kept, |state| state == FilesetState::Paused)
            .await;
        Ok(self.0.view(&kept))
    }

    async fn resume_fileset(&self, request: ResumeRequest) -> Result<FilesetView, ApiError> {
        let _one_at_a_time = self.0.registry.lock().await;
        let kept = self.0.named(&request.fileset)?;
        let ring = kept.ring();
        let asks = ring.is_some() && kept.state().is_halted();
        let command = match (asks, request.answer) {
            (true, Some(HaltAnswer::Delete)) => Some(Command::ConfirmDeletion),
            (true, Some(HaltAnswer::Restore)) => Some(Command::RestoreDeleted),
            (false, Some(_)) => {
                return Err(ApiError::new(
                    ErrorCode::Usage,
                    "it did not ask whether files are to be deleted",
                )
                .hint("`shoal sets` says how it stands; without --delete and --restore it goes on after a pause"));
            }
            (true, None) => {
                let view = self.0.view(&kept);
                return Err(ApiError::new(
                    ErrorCode::Usage,
                    format!(
                        "it halted with a question: {}",
                        view.why.unwrap_or_default()
                    ),
                )
                .hint(view.hint.unwrap_or_default()));
            }
            (false, None) => None,
        };
        match (command, ring) {
            (Some(command), Some(ring)) => {
                let input = Input::Event(SyncEvent::Command(command));
                let _ = ring.inputs.send(input).await;
            }
            _ => {
                self.0.set_running(&kept, Running::Yes)?;
                // Said to one that goes on, it would begin again with a look at everything.
                if !kept.is_going() {
                    kept.order(Order::Go);
                }
            }
        }
        let still = |state| matches!(state, FilesetState::Paused | FilesetState::Halted);
        self.0.changed(&kept, |state| !still(state)).await;
        Ok(self.0.view(&kept))
    }

    async fn conflicts(&self, fileset: Option<&str>) -> Result<Vec<ConflictView>, ApiError> {
        let kept = match fileset {
            Some(text) => vec![self.0.named(text)?],
            None => self.0.all(),
        };
        let mut views = Vec::new();
        for kept in kept {
            let Some(ring) = kept.ring() else {
                continue;
            };
            let found = crate::service::off_the_runtime(|| conflicts::all(&ring.index));
            let found = found.map_err(of_index)?;
            views.extend(
                found
                    .iter()
                    .map(|one| one.view(&kept, |device| self.0.name_of(device))),
            );
        }
        Ok(views)
    }

    async fn settle_conflict(&self, request: SettleRequest) -> Result<ConflictView, ApiError> {
        let (kept, conflict) = self.0.conflict_at(&request.path)?;
        let name_of = |device: &DeviceId| self.0.name_of(device);
        let side = conflict.side(&request.side, &kept.row().root, name_of)?;
        let command = Command::Settle {
            path: conflict.path.clone(),
            keep: side.path.clone(),
        };
        let view = conflict.view(&kept, name_of);
        let ring = kept.ring().ok_or_else(|| stands_still(&kept))?;
        let input = Input::Event(SyncEvent::Command(command));
        let _ = ring.inputs.send(input).await;
        self.0.settled(&ring.index, &conflict.path).await;
        Ok(view)
    }
}

impl Filesets {
    /// Those kept here, then those that others keep, each by name.
    fn views(&self) -> Vec<FilesetView> {
        let mut views: Vec<_> = self.all().iter().map(|kept| self.view(kept)).collect();
        let mut offered: BTreeMap<FilesetId, (String, Vec<String>)> = BTreeMap::new();
        let heard = self.heard.read().unwrap_or_else(PoisonError::into_inner);
        for (device, offers) in heard.iter() {
            for (id, offer) in offers {
                let of = offered
                    .entry(*id)
                    .or_insert_with(|| (offer.genesis.name.clone(), Vec::new()));
                of.1.push(self.name_of(device));
            }
        }
        drop(heard);
        for (id, (name, mut kept_by)) in offered {
            kept_by.sort();
            let id = id.to_hex();
            if views.iter().all(|view| view.id != id) {
                views.push(offered_view(id, name, kept_by));
            }
        }
        views.sort_by(|a, b| (a.path.is_none(), &a.name).cmp(&(b.path.is_none(), &b.name)));
        views
    }

    fn view(&self, kept: &Kept) -> FilesetView {
        let mut view = kept.state().view();
        let group = self.members.group().map(|group| group.id());
        if let (None, Some((id, device))) = (&view.why, self.namesake(kept)) {
            view.why = Some(format!(
                "{device} keeps another fileset that is also called {}",
                view.name
            ));
            view.hint = Some(format!(
                "to make them one: shoal leave {}, then shoal join {id} with this folder; what differs is kept side by side",
                words::argument(&view.name)
            ));
        }
        if kept.owner() != group && view.why.is_none() {
            view.why =
                Some("it belongs to a group of devices that this one is not in any more".into());
            view.hint = Some(format!(
                "to keep the folder the same in the present group: shoal leave {}, then shoal add",
                words::argument(&view.name)
            ));
        }
        view
    }

    /// The first digits of another fileset with the name of this one, which is not kept here, and a device that keeps it.
    fn namesake(&self, kept: &Kept) -> Option<(String, String)> {
        let heard = self.heard.read().unwrap_or_else(PoisonError::into_inner);
        let (device, id) = heard.iter().find_map(|(device, offers)| {
            let same = |(_, offer): &(&FilesetId, &Offer)| offer.genesis.name == kept.row().name;
            let other = |(id, _): &(&FilesetId, &Offer)| self.kept(id).is_none();
            let (id, _) = offers.iter().filter(same).find(other)?;
            Some((*device, *id))
        })?;
        drop(heard);
        let digits = id.to_hex().chars().take(2 * PREFIX_MIN).collect();
        Some((digits, self.name_of(&device)))
    }

    fn name_of(&self, device: &DeviceId) -> String {
        self.members.name_of(device)
    }

    /// The one fileset kept here that the text names.
    fn named(&self, text: &str) -> Result<Arc<Kept>, ApiError> {
        let all = self.all();
        let digits = text.to_ascii_lowercase();
        let by_id =
            |it: &&Arc<Kept>| digits.len() >= PREFIX_MIN && it.id().to_hex().starts_with(&digits);
        let by_path = |it: &&Arc<Kept>| it.row().root == Path::new(text);
        let mut found: Vec<_> = all.iter().filter(|it| it.row().name == text).collect();
        if found.is_empty() {
            found = all.iter().filter(by_id).collect();
        }
        if found.is_empty() {
            found = all.iter().filter(by_path).collect();
        }
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(ApiError::new(
                ErrorCode::NotFound,
                format!("no fileset is kept here by that name: {}", escape(text)),
            )
            .hint("`shoal sets` lists them")),
            _ => Err(ambiguous(text)),
        }
    }

    /// What another member keeps, by name or id.
    fn offered(&self, text: &str) -> Result<Offer, ApiError> {
        let digits = text.to_ascii_lowercase();
        let mut found: BTreeMap<FilesetId, Offer> = BTreeMap::new();
        let heard = self.heard.read().unwrap_or_else(PoisonError::into_inner);
        for (id, offer) in heard.values().flatten() {
            let by_id = digits.len() >= PREFIX_MIN && id.to_hex().starts_with(&digits);
            if offer.genesis.name == text || by_id {
                found.insert(*id, offer.clone());
            }
        }
        drop(heard);
        let mut found = found.into_values();
        match (found.next(), found.next()) {
            (Some(one), None) if self.kept(&one.genesis.id()).is_some() => Err(ApiError::new(
                ErrorCode::TargetExists,
                format!("{} is kept here already", escape(text)),
            )
            .hint("`shoal sets` shows where; to move it: shoal leave, then join the other folder")),
            (Some(one), None) => Ok(one),
            (None, _) => Err(ApiError::new(
                ErrorCode::NotFound,
                format!(
                    "no connected device keeps a fileset called {}",
                    escape(text)
                ),
            )
            .hint("`shoal sets` lists what there is, `shoal devices` who is connected")),
            _ => Err(ambiguous(text)),
        }
    }

    /// Makes a folder the root of a fileset, and begins to keep it the same.
    async fn take_in(self: &Arc<Self>, row: FilesetRow) -> Result<FilesetView, ApiError> {
        let all = self.all();
        if all.len() >= CATALOGUE_MAX_FILESETS {
            return Err(ApiError::new(
                ErrorCode::Usage,
                format!("a device keeps {CATALOGUE_MAX_FILESETS} filesets at most"),
            )
            .hint("leave one: shoal leave NAME"));
        }
        let roots = all.iter().map(|kept| kept.row().root.as_path());
        if let Some(other) = overlaps(&row.root, roots) {
            let problem = RootProblem::Overlaps(other.to_owned());
            return Err(of_root(&problem, &row.root));
        }
        let store = self.context.records.store.clone();
        let home = self.context.home.clone();
        let mut row = row;
        let made = tokio::task::spawn_blocking(move || {
            let replica = Replica::create(&row.root, &row.id, Some(&home))
                .map_err(|problem| of_root(&problem, &row.root))?;
            row.root = replica.path().to_owned();
            if let Err(error) = store.put_fileset(&row, Durability::Flushed) {
                // Without its row the folder is no fileset; a marker that stays would only be in the way.
                if let Err(problem) = replica.retire() {
                    tracing::warn!(%problem, "a folder keeps a marker that it should not have");
                }
                return Err(of_store(error));
            }
            Ok(row)
        });
        let row = made
            .await
            .map_err(|panic| ApiError::internal(panic.to_string()))??;
        let kept = self.insert(row);
        self.tell_keepers();
        self.tasks.spawn(keeper::keep(self.clone(), kept.clone()));
        Ok(self.view(&kept))
    }

    async fn let_go(&self, kept: &Arc<Kept>) -> Result<(), ApiError> {
        kept.order(Order::Leave);
        kept.gone().await;
        let row = kept.row().clone();
        self.kept
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&row.id);
        self.tell_catalogue();
        let store = self.context.records.store.clone();
        let home = self.context.home.clone();
        let removed = tokio::task::spawn_blocking(move || {
            for id in row.formerly.iter().chain([&row.id]) {
                store.remove_fileset(id, Durability::Flushed)?;
            }
            // A folder that is not there, or belongs to another by now, needs no tidying.
            if let Ok(replica) = Replica::open(&row.root, &row.id, Some(&home))
                && let Err(problem) = replica.retire()
            {
                tracing::warn!(%problem, "what was kept in .shoal could not be removed");
            }
            Ok(())
        });
        let removed = removed
            .await
            .map_err(|panic| ApiError::internal(panic.to_string()))?;
        removed.map_err(of_store)?;
        self.context.records.tell(Event::FilesetLeft {
            id: kept.id().to_hex(),
            name: kept.row().name.clone(),
        });
        Ok(())
    }

    fn set_running(&self, kept: &Kept, running: Running) -> Result<(), ApiError> {
        let row = FilesetRow {
            running,
            ..kept.row().clone()
        };
        let store = &self.context.records.store;
        crate::service::off_the_runtime(|| store.put_fileset(&row, Durability::Flushed))
            .map_err(of_store)
    }

    /// Waits a little for a state, so that the answer to a command is not out of date.
    async fn changed(&self, kept: &Kept, is: impl Fn(FilesetState) -> bool) {
        let mut events = self.context.records.listen();
        let waiting = async {
            while !is(self.view(kept).state) {
                if events.recv().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(ANSWER_TIMEOUT, waiting).await;
    }

    /// Waits a little until a path is not in conflict any more.
    async fn settled(&self, index: &shoal_store::FilesetIndex, path: &RelPath) {
        let mut events = self.context.records.listen();
        let begun = Instant::now();
        while begun.elapsed() < ANSWER_TIMEOUT {
            if !matches!(conflicts::at_or_copy(index, path), Ok(Some(_))) {
                return;
            }
            let _ = tokio::time::timeout(ANSWER_TIMEOUT / 10, events.recv()).await;
        }
    }

    fn conflict_at(&self, path: &str) -> Result<(Arc<Kept>, Conflict), ApiError> {
        let path = absolute(path)?;
        let none = || {
            ApiError::new(
                ErrorCode::NotFound,
                format!(
                    "there is no conflict at {}",
                    escape(&path.to_string_lossy())
                ),
            )
            .hint("`shoal conflicts` lists them")
        };
        // The root is known without symbolic links; the last part may be a link itself.
        let real = path
            .parent()
            .and_then(|parent| parent.canonicalize().ok())
            .zip(path.file_name())
            .map(|(parent, name)| parent.join(name))
            .unwrap_or_else(|| path.clone());
        for kept in self.all() {
            let Ok(below) = real.strip_prefix(&kept.row().root) else {
                continue;
            };
            let below = below.to_str().and_then(|text| RelPath::new(text).ok());
            let below = below.ok_or_else(none)?;
            let ring = kept.ring().ok_or_else(|| stands_still(&kept))?;
            let found =
                crate::service::off_the_runtime(|| conflicts::at_or_copy(&ring.index, &below));
            let found = found.map_err(of_index)?.ok_or_else(none)?;
            return Ok((kept, found));
        }
        Err(none())
    }
}

/// How long an answer waits for what it is about.
const ANSWER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

fn offered_view(id: String, name: String, kept_by: Vec<String>) -> FilesetView {
    FilesetView {
        id,
        name,
        path: None,
        state: FilesetState::Offered,
        files: 0,
        missing: 0,
        bytes_wanted: 0,
        rate_bytes_per_s: 0,
        received_bytes: 0,
        sent_bytes: 0,
        left_s: None,
        connected: kept_by.clone(),
        kept_by,
        conflicts: 0,
        why: None,
        hint: None,
        problems: Vec::new(),
    }
}

fn absolute(text: &str) -> Result<PathBuf, ApiError> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        return Ok(path);
    }
    Err(ApiError::new(
        ErrorCode::Usage,
        format!("{} is no absolute path", escape(text)),
    ))
}

fn ambiguous(text: &str) -> ApiError {
    ApiError::new(
        ErrorCode::Usage,
        format!("more than one fileset is called {}", escape(text)),
    )
    .hint("say the first digits of its id instead: `shoal sets --json` shows them")
}

fn stands_still(kept: &Kept) -> ApiError {
    ApiError::new(
        ErrorCode::Refused,
        format!("{} stands still", escape(&kept.row().name)),
    )
    .hint("`shoal sets` says why, and how it goes on")
}

fn of_root(problem: &RootProblem, root: &Path) -> ApiError {
    let code = match problem {
        RootProblem::Missing => ErrorCode::NotFound,
        RootProblem::Permission => ErrorCode::Permission,
        RootProblem::NoSpace => ErrorCode::DiskFull,
        RootProblem::Overlaps(_) | RootProblem::OtherFileset { .. } => ErrorCode::TargetExists,
        RootProblem::NotAFolder | RootProblem::OwnHome => ErrorCode::Usage,
        _ => ErrorCode::Refused,
    };
    let root = root.to_string_lossy();
    ApiError::new(code, format!("{}: {problem}", escape(&root)))
}

fn of_index(error: IndexError) -> ApiError {
    ApiError::internal(error.to_string())
}
