//! What the crates' manifests and ARCHITECTURE.md say about who may import whom.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A crate of the workspace, or the fuzz crate beside it.
pub struct Crate {
    /// The package's name.
    pub name: String,
    /// Its folder relative to the workspace root: `node/store`.
    pub folder: String,
    /// Names of its normal and build dependencies, ours and foreign.
    pub dependencies: BTreeSet<String>,
    /// The root files of its targets.
    pub roots: Vec<PathBuf>,
    /// Its description.
    pub description: String,
    /// Text of its Cargo.toml.
    pub manifest: String,
}

/// All crates, as `cargo metadata` describes them.
pub fn workspace_crates(root: &Path) -> Result<Vec<Crate>> {
    let mut crates = metadata(root, &root.join("Cargo.toml"))?;
    let fuzz = root.join("fuzz/Cargo.toml");
    if fuzz.exists() {
        crates.extend(metadata(root, &fuzz)?);
    }
    Ok(crates)
}

/// The code map of ARCHITECTURE.md: folder of a crate -> folders that it may import.
pub fn import_table(root: &Path) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md"))?;
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, _, imports] = cells.as_slice() else {
            continue;
        };
        rows.push((name.trim_matches('`').to_owned(), (*imports).to_owned()));
    }
    if rows.is_empty() {
        bail!("ARCHITECTURE.md has no code map: rows start with \"| `\" and have three cells");
    }
    let folders: BTreeSet<String> = rows.iter().map(|(name, _)| name.clone()).collect();
    rows.into_iter()
        .map(|(name, imports)| Ok((name, parse_imports(&imports, &folders)?)))
        .collect()
}

fn parse_imports(cell: &str, folders: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let mut allowed = BTreeSet::new();
    if cell == "none" {
        return Ok(allowed);
    }
    for word in cell.split(',').map(|word| word.trim().trim_matches('`')) {
        if word == "every node/*" {
            allowed.extend(
                folders
                    .iter()
                    .filter(|folder| folder.starts_with("node/"))
                    .cloned(),
            );
        } else if folders.contains(word) {
            allowed.insert(word.to_owned());
        } else if folders.contains(&format!("node/{word}")) {
            allowed.insert(format!("node/{word}"));
        } else {
            bail!("ARCHITECTURE.md: {word:?} in the import column names no crate of the map");
        }
    }
    Ok(allowed)
}

fn metadata(root: &Path, manifest: &Path) -> Result<Vec<Crate>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--manifest-path",
        ])
        .arg(manifest)
        .output()
        .context("cargo metadata does not start")?;
    if !output.status.success() {
        bail!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let value: Value = serde_json::from_slice(&output.stdout)?;
    let packages = value["packages"]
        .as_array()
        .context("metadata has packages")?;
    packages
        .iter()
        .map(|package| describe(root, package))
        .collect()
}

fn describe(root: &Path, package: &Value) -> Result<Crate> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let manifest_path = PathBuf::from(text(&package["manifest_path"]));
    let folder = manifest_path
        .parent()
        .and_then(|folder| folder.strip_prefix(root).ok())
        .context("a crate lies outside the workspace")?;
    let dependencies = package["dependencies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
        .map(|dependency| text(&dependency["name"]))
        .collect();
    let roots = package["targets"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|target| PathBuf::from(text(&target["src_path"])))
        .collect();
    Ok(Crate {
        name: text(&package["name"]),
        folder: folder.to_string_lossy().into_owned(),
        dependencies,
        roots,
        description: text(&package["description"]),
        manifest: std::fs::read_to_string(&manifest_path)?,
    })
}
