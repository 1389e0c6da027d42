//! The rows of one folder, as a page shows them. Small folders come whole, as a tree that opens; of
//! large ones a page shows one level, a part at a time, so that it stays small and quick.

use super::preview::Preview;
use crate::port::{Row, RowKind};
use crate::target::{encode_name, encode_path};
use shoal_protocol::display::bytes_human;
use shoal_protocol::path::RelPath;

/// Lines of a folder on one page, and the most that a tree shows at once.
pub(crate) const LINES_MAX: usize = 100;

/// One folder of a share, or its root.
pub(crate) struct Tree {
    pub(crate) lines: Vec<Line>,
    /// From 1.
    pub(crate) page: usize,
    pub(crate) pages: usize,
    /// In the folder and all below it.
    pub(crate) totals: Totals,
}

/// Of files, with all that is below.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// What a page writes, one after the other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    File {
        name: String,
        size: String,
        /// Below `/s/<id>`: `v/…` if it can be shown, else `f/…`.
        opens: String,
        /// `f/…`
        gives: String,
    },
    Symlink {
        name: String,
        target: String,
    },
    /// A folder that is a page of its own: `d/…`.
    Folder {
        name: String,
        sum: String,
        opens: String,
    },
    /// A folder whose lines follow, up to the next [`Line::Close`] of its own.
    Open {
        name: String,
        sum: String,
    },
    Close,
}

impl Totals {
    pub(crate) fn sum(self) -> String {
        let files = match self.files {
            1 => "1 file".to_owned(),
            files => format!("{} files", grouped(files)),
        };
        format!("{files}, {}", bytes_human(self.bytes))
    }
}

impl Tree {
    /// The lines of `folder` (none: the root) on page `page`, from `rows` in snapshot order. None if
    /// there is no such folder or page.
    pub(crate) fn of(rows: &[Row], folder: Option<&RelPath>, page: usize) -> Option<Self> {
        let depth = folder.map_or(0, |folder| folder.components().count());
        let inside = match folder {
            None => rows,
            Some(folder) => below(rows, folder)?,
        };
        let children = children(inside, depth);
        let whole = inside.len() <= LINES_MAX;
        let pages = if whole {
            1
        } else {
            children.len().div_ceil(LINES_MAX).max(1)
        };
        if !(1..=pages).contains(&page) {
            return None;
        }
        let mut lines = Vec::new();
        let from = (page - 1) * LINES_MAX;
        for child in children.iter().skip(from).take(LINES_MAX) {
            push(&mut lines, child, depth, whole);
        }
        Some(Self {
            lines,
            page,
            pages,
            totals: totals(inside),
        })
    }
}

/// One name in a folder: its own row and those below it.
struct Child<'a> {
    name: &'a str,
    own: Option<&'a Row>,
    inside: &'a [Row],
}

/// Rows below a folder, without its own.
fn below<'a>(rows: &'a [Row], folder: &RelPath) -> Option<&'a [Row]> {
    let from = rows.partition_point(|row| row.path < *folder);
    let rest = rows.get(from..)?;
    let (own, rest) = match rest.split_first() {
        Some((first, after)) if first.path == *folder => (Some(first), after),
        _ => (None, rest),
    };
    if own.is_some_and(|row| row.kind != RowKind::Folder) {
        return None;
    }
    let len = rest.partition_point(|row| is_below(&row.path, folder));
    if own.is_none() && len == 0 {
        return None;
    }
    rest.get(..len)
}

fn is_below(path: &RelPath, folder: &RelPath) -> bool {
    path.as_str()
        .strip_prefix(folder.as_str())
        .is_some_and(|rest| rest.starts_with('/'))
}

/// Folders first, then the rest, each in snapshot order.
fn children(mut rows: &[Row], depth: usize) -> Vec<Child<'_>> {
    let mut found = Vec::new();
    while let Some(first) = rows.first() {
        let Some(name) = first.path.components().nth(depth) else {
            rows = rows.get(1..).unwrap_or_default();
            continue;
        };
        let len = rows.partition_point(|row| row.path.components().nth(depth) == Some(name));
        let (own, rest) = rows.split_at(len.max(1));
        rows = rest;
        let is_own = first.path.components().count() == depth + 1;
        found.push(Child {
            name,
            own: is_own.then_some(first),
            inside: own.get(usize::from(is_own)..).unwrap_or_default(),
        });
    }
    found.sort_by_key(|child| !child.is_folder());
    found
}

impl Child<'_> {
    fn is_folder(&self) -> bool {
        self.own.is_none_or(|row| row.kind == RowKind::Folder)
    }
}

fn push(lines: &mut Vec<Line>, child: &Child<'_>, depth: usize, whole: bool) {
    let name = child.name.to_owned();
    match child.own.map(|row| (row, &row.kind)) {
        Some((row, RowKind::File { size })) => {
            let path = encode_path(&row.path);
            let gives = format!("f/{path}");
            let opens = match Preview::of(row.path.name()) {
                Some(_) => format!("v/{path}"),
                None => gives.clone(),
            };
            lines.push(Line::File {
                name,
                size: bytes_human(*size),
                opens,
                gives,
            });
        }
        Some((_, RowKind::Symlink { target })) => lines.push(Line::Symlink {
            name,
            target: target.clone(),
        }),
        Some((_, RowKind::Folder)) | None => {
            let sum = totals(child.inside).sum();
            if whole {
                lines.push(Line::Open { name, sum });
                for inner in children(child.inside, depth + 1) {
                    push(lines, &inner, depth + 1, whole);
                }
                lines.push(Line::Close);
            } else {
                lines.push(Line::Folder {
                    name,
                    sum,
                    opens: folder_address(child, depth),
                });
            }
        }
    }
}

fn folder_address(child: &Child<'_>, depth: usize) -> String {
    let any = child.own.or(child.inside.first());
    let parts = any
        .into_iter()
        .flat_map(|row| row.path.components().take(depth + 1));
    let mut address = String::from("d");
    for part in parts {
        address.push('/');
        address.extend(encode_name(part));
    }
    address
}

fn totals(rows: &[Row]) -> Totals {
    rows.iter().fold(Totals::default(), |mut sum, row| {
        if let RowKind::File { size } = row.kind {
            sum.files += 1;
            sum.bytes += size;
        }
        sum
    })
}

/// `12,345`
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rows(paths: &[&str]) -> Vec<Row> {
        let mut rows: Vec<_> = paths
            .iter()
            .map(|path| Row {
                path: RelPath::new(path.trim_end_matches('/')).unwrap(),
                kind: match path.ends_with('/') {
                    true => RowKind::Folder,
                    false => RowKind::File { size: 10 },
                },
                mtime_ns: 0,
                mode: 0o644,
            })
            .collect();
        rows.sort_by(|a, b| a.path.cmp(&b.path));
        rows
    }

    fn names(tree: &Tree) -> String {
        let names = tree.lines.iter().map(|line| match line {
            Line::File { name, .. } | Line::Symlink { name, .. } => name.clone(),
            Line::Folder { name, sum, .. } => format!("{name}→{sum}"),
            Line::Open { name, .. } => format!("{name}("),
            Line::Close => ")".into(),
        });
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_small_share_is_one_tree_with_folders_first() {
        let rows = rows(&["a.txt", "b/", "b/c/", "b/c/x", "b/y", "d/e/f", "g/"]);
        let tree = Tree::of(&rows, None, 1).unwrap();
        assert_eq!(names(&tree), "b( c( x ) y ) d( e( f ) ) g( ) a.txt");
        assert_eq!(
            tree.totals,
            Totals {
                files: 4,
                bytes: 40
            }
        );
    }

    #[test]
    fn a_folder_is_what_lies_below_it_alone() {
        let rows = rows(&["a/", "a/b/", "a/b/x", "a b/y", "a-b", "a.txt", "ab/z"]);
        let folder = |path| Tree::of(&rows, Some(&RelPath::new(path).unwrap()), 1);
        assert_eq!(names(&folder("a").unwrap()), "b( x )");
        assert_eq!(names(&folder("a/b").unwrap()), "x");
        assert_eq!(names(&folder("ab").unwrap()), "z");
        for wrong in ["a.txt", "nothing", "a/b/x", "z"] {
            assert!(folder(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_large_share_has_levels_and_pages() {
        let many: Vec<_> = (0..250).map(|n| format!("n{n:03}")).collect();
        let mut paths: Vec<_> = many.iter().map(String::as_str).collect();
        paths.push("dir/in/a b");
        let rows = rows(&paths);
        let tree = Tree::of(&rows, None, 1).unwrap();
        assert_eq!((tree.pages, tree.lines.len()), (3, LINES_MAX));
        assert!(names(&tree).starts_with("dir→1 file, 10 B n000"));
        let opens = Line::Folder {
            name: "dir".into(),
            sum: "1 file, 10 B".into(),
            opens: "d/dir".into(),
        };
        assert_eq!(tree.lines.first(), Some(&opens));
        assert_eq!(Tree::of(&rows, None, 3).unwrap().lines.len(), 51);
        assert!(Tree::of(&rows, None, 0).is_none());
        assert!(Tree::of(&rows, None, 4).is_none());
    }

    #[test]
    fn nothing_is_an_empty_page() {
        let tree = Tree::of(&[], None, 1).unwrap();
        assert_eq!((tree.lines.len(), tree.pages), (0, 1));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
