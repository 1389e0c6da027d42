//! nginx with the settings of Debian, in one process, so that its processor time can be read.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::Job;
use super::archiver::Archiver;
use crate::process::Process;
use crate::trial::Trial;

const START_MAX: Duration = Duration::from_secs(10);

/// A running nginx, and what makes its archives.
pub(crate) struct Nginx {
    process: Process,
    archiver: Archiver,
    port: u16,
}

impl Nginx {
    /// Serves everything below `root`; what it writes goes into `dir`.
    pub(crate) fn start(root: &Path, dir: &Path) -> Result<Self> {
        let archiver = Archiver::start(root)?;
        let port = Trial::free_port()?;
        let home = dir.join("nginx");
        fs::create_dir_all(&home)?;
        let config = home.join("nginx.conf");
        fs::write(&config, settings(port, archiver.port(), root, &home))?;
        let mut command = Command::new(find("nginx"));
        command.arg("-c").arg(&config).arg("-p").arg(&home);
        let mut process = Process::start(command, &home)?;
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            ensure!(
                !process.ended(Duration::from_millis(5))? && began.elapsed() < START_MAX,
                "nginx does not answer: {}",
                process.said()
            );
        }
        Ok(Self {
            process,
            archiver,
            port,
        })
    }

    pub(crate) fn url(&self, job: Job) -> String {
        let path = match job {
            Job::File => "one.bin",
            Job::LargeZip | Job::SmallZip => &format!("zip/{}", job.source()),
            Job::Page => "flat/",
        };
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    pub(crate) fn cpu_s(&self) -> Result<f64> {
        Ok(self.process.usage()?.cpu_s + self.archiver.cpu_s())
    }

    pub(crate) fn end(self) -> Result<()> {
        self.process.end(Signal::TERM)?;
        Ok(())
    }
}

/// Where a program is; daemons may lie outside of a person's PATH.
pub(crate) fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(daemons)
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
        .unwrap_or_else(|| program.into())
}

/// Larger buffers for what it passes on than it has by default: they made it faster here.
fn settings(port: u16, archiver: u16, root: &Path, home: &Path) -> String {
    let (root, home) = (root.display(), home.display());
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        "{user} worker_processes 1; daemon off; master_process off; pid {home}/pid; error_log stderr;
events {{ worker_connections 768; }}
http {{
    access_log off; sendfile on; tcp_nopush on; types_hash_max_size 2048;
    client_body_temp_path {home}/1; proxy_temp_path {home}/2; fastcgi_temp_path {home}/3;
    uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;
    server {{
        listen 127.0.0.1:{port}; root {root};
        location /flat/ {{ autoindex on; }}
        location /zip/ {{
            proxy_pass http://127.0.0.1:{archiver};
            proxy_buffers 8 512k; proxy_buffer_size 512k; proxy_busy_buffers_size 1m; proxy_max_temp_file_size 0;
        }}
    }}
}}
"
    )
}
