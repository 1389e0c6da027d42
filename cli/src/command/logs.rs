//! `shoal logs`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use clap::Args;
use serde_json::json;
use shoal_protocol::display::escape_os;

use crate::context::Context;
use crate::failure::Failure;
use crate::logfile;
use crate::output::{Form, Output};
use crate::signals::Signals;

/// Print the node's log, oldest line first, whether a node runs or not (who took a share: `shoal log`).
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Go on printing what is added, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
    /// Begin with the last N lines.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1_000)]
    lines: usize,
}

pub(crate) async fn run(args: LogsArgs, context: &Context) -> Result<(), Failure> {
    let folder = context.home.log_dir();
    let output = &context.output;
    if !args.follow {
        if logfile::existing(folder).is_empty() {
            output.note(&format!(
                "There is no log in {}: no node ran yet.",
                folder.display()
            ));
        }
        return print_tail(folder, args.lines, output);
    }
    std::fs::create_dir_all(folder)
        .map_err(|error| Failure::path("cannot make", folder, &error))?;
    let mut signals = Signals::listen()?;
    // Before the first reading, so that nothing is added unseen.
    let mut changes = Changes::of(folder)?;
    let mut follower = Follower::at_end(folder)?;
    print_tail(folder, args.lines, output)?;
    loop {
        follower.print_new(folder, output)?;
        tokio::select! {
            changed = changes.next() => changed?,
            () = signals.next() => return Ok(()),
        }
    }
}

fn print_tail(folder: &Path, lines: usize, output: &Output) -> Result<(), Failure> {
    let lines = logfile::tail(folder, lines)
        .map_err(|error| Failure::path("cannot read the log in", folder, &error))?;
    lines
        .iter()
        .try_for_each(|line| print(line.as_bytes(), output))
}

/// Log lines quote names and addresses of others: data, also for a terminal.
fn print(line: &[u8], output: &Output) -> Result<(), Failure> {
    if output.form == Form::Json {
        let line = String::from_utf8_lossy(line);
        return output.tagged("log_line", &json!({"line": line}));
    }
    output.line(&escape_os(line))
}

/// The file that is written at present, read up to some point.
struct Follower {
    file: Option<File>,
    /// A line whose end was not written yet.
    begun: Vec<u8>,
}

impl Follower {
    fn at_end(folder: &Path) -> Result<Self, Failure> {
        let path = logfile::present(folder);
        let mut file = File::open(&path).ok();
        if let Some(file) = &mut file {
            file.seek(SeekFrom::End(0))
                .map_err(|error| Failure::path("cannot read", &path, &error))?;
        }
        Ok(Self {
            file,
            begun: Vec::new(),
        })
    }

    /// Prints what was added, and goes on with the next file when the node has begun one.
    fn print_new(&mut self, folder: &Path, output: &Output) -> Result<(), Failure> {
        self.drain(folder, output)?;
        let path = logfile::present(folder);
        let inode = |file: &File| file.metadata().map(|it| it.ino()).ok();
        let newest = File::open(&path).ok();
        if newest.as_ref().and_then(inode) != self.file.as_ref().and_then(inode) {
            // Lines that were added between the reading and the rename.
            self.drain(folder, output)?;
            self.file = newest;
            self.drain(folder, output)?;
        }
        Ok(())
    }

    fn drain(&mut self, folder: &Path, output: &Output) -> Result<(), Failure> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        file.read_to_end(&mut self.begun)
            .map_err(|error| Failure::path("cannot read the log in", folder, &error))?;
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            print(line.trim_ascii_end(), output)?;
        }
        Ok(())
    }
}

/// Tells when something in a folder has changed.
#[cfg(target_os = "linux")]
struct Changes(tokio::sync::mpsc::Receiver<()>);

#[cfg(target_os = "linux")]
impl Changes {
    fn of(folder: &Path) -> Result<Self, Failure> {
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
        let watch = || -> std::io::Result<std::os::fd::OwnedFd> {
            let watcher = init(CreateFlags::CLOEXEC)?;
            let wanted = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
            add_watch(&watcher, folder, wanted)?;
            Ok(watcher)
        };
        let watcher = watch().map_err(|error| Failure::path("cannot watch", folder, &error))?;
        let (changed, changes) = tokio::sync::mpsc::channel(1);
        // A thread of its own, because it sleeps in the system until something changes; it ends with the process.
        std::thread::spawn(move || {
            let mut events = [0; 4096];
            // What changed does not matter, since all files are looked at.
            while rustix::io::read(&watcher, &mut events).is_ok_and(|bytes| bytes > 0) {
                // A full channel says the same already.
                if changed.try_send(()) == Err(tokio::sync::mpsc::error::TrySendError::Closed(())) {
                    break;
                }
            }
        });
        Ok(Self(changes))
    }

    async fn next(&mut self) -> Result<(), Failure> {
        self.0
            .recv()
            .await
            .ok_or_else(|| Failure::internal("the log cannot be watched any more"))
    }
}

/// Elsewhere nothing tells: the files are looked at every now and then.
#[cfg(not(target_os = "linux"))]
struct Changes(tokio::time::Interval);

#[cfg(not(target_os = "linux"))]
impl Changes {
    fn of(_: &Path) -> Result<Self, Failure> {
        Ok(Self(tokio::time::interval(
            std::time::Duration::from_millis(250),
        )))
    }

    async fn next(&mut self) -> Result<(), Failure> {
        self.0.tick().await;
        Ok(())
    }
}
