//! Who wins among siblings, and how the losers are called. A pure view: the same on every device.

use super::entry::{Entry, Kind, Removal};
use super::merge::version_of;
use super::version::VersionVector;
use crate::id::{ContentHash, DeviceId};
use crate::limits::NAME_MAX_BYTES;
use crate::path::RelPath;

/// What marks the name of a conflict copy.
const MARK: &str = ".conflict-";
/// Digits of the device in a copy's name.
const DEVICE_DIGITS: usize = 8;
/// Hash digits in a copy's name at most.
pub const HASH_DIGITS_MAX: usize = 32;
/// Characters between the mark and the hash digits: device, date, time and their dashes.
const STAMP_CHARS: usize = DEVICE_DIGITS + 1 + 8 + 1 + 6 + 1;

/// Which of several concurrent edits keeps the name. A property of the fileset, the same on all its replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The later modification time.
    #[default]
    Newer,
    /// The earlier modification time.
    Older,
    /// The longer file.
    Larger,
    /// The shorter file.
    Smaller,
    /// What this device wrote; else the newer.
    Prefer(DeviceId),
}

/// One content among the siblings of a path, with all who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// The entry that speaks for it: the newest.
    pub entry: Entry,
    /// What all entries with this content have taken into account.
    pub version: VersionVector,
}

/// The siblings of a path, ranked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// What is there, the winner first. Equal contents are one side; a folder always comes first, because other paths need it.
    pub sides: Vec<Side>,
    /// What the tombstones among the siblings have taken into account: a deletion loses against an edit.
    pub deleted: VersionVector,
    /// Why nothing is there, when all siblings are tombstones; the mildest reason.
    pub removal: Option<Removal>,
}

impl View {
    /// Ranks maximal entries.
    pub fn new(set: &[Entry], policy: Policy) -> Self {
        let mut sides: Vec<Side> = Vec::new();
        for entry in set.iter().filter(|entry| entry.is_live()) {
            match sides
                .iter_mut()
                .find(|side| side.entry.kind.same_content(&entry.kind))
            {
                Some(side) => {
                    side.version.join(&entry.version);
                    if (entry.mtime_ns, entry.dot()) > (side.entry.mtime_ns, side.entry.dot()) {
                        side.entry = entry.clone();
                    }
                }
                None => sides.push(Side {
                    entry: entry.clone(),
                    version: entry.version.clone(),
                }),
            }
        }
        sides.sort_by_cached_key(|side| std::cmp::Reverse(rank(side, policy)));
        let dead = || set.iter().filter(|entry| !entry.is_live());
        let removal = dead()
            .filter_map(|entry| match entry.kind {
                Kind::Tombstone(removal) => Some(removal),
                _ => None,
            })
            .max();
        Self {
            removal: removal.filter(|_| sides.is_empty()),
            sides,
            deleted: version_of(dead()),
        }
    }

    /// Whether two contents want the path.
    pub fn is_conflict(&self) -> bool {
        self.sides.len() > 1
    }
}

/// The greatest wins. The last part makes it total: contents differ between sides.
fn rank(side: &Side, policy: Policy) -> (bool, i128, i64, Kind) {
    let entry = &side.entry;
    let size = match entry.kind {
        Kind::File { size_bytes, .. } => i128::from(size_bytes),
        _ => 0,
    };
    let wish = match policy {
        Policy::Newer => 0,
        Policy::Older => -i128::from(entry.mtime_ns),
        Policy::Larger => size,
        Policy::Smaller => -size,
        Policy::Prefer(device) => i128::from(entry.author.device == device),
    };
    (
        entry.kind == Kind::Folder,
        wish,
        entry.mtime_ns,
        entry.kind.clone(),
    )
}

/// The name under which a loser is shown: `name.conflict-<device>-<yyyymmdd-hhmmss>-<hash digits>.ext`, from its author and
/// its UTC modification time. The stem is cut where the name would be too long.
pub fn copy_path(loser: &Entry, digits: usize) -> Option<RelPath> {
    let (stem, extension) = split_name(loser.path.name());
    let hash = match &loser.kind {
        Kind::File { content, .. } => *content,
        Kind::Symlink { target } => ContentHash::of(target.as_bytes()),
        Kind::Folder | Kind::Tombstone(_) => return None,
    };
    let mut device = loser.author.device.to_hex();
    device.truncate(DEVICE_DIGITS);
    let mut hash = hash.to_hex();
    hash.truncate(digits);
    let tail = format!(
        "{MARK}{device}-{}-{hash}{extension}",
        utc_stamp(loser.mtime_ns)
    );
    sibling(&loser.path, &format!("{}{tail}", cut(stem, tail.len())))
}

/// The path of whose conflict this may be a copy, by its name alone; only one of them where [`cut_from`] gives something.
pub fn copied_from(path: &RelPath) -> Option<RelPath> {
    let name = path.name();
    let (stem, rest) = name.rsplit_once(MARK)?;
    let after = rest.get(STAMP_CHARS..)?;
    let digits = after.bytes().take_while(u8::is_ascii_hexdigit).count();
    let extension = after.get(digits..)?;
    sibling(path, &format!("{stem}{extension}"))
}

/// Where the name of a copy is so long that the stem may have been cut: the path of that stem, which those of all possible originals
/// begin with, and their extension.
pub fn cut_from(path: &RelPath) -> Option<(RelPath, String)> {
    // At most three bytes less than there is room for, since no character is cut.
    if path.name().len() + 3 < NAME_MAX_BYTES {
        return None;
    }
    let (stem, _) = path.name().rsplit_once(MARK)?;
    let whole = copied_from(path)?;
    let extension = whole.name().strip_prefix(stem)?.to_owned();
    Some((sibling(path, stem)?, extension))
}

/// What all names of copies of a path begin with: for looking them up. Where the stem may have been cut, others begin with it too.
pub fn copy_prefix(path: &RelPath) -> String {
    let (stem, extension) = split_name(path.name());
    let tail_bytes = MARK.len() + STAMP_CHARS + HASH_DIGITS_MAX + extension.len();
    match cut(stem, tail_bytes) {
        whole if whole == stem => format!("{stem}{MARK}"),
        part => part.to_owned(),
    }
}

/// As much of a stem as there is room for.
fn cut(stem: &str, tail_bytes: usize) -> &str {
    let mut keep = stem.len().min(NAME_MAX_BYTES.saturating_sub(tail_bytes));
    while !stem.is_char_boundary(keep) {
        keep -= 1;
    }
    stem.get(..keep).unwrap_or(stem)
}

fn sibling(path: &RelPath, name: &str) -> Option<RelPath> {
    match path.parent() {
        Some(parent) => parent.join(name).ok(),
        None => RelPath::new(name).ok(),
    }
}

/// Stem and extension with its dot; a long one, or that of a dot file, belongs to the stem.
fn split_name(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 32 => name.split_at(dot),
        _ => (name, ""),
    }
}

/// `yyyymmdd-hhmmss` in UTC, for years 0 to 9999; other times are cut to these.
fn utc_stamp(time_ns: i64) -> String {
    let seconds = time_ns.div_euclid(1_000_000_000);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days to a civil date, by eras of 400 years that begin on the first of March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{:04}{month:02}{day:02}-{:02}{:02}{:02}",
        year.clamp(0, 9999),
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sync::testing::{author, file, gone};

    #[test]
    fn the_order_of_siblings_decides_by_table() {
        let (old, new) = (file("p", 1, b"old", 10), file("p", 2, b"new", 20));
        let dead = gone("p", 3, 30);
        let winner = |set: &[&Entry], policy| {
            let set: Vec<_> = set.iter().map(|e| (*e).clone()).collect();
            let view = View::new(&set, policy);
            view.sides.first().map(|side| side.entry.author)
        };
        for (policy, expected) in [
            (Policy::Newer, author(2)),
            (Policy::Older, author(1)),
            (Policy::Prefer(author(1).device), author(1)),
        ] {
            assert_eq!(winner(&[&old, &new], policy), Some(expected));
            assert_eq!(winner(&[&new, &old], policy), Some(expected));
            assert_eq!(winner(&[&new, &old, &dead], policy), Some(expected));
        }
        assert_eq!(
            winner(&[&old, &dead], Policy::Newer),
            Some(author(1)),
            "edit beats delete"
        );
        assert_eq!(winner(&[&dead], Policy::Newer), None);
    }

    #[test]
    fn equal_content_is_no_conflict() {
        let set = [file("p", 1, b"same", 10), file("p", 2, b"same", 20)];
        let view = View::new(&set, Policy::Newer);
        assert!(!view.is_conflict());
        assert_eq!(view.sides[0].entry.mtime_ns, 20);
        assert!(view.sides[0].version.contains(set[0].dot()));
    }

    #[test]
    fn copies_have_the_name_that_the_design_says() {
        let mut loser = file("a/report.final.pdf", 1, b"x", 1_700_000_000_000_000_000);
        let copy = copy_path(&loser, 6).unwrap();
        let hash = loser.kind.content().unwrap().to_hex();
        assert_eq!(
            copy.as_str(),
            format!(
                "a/report.final.conflict-01010101-20231114-221320-{}.pdf",
                &hash[..6]
            )
        );
        assert_eq!(copied_from(&copy).as_ref(), Some(&loser.path));
        assert!(copy.name().starts_with(&copy_prefix(&loser.path)));
        loser.path = RelPath::new(&format!("{}.txt", "é".repeat(125))).unwrap();
        let long = copy_path(&loser, 6).unwrap();
        assert!(long.name().len() <= NAME_MAX_BYTES && long.name().ends_with(".txt"));
        loser.path = RelPath::new(".profile").unwrap();
        assert!(
            copy_path(&loser, 6)
                .unwrap()
                .as_str()
                .starts_with(".profile.conflict-")
        );
    }

    #[test]
    fn every_policy_has_its_winner_and_folders_come_first() {
        let (short, long) = (file("p", 1, b"s", 20), file("p", 2, b"longer", 10));
        let wins = |policy| {
            let view = View::new(&[short.clone(), long.clone()], policy);
            assert!(view.is_conflict());
            view.sides[0].entry.clone()
        };
        for (policy, winner) in [
            (Policy::Newer, &short),
            (Policy::Older, &long),
            (Policy::Larger, &long),
            (Policy::Smaller, &short),
            (Policy::Prefer(long.author.device), &long),
            (Policy::Prefer(short.author.device), &short),
            (Policy::Prefer(DeviceId([9; 32])), &short),
        ] {
            assert_eq!(wins(policy), *winner, "{policy:?}");
        }
        let folder = Entry {
            kind: Kind::Folder,
            ..file("p", 3, b"", 0)
        };
        let view = View::new(&[short.clone(), folder.clone()], Policy::Newer);
        assert_eq!(view.sides[0].entry, folder);
        assert!(!View::new(&[short], Policy::Newer).is_conflict());
    }

    #[test]
    fn long_extensions_and_dot_files_belong_to_the_stem() {
        for (name, stem) in [
            (format!("four.{}", "x".repeat(31)), "four".to_owned()),
            (
                format!("four.{}", "x".repeat(32)),
                format!("four.{}", "x".repeat(32)),
            ),
            (".profile".to_owned(), ".profile".to_owned()),
            ("a.b.c".to_owned(), "a.b".to_owned()),
            ("plain".to_owned(), "plain".to_owned()),
        ] {
            let prefix = copy_prefix(&RelPath::new(&name).unwrap());
            assert_eq!(prefix, format!("{stem}{MARK}"));
        }
    }

    #[test]
    fn names_are_cut_where_there_is_no_room_and_tell_so() {
        for (stem, extension, digits, is_cut) in [
            ("n".repeat(214), "", 6, false),
            ("n".repeat(215), "", 6, true),
            ("n".repeat(210), ".txt", 6, false),
            ("n".repeat(211), ".txt", 6, true),
            ("n".repeat(188), "", 32, false),
            ("n".repeat(189), "", 32, true),
            ("é".repeat(106), "", 6, false),
            ("é".repeat(108), "", 6, true),
        ] {
            let loser = file(&format!("d/{stem}{extension}"), 1, b"x", 0);
            let copy = copy_path(&loser, digits).unwrap();
            let told = format!("{stem}{extension} {digits}");
            assert!(copy.name().len() <= NAME_MAX_BYTES, "{told}");
            assert!(copy.name().starts_with(&copy_prefix(&loser.path)), "{told}");
            assert_eq!(
                copied_from(&copy) != Some(loser.path.clone()),
                is_cut,
                "{told}"
            );
            if is_cut {
                let (cut, end) = cut_from(&copy).unwrap();
                assert!(loser.path.as_str().starts_with(cut.as_str()), "{told}");
                assert!(copy.name().len() > NAME_MAX_BYTES - 4, "{told}");
                assert_eq!(end, extension, "{told}");
            }
        }
        let whole = file("d/short.txt", 1, b"x", 0);
        assert_eq!(cut_from(&copy_path(&whole, 6).unwrap()), None);
        assert_eq!(copy_prefix(&whole.path), "short.conflict-");
        let room = file(&"n".repeat(100), 1, b"x", 0);
        assert_eq!(cut_from(&copy_path(&room, 6).unwrap()), None);
        let long = file(&"n".repeat(240), 1, b"x", 0);
        assert_eq!(copy_prefix(&long.path), "n".repeat(188));
        let long = file(&format!("{}.txt", "n".repeat(190)), 1, b"x", 0);
        assert_eq!(copy_prefix(&long.path), "n".repeat(184));
        // Three bytes of the last letter have no room.
        let wide = copy_path(&file(&format!("{}.tx", "😀".repeat(60)), 1, b"x", 0), 6).unwrap();
        assert_eq!(wide.name().len(), NAME_MAX_BYTES - 3);
        let stem = RelPath::new(&"😀".repeat(52)).unwrap();
        assert_eq!(cut_from(&wide), Some((stem, ".tx".to_owned())));
    }

    #[test]
    fn dates_by_table() {
        for (seconds, text) in [
            (0, "19700101-000000"),
            (-1, "19691231-235959"),
            (951_782_400, "20000229-000000"),
            (1_709_251_199, "20240229-235959"),
            (-8_515_238_401, "17000228-235959"),
            (-8_515_238_400, "17000301-000000"),
            (-5_364_745_077, "17991231-010203"),
            (-2_203_934_400, "19000228-120000"),
            (-2_203_891_200, "19000301-000000"),
            (946_684_799, "19991231-235959"),
            (951_868_800, "20000301-000000"),
            (1_104_469_567, "20041231-050607"),
            (1_700_000_000, "20231114-221320"),
            (4_107_542_399, "21000228-235959"),
            (4_107_542_400, "21000301-000000"),
            (7_289_615_655, "22001231-131415"),
            (9_198_691_750, "22610630-080910"),
        ] {
            assert_eq!(utc_stamp(seconds * 1_000_000_000), text);
        }
        assert_eq!(utc_stamp(i64::MIN), "16770921-001243");
    }
}
