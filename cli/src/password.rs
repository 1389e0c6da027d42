//! Passwords as a person gives them: typed on the terminal, unseen, or in a file. Never as an argument or in the
//! environment, where other programs read them.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use shoal_protocol::display::escape_os;
use shoal_protocol::id::LinkId;
use shoal_protocol::password::{Key, PASSWORD_MAX_BYTES};

use crate::failure::Failure;
use crate::output::Output;
use crate::signals::Signals;

/// Asks twice for a new password.
pub(crate) async fn new() -> Result<String, Failure> {
    let first = typed("Password for the link: ").await?;
    if first.is_empty() {
        return Err(Failure::usage(
            "a password has at least one character",
            "run the command again",
        ));
    }
    if typed("The same again: ").await? != first {
        return Err(Failure::usage(
            "the two passwords differ",
            "run the command again",
        ));
    }
    Ok(first)
}

/// Asks on the terminal, without showing what is typed.
pub(crate) async fn typed(prompt: &str) -> Result<String, Failure> {
    let no_terminal = |_| {
        Failure::usage(
            "there is no terminal to ask for the password",
            "name a file that has it in its first line: --password-file FILE",
        )
    };
    let mut signals = Signals::listen()?;
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let mut terminal = terminal.map_err(no_terminal)?;
    let unseen = Unseen::begin(&terminal).map_err(no_terminal)?;
    terminal.write_all(prompt.as_bytes()).map_err(no_terminal)?;
    let reader = terminal.try_clone().map_err(no_terminal)?;
    let (tell, told) = tokio::sync::oneshot::channel();
    // A thread of its own, because nothing can end its reading but a person or the end of the process.
    std::thread::spawn(move || tell.send(first_line(reader)));
    let line = tokio::select! {
        line = told => line.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(no_terminal),
        () = signals.next() => Err(Failure::interrupted("no password was given", "run the command again")),
    };
    drop(unseen);
    let _ = terminal.write_all(b"\n");
    line
}

/// For as long as it lives the terminal does not show what is typed.
struct Unseen {
    terminal: File,
    before: Termios,
}

impl Unseen {
    fn begin(terminal: &File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self {
            terminal: terminal.try_clone()?,
            before,
        })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// The first line of a file; one that others can read is said to be so.
pub(crate) fn in_file(path: &Path, output: &Output) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::path("cannot read the password in", path, &error);
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if about.is_file() && about.permissions().mode() & 0o077 != 0 {
        let shown = escape_os(path.as_os_str().as_encoded_bytes());
        output.aside(&format!(
            "Others can read {shown}: chmod 600 keeps the password to you."
        ));
    }
    first_line(file).map_err(failed)
}

/// Without its end; a longer one than any password is cut, and refused as too long.
fn first_line(from: File) -> io::Result<String> {
    let mut line = String::new();
    let limit = PASSWORD_MAX_BYTES as u64 + 2;
    BufReader::new(from.take(limit)).read_line(&mut line)?;
    let password = line.strip_suffix('\n').unwrap_or(&line);
    let password = password.strip_suffix('\r').unwrap_or(password);
    Ok(password.to_owned())
}

/// What a password makes for a link.
pub(crate) async fn key(password: String, link: LinkId) -> Result<Key, Failure> {
    let key = tokio::task::spawn_blocking(move || Key::derive(&password, &link)).await;
    let key = key.map_err(|error| Failure::internal(format!("no key: {error}")))?;
    key.map_err(|error| Failure::usage(error.to_string(), "try another password"))
}
