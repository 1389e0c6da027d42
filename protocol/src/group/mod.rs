//! A person's devices: a log of admissions and removals, each signed by a member.
//!
//! Records name the newest ones that their author knew, so the log is a graph that devices write to
//! without asking each other, and merge by uniting their sets of records. Who is a member follows from the
//! set alone, whatever order it arrived in:
//!
//! - A record counts as said only if its author was a member in the author's own past: the records that it
//!   descends from. Any other is refused and never kept.
//! - Removals that do not know of each other are taken in the order of their authors' admission, earliest first. One stands
//!   unless its author has already been put out by one that stands: so in mutual removals the
//!   earlier-admitted device wins.
//! - What a removed device said beside its removal, and not before it, is void, admissions as well: a stolen device cannot bring
//!   in another by dating it back.
//! - A device is a member if an admission of it stands that has seen all removals of it that stand.

mod contact;
mod graph;
mod news;
mod record;
#[cfg(test)]
mod tests;
mod view;

pub use contact::{Contact, ContactError};
pub(crate) use contact::{decode_addresses, decode_relays, encode_addresses, encode_relays};
pub use news::{ALPN, News, WaitingDevice};
pub use record::hash as record_hash;
pub use record::{Accepted, Record, Statement, check_device_name};
pub use view::{Member, Standing};

use crate::codec::DecodeError;
use crate::id::{DeviceId, FilesetId, GroupId, RecordHash};
use crate::limits::{GROUP_MAX_ACCEPTED, GROUP_MAX_MEMBERS, GROUP_MAX_PARENTS, GROUP_MAX_RECORDS};
use crate::signature;
use ed25519_dalek::SigningKey;
use graph::Graph;
use view::View;

/// Why a record is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The bytes are malformed.
    #[error("a record of the group is damaged: {0}")]
    Bytes(#[from] DecodeError),
    /// The signature is not the author's.
    #[error("a record of the group was changed on the way: its signature is wrong")]
    Signature,
    /// The records do not begin with one first record.
    #[error("the first record of the group is missing")]
    NoBeginning,
    /// The record belongs to the log of somebody else.
    #[error("this record belongs to another group")]
    OtherGroup,
    /// Records that it builds on are missing.
    #[error("records that it builds on are missing")]
    MissingParents,
    /// Its author was no member when it was signed.
    #[error("it was signed by a device that was no member of the group")]
    NotAMember,
    /// The device is a member already.
    #[error("this device is a member of the group already")]
    AlreadyMember,
    /// The device is no member.
    #[error("this device is no member of the group")]
    NoSuchMember,
    /// The log or the group is full.
    #[error(
        "the group is full: it holds {GROUP_MAX_MEMBERS} devices and {GROUP_MAX_RECORDS} records"
    )]
    Full,
    /// A name that no device may have.
    #[error(
        "a device's name has 1 to 64 bytes, no spaces around it and no invisible characters: choose another"
    )]
    Name,
}

/// The log of one group, verified, and who is a member by it.
#[derive(Debug, Clone)]
pub struct Group {
    graph: Graph,
    view: View,
}

/// What came of records from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merged {
    /// Signed bytes of those that were new and are kept now, each after those that it builds on.
    pub added: Vec<Vec<u8>>,
    /// Why others were not kept.
    pub refused: Vec<GroupError>,
}

impl Group {
    /// A new group with one member, the device of `key`. `nonce` is random.
    ///
    /// # Errors
    /// [`GroupError::Name`].
    pub fn found(key: &SigningKey, name: &str, nonce: [u8; 16]) -> Result<Self, GroupError> {
        check_device_name(name)?;
        let record = Record {
            author: signature::device_of(key),
            parents: Vec::new(),
            statement: Statement::Found {
                nonce,
                name: name.to_owned(),
            },
        };
        Self::read(&[record.sign(key)])
    }

    /// A log from its records in any order.
    ///
    /// # Errors
    /// [`GroupError::NoBeginning`] if there is not exactly one first record; the first error among the others.
    pub fn read(records: &[Vec<u8>]) -> Result<Self, GroupError> {
        let mut first = None;
        for bytes in records {
            let (record, hash) = Record::verify(bytes)?;
            if record.parents.is_empty() && first.replace((record, hash, bytes)).is_some() {
                return Err(GroupError::NoBeginning);
            }
        }
        let (record, hash, bytes) = first.ok_or(GroupError::NoBeginning)?;
        let graph = Graph::new(record, hash, bytes.clone());
        let view = View::of(&graph, None);
        let mut group = Self { graph, view };
        match group.merge(records).refused.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(group),
        }
    }

    /// Unites this log with records of another device, in any order. What is refused changes nothing.
    pub fn merge(&mut self, records: &[Vec<u8>]) -> Merged {
        let mut merged = Merged::default();
        let mut open = Vec::new();
        for bytes in records {
            // What is here already was verified when it came.
            if record::hash(bytes).is_some_and(|hash| self.graph.find(&hash).is_some()) {
                continue;
            }
            match Record::verify(bytes) {
                Ok((record, hash)) => open.push((record, hash, bytes)),
                Err(error) => merged.refused.push(error),
            }
        }
        // Each round takes those whose parents are there; a round that takes none is the last.
        loop {
            let before = open.len();
            let mut waiting = Vec::new();
            for (record, hash, bytes) in open {
                if self.graph.find(&hash).is_some() {
                    continue;
                }
                match self.check(&record) {
                    Ok(()) => {
                        self.graph.push(record, hash, bytes.clone());
                        merged.added.push(bytes.clone());
                    }
                    Err(GroupError::MissingParents) => waiting.push((record, hash, bytes)),
                    Err(error) => merged.refused.push(error),
                }
            }
            open = waiting;
            if open.len() == before || open.is_empty() {
                break;
            }
        }
        let missing = open.iter().map(|_| GroupError::MissingParents);
        merged.refused.extend(missing);
        if !merged.added.is_empty() {
            self.view = View::of(&self.graph, None);
        }
        merged
    }

    /// Whether a record may join: its author and what it says hold in its own past.
    fn check(&self, record: &Record) -> Result<(), GroupError> {
        if record.parents.is_empty() {
            return Err(GroupError::OtherGroup);
        }
        let past = self
            .graph
            .past(&record.parents)
            .ok_or(GroupError::MissingParents)?;
        if self.graph.len() >= GROUP_MAX_RECORDS {
            return Err(GroupError::Full);
        }
        let view = View::of(&self.graph, Some(&past));
        view.may_say(record)
    }

    /// Signs that `device` is a member from now on, and returns the record for the others.
    ///
    /// # Errors
    /// See [`GroupError`]; nothing changes then.
    pub fn admit(
        &mut self,
        key: &SigningKey,
        device: DeviceId,
        name: &str,
    ) -> Result<Vec<u8>, GroupError> {
        check_device_name(name)?;
        let name = name.to_owned();
        self.say(key, Statement::Admit { device, name })
    }

    /// Signs that `device` is a member no more. `accepted` says what of it was accepted; what it names twice is
    /// taken at its highest, and at most 256 filesets and epochs are named.
    ///
    /// # Errors
    /// See [`GroupError`]; nothing changes then.
    pub fn remove(
        &mut self,
        key: &SigningKey,
        device: DeviceId,
        mut accepted: Vec<Accepted>,
    ) -> Result<Vec<u8>, GroupError> {
        accepted.sort_by_key(|one| (one.fileset, one.epoch, std::cmp::Reverse(one.counter)));
        accepted.dedup_by_key(|one| (one.fileset, one.epoch));
        accepted.truncate(GROUP_MAX_ACCEPTED);
        self.say(key, Statement::Remove { device, accepted })
    }

    /// Signs that a member has another name from now on.
    ///
    /// # Errors
    /// See [`GroupError`]; nothing changes then.
    pub fn rename(
        &mut self,
        key: &SigningKey,
        device: DeviceId,
        name: &str,
    ) -> Result<Vec<u8>, GroupError> {
        check_device_name(name)?;
        let name = name.to_owned();
        self.say(key, Statement::Rename { device, name })
    }

    fn say(&mut self, key: &SigningKey, statement: Statement) -> Result<Vec<u8>, GroupError> {
        let mut parents = self.graph.heads();
        parents.truncate(GROUP_MAX_PARENTS);
        let record = Record {
            author: signature::device_of(key),
            parents,
            statement,
        };
        let bytes = record.sign(key);
        match self.merge(std::slice::from_ref(&bytes)).refused.pop() {
            Some(error) => Err(error),
            None => Ok(bytes),
        }
    }

    /// The hash of the first record.
    pub fn id(&self) -> GroupId {
        GroupId(self.graph.first().0)
    }

    /// All records with their hashes, each after those that it builds on.
    pub fn records(&self) -> impl Iterator<Item = (RecordHash, &[u8])> {
        self.graph.records()
    }

    /// The members, the earliest admitted first.
    pub fn members(&self) -> &[Member] {
        self.view.members()
    }

    /// One member.
    pub fn member(&self, device: &DeviceId) -> Option<&Member> {
        self.members().iter().find(|it| it.device == *device)
    }

    /// Whether a device is, or was, a member.
    pub fn knows(&self, device: &DeviceId) -> bool {
        !matches!(self.standing(device), Standing::Stranger)
    }

    /// What a device is to this group.
    pub fn standing(&self, device: &DeviceId) -> Standing {
        self.view.standing(device)
    }

    /// Devices that were members and are no more.
    pub fn removed(&self) -> impl Iterator<Item = &DeviceId> {
        self.view.removed()
    }

    /// The highest counter that is accepted from a removed device in a fileset and epoch; none if no removal
    /// names them.
    pub fn last_accepted(&self, device: &DeviceId, fileset: &FilesetId, epoch: u32) -> Option<u64> {
        self.view.last_accepted(device, fileset, epoch)
    }
}

/// Two logs are equal if they have the same records.
impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        let hashes = |group: &Self| {
            let mut all: Vec<_> = group.records().map(|(hash, _)| hash).collect();
            all.sort();
            all
        };
        hashes(self) == hashes(other)
    }
}

impl Eq for Group {}
