//! The project's habits, as far as a program can check them. Each test shows all violations of its rule at once.

use std::path::PathBuf;

use shoal_tests::tidy;

#[test]
fn walls() {
    let root = tidy::workspace_root();
    let crates = tidy::workspace_crates(&root).expect("cargo metadata answers");
    let table = tidy::import_table(&root).expect("ARCHITECTURE.md has a code map");
    let mut wrong = tidy::walls(&crates, &table);
    wrong.extend(tidy::foreign_walls(&crates));
    none(&wrong);
}

#[test]
fn manifests() {
    let root = tidy::workspace_root();
    let crates = tidy::workspace_crates(&root).expect("cargo metadata answers");
    let text =
        std::fs::read_to_string(root.join("Cargo.toml")).expect("the workspace has a manifest");
    none(&tidy::manifests(&text, &crates));
}

#[test]
fn file_lengths() {
    none(&tidy::file_lengths(&sources()));
}

#[test]
fn function_lengths() {
    none(&tidy::function_lengths(&sources()));
}

#[test]
fn names() {
    none(&tidy::module_names(&sources()));
}

#[test]
fn banned_calls() {
    none(&tidy::banned_calls(&sources()));
}

#[test]
fn forgotten_files() {
    let root = tidy::workspace_root();
    let crates = tidy::workspace_crates(&root).expect("cargo metadata answers");
    none(&tidy::forgotten_files(&root, &sources(), &crates));
}

#[test]
fn machine_paths() {
    let root = tidy::workspace_root();
    let mut files = tidy::files_below(&root, &["md", "rs", "toml", "py", "sh", "yml"]);
    for folder in ["scripts", ".ci"] {
        let entries = std::fs::read_dir(root.join(folder)).expect("scripts and .ci exist");
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    none(&tidy::machine_paths(&root, &files));
}

fn sources() -> Vec<tidy::SourceFile> {
    let root = tidy::workspace_root();
    let paths: Vec<PathBuf> = tidy::files_below(&root, &["rs"]);
    assert!(paths.len() > 10, "the workspace's sources were not found");
    paths
        .iter()
        .map(|path| {
            let relative = path.strip_prefix(&root).expect("a path below the root");
            tidy::SourceFile::read(&root, relative).expect("a source file is UTF-8")
        })
        .collect()
}

fn none(wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{} to tidy:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
