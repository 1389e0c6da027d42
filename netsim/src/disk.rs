//! A file system in memory with the manners of real ones: inodes, coarse times, folded names, and a root that can go away.
//!
//! It does not simulate two changes within one tick of the `ctime` clock (every change has a `ctime` of its own), hard links,
//! extended attributes, or a process that writes into a file that was unlinked under it.

use crate::names::{Case, Forms, composed, decomposed, folded};
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::{self, Features, Names, Stamp};
use std::collections::BTreeMap;

/// The manners of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manners {
    /// Upper and lower case.
    pub case: Case,
    /// Normal forms.
    pub forms: Forms,
    /// Modification times are multiples of this.
    pub mtime_step_ns: i64,
    /// Modes and links.
    pub features: Features,
}

/// What an inode is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file with its bytes.
    File(Vec<u8>),
    /// A folder: folded name to shown name and inode.
    Folder(BTreeMap<String, (String, u64)>),
    /// A symbolic link.
    Symlink(String),
}

#[derive(Debug, Clone)]
struct Inode {
    node: Node,
    mtime_ns: i64,
    ctime_ns: i64,
    mode: u32,
}

/// Whether the root is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mount {
    /// As always.
    There,
    /// No such folder.
    Missing,
    /// An empty folder without the mark.
    Unmarked,
}

/// A file system.
#[derive(Debug, Clone)]
pub struct Disk {
    /// Its manners.
    pub manners: Manners,
    /// Whether it can be seen.
    pub mount: Mount,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    ticks: i64,
}

const ROOT: u64 = 1;

impl Manners {
    /// Those of ext4.
    pub const LINUX: Manners = Manners {
        case: Case::Sensitive,
        forms: Forms::Distinct,
        mtime_step_ns: 1,
        features: Features {
            mode_bits: 0o777,
            symlinks: true,
            names: Names {
                case: sync::Case::Distinct,
                forms: sync::Forms::Distinct,
            },
        },
    };

    /// Whether two names can be one.
    pub fn folds(&self) -> bool {
        self.case != Case::Sensitive || self.forms != Forms::Distinct
    }

    /// What the machine is told of that.
    pub(crate) fn names(&self) -> Names {
        Names {
            case: match self.case {
                Case::Sensitive => sync::Case::Distinct,
                Case::Preserving => sync::Case::Folded,
            },
            forms: match self.forms {
                Forms::Distinct => sync::Forms::Distinct,
                Forms::Preserving | Forms::Decomposing => sync::Forms::Folded,
            },
        }
    }

    fn fold(&self, name: &str) -> String {
        folded(name, self.case, self.forms)
    }

    fn kept(&self, name: &str) -> String {
        match self.forms {
            Forms::Decomposing => decomposed(name),
            Forms::Distinct | Forms::Preserving => name.to_owned(),
        }
    }
}

impl Disk {
    /// An empty one.
    pub fn new(manners: Manners) -> Self {
        let root = Inode {
            node: Node::Folder(BTreeMap::new()),
            mtime_ns: 0,
            ctime_ns: 0,
            mode: 0o755,
        };
        Self {
            manners,
            mount: Mount::There,
            inodes: BTreeMap::from([(ROOT, root)]),
            next_inode: ROOT + 1,
            ticks: 0,
        }
    }

    /// The inode that this name leads to, in whatever form it is kept.
    fn lookup(&self, path: Option<&RelPath>) -> Option<u64> {
        let mut at = ROOT;
        if self.mount != Mount::There {
            return None;
        }
        for part in path.iter().flat_map(|path| path.components()) {
            let Node::Folder(children) = &self.inodes.get(&at)?.node else {
                return None;
            };
            at = children.get(&self.manners.fold(part))?.1;
        }
        Some(at)
    }

    /// What is at a path, found by any form of its name.
    pub fn node(&self, path: &RelPath) -> Option<&Node> {
        let inode = self.lookup(Some(path))?;
        self.inodes.get(&inode).map(|inode| &inode.node)
    }

    /// Whether the last part of the path is kept in just this form (on a decomposing file system: an equal one).
    pub fn is_exact(&self, path: &RelPath) -> bool {
        let shown = || {
            let folder = self.lookup(path.parent().as_ref())?;
            match &self.inodes.get(&folder)?.node {
                Node::Folder(children) => children.get(&self.manners.fold(path.name())),
                _ => None,
            }
        };
        shown().is_some_and(|(name, _)| match self.manners.forms {
            Forms::Decomposing => composed(name) == composed(path.name()),
            Forms::Distinct | Forms::Preserving => name == path.name(),
        })
    }

    /// Whether two paths lead to one inode.
    pub fn is_same(&self, one: &RelPath, other: &RelPath) -> bool {
        let inode = self.lookup(Some(one));
        inode.is_some() && inode == self.lookup(Some(other))
    }

    /// What `stat` says.
    pub fn stamp(&self, path: &RelPath) -> Option<Stamp> {
        let number = self.lookup(Some(path))?;
        let inode = self.inodes.get(&number)?;
        let bits = self.manners.features.mode_bits;
        Some(Stamp {
            size_bytes: match &inode.node {
                Node::File(bytes) => bytes.len() as u64,
                Node::Folder(_) | Node::Symlink(_) => 0,
            },
            mtime_ns: inode.mtime_ns,
            ctime_ns: inode.ctime_ns,
            inode: number,
            mode: match inode.node {
                Node::Symlink(_) => 0o777,
                _ => (inode.mode & bits) | (0o755 & !bits),
            },
        })
    }

    /// The names in a folder as the file system shows them; none when it is no folder.
    pub fn names(&self, folder: Option<&RelPath>) -> Option<Vec<String>> {
        let inode = self.lookup(folder)?;
        match &self.inodes.get(&inode)?.node {
            Node::Folder(children) => {
                Some(children.values().map(|(name, _)| name.clone()).collect())
            }
            Node::File(_) | Node::Symlink(_) => None,
        }
    }

    /// All paths at and below one, parents first.
    pub fn below(&self, top: Option<&RelPath>) -> Vec<RelPath> {
        let mut found: Vec<RelPath> = top
            .filter(|top| self.node(top).is_some())
            .cloned()
            .into_iter()
            .collect();
        for name in self.names(top).unwrap_or_default() {
            let child = match top {
                Some(top) => top.join(&name).ok(),
                None => RelPath::new(&name).ok(),
            };
            found.extend(child.iter().flat_map(|child| self.below(Some(child))));
        }
        found
    }

    /// Puts something at a path, over a file or link that is there. Folders on the way must exist.
    pub fn put(&mut self, path: &RelPath, node: Node, mode: u32, now_ns: i64) -> bool {
        let number = self.next_inode;
        let folder = self.lookup(path.parent().as_ref());
        let (key, shown) = (
            self.manners.fold(path.name()),
            self.manners.kept(path.name()),
        );
        let ctime_ns = self.tick(now_ns);
        let Some(Inode {
            node: Node::Folder(children),
            ..
        }) = folder.and_then(|folder| self.inodes.get_mut(&folder))
        else {
            return false;
        };
        self.next_inode += 1;
        let old = children.insert(key, (shown, number));
        if let Some((_, old)) = old {
            self.inodes.remove(&old);
        }
        let mtime_ns = self.coarse(now_ns);
        self.inodes.insert(
            number,
            Inode {
                node,
                mtime_ns,
                ctime_ns,
                mode,
            },
        );
        true
    }

    /// Changes the bytes of a file in place.
    pub fn rewrite(&mut self, path: &RelPath, bytes: Vec<u8>, now_ns: i64) -> bool {
        let (mtime_ns, ctime_ns) = (self.coarse(now_ns), self.tick(now_ns));
        let Some(inode) = self
            .lookup(Some(path))
            .and_then(|n| self.inodes.get_mut(&n))
        else {
            return false;
        };
        let Node::File(old) = &mut inode.node else {
            return false;
        };
        *old = bytes;
        (inode.mtime_ns, inode.ctime_ns) = (mtime_ns, ctime_ns);
        true
    }

    /// Sets times and mode, each where given. Also tells that only the inode changed (a hard link was made).
    pub fn touch(&mut self, path: &RelPath, mtime_ns: Option<i64>, mode: Option<u32>, now_ns: i64) {
        let ctime_ns = self.tick(now_ns);
        let coarse = mtime_ns.map(|mtime_ns| self.coarse(mtime_ns));
        if let Some(inode) = self
            .lookup(Some(path))
            .and_then(|n| self.inodes.get_mut(&n))
        {
            inode.mtime_ns = coarse.unwrap_or(inode.mtime_ns);
            inode.mode = mode.unwrap_or(inode.mode);
            inode.ctime_ns = ctime_ns;
        }
    }

    /// Removes whatever is there, with all below.
    pub fn remove(&mut self, path: &RelPath) -> bool {
        for path in self.below(Some(path)).into_iter().rev() {
            let folder = self.lookup(path.parent().as_ref());
            let key = self.manners.fold(path.name());
            if let Some(Inode {
                node: Node::Folder(children),
                ..
            }) = folder.and_then(|folder| self.inodes.get_mut(&folder))
                && let Some((_, gone)) = children.remove(&key)
            {
                self.inodes.remove(&gone);
            }
        }
        self.node(path).is_none()
    }

    /// Renames a file, link or tree, over a file or link that is there.
    pub fn rename(&mut self, from: &RelPath, to: &RelPath, now_ns: i64) -> bool {
        let (source, target) = (
            self.lookup(from.parent().as_ref()),
            self.lookup(to.parent().as_ref()),
        );
        let Some(number) = self.lookup(Some(from)) else {
            return false;
        };
        let target_is_folder = target
            .and_then(|folder| self.inodes.get(&folder))
            .is_some_and(|inode| matches!(inode.node, Node::Folder(_)));
        if !target_is_folder || to.is_below(from) {
            return false;
        }
        if self.node(to).is_some() && !self.is_same(from, to) && !self.remove(to) {
            return false;
        }
        let (old_key, key, shown) = (
            self.manners.fold(from.name()),
            self.manners.fold(to.name()),
            self.manners.kept(to.name()),
        );
        let ctime_ns = self.tick(now_ns);
        if let Some(Node::Folder(children)) = self.node_at(source) {
            children.remove(&old_key);
        }
        if let Some(Node::Folder(children)) = self.node_at(target) {
            children.insert(key, (shown, number));
        }
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.ctime_ns = ctime_ns;
        }
        true
    }

    fn node_at(&mut self, inode: Option<u64>) -> Option<&mut Node> {
        self.inodes.get_mut(&inode?).map(|inode| &mut inode.node)
    }

    fn coarse(&self, time_ns: i64) -> i64 {
        time_ns - time_ns.rem_euclid(self.manners.mtime_step_ns)
    }

    /// A `ctime` that was never given before, also when the clock jumps back.
    fn tick(&mut self, now_ns: i64) -> i64 {
        self.ticks += 1;
        now_ns - now_ns.rem_euclid(1_000_000) + self.ticks
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    #[test]
    fn names_fold_where_the_file_system_folds_them() {
        let manners = Manners {
            case: Case::Preserving,
            forms: Forms::Decomposing,
            ..Manners::LINUX
        };
        let mut disk = Disk::new(manners);
        assert!(disk.put(&path("Caf\u{e9}"), Node::File(b"1".into()), 0o644, 5));
        assert_eq!(disk.names(None).unwrap(), ["Cafe\u{301}"]);
        assert!(disk.is_exact(&path("Caf\u{e9}")) && !disk.is_exact(&path("caf\u{e9}")));
        assert!(disk.rename(&path("Caf\u{e9}"), &path("caf\u{e9}"), 6));
        assert_eq!(disk.names(None).unwrap(), ["cafe\u{301}"]);
    }

    #[test]
    fn trees_move_and_go_as_a_whole() {
        let mut disk = Disk::new(Manners::LINUX);
        for folder in ["a", "a/b"] {
            assert!(disk.put(&path(folder), Node::Folder(BTreeMap::new()), 0o755, 1));
        }
        assert!(disk.put(&path("a/b/f"), Node::File(b"1".into()), 0o644, 1));
        let before = disk.stamp(&path("a/b/f")).unwrap();
        assert!(disk.rename(&path("a"), &path("c"), 2));
        assert_eq!(disk.stamp(&path("c/b/f")).unwrap(), before);
        assert!(!disk.rename(&path("c"), &path("c/b/d"), 3));
        assert!(disk.remove(&path("c")) && disk.below(None).is_empty());
    }
}
