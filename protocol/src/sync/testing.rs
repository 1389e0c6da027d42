//! Values for tests.
#![allow(clippy::unwrap_used)]

use super::entry::{Entry, Kind, Removal};
use super::merge::{join, version_of};
use super::version::{AuthorId, Dot, VersionVector};
use crate::id::{ContentHash, DeviceId};
use crate::path::RelPath;

/// The author of a number: its device consists of that byte.
pub(crate) fn author(number: u8) -> AuthorId {
    AuthorId {
        device: DeviceId([number; 32]),
        epoch: 0,
    }
}

/// A path.
pub(crate) fn path(text: &str) -> RelPath {
    // Cannot fail: tests give paths that are paths.
    RelPath::new(text).unwrap()
}

/// The first entry of an author, a file.
pub(crate) fn file(at: &str, by: u8, bytes: &[u8], mtime_ns: i64) -> Entry {
    Entry {
        path: path(at),
        kind: Kind::File {
            content: ContentHash::of(bytes),
            size_bytes: bytes.len() as u64,
        },
        mode: 0o644,
        mtime_ns,
        parent: None,
        moved_from: None,
        version: VersionVector::from_pairs([(author(by), 1)]),
        author: author(by),
    }
}

/// The first entry of an author, a tombstone.
pub(crate) fn gone(at: &str, by: u8, mtime_ns: i64) -> Entry {
    Entry {
        kind: Kind::Tombstone(Removal::Deleted),
        mode: 0,
        ..file(at, by, b"", mtime_ns)
    }
}

/// All entries that four replicas write to one path, while they write and hear of each other as `steps` say.
pub(crate) fn history(steps: &[(u8, u16)]) -> Vec<Entry> {
    let mut replicas: [Vec<Entry>; 4] = Default::default();
    let mut all = Vec::new();
    for (at, (who, what)) in steps.iter().enumerate() {
        let who = usize::from(*who) % 4;
        if what % 3 == 0 {
            let other = replicas[usize::from(what / 3) % 4].clone();
            for entry in other {
                join(&mut replicas[who], entry);
            }
            continue;
        }
        let by = author(who as u8);
        let mut version = version_of(&replicas[who]);
        version.raise(Dot {
            author: by,
            seq: at as u64 + 1,
        });
        let entry = Entry {
            version,
            author: by,
            ..file("p", 0, &what.to_le_bytes(), i64::from(*what))
        };
        join(&mut replicas[who], entry.clone());
        all.push(entry);
    }
    all
}
