//! `shoal completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::context::Context;
use crate::failure::Failure;

/// Print completions for a shell.
///
/// bash: shoal completions bash > ~/.local/share/bash-completion/completions/shoal
///
/// zsh:  shoal completions zsh > a folder of $fpath, as _shoal
///
/// fish: shoal completions fish > ~/.config/fish/completions/shoal.fish
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, context: &Context) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "shoal", &mut text);
    context.output.verbatim(&text)
}
