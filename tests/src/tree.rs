//! Trees to share: made from a seed, so that a failing one can be made again.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Random;

/// A tree or a single file on disk, made for a test.
pub struct Tree {
    path: PathBuf,
}

impl Tree {
    /// An empty folder `parent/name`.
    pub fn folder(parent: &Path, name: &str) -> Result<Tree> {
        let path = parent.join(name);
        fs::create_dir_all(&path)?;
        Ok(Tree { path })
    }

    /// One file of random bytes.
    pub fn single_file(parent: &Path, name: &str, bytes: u64, random: &mut Random) -> Result<Tree> {
        fs::create_dir_all(parent)?;
        let path = parent.join(name);
        write_random(&path, bytes, random)?;
        Ok(Tree { path })
    }

    /// A little of everything that a person's folder has.
    pub fn mixed(parent: &Path, name: &str, random: &mut Random) -> Result<Tree> {
        let tree = Tree::folder(parent, name)?;
        tree.file("readme.txt", 1000, random)?;
        tree.file("photos/one.jpg", 300_000, random)?;
        tree.file("photos/two.jpg", 70_001, random)?;
        tree.file("deep/er/and/deeper/file.bin", 16_384, random)?;
        tree.file("empty", 0, random)?;
        Ok(tree)
    }

    /// Names that programs stumble over, as far as other people's clients keep them: libtorrent shortens names above
    /// 240 bytes and drops backslashes and control characters, and Transmission refuses a torrent with a name of dots.
    pub fn odd_names(parent: &Path, random: &mut Random) -> Result<Tree> {
        let tree = Tree::folder(parent, "Ünïcödé 名前")?;
        for name in [
            "with space.txt",
            " leading space",
            "trailing dot.",
            "-leading-dash",
            "--help",
            "quote's.txt",
            "double \"quotes\".txt",
            "percent %20 %.txt",
            "plus+and&amp;=?#hash.txt",
            "semi;colon, comma.txt",
            "名前/ファイル.txt",
            "emoji 🐟🐠.txt",
            "combining e\u{301}.txt",
            "Ελληνικά.txt",
            "عربى.txt",
            "$HOME `ls` $(ls).txt",
            "<script>alert(1)</script>",
            "star*.txt",
            "tilde~",
            ".hidden",
        ] {
            let len = 1 + random.below(40_000);
            // A slash separates folders here, as in `</script>`.
            tree.file(name, len, random)?;
        }
        tree.file(&"n".repeat(240), 10, random)?;
        Ok(tree)
    }

    /// So many files of `bytes` each, in folders of 100.
    pub fn many_files(
        parent: &Path,
        name: &str,
        files: u32,
        bytes: u64,
        random: &mut Random,
    ) -> Result<Tree> {
        let tree = Tree::folder(parent, name)?;
        for number in 0..files {
            tree.file(
                &format!("folder-{:03}/file-{number:05}.dat", number / 100),
                bytes,
                random,
            )?;
        }
        Ok(tree)
    }

    /// Empty files first, in the middle and last, where encoders lose a hash.
    pub fn empty_files(parent: &Path, random: &mut Random) -> Result<Tree> {
        let tree = Tree::folder(parent, "some empty")?;
        tree.file("a-empty", 0, random)?;
        tree.file("b", 100_000, random)?;
        tree.file("c-empty", 0, random)?;
        tree.file("d/empty", 0, random)?;
        tree.file("e", 1, random)?;
        tree.file("z-empty", 0, random)?;
        Ok(tree)
    }

    /// Every file a multiple of every piece length up to 4 MiB, so that the whole is one as well.
    pub fn piece_multiples(parent: &Path, random: &mut Random) -> Result<Tree> {
        let tree = Tree::folder(parent, "multiples")?;
        tree.file("one", 4 << 20, random)?;
        tree.file("two", 8 << 20, random)?;
        tree.file("three", 4 << 20, random)?;
        Ok(tree)
    }

    /// One sparse file: holes, with some random bytes at its start, middle and end.
    pub fn sparse_file(parent: &Path, name: &str, bytes: u64, random: &mut Random) -> Result<Tree> {
        fs::create_dir_all(parent)?;
        let path = parent.join(name);
        let file = File::create(&path)?;
        file.set_len(bytes)?;
        let some = random.bytes(100_000);
        for at in [0, bytes / 2, bytes - some.len() as u64] {
            file.write_all_at(&some, at)?;
        }
        Ok(Tree { path })
    }

    /// One big file without holes, written quickly: the same random mebibyte over and over.
    pub fn big_file(
        parent: &Path,
        name: &str,
        mebibytes: u32,
        random: &mut Random,
    ) -> Result<Tree> {
        fs::create_dir_all(parent)?;
        let path = parent.join(name);
        let mut file = File::create(&path)?;
        let block = random.bytes(1 << 20);
        for _ in 0..mebibytes {
            file.write_all(&block)?;
        }
        Ok(Tree { path })
    }

    /// Adds a file of random bytes at a relative path.
    pub fn file(&self, relative: &str, bytes: u64, random: &mut Random) -> Result<PathBuf> {
        let path = self.path.join(relative);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        write_random(&path, bytes, random)?;
        Ok(path)
    }

    /// Adds what only BEP 47 and our manifest can say: an executable, links inside the tree, an empty folder, and
    /// times of long ago.
    pub fn with_attributes(self, random: &mut Random) -> Result<Tree> {
        let program = self.file("bin/run.sh", 100, random)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        symlink("bin/run.sh", self.path.join("run"))?;
        symlink("run.sh", self.path.join("bin/again"))?;
        fs::create_dir_all(self.path.join("docs"))?;
        symlink("../bin/run.sh", self.path.join("docs/up and down"))?;
        fs::create_dir_all(self.path.join("nothing/in/here"))?;
        let old = fs::File::options().write(true).open(&program)?;
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
        old.set_modified(long_ago)?;
        Ok(self)
    }

    /// Adds names that only Shoal keeps on both sides.
    pub fn with_names_of_our_own(self, random: &mut Random) -> Result<Tree> {
        for name in [
            "...",
            "back\\slash.txt",
            "new\nline",
            "bell\u{7}",
            "escape\u{1b}[31mred",
            "\u{202e}txt.exe",
        ] {
            self.file(name, 1 + random.below(5000), random)?;
        }
        self.file(&"ü".repeat(127), 10, random)?;
        self.file(&"x".repeat(255), 10, random)?;
        Ok(self)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its last name, under which a link offers it.
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }
}

fn write_random(path: &Path, bytes: u64, random: &mut Random) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    let mut left = bytes;
    let mut buffer = vec![0; 1 << 20];
    while left > 0 {
        let len = left.min(buffer.len() as u64) as usize;
        random.fill(&mut buffer[..len]);
        file.write_all(&buffer[..len])?;
        left -= len as u64;
    }
    Ok(())
}
