//! The bytes of a share's row: postcard, behind a version. Rows written by a released version are
//! read for ever; a new field means a new variant of [`ShareValue`].

use crate::share::{Audience, ShareEnd, ShareRow, ShareState};
use serde::{Deserialize, Serialize};
use shoal_protocol::id::{ContentHash, InfoHash, LinkId};
use std::path::{Path, PathBuf};

/// The bytes are no share.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DecodeFailed;

/// The row of a share.
pub(crate) fn encode(row: &ShareRow) -> Vec<u8> {
    let share = ShareV1 {
        name: row.name.clone(),
        roots: row.roots.iter().map(|root| path_to_bytes(root)).collect(),
        created_s: row.created_s,
        expires_s: row.expires_s,
        max_downloads: row.max_downloads,
        audience: match row.audience {
            Audience::Link => AudienceV1::Link,
            Audience::Public => AudienceV1::Public,
        },
        notify: row.notify.clone(),
        state: match &row.state {
            ShareState::Counting => StateV1::Counting,
            ShareState::Ready {
                snapshot,
                infohash,
                files,
                bytes,
            } => StateV1::Ready {
                snapshot: snapshot.0,
                infohash: infohash.0,
                files: *files,
                bytes: *bytes,
            },
            ShareState::Failed { why } => StateV1::Failed { why: why.clone() },
        },
        end: match row.end {
            ShareEnd::Active => EndV1::Active,
            ShareEnd::Stopped { at_s } => EndV1::Stopped { at_s },
            ShareEnd::Expired => EndV1::Expired,
            ShareEnd::UsedUp => EndV1::UsedUp,
        },
        capability: row.capability.clone(),
        record: row.record.clone(),
        salt: row.salt,
        announce_token: row.announce_token,
    };
    // Without a password the bytes are those that every version knows.
    let value = match row.password {
        None => ShareValue::V1(share),
        Some(password) => ShareValue::V2(share, password),
    };
    // Fails for maps and sequences of unknown length only; there are none.
    postcard::to_allocvec(&value).unwrap_or_default()
}

/// The share of a row.
pub(crate) fn decode(id: &LinkId, bytes: &[u8]) -> Result<ShareRow, DecodeFailed> {
    let (row, password) = match postcard::from_bytes(bytes).map_err(|_| DecodeFailed)? {
        ShareValue::V1(row) => (row, None),
        ShareValue::V2(row, password) => (row, Some(password)),
    };
    Ok(ShareRow {
        id: *id,
        name: row.name,
        roots: row.roots.into_iter().map(path_from_bytes).collect(),
        created_s: row.created_s,
        expires_s: row.expires_s,
        max_downloads: row.max_downloads,
        audience: match row.audience {
            AudienceV1::Link => Audience::Link,
            AudienceV1::Public => Audience::Public,
        },
        notify: row.notify,
        state: match row.state {
            StateV1::Counting => ShareState::Counting,
            StateV1::Ready {
                snapshot,
                infohash,
                files,
                bytes,
            } => ShareState::Ready {
                snapshot: ContentHash(snapshot),
                infohash: InfoHash(infohash),
                files,
                bytes,
            },
            StateV1::Failed { why } => ShareState::Failed { why },
        },
        end: match row.end {
            EndV1::Active => ShareEnd::Active,
            EndV1::Stopped { at_s } => ShareEnd::Stopped { at_s },
            EndV1::Expired => ShareEnd::Expired,
            EndV1::UsedUp => ShareEnd::UsedUp,
        },
        capability: row.capability,
        record: row.record,
        salt: row.salt,
        announce_token: row.announce_token,
        password,
    })
}

/// Versions of the row; variants are only ever added at the end.
#[derive(Serialize, Deserialize)]
enum ShareValue {
    V1(ShareV1),
    /// With a password's verifier.
    V2(ShareV1, [u8; 32]),
}

#[derive(Serialize, Deserialize)]
struct ShareV1 {
    name: String,
    roots: Vec<Vec<u8>>,
    created_s: u64,
    expires_s: Option<u64>,
    max_downloads: Option<u32>,
    audience: AudienceV1,
    notify: Option<String>,
    state: StateV1,
    end: EndV1,
    capability: Vec<u8>,
    record: Vec<u8>,
    salt: [u8; 16],
    announce_token: [u8; 16],
}

#[derive(Serialize, Deserialize)]
enum AudienceV1 {
    Link,
    Public,
}

#[derive(Serialize, Deserialize)]
enum StateV1 {
    Counting,
    Ready {
        snapshot: [u8; 32],
        infohash: [u8; 20],
        files: u64,
        bytes: u64,
    },
    Failed {
        why: String,
    },
}

#[derive(Serialize, Deserialize)]
enum EndV1 {
    Active,
    Stopped { at_s: u64 },
    Expired,
    UsedUp,
}

#[cfg(unix)]
fn path_to_bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(unix)]
fn path_from_bytes(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(not(unix))]
fn path_to_bytes(path: &Path) -> Vec<u8> {
    path.to_string_lossy().into_owned().into_bytes()
}

#[cfg(not(unix))]
fn path_from_bytes(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::share::tests::{ready, row};
    use std::os::unix::ffi::OsStrExt;

    /// Bytes as the first released version wrote them: if this fails, homes out there cannot be read.
    #[test]
    fn the_row_is_stable() {
        let mut share = row(1);
        share.name = "ab".to_owned();
        share.roots = vec![
            PathBuf::from("/x"),
            PathBuf::from(std::ffi::OsStr::from_bytes(b"/\xff")),
        ];
        share.expires_s = Some(300);
        share.audience = Audience::Public;
        share.notify = Some("u".to_owned());
        share.state = ready(7);
        share.end = ShareEnd::Stopped { at_s: 9 };
        share.record = vec![6];
        let mut expected = vec![
            0, 2, b'a', b'b', 2, 2, b'/', b'x', 2, b'/', 0xff, 1, 1, 0xac, 2, 1, 3, 1, 1, 1, b'u',
        ];
        expected.push(1);
        expected.extend([7; 52]);
        expected.extend([2, 0xac, 2, 1, 9, 3, 1, 2, 3, 1, 6]);
        expected.extend([4; 16]);
        expected.extend([5; 16]);
        assert_eq!(encode(&share), expected);
        assert_eq!(decode(&share.id, &expected), Ok(share));
    }

    #[test]
    fn every_state_and_end_goes_round() {
        let states = [
            ShareState::Counting,
            ready(1),
            ShareState::Failed {
                why: "no".to_owned(),
            },
        ];
        let ends = [
            ShareEnd::Active,
            ShareEnd::Stopped { at_s: 1 },
            ShareEnd::Expired,
            ShareEnd::UsedUp,
        ];
        for state in &states {
            for end in ends {
                for password in [None, Some([9; 32])] {
                    let share = ShareRow {
                        state: state.clone(),
                        end,
                        password,
                        ..row(3)
                    };
                    assert_eq!(decode(&share.id, &encode(&share)), Ok(share));
                }
            }
        }
    }

    #[test]
    fn a_password_stands_behind_the_row() {
        let mut share = row(1);
        let mut expected = encode(&share);
        share.password = Some([9; 32]);
        expected[0] = 1;
        expected.extend([9; 32]);
        assert_eq!(encode(&share), expected);
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = encode(&row(1));
        for len in 0..bytes.len() {
            assert_eq!(
                decode(&LinkId([1; 16]), &bytes[..len]),
                Err(DecodeFailed),
                "cut to {len}"
            );
        }
        assert_eq!(decode(&LinkId([1; 16]), &[9; 100]), Err(DecodeFailed));
    }
}
