//! `shoal sets`.

use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use indicatif::ProgressBar;
use shoal_api::{Api, Client, Event, FilesetApi, FilesetView};

use crate::connect;
use crate::context::Context;
use crate::failure::Failure;
use crate::fileset::{self, Detail};
use crate::output::{Form, Output};
use crate::screen::style;
use crate::signals::Signals;

/// News that name no fileset's state come in crowds; the list is asked for this long after the first.
const REFRESH_AFTER: Duration = Duration::from_secs(1);

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
        let mut views = self.ask().await?;
        views.iter().try_for_each(|view| shown.changed(view))?;
        shown.draw(|| self.lines(&views, None));
        let refresh = tokio::time::sleep(REFRESH_AFTER);
        tokio::pin!(refresh);
        let mut stale = false;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = &mut refresh, if stale => {
                    stale = false;
                    // A fileset that was asked for by name and is gone ends this with that sentence.
                    views = self.ask().await?;
                    shown.draw(|| self.lines(&views, None));
                    continue;
                }
            };
            match event {
                None => {
                    shown.end();
                    self.output.note("The node has ended.");
                    return Ok(());
                }
                Some(Event::Fileset(view)) if self.is_asked(&view) => {
                    shown.changed(&view)?;
                    replace(&mut views, *view);
                    shown.draw(|| self.lines(&views, None));
                }
                Some(
                    event @ (Event::FilesetLeft { .. }
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

    fn is_asked(&self, view: &FilesetView) -> bool {
        match &self.asked {
            None => true,
            Some(asked) => fileset::named(asked, std::slice::from_ref(view)).is_ok(),
        }
    }
}

/// A newer view in the place of the older one, by name.
fn replace(views: &mut Vec<FilesetView>, new: FilesetView) {
    views.retain(|view| view.id != new.id);
    let at = views.partition_point(|view| view.name <= new.name);
    views.insert(at, new);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fileset::tests::view;

    #[test]
    fn a_newer_view_takes_the_place_of_the_older_one() {
        let with_id = |name: &str, id: &str| {
            let mut view = view(name);
            view.id = id.to_owned();
            view
        };
        let mut views = vec![with_id("a", "1"), with_id("c", "3")];
        replace(&mut views, with_id("b", "2"));
        replace(&mut views, with_id("d", "1"));
        let names: Vec<_> = views.iter().map(|view| view.name.as_str()).collect();
        assert_eq!(names, ["b", "c", "d"]);
    }
}
