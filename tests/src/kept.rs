//! A folder that devices keep the same.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{Deadline, Device, Outcome, poll};

/// What the fileset of a test is called.
const NAME: &str = "work";
/// Time for a change to be everywhere, on a machine that does much else.
const PATIENCE_S: u64 = 40;
/// Lines of a node's log that a failed test shows.
const LOG_LINES: usize = 60;

/// A device, and its folder of the fileset `work`.
pub struct Kept {
    pub device: Device,
    pub folder: PathBuf,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    File {
        bytes: u64,
        hash: u64,
        mode: u32,
        mtime_ns: i128,
    },
    Folder,
    Link(PathBuf),
}

/// Two paired devices that keep an empty folder.
pub fn two() -> (Kept, Kept) {
    let (one, two) = (Device::new(), Device::new());
    one.pair_with(&two);
    let one = Kept::adds(one);
    (one, Kept::joins(two))
}

/// Waits until all folders are as `expected`, and all nodes say that they are.
#[track_caller]
pub fn settle(all: &[&Kept], expected: &BTreeMap<String, Seen>) {
    let same = |it: &Kept| seen(&it.folder).is_ok_and(|found| found == *expected);
    let waited = poll(Deadline::secs(PATIENCE_S), "equal folders", || {
        Ok(all
            .iter()
            .all(|it| same(it) && it.is_up_to_date())
            .then_some(()))
    });
    if waited.is_err() {
        for it in all {
            eprintln!("--- {}: {}", it.device.name, it.view());
            let found = seen(&it.folder).unwrap();
            for (path, wanted) in expected {
                if found.get(path) != Some(wanted) {
                    eprintln!("{path:?} is {:?}, should be {wanted:?}", found.get(path));
                }
            }
            for path in found.keys().filter(|path| !expected.contains_key(*path)) {
                eprintln!("{path:?} should not be there");
            }
        }
        panic!("the folders did not become the same");
    }
}

/// Waits until all folders are the same as each other, and all nodes say that they are; gives what is in them.
#[track_caller]
pub fn alike(all: &[&Kept], entries: usize) -> BTreeMap<String, Seen> {
    let waited = poll(Deadline::secs(PATIENCE_S), "equal folders", || {
        let mut found = all.iter().map(|it| seen(&it.folder));
        let Some(Ok(first)) = found.next() else {
            return Ok(None);
        };
        let same = first.len() == entries
            && found.all(|it| it.is_ok_and(|it| it == first))
            && all.iter().all(|it| it.is_up_to_date());
        Ok(same.then_some(first))
    });
    waited.unwrap_or_else(|error| {
        for it in all {
            eprintln!("--- {}: {}", it.device.name, it.view());
            it.seen().iter().for_each(|it| eprintln!("{it:?}"));
        }
        panic!("{error}, with {entries} entries");
    })
}

/// All that is in a folder, without what is Shoal's own and what does not travel.
pub fn seen(folder: &Path) -> Result<BTreeMap<String, Seen>> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(relative) = open.pop() {
        let at = folder.join(&relative);
        for entry in fs::read_dir(&at).with_context(|| format!("listing {}", at.display()))? {
            let path = relative.join(entry?.file_name());
            let Some(text) = path.to_str().filter(|text| *text != ".shoal") else {
                continue;
            };
            let Some(what) = look(&folder.join(&path))? else {
                continue;
            };
            if what == Seen::Folder {
                open.push(path.clone());
            }
            found.insert(text.to_owned(), what);
        }
    }
    Ok(found)
}

fn look(path: &Path) -> Result<Option<Seen>> {
    let meta = fs::symlink_metadata(path)?;
    Ok(if meta.is_symlink() {
        Some(Seen::Link(fs::read_link(path)?))
    } else if meta.is_dir() {
        Some(Seen::Folder)
    } else if meta.is_file() {
        let mut hasher = DefaultHasher::new();
        hasher.write(&fs::read(path)?);
        Some(Seen::File {
            bytes: meta.len(),
            hash: hasher.finish(),
            mode: meta.permissions().mode() & 0o777,
            mtime_ns: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
        })
    } else {
        None
    })
}

impl Kept {
    /// A device that keeps nothing yet.
    pub fn new(device: Device) -> Kept {
        let folder = device.home.beside().join("Work");
        Kept { device, folder }
    }

    /// `shoal add` of its folder, which is made if it is not there.
    pub fn adds(device: Device) -> Kept {
        let kept = Kept::new(device);
        fs::create_dir_all(&kept.folder).unwrap();
        kept.shoal(&["add", kept.folder.to_str().unwrap(), "--name", NAME])
            .success()
            .unwrap();
        kept
    }

    /// `shoal join`, once the fileset is offered.
    pub fn joins(device: Device) -> Kept {
        let kept = Kept::new(device);
        kept.join();
        kept
    }

    /// The same for a device whose folder was made before.
    pub fn join(&self) {
        self.until("the offer", |view| view["state"] == "offered");
        self.shoal(&["join", NAME, self.folder.to_str().unwrap()])
            .success()
            .unwrap();
    }

    /// `shoal --json ARGS`, to its end.
    pub fn shoal(&self, args: &[&str]) -> Outcome {
        let args = [&["--json", "--no-start"], args].concat();
        self.device.home.run(&args).unwrap()
    }

    /// How the fileset stands; null if the device does not know it.
    pub fn view(&self) -> Value {
        let all = self.device.home.json_lines(&["sets"]).unwrap();
        let ours = all.into_iter().find(|view| view["name"] == NAME);
        ours.unwrap_or_default()
    }

    /// Waits until it stands as `wanted`.
    #[track_caller]
    pub fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let waited = poll(Deadline::secs(PATIENCE_S), what, || {
            let view = self.view();
            Ok(wanted(&view).then_some(view))
        });
        waited.unwrap_or_else(|error| panic!("{error}: {}", self.view()))
    }

    /// Whether it says that it is the same as on all others that it is connected to, one at least.
    pub fn is_up_to_date(&self) -> bool {
        let view = self.view();
        let connected = view["connected"]
            .as_array()
            .is_some_and(|it| !it.is_empty());
        view["state"] == "up_to_date" && view["missing"] == 0 && connected
    }

    /// Whether a view says that nothing is left to do.
    pub fn is_quiet(view: &Value) -> bool {
        view["state"] == "up_to_date"
    }

    /// Conflicts of the fileset.
    pub fn conflicts(&self) -> Vec<Value> {
        let lines = self.device.home.json_lines(&["conflicts", NAME]);
        lines.unwrap()
    }

    /// A path below its folder.
    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Writes a file, with the folders that it needs.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// All that is in its folder.
    pub fn seen(&self) -> BTreeMap<String, Seen> {
        seen(&self.folder).unwrap()
    }

    /// Names that are left in its staging folder.
    pub fn staged(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.at(".shoal/staging")) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let log = self.device.home.path().join("logs/node.log");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LOG_LINES);
        eprintln!("--- log of {}:", self.device.name);
        lines[from..].iter().for_each(|line| eprintln!("{line}"));
    }
}
