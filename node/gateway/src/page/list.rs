//! The page of a link, and of each folder in it.

use super::tree::{Line, Tree, grouped};
use super::{Crumb, crumbs, file_address, icons, qr, rendered};
use crate::list::Listing;
use crate::port::{About, Stage};
use crate::target::encode_name;
use askama::Template;
use shoal_protocol::display::bytes_human;
use shoal_protocol::manifest::Shape;
use shoal_protocol::path::RelPath;
use std::time::{Duration, UNIX_EPOCH};

/// Lines up to which folders of a tree are open from the start.
const OPEN_LINES: usize = 24;

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage<'a> {
    about: &'a About,
    /// `/s/<id>`
    path: &'a str,
    link: String,
    sum: String,
    size: String,
    /// A word for programs, a sentence for people.
    counting: Option<(&'static str, String)>,
    everything: Everything,
    torrent: String,
    end: Option<End>,
    downloads_left: Option<String>,
    qr: Option<String>,
    folder: Option<&'a str>,
    crumbs: Vec<Crumb>,
    tree: Tree,
    open: bool,
    empty: &'static str,
}

/// How all of it is taken in a browser.
enum Everything {
    Zip { address: String },
    File { address: String },
    Nothing,
}

struct End {
    left: String,
    iso: String,
    text: String,
}

/// The page of a folder, or of the whole share.
pub(crate) fn list(listing: &Listing<'_>, folder: Option<&RelPath>, tree: Tree) -> String {
    let about = listing.about;
    let link = format!("{}{}", listing.origin, listing.path);
    rendered(&ListPage {
        about,
        path: listing.path,
        sum: sum(about),
        size: bytes_human(about.bytes),
        counting: counting(about),
        everything: everything(listing),
        torrent: format!("{}/{}.torrent", listing.path, encode_name(&about.name)),
        end: about.expires_s.map(|at_s| End::of(at_s, listing.now_s)),
        downloads_left: about.downloads_left.map(|left| match left {
            1 => "one more person can take it".to_owned(),
            left => format!("{} more people can take it", grouped(left)),
        }),
        qr: (!listing.origin.is_empty())
            .then(|| qr::svg(&link))
            .flatten(),
        link,
        folder: folder.map(RelPath::name),
        crumbs: folder.map_or_else(Vec::new, |folder| crumbs(about, listing.path, folder)),
        open: tree.lines.len() <= OPEN_LINES,
        tree,
        empty: match about.stage {
            Stage::Walking => "The files are still being looked up.",
            _ => "There is nothing in it.",
        },
    })
}

fn sum(about: &About) -> String {
    let files = match about.files {
        1 => "1 file".to_owned(),
        files => format!("{} files", grouped(files)),
    };
    format!("{files}, {}", bytes_human(about.bytes))
}

fn counting(about: &About) -> Option<(&'static str, String)> {
    Some(match &about.stage {
        Stage::Ready => return None,
        Stage::Walking => (
            "walking",
            "Still counting: the list appears in a moment.".to_owned(),
        ),
        Stage::Hashing => (
            "hashing",
            "Still counting for torrent clients. The files can be taken already.".to_owned(),
        ),
        Stage::Failed { why } => ("failed", format!("Not for torrent clients: {why}")),
    })
}

fn everything(listing: &Listing<'_>) -> Everything {
    let about = listing.about;
    match (about.shape, listing.all_rows.first()) {
        (_, None) => Everything::Nothing,
        (Shape::SingleFile, Some(row)) => Everything::File {
            address: file_address(listing.path, &row.path),
        },
        (Shape::Folder, Some(_)) => Everything::Zip {
            address: format!("{}/{}.zip", listing.path, encode_name(&about.name)),
        },
    }
}

impl End {
    fn of(at_s: u64, now_s: u64) -> Self {
        // The last second of year 9999 is the last that texts of dates have a form for.
        let moment = UNIX_EPOCH + Duration::from_secs(at_s.min(253_402_300_799));
        let text = httpdate::fmt_http_date(moment);
        Self {
            left: left(at_s.saturating_sub(now_s)),
            iso: iso(&text),
            text,
        }
    }
}

/// In one unit, the next smaller one where there are fewer than two of it.
fn left(seconds: u64) -> String {
    match seconds {
        172_800.. => format!("{} days", grouped(seconds / 86_400)),
        7_200.. => format!("{} hours", seconds / 3_600),
        120.. => format!("{} minutes", seconds / 60),
        _ => "less than two minutes".to_owned(),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as `1994-11-06T08:49:37Z`.
fn iso(http_date: &str) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let parts: Vec<_> = http_date.split(' ').collect();
    let [_, day, month, year, time, _] = parts.as_slice() else {
        return String::new();
    };
    let month = MONTHS.find(month).map_or(0, |at| at / 3 + 1);
    format!("{year}-{month:02}-{day}T{time}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_to_people_and_programs() {
        let end = End::of(784_111_777, 784_111_777 - 86_400);
        assert_eq!(end.iso, "1994-11-06T08:49:37Z");
        assert_eq!(end.left, "24 hours");
        assert_eq!(left(7 * 86_400 - 1), "6 days");
        assert_eq!(left(7_199), "119 minutes");
        assert_eq!(left(0), "less than two minutes");
        assert_eq!(End::of(u64::MAX, 0).iso, "9999-12-31T23:59:59Z");
    }
}
