//! What a path in the jail may look like, by its text alone.

use crate::error::{Escape, JailErrorKind};

/// Bytes of one path component (`NAME_MAX` of Linux).
const NAME_MAX_BYTES: usize = 255;
/// Bytes of a path. The kernel takes one less at once; longer ones go component by component.
const PATH_MAX_BYTES: usize = 4096;

/// Refuses what is not a plain relative path of at least one component.
pub(crate) fn check(path: &str) -> Result<(), JailErrorKind> {
    if path.len() > PATH_MAX_BYTES {
        return Err(JailErrorKind::NameTooLong);
    }
    for part in path.split('/') {
        if part.is_empty() || part == "." || part == ".." || part.contains('\0') {
            return Err(JailErrorKind::Escape(Escape::Text));
        }
        if part.len() > NAME_MAX_BYTES {
            return Err(JailErrorKind::NameTooLong);
        }
    }
    Ok(())
}

/// The folder part, empty for the jail itself, and the name. The path was checked.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Whether a symlink at `path` with this target cannot lead outside, whatever other such links there are.
///
/// `..` may only stand at the front: `a/..` leaves the tree when `a` is a link to a folder higher up,
/// although its text does not.
pub fn symlink_target_stays(path: &str, target: &str) -> bool {
    if target.is_empty()
        || target.starts_with('/')
        || target.len() > PATH_MAX_BYTES
        || target.contains('\0')
    {
        return false;
    }
    let ups_allowed = path.split('/').count() - 1;
    let mut parts = target
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    let ups = parts.by_ref().take_while(|part| *part == "..").count();
    ups <= ups_allowed && parts.all(|part| part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths_pass() {
        for good in ["a", "a/b", "..a/b..", "...", "a\\b", "\u{202e}x"] {
            assert!(check(good).is_ok(), "{good:?}");
        }
        for bad in [
            "", "/", "/etc", "a/", "a//b", ".", "..", "a/..", "../a", "a/../b", "./a", "a\0b",
        ] {
            assert!(
                matches!(check(bad), Err(JailErrorKind::Escape(Escape::Text))),
                "{bad:?}"
            );
        }
        assert!(matches!(
            check(&"x".repeat(256)),
            Err(JailErrorKind::NameTooLong)
        ));
        assert!(matches!(
            check(&["x"; 2100].join("/")),
            Err(JailErrorKind::NameTooLong)
        ));
    }

    #[test]
    fn symlink_targets_climb_only_at_the_front_and_not_too_far() {
        for (path, target, stays) in [
            ("link", "x", true),
            ("link", "./x//y/", true),
            ("a/b/link", "../../x", true),
            ("a/b/link", "../../../x", false),
            ("link", "..", false),
            ("link", "/x", false),
            ("link", "", false),
            ("b/x", "c/d/../..", false),
            ("a/link", "../..foo", true),
        ] {
            assert_eq!(
                symlink_target_stays(path, target),
                stays,
                "{path} -> {target}"
            );
        }
    }
}
