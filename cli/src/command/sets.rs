//! `shoal sets`.

use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use indicatif::ProgressBar;
use shoal_api::{Api, Client, ErrorCode, Event, FilesetApi, FilesetView};

use crate::connect;
use crate::context::Context;
use crate::failure::Failure;
use crate::fileset::{self, Detail};
use crate::output::{Form, Output};
use crate::screen::style;
use crate::signals::Signals;

/// News come in crowds; the list, which knows more than they do of what they mean together, is asked for this long after
/// the first.
const REFRESH_AFTER: Duration = Duration::from_millis(300);

/// List the filesets that are kept here, and those that other devices offer: state, what is missing, and why.
///
/// FILES counts files, folders and links that are here, MISSING those that are known and not here yet.
#[derive(Debug, Args)]
pub(crate) struct SetsArgs {
    /// Show this fileset alone, with everything that is left out: its name, its folder here, or the first digits of its
    /// id (four at least).
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Go on showing how it stands, with progress, until Ctrl-C or until the node ends.
    #[arg(short, long)]
    watch: bool,
}

pub(crate) async fn run(args: SetsArgs, context: &Context) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let node = connect::needed(context).await?;
    let list = List {
        node,
        asked: args.name,
        output: &context.output,
    };
    if !args.watch {
        let views = list.ask().await?;
        return list.print(&views);
    }
    tokio::select! {
        outcome = list.watch() => outcome,
        () = signals.next() => Ok(()),
    }
}

/// What is listed, and where.
struct List<'a> {
    node: Client,
    asked: Option<String>,
    output: &'a Output,
}

impl List<'_> {
    async fn ask(&self) -> Result<Vec<FilesetView>, Failure> {
        let all = self.node.filesets().await?;
        match &self.asked {
            None => Ok(all),
            Some(asked) => Ok(fileset::named(asked, &all)?),
        }
    }

    fn print(&self, views: &[FilesetView]) -> Result<(), Failure> {
        if self.output.form == Form::Json {
            return views
                .iter()
                .try_for_each(|view| self.output.tagged("fileset", view));
        }
        if views.is_empty() {
            self.output
                .note("No folder is kept the same. Begin with one: shoal add PATH");
            return Ok(());
        }
        self.lines(views, self.output.width())
            .iter()
            .try_for_each(|line| self.output.line(line))
    }

    fn lines(&self, views: &[FilesetView], width: Option<usize>) -> Vec<String> {
        let detail = match self.asked {
            Some(_) => Detail::All,
            None => Detail::Some,
        };
        fileset::lines(views, detail, width)
    }

    /// Until the node ends.
    async fn watch(&self) -> Result<(), Failure> {
        // Listening begins first, so that nothing falls between.
        let mut events = self.node.events(None).await?;
        let mut shown = Shown::new(self.output);
        let mut views = Vec::new();
        self.show_news(&mut views, &mut shown).await?;
        let refresh = tokio::time::sleep(REFRESH_AFTER);
        tokio::pin!(refresh);
        let mut stale = false;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = &mut refresh, if stale => {
                    stale = false;
                    match self.show_news(&mut views, &mut shown).await {
                        // Then there are no more events either.
                        Err(failure) if failure.is(ErrorCode::NoNode) => {}
                        other => other?,
                    }
                    continue;
                }
            };
            match event {
                None => {
                    shown.end();
                    self.output.note("The node has ended.");
                    return Ok(());
                }
                Some(
                    event @ (Event::Fileset(_)
                    | Event::FilesetLeft { .. }
                    | Event::Conflict { .. }
                    | Event::FilesetProblem { .. }
                    | Event::Paired { .. }
                    | Event::DeviceRemoved { .. }),
                ) => {
                    if let Event::FilesetLeft { .. } = &event {
                        self.output.object(&event)?;
                    }
                    if !stale {
                        stale = true;
                        let at = tokio::time::Instant::now() + REFRESH_AFTER;
                        refresh.as_mut().reset(at);
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// Asks, and shows what is not as it was. A fileset that was asked for by name and is gone is an error.
    async fn show_news(
        &self,
        views: &mut Vec<FilesetView>,
        shown: &mut Shown<'_>,
    ) -> Result<(), Failure> {
        let now = self.ask().await?;
        now.iter()
            .filter(|view| !views.contains(view))
            .try_for_each(|view| shown.changed(view))?;
        *views = now;
        shown.draw(|| self.lines(views, None));
        Ok(())
    }
}

/// A table that moves on a terminal; elsewhere a line for each change.
struct Shown<'a> {
    output: &'a Output,
    bars: Vec<ProgressBar>,
}

impl<'a> Shown<'a> {
    fn new(output: &'a Output) -> Self {
        let bars = Vec::new();
        Self { output, bars }
    }

    fn changed(&self, view: &FilesetView) -> Result<(), Failure> {
        self.output.tagged("fileset", view)?;
        if !self.output.is_watched() {
            self.output.line(&fileset::line(view))?;
        }
        Ok(())
    }

    fn draw(&mut self, lines: impl FnOnce() -> Vec<String>) {
        if !self.output.is_watched() {
            return;
        }
        let lines = lines();
        for bar in self.bars.drain(lines.len().min(self.bars.len())..) {
            bar.finish_and_clear();
        }
        while self.bars.len() < lines.len() {
            let bar = self.output.show(ProgressBar::no_length());
            bar.set_style(style("{msg}"));
            self.bars.push(bar);
        }
        for (bar, line) in self.bars.iter().zip(&lines) {
            bar.set_message(self.output.fitting(line));
            bar.tick();
        }
    }

    fn end(&self) {
        self.bars.iter().for_each(ProgressBar::abandon);
    }
}

impl Drop for Shown<'_> {
    /// What was shown last stays, also after Ctrl-C.
    fn drop(&mut self) {
        self.end();
    }
}
