//! Everything that is printed goes through here: results to stdout, the rest to stderr.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use serde::Serialize;

use crate::args::Global;
use crate::failure::Failure;
use crate::table::clip;

/// How results look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

/// How much is said beside results and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Volume {
    Normal,
    Quiet,
}

/// What a text means, for those who see colours.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tone {
    /// What people came for.
    Strong,
    /// What they may skip.
    Faint,
    /// What went wrong.
    Bad,
}

/// Stdout and stderr of this command.
#[derive(Clone)]
pub(crate) struct Output {
    /// How results look.
    pub(crate) form: Form,
    volume: Volume,
    colour: bool,
    bars: Arc<MultiProgress>,
}

impl Output {
    /// As the options and the environment ask for it.
    pub(crate) fn new(global: &Global) -> Self {
        let quiet = global.quiet;
        // https://no-color.org: any value but the empty one.
        let asked = !global.no_color && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
        let form = if global.json { Form::Json } else { Form::Human };
        let target = if quiet || form == Form::Json {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(8)
        };
        Self {
            form,
            volume: if quiet { Volume::Quiet } else { Volume::Normal },
            colour: asked && io::stderr().is_terminal(),
            bars: Arc::new(MultiProgress::with_draw_target(target)),
        }
    }

    /// A result as JSON, and nothing in the form for people.
    pub(crate) fn object(&self, value: &impl Serialize) -> Result<(), Failure> {
        if self.form == Form::Human {
            return Ok(());
        }
        let line = serde_json::to_string(value)
            .map_err(|error| Failure::internal(format!("JSON could not be written: {error}")))?;
        self.stdout(&line)
    }

    /// The same of a value that does not say by itself what `type` it is of.
    pub(crate) fn tagged(&self, kind: &'static str, value: &impl Serialize) -> Result<(), Failure> {
        self.object(&Tagged { kind, value })
    }

    /// A line of a result for people, and nothing in JSON.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        match self.form {
            Form::Human => self.stdout(text),
            Form::Json => Ok(()),
        }
    }

    /// Text that has the same form for people and programs, such as a man page.
    pub(crate) fn verbatim(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        Ok(stdout.flush()?)
    }

    /// What is good to know, on stderr; people only, and not if they asked for quiet.
    pub(crate) fn note(&self, text: &str) {
        if self.form == Form::Human {
            self.aside(text);
        }
    }

    /// What is good to know for everybody, on stderr; not if quiet was asked for.
    pub(crate) fn aside(&self, text: &str) {
        if self.volume == Volume::Normal {
            self.stderr(text);
        }
    }

    /// A line on stderr, above what moves.
    pub(crate) fn stderr(&self, text: &str) {
        self.bars.suspend(|| {
            // Nobody is left to be told when stderr is gone.
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }

    /// Whether people watch stderr on a terminal.
    pub(crate) fn is_watched(&self) -> bool {
        self.form == Form::Human && self.volume == Volume::Normal && io::stderr().is_terminal()
    }

    /// Columns of the terminal that results go to; none if they go elsewhere.
    pub(crate) fn width(&self) -> Option<usize> {
        if !io::stdout().is_terminal() {
            return None;
        }
        rustix::termios::tcgetwinsize(io::stdout())
            .ok()
            .map(|size| usize::from(size.ws_col))
            .filter(|columns| *columns > 0)
    }

    /// The beginning of a text that fits on a line of the terminal on stderr, with room for the `^C` that terminals
    /// write behind it: in the next line it would keep this one from being cleared.
    pub(crate) fn fitting(&self, text: &str) -> String {
        const ROOM: usize = 3;
        let columns =
            rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| usize::from(size.ws_col));
        match columns {
            0..=ROOM => text.to_owned(),
            _ => clip(text, columns - ROOM),
        }
    }

    /// Shows a bar on stderr as long as it is not cleared.
    pub(crate) fn show(&self, bar: ProgressBar) -> ProgressBar {
        self.bars.add(bar)
    }

    /// A text in its tone.
    pub(crate) fn toned(&self, text: &str, tone: Tone) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Bad => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    fn stdout(&self, text: &str) -> Result<(), Failure> {
        self.bars.suspend(|| {
            let mut stdout = io::stdout().lock();
            writeln!(stdout, "{text}")?;
            stdout.flush()
        })?;
        Ok(())
    }
}

/// Lets log lines pass above what moves.
pub(crate) struct AsideWriter(pub(crate) Output);

impl Write for AsideWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .bars
            .suspend(|| io::stderr().lock().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A value with the `type` that tells programs what it is.
#[derive(Serialize)]
struct Tagged<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Its fields stand beside `type`.
    #[serde(flatten)]
    value: &'a T,
}
