//! Signals of the system. Elsewhere than on Unix there are none: the system ends the program, which holds nothing that
//! would have to be saved.

use std::io;

/// What a signal asks for.
pub(crate) enum Signal {
    Stop,
    #[cfg_attr(not(unix), expect(dead_code, reason = "only Unix has SIGHUP"))]
    Reload,
}

#[cfg(unix)]
pub(crate) struct Signals(signal_hook::iterator::Signals);

#[cfg(unix)]
impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]).map(Self)
    }

    /// Waits for the next signal; none once it was closed.
    pub(crate) fn wait(&mut self) -> Option<Signal> {
        let signal = self.0.forever().next()?;
        Some(if signal == signal_hook::consts::SIGHUP {
            Signal::Reload
        } else {
            Signal::Stop
        })
    }

    /// What ends the waiting, from any thread.
    pub(crate) fn closer(&self) -> impl FnOnce() + Send + 'static {
        let handle = self.0.handle();
        move || handle.close()
    }
}

#[cfg(not(unix))]
pub(crate) struct Signals {
    close: std::sync::mpsc::Sender<()>,
    closed: std::sync::mpsc::Receiver<()>,
}

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        let (close, closed) = std::sync::mpsc::channel();
        Ok(Self { close, closed })
    }

    pub(crate) fn wait(&mut self) -> Option<Signal> {
        self.closed.recv().ok().and(None)
    }

    pub(crate) fn closer(&self) -> impl FnOnce() + Send + 'static {
        let close = self.close.clone();
        move || {
            let _ = close.send(());
        }
    }
}
