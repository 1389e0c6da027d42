//! What two replicas say to each other.

use super::entry::Entry;
use super::version::Knowledge;
use super::wire;
use crate::codec::{DecodeError, Reader, Writer};
use crate::limits::SYNC_MESSAGE_MAX_BYTES;

const VERSION: u8 = 1;

/// A message between two replicas of a fileset. Each side first sends one `Hello`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What the sender has seen: the other streams what is above.
    Hello {
        /// Durable at the sender.
        knowledge: Knowledge,
    },
    /// Entries that the other may not have.
    Entries {
        /// Number of the page, from 1 on.
        serial: u64,
        /// The entries.
        entries: Vec<Entry>,
        /// Once this page and all before are taken in, the receiver has seen this too. Only authors that changed.
        caught_up: Option<Knowledge>,
        /// How many `Hello`s of the receiver this answers: what was said to an earlier one, when the receiver said to have seen
        /// more, is no news.
        hellos: u64,
    },
    /// All pages up to this number are durable at the sender of this message.
    Taken {
        /// Number of the page.
        serial: u64,
    },
    /// All that this knowledge covers is materialised and durable at the sender: it serves all of that content. Said again without
    /// anything new when content came although some is still missing: others may ask again for what they miss.
    Complete {
        /// What it covers.
        knowledge: Knowledge,
    },
}

impl Message {
    /// Canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION);
        match self {
            Message::Hello { knowledge } => {
                w.u8(1);
                wire::write_knowledge(&mut w, knowledge);
            }
            Message::Entries {
                serial,
                entries,
                caught_up,
                hellos,
            } => {
                w.u8(2);
                w.uint(*serial);
                w.uint(*hellos);
                wire::write_entries(&mut w, entries);
                w.u8(u8::from(caught_up.is_some()));
                if let Some(knowledge) = caught_up {
                    wire::write_knowledge(&mut w, knowledge);
                }
            }
            Message::Taken { serial } => {
                w.u8(3);
                w.uint(*serial);
            }
            Message::Complete { knowledge } => {
                w.u8(4);
                wire::write_knowledge(&mut w, knowledge);
            }
        }
        w.finish()
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// See [`DecodeError`]; a message over [`SYNC_MESSAGE_MAX_BYTES`] is refused unread.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > SYNC_MESSAGE_MAX_BYTES {
            return Err(DecodeError::Limit {
                what: "message",
                limit: SYNC_MESSAGE_MAX_BYTES,
            });
        }
        let mut r = Reader::new(bytes);
        if r.u8()? != VERSION {
            return Err(DecodeError::Newer);
        }
        let message = match r.u8()? {
            1 => Message::Hello {
                knowledge: wire::read_knowledge(&mut r)?,
            },
            2 => Message::Entries {
                serial: r.uint()?,
                hellos: r.uint()?,
                entries: wire::read_entries(&mut r)?,
                caught_up: match r.u8()? {
                    0 => None,
                    1 => Some(wire::read_knowledge(&mut r)?),
                    _ => return Err(DecodeError::NotCanonical),
                },
            },
            3 => Message::Taken { serial: r.uint()? },
            4 => Message::Complete {
                knowledge: wire::read_knowledge(&mut r)?,
            },
            _ => return Err(DecodeError::Newer),
        };
        r.finish()?;
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::id::{ContentHash, DeviceId};
    use crate::path::RelPath;
    use crate::sync::testing::{author, file, gone, history, path};
    use crate::sync::{AuthorId, Kind, Removal, Seen, VersionVector};
    use proptest::prelude::*;

    fn knowledge() -> Knowledge {
        let seen = |seq| Seen {
            seq,
            incarnation: u64::MAX,
        };
        Knowledge::from([(author(1), seen(7)), (author(2), seen(1))])
    }

    fn page(entries: Vec<Entry>) -> Message {
        Message::Entries {
            serial: 3,
            entries,
            caught_up: Some(knowledge()),
            hellos: 1,
        }
    }

    #[test]
    fn messages_go_round() {
        let moved = Entry {
            moved_from: Some(path("old/name")),
            parent: file("x", 1, b"parent", 0).kind.content(),
            ..file("new/näme", 2, b"x", i64::MIN)
        };
        let link = Entry {
            kind: Kind::Symlink {
                target: "/else/where".into(),
            },
            mode: 0,
            ..file("new/link", 3, b"", i64::MAX)
        };
        let folder = Entry {
            kind: Kind::Folder,
            ..file("new", 1, b"", 0)
        };
        for message in [
            Message::Hello {
                knowledge: knowledge(),
            },
            page(vec![folder, moved, link, gone("old/name", 1, 5)]),
            page(history(&[(0, 1), (1, 3), (1, 2), (2, 6), (2, 5)])),
            page(Vec::new()),
            Message::Taken { serial: u64::MAX },
            Message::Complete {
                knowledge: Knowledge::new(),
            },
        ] {
            assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn what_is_over_the_limit_is_refused_unread() {
        let long = vec![0; SYNC_MESSAGE_MAX_BYTES + 1];
        let limit = SYNC_MESSAGE_MAX_BYTES;
        let what = "message";
        assert_eq!(
            Message::decode(&long),
            Err(DecodeError::Limit { what, limit })
        );
        assert_ne!(
            Message::decode(&long[1..]),
            Err(DecodeError::Limit { what, limit })
        );
    }

    #[test]
    fn the_rename_of_ten_thousand_files_is_small() {
        let (mut size_bytes, mut seq) = (0, 0);
        let mut number = |mut entry: Entry| {
            seq += 1;
            let author = author(1);
            entry.version.raise(crate::sync::Dot { author, seq });
            entry
        };
        for part in 0..10u32 {
            let names =
                || (0..1000).map(move |n| format!("folder/file-{:05}.txt", part * 1000 + n));
            let mut entries = Vec::new();
            for (n, name) in names().enumerate() {
                let new = format!("renamed/{name}");
                let mut entry = number(file(&new, 1, name.as_bytes(), (n as i64) << 33));
                entry.moved_from = Some(path(&name));
                let parent = entry.kind.content();
                entries.push(entry);
                let mut left = number(gone(&name, 1, 1 << 60));
                left.parent = parent;
                entries.push(left);
            }
            size_bytes += page(entries).encode().len();
        }
        assert!(size_bytes < 700_000, "{size_bytes} bytes");
    }

    fn any_author() -> impl Strategy<Value = AuthorId> {
        (0..5u8, prop_oneof![0..3u32, Just(u32::MAX)]).prop_map(|(device, epoch)| AuthorId {
            device: DeviceId([device; 32]),
            epoch,
        })
    }

    /// Paths that share beginnings, also within letters of more than one byte.
    fn any_path() -> impl Strategy<Value = RelPath> {
        "[ab\u{e9}\u{e8}\u{301}]{1,4}(/[ab\u{e9}\u{e8}\u{301}]{1,4}){0,3}"
            .prop_map(|text| path(&text))
    }

    fn any_kind() -> impl Strategy<Value = Kind> {
        let file = (any::<[u8; 32]>(), any::<u64>()).prop_map(|(hash, size_bytes)| Kind::File {
            content: ContentHash(hash),
            size_bytes,
        });
        let link = "\\PC{0,9}".prop_map(|target| Kind::Symlink { target });
        let gone = [Removal::Deleted, Removal::Moved, Removal::Confirmed];
        let gone = prop::sample::select(gone.to_vec()).prop_map(Kind::Tombstone);
        prop_oneof![file, Just(Kind::Folder), link, gone]
    }

    prop_compose! {
        fn any_entry()(
            path in any_path(), kind in any_kind(), mode in 0..0o1000u32, mtime_ns: i64,
            parent in prop::option::of(any::<[u8; 32]>()), moved_from in prop::option::of(any_path()),
            pairs in prop::collection::vec((any_author(), 1..=u64::MAX), 1..5),
        ) -> Entry {
            Entry {
                path,
                kind,
                mode,
                mtime_ns,
                parent: parent.map(ContentHash),
                moved_from,
                author: pairs[0].0,
                version: VersionVector::from_pairs(pairs),
            }
        }
    }

    /// A rename, and what it leaves behind.
    fn with_left((entry, is_left): (Entry, bool)) -> Vec<Entry> {
        let left = entry.moved_from.clone().filter(|_| is_left);
        let left = left.map(|path| Entry {
            path,
            kind: Kind::Tombstone(Removal::Moved),
            parent: entry.kind.content(),
            moved_from: None,
            ..entry.clone()
        });
        [Some(entry), left].into_iter().flatten().collect()
    }

    fn any_knowledge() -> impl Strategy<Value = Knowledge> {
        let seen =
            (any::<u64>(), any::<u64>()).prop_map(|(seq, incarnation)| Seen { seq, incarnation });
        prop::collection::btree_map(any_author(), seen, 0..6)
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let entries = prop::collection::vec((any_entry(), any::<bool>()), 0..12);
        let entries = entries.prop_map(|entries| entries.into_iter().flat_map(with_left).collect());
        let caught_up = prop::option::of(any_knowledge());
        let page = (any::<u64>(), any::<u64>(), entries, caught_up);
        prop_oneof![
            any_knowledge().prop_map(|knowledge| Message::Hello { knowledge }),
            page.prop_map(|(serial, hellos, entries, caught_up)| Message::Entries {
                serial,
                hellos,
                entries,
                caught_up,
            }),
            any::<u64>().prop_map(|serial| Message::Taken { serial }),
            any_knowledge().prop_map(|knowledge| Message::Complete { knowledge }),
        ]
    }

    proptest! {
        #[test]
        fn every_message_goes_round(message in any_message()) {
            let bytes = message.encode();
            prop_assert_eq!(Message::decode(&bytes), Ok(message));
            prop_assert!(bytes.len() <= SYNC_MESSAGE_MAX_BYTES);
            prop_assert!(Message::decode(&bytes[..bytes.len() - 1]).is_err(), "cut short");
            prop_assert!(Message::decode(&[&bytes[..], &[0]].concat()).is_err(), "with something behind it");
        }

        #[test]
        fn what_decodes_has_one_encoding(bytes: Vec<u8>, kind in 1..5u8) {
            let bytes = [&[VERSION, kind], &bytes[..]].concat();
            if let Ok(message) = Message::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }

        #[test]
        fn flipped_bytes_never_panic(steps in prop::collection::vec((0..4u8, any::<u16>()), 1..12), at: usize, bit in 0..8u8) {
            let mut bytes = page(history(&steps)).encode();
            let at = at % bytes.len();
            bytes[at] ^= 1u8 << bit;
            if let Ok(message) = Message::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }
    }
}
