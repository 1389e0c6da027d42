//! `shoal man`.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use serde_json::json;
use shoal_api::{EXIT_CODES, EXIT_OK};
use shoal_node::config::KEYS;

use crate::args::Cli;
use crate::context::Context;
use crate::failure::Failure;

/// Print the man page, or write one for each command into a folder.
///
/// To read it: shoal man | man -l -
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write shoal.1 and a page for each command into this folder.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &ManArgs, context: &Context) -> Result<(), Failure> {
    // `shoal help` is the same text in another place.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = &args.dir else {
        return context.output.verbatim(&page(&command)?);
    };
    std::fs::create_dir_all(folder)
        .map_err(|error| Failure::path("cannot make", folder, &error))?;
    write(folder, "shoal.1", &page(&command)?, context)?;
    below(&command, "shoal", folder, context)
}

/// A page for each command below this one, and for those below them.
fn below(
    command: &clap::Command,
    name: &str,
    folder: &Path,
    context: &Context,
) -> Result<(), Failure> {
    let commands = command.get_subcommands().filter(|it| !it.is_hide_set());
    for command in commands {
        let name = format!("{name}-{}", command.get_name());
        let mut text = Vec::new();
        Man::new(command.clone())
            .title(name.clone())
            .source(SOURCE)
            .render(&mut text)?;
        if name == "shoal-config" {
            let mut more = Roff::new();
            settings(&mut more);
            more.to_writer(&mut text)?;
        }
        write(folder, &format!("{name}.1"), &text, context)?;
        below(command, &name, folder, context)?;
    }
    Ok(())
}

fn write(folder: &Path, name: &str, text: &[u8], context: &Context) -> Result<(), Failure> {
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(|error| Failure::path("cannot write", &path, &error))?;
    context.output.tagged("man", &json!({"path": path}))?;
    context.output.line(&path.display().to_string())
}

/// shoal(1), with what stands in no `--help`.
fn page(command: &clap::Command) -> Result<Vec<u8>, Failure> {
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    man.render_subcommands_section(&mut text)?;
    let mut more = Roff::new();
    settings(&mut more);
    exit_status(&mut more);
    list(&mut more, "FILES", FILES);
    list(&mut more, "ENVIRONMENT", ENVIRONMENT);
    more.to_writer(&mut text)?;
    man.render_version_section(&mut text)?;
    Ok(text)
}

fn settings(roff: &mut Roff) {
    roff.control("SH", ["SETTINGS"]);
    for key in KEYS {
        let default = match key.default {
            "" => String::new(),
            value => format!(" The default is {value}."),
        };
        item(
            roff,
            key.name,
            &format!("{}. It takes {}.{default}", capital(key.doc), key.form),
        );
    }
}

/// A sentence begins with a capital letter.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|it| it.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn exit_status(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    let all = std::iter::once((EXIT_OK.0, EXIT_OK.1)).chain(
        EXIT_CODES
            .iter()
            .map(|(exit, _, sentence)| (*exit, *sentence)),
    );
    for (exit, sentence) in all {
        item(roff, &exit.to_string(), sentence);
    }
}

/// What a page's foot says.
const SOURCE: &str = concat!("shoal ", env!("CARGO_PKG_VERSION"));

const FILES: &[(&str, &str)] = &[
    (
        "~/.local/share/shoal",
        "The home: the device's key, its shares, and what was computed about them; no copies of shared files. XDG_DATA_HOME moves it.",
    ),
    (
        "~/.config/shoal/config.toml",
        "The settings; see SETTINGS. XDG_CONFIG_HOME moves it.",
    ),
    (
        "~/.local/state/shoal/logs",
        "The node's log: node.log, and up to four older files of 10 MiB. XDG_STATE_HOME moves it.",
    ),
    (
        "~/.config/systemd/user/shoal.service",
        "Written by `shoal service install`.",
    ),
    (
        "--home DIR",
        "puts all of these into DIR, the unit excepted: config.toml, logs/, and the rest beside them.",
    ),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("SHOAL_HOME", "The same as --home."),
    (
        "SHOAL_LOG",
        "What is logged, instead of the setting log-level: directives of tracing-subscriber, such as debug or shoal_node=trace,info.",
    ),
    ("NO_COLOR", "Any value: no colours."),
    (
        "XDG_DATA_HOME, XDG_CONFIG_HOME, XDG_STATE_HOME",
        "Where the home, the settings and the logs are.",
    ),
];

fn list(roff: &mut Roff, heading: &str, items: &[(&str, &str)]) {
    roff.control("SH", [heading]);
    for (term, text) in items {
        item(roff, term, text);
    }
}

fn item(roff: &mut Roff, term: &str, text: &str) {
    roff.control("TP", []);
    roff.text([bold(term)]);
    roff.text([roman(text)]);
}
