//! Looks at the disk, one name at a time: users and the machine's own operations come in between.

use crate::disk::{Mount, Node};
use crate::host::{Look, PageRun};
use crate::names::{Forms, composed};
use crate::plan::Fault;
use crate::sabotage::Sabotage;
use crate::world::{Step, Weather, World};
use shoal_protocol::id::ContentHash;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{
    Event, Found, FoundKind, Index, Kind, Page, RootProblem, Scan, Scope, known_content,
};
use std::collections::VecDeque;

/// Names in one page: small, so that pages that are parts of folders are common.
const PAGE_NAMES_MAX: usize = 5;

impl World {
    /// Asks for a look; looks are done one after the other.
    pub(crate) fn look(&mut self, number: usize, scope: Scope, folders: Vec<Option<RelPath>>) {
        let host = &mut self.hosts[number];
        host.looks.push_back((scope, folders));
        self.plan_look(number, 1);
    }

    fn plan_look(&mut self, number: usize, delay_ms: u64) {
        let at_ms = self.now_ms + delay_ms;
        let planned = &mut self.hosts[number].look_at_ms;
        if planned.is_none() {
            *planned = Some(at_ms);
            self.later(number, delay_ms, Step::Look);
        }
    }

    /// One step of the look under way, or the beginning of the next.
    pub(crate) fn look_on(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        host.look_at_ms = None;
        let problem = match host.disk.mount {
            Mount::There => None,
            Mount::Missing => Some(RootProblem::Missing),
            Mount::Unmarked => Some(RootProblem::Unmarked),
        };
        match &mut host.look {
            None => match host.looks.pop_front() {
                Some((scope, folders)) => self.begin_look(number, scope, folders),
                None => return,
            },
            Some(_) if problem.is_some() => {
                host.look = None;
                let why = problem.unwrap_or(RootProblem::Missing);
                self.handle(number, Event::Scan(Scan::Failed(why)));
            }
            Some(look) if look.page.is_some() => self.look_at_name(number),
            Some(look) => match look.folders.pop_front() {
                Some(folder) => self.begin_folder(number, folder),
                None => {
                    host.look = None;
                    self.handle(number, Event::Scan(Scan::Finished));
                }
            },
        }
        let host = &self.hosts[number];
        if host.look.is_some() || !host.looks.is_empty() {
            let delay = self.chance.below(4);
            self.plan_look(number, delay);
        }
        self.busy();
    }

    fn begin_look(&mut self, number: usize, scope: Scope, folders: Vec<Option<RelPath>>) {
        let folders = match scope {
            Scope::Everything => VecDeque::from([None]),
            Scope::Folders => folders.into(),
        };
        self.hosts[number].look = Some(Look {
            scope,
            folders,
            page: None,
        });
        self.handle(number, Event::Scan(Scan::Started(scope)));
    }

    fn begin_folder(&mut self, number: usize, folder: Option<RelPath>) {
        let Some(shown) = self.hosts[number].disk.names(folder.as_ref()) else {
            // It went away: its parent is looked at, in this look or (when all is looked at) in one of its own.
            let parent = folder.and_then(|folder| folder.parent());
            match &mut self.hosts[number].look {
                Some(look) if look.scope == Scope::Folders => look.folders.push_front(parent),
                _ => self.look(number, Scope::Folders, vec![parent]),
            }
            return;
        };
        let mut names: Vec<(String, String)> = shown
            .into_iter()
            .map(|name| (self.told_name(number, folder.as_ref(), &name), name))
            .collect();
        names.sort();
        let run = PageRun {
            folder,
            after: None,
            names: names
                .into_iter()
                .map(|(told, shown)| (shown, told))
                .collect(),
            found: Vec::new(),
        };
        if let Some(look) = &mut self.hosts[number].look {
            look.page = Some(run);
        }
    }

    /// The name that the replica gave it, where the file system rewrote it.
    fn told_name(&self, number: usize, folder: Option<&RelPath>, shown: &str) -> String {
        let host = &self.hosts[number];
        if host.disk.manners.forms != Forms::Decomposing {
            return shown.to_owned();
        }
        let rows = host.visible.applied_children(folder, None, usize::MAX);
        let given = rows.unwrap_or_default().into_iter().find_map(|(path, _)| {
            (composed(path.name()) == composed(shown)).then(|| path.name().to_owned())
        });
        given.unwrap_or_else(|| composed(shown))
    }

    /// Looks at one more name, or ends the page.
    fn look_at_name(&mut self, number: usize) {
        let Some(mut run) = self.hosts[number]
            .look
            .as_mut()
            .and_then(|look| look.page.take())
        else {
            return;
        };
        if let Some((shown, told)) = run.names.pop_front() {
            if let Some(found) = self.found(number, run.folder.as_ref(), &shown, &told) {
                run.found.push(found);
            }
            let full = run.found.len() >= PAGE_NAMES_MAX && !run.names.is_empty();
            if full {
                let page = Page {
                    folder: run.folder.clone(),
                    after: run.after.replace(told.clone()),
                    upto: Some(told),
                    found: std::mem::take(&mut run.found),
                };
                self.tell_page(number, page);
            }
            if let Some(look) = &mut self.hosts[number].look {
                look.page = Some(run);
            }
        } else {
            let page = Page {
                folder: run.folder,
                after: run.after,
                upto: None,
                found: run.found,
            };
            self.tell_page(number, page);
        }
    }

    fn tell_page(&mut self, number: usize, page: Page) {
        let host = &mut self.hosts[number];
        let mut below = Vec::new();
        for found in page
            .found
            .iter()
            .filter(|found| found.kind == FoundKind::Folder)
        {
            let path = child(page.folder.as_ref(), &found.name);
            let known = |path: &RelPath| {
                let row = host.visible.applied(path).ok().flatten();
                row.is_some_and(|row| row.kind == Kind::Folder)
            };
            below.extend(path.map(|path| (known(&path), path)));
        }
        if let Some(look) = &mut host.look {
            for (known, path) in below {
                if look.scope == Scope::Everything || !known {
                    look.folders.push_back(Some(path));
                }
            }
        }
        self.handle(number, Event::Scan(Scan::Page(page)));
    }

    /// What is at a name; nothing when it went away since the folder was listed.
    fn found(
        &mut self,
        number: usize,
        folder: Option<&RelPath>,
        shown: &str,
        told: &str,
    ) -> Option<Found> {
        let at_rest = self.weather == Weather::Calm;
        if at_rest && self.sabotage == Sabotage::MissFiles && self.luck.chance(20) {
            return None;
        }
        let ill = self.weather == Weather::Storm && self.plan.has(Fault::Disk);
        let unreadable = ill && self.luck.chance(20);
        let host = &self.hosts[number];
        let (on_disk, path) = (child(folder, shown)?, child(folder, told)?);
        let stamp = host.disk.stamp(&on_disk)?;
        let kind = match host.disk.node(&on_disk)? {
            _ if unreadable => FoundKind::Unknown,
            Node::Folder(_) => FoundKind::Folder,
            Node::Symlink(target) => FoundKind::Symlink {
                target: target.clone(),
            },
            Node::File(bytes) => {
                let known = known_content(&host.visible, &path, &stamp).ok().flatten();
                let content = known.unwrap_or_else(|| ContentHash::of(bytes));
                FoundKind::File { content }
            }
        };
        Some(Found {
            name: told.to_owned(),
            kind,
            stamp,
        })
    }
}

pub(crate) fn child(folder: Option<&RelPath>, name: &str) -> Option<RelPath> {
    match folder {
        Some(folder) => folder.join(name).ok(),
        None => RelPath::new(name).ok(),
    }
}
