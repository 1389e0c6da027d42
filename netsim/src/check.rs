//! The checkers. Each says what it verifies and what it does not.

use crate::disk::Node;
use crate::host::Host;
use crate::ledger::tokens;
use crate::names::{composed, may_be_copy};
use crate::plan::Fault;
use crate::world::World;
use shoal_protocol::limits::{
    SYNC_FETCHES_MAX, SYNC_MESSAGE_MAX_BYTES, SYNC_PAGE_MAX_ENTRIES, SYNC_ROUND_MAX_PATHS,
};
use shoal_protocol::path::RelPath;
use shoal_protocol::sync::conflict::copied_from;
use shoal_protocol::sync::{Action, Entry, Index, Message, Op, OpKind};
use std::collections::{BTreeMap, BTreeSet};

/// Operations of one action, at most: some for each path of a round, and for what has to make way for them.
const OPERATIONS_MAX: usize = 8 * SYNC_ROUND_MAX_PATHS;
/// Messages that a host may send, at rest, because everybody looked at everything again.
const IDLE_MESSAGES_MAX: u64 = 0;

/// What a checker found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The machine gave up.
    #[error("the machine failed: {0}")]
    Broken(String),
    /// Work without end.
    #[error("there is no rest after {steps} steps without any new deed")]
    Restless {
        /// How many.
        steps: u64,
    },
    /// A machine did something although nothing had changed.
    #[error("#{host} is not quiet: {what}")]
    NotQuiet {
        /// Who.
        host: usize,
        /// What it did.
        what: String,
    },
    /// Trees differ at rest.
    #[error("#{host} differs from #{other} at {path:?}: {here:?} and {there:?}")]
    Differs {
        /// One.
        host: usize,
        /// The other.
        other: usize,
        /// Where.
        path: RelPath,
        /// What the one has.
        here: Option<String>,
        /// What the other has.
        there: Option<String>,
    },
    /// Bytes are nowhere.
    #[error("what #{host} wrote to {path:?} is lost: {token}")]
    Lost {
        /// The token.
        token: String,
        /// Who wrote it.
        host: usize,
        /// Where it was written first.
        path: RelPath,
    },
    /// Something is there that nobody made in this round.
    #[error("{path:?} has come back, or came from nowhere")]
    CameBack {
        /// What.
        path: RelPath,
    },
    /// Something is gone that nobody removed in this round.
    #[error("{path:?} went, and nobody removed it")]
    Went {
        /// What.
        path: RelPath,
    },
    /// An operation would take away what nobody touched.
    #[error("#{host} takes away {path:?} without a cause")]
    NoCause {
        /// Who.
        host: usize,
        /// What.
        path: RelPath,
    },
    /// Too much at once.
    #[error("#{host}: {what} is {count}, and {limit} is the most")]
    TooMuch {
        /// Who.
        host: usize,
        /// Of what.
        what: &'static str,
        /// How much.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// What is not written down was told.
    #[error(
        "#{host} tells of its number {seq}, and {durable} is the last that would survive a power cut"
    )]
    TooEarly {
        /// Who.
        host: usize,
        /// The number.
        seq: u64,
        /// The last that is durable.
        durable: u64,
    },
    /// Honest machines fell out.
    #[error("#{host} closes the connection to #{peer}: {why}")]
    Disconnected {
        /// Who.
        host: usize,
        /// To whom.
        peer: usize,
        /// Why.
        why: &'static str,
    },
    /// Two runs of one seed.
    #[error("two runs of the same seed differ")]
    Indeterminate,
}

/// What was counted since everybody began to look, or misfortune ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count {
    pub(crate) steps: u64,
    messages: u64,
    /// The first thing that a quiet machine would not do, with who did it.
    deed: Option<(usize, String)>,
}

impl World {
    /// **Bounds.** No message, no list of operations and no set of fetches is larger than its limit.
    ///
    /// Does not verify the memory that the machine itself needs.
    pub(crate) fn check_action(&mut self, host: usize, action: &Action) {
        let (what, count, limit) = match action {
            Action::Send { message, .. } => {
                self.count.messages += 1;
                match message {
                    Message::Entries { entries, .. } if entries.len() > SYNC_PAGE_MAX_ENTRIES => {
                        let most = SYNC_PAGE_MAX_ENTRIES;
                        ("a page of entries", entries.len(), most)
                    }
                    _ => {
                        let bytes = message.encode().len();
                        ("a message", bytes, SYNC_MESSAGE_MAX_BYTES)
                    }
                }
            }
            Action::Apply(ops) => ("a list of operations", ops.len(), OPERATIONS_MAX),
            Action::Fetch { .. } => ("fetches", self.hosts[host].fetching.len(), SYNC_FETCHES_MAX),
            _ => ("", 0, 1),
        };
        if count > limit {
            self.fail(Violation::TooMuch {
                host,
                what,
                count,
                limit,
            });
        }
        if let Action::Send { message, .. } = action {
            self.check_durable(host, message);
        }
        let loud = match action {
            Action::Persist(_) | Action::Fetch { .. } | Action::Apply(_) => true,
            Action::Send { .. } => self.count.messages > IDLE_MESSAGES_MAX,
            _ => false,
        };
        if loud && self.count.deed.is_none() {
            let what: String = format!("{action:?}").chars().take(2_000).collect();
            self.count.deed = Some((host, what));
        }
    }

    /// **Written down first.** Whatever a machine tells of what it wrote itself would survive a power cut.
    ///
    /// Does not verify what it tells of others or of an earlier epoch of its own, nor what it does to the tree.
    fn check_durable(&mut self, host: usize, message: &Message) {
        let Message::Entries { entries, .. } = message else {
            return;
        };
        let device = self.hosts[host].device;
        let own = entries.iter().filter(|it| it.author.device == device);
        let Some(dot) = own.map(Entry::dot).max() else {
            return;
        };
        let knowledge = self.hosts[host].durable.knowledge().unwrap_or_default();
        let meta = self.hosts[host].visible.meta().unwrap_or_default();
        let durable = knowledge.get(&dot.author).map_or(0, |seen| seen.seq);
        let is_present = meta.is_some_and(|meta| meta.author == dot.author);
        if is_present && dot.seq > durable {
            let seq = dot.seq;
            self.fail(Violation::TooEarly { host, seq, durable });
        }
    }

    /// **Causes.** Whatever an operation takes away (by removing, moving away or writing over), some user somewhere removed,
    /// moved or wrote there, ever.
    ///
    /// Does not verify that this deed is the very reason: an older deed at the same path excuses a newer mistake. Copies of
    /// conflicts may always go. Where some file system folds names, so may what is below a folder that some user removed or
    /// renamed: what another user put into it meanwhile may have come to that device right after, under the old name, which the
    /// disk takes for the folder's new one.
    pub(crate) fn check_cause(&mut self, host: usize, op: &Op) {
        if op.path.as_str().contains(".conflict-") {
            return;
        }
        let ever = &self.ledger.ever;
        let folds = self.plan.has(Fault::Names);
        let went_with = |path: &RelPath| {
            let mut folders = ever.removed.iter();
            folds && folders.any(|folder| path.is_below(folder))
        };
        let gone = |path: &RelPath| {
            let path = self.ledger.canonical(path);
            // A folder at the same path wins: what was there is put aside.
            !ever.removed.contains(&path)
                && !went_with(&path)
                && !ever.folders.contains(&path)
                && !path.as_str().contains(".conflict-")
        };
        let disk = &self.hosts[host].disk;
        let without_cause = match &op.kind {
            OpKind::Remove => gone(&op.path).then_some(&op.path),
            OpKind::Move { from, .. } => gone(from).then_some(from),
            OpKind::Write { content, .. } => match disk.node(&op.path) {
                Some(Node::File(bytes))
                    if shoal_protocol::id::ContentHash::of(bytes) != *content =>
                {
                    let path = self.ledger.canonical(&op.path);
                    (!ever.wrote.contains(&path)).then_some(&op.path)
                }
                _ => None,
            },
            _ => None,
        };
        // What was never wholly taken in may be put aside under the name of a copy.
        if let Some(path) = without_cause.cloned() {
            self.fail(Violation::NoCause { host, path });
        }
    }

    /// **Quiet.** When everybody has just looked at everything and found nothing new, no machine writes, sends, fetches or
    /// changes anything.
    ///
    /// Does not verify how much is said on the way there, except that it ends.
    pub(crate) fn check_quiet(&mut self) -> Result<(), Violation> {
        match self.count.deed.take() {
            Some((host, what)) => Err(Violation::NotQuiet { host, what }),
            None => Ok(()),
        }
    }

    /// All checks of a world at rest.
    pub(crate) fn check_rest(&mut self) -> Result<(), Violation> {
        let members = self.hosts[..self.members()].iter();
        let mut trees: Vec<_> = members.map(tree).collect();
        self.spoil_trees(&mut trees);
        self.check_same(&self.comparable(&trees))?;
        self.check_attributes(&trees)?;
        self.check_bytes()?;
        self.check_paths(&trees)?;
        self.rest = trees.into_iter().next();
        self.ledger.next_round();
        Ok(())
    }

    /// **Identical trees.** At rest all hosts of the group have the same paths, kinds, bytes and link targets.
    ///
    /// Paths that a host has reported as impossible for its file system are left out, with what is
    /// below, and so are names that only differ in what some file system folds.
    fn check_same(&self, trees: &[BTreeMap<RelPath, String>]) -> Result<(), Violation> {
        let Some(first) = trees.first() else {
            return Ok(());
        };
        for (host, tree) in trees.iter().enumerate().skip(1) {
            let paths: BTreeSet<&RelPath> = first.keys().chain(tree.keys()).collect();
            for path in paths {
                let (here, there) = (tree.get(path), first.get(path));
                if here != there && !self.excused(host, path) && !self.excused(0, path) {
                    return Err(Violation::Differs {
                        host,
                        other: 0,
                        path: path.clone(),
                        here: here.cloned(),
                        there: there.cloned(),
                    });
                }
            }
        }
        Ok(())
    }

    /// **Identical times and modes** of files, where all file systems keep them as they are.
    ///
    /// Does not verify those of folders and links, nor anything where some file system is coarse or folds names.
    fn check_attributes(&self, trees: &[BTreeMap<RelPath, String>]) -> Result<(), Violation> {
        if self.plan.has(Fault::Names) || self.plan.has(Fault::Coarse) {
            return Ok(());
        }
        let files = trees.first().into_iter().flatten();
        for (path, _) in files.filter(|(_, what)| what.starts_with("file")) {
            let told = |host: usize| {
                let stamp = self.hosts[host].disk.stamp(path)?;
                Some(format!("time {} mode {:o}", stamp.mtime_ns, stamp.mode))
            };
            for host in 1..self.members() {
                let (here, there) = (told(host), told(0));
                if here != there && !self.excused(host, path) && !self.excused(0, path) {
                    return Err(Violation::Differs {
                        host,
                        other: 0,
                        path: path.clone(),
                        here,
                        there,
                    });
                }
            }
        }
        Ok(())
    }

    /// Trees without what cannot be compared: where names fold, only what has no twin on any host, by its folded name.
    fn comparable(&self, trees: &[BTreeMap<RelPath, String>]) -> Vec<BTreeMap<RelPath, String>> {
        if !self.plan.has(Fault::Names) {
            return trees.to_vec();
        }
        let mut twins = BTreeSet::new();
        let mut shown: BTreeMap<RelPath, RelPath> = BTreeMap::new();
        for path in trees.iter().flat_map(BTreeMap::keys) {
            let composed = composed(path.as_str());
            let Ok(composed) = RelPath::new(&composed) else {
                continue;
            };
            let folded = self.ledger.canonical(path);
            if *shown.entry(folded.clone()).or_insert(composed.clone()) != composed {
                twins.insert(folded);
            }
        }
        for tree in trees {
            let mut seen = BTreeSet::new();
            twins.extend(
                tree.keys()
                    .map(|path| self.ledger.canonical(path))
                    .filter(|path| !seen.insert(path.clone())),
            );
        }
        let lone = |path: &RelPath| !twins.iter().any(|twin| path == twin || path.is_below(twin));
        let told = |tree: &BTreeMap<RelPath, String>| {
            let rows = tree
                .iter()
                .map(|(path, what)| (self.ledger.canonical(path), what.clone()));
            rows.filter(|(path, _)| lone(path)).collect()
        };
        trees.iter().map(told).collect()
    }

    /// Whether a host said that it cannot have a path (or one that folds to it, or a folder above).
    fn excused(&self, host: usize, path: &RelPath) -> bool {
        let canonical = self.ledger.canonical(path);
        self.hosts[host].problems.keys().any(|problem| {
            let problem = self.ledger.canonical(problem);
            canonical == problem || canonical.is_below(&problem)
        })
    }

    /// **No byte is lost.** Every token that a user typed and no user covered is in a file of every host (where names are
    /// folded: of some host).
    ///
    /// Does not verify tokens that a user removed somewhere while they should have lived on elsewhere, bytes that are the same
    /// everywhere, or in which file a token is.
    fn check_bytes(&self) -> Result<(), Violation> {
        let folds = self.plan.has(Fault::Names) || self.plan.has(Fault::Coarse);
        let all: Vec<BTreeSet<Vec<u8>>> = self.hosts[..self.members()]
            .iter()
            .map(typed_there)
            .collect();
        let everywhere = match folds {
            true => vec![all.into_iter().flatten().collect()],
            false => all,
        };
        for there in everywhere {
            if let Some((token, host, path)) = self.ledger.lost(&there).into_iter().next() {
                return Err(Violation::Lost {
                    token,
                    host,
                    path: path.clone(),
                });
            }
        }
        Ok(())
    }

    /// **Nothing comes back, nothing goes by itself.** Compared with the last rest, every new path was made by a user in this
    /// round, every path that went was removed by one, and a file that users only removed is gone.
    ///
    /// Does not verify files whose conflict copies were edited or settled meanwhile (what wins is then said again), folders that went (an implied one goes with what is in it), copies of conflicts, runs in which somebody
    /// restored a home or asked for deleted files to come back, nor file systems that fold names.
    fn check_paths(&self, trees: &[BTreeMap<RelPath, String>]) -> Result<(), Violation> {
        let (Some(before), Some(after)) = (&self.rest, trees.first()) else {
            return Ok(());
        };
        let round = &self.ledger.round;
        if self.ledger.ever.brought_back
            || self.plan.has(Fault::Names)
            || self.plan.has(Fault::Coarse)
        {
            return Ok(());
        }
        let is_copy = |path: &RelPath| path.as_str().contains(".conflict-");
        for (path, what) in before {
            let only_removed = round.removed.contains(path) && !round.wrote.contains(path);
            let mut touched = round.wrote.union(&round.removed);
            let copy_touched = touched.any(|other| may_be_copy(other, path));
            match after.get(path) {
                Some(_) if copy_touched => {}
                Some(_) if only_removed && !is_copy(path) && !what.starts_with("folder") => {
                    return Err(Violation::CameBack { path: path.clone() });
                }
                None if !round.removed.contains(path)
                    && !is_copy(path)
                    && !what.starts_with("folder") =>
                {
                    return Err(Violation::Went { path: path.clone() });
                }
                _ => {}
            }
        }
        for path in after.keys() {
            if !before.contains_key(path) && !round.wrote.contains(path) && !is_copy(path) {
                return Err(Violation::CameBack { path: path.clone() });
            }
        }
        Ok(())
    }
}

impl World {
    /// What every host knows of the path that a violation is about, for whoever looks for the cause.
    pub fn explain(&self, violation: &Violation) -> String {
        let path = match violation {
            Violation::Differs { path, .. }
            | Violation::Lost { path, .. }
            | Violation::CameBack { path }
            | Violation::Went { path }
            | Violation::NoCause { path, .. } => path,
            _ => return String::new(),
        };
        let folded = self.ledger.canonical(path);
        let of = copied_from(&folded);
        let is_meant = |path: &RelPath| {
            let path = self.ledger.canonical(path);
            path == folded || Some(path) == of
        };
        let mut text = String::new();
        for (number, host) in self.hosts.iter().enumerate() {
            let sets = host.visible.all_entries().iter();
            for (path, set) in sets.filter(|(path, _)| is_meant(path)) {
                text.push_str(&format!("#{number} {path:?} {set:?}\n"));
            }
            let rows = host.visible.all_applied().iter();
            for (path, row) in rows.filter(|(path, _)| is_meant(path)) {
                text.push_str(&format!("#{number} {path:?} applied {row:?}\n"));
            }
        }
        text
    }
}

/// A tree as text, path by path.
pub(crate) fn tree(host: &Host) -> BTreeMap<RelPath, String> {
    let disk = &host.disk;
    let what = |path: &RelPath| match disk.node(path) {
        Some(Node::File(bytes)) => format!("file {:?}", String::from_utf8_lossy(bytes)),
        Some(Node::Folder(_)) => "folder".to_owned(),
        Some(Node::Symlink(target)) => format!("link {target:?}"),
        None => "nothing".to_owned(),
    };
    let paths = disk.below(None).into_iter();
    paths.map(|path| (path.clone(), what(&path))).collect()
}

fn typed_there(host: &Host) -> BTreeSet<Vec<u8>> {
    let mut there = BTreeSet::new();
    for path in host.disk.below(None) {
        if let Some(Node::File(bytes)) = host.disk.node(&path) {
            there.extend(tokens(bytes).map(<[u8]>::to_vec));
        }
    }
    there
}
