//! A question to the person at the terminal.

use std::io::{self, BufRead, IsTerminal, Write};

use tokio::sync::oneshot;

/// Whether somebody can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on stderr; anything but `y` or `yes` is no, and so is the end of the input. Dropping the future leaves the
/// question unanswered.
pub(crate) async fn yes(question: &str) -> bool {
    // Nobody is left to be asked when stderr is gone.
    let _ = write!(io::stderr().lock(), "{question} [y/N] ");
    let (answer, answered) = oneshot::channel();
    // A thread of its own: the process may end while it still waits for a key.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        let yes = matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes");
        let _ = answer.send(read.is_ok() && yes);
    });
    answered.await.unwrap_or(false)
}
