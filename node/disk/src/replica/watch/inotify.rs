//! The watching thread: events to folders, and folders that come, move and go.

use super::quiet::Quiet;
use super::{Noticed, Watch, WatchError};
use crate::replica::folder_marker;
use crate::replica::root::Replica;
use crate::replica::scan::is_own;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use shoal_jail::Kind;
use shoal_protocol::path::RelPath;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::Instant;

/// More folders than this are told as everything.
const FOLDERS_MAX: usize = 10_000;
/// Bytes of events read at once.
const BUFFER_BYTES: usize = 64 * 1024;

pub(super) type Tell = Box<dyn FnMut(Noticed) + Send>;

pub(super) fn start(replica: &Replica, tell: Tell) -> Result<Watch, WatchError> {
    let fd =
        inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(io::Error::from)?;
    let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
    let stop = Arc::new(stop.map_err(io::Error::from)?);
    let mut watching = Watching {
        replica: replica.clone(),
        fd: Arc::new(fd),
        stop: stop.clone(),
        folders: HashMap::new(),
        root: 0,
        moved: HashMap::new(),
        dirty: Dirty::default(),
        quiet: Quiet::default(),
        unwatched: 0,
        told_unwatched: 0,
        tell,
    };
    watching.root = watching
        .add("")
        .ok_or_else(|| io::Error::other("its root cannot be watched"))?;
    let _ = watching.add_below(watching.root, "");
    std::thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || watching.run())?;
    Ok(Watch { stop })
}

/// A watched folder. Paths are put together from names, so that a move changes one of them.
struct Folder {
    above: i32,
    name: Box<str>,
    below: HashMap<Box<str>, i32>,
}

#[derive(Default)]
struct Dirty {
    folders: BTreeSet<Option<RelPath>>,
    everything: bool,
}

struct Watching {
    replica: Replica,
    fd: Arc<OwnedFd>,
    stop: Arc<OwnedFd>,
    /// By watch descriptor; the root is above itself.
    folders: HashMap<i32, Folder>,
    root: i32,
    /// Folders that left their place, by cookie; unless they come to another, they left the tree.
    moved: HashMap<u32, i32>,
    dirty: Dirty,
    quiet: Quiet,
    unwatched: usize,
    told_unwatched: usize,
    tell: Tell,
}

/// An event, taken out of the buffer.
struct Event {
    folder: i32,
    what: ReadFlags,
    cookie: u32,
    name: Option<String>,
}

enum After {
    GoOn,
    End,
}

impl Watching {
    fn run(mut self) {
        self.tell_limit();
        loop {
            let wait = self.quiet.wait(Instant::now());
            if wait.is_some_and(|wait| wait.is_zero()) {
                self.flush();
                continue;
            }
            let timeout = wait.map(|wait| Timespec {
                tv_sec: wait.as_secs() as _,
                // Rounded up, so that it is time when it ends.
                tv_nsec: i64::from(wait.subsec_nanos().saturating_add(1)).min(999_999_999) as _,
            });
            let mut ready = [
                PollFd::new(&*self.fd, PollFlags::IN),
                PollFd::new(&*self.stop, PollFlags::IN),
            ];
            match poll(&mut ready, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            if !ready[1].revents().is_empty() {
                return;
            }
            if let After::End = self.read() {
                (self.tell)(Noticed::Root);
                return;
            }
        }
    }

    fn read(&mut self) -> After {
        let mut buffer = vec![MaybeUninit::<u8>::uninit(); BUFFER_BYTES];
        let mut events = Vec::new();
        {
            let fd = self.fd.clone();
            let mut reader = Reader::new(&*fd, &mut buffer);
            while let Ok(event) = reader.next() {
                events.push(Event {
                    folder: event.wd(),
                    what: event.events(),
                    cookie: event.cookie(),
                    name: event
                        .file_name()
                        .map(|name| name.to_string_lossy().into_owned()),
                });
                if reader.is_buffer_empty() {
                    break;
                }
            }
        }
        for event in events {
            if let After::End = self.take(&event) {
                return After::End;
            }
        }
        After::GoOn
    }

    fn take(&mut self, event: &Event) -> After {
        let now = Instant::now();
        if event.what.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.dirty.everything = true;
            self.quiet.event(now);
            // Folders may have come unseen.
            self.unwatched = 0;
            self.add_below(self.root, "");
            return After::GoOn;
        }
        if event.folder == self.root
            && event
                .what
                .intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT)
        {
            return After::End;
        }
        if event.what.contains(ReadFlags::IGNORED) {
            self.forget(event.folder);
            return After::GoOn;
        }
        let (Some(name), Some(folder)) = (&event.name, self.path(event.folder)) else {
            return After::GoOn;
        };
        if is_own(name) {
            return After::GoOn;
        }
        self.quiet.event(now);
        self.mark(&folder);
        if event.what.contains(ReadFlags::ISDIR) {
            self.folder_event(event, &folder, name);
        }
        After::GoOn
    }

    fn folder_event(&mut self, event: &Event, folder: &str, name: &str) {
        let place = |folders: &mut HashMap<i32, Folder>| {
            folders
                .get_mut(&event.folder)
                .and_then(|above| above.below.remove(name))
        };
        if event.what.contains(ReadFlags::MOVED_FROM) {
            if let Some(moved) = place(&mut self.folders) {
                self.moved.insert(event.cookie, moved);
            }
        } else if event.what.contains(ReadFlags::MOVED_TO) {
            match self.moved.remove(&event.cookie) {
                // It keeps its watch, and all that are below it.
                Some(moved) => self.put(moved, event.folder, name),
                None => self.arrived(event.folder, folder, name),
            }
        } else if event.what.contains(ReadFlags::CREATE) {
            self.arrived(event.folder, folder, name);
        } else if event.what.contains(ReadFlags::DELETE) {
            let _ = place(&mut self.folders);
        }
    }

    fn put(&mut self, moved: i32, above: i32, name: &str) {
        if let Some(folder) = self.folders.get_mut(&moved) {
            folder.above = above;
            folder.name = name.into();
        }
        if let Some(above) = self.folders.get_mut(&above) {
            above.below.insert(name.into(), moved);
        }
    }

    /// A new folder: watched first and then listed, so that nothing is missed; what is in it is to be looked at.
    fn arrived(&mut self, above: i32, folder: &str, name: &str) {
        let path = join(folder, name);
        let Some(watch) = self.add(&path) else {
            return;
        };
        self.put(watch, above, name);
        self.mark(&path);
        for below in self.add_below(watch, &path) {
            self.mark(&below);
        }
        self.tell_limit();
    }

    /// Watches one folder, unless it is none of this fileset's.
    fn add(&mut self, path: &str) -> Option<i32> {
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR
            | WatchFlags::DONT_FOLLOW
            | WatchFlags::EXCL_UNLINK;
        if !path.is_empty() && !self.belongs(path) {
            return None;
        }
        // A link swapped in on the way would be followed: then a folder outside makes us look once more.
        match inotify::add_watch(&*self.fd, self.replica.path().join(path), flags) {
            Ok(watch) => {
                self.folders.entry(watch).or_insert_with(|| Folder {
                    above: watch,
                    name: "".into(),
                    below: HashMap::new(),
                });
                Some(watch)
            }
            // It is gone again, or no folder any more.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => None,
            Err(_) => {
                self.unwatched += 1;
                None
            }
        }
    }

    fn belongs(&self, path: &str) -> bool {
        let jail = self.replica.jail();
        self.replica.keep_out() != Some(path)
            && jail
                .metadata(path)
                .is_ok_and(|meta| meta.kind == Kind::Dir && meta.dev == self.replica.dev())
            && jail.metadata(&folder_marker(path)).is_err()
    }

    /// Watches every folder below one; gives their paths.
    fn add_below(&mut self, watch: i32, path: &str) -> Vec<String> {
        let mut added = Vec::new();
        let mut left = vec![(watch, path.to_owned())];
        while let Some((above, path)) = left.pop() {
            let Ok(entries) = self.replica.jail().read_dir(&path) else {
                continue;
            };
            for entry in entries {
                let Some(name) = entry.name.to_str() else {
                    continue;
                };
                if entry.kind != Kind::Dir || is_own(name) {
                    continue;
                }
                let below = join(&path, name);
                if let Some(watch) = self.add(&below) {
                    self.put(watch, above, name);
                    added.push(below.clone());
                    left.push((watch, below));
                }
            }
        }
        added
    }

    /// Where a folder is now; none if it left the tree.
    fn path(&self, watch: i32) -> Option<String> {
        let mut names = Vec::new();
        let mut at = watch;
        while at != self.root {
            let folder = self.folders.get(&at)?;
            names.push(&*folder.name);
            // A folder that was moved away is in no other's list.
            let above = self.folders.get(&folder.above)?;
            if above.below.get(&folder.name) != Some(&at) || names.len() > 4096 {
                return None;
            }
            at = folder.above;
        }
        names.reverse();
        Some(names.join("/"))
    }

    fn mark(&mut self, path: &str) {
        if self.dirty.folders.len() >= FOLDERS_MAX {
            self.dirty.everything = true;
            self.dirty.folders.clear();
        }
        match RelPath::new(path) {
            _ if self.dirty.everything => {}
            Ok(path) => drop(self.dirty.folders.insert(Some(path))),
            Err(_) if path.is_empty() => drop(self.dirty.folders.insert(None)),
            Err(_) => {}
        }
    }

    fn flush(&mut self) {
        self.quiet.told();
        // What came to no other place within the pause has left the tree.
        for watch in std::mem::take(&mut self.moved).into_values() {
            self.unwatch(watch);
        }
        let dirty = std::mem::take(&mut self.dirty);
        if dirty.everything {
            (self.tell)(Noticed::Everything);
        } else if !dirty.folders.is_empty() {
            (self.tell)(Noticed::Folders(dirty.folders.into_iter().collect()));
        }
        self.tell_limit();
    }

    fn tell_limit(&mut self) {
        if self.unwatched > self.told_unwatched {
            self.told_unwatched = self.unwatched;
            let unwatched = self.unwatched;
            (self.tell)(Noticed::Limited { unwatched });
        }
    }

    /// Ends the watches of a folder and of all below it.
    fn unwatch(&mut self, watch: i32) {
        let mut left = vec![watch];
        while let Some(watch) = left.pop() {
            if let Some(folder) = self.folders.remove(&watch) {
                left.extend(folder.below.into_values());
                let _ = inotify::remove_watch(&*self.fd, watch);
            }
        }
    }

    fn forget(&mut self, watch: i32) {
        let Some(folder) = self.folders.remove(&watch) else {
            return;
        };
        if let Some(above) = self.folders.get_mut(&folder.above)
            && above.below.get(&folder.name) == Some(&watch)
        {
            above.below.remove(&folder.name);
        }
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}
