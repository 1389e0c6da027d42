//! A small node on loopback: one link, served over iroh, HTTP and BitTorrent from files in a
//! temporary folder, with switches for what goes wrong.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

mod content;
mod servers;

pub use content::{Content, Item, MTIME_NS, noise};
pub use servers::Node;

use shoal_protocol::link::Link;
use shoal_transfer::fetch::{Event, Fetched, GetError, GetRequest, Options, Progress, Ways, get};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What a `get` told.
#[derive(Default)]
pub struct Told(Mutex<Vec<Event>>);

impl Told {
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    pub fn has(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.0.lock().unwrap().iter().any(wanted)
    }
}

impl Progress for Told {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// A request with short patience, on loopback.
pub fn request(link: &str, into: &Path, ways: Ways) -> GetRequest {
    GetRequest {
        link: Link::parse(link).unwrap(),
        into: into.to_path_buf(),
        ways,
        options: Options {
            iroh_bind: vec!["127.0.0.1:0".parse().unwrap()],
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(20),
            ..Options::default()
        },
    }
}

pub async fn fetch(link: &str, into: &Path, ways: Ways) -> Result<Fetched, GetError> {
    let told = Arc::new(Told::default());
    get(request(link, into, ways), told, CancellationToken::new()).await
}

/// Whether a folder is what the content says, byte by byte, and nothing else.
pub fn assert_same(content: &Content, into: &Path, times: Times) {
    let root = into.join(&content.name);
    for item in &content.items {
        if matches!(item, Item::Folder(_)) && times == Times::Unknown {
            continue;
        }
        let path = match content.single {
            true => root.clone(),
            false => root.join(item.path()),
        };
        let meta = std::fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        match item {
            Item::File { bytes, exec, .. } => {
                assert!(meta.is_file(), "{path:?}");
                assert!(
                    std::fs::read(&path).unwrap() == *bytes,
                    "{path:?} has other bytes"
                );
                assert_eq!(meta.permissions().mode() & 0o100 != 0, *exec, "{path:?}");
            }
            Item::Folder(_) => assert!(meta.is_dir(), "{path:?}"),
            Item::Link(_, target) => {
                assert_eq!(
                    std::fs::read_link(&path).unwrap().to_str(),
                    Some(target.as_str())
                );
            }
        }
        if times == Times::Manifest {
            let mtime_ns = meta.mtime() * 1_000_000_000 + meta.mtime_nsec();
            assert_eq!(mtime_ns, MTIME_NS, "{path:?}");
        }
    }
    let left: Vec<_> = std::fs::read_dir(into)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, [std::ffi::OsString::from(&content.name)]);
}

/// Whether times and empty folders are known: a bare torrent does not say them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Times {
    Manifest,
    Unknown,
}
