//! Who is a member, from a set of records: a function of the set alone.

use super::GroupError;
use super::graph::{Graph, Node, Set};
use super::record::{Record, Statement};
use crate::id::{DeviceId, FilesetId, RecordHash};
use crate::limits::GROUP_MAX_MEMBERS;
use std::collections::{BTreeMap, HashMap};

/// A device of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its key.
    pub device: DeviceId,
    /// Its name.
    pub name: String,
    /// Who admitted it; itself, if it founded the group.
    pub admitted_by: DeviceId,
}

/// What a device is to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It belongs to it.
    Member,
    /// It belonged to it.
    Removed,
    /// It never did.
    Stranger,
}

/// Counters by fileset and epoch.
type Counters = BTreeMap<(FilesetId, u32), u64>;

/// What a set of records amounts to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct View {
    members: Vec<Member>,
    removed: BTreeMap<DeviceId, Counters>,
}

impl View {
    /// The members by all records, or by those of `within`, which must hold all that they descend from.
    pub(super) fn of(graph: &Graph, within: Option<&Set>) -> Self {
        let mut judge = Judge::new(graph, within);
        judge.judge_removals();
        judge.view()
    }

    /// Whether the author may say this, seen from here.
    pub(super) fn may_say(&self, record: &Record) -> Result<(), GroupError> {
        let is_member = |device| self.standing(device) == Standing::Member;
        if !is_member(&record.author) {
            return Err(GroupError::NotAMember);
        }
        match &record.statement {
            Statement::Found { .. } => Err(GroupError::OtherGroup),
            Statement::Admit { device, .. } if is_member(device) => Err(GroupError::AlreadyMember),
            Statement::Admit { .. } if self.members.len() >= GROUP_MAX_MEMBERS => {
                Err(GroupError::Full)
            }
            Statement::Admit { .. } => Ok(()),
            Statement::Remove { device, .. } | Statement::Rename { device, .. } => {
                let found = is_member(device).then_some(());
                found.ok_or(GroupError::NoSuchMember)
            }
        }
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(super) fn standing(&self, device: &DeviceId) -> Standing {
        if self.members.iter().any(|it| it.device == *device) {
            Standing::Member
        } else if self.removed.contains_key(device) {
            Standing::Removed
        } else {
            Standing::Stranger
        }
    }

    /// Removed devices that were not admitted again.
    pub(super) fn removed(&self) -> impl Iterator<Item = &DeviceId> {
        let is_removed = |device: &&DeviceId| self.standing(device) == Standing::Removed;
        self.removed.keys().filter(is_removed)
    }

    pub(super) fn last_accepted(
        &self,
        device: &DeviceId,
        fileset: &FilesetId,
        epoch: u32,
    ) -> Option<u64> {
        let counters = self.removed.get(device)?;
        counters.get(&(*fileset, epoch)).copied()
    }
}

/// Weighs records against each other.
struct Judge<'a> {
    graph: &'a Graph,
    within: Option<&'a Set>,
    /// Admissions of each device, the first record among them.
    admissions: HashMap<DeviceId, Vec<usize>>,
    /// Removals that stand, by the device that they put out.
    removals: HashMap<DeviceId, Vec<usize>>,
    /// What is known to stand or not, by the removals so far.
    known: HashMap<usize, bool>,
}

impl<'a> Judge<'a> {
    fn new(graph: &'a Graph, within: Option<&'a Set>) -> Self {
        let mut admissions: HashMap<DeviceId, Vec<usize>> = HashMap::new();
        for (at, node) in graph.nodes(within) {
            if let Some(device) = admitted(&node.record) {
                admissions.entry(device).or_default().push(at);
            }
        }
        Self {
            graph,
            within,
            admissions,
            removals: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// Takes the removals by their authors' first admission, and keeps those that stand.
    fn judge_removals(&mut self) {
        let mut removals: Vec<(_, usize, DeviceId)> = Vec::new();
        for (at, node) in self.graph.nodes(self.within) {
            if let Statement::Remove { device, .. } = node.record.statement {
                removals.push(((self.rank(&node.record.author), node.order()), at, device));
            }
        }
        removals.sort();
        for (_, at, device) in removals {
            if self.stands(at) {
                self.removals.entry(device).or_default().push(at);
                self.known.clear();
            }
        }
    }

    /// Earlier-admitted devices come first; a device that was admitted again keeps its rank.
    fn rank(&self, device: &DeviceId) -> (u32, RecordHash) {
        let admissions = self.admissions.get(device).into_iter().flatten();
        let orders = admissions.filter_map(|at| self.graph.node(*at));
        orders
            .map(Node::order)
            .min()
            .unwrap_or((u32::MAX, RecordHash([0xff; 32])))
    }

    /// Whether a record counts: no removal that stands has put its author out beside it, and an admission of the
    /// author that it descends from counts too.
    fn stands(&mut self, at: usize) -> bool {
        if let Some(known) = self.known.get(&at) {
            return *known;
        }
        let Some(node) = self.graph.node(at) else {
            return false;
        };
        let stands = match node.record.statement {
            Statement::Found { .. } => true,
            _ => !self.put_out_beside(at, node) && self.admitted_before(node),
        };
        self.known.insert(at, stands);
        stands
    }

    fn put_out_beside(&self, at: usize, node: &Node) -> bool {
        let removals = self.removals.get(&node.record.author);
        removals.into_iter().flatten().any(|removal| {
            let seen_by_removal = self
                .graph
                .node(*removal)
                .is_some_and(|it| it.past.contains(at));
            *removal != at && !seen_by_removal && !node.past.contains(*removal)
        })
    }

    fn admitted_before(&mut self, node: &Node) -> bool {
        let author = node.record.author;
        let admissions = self.admissions.get(&author).cloned().unwrap_or_default();
        admissions.into_iter().any(|admission| {
            node.past.contains(admission)
                && self.outlasts_removals(&author, admission, Some(&node.past))
                && self.stands(admission)
        })
    }

    /// Whether an admission has seen all removals of its device that stand (among `seen`).
    fn outlasts_removals(&self, device: &DeviceId, admission: usize, seen: Option<&Set>) -> bool {
        let Some(node) = self.graph.node(admission) else {
            return false;
        };
        let mut removals = self.removals.get(device).into_iter().flatten();
        removals.all(|removal| {
            seen.is_some_and(|seen| !seen.contains(*removal)) || node.past.contains(*removal)
        })
    }

    fn view(mut self) -> View {
        let mut ranked = Vec::new();
        for (device, admissions) in self.admissions.clone() {
            let mut in_force = admissions
                .into_iter()
                .filter(|at| self.outlasts_removals(&device, *at, None) && self.stands(*at));
            if let Some(admission) = in_force.next() {
                let rest = in_force.collect::<Vec<_>>();
                let by = self.first_author(admission, &rest).unwrap_or(device);
                ranked.push((self.rank(&device), device, by));
            }
        }
        ranked.sort();
        let mut names = self.names();
        let members = ranked.into_iter().map(|(_, device, admitted_by)| Member {
            device,
            name: names.remove(&device).unwrap_or_default(),
            admitted_by,
        });
        let members: Vec<Member> = members.collect();
        let is_member = |device: &DeviceId| members.iter().any(|it| it.device == *device);
        let mut removed = BTreeMap::new();
        for (device, removals) in &self.removals {
            if !is_member(device) {
                removed.insert(*device, self.counters(removals));
            }
        }
        View { members, removed }
    }

    /// Of several admissions that no device had seen together, the earliest names who admitted.
    fn first_author(&self, one: usize, others: &[usize]) -> Option<DeviceId> {
        let all = std::iter::once(&one).chain(others);
        let nodes = all.filter_map(|at| self.graph.node(*at));
        let first = nodes.min_by_key(|node| node.order())?;
        Some(first.record.author)
    }

    /// The name of each device that the last record which stands gives it.
    fn names(&mut self) -> HashMap<DeviceId, String> {
        let mut given: Vec<_> = Vec::new();
        for (at, node) in self.graph.nodes(self.within) {
            if let Some((device, name)) = named(&node.record)
                && self.stands(at)
            {
                given.push((node.order(), device, name.to_owned()));
            }
        }
        given.sort();
        given
            .into_iter()
            .map(|(_, device, name)| (device, name))
            .collect()
    }

    /// What several removals accept together: who accepted more keeps it.
    fn counters(&self, removals: &[usize]) -> Counters {
        let mut counters = Counters::new();
        let nodes = removals.iter().filter_map(|at| self.graph.node(*at));
        for node in nodes {
            let Statement::Remove { accepted, .. } = &node.record.statement else {
                continue;
            };
            for one in accepted {
                let counter = counters.entry((one.fileset, one.epoch)).or_default();
                *counter = one.counter.max(*counter);
            }
        }
        counters
    }
}

/// The device that a record makes a member.
fn admitted(record: &Record) -> Option<DeviceId> {
    match &record.statement {
        Statement::Found { .. } => Some(record.author),
        Statement::Admit { device, .. } => Some(*device),
        _ => None,
    }
}

/// The device that a record names.
fn named(record: &Record) -> Option<(DeviceId, &str)> {
    match &record.statement {
        Statement::Found { name, .. } => Some((record.author, name)),
        Statement::Admit { device, name } | Statement::Rename { device, name } => {
            Some((*device, name))
        }
        Statement::Remove { .. } => None,
    }
}
