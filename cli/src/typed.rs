//! Names and paths as they are typed: what goes into a line that people copy, and what comes from one.

use std::path::{Component, Path, PathBuf};

use shoal_api::FilesetView;
use shoal_protocol::display::escape;

use crate::failure::Failure;

/// Hexadecimal digits of a fileset's id that stand for it.
const ID_DIGITS: usize = 8;

/// A text as one word of a shell; control characters in the form that bash, zsh and ksh read.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    if escape(text) == text {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let mut quoted = "$'".to_owned();
    for c in text.chars() {
        let shown = c.to_string();
        match c {
            '\'' | '\\' => quoted.extend(['\\', c]),
            _ if escape(&shown) == shown => quoted.push(c),
            _ => quoted.extend(shown.bytes().map(|byte| format!("\\x{byte:02x}"))),
        }
    }
    quoted.push('\'');
    quoted
}

/// What names a fileset among `all` in a command: its name, or its id where the name is another's too, or would be
/// taken for an option.
pub(crate) fn fileset(view: &FilesetView, all: &[FilesetView]) -> String {
    let namesakes = all.iter().filter(|other| other.name == view.name).count();
    if namesakes > 1 || view.name.starts_with('-') {
        return view.id.chars().take(ID_DIGITS).collect();
    }
    word(&view.name)
}

/// A path from the command line, absolute, for a node that was started in another folder. Its last name is not
/// followed: it may be a link that is meant itself.
pub(crate) fn absolute(path: &Path) -> Result<String, Failure> {
    if path.as_os_str().is_empty() {
        return Err(Failure::usage("an empty path names nothing", "name a path"));
    }
    let failed = |error| Failure::path("cannot find", path, &error);
    let whole = std::path::absolute(path).map_err(failed)?;
    // Trailing slashes go.
    let mut whole: PathBuf = whole.components().collect();
    if whole.components().any(|it| it == Component::ParentDir) {
        // Behind a link `..` is another folder than it looks, so the system has to say.
        whole = match (whole.parent(), whole.file_name()) {
            (Some(parent), Some(name)) => parent.canonicalize().map_err(failed)?.join(name),
            _ => whole.canonicalize().map_err(failed)?,
        };
    }
    whole.into_os_string().into_string().map_err(|path| {
        let shown = shoal_protocol::display::escape_os(path.as_encoded_bytes());
        Failure::usage(
            format!("{shown} is not UTF-8, and cannot be named to other devices"),
            "rename it",
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::fileset::tests::view;

    #[test]
    fn a_word_is_what_a_shell_reads_as_the_same_text() {
        for (text, typed) in [
            ("work", "work"),
            ("/home/ä/名前.txt", "/home/ä/名前.txt"),
            ("my pics", "'my pics'"),
            ("it's", r"'it'\''s'"),
            ("$(ls)", "'$(ls)'"),
            ("", "''"),
            ("a\n'\\\u{202e}", r"$'a\x0a\'\\\xe2\x80\xae'"),
        ] {
            assert_eq!(word(text), typed);
            let said = std::process::Command::new("bash")
                .args(["-c", &format!("printf %s {typed}")])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), text);
        }
    }

    #[test]
    fn a_name_that_does_not_name_one_fileset_gives_way_to_the_id() {
        let (one, mut two) = (view("work"), view("work"));
        two.id = "fedcba9876543210".into();
        assert_eq!(fileset(&two, std::slice::from_ref(&two)), "work");
        assert_eq!(fileset(&two, &[one, two.clone()]), "fedcba98");
        assert_eq!(fileset(&view("--json"), &[]), "01234567");
    }

    #[test]
    fn paths_become_absolute_and_links_stay_links() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("a")).unwrap();
        std::os::unix::fs::symlink("a", real.join("link")).unwrap();
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        for (typed, meant) in [
            ("a/", "a"),
            ("a/./new", "a/new"),
            ("a/../link", "link"),
            ("link/../a/b", "a/b"),
        ] {
            let found = absolute(&real.join(typed)).unwrap();
            assert_eq!(found, text(real.join(meant)), "{typed}");
        }
        assert_eq!(absolute(&real.join("a/..")).unwrap(), text(real.clone()));
        assert!(absolute(Path::new("")).is_err());
        assert!(absolute(&real.join("no/../a")).is_err());
        assert!(Path::new(&absolute(Path::new("x")).unwrap()).is_absolute());
    }
}
