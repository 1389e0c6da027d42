//! Relative paths inside a tree: UTF-8 components that name something below, never above.

use crate::limits::{NAME_MAX_BYTES, PATH_MAX_BYTES, PATH_MAX_DEPTH};
use std::cmp::Ordering;
use std::fmt;

/// Why a text is no path inside a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing, or an empty component.
    #[error("a part of the path is empty")]
    Empty,
    /// `.` or `..`.
    #[error("a part of the path is '.' or '..'")]
    Dots,
    /// `/` inside a component, or NUL.
    #[error("a name has a '/' or a NUL byte")]
    Forbidden,
    /// A component over 255 bytes.
    #[error("a name is longer than {NAME_MAX_BYTES} bytes")]
    LongName,
    /// Over 4,096 bytes or 256 components.
    #[error(
        "the path is longer than {PATH_MAX_BYTES} bytes or deeper than {PATH_MAX_DEPTH} folders"
    )]
    LongPath,
}

/// A path of at least one component, joined by `/`.
///
/// Order is by components as UTF-8 bytes, so that a folder comes right before what is in it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RelPath(Box<str>);

impl RelPath {
    /// From components.
    pub fn from_components<'a>(
        parts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, PathError> {
        let mut joined = String::new();
        for (index, part) in parts.into_iter().enumerate() {
            check_name(part)?;
            if index > 0 {
                joined.push('/');
            }
            joined.push_str(part);
            if index >= PATH_MAX_DEPTH || joined.len() > PATH_MAX_BYTES {
                return Err(PathError::LongPath);
            }
        }
        if joined.is_empty() {
            Err(PathError::Empty)
        } else {
            Ok(Self(joined.into()))
        }
    }

    /// From `/`-separated text.
    pub fn new(text: &str) -> Result<Self, PathError> {
        Self::from_components(text.split('/'))
    }

    /// This path with one more component.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        Self::from_components(self.components().chain([name]))
    }

    /// The text, components joined by `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components, first to last.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The last component.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Whether this path is inside the folder `other`, at any depth.
    pub fn is_below(&self, other: &RelPath) -> bool {
        self.0
            .strip_prefix(&*other.0)
            .is_some_and(|rest| rest.starts_with('/'))
    }

    /// All but the last component.
    pub fn parent(&self) -> Option<RelPath> {
        self.0
            .rsplit_once('/')
            .map(|(parent, _)| Self(parent.into()))
    }
}

/// Whether a text may be one component of a path.
pub fn check_name(name: &str) -> Result<(), PathError> {
    match name {
        "" => Err(PathError::Empty),
        "." | ".." => Err(PathError::Dots),
        _ if name.bytes().any(|b| b == b'/' || b == 0) => Err(PathError::Forbidden),
        _ if name.len() > NAME_MAX_BYTES => Err(PathError::LongName),
        _ => Ok(()),
    }
}

impl Ord for RelPath {
    fn cmp(&self, other: &Self) -> Ordering {
        // No name has a '/', and none has anything below it in a name: where two paths differ first, the one that
        // ends a name there comes first. The same as comparing component by component, without looking for them.
        let (ours, theirs) = (self.0.as_bytes(), other.0.as_bytes());
        let common = ours.iter().zip(theirs).position(|(a, b)| a != b);
        match common.and_then(|at| Some((ours.get(at)?, theirs.get(at)?))) {
            Some((b'/', _)) => Ordering::Less,
            Some((_, b'/')) => Ordering::Greater,
            Some((a, b)) => a.cmp(b),
            None => ours.len().cmp(&theirs.len()),
        }
    }
}

impl PartialOrd for RelPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Whether a symlink at `at` with this target stays inside the tree, by its text alone.
///
/// `..` counts only at the front: after a name it could leave by way of another link.
pub fn symlink_stays_inside(at: &RelPath, target: &str) -> bool {
    if target.is_empty()
        || target.starts_with('/')
        || target.len() > PATH_MAX_BYTES
        || target.contains('\0')
    {
        return false;
    }
    let parts = || target.split('/').filter(|part| !matches!(*part, "" | "."));
    let ups = parts().take_while(|part| *part == "..").count();
    ups < at.components().count() && parts().skip(ups).all(|part| part != "..")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn refuses_what_leaves_the_tree() {
        for (text, error) in [
            ("", PathError::Empty),
            ("/etc/passwd", PathError::Empty),
            ("a//b", PathError::Empty),
            ("../x", PathError::Dots),
            ("a/./b", PathError::Dots),
            ("a\0b", PathError::Forbidden),
        ] {
            assert_eq!(RelPath::new(text), Err(error), "{text:?}");
        }
        assert_eq!(RelPath::new(&"x".repeat(256)), Err(PathError::LongName));
        assert_eq!(
            RelPath::new(&vec!["x"; 257].join("/")),
            Err(PathError::LongPath)
        );
        assert!(RelPath::from_components(["a/b"]).is_err());
    }

    #[test]
    fn the_order_is_that_of_components() {
        let names = ["a", "a!", "a.b", "a0", "b", "\u{1}", "é", "日本"];
        let mut paths: Vec<RelPath> = Vec::new();
        for one in names {
            paths.push(RelPath::new(one).unwrap());
            for two in names {
                paths.push(RelPath::new(&format!("{one}/{two}")).unwrap());
                paths.push(RelPath::new(&format!("{one}/{two}/a")).unwrap());
            }
        }
        for one in &paths {
            for two in &paths {
                let by_components = one.components().cmp(two.components());
                assert_eq!(one.cmp(two), by_components, "{one:?} and {two:?}");
            }
        }
    }

    #[test]
    fn a_folder_sorts_right_before_its_contents() {
        let mut paths: Vec<_> = ["a.b", "a/b", "a", "a/a/c"]
            .iter()
            .map(|p| RelPath::new(p).unwrap())
            .collect();
        paths.sort();
        let texts: Vec<_> = paths.iter().map(RelPath::as_str).collect();
        assert_eq!(texts, ["a", "a/a/c", "a/b", "a.b"]);
    }

    #[test]
    fn symlinks_that_leave_are_seen() {
        let at = RelPath::new("a/b/link").unwrap();
        for (target, inside) in [
            ("../x", true),
            ("../../x", true),
            ("../../../x", false),
            ("/x", false),
            ("x/../../../../y", false),
            ("x/../y", false),
            ("./../x/./y", true),
            ("", false),
        ] {
            assert_eq!(symlink_stays_inside(&at, target), inside, "{target}");
        }
    }
}
