//! What a node tells while it happens: one JSON object a line, with a `type`.

use crate::error::ApiError;
use crate::filesets::FilesetView;
use crate::view::{Reach, TakerView, Way};
use serde::{Deserialize, Serialize};

/// Something happened. `id` is always the text of the share's link id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A link was made and answers.
    Url {
        /// The share.
        id: String,
        /// Its page.
        url: String,
    },
    /// Counting or hashing went on; at most about ten times a second.
    Progress {
        /// The share.
        id: String,
        /// What is being done.
        phase: Phase,
        /// Files walked or hashed.
        files: u64,
        /// Bytes walked or hashed.
        bytes: u64,
        /// Bytes in all, as far as known.
        bytes_total: u64,
    },
    /// All is hashed.
    Ready {
        /// The share.
        id: String,
        /// Its page.
        url: String,
        /// The magnet; none if there is nothing that a torrent can say.
        magnet: Option<String>,
        /// Hexadecimal infohash, with the magnet.
        infohash: Option<String>,
        /// The name that takers see.
        name: String,
        /// Regular files.
        files: u64,
        /// Their bytes.
        bytes: u64,
        /// Who can open it.
        reach: Reach,
        /// What whoever gives the link on should know, as why there is no magnet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// A file is not given.
    Problem {
        /// The share.
        id: String,
        /// The file, escaped.
        path: String,
        /// What is the matter.
        what: String,
    },
    /// The share could not be made.
    Failed {
        /// The share.
        id: String,
        /// Why.
        error: ApiError,
    },
    /// Somebody looks at it.
    Opened {
        /// The share.
        id: String,
        /// Address, or the short form of a taker token.
        who: String,
        /// How.
        via: Way,
        /// Bytes sent so far.
        bytes: u64,
    },
    /// Somebody got the first byte.
    Started {
        /// The share.
        id: String,
        /// Address, or the short form of a taker token.
        who: String,
        /// How.
        via: Way,
        /// Bytes sent so far.
        bytes: u64,
    },
    /// Somebody has everything.
    Finished {
        /// The share.
        id: String,
        /// Address, or the short form of a taker token.
        who: String,
        /// How.
        via: Way,
        /// Bytes sent.
        bytes: u64,
    },
    /// Somebody got nothing.
    Refused {
        /// The share.
        id: String,
        /// Address, or the short form of a taker token.
        who: String,
        /// How.
        via: Way,
        /// Bytes sent before.
        bytes: u64,
    },
    /// Somebody tried a wrong password; told for the first try of an address, the second, fourth, eighth and so on.
    WrongPassword {
        /// The share.
        id: String,
        /// Address.
        who: String,
        /// How.
        via: Way,
        /// Wrong passwords of this address in a row.
        tries: u64,
    },
    /// Who takes what now; about once a second while something moves, and once with no takers
    /// when it ends.
    Taking {
        /// The share.
        id: String,
        /// All of them.
        takers: Vec<TakerView>,
        /// Of all together, bytes a second.
        rate_bytes_per_s: u64,
    },
    /// The link gives nothing any more.
    Ended {
        /// The share.
        id: String,
        /// Stopped, expired or used up, as a sentence.
        why: String,
    },
    /// A device brought an invite, here or at another member, and waits for a member to confirm it.
    PairWaiting {
        /// Its key, hexadecimal.
        device: String,
        /// Its name; escape before showing.
        name: String,
        /// Six digits to compare.
        code: String,
        /// The invite that it brought, where this device made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invite: Option<String>,
    },
    /// A device belongs to this one's group from now on; on the device that joins, the one that invited it.
    Paired {
        /// Its key, hexadecimal.
        device: String,
        /// Its name; escape before showing.
        name: String,
        /// The group.
        group: String,
        /// The invite that it brought, where this device made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invite: Option<String>,
    },
    /// A device that waited does not join.
    PairFailed {
        /// Its key, hexadecimal.
        device: String,
        /// Its name; escape before showing.
        name: String,
        /// Why.
        error: ApiError,
        /// The invite that it brought, where this device made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invite: Option<String>,
    },
    /// A device belongs to the group no more; this one, if it was removed or left.
    DeviceRemoved {
        /// Its key, hexadecimal.
        device: String,
        /// Its name; escape before showing.
        name: String,
    },
    /// A fileset changed its state, or went on: at most about once a second.
    Fileset(Box<FilesetView>),
    /// A fileset is not kept here any more.
    FilesetLeft {
        /// Its id, hexadecimal.
        id: String,
        /// Its name; escape before showing.
        name: String,
    },
    /// Two devices have different versions of a path.
    Conflict {
        /// The fileset's id, hexadecimal.
        id: String,
        /// The fileset's name; escape before showing.
        name: String,
        /// The path, absolute and escaped.
        path: String,
        /// Where the other version is seen, absolute and escaped.
        copy: String,
    },
    /// A path of a fileset is left out.
    FilesetProblem {
        /// The fileset's id, hexadecimal.
        id: String,
        /// The fileset's name; escape before showing.
        name: String,
        /// The path in the fileset, escaped.
        path: String,
        /// What is the matter, and what to do.
        what: String,
    },
    /// The node ends on purpose.
    NodeStopping,
}

/// What is being done with a share's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Finding files.
    Walk,
    /// Hashing them.
    Hash,
}

impl Event {
    /// The share that it is about.
    pub fn share_id(&self) -> Option<&str> {
        match self {
            Event::Url { id, .. }
            | Event::Progress { id, .. }
            | Event::Ready { id, .. }
            | Event::Problem { id, .. }
            | Event::Failed { id, .. }
            | Event::Opened { id, .. }
            | Event::Started { id, .. }
            | Event::Finished { id, .. }
            | Event::Refused { id, .. }
            | Event::WrongPassword { id, .. }
            | Event::Taking { id, .. }
            | Event::Ended { id, .. } => Some(id),
            Event::PairWaiting { .. }
            | Event::Paired { .. }
            | Event::PairFailed { .. }
            | Event::DeviceRemoved { .. }
            | Event::Fileset(_)
            | Event::FilesetLeft { .. }
            | Event::Conflict { .. }
            | Event::FilesetProblem { .. }
            | Event::NodeStopping => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::view::ReachScope;

    #[test]
    fn the_lines_are_as_promised() {
        let url = Event::Url {
            id: "abc".into(),
            url: "http://h/s/abc".into(),
        };
        assert_eq!(
            serde_json::to_string(&url).unwrap(),
            r#"{"type":"url","id":"abc","url":"http://h/s/abc"}"#
        );
        let ready = Event::Ready {
            id: "abc".into(),
            url: "u".into(),
            magnet: Some("m".into()),
            infohash: Some("00".into()),
            name: "n".into(),
            files: 1,
            bytes: 2,
            reach: Reach {
                scope: ReachScope::Network,
                sentence: "s".into(),
                help: None,
            },
            note: None,
        };
        let json = serde_json::to_string(&ready).unwrap();
        assert_eq!(
            json,
            r#"{"type":"ready","id":"abc","url":"u","magnet":"m","infohash":"00","name":"n","files":1,"bytes":2,"reach":{"scope":"network","sentence":"s"}}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), ready);
        assert_eq!(
            serde_json::to_string(&Event::NodeStopping).unwrap(),
            r#"{"type":"node_stopping"}"#
        );
        assert_eq!(url.share_id(), Some("abc"));
    }
}
