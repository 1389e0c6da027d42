//! The disk told page by page, with the hash of every file.

use super::OWN_FOLDER;
use super::content::{Hashing, Job, Reader};
use super::folder::{FolderLook, look_into};
use super::pages::Pages;
use super::root::{Replica, RootProblem};
use crate::entry::{Problem, ProblemKind};
use crate::hash::Progress;
use shoal_jail::JailErrorKind;
use shoal_protocol::limits::PATH_MAX_DEPTH;
use shoal_protocol::path::{PathError, RelPath};
use shoal_protocol::sync::{Found, Index, IndexError, Page};
use std::collections::{BTreeSet, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Names in pages that wait for hashes at most: bounds the memory of a scan.
const WAITING_MAX_NAMES: usize = 16 * 1024;

/// How much is looked at.
#[derive(Debug, Clone, Copy)]
pub enum Look<'a> {
    /// The whole tree.
    Everything,
    /// These folders (none: the root), and what is below them where a folder is new. A folder that is gone
    /// is looked at through the nearest one above it that is there.
    Folders(&'a [Option<RelPath>]),
}

/// How to scan.
#[derive(Clone, Copy)]
pub struct ScanOptions<'a> {
    /// Threads that hash; none are started for a few small files.
    pub threads: usize,
    /// Told how many bytes and files were hashed.
    pub progress: &'a dyn Progress,
    /// Ends the scan early.
    pub cancel: &'a AtomicBool,
}

/// What a scan tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// For the machine: `Event::Scan(Scan::Page(..))`. The page of a folder comes before those of the folders in it.
    Page(Page),
    /// For people: why something in the next pages is `Unknown`, or not in them because its name is no path.
    /// [`ProblemKind::Changing`] means that its folder is worth another look in a while.
    Problem(Problem),
}

/// Numbers of a scan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanSummary {
    /// Files, folders and links that were looked at.
    pub present: u64,
    /// Files that had to be read.
    pub hashed: u64,
}

/// Why a scan broke off. What was told stays true.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Something is wrong with the root: `Event::Scan(Scan::Failed(problem.kind()))`.
    #[error("{0}")]
    Root(#[from] RootProblem),
    /// The index could not be read.
    #[error("{0}")]
    Index(#[from] IndexError),
    /// The caller said so.
    #[error("the look at the folder was cancelled")]
    Cancelled,
}

impl Replica {
    /// Looks at the disk and tells what is there. Between `Scan::Started` and `Scan::Finished`, which are the caller's.
    ///
    /// `index` says which files need not be read (their stamp is known), which folders are new, and which
    /// names to look for once more when a listing does not have them. Memory: the names of one folder, and
    /// pages of up to 16,384 names that wait for hashes, whatever the size of the tree.
    ///
    /// # Errors
    /// See [`ScanError`]. The root is checked before, and after each folder that has become empty.
    pub fn scan(
        &self,
        look: Look<'_>,
        index: &impl Index,
        options: &ScanOptions<'_>,
        tell: &mut dyn FnMut(Told),
    ) -> Result<ScanSummary, ScanError> {
        self.check()?;
        let reader = Reader {
            replica: self,
            progress: options.progress,
            cancel: options.cancel,
        };
        let jobs = Mutex::new(None);
        let walked = std::thread::scope(|threads| {
            let mut walk = Walk {
                replica: self,
                options,
                index,
                hashing: Hashing::new(threads, &reader, &jobs, options.threads),
                pages: Pages::default(),
                tell,
                summary: ScanSummary::default(),
            };
            match look {
                Look::Everything => walk.tree(None, Depth::Everything, &mut HashSet::new())?,
                Look::Folders(folders) => walk.folders(folders)?,
            }
            walk.flush()?;
            Ok::<_, ScanError>(walk.summary)
        });
        let summary = walked?;
        self.check()?;
        Ok(summary)
    }
}

/// Which folders below one are entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Everything,
    NewOnly,
}

struct Walk<'a, 'scope, 'env, I: Index> {
    replica: &'a Replica,
    options: &'a ScanOptions<'a>,
    index: &'a I,
    hashing: Hashing<'scope, 'env>,
    pages: Pages,
    tell: &'a mut dyn FnMut(Told),
    summary: ScanSummary,
}

impl<I: Index> Walk<'_, '_, '_, I> {
    fn folders(&mut self, folders: &[Option<RelPath>]) -> Result<(), ScanError> {
        let existing: BTreeSet<_> = folders
            .iter()
            .map(|folder| self.nearest(folder.clone()))
            .collect();
        let mut seen = HashSet::new();
        for folder in existing {
            self.tree(folder, Depth::NewOnly, &mut seen)?;
        }
        Ok(())
    }

    /// The folder, or the nearest one above it that is a folder of this fileset.
    fn nearest(&self, mut folder: Option<RelPath>) -> Option<RelPath> {
        while let Some(path) = folder {
            if !super::is_reserved(path.as_str())
                && self.replica.jail().open_dir(path.as_str()).is_ok()
            {
                return Some(path);
            }
            folder = path.parent();
        }
        None
    }

    /// A folder, and those below it, each before what is in it.
    fn tree(
        &mut self,
        top: Option<RelPath>,
        depth: Depth,
        seen: &mut HashSet<Option<RelPath>>,
    ) -> Result<(), ScanError> {
        let mut left = vec![top];
        while let Some(folder) = left.pop() {
            if self.options.cancel.load(Ordering::Relaxed) {
                return Err(ScanError::Cancelled);
            }
            if depth == Depth::NewOnly && !seen.insert(folder.clone()) {
                continue;
            }
            let below = self.folder(folder.as_ref(), depth)?;
            // The last one is taken first: so they are in the order of their names.
            left.extend(below.into_iter().rev().map(Some));
        }
        Ok(())
    }

    /// All pages of a folder. Gives the folders in it that are to be entered.
    fn folder(
        &mut self,
        folder: Option<&RelPath>,
        depth: Depth,
    ) -> Result<Vec<RelPath>, ScanError> {
        let mut look = match FolderLook::open(self.replica, folder) {
            Ok(look) => look,
            Err(error) if folder.is_none() => return Err(RootProblem::from(error).into()),
            Err(error) => return self.unlisted(folder, &error.kind),
        };
        let mut enter = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let number = self.pages.next_number();
            let part = look_into(&mut look, self.replica, self.index, after.as_deref())?;
            let mut slots: Vec<Option<Found>> = Vec::with_capacity(part.names.len());
            self.summary.present += part.names.len() as u64;
            for (position, named) in part.names.into_iter().enumerate() {
                if let Some(path) = named.folder
                    && (depth == Depth::Everything || named.is_new)
                {
                    enter.push(path);
                }
                if let Some((path, size_bytes)) = named.to_hash {
                    self.summary.hashed += 1;
                    self.hashing.add(Job {
                        path,
                        size_bytes,
                        page: number,
                        index: position,
                    });
                }
                slots.push(named.found);
            }
            let page = Page {
                folder: folder.cloned(),
                after: after.take(),
                upto: part.upto.clone(),
                found: Vec::new(),
            };
            self.pages.push(page, slots, part.problems);
            self.advance()?;
            match part.upto {
                Some(upto) => after = Some(upto),
                None => break,
            }
        }
        let deep = |path: &RelPath| path.components().count() >= PATH_MAX_DEPTH;
        for path in enter.extract_if(.., |path| deep(path)) {
            let kind = ProblemKind::Path(PathError::LongPath);
            (self.tell)(Told::Problem(super::pages::problem(&path, kind)));
        }
        Ok(enter)
    }

    /// A folder that could be opened a moment ago: no page is told, so nothing is concluded about it.
    fn unlisted(
        &mut self,
        folder: Option<&RelPath>,
        kind: &JailErrorKind,
    ) -> Result<Vec<RelPath>, ScanError> {
        if let Some(folder) = folder
            && !matches!(kind, JailErrorKind::NotFound)
        {
            let kind = super::folder::problem_of(kind);
            (self.tell)(Told::Problem(super::pages::problem(folder, kind)));
        }
        Ok(Vec::new())
    }

    /// Tells what is ready; waits when too much is not.
    fn advance(&mut self) -> Result<(), ScanError> {
        while let Some(hashed) = self.hashing.ready() {
            self.pages.answer(hashed);
        }
        self.pages.deliver(self.tell);
        while self.pages.names() > WAITING_MAX_NAMES && !self.pages.is_ready() {
            self.wait()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ScanError> {
        self.pages.deliver(self.tell);
        while self.pages.names() > 0 {
            self.wait()?;
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(), ScanError> {
        if self.options.cancel.load(Ordering::Relaxed) {
            return Err(ScanError::Cancelled);
        }
        match self.hashing.next() {
            Some(hashed) => self.pages.answer(hashed),
            // Every job has an answer, unless a thread died.
            None => return Err(ScanError::Cancelled),
        }
        self.pages.deliver(self.tell);
        Ok(())
    }
}

/// Whether a name is the own folder of Shoal, in any case.
pub(super) fn is_own(name: &str) -> bool {
    name.eq_ignore_ascii_case(OWN_FOLDER)
}
