//! How the content of a file gets to its path: by a rename, from staging, from another file of the tree, or from a peer.

use super::Machine;
use super::build::expect_of;
use super::plan::{Round, Want};
use super::turn::Turn;
use super::work::Then;
use crate::id::{ContentHash, DeviceId};
use crate::limits::SYNC_FETCHES_MAX;
use crate::path::RelPath;
use crate::sync::action::{Action, OpKind, Problem, Source};
use crate::sync::applied::Applied;
use crate::sync::entry::Kind;
use crate::sync::index::{Index, Read};
use crate::sync::project::Wanted;
use std::collections::{BTreeMap, BTreeSet};

/// How the content of a file gets to its path.
#[derive(Debug, Clone)]
pub(super) enum Way {
    From(Source),
    Move(RelPath, Applied),
    /// Not in this round: the content is first kept in staging.
    Stage,
    /// Not in this round: something else will bring the path up again.
    Wait,
}

/// Content that paths of a round give up.
#[derive(Default)]
struct Given {
    leaving: BTreeMap<ContentHash, Vec<RelPath>>,
    overwritten: BTreeMap<ContentHash, RelPath>,
}

impl Given {
    fn of(round: &Round) -> Self {
        let mut given = Self::default();
        for (path, want) in &round.wants {
            let content = |kind: &Kind| kind.content();
            let Some(had) = want.row.as_ref().and_then(|row| content(&row.kind)) else {
                continue;
            };
            match &want.wanted {
                None => given.leaving.entry(had).or_default().push(path.clone()),
                Some(wanted) if content(&wanted.kind) != Some(had) => {
                    given.overwritten.insert(had, path.clone());
                }
                Some(_) => {}
            }
        }
        given
    }

    /// What has to be kept in staging first, because it gives its place up before `path` can take the content over: it is
    /// overwritten, or it is inside the very folder whose place the file takes.
    fn to_stage(
        &self,
        path: &RelPath,
        content: &ContentHash,
        kept: &BTreeMap<RelPath, ContentHash>,
    ) -> Option<RelPath> {
        if let Some((give, _)) = kept.iter().find(|(_, kept)| *kept == content) {
            return Some(give.clone());
        }
        let leaving = self.leaving.get(content).filter(|paths| !paths.is_empty());
        match leaving {
            None => self.overwritten.get(content).cloned(),
            Some(paths) if paths.iter().all(|from| from.is_below(path)) => paths.first().cloned(),
            Some(_) => None,
        }
    }
}

impl Machine {
    /// Finds for every file that should be somewhere how its content gets there.
    pub(super) fn assign<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        round: &mut Round,
    ) -> Read<BTreeMap<RelPath, Way>> {
        let mut given = Given::of(round);
        let mut ways = BTreeMap::new();
        let mut keep: BTreeMap<RelPath, ContentHash> = BTreeMap::new();
        let mut asleep = BTreeSet::new();
        let (mut used, mut waiting) = (BTreeSet::new(), Vec::new());
        for (path, want) in &round.wants {
            let Some(wanted) = &want.wanted else { continue };
            let Some(content) = wanted.kind.content() else {
                continue;
            };
            if want.row.as_ref().is_some_and(|row| row.kind == wanted.kind) {
                continue;
            }
            let give = match self.work.staged.contains(&content) {
                true => None,
                false => given.to_stage(path, &content, &keep),
            };
            let way = match give {
                Some(_) if used.contains(&content) => {
                    // Another path takes what was kept: once it is there, it is copied.
                    waiting.push(path.clone());
                    Way::Wait
                }
                Some(give) => {
                    keep.insert(give.clone(), content);
                    asleep.insert(give);
                    asleep.insert(path.clone());
                    Way::Stage
                }
                None => {
                    let leaving = given.leaving.get_mut(&content);
                    let is_kept = leaving.as_ref().is_some_and(|it| !it.is_empty());
                    if used.contains(&content) && !is_kept {
                        // The same: staging holds it once, and to fetch it again would write to a file that is being placed.
                        waiting.push(path.clone());
                        Way::Wait
                    } else {
                        self.way_for(turn, round, path, wanted, leaving)?
                    }
                }
            };
            if matches!(way, Way::From(Source::Staged)) {
                used.insert(content);
            }
            ways.insert(path.clone(), way);
        }
        for (path, content) in keep {
            if let Some(Want { row: Some(row), .. }) = round.wants.get(&path) {
                let (kind, expect) = (OpKind::Stage { content }, expect_of(Some(row)));
                let op = self.op(turn, path.clone(), expect, kind, Then::Staged(content));
                round.ops.push(op);
            }
        }
        round.waiting = waiting;
        self.leave_asleep(round, &ways, asleep);
        // A file that is renamed is not removed as well.
        for way in ways.values() {
            if let Way::Move(from, _) = way {
                round.wants.remove(from);
            }
        }
        Ok(ways)
    }

    /// Leaves paths for a later turn, and with them what they would have used up.
    fn leave_asleep(
        &mut self,
        round: &mut Round,
        ways: &BTreeMap<RelPath, Way>,
        asleep: BTreeSet<RelPath>,
    ) {
        for (path, way) in ways.iter().filter(|(path, _)| asleep.contains(*path)) {
            match way {
                Way::Move(from, _) => {
                    self.work.wait(from.clone());
                    round.wants.remove(from);
                }
                // What was kept for it is still there when its turn comes.
                Way::From(Source::Staged) => {
                    let want = round.wants.get(path).and_then(|want| want.wanted.as_ref());
                    let content = want.and_then(|wanted| wanted.kind.content());
                    self.work.staged.extend(content);
                }
                _ => {}
            }
        }
        for path in asleep {
            round.wants.remove(&path);
            self.work.wait(path);
        }
    }

    fn way_for<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        round: &Round,
        path: &RelPath,
        wanted: &Wanted,
        leaving: Option<&mut Vec<RelPath>>,
    ) -> Read<Way> {
        let Kind::File {
            content,
            size_bytes,
        } = wanted.kind
        else {
            return Ok(Way::Wait);
        };
        if size_bytes == 0 && content == ContentHash::of(b"") {
            return Ok(Way::From(Source::Empty));
        }
        if self.work.staged.remove(&content) {
            return Ok(Way::From(Source::Staged));
        }
        if let Some(paths) = leaving {
            let beside = |from: &RelPath| !from.is_below(path);
            let hinted = |from: &RelPath| Some(from) == wanted.moved_from.as_ref() && beside(from);
            let at = paths.iter().position(hinted);
            if let Some(at) = at.or_else(|| paths.iter().rposition(beside)) {
                let from = paths.swap_remove(at);
                if let Some(row) = turn.applied(&from)? {
                    return Ok(Way::Move(from, row));
                }
            }
        }
        for from in turn.index.applied_content(&content, 8)? {
            if self.work.is_busy(&from) {
                self.work.wait(path.clone());
                return Ok(Way::Wait);
            }
            if self.work.is_waiting(&from) {
                continue;
            }
            let Some(row) = turn.applied(&from)? else {
                continue;
            };
            if round.wants.contains_key(&from) || row.kind != wanted.kind {
                continue;
            }
            if wanted.moved_from.as_ref() == Some(&from) && self.is_stream_open(turn) {
                // The other half of a rename may be on its way.
                self.work.hold(path.clone());
                return Ok(Way::Wait);
            }
            let stamp = row.stamp;
            return Ok(Way::From(Source::Local { path: from, stamp }));
        }
        self.fetch(turn, path, wanted, content, size_bytes);
        Ok(Way::Wait)
    }

    fn fetch<I: Index>(
        &mut self,
        turn: &mut Turn<'_, I>,
        path: &RelPath,
        wanted: &Wanted,
        content: ContentHash,
        size_bytes: u64,
    ) {
        if self.work.is_arriving(&content) {
            // On its way to another path already: once it is there, it is copied.
            self.work.wait(path.clone());
            return;
        }
        if let Some(waiting) = self.work.fetches.get_mut(&content) {
            waiting.insert(path.clone());
            return;
        }
        if self.work.fetches.len() >= SYNC_FETCHES_MAX {
            self.work.stalled = true;
            self.work.dirty(path.clone());
            return;
        }
        let from = self.who_has(wanted);
        if from.is_empty() {
            self.give_up(turn, path, Problem::NoContent);
            return;
        }
        self.work.staging_used = true;
        self.work
            .fetches
            .insert(content, BTreeSet::from([path.clone()]));
        turn.actions.push(Action::Fetch {
            content,
            size_bytes,
            from,
        });
    }

    /// Peers that may have a content: its author first, then those who said that they have all.
    fn who_has(&self, wanted: &Wanted) -> Vec<DeviceId> {
        let Some(dot) = wanted.dot else {
            return Vec::new();
        };
        let mut peers: Vec<_> = self
            .peers
            .connected
            .iter()
            .map(|(id, peer)| {
                let complete = peer.complete.get(&dot.author);
                let has_all = complete.is_some_and(|seen| seen.seq >= dot.seq);
                let rank = if *id == dot.author.device {
                    0
                } else {
                    2 - u8::from(has_all)
                };
                (rank, *id)
            })
            .collect();
        peers.sort_unstable();
        peers.into_iter().map(|(_, id)| id).collect()
    }
}
