//! Who is there, and how those come who are not.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::options::Options;
use crate::peers::{self, Peer};
use crate::{sync, web};

/// A program that is not here.
pub(crate) struct Missing {
    pub(crate) name: &'static str,
    /// The shell command that installs it.
    pub(crate) install: String,
}

/// Those that are asked for.
pub(crate) struct Asked {
    pub(crate) present: Vec<Box<dyn Peer>>,
    /// Whether nginx is measured beside the node's pages.
    pub(crate) web: bool,
    /// Whether Syncthing is measured beside two nodes.
    pub(crate) sync: bool,
    pub(crate) missing: Vec<Missing>,
}

/// Looks who is there.
pub(crate) fn look(options: &Options) -> Result<Asked> {
    let known: Vec<&str> = peers::names()
        .into_iter()
        .chain([web::NAME, sync::NAME])
        .collect();
    for name in &options.only {
        ensure!(
            known.contains(&name.as_str()),
            "--only {name}: known names are {}",
            known.join(", ")
        );
    }
    let (mut present, mut missing) = (Vec::new(), Vec::new());
    for peer in peers::all(options)? {
        if !is_asked(options, peer.name()) {
            continue;
        }
        if peer.needs().iter().all(|program| peers::is_there(program)) {
            present.push(peer);
        } else {
            missing.push(Missing {
                name: peer.name(),
                install: peer.install(),
            });
        }
    }
    let mut whether = |name: &'static str, lacks: Option<String>| {
        let asked = is_asked(options, name);
        let there = lacks.is_none();
        missing.extend(
            lacks
                .filter(|_| asked)
                .map(|install| Missing { name, install }),
        );
        asked && there
    };
    let web = whether(web::NAME, web::missing());
    let sync = whether(sync::NAME, sync::missing(options));
    Ok(Asked {
        present,
        web,
        sync,
        missing,
    })
}

fn is_asked(options: &Options, name: &str) -> bool {
    options.only.is_empty() || options.only.iter().any(|it| it == name)
}

/// Runs the install commands of everybody who is missing.
pub(crate) fn install(options: &Options) -> Result<()> {
    let mut done: Vec<String> = Vec::new();
    for missing in look(options)?.missing {
        if done.contains(&missing.install) {
            continue;
        }
        eprintln!("{}: {}", missing.name, missing.install);
        let status = Command::new("sh")
            .args(["-c", &missing.install])
            .status()
            .context("starting sh")?;
        if !status.success() {
            eprintln!("{}: that failed ({status}); going on without", missing.name);
        }
        done.push(missing.install);
    }
    Ok(())
}
