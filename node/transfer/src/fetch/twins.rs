//! Names of a tree that its target's file system takes for one: some fold case, some compose accents.

use super::error::GetError;
use super::layout::Layout;
use shoal_jail::{Create, Jail};
use std::collections::{BTreeMap, BTreeSet};

/// Where names are tried out.
const PROBE: &str = "names";
/// Names that are one where case is folded, and where accents are composed.
const SAMPLES: [(&str, &str); 2] = [("a", "A"), ("\u{e9}", "e\u{301}")];

/// Makes sure that every name of a tree will be a name of its own.
///
/// # Errors
/// `OneName` when two would be one; whatever the file system says.
pub(crate) fn check(stage: &Jail, target: &Jail, layout: &Layout) -> Result<(), GetError> {
    let suspects = suspects(layout);
    if suspects.is_empty() {
        return Ok(());
    }
    remove(stage)?;
    let found = probe(stage, &suspects);
    remove(stage)?;
    match found? {
        None => Ok(()),
        Some((first, second)) => Err(GetError::OneName {
            path: target.path().to_path_buf(),
            first,
            second,
        }),
    }
}

fn remove(stage: &Jail) -> Result<(), GetError> {
    match stage.remove_tree(PROBE) {
        Err(error) if !error.is_not_found() => Err(GetError::jail(error)),
        _ => Ok(()),
    }
}

/// The names of one folder that might be one, by their folder.
type Suspects<'l> = Vec<(&'l str, Vec<&'l str>)>;

fn probe(stage: &Jail, suspects: &Suspects<'_>) -> Result<Option<(String, String)>, GetError> {
    stage.create_dir(PROBE, 0o700).map_err(GetError::jail)?;
    let room = stage.below(PROBE).map_err(GetError::jail)?;
    let mut folds = false;
    for (first, second) in SAMPLES {
        folds |= one_of(&room, &[first, second])?.is_some();
    }
    if !folds {
        return Ok(None);
    }
    for (folder, names) in suspects {
        if let Some((first, second)) = one_of(&room, names)? {
            let path = |name: &str| match folder.is_empty() {
                true => name.to_owned(),
                false => format!("{folder}/{name}"),
            };
            return Ok(Some((path(first), path(second))));
        }
    }
    Ok(None)
}

/// Two of these names that are one.
fn one_of<'n>(room: &Jail, names: &[&'n str]) -> Result<Option<(&'n str, &'n str)>, GetError> {
    let mut made: Vec<(&str, u64)> = Vec::with_capacity(names.len());
    let mut found = None;
    for name in names {
        match room.create_file(name, 0o600, Create::New) {
            Err(error) if error.is_exists() => {
                let ino = room.metadata(name).map_err(GetError::jail)?.ino;
                let same = made.iter().find(|(_, other)| *other == ino);
                // A file system that has no numbers for its files still has one of them.
                let first = same.or(made.first());
                found = first.map(|(first, _)| (*first, *name));
                break;
            }
            Err(error) => return Err(GetError::jail(error)),
            Ok(_) => {
                let ino = room.metadata(name).map_err(GetError::jail)?.ino;
                made.push((name, ino));
            }
        }
    }
    for (name, _) in made {
        room.remove_file(name).map_err(GetError::jail)?;
    }
    Ok(found)
}

fn suspects(layout: &Layout) -> Suspects<'_> {
    let mut folders: BTreeMap<&str, BTreeMap<String, BTreeSet<&str>>> = BTreeMap::new();
    let paths = layout.files.iter().map(|file| &file.path);
    let paths = paths.chain(layout.symlinks.iter().map(|link| &link.path));
    for path in paths.chain(layout.folders.iter().map(|folder| &folder.path)) {
        let mut path = path.as_str();
        loop {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            let names = folders.entry(folder).or_default();
            if !names.entry(loose(name)).or_default().insert(name) || folder.is_empty() {
                break;
            }
            path = folder;
        }
    }
    let mut suspects = Suspects::new();
    for (folder, groups) in folders {
        for names in groups.into_values().filter(|names| names.len() > 1) {
            if !names.iter().all(|name| name.is_ascii()) {
                suspects.push((folder, names.into_iter().collect()));
                continue;
            }
            let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for name in names {
                alike
                    .entry(name.to_ascii_lowercase())
                    .or_default()
                    .push(name);
            }
            let alike = alike.into_values().filter(|names| names.len() > 1);
            suspects.extend(alike.map(|names| (folder, names)));
        }
    }
    suspects
}

/// What no file system changes of a name, whichever letters it takes for one: digits and signs.
fn loose(name: &str) -> String {
    let fixed = |char: &char| char.is_ascii() && !char.is_ascii_alphabetic();
    name.chars().filter(fixed).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use shoal_protocol::id::ContentHash;
    use shoal_protocol::manifest::{Entry, Kind, Manifest, Shape};
    use shoal_protocol::path::RelPath;

    fn layout(paths: &[&str]) -> Layout {
        let mut entries: Vec<Entry> = paths
            .iter()
            .map(|path| Entry {
                path: RelPath::new(path).unwrap(),
                kind: Kind::File {
                    size: 0,
                    content: ContentHash::of(b""),
                },
                mtime_ns: 0,
                mode: 0o644,
            })
            .collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let manifest = Manifest::new("t".into(), Shape::Folder, entries).unwrap();
        Layout::of_manifest(&manifest).unwrap()
    }

    #[test]
    fn only_names_that_might_be_one_are_tried() {
        let of = |paths: &[&str]| suspects(&layout(paths)).len();
        assert_eq!(of(&["a", "b", "c/a", "c/b.txt", "1", "2"]), 0);
        assert_eq!(of(&["a", "A"]), 1);
        assert_eq!(of(&["x/a", "y/A"]), 0);
        assert_eq!(of(&["x/a", "X/b"]), 1);
        assert_eq!(of(&["\u{e9}.txt", "e\u{301}.txt"]), 1);
        assert_eq!(of(&["stra\u{df}e", "STRASSE"]), 1);
        assert_eq!(of(&["\u{e9}1", "\u{e9}2"]), 0);
    }

    #[test]
    fn here_every_name_is_one_or_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let jail = Jail::open(dir.path()).unwrap();
        let folds = {
            std::fs::write(dir.path().join("q"), "").unwrap();
            dir.path().join("Q").exists()
        };
        let checked = check(&jail, &jail, &layout(&["d/a", "d/A", "d/b"]));
        match checked {
            Ok(()) => assert!(!folds),
            Err(GetError::OneName { first, second, .. }) => {
                assert!(folds);
                assert_eq!((first.as_str(), second.as_str()), ("d/A", "d/a"));
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
