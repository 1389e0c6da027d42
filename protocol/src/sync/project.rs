//! Projection: what the maximal entries of a path ask a replica to show, and where.

use super::applied::{Applied, Role};
use super::conflict::{HASH_DIGITS_MAX, Policy, View, copied_from, copy_path, cut_from};
use super::entry::{Entry, Kind, Removal};
use super::index::{Index, Read, Span};
use super::version::{Dot, VersionVector};
use crate::path::RelPath;

/// Hash digits in a copy's name, and when that name is taken by another file.
const COPY_DIGITS: [usize; 2] = [6, HASH_DIGITS_MAX];
/// Permission bits of a folder that nobody asked for.
const IMPLIED_MODE: u32 = 0o755;

/// What should be at one path of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// File, folder or symbolic link.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Modification time, nanoseconds since 1970 UTC.
    pub mtime_ns: i64,
    /// What a replica that shows it has seen.
    pub version: VersionVector,
    /// Why it is there.
    pub role: Role,
    /// Who wrote it; none for implied folders.
    pub dot: Option<Dot>,
    /// Where the content was before.
    pub moved_from: Option<RelPath>,
}

/// What a path of the fileset asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Projection {
    /// At the path itself.
    pub main: Option<Wanted>,
    /// Why nothing is at the path itself, if something was.
    pub removal: Option<Removal>,
    /// Losers of a conflict, each at its own path.
    pub copies: Vec<(RelPath, Wanted)>,
}

/// Projects one path of the fileset.
///
/// A path with something live below it is a folder, whatever its own entries say; a file that wants that name is shown as a copy.
///
/// # Errors
/// When the index cannot be read.
pub fn project(index: &impl Index, path: &RelPath, policy: Policy) -> Read<Projection> {
    let set = index.entries(path)?;
    project_set(index, path, &set, policy)
}

/// [`project`] with the maximal entries of the path at hand.
///
/// # Errors
/// When the index cannot be read.
pub fn project_set(
    index: &impl Index,
    path: &RelPath,
    set: &[Entry],
    policy: Policy,
) -> Read<Projection> {
    let view = View::new(set, policy);
    let mut sides = view.sides.iter();
    let folder = view
        .sides
        .first()
        .is_some_and(|side| side.entry.kind == Kind::Folder);
    let mut projection = Projection {
        removal: view.removal,
        ..Projection::default()
    };
    if !folder && live_below(index, path)? {
        projection.main = Some(implied(view.deleted.clone()));
    } else if let Some(side) = sides.next() {
        let mut version = side.version.clone();
        version.join(&view.deleted);
        projection.main = Some(wanted(&side.entry, version, Role::Main));
    }
    for side in sides {
        let role = Role::Copy { of: path.clone() };
        if let Some(at) = place_copy(index, &side.entry)? {
            projection
                .copies
                .push((at, wanted(&side.entry, side.version.clone(), role)));
        }
    }
    Ok(projection)
}

/// Whether anything below a path is there.
///
/// # Errors
/// When the index cannot be read.
pub fn live_below(index: &impl Index, path: &RelPath) -> Read<bool> {
    let mut after: Option<RelPath> = None;
    loop {
        let page = index.entries_in(
            Span {
                below: Some(path),
                after: after.as_ref(),
            },
            64,
        )?;
        if page.iter().any(Entry::is_live) {
            return Ok(true);
        }
        match page.into_iter().next_back() {
            Some(last) => after = Some(last.path),
            None => return Ok(false),
        }
    }
}

/// The paths of whose conflicts this may be a copy: the one that its name tells; where the name was cut, all that begin like it.
///
/// # Errors
/// When the index cannot be read.
pub fn originals(index: &impl Index, copy: &RelPath) -> Read<Vec<RelPath>> {
    let mut all: Vec<_> = copied_from(copy).into_iter().collect();
    let Some((stem, extension)) = cut_from(copy) else {
        return Ok(all);
    };
    let parent = copy.parent();
    let mut after = stem.clone();
    loop {
        let span = Span {
            below: parent.as_ref(),
            after: Some(&after),
        };
        let page = index.entries_in(span, 64)?;
        for entry in &page {
            let path = &entry.path;
            if !path.as_str().starts_with(stem.as_str()) {
                return Ok(all);
            }
            let is_beside = path.parent() == parent && path.name().ends_with(&extension);
            if is_beside && path != copy && !all.contains(path) {
                all.push(path.clone());
            }
        }
        match page.into_iter().next_back() {
            Some(last) => after = last.path,
            None => return Ok(all),
        }
    }
}

impl Wanted {
    /// The row once it is materialised and the disk has said what it is.
    pub fn row(&self, stamp: super::applied::Stamp) -> Applied {
        Applied {
            kind: self.kind.clone(),
            mode: self.mode,
            mtime_ns: self.mtime_ns,
            stamp,
            version: self.version.clone(),
            role: self.role.clone(),
        }
    }
}

fn wanted(entry: &Entry, version: VersionVector, role: Role) -> Wanted {
    Wanted {
        kind: entry.kind.clone(),
        mode: entry.mode,
        mtime_ns: entry.mtime_ns,
        version,
        role,
        dot: Some(entry.dot()),
        moved_from: entry.moved_from.clone(),
    }
}

fn implied(version: VersionVector) -> Wanted {
    Wanted {
        kind: Kind::Folder,
        mode: IMPLIED_MODE,
        mtime_ns: 0,
        version,
        role: Role::Implied,
        dot: None,
        moved_from: None,
    }
}

/// Where a loser is shown; nowhere when an entry at its copy's name has the same content already.
///
/// # Errors
/// When the index cannot be read.
pub fn place_copy(index: &impl Index, loser: &Entry) -> Read<Option<RelPath>> {
    for digits in COPY_DIGITS {
        let Some(at) = copy_path(loser, digits) else {
            return Ok(None);
        };
        let there = index.entries(&at)?;
        if there
            .iter()
            .any(|entry| entry.kind.same_content(&loser.kind))
        {
            return Ok(None);
        }
        if !there.iter().any(Entry::is_live) && !live_below(index, &at)? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sync::memory::MemoryIndex;
    use crate::sync::testing::{author, file, gone, path};
    use crate::sync::{Batch, BatchId, EntrySet, Stamp};

    fn index(sets: Vec<Vec<Entry>>) -> MemoryIndex {
        let mut index = MemoryIndex::new();
        let sets = sets.into_iter().map(|maximal| EntrySet {
            path: maximal[0].path.clone(),
            maximal,
        });
        index.write(&Batch {
            id: BatchId(1),
            entries: sets.collect(),
            applied: Vec::new(),
            knowledge: Vec::new(),
            meta: None,
        });
        index
    }

    #[test]
    fn what_is_live_below_makes_a_folder_however_much_is_gone_before_it() {
        let mut sets = vec![vec![gone("d", 1, 0), file("d", 2, b"file", 5)]];
        sets.extend((0..200).map(|at| vec![gone(&format!("d/{at:03}"), 1, 0)]));
        sets.push(vec![file("e", 3, b"beside", 0)]);
        let there = project(&index(sets.clone()), &path("d"), Policy::Newer).unwrap();
        let main = there.main.unwrap();
        assert_eq!((main.role, main.dot), (Role::Main, Some(sets[0][1].dot())));
        assert!(main.version.contains(sets[0][0].dot()));
        assert!(there.copies.is_empty());
        sets.push(vec![file("d/x", 3, b"inside", 0)]);
        let there = project(&index(sets.clone()), &path("d"), Policy::Newer).unwrap();
        let main = there.main.unwrap();
        assert_eq!((main.kind, main.role), (Kind::Folder, Role::Implied));
        assert_eq!((main.mode, main.mtime_ns, main.dot), (0o755, 0, None));
        assert_eq!(main.version, sets[0][0].version);
        let (at, copy) = &there.copies[0];
        assert_eq!(Some(at), copy_path(&sets[0][1], 6).as_ref());
        assert_eq!(copy.role, Role::Copy { of: path("d") });
        assert_eq!(copy.version, sets[0][1].version);
    }

    #[test]
    fn a_copy_finds_a_longer_name_or_none_where_its_own_is_taken() {
        let loser = file("f", 1, b"loser", 0);
        let [short, long] = [6, 32].map(|digits| copy_path(&loser, digits).unwrap());
        let at = |text: &str, bytes: &[u8]| vec![file(text, 2, bytes, 0)];
        let place = |sets| place_copy(&index(sets), &loser).unwrap();
        assert_eq!(place(vec![]), Some(short.clone()));
        assert_eq!(place(vec![at(short.as_str(), b"loser")]), None);
        let other = at(short.as_str(), b"other");
        assert_eq!(place(vec![other.clone()]), Some(long.clone()));
        assert_eq!(place(vec![other, at(long.as_str(), b"another")]), None);
        let inside = at(&format!("{}/in", short.as_str()), b"other");
        assert_eq!(place(vec![inside]), Some(long));
        let dead = vec![gone(short.as_str(), 2, 0)];
        assert_eq!(place(vec![dead]), Some(short));
    }

    #[test]
    fn the_originals_of_a_cut_name_are_looked_up() {
        let stem = "n".repeat(240);
        let name = |end: &str| format!("d/{stem}{end}");
        let loser = file(&name("z.txt"), 1, b"loser", 0);
        let copy = copy_path(&loser, 6).unwrap();
        let mut sets: Vec<_> = (0..100)
            .map(|at| vec![file(&name(&format!("{at:03}")), 1, b"1", 0)])
            .collect();
        for beside in [
            name("y.pdf"),
            name("z.txt"),
            format!("d/{}.txt", "o".repeat(240)),
        ] {
            sets.push(vec![file(&beside, 1, b"1", 0)]);
        }
        sets.push(vec![file("d/before", 1, b"1", 0)]);
        sets.push(vec![file(&name("dir/in.txt"), 1, b"1", 0)]);
        sets.push(vec![file(copy.as_str(), 1, b"1", 0)]);
        let index = index(sets);
        let cut = copied_from(&copy).unwrap();
        assert_eq!(
            originals(&index, &copy).unwrap(),
            [cut, path(&name("z.txt"))]
        );
        let short = copy_path(&file("d/f.txt", 1, b"x", 0), 6).unwrap();
        assert_eq!(originals(&index, &short).unwrap(), [path("d/f.txt")]);
        assert_eq!(originals(&index, &path("d/f.txt")).unwrap(), []);
    }

    #[test]
    fn a_row_says_what_was_wanted() {
        let entry = file("f", 1, b"1", 7);
        let wanted = wanted(&entry, entry.version.clone(), Role::Main);
        let stamp = Stamp {
            inode: 9,
            ..Stamp::default()
        };
        let row = wanted.row(stamp);
        assert_eq!((row.kind, row.mode, row.mtime_ns), (entry.kind, 0o644, 7));
        assert_eq!((row.stamp, row.role), (stamp, Role::Main));
        assert_eq!(row.version.of(author(1)), 1);
    }
}
