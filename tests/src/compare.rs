//! Whether two trees are the same.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// How much of a tree must be the same, beside the bytes of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attributes {
    /// Nothing else: a torrent client that does not know BEP 47. A link may come as an empty file or not at all.
    BytesOnly,
    /// Executable bits and links: what BEP 47 carries.
    Bep47,
    /// Empty folders and times as well: what our manifest carries.
    All,
}

/// Panics with a list if `actual` is not what `expected` is. Either is a file or a folder.
#[track_caller]
pub fn assert_same_tree(expected: &Path, actual: &Path, attributes: Attributes) {
    let found = differences(expected, actual, attributes)
        .unwrap_or_else(|error| panic!("comparing {}: {error:#}", actual.display()));
    assert!(
        found.is_empty(),
        "{} is not {}:\n{}",
        actual.display(),
        expected.display(),
        found[..found.len().min(40)].join("\n")
    );
}

/// One sentence for each difference.
pub fn differences(expected: &Path, actual: &Path, attributes: Attributes) -> Result<Vec<String>> {
    let wanted = walk(expected)?;
    let got = walk(actual)?;
    let mut found = Vec::new();
    for (path, wanted_kind) in &wanted {
        let shown = if path.is_empty() {
            "(root)".to_owned()
        } else {
            path.to_string_lossy().into_owned()
        };
        let counts = match wanted_kind {
            Kind::File => true,
            Kind::Link(_) => attributes >= Attributes::Bep47,
            Kind::Folder => attributes == Attributes::All,
        };
        if !counts {
            continue;
        }
        match got.get(path) {
            None => found.push(format!("{shown}: missing")),
            Some(kind) if kind != wanted_kind => {
                found.push(format!("{shown}: is {kind:?}, should be {wanted_kind:?}"));
            }
            Some(_) => found.extend(
                entry_differences(
                    &join(expected, path),
                    &join(actual, path),
                    wanted_kind,
                    attributes,
                )?
                .map(|what| format!("{shown}: {what}")),
            ),
        }
    }
    for (path, kind) in &got {
        if !wanted.contains_key(path) && *kind != Kind::Folder {
            found.push(format!("{}: should not be there", path.to_string_lossy()));
        }
    }
    Ok(found)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    Link(PathBuf),
}

/// Relative paths and their kinds; the root itself is the empty path.
fn walk(root: &Path) -> Result<BTreeMap<OsString, Kind>> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(relative) = open.pop() {
        let path = join(root, relative.as_os_str());
        let meta = fs::symlink_metadata(&path)
            .with_context(|| format!("looking at {}", path.display()))?;
        let kind = if meta.is_symlink() {
            Kind::Link(fs::read_link(&path)?)
        } else if meta.is_dir() {
            for entry in fs::read_dir(&path)? {
                open.push(relative.join(entry?.file_name()));
            }
            Kind::Folder
        } else {
            Kind::File
        };
        found.insert(relative.into_os_string(), kind);
    }
    Ok(found)
}

fn join(root: &Path, relative: &std::ffi::OsStr) -> PathBuf {
    if relative.as_bytes().is_empty() {
        root.to_path_buf()
    } else {
        root.join(relative)
    }
}

fn entry_differences(
    expected: &Path,
    actual: &Path,
    kind: &Kind,
    attributes: Attributes,
) -> Result<Option<String>> {
    if *kind != Kind::File {
        return Ok(None);
    }
    if let Some(what) = byte_difference(expected, actual)? {
        return Ok(Some(what));
    }
    let (wanted, got) = (fs::metadata(expected)?, fs::metadata(actual)?);
    let executable = |meta: &fs::Metadata| meta.permissions().mode() & 0o100 != 0;
    if attributes >= Attributes::Bep47 && executable(&wanted) != executable(&got) {
        return Ok(Some(format!("executable is {}", executable(&got))));
    }
    let times = |meta: &fs::Metadata| (meta.mtime(), meta.mtime_nsec());
    if attributes == Attributes::All && times(&wanted) != times(&got) {
        return Ok(Some(format!(
            "mtime is {:?}, should be {:?}",
            times(&got),
            times(&wanted)
        )));
    }
    Ok(None)
}

fn byte_difference(expected: &Path, actual: &Path) -> Result<Option<String>> {
    let (wanted, got) = (File::open(expected)?, File::open(actual)?);
    let (wanted_len, got_len) = (wanted.metadata()?.len(), got.metadata()?.len());
    if wanted_len != got_len {
        return Ok(Some(format!("{got_len} bytes, should be {wanted_len}")));
    }
    let mut wanted = BufReader::new(wanted);
    let mut got = BufReader::new(got);
    let (mut ours, mut theirs) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut at = 0_u64;
    while at < wanted_len {
        let len = (wanted_len - at).min(1 << 20) as usize;
        wanted.read_exact(&mut ours[..len])?;
        got.read_exact(&mut theirs[..len])?;
        if ours[..len] != theirs[..len] {
            let offset = ours.iter().zip(&theirs).position(|(a, b)| a != b);
            return Ok(Some(format!(
                "differs from byte {}",
                at + offset.unwrap_or(0) as u64
            )));
        }
        at += len as u64;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Random, Tree};

    #[test]
    fn each_kind_of_difference_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let tree = |name: &str| {
            let mut random = Random::seeded(7);
            Tree::mixed(dir.path(), name, &mut random)
                .unwrap()
                .with_attributes(&mut random)
                .unwrap()
        };
        let (a, b) = (tree("a"), tree("b"));
        let old = fs::metadata(a.path().join("readme.txt"))
            .unwrap()
            .modified()
            .unwrap();
        let touch = |path: &Path| {
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(old)
                .unwrap()
        };
        for name in [
            "readme.txt",
            "photos/one.jpg",
            "photos/two.jpg",
            "deep/er/and/deeper/file.bin",
            "empty",
        ] {
            touch(&a.path().join(name));
            touch(&b.path().join(name));
        }
        let count = |attributes| differences(a.path(), b.path(), attributes).unwrap().len();
        assert_eq!(
            differences(a.path(), b.path(), Attributes::All).unwrap(),
            [""; 0]
        );
        fs::remove_dir(b.path().join("nothing/in/here")).unwrap();
        assert_eq!((count(Attributes::All), count(Attributes::Bep47)), (1, 0));
        fs::remove_file(b.path().join("run")).unwrap();
        assert_eq!(
            (count(Attributes::Bep47), count(Attributes::BytesOnly)),
            (1, 0)
        );
        fs::write(b.path().join("extra"), "").unwrap();
        fs::write(b.path().join("readme.txt"), "short").unwrap();
        assert_eq!(count(Attributes::BytesOnly), 2);
    }
}
