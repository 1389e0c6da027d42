//! What a program can check of the project's habits. Each check returns sentences, one for each violation, so that
//! one run shows them all.

mod code;
mod manifest;
mod rules;

pub use code::{Function, SourceFile, functions, mask_comments_and_strings};
pub use manifest::{Crate, import_table, workspace_crates};
pub use rules::*;

use std::path::{Path, PathBuf};

/// The workspace root, found from where this crate was compiled.
pub fn workspace_root() -> PathBuf {
    let tests_crate = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests_crate
        .parent()
        .expect("the tests crate lies inside the workspace")
        .to_path_buf()
}

/// Every file below `root` whose name ends in one of `extensions`, sorted; build output and version control are left
/// out.
pub fn files_below(root: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    const SKIPPED: [&str; 7] = [
        "target",
        ".git",
        "corpus",
        "artifacts",
        "coverage",
        "__pycache__",
        "node_modules",
    ];
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if extensions
                .iter()
                .any(|wanted| name.rsplit('.').next() == Some(*wanted))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
