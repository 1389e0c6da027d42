//! Where log lines go: to stderr for who asked, to the home's files while this process is the node.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::context::Context;
use crate::output::AsideWriter;

/// Overrides every level; the directives of `tracing_subscriber::EnvFilter`.
const VARIABLE: &str = "SHOAL_LOG";

/// What stderr shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stderr {
    /// Nothing, unless -v was given.
    Asked,
    /// What the settings say.
    Lines,
    /// Nothing: nobody is there.
    Nobody,
}

/// Sets up logging for this process. `level` is the one of the settings. Later calls change nothing.
pub(crate) fn begin(context: &Context, level: &str, stderr: Stderr) {
    let verbose = match context.global.verbose {
        0 => None,
        1 => Some("debug"),
        _ => Some("trace"),
    };
    let on_stderr = match stderr {
        Stderr::Nobody => None,
        Stderr::Asked => verbose,
        Stderr::Lines => Some(verbose.unwrap_or(level)),
    };
    let files = context.log.clone();
    let file_layer = layer::<Registry>()
        .with_ansi(false)
        .with_writer(move || files.clone())
        .with_filter(filter(verbose.unwrap_or(level)));
    let output = context.output.clone();
    let colours = !context.global.no_color && std::io::stderr().is_terminal();
    let stderr_layer = on_stderr.map(|level| {
        layer()
            .with_ansi(colours)
            .with_writer(move || AsideWriter(output.clone()))
            .with_filter(filter(level))
    });
    // Only a second call can fail, and the first one holds.
    let _ = tracing_subscriber::registry()
        .with(file_layer)
        .with(stderr_layer)
        .try_init();
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!("{panic}");
        told(panic);
    }));
}

/// Ours at `level`, everybody else's when it is serious.
fn filter(level: &str) -> EnvFilter {
    let foreign = match level {
        "trace" => "info",
        "error" => "error",
        _ => "warn",
    };
    let ours = format!("{foreign},shoal={level},tracker_lite={level}");
    std::env::var(VARIABLE)
        .ok()
        .and_then(|directives| EnvFilter::try_new(directives).ok())
        .or_else(|| EnvFilter::try_new(ours).ok())
        .unwrap_or_else(|| EnvFilter::default().add_directive(LevelFilter::INFO.into()))
}
