//! The roll of all sources of one `get`: how each is, and what that means for the whole.

use super::Way;
use super::error::{GetError, Tried};
use super::source::SourceError;
use shoal_protocol::hello::Refusal;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All sources.
#[derive(Debug, Default)]
pub(crate) struct Roll(Mutex<Vec<Status>>);

#[derive(Debug)]
struct Status {
    way: Way,
    address: String,
    state: Standing,
}

#[derive(Debug)]
enum Standing {
    Trying,
    Up,
    Failed(SourceError),
}

impl Roll {
    /// Adds a source; its number.
    pub(crate) fn add(&self, way: Way, address: String) -> usize {
        let mut sources = self.lock();
        sources.push(Status {
            way,
            address,
            state: Standing::Trying,
        });
        sources.len() - 1
    }

    /// A source works; way and address.
    pub(crate) fn up(&self, source: usize) -> Option<(Way, String)> {
        self.set(source, Standing::Up)
    }

    /// A source failed; way and address.
    pub(crate) fn failed(&self, source: usize, error: SourceError) -> Option<(Way, String)> {
        self.set(source, Standing::Failed(error))
    }

    /// Whether there is a source that sends what BLAKE3 proves.
    pub(crate) fn has_direct(&self) -> bool {
        self.lock().iter().any(|status| status.way != Way::Torrent)
    }

    /// Whether the node that made the link refuses for good, has the files no more, or somebody lies in its place.
    pub(crate) fn is_refused(&self) -> bool {
        self.lock().iter().any(|status| match &status.state {
            Standing::Failed(error @ SourceError::Refused(why)) => {
                error.is_final() && *why != Refusal::Unknown
            }
            Standing::Failed(SourceError::Changed | SourceError::Lied(_)) => true,
            _ => false,
        })
    }

    /// Whether somebody would give, once it has hashed.
    pub(crate) fn is_counting(&self) -> bool {
        self.lock()
            .iter()
            .any(|status| matches!(status.state, Standing::Failed(SourceError::Counting)))
    }

    /// What ends it all when every source is of no use any more.
    pub(crate) fn all_dropped(&self) -> Option<GetError> {
        let dropped =
            |status: &Status| matches!(&status.state, Standing::Failed(error) if error.is_final());
        let all = self.lock().iter().all(dropped);
        all.then(|| self.verdict())
    }

    /// What the failures of all sources mean together.
    pub(crate) fn verdict(&self) -> GetError {
        let sources = self.lock();
        if sources.is_empty() {
            return GetError::BadLink("it offers none of the ways that may be used".into());
        }
        let tried = sources.iter().map(|status| {
            let error = match &status.state {
                Standing::Trying => SourceError::Broken("no answer".to_owned()),
                Standing::Up => SourceError::Broken("nothing arrives any more".to_owned()),
                Standing::Failed(error) => error.clone(),
            };
            (status.way, status.address.clone(), error)
        });
        verdict(tried.collect())
    }

    fn set(&self, source: usize, state: Standing) -> Option<(Way, String)> {
        let mut sources = self.lock();
        let status = sources.get_mut(source)?;
        status.state = state;
        Some((status.way, status.address.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Status>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the failures of all that were tried mean together. A refusal weighs most; "unknown" may also
/// come from somebody else who has the address now.
pub(crate) fn verdict(tried: Vec<(Way, String, SourceError)>) -> GetError {
    let refusals = || {
        tried.iter().filter_map(|(_, _, error)| match error {
            SourceError::Refused(refusal) => Some(*refusal),
            _ => None,
        })
    };
    let refusal = refusals().find(|refusal| *refusal != Refusal::Unknown);
    if let Some(refusal) = refusal.or_else(|| refusals().next()) {
        return GetError::Refused(refusal);
    }
    let lie = tried.iter().find_map(|(_, address, error)| match error {
        SourceError::Lied(why) => Some(format!("{address}: {why}")),
        _ => None,
    });
    if let Some(why) = lie {
        return GetError::Verification(why);
    }
    let is_changed = |(_, _, error): &(_, _, SourceError)| matches!(error, SourceError::Changed);
    if let Some((_, address, _)) = tried.iter().find(|tried| is_changed(tried)) {
        return GetError::Changed {
            address: address.clone(),
        };
    }
    if let [(_, _, SourceError::Unfit(path))] = tried.as_slice() {
        return GetError::TorrentName { path: path.clone() };
    }
    let tried = tried.into_iter().map(|(way, address, error)| Tried {
        way,
        address,
        why: error.to_string(),
    });
    GetError::Unreachable {
        tried: tried.collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn broken() -> SourceError {
        SourceError::Broken("gone".into())
    }

    #[test]
    fn all_have_to_be_dropped_before_it_ends() {
        let roll = Roll::default();
        let (first, second) = (
            roll.add(Way::Iroh, "a".into()),
            roll.add(Way::Http, "b".into()),
        );
        roll.failed(first, SourceError::Refused(Refusal::Stopped))
            .unwrap();
        assert!(roll.is_refused());
        assert!(roll.all_dropped().is_none());
        roll.failed(second, broken()).unwrap();
        assert!(roll.all_dropped().is_none());
        roll.failed(second, SourceError::Lied("x".into())).unwrap();
        assert!(matches!(
            roll.all_dropped(),
            Some(GetError::Refused(Refusal::Stopped))
        ));
        roll.up(first).unwrap();
        assert!(roll.all_dropped().is_none());
    }

    #[test]
    fn the_gravest_reason_is_told() {
        let at = |error| (Way::Http, "a".to_owned(), error);
        let unknown = || at(SourceError::Refused(Refusal::Unknown));
        let expired = at(SourceError::Refused(Refusal::Expired));
        assert!(matches!(
            verdict(vec![unknown(), at(broken()), expired]),
            GetError::Refused(Refusal::Expired)
        ));
        assert!(matches!(
            verdict(vec![at(broken()), unknown()]),
            GetError::Refused(Refusal::Unknown)
        ));
        assert!(matches!(
            verdict(vec![at(broken()), at(SourceError::Lied("x".into()))]),
            GetError::Verification(_)
        ));
        let GetError::Changed { address } = verdict(vec![at(broken()), at(SourceError::Changed)])
        else {
            panic!("changed files have to be told");
        };
        assert_eq!(address, "a");
        let unfit = || at(SourceError::Unfit("b\\c".into()));
        assert!(matches!(
            verdict(vec![unfit()]),
            GetError::TorrentName { path } if path == "b\\c"
        ));
        assert!(matches!(
            verdict(vec![unfit(), at(broken())]),
            GetError::Unreachable { .. }
        ));
        let GetError::Unreachable { tried } = verdict(vec![at(broken())]) else {
            panic!("it has to be unreachable");
        };
        assert_eq!(tried[0].why, "gone");
    }
}
