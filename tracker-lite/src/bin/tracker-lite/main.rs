//! `tracker-lite`: the tracker as a program.

mod args;
mod report;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tokio::sync::mpsc;
use tracker_lite::{
    AllowList, AllowListError, Everybody, NoRandomness, Open, Server, Serves, Stop, Tracker,
    bind_tcp, bind_udp,
};

use args::{Args, Udp};
use report::{Form, Report};

/// The port that trackers have by custom.
const DEFAULT_PORT: u16 = 6969;

/// Why the program ends. Each sentence says what to do.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{protocol} at {address}: {source}; {advice}")]
    Bind {
        protocol: &'static str,
        address: SocketAddr,
        source: io::Error,
        advice: &'static str,
    },
    #[error("{}: {source}; name a readable file with --allow, or track everything with --open", path.display())]
    ReadList { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    List {
        path: PathBuf,
        source: AllowListError,
    },
    #[error("a server ended: {0}; start it again, and report it if it ends again")]
    Server(io::Error),
    #[error("the system refuses what the program needs: {0}")]
    System(#[from] io::Error),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let form = if args.json { Form::Json } else { Form::Text };
    match run(&args, form) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            match form {
                Form::Text => eprintln!("tracker-lite: {failure}"),
                Form::Json => eprintln!(
                    "{}",
                    serde_json::json!({"type": "error", "message": failure.to_string()})
                ),
            }
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args, form: Form) -> Result<(), Failure> {
    let list = match &args.allow {
        Some(path) => {
            let list = AllowList::default();
            let torrents = load(&list, path)?.0;
            form.write(&Report::Loaded { torrents });
            Some(Arc::new(list))
        }
        None => None,
    };
    let torrents: Arc<dyn tracker_lite::Torrents> = match &list {
        Some(list) => list.clone(),
        None => Arc::new(Open),
    };
    let tracker = Arc::new(Tracker::new(args.config(), torrents, Arc::new(Everybody))?);
    let servers = open_sockets(args, form, &tracker)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(serve(args, form, &tracker, list.as_deref(), servers))?;
    let metrics = tracker.metrics();
    form.write(&Report::Stopped {
        announces: metrics.http_announces.value() + metrics.udp_announces.value(),
        peers: tracker.peers(),
    });
    Ok(())
}

/// One server for HTTP and one for UDP, so that a flood of packets does not keep connections waiting.
fn open_sockets(args: &Args, form: Form, tracker: &Arc<Tracker>) -> Result<Vec<Server>, Failure> {
    let mut http = Server::new(tracker.clone())?;
    let mut udp = Server::new(tracker.clone())?;
    let mut opened = Vec::new();
    for address in http_addresses(args) {
        let listener = match bind_tcp(address) {
            Err(source) if passes_over(args, &source, address) => {
                let message = format!("no IPv6 here: {source}");
                form.write(&Report::Warning { message });
                continue;
            }
            bound => bound.map_err(|source| bind_failure("http", address, source))?,
        };
        opened.push(listener.local_addr()?);
        form.write(&Report::Listening {
            protocol: "http",
            address: listener.local_addr()?,
        });
        http.add_http(listener, Serves::Tracker)?;
    }
    for address in udp_addresses(args, &opened) {
        let socket = bind_udp(address).map_err(|source| bind_failure("udp", address, source))?;
        form.write(&Report::Listening {
            protocol: "udp",
            address: socket.local_addr()?,
        });
        udp.add_udp(socket)?;
    }
    if let Some(address) = args.metrics {
        let listener =
            bind_tcp(address).map_err(|source| bind_failure("metrics", address, source))?;
        form.write(&Report::Listening {
            protocol: "metrics",
            address: listener.local_addr()?,
        });
        http.add_http(listener, Serves::Metrics)?;
    }
    Ok(vec![http, udp])
}

/// Runs the servers until a signal or a failure.
async fn serve(
    args: &Args,
    form: Form,
    tracker: &Tracker,
    list: Option<&AllowList>,
    servers: Vec<Server>,
) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let (ended, mut endings) = mpsc::unbounded_channel();
    let mut threads = Vec::new();
    for server in servers {
        let ended = ended.clone();
        let stop = server.stop_handle();
        let thread = std::thread::Builder::new()
            .name("server".into())
            .spawn(move || {
                // The receiver is gone when the program ends anyway.
                let _ = ended.send(server.run());
            })?;
        threads.push((stop, thread));
    }
    let result = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Stop => break Ok(()),
                Signal::Reload => reload(args, form, tracker, list),
            },
            Some(Err(error)) = endings.recv() => break Err(Failure::Server(error)),
        }
    };
    threads.iter().map(|(stop, _)| stop).for_each(Stop::stop);
    for (_, thread) in threads {
        let _ = thread.join();
    }
    result
}

/// A list that cannot be read leaves the old one in force.
fn reload(args: &Args, form: Form, tracker: &Tracker, list: Option<&AllowList>) {
    let (Some(list), Some(path)) = (list, &args.allow) else {
        return;
    };
    match load(list, path) {
        Ok((torrents, gone)) => {
            for infohash in gone {
                tracker.remove(&infohash);
            }
            form.write(&Report::Loaded { torrents });
        }
        Err(failure) => form.write(&Report::Warning {
            message: format!("{failure}; the old list stays in force"),
        }),
    }
}

fn load(
    list: &AllowList,
    path: &Path,
) -> Result<(usize, Vec<shoal_protocol::id::InfoHash>), Failure> {
    let text = std::fs::read_to_string(path).map_err(|source| Failure::ReadList {
        path: path.to_owned(),
        source,
    })?;
    list.replace(&text).map_err(|source| Failure::List {
        path: path.to_owned(),
        source,
    })
}

fn http_addresses(args: &Args) -> Vec<SocketAddr> {
    if !args.listen.is_empty() {
        return args.listen.clone();
    }
    let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    any.map(|ip| SocketAddr::new(ip, DEFAULT_PORT)).to_vec()
}

fn udp_addresses(args: &Args, http: &[SocketAddr]) -> Vec<SocketAddr> {
    if args.udp.is_empty() {
        return http.to_vec();
    }
    args.udp
        .iter()
        .filter_map(|udp| match udp {
            Udp::None => None,
            Udp::At(address) => Some(*address),
        })
        .collect()
}

/// Whether a machine without IPv6 is served by the rest of the default addresses.
fn passes_over(args: &Args, error: &io::Error, address: SocketAddr) -> bool {
    args.listen.is_empty() && address.is_ipv6() && error.kind() != io::ErrorKind::AddrInUse
}

fn bind_failure(protocol: &'static str, address: SocketAddr, source: io::Error) -> Failure {
    let advice = match source.kind() {
        io::ErrorKind::AddrInUse => {
            "stop the program that has this port, or choose another with --listen, --udp or --metrics"
        }
        io::ErrorKind::AddrNotAvailable => "choose an address of this machine",
        io::ErrorKind::PermissionDenied => "choose a port above 1023",
        _ => "choose another address",
    };
    Failure::Bind {
        protocol,
        address,
        source,
        advice,
    }
}

enum Signal {
    Stop,
    #[cfg_attr(not(unix), expect(dead_code, reason = "only Unix has SIGHUP"))]
    Reload,
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        let _ = tokio::signal::ctrl_c().await;
        Signal::Stop
    }
}
