//! What people and their programs do to a folder, and what the ledger and the watcher learn of it.

use crate::disk::{Mount, Node};
use crate::plan::Fault;
use crate::world::{Step, Watchers, Weather, World};
use shoal_protocol::id::ContentHash;
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::project::project;
use shoal_protocol::sync::{Command, Event, Kind, Role};
use std::collections::BTreeMap;

/// Names that users type: few, so that they meet.
const NAMES: [&str; 7] = ["a", "b", "c", "d.txt", "e.txt", "f", LONG];
/// With this one, the name of a copy has to be cut.
const LONG: &str = "a name so long that the name of its copy has to be cut, as programs make it that save a page under its title, a letter under its first line, or a paper under the names of all who wrote it, with what it is about, and where, and in which year.txt";
/// Names that some file systems think equal.
const TWINS: [&str; 6] = ["a", "A", "caf\u{e9}", "cafe\u{301}", "d.txt", "D.txt"];

impl World {
    /// Something is done that no watcher sees: only the next look at everything finds it.
    pub fn unseen(&mut self, deed: impl FnOnce(&mut World)) {
        self.watchers = Watchers::Asleep;
        deed(self);
        self.watchers = Watchers::Awake;
    }

    /// A user writes a file (over a file or link that is there), in a folder that exists.
    pub fn write(&mut self, host: usize, path: &RelPath, bytes: &[u8]) {
        let now_ns = self.wall_ns(host);
        let disk = &mut self.hosts[host].disk;
        let old = match disk.node(path) {
            Some(Node::Folder(_)) => return,
            Some(Node::File(old)) => Some(old.clone()),
            Some(Node::Symlink(_)) | None => None,
        };
        // A link is replaced, and with it goes its name, if that was another form of this one.
        let goes = old.is_none() && disk.node(path).is_some() && !disk.is_exact(path);
        let done = match old {
            Some(_) => disk.rewrite(path, bytes.to_vec(), now_ns),
            None => disk.put(path, Node::File(bytes.to_vec()), 0o644, now_ns),
        };
        if done && goes {
            self.ledger.moved_away(path);
        }
        if done {
            self.ledger
                .wrote(host, path, &old.unwrap_or_default(), bytes);
            self.wrote_to(host, path);
        }
    }

    /// A user makes a folder, in a folder that exists.
    pub fn mkdir(&mut self, host: usize, path: &RelPath) {
        let now_ns = self.wall_ns(host);
        let disk = &mut self.hosts[host].disk;
        if disk.node(path).is_none() && disk.put(path, Node::Folder(BTreeMap::new()), 0o755, now_ns)
        {
            self.ledger.made_folder(path);
            self.wrote_to(host, path);
        }
    }

    /// A user makes a symbolic link where nothing is.
    pub fn symlink(&mut self, host: usize, path: &RelPath, target: &str) {
        let now_ns = self.wall_ns(host);
        let disk = &mut self.hosts[host].disk;
        if disk.manners.features.symlinks
            && disk.node(path).is_none()
            && disk.put(path, Node::Symlink(target.to_owned()), 0o777, now_ns)
        {
            self.ledger.touched(path);
            self.wrote_to(host, path);
        }
    }

    /// A user sets time and mode of a file.
    pub fn touch(&mut self, host: usize, path: &RelPath, mode: u32) {
        let now_ns = self.wall_ns(host);
        if let Some(Node::File(_)) = self.hosts[host].disk.node(path) {
            let disk = &mut self.hosts[host].disk;
            disk.touch(path, Some(now_ns), Some(mode), now_ns);
            self.ledger.touched(path);
            self.wrote_to(host, path);
        }
    }

    /// A user deletes a file, link or tree.
    pub fn delete(&mut self, host: usize, path: &RelPath) {
        let disk = &mut self.hosts[host].disk;
        let below = disk.below(Some(path));
        for path in &below {
            let bytes = match disk.node(path) {
                Some(Node::File(bytes)) => bytes.clone(),
                _ => Vec::new(),
            };
            self.ledger.removed(path, &bytes);
        }
        disk.remove(path);
        if !below.is_empty() {
            self.wrote_to(host, path);
        }
    }

    /// A user renames a file, link or tree; a file or link that is there is replaced.
    pub fn rename(&mut self, host: usize, from: &RelPath, to: &RelPath) {
        let now_ns = self.wall_ns(host);
        let disk = &mut self.hosts[host].disk;
        let sources = disk.below(Some(from));
        let replaced = match disk.node(to) {
            Some(Node::Folder(_)) if !disk.is_same(from, to) => return,
            Some(Node::File(bytes)) if !disk.is_same(from, to) => Some(bytes.clone()),
            Some(Node::Symlink(_)) if !disk.is_same(from, to) => Some(Vec::new()),
            _ => None,
        };
        if !disk.rename(from, to, now_ns) {
            return;
        }
        if let Some(replaced) = replaced {
            self.ledger.removed(to, &replaced);
        }
        for source in &sources {
            self.ledger.moved_away(source);
        }
        for target in self.hosts[host].disk.below(Some(to)) {
            match self.hosts[host].disk.node(&target) {
                Some(Node::Folder(_)) => self.ledger.made_folder(&target),
                _ => self.ledger.touched(&target),
            }
        }
        self.wrote_to(host, from);
        self.wrote_to(host, to);
    }

    /// The watcher tells soon, unless it misses it.
    fn wrote_to(&mut self, host: usize, path: &RelPath) {
        self.hosts[host].user_writes += 1;
        self.trace.line(format_args!("  at {path:?}"));
        if self.watchers == Watchers::Asleep {
            return;
        }
        let storm = self.weather == Weather::Storm;
        if storm && self.plan.has(Fault::Watch) && self.luck.chance(200) {
            return;
        }
        if self.hosts[host].is_up() {
            let delay = self.chance.between(1, 150);
            self.later(host, delay, Step::Watched(path.parent()));
        }
    }

    /// A user does something by chance.
    pub(crate) fn deed(&mut self, host: usize) {
        if self.hosts[host].disk.mount != Mount::There || host >= self.members() {
            return;
        }
        self.trace
            .line(format_args!("{} #{host} deed", self.now_ms));
        let old = self.some_path(host);
        let new = self.new_path(host);
        match (self.whim.below(100), old, new) {
            (0..25, _, Some(new)) => {
                let bytes = self.typed();
                self.write(host, &new, &bytes);
            }
            (25..45, Some(old), _) => self.edit(host, &old),
            (45..60, Some(old), Some(new)) => self.rename(host, &old, &new),
            (60..72, Some(old), _) => self.delete(host, &old),
            (72..82, _, Some(new)) => self.mkdir(host, &new),
            (82..86, Some(old), _) => self.swap_type(host, &old),
            (86..91, Some(old), Some(_)) => {
                if let Some(other) = self.some_path(host) {
                    self.swap_names(host, &old, &other);
                }
            }
            (91..94, _, Some(new)) => self.symlink(host, &new, "a"),
            (94..97, Some(old), _) => {
                let mode = *self.whim.pick(&[0o600, 0o644, 0o755]).unwrap_or(&0o644);
                self.touch(host, &old, mode);
            }
            (_, Some(old), Some(new)) => self.copy(host, &old, &new),
            (_, _, Some(new)) => {
                let bytes = self.typed();
                self.write(host, &new, &bytes);
            }
            _ => {}
        }
    }

    /// A person settles a conflict of which all sides are to be seen: one stays, the others are not wanted.
    pub(crate) fn settle_conflict(&mut self, number: usize) {
        let host = &self.hosts[number];
        let rows = host.visible.all_applied().values();
        let conflicts: Vec<RelPath> = rows
            .filter_map(|row| match &row.role {
                Role::Copy { of } => Some(of.clone()),
                _ => None,
            })
            .collect();
        let Some(of) = self.luck.pick(&conflicts).cloned() else {
            return;
        };
        let Ok(projection) = project(&host.visible, &of, self.plan.policy) else {
            return;
        };
        let main = projection.main.map(|main| (of.clone(), main));
        let sides: Vec<_> = main.into_iter().chain(projection.copies).collect();
        let bytes = |path: &RelPath, kind: &Kind| match host.disk.node(path) {
            Some(Node::File(bytes)) if kind.content() == Some(ContentHash::of(bytes)) => {
                Some((path.clone(), bytes.clone()))
            }
            _ => None,
        };
        let seen: Option<Vec<_>> = sides.iter().map(|(at, it)| bytes(at, &it.kind)).collect();
        let Some(seen) = seen.filter(|_| host.is_up()) else {
            return;
        };
        let Some((keep, kept)) = self.luck.pick(&seen).cloned() else {
            return;
        };
        for (path, bytes) in seen.iter().filter(|(path, _)| *path != keep) {
            if *path == of {
                self.ledger.wrote(number, path, bytes, &kept);
            } else {
                self.ledger.removed(path, bytes);
            }
        }
        let command = Command::Settle { path: of, keep };
        self.handle(number, Event::Command(command));
    }

    /// New bytes: mostly never typed before, sometimes what others type too, sometimes none.
    fn typed(&mut self) -> Vec<u8> {
        match self.whim.below(12) {
            0 => Vec::new(),
            1 => b"the same everywhere".to_vec(),
            2 => [self.ledger.token(), self.ledger.token()].concat(),
            _ => self.ledger.token(),
        }
    }

    /// Appends, or replaces a part; in place at once or in two steps, or the way editors do: a new file moved over the old.
    fn edit(&mut self, host: usize, path: &RelPath) {
        let Some(Node::File(old)) = self.hosts[host].disk.node(path) else {
            return;
        };
        let mut bytes = old.clone();
        let keep = match self.whim.below(3) {
            0 => bytes.len() / 20 * 10,
            _ => bytes.len(),
        };
        bytes.truncate(keep);
        if bytes.len() % 10 != 0 {
            bytes.clear();
        }
        let half = bytes.clone();
        bytes.extend(self.ledger.token());
        match self.whim.below(4) {
            0 => {
                self.write(host, path, &half);
                let delay = self.whim.between(5, 200);
                self.later_any(host, delay, Step::Finish(path.clone(), bytes));
            }
            1 => {
                let name = format!("{}.tmp", path.name());
                if let Some(draft) = crate::scan::child(path.parent().as_ref(), &name) {
                    self.write(host, &draft, &bytes);
                    self.rename(host, &draft, path);
                }
            }
            _ => self.write(host, path, &bytes),
        }
    }

    fn copy(&mut self, host: usize, from: &RelPath, to: &RelPath) {
        if let Some(Node::File(bytes)) = self.hosts[host].disk.node(from) {
            let bytes = bytes.clone();
            self.write(host, to, &bytes);
        }
    }

    fn swap_type(&mut self, host: usize, path: &RelPath) {
        let was_folder = matches!(self.hosts[host].disk.node(path), Some(Node::Folder(_)));
        self.delete(host, path);
        let bytes = self.typed();
        if was_folder {
            self.write(host, path, &bytes);
        } else {
            self.mkdir(host, path);
            if let Ok(inside) = path.join("inside") {
                self.write(host, &inside, &bytes);
            }
        }
    }

    fn swap_names(&mut self, host: usize, one: &RelPath, other: &RelPath) {
        let Ok(aside) = RelPath::new("aside") else {
            return;
        };
        if one == other || one.is_below(other) || other.is_below(one) {
            return;
        }
        self.rename(host, one, &aside);
        self.rename(host, other, one);
        self.rename(host, &aside, other);
    }

    fn some_path(&mut self, host: usize) -> Option<RelPath> {
        let paths = self.hosts[host].disk.below(None);
        self.whim.pick(&paths).cloned()
    }

    /// A name in a folder that exists.
    fn new_path(&mut self, host: usize) -> Option<RelPath> {
        let disk = &self.hosts[host].disk;
        let mut folders = vec![None];
        for path in disk.below(None) {
            if matches!(disk.node(&path), Some(Node::Folder(_))) && path.components().count() < 4 {
                folders.push(Some(path));
            }
        }
        let names: &[&str] = match self.plan.has(Fault::Names) {
            true => &TWINS,
            false => &NAMES,
        };
        let folder = self.whim.pick(&folders)?;
        crate::scan::child(folder.as_ref(), self.whim.pick(names)?)
    }
}
