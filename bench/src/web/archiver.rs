//! What stands behind nginx where an archive is asked for: `zip -0`, which writes into the connection itself.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::process::cpu_s;

/// Listens until this program ends.
pub(crate) struct Archiver {
    port: u16,
    used_s: Arc<Mutex<f64>>,
}

impl Archiver {
    /// `/zip/NAME` is an archive of the folder NAME in `root`.
    pub(crate) fn start(root: &Path) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let (root, used_s) = (root.to_owned(), Arc::new(Mutex::new(0.0)));
        let used = used_s.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Err(error) = answer(stream, &root, &used) {
                    eprintln!("an archive was not made: {error:#}");
                }
            }
        });
        Ok(Self { port, used_s })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Processor time of all archives.
    pub(crate) fn cpu_s(&self) -> f64 {
        *self.used_s.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers one request. The connection ends when the processor time that it took has been added.
fn answer(stream: TcpStream, root: &Path, used_s: &Mutex<f64>) -> Result<()> {
    let mut stream_of_zip = stream.try_clone()?;
    let mut lines = BufReader::new(&stream).lines();
    let request = lines.next().context("no request")??;
    while !lines.next().context("no end of the head")??.is_empty() {}
    let path = request.split(' ').nth(1).context("no path")?;
    let name = path.rsplit('/').next().context("no name")?;
    stream_of_zip.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: application/zip\r\n\r\n")?;
    let mut child = Command::new("zip")
        .args(["-0", "-q", "-r", "-", name])
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(OwnedFd::from(stream_of_zip))
        .spawn()
        .context("starting zip")?;
    let pid = Pid::from_child(&child);
    // Its line in /proc is there until somebody has waited for it.
    waitid(
        WaitId::Pid(pid),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    )?;
    *used_s.lock().unwrap_or_else(PoisonError::into_inner) += cpu_s(pid)?;
    let status = child.wait()?;
    ensure!(status.success(), "zip ended with {status}");
    Ok(())
}
